// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrorKind sorts errors by what follows from them. Callers switch on it, never on an HTTP
// status.
type ErrorKind int

const (
	// UnknownOutcome: the request may have taken effect. It is the zero value, so that an
	// error nobody classified is never taken for a harmless one.
	UnknownOutcome ErrorKind = iota
	// Transient: it did not take effect, or it is safe to repeat; try again later.
	Transient
	// RateLimited: it did not take effect; try again after Error.RetryAfter, where that is set.
	RateLimited
	// Rejected: the upstream understood and refused. The same request will be refused again.
	Rejected
	// NotFound: what was asked for is not there, or not there yet.
	NotFound
	// Unauthorized: the key was refused, lacks a permission, or may not be used at all.
	Unauthorized
	// NoCredentials: the call was never made, as there is no key to make it with.
	NoCredentials
)

// String names the kind as logs and metrics do.
func (k ErrorKind) String() string {
	switch k {
	case UnknownOutcome:
		return "unknown_outcome"
	case Transient:
		return "transient"
	case RateLimited:
		return "rate_limited"
	case Rejected:
		return "rejected"
	case NotFound:
		return "not_found"
	case Unauthorized:
		return "unauthorized"
	case NoCredentials:
		return "no_credentials"
	}
	return fmt.Sprintf("ErrorKind(%d)", int(k))
}

// Error is a call that did not succeed.
type Error struct {
	Kind ErrorKind
	// StatusCode is the HTTP status of the answer; 0 where there was none.
	StatusCode int
	// Code is the upstream's own word for the error, e.g. insufficient_quota. It may be empty.
	Code string
	// Message is fit to be shown to a user: bounded, and without a Secret's contents.
	Message string
	// RequestID is the upstream's name for the request, for its support.
	RequestID string
	// RetryAfter is how long the upstream wants us to wait; zero where it said nothing.
	RetryAfter time.Duration
	// Err is the cause below; it may be nil, and is not shown to users.
	Err error
}

// Error gives the message with the status and the request ID.
func (e *Error) Error() string {
	var s strings.Builder
	s.WriteString(e.Message)
	if e.StatusCode != 0 {
		fmt.Fprintf(&s, " (HTTP %d", e.StatusCode)
		if e.RequestID != "" {
			fmt.Fprintf(&s, ", request %s", e.RequestID)
		}
		s.WriteString(")")
	}
	return s.String()
}

// Unwrap gives the cause below.
func (e *Error) Unwrap() error { return e.Err }

// AsError gives err as an *Error. One that is none counts as an unknown outcome; nil stays nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return &Error{Kind: UnknownOutcome, Message: err.Error(), Err: err}
}
