// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// TestDetach_Confirmation requires that a file counts as detached only if the response confirms it.
func TestDetach_Confirmation(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		want   bool
	}{
		"deleted":             {200, `{"id":"file-1","object":"vector_store.file.deleted","deleted":true}`, true},
		"deleted, no ID":      {200, `{"deleted":true}`, true},
		"the file":            {200, `{"id":"file-1","object":"vector_store.file"}`, true},
		"no content":          {204, "", true},
		"not deleted":         {200, `{"id":"file-1","deleted":false}`, false},
		"deleted is a string": {200, `{"id":"file-1","deleted":"yes"}`, false},
		"another file":        {200, `{"id":"file-2","deleted":true}`, false},
		"empty object":        {200, `{}`, false},
		"HTML":                {200, `<html><body>Sign in</body></html>`, false},
		"empty body":          {200, "", false},
		"null":                {200, "null", false},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, respondJSON(test.status, test.body), Options{})
			err := client.Detach(t.Context(), "vs_1", "file-1")
			if (err == nil) != test.want || err != nil && !upstream.IsTransient(err) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// TestStore_Exists requires that only the API's own error states that a store does not exist.
func TestStore_Exists(t *testing.T) {
	type answer struct{ exists, failed bool }
	for name, test := range map[string]struct {
		status int
		body   string
		want   answer
	}{
		"exists":           {200, `{"id":"vs_1","object":"vector_store"}`, answer{exists: true}},
		"another store":    {200, `{"id":"vs_2","object":"vector_store"}`, answer{failed: true}},
		"HTML":             {200, `<html></html>`, answer{failed: true}},
		"OpenAI":           {404, `{"error":{"message":"Vector store with id 'vs_1' not found.","type":"invalid_request_error","code":null}}`, answer{}},
		"by code":          {404, `{"error":{"message":"gone","code":"not_found"}}`, answer{}},
		"unknown URL":      {404, `{"error":{"message":"Invalid URL (GET /vector_stores/vs_1)","type":"invalid_request_error"}}`, answer{failed: true}},
		"unknown path":     {404, `{"error":{"message":"Cannot GET /vector_stores/vs_1"}}`, answer{failed: true}},
		"another API":      {404, `{"error":{"message":"Not Found"}}`, answer{failed: true}},
		"FastAPI":          {404, `{"detail":"Not Found"}`, answer{failed: true}},
		"web server":       {404, `404 page not found`, answer{failed: true}},
		"not allowed":      {405, `{"error":{"message":"vector store vs_1"}}`, answer{failed: true}},
		"server error":     {500, `{"error":{"message":"vector store vs_1","code":"not_found"}}`, answer{failed: true}},
		"key rejected":     {401, `{"error":{"message":"vector store vs_1"}}`, answer{failed: true}},
		"no response body": {404, ``, answer{failed: true}},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, respondJSON(test.status, test.body), Options{})
			exists, err := client.Store(t.Context(), "vs_1")
			if got := (answer{exists, err != nil}); got != test.want {
				t.Errorf("%+v, want %+v: %v", got, test.want, err)
			}
		})
	}
}
