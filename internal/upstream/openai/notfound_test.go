// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// TestErrors_NotFoundAs400 requires that a 400 is a missing object if, and only if, its code or its
// message is about one. A file's name can contain anything.
func TestErrors_NotFoundAs400(t *testing.T) {
	for _, test := range []struct {
		code, message string
		want          bool
	}{
		{"", "File file-abc not found in vector store vs_abc123", true},
		{"", "Vector_store 'vs_abc123' not found", true},
		{"", "File batch batch_6f1c not found", true},
		{"", "File 'file-abc' not found. Use 'client.files.list()' to list available Files.", true},
		{"", `vector store "vs_abc123" does not exist`, true},
		{"", "The file file-abc does not exist.", true},
		{"", "No such File object: file-abc", true},
		{"", "No vector store found with id 'vs_abc123'", true},
		{"", "No file found with id 'file-abc' in vector store 'vs_abc123'.", true},
		{"", "No such file batch exists", true},
		{"", "Could not find file file-abc", true},
		{"", "Resource not found", true},
		{"", "Not Found", true},
		{"", "Batch with ID vsfb_1 was not found", true},
		{"", "vector store vs_abc123 could not be found", true},
		{"", "Vector store doesn't exist", true},
		{"invalid_request_error", "No vector store found with id 'vs_abc123'", true},
		{"not_found", "gone", true},
		{"resource_not_found", "", true},
		{"vector_store_not_found", "see the documentation", true},
		{"ResourceNotFound", "", true},

		{"", "", false},
		{"", "file_ids must have at most 500 items", false},
		{"", "Invalid value: 'not found'", false},
		{"", "Files with the name 'file not found' are refused", false},
		{"", "File page not found.csv was refused", false},
		{"", "Model text-embedding-3 not found", false},
		{"", "Embedding model 'nomic' not found", false},
		{"", "Provider faiss not found", false},
		{"", "File not found v2.csv has an unsupported extension", false},
		{"", "Unsupported file extension: file not found", false},
		{"", "Unknown parameter: store not found", false},
		{"unsupported_file", "The file not found cannot be indexed", false},
		{"unsupported_file", "File file-abc not found in the list of supported types", false},
		{"unknown_parameter", "File batch not found", false},
		{"invalid_type", "vector store does not exist", false},
		{"model_not_found", "The model does not exist", false},
		{"quotaExceeded", "No file found", false},
	} {
		body, err := json.Marshal(map[string]any{"error": map[string]any{"message": test.message, "code": test.code}})
		if err != nil {
			t.Fatal(err)
		}
		client, _ := serve(t, respondJSON(http.StatusBadRequest, string(body)), Options{})
		want := upstream.Rejected
		if test.want {
			want = upstream.NotFound
		}
		for name, call := range calls {
			if err := upstream.AsError(call(t.Context(), client)); err.Kind != want || err.StatusCode != http.StatusBadRequest {
				t.Errorf("%s, code %q, %q: %s, want %s", name, test.code, test.message, err.Kind, want)
			}
		}
	}
}

// TestErrors_DetailOfOGX requires that the other form of OGX's errors is read too.
func TestErrors_DetailOfOGX(t *testing.T) {
	client, _ := serve(t, respondJSON(http.StatusBadRequest, `{"detail":"Vector_store 'vs_abc123' not found"}`), Options{})
	if _, err := client.Create(t.Context(), testCreate); !upstream.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

// TestStatesMissing requires that a 404 means that an object does not exist only if the API's own error states it, and
// not that it has no such path.
func TestStatesMissing(t *testing.T) {
	for name, test := range map[string]struct {
		failure apiError
		want    bool
	}{
		"code":                {apiError{code: "not_found_error", message: "gone", own: true}, true},
		"message with the ID": {apiError{message: "No batch found with id 'vsfb_1'.", own: true}, true},
		"vector store":        {apiError{message: "Vector store not found", own: true}, true},
		"vector_store":        {apiError{message: "no such vector_store", own: true}, true},
		"another error":       {apiError{message: "gone", own: true}, false},
		"not the API's own":   {apiError{code: "not_found", message: "vsfb_1"}, false},
		"a URL in the text":   {apiError{code: "not_found", message: "Invalid URL (GET /files)", own: true}, false},
		"a URL in the code":   {apiError{code: "unknown_url_not_found", message: "gone", own: true}, false},
		"a path":              {apiError{code: "not_found", message: "no route for /v1/vsfb_1", own: true}, false},
		"nothing":             {apiError{own: true}, false},
	} {
		if got := test.failure.statesMissing("vsfb_1"); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
