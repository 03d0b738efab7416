// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"cmp"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// mirrored is the object's status with what this pass saw of the upstream. Nothing that the
// upstream says may make the write of a status fail, so every value is cut to its bounds.
func (v view) mirrored() v1alpha1.VectorStoreFileBatchStatus {
	status := *v.b.Status.DeepCopy()
	if id := ID(v.b); id != "" {
		status.BatchID = id
	}
	if v.cancelTaken() && status.CancelRequestedAt == nil {
		status.CancelRequestedAt = &metav1.Time{Time: v.seen.Memory.CancelledAt.Truncate(time.Second)}
	}
	if batch := v.seen.Batch; batch != nil {
		// The upstream's created_at differs by a second between answers: the first one stays.
		if status.CreatedAt == nil && batch.CreatedAt.Unix() > 0 {
			status.CreatedAt = &metav1.Time{Time: batch.CreatedAt.Truncate(time.Second)}
		}
		status.Status = cut(string(batch.Status), v1alpha1.MaxStatusLength)
		status.FileCounts = counts(batch.FileCounts)
	}
	if v.listed() {
		status.FailedFiles = failedFiles(v.seen.FailedFiles)
	}
	// A pass that got nowhere saw nothing detached, and does not undo what others did.
	status.DetachedFiles = max(status.DetachedFiles, int32(min(v.seen.Detached, math.MaxInt32)))
	return status
}

// listed reports whether this pass read the files that failed.
func (v view) listed() bool {
	return v.seen.last() == ListFailedFiles && v.seen.Err == nil
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

// failedFiles orders the files by ID, since the upstream's order is not a stable one.
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
