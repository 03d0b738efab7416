// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"fmt"
	"net/http"
)

// apiError is an error in the JSON form of the API.
type apiError struct {
	status     int
	retryAfter int
	allow      string

	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

const invalidRequest = "invalid_request_error"

// optional returns nil for an empty string, which JSON encodes as null.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// badRequest returns a 400; param and code may be empty.
func badRequest(param, code, format string, args ...any) *apiError {
	return &apiError{
		status: http.StatusBadRequest, Type: invalidRequest,
		Param: optional(param), Code: optional(code), Message: fmt.Sprintf(format, args...),
	}
}

func notFound(param, format string, args ...any) *apiError {
	e := badRequest(param, "", format, args...)
	e.status = http.StatusNotFound
	return e
}

func noStore(id string) *apiError {
	return notFound("", "No vector store found with id '%s'.", id)
}

func noBatch(id, store string) *apiError {
	return notFound("", "No file batch found with id '%s' in vector store '%s'.", id, store)
}

func noStoreFile(id, store string) *apiError {
	return notFound("", "No file found with id '%s' in vector store '%s'.", id, store)
}

func noFile(id string) *apiError {
	return notFound("id", "No such File object: %s", id)
}

func wrongPrefix(param, id, prefix string) *apiError {
	return badRequest(param, "invalid_value",
		"Invalid '%s': '%s'. Expected an ID that begins with '%s'.", param, id, prefix)
}

func missing(param string) *apiError {
	return badRequest(param, "missing_required_parameter", "Missing required parameter: '%s'.", param)
}

func wrongType(param, want string, got any) *apiError {
	return badRequest(param, "invalid_type",
		"Invalid type for '%s': expected %s, but got %s instead.", param, want, typeName(got))
}

func tooLong(param, what, code string, limit, got int) *apiError {
	return badRequest(param, code,
		"Invalid '%s': %s too long. Expected %s with maximum length %d, but got %s with length %d instead.",
		param, what, article(what), limit, article(what), got)
}

func belowMinimum(param string, limit, got any) *apiError {
	return badRequest(param, "integer_below_min_value",
		"Invalid '%s': integer below minimum value. Expected a value >= %v, but got %v instead.", param, limit, got)
}

func aboveMaximum(param string, limit, got any) *apiError {
	return badRequest(param, "integer_above_max_value",
		"Invalid '%s': integer above maximum value. Expected a value <= %v, but got %v instead.", param, limit, got)
}

func article(noun string) string {
	if noun == "array" {
		return "an array"
	}
	return "a " + noun
}

func unauthorized(code, message string) *apiError {
	return &apiError{status: http.StatusUnauthorized, Type: invalidRequest, Code: optional(code), Message: message}
}

func bodyTooLarge(limit int64) *apiError {
	return &apiError{
		status: http.StatusRequestEntityTooLarge, Type: invalidRequest,
		Message: fmt.Sprintf("The body of the request is longer than %d bytes.", limit),
	}
}

func rateLimited(kind, message string, retryAfter int) *apiError {
	return &apiError{
		status: http.StatusTooManyRequests, Type: kind, Code: optional("rate_limit_exceeded"),
		Message: message, retryAfter: retryAfter,
	}
}
