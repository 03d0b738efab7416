// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// detachedAtOnce is how many files one pass takes out of the store.
const detachedAtOnce = 25

// detach takes a portion of the batch's files out of the store, in the order of their IDs. A
// file that is not there any more counts as done, so doing it again does no harm.
func (r *Reconciler) detach(ctx context.Context, client upstream.Client, b *v1alpha1.VectorStoreFileBatch, seen *batch.Observation) error {
	files, err := r.batchFiles(ctx, client, b)
	if err != nil {
		return err
	}
	slices.Sort(files)
	first := detachedBefore(b, files, seen.Memory.DetachedUpTo)
	portion := files[first:min(first+detachedAtOnce, len(files))]
	seen.Detached, seen.Left = first, len(files)-first
	for _, file := range portion {
		if err := client.Detach(ctx, b.Spec.VectorStoreID, file); err != nil && !notFound(err) {
			return err
		}
		seen.Memory.DetachedUpTo, seen.Memory.DetachedAt = file, r.Clock.Now()
		seen.Detached++
		seen.Left--
	}
	return nil
}

// detaches is how many files the next pass may take out of the store.
func detaches(b *v1alpha1.VectorStoreFileBatch) int {
	if b.Status.FileCounts == nil {
		return detachedAtOnce
	}
	return max(1, min(detachedAtOnce, int(b.Status.FileCounts.Total-b.Status.DetachedFiles)))
}

// batchFiles are the files of the batch: those of the spec, or those that an adopted batch has.
func (r *Reconciler) batchFiles(ctx context.Context, client upstream.Client, b *v1alpha1.VectorStoreFileBatch) ([]string, error) {
	if batch.Adopted(b) {
		files, err := client.Files(ctx, batch.Ref(b))
		if notFound(err) {
			return nil, nil
		}
		return files, err
	}
	whole, err := r.whole(ctx, b)
	if err != nil {
		return nil, err
	}
	request, err := batch.Request(whole)
	if err != nil {
		return nil, &upstream.Error{Kind: upstream.Rejected, Message: err.Error()}
	}
	return slices.Clone(batch.FileIDs(request)), nil
}

// whole gives the object with all that Trim took out of it.
func (r *Reconciler) whole(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) (*v1alpha1.VectorStoreFileBatch, error) {
	current := &v1alpha1.VectorStoreFileBatch{}
	if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(b), current); err != nil {
		return nil, fmt.Errorf("reading the batch's files: %w", err)
	}
	if current.UID != b.UID {
		return nil, errors.New("reading the batch's files: the object has been replaced by another one of the same name")
	}
	return current, nil
}

// detachedBefore is how many files earlier passes took out. The list of an adopted batch may
// shrink as that goes on, so there the place in it counts, and it is lost with the process.
func detachedBefore(b *v1alpha1.VectorStoreFileBatch, files []string, upTo string) int {
	if !batch.Adopted(b) {
		return min(int(b.Status.DetachedFiles), len(files))
	}
	place, found := slices.BinarySearch(files, upTo)
	if found {
		place++
	}
	return place
}

func notFound(err error) bool {
	var known *upstream.Error
	return errors.As(err, &known) && known.Kind == upstream.NotFound
}
