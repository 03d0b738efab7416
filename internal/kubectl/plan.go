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

// plan describes the objects to create from files.
type plan struct {
	namespace, name, vectorStore, secret string
	attributes                           v1alpha1.Attributes
	pathAttribute                        string
	files                                []upload.File
}

// names returns the names of the objects.
func (p plan) names() []string {
	count := (len(p.files) + maxFiles - 1) / maxFiles
	if count == 1 {
		return []string{p.name}
	}
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", p.name, i+1)
	}
	return names
}

func (p plan) validate() error {
	for _, name := range p.names() {
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
			return fmt.Errorf("NAME %q is not a valid object name: %s", name, strings.Join(problems, "; "))
		}
	}
	if len(p.attributes) == 0 && p.pathAttribute == "" {
		return nil
	}
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
	for _, file := range p.files {
		if p.pathAttribute != "" && utf8.RuneCountInString(file.Name) > v1alpha1.MaxAttributeValueLength {
			return fmt.Errorf("path %s is too long for --path-attribute: attribute values have at most %d characters", file.Name, v1alpha1.MaxAttributeValueLength)
		}
	}
	return nil
}

// objects returns the objects for the IDs of the files.
func (p plan) objects(ids []string) []*v1alpha1.VectorStoreFileBatch {
	var objects []*v1alpha1.VectorStoreFileBatch
	for i, name := range p.names() {
		from, to := i*maxFiles, min((i+1)*maxFiles, len(ids))
		b := p.object(name)
		if p.pathAttribute == "" {
			b.Spec.FileIDs, b.Spec.Attributes = ids[from:to], p.attributes
			objects = append(objects, b)
			continue
		}
		for j := from; j < to; j++ {
			attributes := v1alpha1.Attributes{p.pathAttribute: stringValue(p.files[j].Name)}
			maps.Copy(attributes, p.attributes)
			b.Spec.Files = append(b.Spec.Files, v1alpha1.File{FileID: ids[j], Attributes: attributes})
		}
		objects = append(objects, b)
	}
	return objects
}

func (p plan) object(name string) *v1alpha1.VectorStoreFileBatch {
	b := &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: name}}
	b.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	b.Spec.VectorStoreID = p.vectorStore
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

// equalFiles reports whether an existing object has the files and settings of a new one.
func equalFiles(existing, wanted *v1alpha1.VectorStoreFileBatch) bool {
	equal := func(field func(v1alpha1.VectorStoreFileBatchSpec) any) bool {
		return equality.Semantic.DeepEqual(field(existing.Spec), field(wanted.Spec))
	}
	return existing.Spec.VectorStoreID == wanted.Spec.VectorStoreID &&
		credentialsSecret(existing) == credentialsSecret(wanted) &&
		equal(func(s v1alpha1.VectorStoreFileBatchSpec) any { return s.FileIDs }) &&
		equal(func(s v1alpha1.VectorStoreFileBatchSpec) any { return s.Files }) &&
		equal(func(s v1alpha1.VectorStoreFileBatchSpec) any { return s.Attributes })
}
