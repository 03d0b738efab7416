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

// specification is OpenAI's own description of the API. It is no part of this repository.
const specification = "../../../shared/upstream/openapi-vector-stores.json"

// officialSpecification reads it, with what the wire contradicts put right: the object field of
// a batch. The document describes no error, so its own error schema is added as the default of
// every operation.
func officialSpecification(t *testing.T) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(specification)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("OpenAI's OpenAPI document is not at %s, so nothing can be held against it", specification)
	}
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	batch := dig(t, document, "components", "schemas", "VectorStoreFileBatchObject", "properties", "object")
	equal(t, "the enum that the wire contradicts", batch["enum"], any([]any{"vector_store.files_batch"}))
	batch["enum"] = []any{"vector_store.file_batch"}
	withoutNullable(document)
	for path := range dig(t, document, "paths") {
		for method := range dig(t, document, "paths", path) {
			responses := dig(t, document, "paths", path, method, "responses")
			delete(responses, "429") // described without a body
			responses["default"] = fields{"description": "an error", "content": fields{
				"application/json": fields{"schema": fields{"$ref": "#/components/schemas/ErrorResponse"}},
			}}
		}
	}
	return document
}

// withoutNullable takes out a keyword that OpenAPI 3.1 no longer has, and the validator refuses.
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

// inspector is a transport that holds every call against the specification.
type inspector struct {
	next      http.RoundTripper
	validator validator.Validator
	document  map[string]any
	tamper    func(string) string

	mu     sync.Mutex
	faults []string
	seen   map[string]bool
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
	return &inspector{next: next, validator: v, document: document, seen: map[string]bool{}}
}

// RoundTrip makes the call, then validates both its sides.
func (i *inspector) RoundTrip(request *http.Request) (*http.Response, error) {
	sent, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	request.Body = io.NopCloser(bytes.NewReader(sent))
	answer, err := i.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if i.tamper != nil {
		got = []byte(i.tamper(string(got)))
	}
	i.inspect(request, sent, answer, got)
	answer.Body = io.NopCloser(bytes.NewReader(got))
	return answer, nil
}

func (i *inspector) inspect(request *http.Request, sent []byte, answer *http.Response, got []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	request.Body = io.NopCloser(bytes.NewReader(sent))
	answer.Body = io.NopCloser(bytes.NewReader(got))
	// What was refused is not what the specification allows; only the refusal is.
	_, problems := i.validator.ValidateHttpResponse(request, answer)
	if answer.StatusCode == http.StatusOK {
		request.Body = io.NopCloser(bytes.NewReader(sent))
		_, more := i.validator.ValidateHttpRequestSync(request)
		problems = append(problems, more...)
		i.seen[i.operation(request)] = true
	}
	for _, p := range problems {
		i.faults = append(i.faults, fmt.Sprintf("%s %s %d: %s\n%s", request.Method, request.URL.Path, answer.StatusCode, describe(p), got))
	}
}

// operation is the ID of the documented operation that the request is for.
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

// inspected is a bench whose calls are held against the specification.
func inspected(t *testing.T, settings emulator.Settings) (*bench, *inspector) {
	t.Helper()
	b := newBench(t, settings)
	i := newInspector(t, b.http.Transport)
	b.http.Transport = i
	return b, i
}

// TestAnswersConformToOfficialSpecification makes every documented call, in every state that
// its answer can show, and some that are refused.
func TestAnswersConformToOfficialSpecification(t *testing.T) {
	b, inspector := inspected(t, emulator.Settings{Pace: time.Second})
	store := b.want(http.StatusOK, http.MethodPost, "/v1/vector_stores", fields{
		"name": "Handbook", "metadata": fields{"team": "docs"}, "file_ids": []string{"file-a"},
		"expires_after": fields{"anchor": "last_active_at", "days": 7}, "chunking_strategy": static(400, 200),
	})
	path := "/v1/vector_stores/" + store.text("id")
	b.conformBatches(path)
	b.conformStoreFiles(path)
	b.conformUploads()
	b.want(http.StatusOK, http.MethodGet, path, nil)
	b.want(http.StatusOK, http.MethodPost, path, fields{"name": "Manual"})
	b.want(http.StatusOK, http.MethodGet, "/v1/vector_stores?limit=1&order=asc", nil)
	b.want(http.StatusOK, http.MethodDelete, path, nil)
	b.want(http.StatusNotFound, http.MethodGet, path, nil)
	b.key = "sk-wrong"
	b.want(http.StatusUnauthorized, http.MethodGet, "/v1/vector_stores", nil)

	for _, fault := range inspector.faults {
		t.Error(fault)
	}
	var missed []string
	for _, id := range operationIDs(t, inspector.document) {
		if !inspector.seen[id] {
			missed = append(missed, id)
		}
	}
	// A file's content is whatever was uploaded, and no JSON string as the document has it. Search
	// is not there.
	equal(t, "documented calls that were not made", missed, []string{"downloadFile", "searchVectorStore"})
}

func (b *bench) conformBatches(store string) {
	b.t.Helper()
	path := store + "/file_batches"
	first := b.want(http.StatusOK, http.MethodPost, path, fields{
		"file_ids": []string{"file-a", "file-fail-b", "file-stuck-c", "file-d"}, "chunking_strategy": fields{"type": "auto"},
		"attributes": fields{"lang": "en", "page": 1.5, "draft": true},
	}).text("id")
	b.clock.advance(3 * time.Second)
	for _, filter := range []string{"in_progress", "completed", "failed", "cancelled"} {
		b.want(http.StatusOK, http.MethodGet, path+"/"+first+"/files?limit=100&order=asc&filter="+filter, nil)
	}
	b.want(http.StatusOK, http.MethodPost, path+"/"+first+"/cancel", nil)
	b.want(http.StatusOK, http.MethodGet, path+"/"+first, nil)
	b.want(http.StatusOK, http.MethodGet, path+"/"+first+"/files", nil)
	second := b.want(http.StatusOK, http.MethodPost, path, fields{"files": []fields{
		{"file_id": "file-e", "attributes": fields{}, "chunking_strategy": static(100, 50)}, {"file_id": "file-f"},
	}}).text("id")
	b.clock.advance(time.Minute)
	b.want(http.StatusOK, http.MethodGet, path+"/"+second, nil)
	b.want(http.StatusOK, http.MethodPost, path+"/"+second+"/cancel", nil)
	b.want(http.StatusBadRequest, http.MethodPost, path, fields{"file_ids": numbered(2001)})
	b.want(http.StatusBadRequest, http.MethodGet, path+"/vs_1", nil)
	b.want(http.StatusNotFound, http.MethodGet, path+"/vsfb_1", nil)
	b.emu.Configure(func(s *emulator.Settings) { s.EnforceLimits, s.AttachedFiles = true, 1 })
	b.want(http.StatusOK, http.MethodPost, path, fields{"file_ids": []string{"file-g"}})
	b.want(http.StatusTooManyRequests, http.MethodPost, path, fields{"file_ids": []string{"file-h"}})
	b.emu.Configure(func(s *emulator.Settings) { s.EnforceLimits = false })
}

func (b *bench) conformStoreFiles(store string) {
	b.t.Helper()
	path := store + "/files"
	b.want(http.StatusOK, http.MethodPost, path, fields{"file_id": "file-z", "attributes": fields{"k": "v"}})
	b.clock.advance(time.Second)
	b.want(http.StatusOK, http.MethodGet, path+"/file-z", nil)
	b.want(http.StatusOK, http.MethodPost, path+"/file-z", fields{"attributes": fields{"n": 1}})
	b.want(http.StatusOK, http.MethodGet, path+"/file-z/content", nil)
	b.want(http.StatusOK, http.MethodGet, path+"?limit=2", nil)
	b.want(http.StatusOK, http.MethodDelete, path+"/file-z", nil)
	b.want(http.StatusNotFound, http.MethodDelete, path+"/file-z", nil)
}

func (b *bench) conformUploads() {
	b.t.Helper()
	id := b.upload("a.txt", "text", "purpose", "user_data").text("id")
	b.upload("b.txt", "text", "purpose", "assistants", "expires_after[anchor]", "created_at", "expires_after[seconds]", "3600")
	b.want(http.StatusOK, http.MethodGet, "/v1/files?limit=1", nil)
	b.want(http.StatusOK, http.MethodGet, "/v1/files/"+id, nil)
	b.want(http.StatusOK, http.MethodDelete, "/v1/files/"+id, nil)
	b.want(http.StatusNotFound, http.MethodGet, "/v1/files/"+id, nil)
}

// TestConformanceCheckReportsTampering shows that the check above can fail.
func TestConformanceCheckReportsTampering(t *testing.T) {
	replace := func(old, replacement string) func(string) string {
		return func(body string) string { return strings.Replace(body, old, replacement, 1) }
	}
	tests := map[string]func(string) string{
		"status that is not documented": replace(`"status":"in_progress"`, `"status":"reticulating"`),
		"count as a text":               replace(`"total":1`, `"total":"1"`),
		"no count":                      replace(`"cancelled":0,`, ""),
		"other object":                  replace("vector_store.file_batch", "vector_store.files_batch"),
		"no ID":                         replace(`"id":`, `"di":`),
		"no JSON":                       replace("}", ""),
	}
	for name, tamper := range tests {
		t.Run(name, func(t *testing.T) {
			b, inspector := inspected(t, emulator.Settings{})
			inspector.tamper = func(body string) string {
				changed := tamper(body)
				if changed == body {
					t.Errorf("there was nothing to tamper with in %s", body)
				}
				return changed
			}
			b.do(http.MethodPost, batchesPath, fields{"file_ids": []string{"file-a"}})
			if len(inspector.faults) == 0 {
				t.Error("the check reports nothing")
			}
		})
	}
	t.Run("error without a type", func(t *testing.T) {
		b, inspector := inspected(t, emulator.Settings{})
		inspector.tamper = replace(`"type":`, `"kind":`)
		b.want(http.StatusNotFound, http.MethodGet, batchesPath+"/vsfb_none", nil)
		if len(inspector.faults) == 0 {
			t.Error("the check reports nothing")
		}
	})
	t.Run("request that is not documented", func(t *testing.T) {
		b, inspector := inspected(t, emulator.Settings{})
		b.want(http.StatusOK, http.MethodPost, batchesPath, fields{"file_ids": []string{"file-a"}, "files": nil})
		if len(inspector.faults) == 0 {
			t.Error("the check reports nothing")
		}
	})
}
