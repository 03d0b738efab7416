// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import "context"

// Operation names a kind of request, as metrics and traces do.
type Operation string

// The requests that a Client makes. A call that lists makes one for each page.
const (
	OperationCreate          Operation = "create"
	OperationRetrieve        Operation = "retrieve"
	OperationCancel          Operation = "cancel"
	OperationListFailedFiles Operation = "list_failed_files"
	OperationListFiles       Operation = "list_files"
	OperationReadFile        Operation = "read_file"
	OperationDetachFile      Operation = "detach_file"
)

// Observer is told of every request that is made, by the goroutine that makes it. The context
// that it gives is the request's from then on, and the function that it gives is called once,
// when the request is over.
type Observer func(ctx context.Context, operation Operation) (context.Context, func(Outcome))

// Outcome is what became of a request.
type Outcome struct {
	// StatusCode is the HTTP status of the answer; 0 where there was no whole answer.
	StatusCode int
	// RequestID is the upstream's name for the request, for its support; it may be empty.
	RequestID string
	// Canceled tells that the request was broken off from our side, which says nothing about
	// the upstream.
	Canceled bool
	// Error says, for a person, why there was no answer, or none that is a success. It is
	// bounded, and without a Secret's contents.
	Error string
}
