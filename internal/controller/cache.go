// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"strconv"
	"strings"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// CacheOptions returns the options of the manager's cache: it holds the objects in the given
// namespaces, or in all if none are given, that a selector matches, or all if the selector is nil. It
// holds them without what reconciling them does not need.
func CacheOptions(namespaces []string, selector labels.Selector) cache.Options {
	configs := make(map[string]cache.Config, len(namespaces))
	for _, namespace := range namespaces {
		configs[namespace] = cache.Config{}
	}
	return cache.Options{
		Scheme:            cacheScheme(),
		NewInformer:       newInformer,
		DefaultNamespaces: configs,
		ByObject:          map[client.Object]cache.ByObject{&v1alpha1.VectorStoreFileBatch{}: {Label: selector, Transform: Transform}},
	}
}

// Transform removes from an object what reconciling it does not need: above all its files, and what
// other clients write into its metadata. Anyone who can create an object decides how large these are.
// The few steps that need them read the whole object from the API server. Writes lose nothing, because
// they are patches of single fields.
func Transform(object any) (any, error) {
	if b, ok := object.(*v1alpha1.VectorStoreFileBatch); ok {
		trim(b)
	}
	return object, nil // other objects are the tombstones of deleted ones
}

func trim(b *v1alpha1.VectorStoreFileBatch) {
	own := ownAnnotations(b)
	if size := decodedSize(b); size >= largeObject {
		own[annotationSize] = strconv.Itoa(size)
	}
	if len(b.Finalizers) > maxFinalizers {
		own[annotationFinalizers] = "dropped"
		b.Finalizers = slices.DeleteFunc(b.Finalizers, isForeign)
	}
	b.ObjectMeta = metav1.ObjectMeta{
		Namespace: b.Namespace, Name: b.Name, UID: b.UID, ResourceVersion: b.ResourceVersion, Generation: b.Generation,
		CreationTimestamp: b.CreationTimestamp, DeletionTimestamp: b.DeletionTimestamp,
		Finalizers: slices.Clone(b.Finalizers), Annotations: own, // the decoded array can be much longer
	}
	b.TypeMeta = metav1.TypeMeta{}
	batch.DropFiles(b)
	if batch.Finished(b) && len(b.Status.FailedFiles) > 0 {
		// The message of a condition depends on whether there are any.
		b.Status.FailedFiles = []v1alpha1.FailedFile{{FileID: b.Status.FailedFiles[0].FileID}}
	}
	if len(b.Annotations) == 0 {
		b.Annotations = nil
	}
	internStrings(b)
}

// Annotations of objects in the cache. They exist in memory only: the API server refuses their keys, so
// no client can set them.
const (
	// annotationSize is the decodedSize of a large object.
	annotationSize = "(size)"
	// annotationFinalizers is set on an object whose foreign finalizers were dropped.
	annotationFinalizers = "(finalizers)"
)

const (
	// largeObject is the decodedSize from which an object counts as large.
	largeObject = 64 << 10
	// maxFinalizers is how many finalizers of an object are kept.
	maxFinalizers = 8
	// maxAnnotation is the length at which annotations are cut. A batch ID of that length is unusable.
	maxAnnotation = v1alpha1.MaxIDLength + 1
)

// ownAnnotations returns the annotations that decisions depend on. A finished object has its batch ID
// in its status.
func ownAnnotations(b *v1alpha1.VectorStoreFileBatch) map[string]string {
	own := make(map[string]string, 1)
	keys := []string{batch.AnnotationFiles, annotationSize, annotationFinalizers, v1alpha1.AnnotationReconcileRequestedAt}
	if !batch.Finished(b) || !batch.UsableID(b.Status.BatchID) {
		keys = append(keys, v1alpha1.AnnotationBatchID, v1alpha1.AnnotationCreateStartedAt, v1alpha1.AnnotationRecordedFor, v1alpha1.AnnotationLostCreates)
	}
	for _, key := range keys {
		if value, found := b.Annotations[key]; found {
			own[key] = strings.Clone(value[:min(len(value), maxAnnotation)])
		}
	}
	return own
}

func isForeign(finalizer string) bool { return finalizer != v1alpha1.Finalizer }

// decodedSize returns about how many bytes of memory those parts of an object take whose size its
// author decides.
func decodedSize(b *v1alpha1.VectorStoreFileBatch) int {
	const perEntry = 64 // of a map or a slice
	size := 0
	for _, id := range b.Spec.FileIDs {
		size += len(id) + perEntry
	}
	for _, file := range b.Spec.Files {
		size += len(file.FileID) + 2*perEntry
		for key, value := range file.Attributes {
			size += len(key) + len(value.Raw) + perEntry
		}
	}
	for _, texts := range []map[string]string{b.Labels, b.Annotations} {
		for key, value := range texts {
			size += len(key) + len(value) + perEntry
		}
	}
	for _, finalizer := range b.Finalizers {
		size += len(finalizer) + perEntry
	}
	for _, entry := range b.ManagedFields {
		size += perEntry
		if entry.FieldsV1 != nil {
			size += entry.FieldsV1.Size()
		}
	}
	return size + 4*perEntry*len(b.OwnerReferences)
}

// internStrings lets objects share the strings that are equal in most of them.
func internStrings(b *v1alpha1.VectorStoreFileBatch) {
	texts := []*string{&b.Namespace, &b.Spec.VectorStoreID, &b.Status.Status}
	if b.Spec.CredentialsRef != nil {
		texts = append(texts, &b.Spec.CredentialsRef.Name)
	}
	for i := range b.Finalizers {
		texts = append(texts, &b.Finalizers[i])
	}
	b.Status.Conditions = slices.Clip(slices.Clone(b.Status.Conditions))
	for i := range b.Status.Conditions {
		condition := &b.Status.Conditions[i]
		texts = append(texts, &condition.Type, &condition.Reason, &condition.Message)
		condition.Status = metav1.ConditionStatus(unique.Make(string(condition.Status)).Value())
	}
	b.Spec.DeletionPolicy = unique.Make(b.Spec.DeletionPolicy).Value()
	for _, text := range texts {
		*text = unique.Make(*text).Value()
	}
}
