// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

func TestDropFiles_KeepsWhatDecisionsNeed(t *testing.T) {
	const store = "vs_1"
	for name, test := range map[string]struct {
		spec    v1alpha1.VectorStoreFileBatchSpec
		files   int
		invalid string
	}{
		"fileIDs": {v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"a", "b", "a"}, Attributes: attributesOf(t, `{"k": 1}`)}, 2, ""},
		"files":   {v1alpha1.VectorStoreFileBatchSpec{Files: []v1alpha1.File{{FileID: "a", Attributes: attributesOf(t, `{"k": 1}`)}}}, 1, ""},
		"invalid": {v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"a"}, Attributes: attributesOf(t, `{"k": []}`)}, 0, "spec.attributes[k]: must be a string"},
		"none":    {v1alpha1.VectorStoreFileBatchSpec{}, 0, "exactly one of"},
	} {
		t.Run(name, func(t *testing.T) {
			test.spec.VectorStoreID = store
			b := &object{Spec: test.spec}
			for _, state := range []string{"whole", "dropped", "dropped twice"} {
				if state != "whole" {
					batch.DropFiles(b)
				}
				files, err := batch.Files(b)
				if files != test.files || (err == nil) != (test.invalid == "") || err != nil && !strings.Contains(err.Error(), test.invalid) {
					t.Errorf("%s: got %d files and error %v, want %d and %q", state, files, err, test.files, test.invalid)
				}
			}
			if b.Spec.FileIDs != nil || b.Spec.Files != nil || b.Spec.Attributes != nil || b.Spec.VectorStoreID != store {
				t.Errorf("the spec is %+v", b.Spec)
			}
		})
	}
}

// TestDropFiles_AnnotationCannotBeSet shows that no client can set the annotation that DropFiles sets.
func TestDropFiles_AnnotationCannotBeSet(t *testing.T) {
	b := &object{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "b"}, Spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"a"}}}
	batch.DropFiles(b)
	if len(b.Annotations) != 1 {
		t.Fatalf("the annotations are %v", b.Annotations)
	}
	for key, value := range b.Annotations {
		if errs := validation.ValidateAnnotations(map[string]string{key: value}, field.NewPath("metadata")); len(errs) == 0 {
			t.Errorf("the API server admits the annotation %q", key)
		}
	}
}
