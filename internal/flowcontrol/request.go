// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package flowcontrol decides when calls to the OpenAI API are sent. It shares the workers fairly
// between namespaces, so that no tenant and no server can occupy all of them, and delays calls so that
// none exceeds a rate limit that is known in advance. A caller that has to wait does not block a
// worker: it waits in a queue, and is woken when its call is admitted.
package flowcontrol

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Caller identifies an object. It makes one call at a time. Its namespace is the tenant that seats are
// shared by.
type Caller struct {
	types.NamespacedName
	UID types.UID
}

// Class is a kind of call. A 429 backs off the class of the call that received it.
type Class int

const (
	// Read is a call that changes nothing.
	Read Class = iota
	// Create is a call that creates a batch.
	Create
	// Detach is a call that detaches files.
	Detach
	// Urgent is a call that a cancel or a deletion waits for. It needs a seat, and waits for no rate
	// limit.
	Urgent
	classes
)

// level is a level of priority, in which seats are shared.
type level int

const (
	urgentLevel level = iota
	writeLevel
	readLevel
	levels
)

func (c Class) level() level {
	switch c {
	case Urgent:
		return urgentLevel
	case Create, Detach:
		return writeLevel
	case Read, classes:
	}
	return readLevel
}

// Request describes a call.
type Request struct {
	Class Class
	// Requests is the number of HTTP requests, at least 1.
	Requests int
	// VectorStoreID is set for a Create, and Files is the number of files that it attaches.
	VectorStoreID string
	Files         int
}

// Admission is the answer to a request.
type Admission int

const (
	// Admitted means that the call can be made now.
	Admitted Admission = iota
	// Saturated means that it waits for a seat.
	Saturated
	// RateLimited means that it waits for the rate limits.
	RateLimited
	// BackedOff means that it waits because the API asked to slow down.
	BackedOff
)

// Outcome is the outcome of a call. The zero value is an answer that is no error.
type Outcome struct {
	// Unsent is true if no request was sent.
	Unsent bool
	// Unanswered is true if there was no answer, or one that only proves that the server is failing.
	Unanswered bool
	// Refused is true if the server refused the request before it did anything: it counts against no
	// limit of creates or files.
	Refused bool
	// TooManyRequests is true if the server asked to slow down, and RetryAfter is for how long; zero if
	// it did not specify that.
	TooManyRequests bool
	RetryAfter      time.Duration
	// Organization is the organization that the server counted the call for; empty if it is not known.
	Organization string
}

// Limits are the limits of one connection, and the seats that all connections share.
type Limits struct {
	// RequestsPerSecond is the number of requests per second, of all classes.
	RequestsPerSecond float64
	// CreatesPerWindow is the number of batches created in one vector store within any Window.
	CreatesPerWindow int
	// FilesPerWindow is the number of files attached to all vector stores within any Window, per
	// organization if the server reports it, and per connection if not.
	FilesPerWindow int
	// Window is the length of the windows: a minute for the OpenAI API.
	Window time.Duration
	// Seats is the number of calls in flight, over all connections. A caller keeps its seat until its
	// reconciliation ends, because it occupies a worker until then.
	Seats int
}

// DefaultLimits returns the documented limits of the OpenAI API, with seats for 64 workers. No limit
// for RequestsPerSecond is documented.
func DefaultLimits() Limits {
	return Limits{RequestsPerSecond: 50, CreatesPerWindow: 300, FilesPerWindow: 2000, Window: time.Minute}.WithWorkers(64)
}

// WithWorkers returns limits with seats for n workers. An eighth of the workers has no seat, and
// serves the reconciliations that make no call.
func (l Limits) WithWorkers(n int) Limits {
	l.Seats = max(1, n-max(1, n/8))
	return l
}
