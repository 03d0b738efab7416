// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package upstream says what the operator needs of an OpenAI-compatible API: the calls on
// file batches of vector stores, in plain types, and what can go wrong with them. It knows
// neither HTTP nor an SDK; adapters (package openai) do.
package upstream

import (
	"context"
	"strings"
	"time"
)

// Client makes the calls on one Connection. Each call is made once: retrying belongs to the
// work queue. Every error returned is an *Error, classified by its consequence. A Client is
// safe for concurrent use.
type Client interface {
	// Create attaches files to a vector store as one new batch. It is not idempotent, and its
	// batches cannot be listed: an error of kind UnknownOutcome may have made a batch.
	Create(ctx context.Context, request CreateRequest) (Batch, error)
	// Retrieve reads a batch. An answer that speaks of another object is a Transient error.
	Retrieve(ctx context.Context, ref BatchRef) (Batch, error)
	// Cancel asks the upstream to stop a batch as soon as possible, and answers with the batch
	// as it is then: often still in progress, or completed when the request came too late.
	// It is safe to repeat.
	Cancel(ctx context.Context, ref BatchRef) (Batch, error)
	// FailedFiles lists the files of a batch that failed, at most limit of them, over as many
	// pages as that takes.
	FailedFiles(ctx context.Context, ref BatchRef, limit int) ([]FailedFile, error)
	// Files lists the IDs of all files of a batch, over as many pages as that takes.
	Files(ctx context.Context, ref BatchRef) ([]string, error)
	// Detach takes a file out of a vector store; the uploaded file itself stays. A file that is
	// not in the store is a NotFound error.
	Detach(ctx context.Context, vectorStoreID, fileID string) error
	// File reads one file of a vector store, by the ID of the file.
	File(ctx context.Context, vectorStoreID, fileID string) (File, error)
}

// Connection is where and as whom calls are made: what a credentials Secret holds. Limits of
// the upstream apply to a Connection, however many objects use it. It contains a key, so it
// must never be printed.
type Connection struct {
	// BaseURL is the root of the API, e.g. https://api.openai.com/v1. Empty means that one.
	BaseURL string
	// APIKey is sent as a bearer token.
	APIKey string
	// Organization and Project are optional, and sent as the headers that OpenAI defines.
	Organization string
	Project      string
	// CABundle holds further certificate authorities to trust, PEM-encoded; it may be empty.
	CABundle string
}

// DefaultBaseURL is where calls go that no BaseURL is given for.
const DefaultBaseURL = "https://api.openai.com/v1"

// Identity is what the upstream's limits go by: where, and as whom. Connections that differ in
// nothing else have the same.
func (c Connection) Identity() Connection {
	c.CABundle = ""
	c.BaseURL = strings.TrimRight(strings.TrimSpace(c.BaseURL), "/")
	if c.BaseURL == "" {
		c.BaseURL = DefaultBaseURL
	}
	return c
}

// String hides the key wherever a Connection is printed by mistake.
func (c Connection) String() string { return "upstream connection to " + c.BaseURL }

// GoString hides the key from %#v too.
func (c Connection) GoString() string { return c.String() }

// BatchRef names a batch. A batch is only found in the vector store that it was made in.
type BatchRef struct {
	VectorStoreID string
	BatchID       string
}

// Status is the upstream's word for the state of a batch. The set is open: an unknown value
// is a state that we do not know the end of, so it is never terminal.
type Status string

// The documented values.
const (
	InProgress Status = "in_progress"
	Completed  Status = "completed"
	Failed     Status = "failed"
	Cancelled  Status = "cancelled"
)

// Terminal reports whether a batch in this state will never change again.
func (s Status) Terminal() bool {
	return s == Completed || s == Failed || s == Cancelled
}

// Batch is one batch of files, as the upstream answered.
type Batch struct {
	// ID is opaque: its form differs between servers, and has changed over time.
	ID string
	// CreatedAt has a resolution of a second and may differ by one between two answers.
	CreatedAt  time.Time
	Status     Status
	FileCounts FileCounts
	// PollAfter is the shortest time after which the upstream wants to be asked again; zero
	// where it said nothing.
	PollAfter time.Duration
}

// FileCounts says how many files of a batch are in which state.
type FileCounts struct {
	InProgress int64
	Completed  int64
	Failed     int64
	Cancelled  int64
	Total      int64
}

// CreateRequest attaches either FileIDs, with settings shared by all of them, or Files, each
// with its own. The upstream ignores the shared settings where Files is set.
type CreateRequest struct {
	VectorStoreID string

	FileIDs    []string
	Attributes map[string]any
	Chunking   *StaticChunking

	Files []FileToAttach
}

// FileToAttach is one file with its own settings.
type FileToAttach struct {
	FileID string
	// Attributes has string, float64 (or another number) and bool values.
	Attributes map[string]any
	// Chunking is nil for the upstream's automatic strategy.
	Chunking *StaticChunking
}

// StaticChunking cuts files into chunks of a fixed size, in tokens.
type StaticChunking struct {
	MaxChunkSizeTokens int64
	ChunkOverlapTokens int64
}

// FailedFile is a file of a batch that could not be processed, and why.
type FailedFile struct {
	FileID  string
	Code    string
	Message string
}

// File is a file of a vector store.
type File struct {
	ID string
	// CreatedAt is when the file was attached, to a second.
	CreatedAt time.Time
	Status    Status
}
