// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"errors"
	"strconv"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// AnnotationFiles is an annotation of objects whose files were dropped: the number of files and the
// Digest, or why no request can be built from them. It exists in memory only. The API server refuses
// its key, so no client can set it.
const AnnotationFiles = "(files)"

// maxReason is the maximum length of the reason in AnnotationFiles, in bytes.
const maxReason = 256

// DropFiles removes the files and their settings from an object. It keeps what Files and Digest return of
// them as long as that is needed: not of an adopted batch, and of a finished object only if its
// annotations still count.
func DropFiles(b *v1alpha1.VectorStoreFileBatch) {
	_, dropped := b.Annotations[AnnotationFiles]
	_, recorded := b.Annotations[v1alpha1.AnnotationRecordedFor]
	needed := !Adopted(b) && (!Finished(b) || recorded && !UsableID(b.Status.BatchID))
	if !dropped && needed {
		if b.Annotations == nil {
			b.Annotations = make(map[string]string, 1)
		}
		b.Annotations[AnnotationFiles] = summaryOf(b)
	}
	b.Spec.FileIDs, b.Spec.Files = nil, nil
	b.Spec.Attributes, b.Spec.ChunkingStrategy = nil, nil
}

// summaryOf returns the value of AnnotationFiles for an object that has its files.
func summaryOf(b *v1alpha1.VectorStoreFileBatch) string {
	request, err := CreateRequest(b)
	if err != nil {
		return err.Error()[:min(len(err.Error()), maxReason)]
	}
	return strconv.Itoa(FileCount(request)) + " " + digestOf(b, request)
}

// Files returns how many files the create request of an object attaches, even if they were dropped. An
// error names the invalid field, as that of CreateRequest does.
func Files(b *v1alpha1.VectorStoreFileBatch) (int, error) {
	summary, dropped := b.Annotations[AnnotationFiles]
	if !dropped {
		request, err := CreateRequest(b)
		return FileCount(request), err
	}
	number, _, _ := strings.Cut(summary, " ")
	count, err := strconv.Atoi(number)
	if err != nil {
		return 0, errors.New(summary)
	}
	return count, nil
}
