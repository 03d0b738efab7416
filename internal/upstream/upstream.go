// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package upstream defines the port to an OpenAI-compatible API: the operations on file batches of
// vector stores, in plain types, and their errors. It depends on neither HTTP nor an SDK; its
// adapter, package openai, does.
package upstream

import (
	"context"
	"strings"
	"time"
)

// Client calls the API with the credentials of one Connection. It sends each request once: the work
// queue retries. Every error that it returns is an *Error, classified by its consequence. A Client is
// safe for concurrent use.
type Client interface {
	// Create creates a batch that adds files to a vector store. It is not idempotent, and the API
	// cannot list batches: after an error of kind UnknownOutcome, the batch may exist.
	Create(ctx context.Context, request CreateRequest) (Batch, error)
	// Retrieve returns a batch. If the server returns another object, it returns an error of kind
	// Transient with OtherObject.
	Retrieve(ctx context.Context, ref BatchRef) (Batch, error)
	// Cancel requests the cancellation of a batch and returns the batch. The batch is often still in
	// progress, or completed if it finished before the request. It is safe to repeat. An error with
	// OtherObject means that the server accepted the request.
	Cancel(ctx context.Context, ref BatchRef) (Batch, error)
	// FailedFiles returns the failed files of a batch, at most limit of them. It reads as many pages
	// as necessary. If one fails, it returns the files of the pages before it, and the error.
	FailedFiles(ctx context.Context, ref BatchRef, limit int) ([]FailedFile, error)
	// Files returns the IDs of all files of a batch. It reads as many pages as necessary. If one fails, it
	// returns the IDs in the pages before it, and the error.
	Files(ctx context.Context, ref BatchRef) ([]string, error)
	// Store reports whether a vector store exists. It returns false only if the API states that the store
	// does not exist. A 404 that any server can return is an error of kind NotFound.
	Store(ctx context.Context, vectorStoreID string) (exists bool, err error)
	// CountFiles counts the files of a batch by their status, from the list of them. A file with an
	// unknown status counts as in progress. It reads as many pages as necessary.
	CountFiles(ctx context.Context, ref BatchRef) (FileCounts, error)
	// NewestFiles returns the files of a vector store that were added after a time. It reads the list
	// of its files from the newest on, at most 2000 of them.
	NewestFiles(ctx context.Context, vectorStoreID string, after time.Time) ([]File, error)
	// Detach removes a file from a vector store. It does not delete the uploaded file. If the file is
	// not in the vector store, it returns an error of kind NotFound. A response that does not confirm the
	// removal is an error of kind Transient.
	Detach(ctx context.Context, vectorStoreID, fileID string) error
	// File returns a file of a vector store. If the server returns another object, it returns an error
	// with OtherObject.
	File(ctx context.Context, vectorStoreID, fileID string) (File, error)
}

// Connection is the endpoint of an API and the credentials for it: the contents of a credentials
// Secret. The rate limits of the API apply to a Connection, even if many objects use it. It contains
// a key, so it must never be printed.
type Connection struct {
	// BaseURL is the base URL of the API. Defaults to DefaultBaseURL.
	BaseURL string
	// APIKey is sent as a bearer token.
	APIKey string
	// Organization and Project are optional. They are sent as the headers OpenAI-Organization and
	// OpenAI-Project.
	Organization string
	Project      string
	// CABundle is a bundle of CA certificates, PEM-encoded, to trust in addition to the system's. It
	// can be empty.
	CABundle string
}

// MaxCredential is the maximum length of a key, an organization or a project, in bytes.
const MaxCredential = 4096

// Quoted reports whether a value begins or ends with a quotation mark of a shell, a .env file or a word
// processor. No key, ID or URL does.
func Quoted(value string) bool {
	const marks = "\"'`\u2018\u2019\u201c\u201d"
	return strings.Trim(value, marks) != value
}

// DefaultBaseURL is the base URL of a Connection that has none.
const DefaultBaseURL = "https://api.openai.com/v1"

// Identity returns the fields that the rate limits of the API depend on, in a normalized form.
// Connections with the same Identity share their limits.
func (c Connection) Identity() Connection {
	c.CABundle = ""
	c.BaseURL = normalizeURL(c.BaseURL)
	c.APIKey, c.Organization, c.Project = strings.TrimSpace(c.APIKey), strings.TrimSpace(c.Organization), strings.TrimSpace(c.Project)
	return c
}

// normalizeURL returns a base URL without what makes no difference to the server: the case of the
// scheme and the host, the default port, and slashes at the end.
func normalizeURL(baseURL string) string {
	baseURL = strings.TrimRight(strings.TrimSpace(baseURL), "/")
	if baseURL == "" {
		return DefaultBaseURL
	}
	endpoint, err := parseEndpoint(baseURL)
	if err != nil {
		return baseURL // no call can be made with it
	}
	host := hostPort(endpoint)
	return endpoint.Scheme + "://" + strings.TrimSuffix(host, ":"+defaultPort(endpoint.Scheme)) + strings.TrimRight(endpoint.EscapedPath(), "/")
}

// String omits the key, in case a Connection is printed by mistake.
func (c Connection) String() string { return "connection to " + c.BaseURL }

// GoString implements fmt.GoStringer. It omits the key too.
func (c Connection) GoString() string { return c.String() }

// BatchRef identifies a batch. The API finds a batch only in its vector store.
type BatchRef struct {
	VectorStoreID string
	BatchID       string
}

// Status is the state of a batch, as reported by the API. Servers can add values: an unknown value is
// not terminal.
type Status string

// The documented values of Status.
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

// Batch is a file batch, as reported by the API.
type Batch struct {
	// ID is opaque: its format differs between servers, and has changed over time.
	ID string
	// CreatedAt has a resolution of one second, and can differ by one second between two responses.
	CreatedAt  time.Time
	Status     Status
	FileCounts FileCounts
	// PollAfter is the minimum poll interval that the server requested; 0 if it requested none.
	PollAfter time.Duration
	// Organization is the organization that the key belongs to, as reported by the API, of at most 64
	// printable bytes. It is empty if the response names none.
	Organization string
}

// FileCounts are the numbers of files in a batch, by state.
type FileCounts struct {
	InProgress int64
	Completed  int64
	Failed     int64
	Cancelled  int64
	Total      int64
}

// CreateRequest adds either FileIDs, with the settings in Attributes and Chunking, or Files, each with
// its own settings. The API ignores Attributes and Chunking if Files is set.
type CreateRequest struct {
	VectorStoreID string

	FileIDs    []string
	Attributes map[string]any
	Chunking   *StaticChunking

	Files []FileToAttach
}

// FileToAttach is a file to add, with its own settings.
type FileToAttach struct {
	FileID string
	// Attributes has values of type string, bool or a numeric type.
	Attributes map[string]any
	// Chunking is nil for the automatic strategy of the API.
	Chunking *StaticChunking
}

// StaticChunking splits files into chunks of a fixed size, in tokens.
type StaticChunking struct {
	MaxChunkSizeTokens int64
	ChunkOverlapTokens int64
}

// FailedFile is a file of a batch that could not be processed.
type FailedFile struct {
	FileID  string
	Code    string
	Message string
}

// File is a file of a vector store.
type File struct {
	ID string
	// CreatedAt is the time at which the file was added, with a resolution of one second.
	CreatedAt time.Time
	Status    Status
}
