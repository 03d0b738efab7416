// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
)

// createManager is the field manager of objects that the plugin creates.
const createManager = "kubectl-vsfb"

// plan is what is to be made of files.
type plan struct {
	namespace, name, vectorStore, secret string
	attributes                           v1alpha1.Attributes
	nameAttribute                        string
	files                                []upload.File
}

// names are those of the objects.
func (p plan) names() []string {
	count := (len(p.files) + mostFiles - 1) / mostFiles
	if count == 1 {
		return []string{p.name}
	}
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", p.name, i+1)
	}
	return names
}

func (p plan) check() error {
	for _, name := range p.names() {
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
			return fmt.Errorf("NAME %q cannot be the name of an object: %s", name, strings.Join(problems, "; "))
		}
	}
	if len(p.attributes) == 0 && p.nameAttribute == "" {
		return nil
	}
	keys := maps.Clone(p.attributes)
	if p.nameAttribute != "" {
		if _, taken := keys[p.nameAttribute]; taken {
			return fmt.Errorf("--path-attribute and --attribute both give the key %q", p.nameAttribute)
		}
		if keys == nil {
			keys = v1alpha1.Attributes{}
		}
		keys[p.nameAttribute] = v1alpha1.AttributeValue{}
	}
	if len(keys) > v1alpha1.MaxAttributes {
		return fmt.Errorf("a file can have %d attributes, and these are %d", v1alpha1.MaxAttributes, len(keys))
	}
	for key := range keys {
		if utf8.RuneCountInString(key) > v1alpha1.MaxAttributeKeyLength {
			return fmt.Errorf("the key %q of an attribute has more than %d characters", key, v1alpha1.MaxAttributeKeyLength)
		}
	}
	for _, file := range p.files {
		if p.nameAttribute != "" && utf8.RuneCountInString(file.Name) > v1alpha1.MaxAttributeValueLength {
			return fmt.Errorf("%s is too long for --path-attribute: an attribute has at most %d characters", file.Name, v1alpha1.MaxAttributeValueLength)
		}
	}
	return nil
}

// objects are what is created, of the upstream's IDs of the files.
func (p plan) objects(ids []string) []*v1alpha1.VectorStoreFileBatch {
	var objects []*v1alpha1.VectorStoreFileBatch
	for i, name := range p.names() {
		from, to := i*mostFiles, min((i+1)*mostFiles, len(ids))
		b := p.object(name)
		if p.nameAttribute == "" {
			b.Spec.FileIDs, b.Spec.Attributes = ids[from:to], p.attributes
			objects = append(objects, b)
			continue
		}
		for j := from; j < to; j++ {
			attributes := v1alpha1.Attributes{p.nameAttribute: stringValue(p.files[j].Name)}
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

// parseAttributes reads KEY=VALUE pairs.
func parseAttributes(pairs []string) (v1alpha1.Attributes, error) {
	var attributes v1alpha1.Attributes
	for _, pair := range pairs {
		key, text, isPair := strings.Cut(pair, "=")
		if !isPair || key == "" {
			return nil, fmt.Errorf("--attribute %q is not KEY=VALUE", pair)
		}
		if _, twice := attributes[key]; twice {
			return nil, fmt.Errorf("--attribute gives the key %q twice", key)
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
	_ = encoder.Encode(text) // strings always encode
	return v1alpha1.AttributeValue{Raw: bytes.TrimSpace(encoded.Bytes())}
}

// preflight has the API server look at the objects before the files are uploaded.
func (c *create) preflight(ctx context.Context, p plan) error {
	if c.dryRun == dryRunClient {
		return nil
	}
	client, err := c.batches()
	if err != nil {
		return err
	}
	for _, name := range p.names() {
		b := p.object(name)
		b.Spec.FileIDs, b.Spec.Attributes = []string{"file-to-be-uploaded"}, p.attributes
		_, err := client.create(ctx, b, metav1.CreateOptions{FieldManager: createManager, DryRun: []string{metav1.DryRunAll}})
		// One that an earlier run has created is compared when the IDs are known.
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating %s would fail, so nothing was uploaded: %w", name, err)
		}
	}
	return nil
}

// store creates the objects, or prints them.
func (c *create) store(ctx context.Context, objects []*v1alpha1.VectorStoreFileBatch) error {
	var client batches
	if c.dryRun != dryRunClient {
		var err error
		if client, err = c.batches(); err != nil {
			return err
		}
	}
	for _, b := range objects {
		operation := "created"
		if c.dryRun != dryRunClient {
			var err error
			if b, operation, err = c.createOne(ctx, client, b); err != nil {
				return err
			}
		}
		c.format.NamePrintFlags.Operation = operation
		if err := c.format.Complete("%s" + dryRunNote(c.dryRun)); err != nil {
			return err
		}
		printer, err := c.format.ToPrinter()
		if err != nil {
			return err
		}
		if err := printer.PrintObj(b, c.Streams.Out); err != nil {
			return err
		}
	}
	return nil
}

func (c *create) createOne(ctx context.Context, client batches, b *v1alpha1.VectorStoreFileBatch) (*v1alpha1.VectorStoreFileBatch, string, error) {
	options := metav1.CreateOptions{FieldManager: createManager}
	if c.dryRun == dryRunServer {
		options.DryRun = []string{metav1.DryRunAll}
	}
	created, err := client.create(ctx, b, options)
	if err == nil {
		return created, "created", nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return nil, "", fmt.Errorf("creating %s: %w", b.Name, err)
	}
	there, err := client.get(ctx, b.Namespace, b.Name)
	if err != nil {
		return nil, "", err
	}
	if !sameFiles(there, b) {
		return nil, "", errors.New(b.Name + " exists already, with other files or settings, which cannot be changed: take another NAME")
	}
	return there, "unchanged", nil
}

// sameFiles says whether an object is what would be created.
func sameFiles(there, wanted *v1alpha1.VectorStoreFileBatch) bool {
	same := func(field func(v1alpha1.VectorStoreFileBatchSpec) any) bool {
		return equality.Semantic.DeepEqual(field(there.Spec), field(wanted.Spec))
	}
	return there.Spec.VectorStoreID == wanted.Spec.VectorStoreID &&
		secretOf(there) == secretOf(wanted) &&
		same(func(s v1alpha1.VectorStoreFileBatchSpec) any { return s.FileIDs }) &&
		same(func(s v1alpha1.VectorStoreFileBatchSpec) any { return s.Files }) &&
		same(func(s v1alpha1.VectorStoreFileBatchSpec) any { return s.Attributes })
}
