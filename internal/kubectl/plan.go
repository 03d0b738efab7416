// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
)

// maxObject is the maximum size of an object in JSON, without its status. etcd accepts requests of
// 1.5 MiB, and 100 failed files with messages of the maximum length take almost 0.5 MiB.
const maxObject = 1 << 20

// plan describes the objects to create from files.
type plan struct {
	// namespace is empty to omit it.
	namespace, name, vectorStore, secret string
	filesPerBatch                        int
	attributes                           v1alpha1.Attributes
	pathAttribute                        string
	chunking                             *v1alpha1.ChunkingStrategy
	// configure sets the other fields of an object; it may be nil.
	configure func(*v1alpha1.VectorStoreFileBatch)

	files []upload.File
	// cuts are the indexes of the first file of each object.
	cuts []int
}

// assign assigns files to objects.
func (p *plan) assign(files []upload.File) error {
	p.files, p.cuts = files, nil
	if err := p.validateAttributes(); err != nil {
		return err
	}
	var size, count int
	for i := range files {
		b := p.object(p.name + "-00000")
		// The ID is not known before the upload.
		p.add(b, i, strings.Repeat("f", v1alpha1.MaxIDLength))
		alone, err := jsonSize(b)
		if err != nil {
			return err
		}
		entry, err := jsonSize(append(anys(b.Spec.FileIDs), anys(b.Spec.Files)...))
		if err != nil {
			return err
		}
		if i == 0 || count == p.filesPerBatch || size+entry > maxObject {
			p.cuts = append(p.cuts, i)
			size, count = alone, 0
		} else {
			size += entry - len("[]") + len(",")
		}
		count++
	}
	for i := range p.cuts {
		if problems := validation.IsDNS1123Subdomain(p.nameOf(i)); len(problems) > 0 {
			return fmt.Errorf("NAME %q is not a valid object name: %s", p.nameOf(i), strings.Join(problems, "; "))
		}
	}
	return nil
}

func jsonSize(value any) (int, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return 0, fmt.Errorf("encoding: %w", err)
	}
	return len(text), nil
}

func anys[T any](values []T) []any {
	var all []any
	for _, value := range values {
		all = append(all, value)
	}
	return all
}

// nameOf returns the name of an object.
func (p *plan) nameOf(i int) string {
	if len(p.cuts) == 1 {
		return p.name
	}
	return fmt.Sprintf("%s-%d", p.name, i+1)
}

func (p *plan) validateAttributes() error {
	keys := maps.Clone(p.attributes)
	if p.pathAttribute != "" {
		if _, exists := keys[p.pathAttribute]; exists {
			return fmt.Errorf("--path-attribute and --attribute both set the key %q", p.pathAttribute)
		}
		if keys == nil {
			keys = v1alpha1.Attributes{}
		}
		keys[p.pathAttribute] = v1alpha1.AttributeValue{}
	}
	if len(keys) > v1alpha1.MaxAttributes {
		return fmt.Errorf("too many attributes: %d (maximum: %d)", len(keys), v1alpha1.MaxAttributes)
	}
	for key := range keys {
		if utf8.RuneCountInString(key) > v1alpha1.MaxAttributeKeyLength {
			return fmt.Errorf("attribute key %q is longer than %d characters", key, v1alpha1.MaxAttributeKeyLength)
		}
	}
	return nil
}

// futureID returns a valid ID for a file that is not uploaded yet.
func futureID(i int, _ upload.File) string { return fmt.Sprintf("to-be-uploaded-%d", i+1) }

// unknownID returns the path of a file in place of its ID. It is not valid as an ID, so that an object
// with it is rejected if it is applied.
func unknownID(_ int, file upload.File) string { return "<" + file.Name + ">" }

func (p *plan) placeholders(placeholder func(int, upload.File) string) []string {
	ids := make([]string, len(p.files))
	for i, file := range p.files {
		ids[i] = placeholder(i, file)
	}
	return ids
}

// objects returns the objects for the IDs of the files. It omits files with an empty ID, and objects
// without files.
func (p *plan) objects(ids []string) []*v1alpha1.VectorStoreFileBatch {
	var objects []*v1alpha1.VectorStoreFileBatch
	for i, from := range p.cuts {
		to := len(p.files)
		if i+1 < len(p.cuts) {
			to = p.cuts[i+1]
		}
		b := p.object(p.nameOf(i))
		for j := from; j < to; j++ {
			if ids[j] != "" {
				p.add(b, j, ids[j])
			}
		}
		if len(b.Spec.FileIDs)+len(b.Spec.Files) > 0 {
			objects = append(objects, b)
		}
	}
	return objects
}

// add adds a file to an object.
func (p *plan) add(b *v1alpha1.VectorStoreFileBatch, i int, id string) {
	if p.pathAttribute == "" {
		b.Spec.FileIDs = append(b.Spec.FileIDs, id)
		return
	}
	attributes := v1alpha1.Attributes{p.pathAttribute: stringValue(p.files[i].Key)}
	maps.Copy(attributes, p.attributes)
	b.Spec.Files = append(b.Spec.Files, v1alpha1.File{FileID: id, Attributes: attributes, ChunkingStrategy: p.chunking})
}

// object returns an object without files.
func (p *plan) object(name string) *v1alpha1.VectorStoreFileBatch {
	b := &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: name}}
	b.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	b.Spec.VectorStoreID = p.vectorStore
	if p.pathAttribute == "" {
		b.Spec.Attributes, b.Spec.ChunkingStrategy = p.attributes, p.chunking
	}
	if p.configure != nil {
		p.configure(b)
	}
	if p.secret != v1alpha1.DefaultCredentialsSecret {
		b.Spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: p.secret}
	}
	return b
}

// parseAttributes parses KEY=VALUE pairs.
func parseAttributes(pairs []string) (v1alpha1.Attributes, error) {
	var attributes v1alpha1.Attributes
	for _, pair := range pairs {
		key, text, hasSeparator := strings.Cut(pair, "=")
		if !hasSeparator || key == "" {
			return nil, fmt.Errorf("--attribute %q is not KEY=VALUE", pair)
		}
		if _, exists := attributes[key]; exists {
			return nil, fmt.Errorf("--attribute sets the key %q twice", key)
		}
		value := v1alpha1.AttributeValue{Raw: json.RawMessage(text)}
		if _, err := value.Scalar(); err != nil || !json.Valid(value.Raw) {
			value = stringValue(text)
		}
		if _, err := value.Scalar(); err != nil {
			return nil, fmt.Errorf("--attribute %s %w", key, err)
		}
		if attributes == nil {
			attributes = v1alpha1.Attributes{}
		}
		attributes[key] = value
	}
	return attributes, nil
}

func stringValue(text string) v1alpha1.AttributeValue {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // cannot fail for a string
	return v1alpha1.AttributeValue{Raw: bytes.TrimSpace(encoded.Bytes())}
}

// equalSettings reports whether an existing object has the settings of a new one.
func equalSettings(existing, wanted *v1alpha1.VectorStoreFileBatch) bool {
	return existing.Spec.VectorStoreID == wanted.Spec.VectorStoreID &&
		credentialsSecret(existing) == credentialsSecret(wanted) &&
		equality.Semantic.DeepEqual(existing.Spec.Attributes, wanted.Spec.Attributes) &&
		equality.Semantic.DeepEqual(existing.Spec.ChunkingStrategy, wanted.Spec.ChunkingStrategy)
}

// moreFiles reports whether an existing object has more files than a new one, or files of another kind.
func moreFiles(existing, wanted *v1alpha1.VectorStoreFileBatch) bool {
	return existing.Spec.BatchID != "" || len(existing.Spec.FileIDs) > len(wanted.Spec.FileIDs) || len(existing.Spec.Files) > len(wanted.Spec.Files)
}

// equalFiles reports whether an existing object has the files of a new one.
func equalFiles(existing, wanted *v1alpha1.VectorStoreFileBatch) bool {
	return existing.Spec.BatchID == wanted.Spec.BatchID && equality.Semantic.DeepEqual(existing.Spec.FileIDs, wanted.Spec.FileIDs) &&
		equality.Semantic.DeepEqual(existing.Spec.Files, wanted.Spec.Files)
}
