// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrorKind classifies an error by its consequence for the caller. Callers switch on the kind, never
// on the HTTP status.
type ErrorKind int

const (
	// UnknownOutcome means that the request may have taken effect. It is the zero value, so that an
	// unclassified error is never treated as harmless.
	UnknownOutcome ErrorKind = iota
	// Transient means that the request had no effect, or that it is safe to repeat. Retry later.
	Transient
	// RateLimited means that the request had no effect. Retry after Error.RetryAfter, if it is set.
	RateLimited
	// Rejected means that the server refused the request, and will refuse it again.
	Rejected
	// NotFound means that the object does not exist, or does not exist yet.
	NotFound
	// Unauthorized means that the server rejected the key, that the key lacks a permission, or that a
	// value of the credentials is invalid.
	Unauthorized
	// NotAllowed means that no request was sent because a flag of the operator does not permit the
	// endpoint or its address.
	NotAllowed
	// NoCredentials means that no request was sent because there is no key.
	NoCredentials
)

// String returns the name of the kind in logs.
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
	case NotAllowed:
		return "not_allowed"
	case NoCredentials:
		return "no_credentials"
	}
	return fmt.Sprintf("ErrorKind(%d)", int(k))
}

// Error is the error of a call to the API. Every error that a Client or an Uploader returns is an
// *Error.
type Error struct {
	Kind ErrorKind
	// Host is the host that the request was for, with the port if the base URL has one. It is empty
	// if the call failed before a request was made.
	Host string
	// StatusCode is the HTTP status code of the response; 0 if there was no response.
	StatusCode int
	// Code is the error code from the API, such as insufficient_quota. It can be empty.
	Code string
	// Message can be shown to users: its length is bounded, and it contains no part of a Secret.
	Message string
	// OtherObject is true if the server accepted the request, and returned an object that is not the
	// batch that the request is about, or has no usable ID.
	OtherObject bool
	// RequestID is the ID of the request, for the support of the API's provider. It can be empty.
	RequestID string
	// RetryAfter is the delay that the server requested; 0 if it requested none.
	RetryAfter time.Duration
	// Err is the cause. It can be nil. It is not shown to users.
	Err error
}

// Error returns the message, the HTTP status code and the request ID.
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

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AsError returns the *Error that err is or wraps. If there is none, it returns an *Error of kind
// UnknownOutcome that wraps err. It returns nil if err is nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var classified *Error
	if errors.As(err, &classified) {
		return classified
	}
	return &Error{Kind: UnknownOutcome, Message: err.Error(), Err: err}
}

// IsUnknownOutcome reports whether the request that err belongs to may have taken effect. It returns
// true for every error that is not nil and that is not, and does not wrap, an *Error.
func IsUnknownOutcome(err error) bool { return isKind(err, UnknownOutcome) }

// IsTransient reports whether err is, or wraps, an *Error of kind Transient.
func IsTransient(err error) bool { return isKind(err, Transient) }

// IsRateLimited reports whether err is, or wraps, an *Error of kind RateLimited.
func IsRateLimited(err error) bool { return isKind(err, RateLimited) }

// IsRejected reports whether err is, or wraps, an *Error of kind Rejected.
func IsRejected(err error) bool { return isKind(err, Rejected) }

// IsNotFound reports whether err is, or wraps, an *Error of kind NotFound.
func IsNotFound(err error) bool { return isKind(err, NotFound) }

// IsRefused reports whether err is, or wraps, an *Error of a request that the server refused for what it
// asks: not because of the credentials, a limit, or a fault of the server.
func IsRefused(err error) bool {
	classified := AsError(err)
	const conflict = 409
	return classified != nil && (classified.Kind == Rejected || classified.Kind == NotFound || classified.StatusCode == conflict)
}

// IsOtherObject reports whether err is, or wraps, an *Error of a request that the server accepted, and to
// which it returned another object than the batch.
func IsOtherObject(err error) bool {
	classified := AsError(err)
	return classified != nil && classified.OtherObject
}

// IsNotAllowed reports whether err is, or wraps, an *Error of kind NotAllowed.
func IsNotAllowed(err error) bool { return isKind(err, NotAllowed) }

// IsUnauthorized reports whether err is, or wraps, an *Error of kind Unauthorized.
func IsUnauthorized(err error) bool { return isKind(err, Unauthorized) }

// IsNoCredentials reports whether err is, or wraps, an *Error of kind NoCredentials.
func IsNoCredentials(err error) bool { return isKind(err, NoCredentials) }

// isKind reports whether AsError(err) has the given kind. A nil *Error in err has none.
func isKind(err error, kind ErrorKind) bool {
	classified := AsError(err)
	return classified != nil && classified.Kind == kind
}
