// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"io"
	"time"
)

// Uploader is the part of the API that manages uploaded files. Only the kubectl plugin uses it: the
// operator adds files to vector stores, but does not upload them. Like a Client, an Uploader sends
// each request once, and every error that it returns is an *Error.
type Uploader interface {
	// Upload uploads a file. It is not idempotent: after an error of kind UnknownOutcome, the file may
	// exist. Uploads lists it then.
	Upload(ctx context.Context, request UploadRequest) (UploadedFile, error)
	// Uploads returns the files that were uploaded for vector stores, newest first. It reads all
	// pages, but can omit files that are older than since. The zero time requests all files.
	Uploads(ctx context.Context, since time.Time) ([]UploadedFile, error)
	// UploadedFile returns an uploaded file. For a deleted file, it returns an error of kind NotFound.
	UploadedFile(ctx context.Context, fileID string) (UploadedFile, error)
}

// UploadRequest is a file to upload.
type UploadRequest struct {
	// Name is the base name of the file: the API stores no directories. Its extension determines how
	// the API parses the file.
	Name string
	// Size is the length of Content, in bytes.
	Size    int64
	Content io.Reader
	// ExpiresAfter is the time after which the API deletes the file, in whole seconds; 0 for never.
	ExpiresAfter time.Duration
}

// UploadedFile is an uploaded file.
type UploadedFile struct {
	ID   string
	Name string
	// Size is in bytes.
	Size int64
	// CreatedAt is the time of the server's clock, with a resolution of one second.
	CreatedAt time.Time
}
