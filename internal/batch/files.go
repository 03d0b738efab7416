// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"errors"
	"strconv"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// AnnotationFiles is an annotation of objects whose files were dropped: the number of files, or why
// no request can be built from them. It exists in memory only. The API server refuses its key, so no
// client can set it.
const AnnotationFiles = "(files)"

// maxReason is the maximum length of the reason in AnnotationFiles, in bytes.
const maxReason = 256

// DropFiles removes the files and their settings from an object. If the object has no batch yet, it
// keeps what Files returns of them.
func DropFiles(b *v1alpha1.VectorStoreFileBatch) {
	_, dropped := b.Annotations[AnnotationFiles]
	if !dropped && ID(b) == "" && !Finished(b) {
		summary := ""
		if request, err := CreateRequest(b); err == nil {
			summary = strconv.Itoa(FileCount(request))
		} else {
			summary = err.Error()[:min(len(err.Error()), maxReason)]
		}
		if b.Annotations == nil {
			b.Annotations = make(map[string]string, 1)
		}
		b.Annotations[AnnotationFiles] = summary
	}
	b.Spec.FileIDs, b.Spec.Files = nil, nil
	b.Spec.Attributes, b.Spec.ChunkingStrategy = nil, nil
}

// Files returns how many files the create request of an object without a batch attaches, even if
// they were dropped. An error names the invalid field, as that of CreateRequest does.
func Files(b *v1alpha1.VectorStoreFileBatch) (int, error) {
	summary, dropped := b.Annotations[AnnotationFiles]
	if !dropped {
		request, err := CreateRequest(b)
		return FileCount(request), err
	}
	count, err := strconv.Atoi(summary)
	if err != nil {
		return 0, errors.New(summary)
	}
	return count, nil
}
