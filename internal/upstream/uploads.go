// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"io"
	"time"
)

// Uploader makes the calls on uploaded files, which are what a batch attaches. The operator
// itself uploads nothing; the kubectl plugin does. As with a Client, each call is made once and
// every error is an *Error.
type Uploader interface {
	// Upload sends a file. It is not idempotent: an error of kind UnknownOutcome may have made a
	// file, which Uploads then lists.
	Upload(ctx context.Context, request UploadRequest) (UploadedFile, error)
	// Uploads lists the files that were uploaded for vector stores, newest first, over as many
	// pages as that takes. Files from before since may be left out; the zero time asks for all.
	Uploads(ctx context.Context, since time.Time) ([]UploadedFile, error)
	// UploadedFile reads one uploaded file. One that was deleted is a NotFound error.
	UploadedFile(ctx context.Context, fileID string) (UploadedFile, error)
}

// UploadRequest is a file to upload.
type UploadRequest struct {
	// Name is the file's name, without folders: the upstream keeps no more of it. Its extension
	// tells the upstream how to read the file.
	Name string
	// Size is how many bytes Content has.
	Size    int64
	Content io.Reader
}

// UploadedFile is a file as the upstream keeps it.
type UploadedFile struct {
	ID   string
	Name string
	// Size is in bytes.
	Size int64
	// CreatedAt is by the upstream's clock, to a second.
	CreatedAt time.Time
}
