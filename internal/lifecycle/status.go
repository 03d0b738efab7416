// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"cmp"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// mirrored returns the object's status with what this reconciliation observed. Every value is cut
// to the bounds of the schema, so that no answer of the API can make the write fail.
func (s scope) mirrored() v1alpha1.VectorStoreFileBatchStatus {
	status := *s.b.Status.DeepCopy()
	if id := batch.ID(s.b); id != "" {
		status.BatchID = id
	}
	status.CancelStartTime = s.cancelStartTime()
	if s.cancelAccepted() && status.CancelRequestTime == nil {
		status.CancelRequestTime = &metav1.Time{Time: s.observed.State.CancelledAt.Truncate(time.Second)}
	}
	if answer := s.observed.Batch; answer != nil {
		// The API's created_at can differ by a second between answers: the first one stays.
		if status.CreatedAt == nil && answer.CreatedAt.Unix() > 0 {
			status.CreatedAt = &metav1.Time{Time: answer.CreatedAt.Truncate(time.Second)}
		}
		status.Status = cut(string(answer.Status), v1alpha1.MaxStatusLength)
		status.FileCounts = counts(answer.FileCounts)
	}
	if s.observed.performed(ListFailedFiles) {
		status.FailedFiles = s.listedFailures()
	}
	// A reconciliation that detached nothing does not undo the progress of others.
	status.DetachedFileCount = max(status.DetachedFileCount, int32(min(s.observed.Detached.Count, math.MaxInt32)))
	return status
}

// cancelStartTime returns when the operator began to request a cancel that the API has not accepted.
func (s scope) cancelStartTime() *metav1.Time {
	before := s.b.Status.CancelStartTime
	switch {
	case !s.b.DeletionTimestamp.IsZero() || batch.Finished(s.b) || s.batchFinished() || s.accepted():
		return before
	case !s.cancelRequired():
		return nil
	case before != nil || s.observed.Batch != nil && !s.observed.performed(Cancel): // the cancel is sent at once
		return before
	}
	return &metav1.Time{Time: s.observed.startedAt(s.now).Truncate(time.Second)}
}

func counts(c upstream.FileCounts) *v1alpha1.FileCounts {
	bounded := func(n int64) int32 { return int32(min(max(n, 0), math.MaxInt32)) }
	return &v1alpha1.FileCounts{
		InProgress: bounded(c.InProgress),
		Completed:  bounded(c.Completed),
		Failed:     bounded(c.Failed),
		Cancelled:  bounded(c.Cancelled),
		Total:      bounded(c.Total),
	}
}

// listedFailures returns the failed files that are known after a list. A list that ended with an error
// adds its files to those that are known already.
func (s scope) listedFailures() []v1alpha1.FailedFile {
	listed := failedFiles(s.observed.FailedFiles)
	if s.observed.lastAction() == ListFailedFiles && s.observed.Err == nil {
		return listed
	}
	for _, known := range s.b.Status.FailedFiles {
		again := slices.ContainsFunc(listed, func(f v1alpha1.FailedFile) bool { return f.FileID == known.FileID })
		if !again && len(listed) < v1alpha1.MaxFailedFilesListed {
			listed = append(listed, known)
		}
	}
	slices.SortFunc(listed, func(a, b v1alpha1.FailedFile) int { return cmp.Compare(a.FileID, b.FileID) })
	return listed
}

// failedFiles returns the files in the order of their IDs, because the API's order is not stable.
func failedFiles(files []upstream.FailedFile) []v1alpha1.FailedFile {
	var out []v1alpha1.FailedFile
	for _, file := range files {
		if file.FileID == "" || len(out) == v1alpha1.MaxFailedFilesListed {
			continue
		}
		out = append(out, v1alpha1.FailedFile{
			FileID:  cut(file.FileID, v1alpha1.MaxIDLength),
			Code:    cut(file.Code, v1alpha1.MaxStatusLength),
			Message: cut(file.Message, v1alpha1.MaxMessageLength),
		})
	}
	slices.SortFunc(out, func(a, b v1alpha1.FailedFile) int { return cmp.Compare(a.FileID, b.FileID) })
	return out
}

// cut bounds a text to a number of characters, and makes it valid UTF-8.
func cut(text string, length int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), length)])
}
