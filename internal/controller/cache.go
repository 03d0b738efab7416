// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"slices"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/listing"
)

// CachedObjects says which objects the manager's cache keeps, those that a selector takes, or all
// where it is nil, and how: without what the loop has no use for.
func CachedObjects(selector labels.Selector) map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{&v1alpha1.VectorStoreFileBatch{}: {Label: selector, Transform: Trim}}
}

// NewCache makes the manager's cache, as the manager's options want it: one that lists in pages.
func NewCache(config *rest.Config, options cache.Options) (cache.Cache, error) {
	config = rest.CopyConfig(config)
	config.Wrap(listing.ReadAhead)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making the cache's client: %w", err)
	}
	options.HTTPClient, options.NewInformer = client, listing.InPages(Trim)
	return cache.New(config, options)
}

// Trim takes out of an object that comes from the API server what the loop has no use for. Once
// its batch is known, that is its files: they are immutable, and the few who need them later read
// the object as it stands. Nothing is lost by it, since the operator writes with patches that
// name what they change. Should the batch's ID get lost, the object comes anew, and whole.
func Trim(object any) (any, error) {
	b, ours := object.(*v1alpha1.VectorStoreFileBatch)
	if !ours {
		return object, nil // what is known of an object that is gone
	}
	b.ManagedFields = nil
	delete(b.Annotations, corev1.LastAppliedConfigAnnotation)
	over := batch.Finished(b)
	if over || batch.ID(b) != "" {
		b.Spec.FileIDs, b.Spec.Files = nil, nil
		b.Spec.Attributes, b.Spec.ChunkingStrategy = nil, nil
	}
	if over && len(b.Status.FailedFiles) > 0 {
		// That there are any is part of the judgement.
		b.Status.FailedFiles = []v1alpha1.FailedFile{{FileID: b.Status.FailedFiles[0].FileID}}
	}
	share(b)
	return b, nil
}

// share makes objects have the texts in common that are the same in most of them.
func share(b *v1alpha1.VectorStoreFileBatch) {
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
