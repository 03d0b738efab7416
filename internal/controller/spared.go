// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// withoutSpared returns the files that no other object of the same store attaches. It reads the objects
// from the API server, because the cache does not have their files, and because the object that attaches
// them may have been created just before this one was deleted.
func (r *Reconciler) withoutSpared(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, files []string) ([]string, error) {
	left := make(map[string]bool, len(files))
	for _, file := range files {
		left[file] = true
	}
	namespaces := r.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		if err := r.spare(ctx, b, namespace, left); err != nil {
			return nil, err
		}
	}
	var kept []string
	for _, file := range files {
		if left[file] {
			kept = append(kept, file)
		}
	}
	return kept, nil
}

// spare removes the files that other objects of a namespace attach to the store. It lists the metadata of
// the objects in pages, and then reads one object at a time, so that little of them is in memory.
func (r *Reconciler) spare(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, namespace string, left map[string]bool) error {
	page := &metav1.PartialObjectMetadataList{}
	for {
		others, err := r.sharingStore(ctx, b, namespace, page)
		if err != nil {
			return err
		}
		for _, other := range others {
			if err := r.spareFilesOf(ctx, b, other, left); err != nil {
				return err
			}
		}
		if page.Continue == "" || len(left) == 0 {
			return nil
		}
	}
}

// sharingStore reads the next page of the objects of the same store, and returns those that are not being
// deleted.
func (r *Reconciler) sharingStore(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, namespace string, page *metav1.PartialObjectMetadataList) ([]client.ObjectKey, error) {
	if err := r.decoded.Acquire(ctx, maxDecoded/2); err != nil {
		return nil, fmt.Errorf("waiting for memory: %w", context.Cause(ctx))
	}
	defer r.decoded.Release(maxDecoded / 2)
	next := page.Continue
	*page = metav1.PartialObjectMetadataList{}
	page.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind + "List"))
	err := r.Reader.List(ctx, page, client.InNamespace(namespace), client.MatchingFields{"spec.vectorStoreID": b.Spec.VectorStoreID},
		client.Limit(pageSize), client.Continue(next))
	if err != nil {
		return nil, fmt.Errorf("listing the objects of the vector store: %w", err)
	}
	var others []client.ObjectKey
	for i := range page.Items {
		if other := &page.Items[i]; other.UID != b.UID && other.DeletionTimestamp.IsZero() {
			others = append(others, client.ObjectKeyFromObject(other))
		}
	}
	page.Items = nil
	return others, nil
}

// spareFilesOf removes the files that an object attaches.
func (r *Reconciler) spareFilesOf(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, key client.ObjectKey, left map[string]bool) error {
	if err := r.decoded.Acquire(ctx, maxDecoded/4); err != nil {
		return fmt.Errorf("waiting for memory: %w", context.Cause(ctx))
	}
	defer r.decoded.Release(maxDecoded / 4)
	other := &v1alpha1.VectorStoreFileBatch{}
	err := r.Reader.Get(ctx, key, other)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading an object of the same vector store: %w", err)
	}
	if attaches, err := r.attachesBeside(ctx, b, other); err != nil || !attaches {
		return err
	}
	for _, file := range other.Spec.FileIDs {
		delete(left, file)
	}
	for _, file := range other.Spec.Files {
		delete(left, file.FileID)
	}
	return nil
}

// attachesBeside reports whether another object with the same store ID can have its files in the store of
// b. Other servers can have stores of the same ID. An object of another namespace counts only if its
// credentials are for the same server, and the API has shown its batch or can do so soon: otherwise users
// without a key for the store could keep files in it.
func (r *Reconciler) attachesBeside(ctx context.Context, b, other *v1alpha1.VectorStoreFileBatch) (bool, error) {
	own := other.Namespace == b.Namespace
	if own && secretName(other) == secretName(b) {
		return true, nil
	}
	session, err := r.clients.Session(ctx, b)
	if err != nil {
		return false, err
	}
	theirs, err := r.clients.Session(ctx, other)
	switch {
	case upstream.AsError(err) != nil:
		return own, nil // its batch can be older than the fault of its Secret
	case err != nil:
		return false, err
	}
	return theirs.Connection.BaseURL == session.Connection.BaseURL && (own || batch.Attaches(other)), nil
}
