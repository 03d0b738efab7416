// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	verrors "github.com/pb33f/libopenapi-validator/errors"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// specification is the path of OpenAI's OpenAPI document, which is not part of this repository.
const specification = "../../../shared/upstream/openapi-vector-stores.json"

// officialSpecification parses the specification and corrects the object field of a batch, which
// contradicts the API's responses. The document describes no error responses, so it adds the
// document's error schema as the default response of every operation.
func officialSpecification(t *testing.T) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(specification)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("OpenAI's OpenAPI document is not at %s", specification)
	}
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	batch := dig(t, document, "components", "schemas", "VectorStoreFileBatchObject", "properties", "object")
	equal(t, "the enum that the API contradicts", batch["enum"], any([]any{"vector_store.files_batch"}))
	batch["enum"] = []any{"vector_store.file_batch"}
	withoutNullable(document)
	for path := range dig(t, document, "paths") {
		for method := range dig(t, document, "paths", path) {
			responses := dig(t, document, "paths", path, method, "responses")
			delete(responses, "429") // it has no body in the document
			responses["default"] = fields{"description": "an error", "content": fields{
				"application/json": fields{"schema": fields{"$ref": "#/components/schemas/ErrorResponse"}},
			}}
		}
	}
	return document
}

// withoutNullable removes a keyword that OpenAPI 3.1 dropped and the validator rejects.
func withoutNullable(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "nullable")
		for _, child := range v {
			withoutNullable(child)
		}
	case []any:
		for _, child := range v {
			withoutNullable(child)
		}
	}
}

// dig returns a nested object.
func dig(t *testing.T, from map[string]any, path ...string) map[string]any {
	t.Helper()
	for _, name := range path {
		next, ok := from[name].(map[string]any)
		if !ok {
			t.Fatalf("the specification has no %v", path)
		}
		from = next
	}
	return from
}

func operationIDs(t *testing.T, document map[string]any) []string {
	t.Helper()
	var ids []string
	for path := range dig(t, document, "paths") {
		for method := range dig(t, document, "paths", path) {
			id, ok := dig(t, document, "paths", path, method)["operationId"].(string)
			if !ok {
				t.Fatalf("%s %s has no operation ID", method, path)
			}
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// inspector is a transport that validates every call against the specification.
type inspector struct {
	next      http.RoundTripper
	validator validator.Validator
	document  map[string]any
	tamper    func(string) string

	mu         sync.Mutex
	violations []string
	operations map[string]bool
}

func newInspector(t *testing.T, next http.RoundTripper) *inspector {
	t.Helper()
	document := officialSpecification(t)
	encoded, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := libopenapi.NewDocument(encoded)
	if err != nil {
		t.Fatal(err)
	}
	v, problems := validator.NewValidator(parsed)
	if len(problems) > 0 {
		t.Fatal(errors.Join(problems...))
	}
	return &inspector{next: next, validator: v, document: document, operations: map[string]bool{}}
}

// RoundTrip sends the request, then validates it and its response.
func (i *inspector) RoundTrip(request *http.Request) (*http.Response, error) {
	sent, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	request.Body = io.NopCloser(bytes.NewReader(sent))
	response, err := i.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if i.tamper != nil {
		got = []byte(i.tamper(string(got)))
	}
	i.inspect(request, sent, response, got)
	response.Body = io.NopCloser(bytes.NewReader(got))
	return response, nil
}

func (i *inspector) inspect(request *http.Request, sent []byte, response *http.Response, got []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	request.Body = io.NopCloser(bytes.NewReader(sent))
	response.Body = io.NopCloser(bytes.NewReader(got))
	// A rejected request need not conform; its response must.
	_, problems := i.validator.ValidateHttpResponse(request, response)
	if response.StatusCode == http.StatusOK {
		request.Body = io.NopCloser(bytes.NewReader(sent))
		_, more := i.validator.ValidateHttpRequestSync(request)
		problems = append(problems, more...)
		i.operations[i.operation(request)] = true
	}
	for _, p := range problems {
		i.violations = append(i.violations, fmt.Sprintf("%s %s %d: %s\n%s", request.Method, request.URL.Path, response.StatusCode, describe(p), got))
	}
}

// operation returns the ID of the documented operation of a request.
func (i *inspector) operation(request *http.Request) string {
	got := strings.Split(strings.TrimPrefix(request.URL.Path, "/v1"), "/")
	paths, _ := i.document["paths"].(map[string]any)
	for path, methods := range paths {
		want := strings.Split(path, "/")
		if !slices.EqualFunc(got, want, func(g, w string) bool { return g == w || strings.HasPrefix(w, "{") }) {
			continue
		}
		operations, _ := methods.(map[string]any)
		operation, _ := operations[strings.ToLower(request.Method)].(map[string]any)
		id, _ := operation["operationId"].(string)
		return id
	}
	return ""
}

func describe(p *verrors.ValidationError) string {
	s := p.Message + ": " + p.Reason
	for _, failure := range p.SchemaValidationErrors {
		s += "\n  " + failure.FieldPath + ": " + failure.Reason
	}
	return s
}

// newInspectedServer returns a testServer whose calls are validated against the specification.
func newInspectedServer(t *testing.T, settings emulator.Settings) (*testServer, *inspector) {
	t.Helper()
	s := newTestServer(t, settings)
	i := newInspector(t, s.http.Transport)
	s.http.Transport = i
	return s, i
}

// TestConformance_OpenAPISpecification calls every documented operation, with every status that its
// response can have, and sends some requests that are rejected.
func TestConformance_OpenAPISpecification(t *testing.T) {
	s, inspector := newInspectedServer(t, emulator.Settings{Pace: time.Second})
	store := s.want(http.StatusOK, http.MethodPost, "/v1/vector_stores", fields{
		"name": "Handbook", "metadata": fields{"team": "docs"}, "file_ids": []string{"file-a"},
		"expires_after": fields{"anchor": "last_active_at", "days": 7}, "chunking_strategy": static(400, 200),
	})
	path := "/v1/vector_stores/" + store.text("id")
	s.conformBatches(path)
	s.conformStoreFiles(path)
	s.conformUploads()
	s.want(http.StatusOK, http.MethodGet, path, nil)
	s.want(http.StatusOK, http.MethodPost, path, fields{"name": "Manual"})
	s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores?limit=1&order=asc", nil)
	s.want(http.StatusOK, http.MethodPost, path+"/search", fields{
		"query": []string{"content", "emulator"}, "filters": fields{"type": "eq", "key": "lang", "value": "en"}, "max_num_results": 3,
	})
	s.want(http.StatusOK, http.MethodPost, path+"/search", fields{"query": "content"})
	s.want(http.StatusBadRequest, http.MethodPost, path+"/search", fields{"query": "x", "max_num_results": 51})
	s.want(http.StatusOK, http.MethodDelete, path, nil)
	s.want(http.StatusNotFound, http.MethodGet, path, nil)
	s.key = "sk-wrong"
	s.want(http.StatusUnauthorized, http.MethodGet, "/v1/vector_stores", nil)

	for _, violation := range inspector.violations {
		t.Error(violation)
	}
	var missed []string
	for _, id := range operationIDs(t, inspector.document) {
		if !inspector.operations[id] {
			missed = append(missed, id)
		}
	}
	// The content of a file is the upload itself, and not a JSON string as in the document.
	equal(t, "operations without a call", missed, []string{"downloadFile"})
}

func (s *testServer) conformBatches(store string) {
	s.t.Helper()
	path := store + "/file_batches"
	first := s.want(http.StatusOK, http.MethodPost, path, fields{
		"file_ids": []string{"file-a", "file-fail-b", "file-stuck-c", "file-d"}, "chunking_strategy": fields{"type": "auto"},
		"attributes": fields{"lang": "en", "page": 1.5, "draft": true},
	}).text("id")
	s.clock.advance(3 * time.Second)
	for _, filter := range []string{"in_progress", "completed", "failed", "cancelled"} {
		s.want(http.StatusOK, http.MethodGet, path+"/"+first+"/files?limit=100&order=asc&filter="+filter, nil)
	}
	s.want(http.StatusOK, http.MethodPost, path+"/"+first+"/cancel", nil)
	s.want(http.StatusOK, http.MethodGet, path+"/"+first, nil)
	s.want(http.StatusOK, http.MethodGet, path+"/"+first+"/files", nil)
	second := s.want(http.StatusOK, http.MethodPost, path, fields{"files": []fields{
		{"file_id": "file-e", "attributes": fields{}, "chunking_strategy": static(100, 50)}, {"file_id": "file-f"},
	}}).text("id")
	s.clock.advance(time.Minute)
	s.want(http.StatusOK, http.MethodGet, path+"/"+second, nil)
	s.want(http.StatusOK, http.MethodPost, path+"/"+second+"/cancel", nil)
	s.want(http.StatusBadRequest, http.MethodPost, path, fields{"file_ids": numbered(2001)})
	s.want(http.StatusBadRequest, http.MethodGet, path+"/vs_1", nil)
	s.want(http.StatusNotFound, http.MethodGet, path+"/vsfb_1", nil)
	s.emu.Configure(func(s *emulator.Settings) { s.EnforceLimits, s.AttachedFiles = true, 1 })
	s.want(http.StatusOK, http.MethodPost, path, fields{"file_ids": []string{"file-g"}})
	s.want(http.StatusTooManyRequests, http.MethodPost, path, fields{"file_ids": []string{"file-h"}})
	s.emu.Configure(func(s *emulator.Settings) { s.EnforceLimits = false })
}

func (s *testServer) conformStoreFiles(store string) {
	s.t.Helper()
	path := store + "/files"
	s.want(http.StatusOK, http.MethodPost, path, fields{"file_id": "file-z", "attributes": fields{"k": "v"}})
	s.clock.advance(time.Second)
	s.want(http.StatusOK, http.MethodGet, path+"/file-z", nil)
	s.want(http.StatusOK, http.MethodPost, path+"/file-z", fields{"attributes": fields{"n": 1}})
	s.want(http.StatusOK, http.MethodGet, path+"/file-z/content", nil)
	s.want(http.StatusOK, http.MethodGet, path+"?limit=2", nil)
	s.want(http.StatusOK, http.MethodDelete, path+"/file-z", nil)
	s.want(http.StatusNotFound, http.MethodDelete, path+"/file-z", nil)
}

func (s *testServer) conformUploads() {
	s.t.Helper()
	id := s.upload("a.txt", "text", "purpose", "user_data").text("id")
	s.upload("b.txt", "text", "purpose", "assistants", "expires_after[anchor]", "created_at", "expires_after[seconds]", "3600")
	s.want(http.StatusOK, http.MethodGet, "/v1/files?limit=1", nil)
	s.want(http.StatusOK, http.MethodGet, "/v1/files/"+id, nil)
	s.want(http.StatusOK, http.MethodDelete, "/v1/files/"+id, nil)
	s.want(http.StatusNotFound, http.MethodGet, "/v1/files/"+id, nil)
}

// TestConformance_DetectsTampering verifies that the test above can fail.
func TestConformance_DetectsTampering(t *testing.T) {
	replace := func(old, replacement string) func(string) string {
		return func(body string) string { return strings.Replace(body, old, replacement, 1) }
	}
	tests := map[string]func(string) string{
		"undocumented status": replace(`"status":"in_progress"`, `"status":"reticulating"`),
		"count as a string":   replace(`"total":1`, `"total":"1"`),
		"missing count":       replace(`"cancelled":0,`, ""),
		"wrong object":        replace("vector_store.file_batch", "vector_store.files_batch"),
		"missing ID":          replace(`"id":`, `"di":`),
		"invalid JSON":        replace("}", ""),
	}
	for name, tamper := range tests {
		t.Run(name, func(t *testing.T) {
			s, inspector := newInspectedServer(t, emulator.Settings{})
			inspector.tamper = func(body string) string {
				changed := tamper(body)
				if changed == body {
					t.Errorf("tampering did not change %s", body)
				}
				return changed
			}
			s.do(http.MethodPost, batchesPath, fields{"file_ids": []string{"file-a"}})
			if len(inspector.violations) == 0 {
				t.Error("the inspector reports no violation")
			}
		})
	}
	t.Run("error without a type", func(t *testing.T) {
		s, inspector := newInspectedServer(t, emulator.Settings{})
		inspector.tamper = replace(`"type":`, `"kind":`)
		s.want(http.StatusNotFound, http.MethodGet, batchesPath+"/vsfb_none", nil)
		if len(inspector.violations) == 0 {
			t.Error("the inspector reports no violation")
		}
	})
	t.Run("undocumented request", func(t *testing.T) {
		s, inspector := newInspectedServer(t, emulator.Settings{})
		s.want(http.StatusOK, http.MethodPost, batchesPath, fields{"file_ids": []string{"file-a"}, "files": nil})
		if len(inspector.violations) == 0 {
			t.Error("the inspector reports no violation")
		}
	})
}
