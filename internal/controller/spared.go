// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
func (r *Reconciler) sharingStore(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, namespace string, page *metav1.PartialObjectMetadataList) ([]objectID, error) {
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
	var others []objectID
	for i := range page.Items {
		if other := &page.Items[i]; other.UID != b.UID && other.DeletionTimestamp.IsZero() {
			others = append(others, objectID{client.ObjectKeyFromObject(other), other.UID})
		}
	}
	page.Items = nil
	return others, nil
}

// objectID identifies another object of the same vector store.
type objectID struct {
	client.ObjectKey
	uid types.UID
}

// spareFilesOf removes the files that another object attaches. An object that attaches none, as the cache
// shows it, is not read from the API server.
func (r *Reconciler) spareFilesOf(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, id objectID, left map[string]bool) error {
	other, err := readOther(ctx, r.Client, id)
	if err != nil {
		return err
	}
	if other != nil {
		if attaches, err := r.attachesBeside(ctx, b, other); err != nil || !attaches {
			return err
		}
	}
	if err := r.decoded.Acquire(ctx, maxDecoded/4); err != nil {
		return fmt.Errorf("waiting for memory: %w", context.Cause(ctx))
	}
	defer r.decoded.Release(maxDecoded / 4)
	if other, err = readOther(ctx, r.Reader, id); err != nil || other == nil {
		return err
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

// readOther reads another object; nil if the reader does not have it.
func readOther(ctx context.Context, reader client.Reader, id objectID) (*v1alpha1.VectorStoreFileBatch, error) {
	other := &v1alpha1.VectorStoreFileBatch{}
	err := reader.Get(ctx, id.ObjectKey, other)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading an object of the same vector store: %w", err)
	}
	if other.UID != id.uid { // not found, or replaced
		return nil, nil //nolint:nilnil // there is none
	}
	return other, nil
}

// attachesBeside reports whether another object with the same store ID can have its files in the store of
// b. Other servers can have stores of the same ID. An object of another namespace counts only if its
// credentials are for the same server, and the API has shown its batch or can do so soon: otherwise users
// without a key for the store could keep files in it.
func (r *Reconciler) attachesBeside(ctx context.Context, b, other *v1alpha1.VectorStoreFileBatch) (bool, error) {
	own := other.Namespace == b.Namespace
	if own && batch.Secret(other) == batch.Secret(b) {
		return true, nil
	}
	if !own && !batch.Attaches(other) {
		return false, nil
	}
	session, err := r.clients.Session(ctx, b)
	if err != nil {
		return false, err
	}
	theirs, err := r.clients.Session(ctx, other)
	switch {
	case err == nil:
		return theirs.Connection.BaseURL == session.Connection.BaseURL, nil
	case upstream.AsError(err) == nil:
		return false, err
	}
	return own, nil // its batch can be older than the fault of its Secret
}
