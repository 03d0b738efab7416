// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// maxFailures is how many files in a row may fail before a detach waits: then the server is failing, not
// the files.
const maxFailures = 3

// detach detaches some of the files that are left. A file that the API refuses does not stop the others:
// it is tried again after them.
func (r *Reconciler) detach(ctx context.Context, call *apiCall, b *v1alpha1.VectorStoreFileBatch, d lifecycle.DetachRange) (lifecycle.Detached, error) {
	list, err := r.filesToDetach(ctx, call, b, d)
	if list == nil {
		detached := lifecycle.Detached{}
		if batch.Adopted(b) {
			detached.Left = notListed
		}
		return detached, err
	}
	progress, err := r.detachFrom(ctx, call, b, list, d.Limit)
	detached := list.progress()
	if progress {
		detached.At = r.Clock.Now()
	}
	if len(list.files) == 0 && list.incomplete != nil { // it is listed again
		r.toDetach.forget(b.UID)
		detached.Listed, detached.Left = false, notListed
		return detached, list.incomplete
	}
	r.toDetach.put(b.UID, list)
	if progress && err != nil && !concernsAll(err) {
		err = nil // the next reconciliation continues
	}
	return detached, err
}

// detachFrom detaches files of a list with a number of requests. It reports whether any was detached, and
// the error of the last one that was not.
func (r *Reconciler) detachFrom(ctx context.Context, call *apiCall, b *v1alpha1.VectorStoreFileBatch, list *detachList, limit int) (progress bool, err error) {
	failures, requests, startedAt := 0, 0, r.Clock.Now()
	for tries := len(list.files); tries > 0 && requests < limit && failures < maxFailures; tries-- {
		if requests > 0 && r.Clock.Since(startedAt) >= r.Lifecycle.RequestTimeout {
			break // the next reconciliation continues, so that a slow server does not hold this worker
		}
		file := list.files[0]
		sent, failure := detachFile(ctx, call, b.Spec.VectorStoreID, file)
		requests += sent
		if failure == nil {
			failures, list.files = 0, list.files[1:]
			// A list that is read again, because it was incomplete, can have files that are detached already.
			progress = progress || sent == 1 || list.incomplete == nil
			continue
		}
		if err = failure; concernsAll(failure) {
			break
		}
		list.files = append(list.files[1:], file)
		if !upstream.IsRejected(failure) {
			failures++
		}
	}
	return progress, err
}

// notListed names the files of an adopted batch that the API did not list.
const notListed = "those that could not be listed"

// concernsAll reports whether an error concerns all files, and not only one.
func concernsAll(err error) bool {
	return upstream.IsRateLimited(err) || upstream.IsUnauthorized(err) || upstream.IsNotAllowed(err) || upstream.IsNoCredentials(err) ||
		upstream.AsError(err) == nil || errors.Is(err, context.Canceled)
}

// detachFile detaches a file, and returns how many requests that took. A file that is not attached counts
// as detached, if the API does not return it.
func detachFile(ctx context.Context, call *apiCall, vectorStoreID, file string) (requests int, err error) {
	err = call.Detach(ctx, vectorStoreID, file)
	if !upstream.IsNotFound(err) {
		return 1, err
	}
	_, err = call.File(ctx, vectorStoreID, file)
	switch {
	case upstream.IsNotFound(err):
		return 2, nil
	case err == nil:
		return 2, &upstream.Error{Kind: upstream.Rejected, Message: fmt.Sprintf("file %s was not found when it was to be detached, and is still in the vector store", file)}
	}
	return 2, err
}

// filesToDetach returns the files that are left. If this process does not know them, it reads those of the
// spec, or those of an adopted batch that the API lists, without those that other objects attach. An error
// beside a list is why it is incomplete.
func (r *Reconciler) filesToDetach(ctx context.Context, call *apiCall, b *v1alpha1.VectorStoreFileBatch, d lifecycle.DetachRange) (*detachList, error) {
	if list := r.toDetach.get(b.UID); list != nil {
		return list, nil
	}
	files, err := r.batchFiles(ctx, call, b)
	incomplete := upstream.AsError(err)
	if err != nil && (incomplete == nil || len(files) == 0) {
		return nil, err
	}
	slices.Sort(files)
	if batch.Adopted(b) {
		d.Skip = 0
	}
	skip := min(d.Skip, len(files))
	files = append(slices.Clone(files[skip:]), files[:skip]...)
	total := len(files)
	if files, err = r.withoutSpared(ctx, b, files); err != nil {
		return nil, err
	}
	list := &detachList{files: files, total: len(files), spared: total - len(files)}
	if incomplete != nil {
		list.incomplete = incomplete
	}
	return list, nil
}

// batchFiles returns the files of the spec, or those of an adopted batch that the API lists.
func (r *Reconciler) batchFiles(ctx context.Context, call *apiCall, b *v1alpha1.VectorStoreFileBatch) ([]string, error) {
	if batch.Adopted(b) {
		listCtx, cancel := context.WithTimeout(ctx, r.Lifecycle.RequestTimeout)
		defer cancel()
		return call.Files(listCtx, batch.Ref(b))
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

// readStore finds out whether the API knows the store. If it does not, the result names the files that may
// be left there.
func (r *Reconciler) readStore(ctx context.Context, call *apiCall, b *v1alpha1.VectorStoreFileBatch, result lifecycle.Result) (lifecycle.Result, error) {
	exists, err := call.Store(ctx, b.Spec.VectorStoreID)
	if result.StoreExists = exists; err != nil && batch.DeletionPolicy(b) == v1alpha1.DeletionPolicyDetachFiles && !batch.Adopted(b) {
		if files, readErr := r.specFiles(ctx, b); readErr == nil {
			result.Detached.Left = namesOf(files)
		}
	}
	return result, err
}

// maxNamed is how many files a message names.
const maxNamed = 5

// namesOf names some of the files.
func namesOf(files []string) string {
	var names strings.Builder
	for i, file := range files[:min(maxNamed, len(files))] {
		if i > 0 {
			names.WriteString(", ")
		}
		names.WriteString(truncate(file, 80))
	}
	if more := len(files) - maxNamed; more > 0 {
		fmt.Fprintf(&names, " and %d more", more)
	}
	return names.String()
}

// detachList is what is left to be detached of the files of an object.
type detachList struct {
	// files are left, in the order in which they are tried.
	files []string
	// total is how many files there were, without the spared ones, which other objects attach too.
	total, spared int
	// incomplete is why not all files could be listed; nil if they were.
	incomplete error
}

// progress returns how many files are detached, and which are not.
func (l *detachList) progress() lifecycle.Detached {
	return lifecycle.Detached{Count: l.total - len(l.files), Remaining: len(l.files), Spared: l.spared, Left: namesOf(l.files), Listed: true}
}
