// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// CachedObjects returns the manager's cache options: it holds the objects that a selector matches, or
// all if the selector is nil, without what reconciling them does not need.
func CachedObjects(selector labels.Selector) map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{&v1alpha1.VectorStoreFileBatch{}: {Label: selector, Transform: Transform}}
}

// Transform removes from an object what reconciling it does not need. After its batch is known, these
// are its files: they are immutable, and the few steps that need them read the object from the API
// server. Writes lose nothing, because they are patches of single fields. If the batch's ID is lost,
// the watch delivers the object again, with its files.
func Transform(object any) (any, error) {
	b, ok := object.(*v1alpha1.VectorStoreFileBatch)
	if !ok {
		return object, nil // the tombstone of a deleted object
	}
	b.ManagedFields = nil
	delete(b.Annotations, corev1.LastAppliedConfigAnnotation)
	finished := batch.Finished(b)
	if finished || batch.ID(b) != "" {
		b.Spec.FileIDs, b.Spec.Files = nil, nil
		b.Spec.Attributes, b.Spec.ChunkingStrategy = nil, nil
	}
	if finished && len(b.Status.FailedFiles) > 0 {
		// The message of a condition depends on whether there are any.
		b.Status.FailedFiles = []v1alpha1.FailedFile{{FileID: b.Status.FailedFiles[0].FileID}}
	}
	internStrings(b)
	return b, nil
}

// internStrings lets objects share the strings that are equal in most of them.
func internStrings(b *v1alpha1.VectorStoreFileBatch) {
	texts := []*string{&b.Namespace, &b.Spec.VectorStoreID, &b.Status.Status}
	for i := range b.Finalizers {
		texts = append(texts, &b.Finalizers[i])
	}
	b.Status.Conditions = slices.Clip(slices.Clone(b.Status.Conditions))
	for i := range b.Status.Conditions {
		condition := &b.Status.Conditions[i]
		texts = append(texts, &condition.Type, &condition.Reason, &condition.Message)
		condition.Status = metav1.ConditionStatus(unique.Make(string(condition.Status)).Value())
	}
	for _, text := range texts {
		*text = unique.Make(*text).Value()
	}
}
