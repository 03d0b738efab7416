// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"time"
)

// StoreManager is the part of the API that reads a vector store and changes the files in it. Only the
// kubectl plugin uses it. Like a Client, a StoreManager sends each request once, and every error that it
// returns is an *Error.
type StoreManager interface {
	// VectorStores returns the IDs of all vector stores.
	VectorStores(ctx context.Context) ([]string, error)
	// VectorStore returns a vector store.
	VectorStore(ctx context.Context, vectorStoreID string) (VectorStore, error)
	// StoreFiles calls yield with each page of the files in a vector store. A file can be on two pages if
	// the list changes meanwhile.
	StoreFiles(ctx context.Context, vectorStoreID string, yield func(page []StoreFile)) error
	// UpdateAttributes replaces the attributes of a file in a vector store, and returns the file.
	UpdateAttributes(ctx context.Context, vectorStoreID, fileID string, attributes map[string]any) (StoreFile, error)
	// DeleteUpload deletes an uploaded file. If it does not exist, it returns an error of kind NotFound.
	DeleteUpload(ctx context.Context, fileID string) error
	// Search returns the passages of a vector store that are nearest to a query, best first.
	Search(ctx context.Context, vectorStoreID string, request SearchRequest) ([]SearchResult, error)
}

// VectorStore is a vector store.
type VectorStore struct {
	ID   string
	Name string
	// Status is such as completed, in_progress or expired.
	Status     Status
	FileCounts FileCounts
}

// StoreFile is a file in the list of a vector store.
type StoreFile struct {
	ID        string
	CreatedAt time.Time
	Status    Status
	// Bytes is the storage that the file uses in the vector store.
	Bytes int64
	// Attributes has values of type string, bool or float64.
	Attributes map[string]any
	// Code and Message explain why the file failed.
	Code    string
	Message string
}

// SearchRequest is a search in a vector store.
type SearchRequest struct {
	Query string
	// Limit is the maximum number of results; 0 for the default of the server.
	Limit int
	// Filters is a filter of the API as JSON; nil for none.
	Filters any
}

// SearchResult is a passage that a search found.
type SearchResult struct {
	FileID     string
	Filename   string
	Score      float64
	Attributes map[string]any
	// Text is the passage.
	Text string
}
