// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"slices"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// detach detaches a range of the batch's files from the store, in the order of their IDs. A file
// that is not attached counts as detached, so that repeating it does no harm.
func (r *Reconciler) detach(ctx context.Context, call *apiCall, b *v1alpha1.VectorStoreFileBatch, files lifecycle.DetachRange) (lifecycle.Detached, error) {
	all, err := r.batchFiles(ctx, call, b)
	if err != nil {
		return lifecycle.Detached{}, err
	}
	slices.Sort(all)
	first := min(files.Skip, len(all))
	if batch.Adopted(b) {
		first = countUpTo(all, files.After)
	}
	detached, startedAt := lifecycle.Detached{Count: first, Remaining: len(all) - first}, r.Clock.Now()
	for i, file := range all[first:min(first+files.Limit, len(all))] {
		if i > 0 && r.Clock.Since(startedAt) >= r.Lifecycle.RequestTimeout {
			break // the next reconciliation continues, so that a slow server does not hold this worker
		}
		if err := call.Detach(ctx, b.Spec.VectorStoreID, file); err != nil && !upstream.IsNotFound(err) {
			return detached, err
		}
		detached.Count++
		detached.Remaining--
		detached.LastFile, detached.At = file, r.Clock.Now()
	}
	return detached, nil
}

// countUpTo returns how many of the sorted files come before last, or are last.
func countUpTo(files []string, last string) int {
	count, found := slices.BinarySearch(files, last)
	if found {
		count++
	}
	return count
}

// batchFiles returns the files of the spec, or those of an adopted batch that the API lists.
func (r *Reconciler) batchFiles(ctx context.Context, call *apiCall, b *v1alpha1.VectorStoreFileBatch) ([]string, error) {
	if batch.Adopted(b) {
		files, err := call.Files(ctx, batch.Ref(b))
		if upstream.IsNotFound(err) {
			return nil, nil
		}
		return files, err
	}
	return r.specFiles(ctx, b)
}

// specFiles reads the files of the spec, which the cache does not have.
func (r *Reconciler) specFiles(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) (files []string, err error) {
	err = r.read(ctx, b, func(whole *v1alpha1.VectorStoreFileBatch) error {
		request, err := batch.CreateRequest(whole)
		if err != nil {
			return &upstream.Error{Kind: upstream.Rejected, Message: err.Error()}
		}
		files = batch.FileIDs(request)
		return nil
	})
	return files, err
}
