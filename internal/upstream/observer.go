// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import "context"

// Operation is the name of an API operation in metrics and traces.
type Operation string

// The operations of a Client. A call that lists files sends one request per page.
const (
	OperationCreate          Operation = "create"
	OperationRetrieve        Operation = "retrieve"
	OperationCancel          Operation = "cancel"
	OperationListFailedFiles Operation = "list_failed_files"
	OperationListFiles       Operation = "list_files"
	OperationListStoreFiles  Operation = "list_store_files"
	OperationReadFile        Operation = "read_file"
	OperationReadStore       Operation = "read_store"
	OperationDetachFile      Operation = "detach_file"
)

// Observer observes requests. A Client calls it before each request, in the goroutine that sends the
// request, and uses the returned context for the request. It calls the returned function exactly
// once, when the request is finished.
type Observer func(ctx context.Context, operation Operation) (context.Context, func(Outcome))

// Outcome is the result of a request.
type Outcome struct {
	// StatusCode is the HTTP status code of the response; 0 if there was no complete response.
	StatusCode int
	// RequestID is the ID of the request, for the support of the API's provider. It can be empty.
	RequestID string
	// Canceled is true if the caller canceled the request, so that its failure is no sign of a
	// problem of the server.
	Canceled bool
	// Error describes a failure. It is empty for a successful request. Its length is bounded, and it
	// contains no part of a Secret.
	Error string
}
