// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The values of Behaviors.ErrorBody.
const (
	errorBodyOpenAI  = "openai"
	errorBodyMessage = "message"
	errorBodyAzure   = "azure"
)

// The kinds of errors that Behaviors.Messages can name. Those of missingKinds have
// Behaviors.NotFoundStatus.
const (
	kindStore      = "store"
	kindBatch      = "batch"
	kindStoreFile  = "store_file"
	kindFile       = "file"
	kindLateCancel = "late_cancel"
	kindKey        = "key"
	kindNoKey      = "no_key"
	kindTooLarge   = "too_large"
	kindPath       = "path"
	kindMethod     = "method"
)

var missingKinds = []string{kindStore, kindBatch, kindStoreFile}

// loginPage is the body of Behaviors.LoginPage.
const loginPage = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><form>Sign in to continue</form></body></html>\n"

// apiError is an error in the JSON form of the API.
type apiError struct {
	status     int
	retryAfter time.Duration
	allow      string
	// kind selects a message of Behaviors.Messages, and replacements are its variables.
	kind         string
	replacements []string

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

// as sets the kind of an error, and the names and values of its variables.
func (e *apiError) as(kind string, replacements ...string) *apiError {
	e.kind, e.replacements = kind, replacements
	return e
}

func noStore(id string) *apiError {
	return notFound("", "No vector store found with id '%s'.", id).as(kindStore, "{id}", id)
}

func noBatch(id, store string) *apiError {
	return notFound("", "No file batch found with id '%s' in vector store '%s'.", id, store).as(kindBatch, "{id}", id, "{store}", store)
}

func noStoreFile(id, store string) *apiError {
	return notFound("", "No file found with id '%s' in vector store '%s'.", id, store).as(kindStoreFile, "{id}", id, "{store}", store)
}

func noFile(id string) *apiError {
	return notFound("id", "No such File object: %s", id).as(kindFile, "{id}", id)
}

// errorResponse returns the response to a rejected request, as Behaviors have it.
func (s *Server) errorResponse(x *exchange, e *apiError) response {
	if e.status == http.StatusUnauthorized && s.settings.LoginPage {
		return response{status: http.StatusOK, body: []byte(loginPage), header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}}
	}
	status, missing := e.status, slices.Contains(missingKinds, e.kind)
	if missing {
		status = s.settings.NotFoundStatus
	}
	sent := *e
	sent.Message = s.errorMessage(e)
	var body any = map[string]any{"error": &sent}
	detail := missing || e.kind == kindPath || e.kind == kindMethod
	closes := s.settings.ClosesAfterErrors && (missing || e.kind == kindLateCancel)
	switch {
	case detail && slices.Contains(s.settings.DetailErrors, x.route.operation):
		body, closes = map[string]string{"detail": sent.Message}, false
	case s.settings.ErrorBody == errorBodyMessage:
		body = map[string]any{"error": map[string]string{"message": sent.Message}}
	case s.settings.ErrorBody == errorBodyAzure:
		body = map[string]any{"error": map[string]string{"code": sent.code(status), "message": sent.Message}}
	}
	res := s.jsonResponse(status, body)
	res.closes = closes
	s.addRetryAfter(res.header, e.retryAfter)
	if e.allow != "" {
		res.header.Set("Allow", e.allow)
	}
	return res
}

// errorMessage returns the message of an error as the server words it.
func (s *Server) errorMessage(e *apiError) string {
	if message, ok := s.settings.Messages[e.kind]; ok {
		return strings.NewReplacer(e.replacements...).Replace(message)
	}
	return e.Message
}

// code returns the code of an error, or else its HTTP status.
func (e *apiError) code(status int) string {
	if e.Code == nil {
		return strconv.Itoa(status)
	}
	return *e.Code
}

func (s *Server) addRetryAfter(header http.Header, wait time.Duration) {
	if wait <= 0 {
		return
	}
	if s.settings.LimitRetryMillis {
		header.Set("X-Ms-Retry-After-Ms", strconv.FormatInt(wait.Milliseconds(), 10))
	}
	if fixed := time.Duration(s.settings.LimitRetryAfter); fixed > 0 {
		wait = fixed
	}
	header.Set("Retry-After", strconv.Itoa(wholeSeconds(wait)))
}

// sameJSON reports whether two values have the same JSON form.
func sameJSON(a, b any) bool {
	left, leftErr := json.Marshal(a)
	right, rightErr := json.Marshal(b)
	return leftErr == nil && rightErr == nil && string(left) == string(right)
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

func unauthorized(kind, code, message string) *apiError {
	return (&apiError{status: http.StatusUnauthorized, Type: invalidRequest, Code: optional(code), Message: message}).as(kind)
}

func bodyTooLarge(limit int64) *apiError {
	return (&apiError{
		status: http.StatusRequestEntityTooLarge, Type: invalidRequest,
		Message: fmt.Sprintf("The body of the request is longer than %d bytes.", limit),
	}).as(kindTooLarge, "{limit}", strconv.FormatInt(limit, 10))
}

// refusedExtensions returns the error for files that cannot be attached. The real service names
// file_ids also where the request has file_id.
func refusedExtensions(extensions []string) *apiError {
	names := make([]string, 0, len(extensions))
	for _, extension := range extensions {
		names = append(names, cmp.Or(extension, "none"))
	}
	return badRequest("file_ids", UnsupportedFile, "Files with extensions [%s] are not supported for retrieval. "+
		"See https://platform.openai.com/docs/assistants/tools/file-search/supported-files", strings.Join(names, ", "))
}

// refusedUpload returns the error for an upload with an unsupported extension.
func refusedUpload(extension string, supported []string) *apiError {
	formats := make([]string, 0, len(supported))
	for _, s := range supported {
		formats = append(formats, strconv.Quote(strings.TrimPrefix(s, ".")))
	}
	return badRequest("", "", "Invalid extension %s. Supported formats: %s",
		strings.TrimPrefix(extension, "."), strings.Join(formats, ", "))
}

// quotaExceeded returns Azure's error for too many uploads.
func quotaExceeded(what string, limit int) *apiError {
	return badRequest("", "quotaExceeded", "The quota for files %s expiry is reached. The maximum is %d.", what, limit)
}

func rateLimited(kind, message string, retryAfter time.Duration) *apiError {
	return &apiError{
		status: http.StatusTooManyRequests, Type: kind, Code: optional("rate_limit_exceeded"),
		Message: message, retryAfter: retryAfter,
	}
}
