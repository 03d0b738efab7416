// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

type fields = map[string]any

// pairs returns n attributes.
func pairs(n int) fields {
	m := fields{}
	for i := range n {
		m[fmt.Sprintf("key%d", i)] = i
	}
	return m
}

func static(size, overlap any) fields {
	return fields{"type": "static", "static": fields{"max_chunk_size_tokens": size, "chunk_overlap_tokens": overlap}}
}

func withFileIDs(more fields) fields {
	more["file_ids"] = []string{"file-a"}
	return more
}

func filesOf(ids []string) []fields {
	files := make([]fields, len(ids))
	for i, id := range ids {
		files[i] = fields{"file_id": id}
	}
	return files
}

// TestCreateBatch_Limits sends requests at each limit, which must succeed, and beyond it, which must
// fail with the parameter and the code.
func TestCreateBatch_Limits(t *testing.T) {
	long := func(n int) string { return strings.Repeat("ä", n) }
	tests := map[string]struct {
		body    any
		param   string // empty if the request succeeds
		code    string
		message string
	}{
		"2000 IDs":   {body: fields{"file_ids": numbered(2000)}},
		"2000 files": {body: fields{"files": filesOf(numbered(2000))}},
		"2001 IDs": {
			fields{"file_ids": numbered(2001)}, "file_ids", "array_above_max_length",
			"Invalid 'file_ids': array too long. Expected an array with maximum length 2000, but got an array with length 2001 instead.",
		},
		"2001 files": {
			fields{"files": filesOf(numbered(2001))}, "files", "array_above_max_length",
			"Invalid 'files': array too long. Expected an array with maximum length 2000, but got an array with length 2001 instead.",
		},
		"no ID":                 {fields{"file_ids": []string{}}, "file_ids", "empty_array", "empty array"},
		"no file":               {fields{"files": []string{}}, "files", "empty_array", "empty array"},
		"both":                  {fields{"file_ids": []string{"file-a"}, "files": filesOf([]string{"file-a"})}, "files", "mutually_exclusive_parameters", "Mutually exclusive"},
		"neither":               {fields{}, "file_ids", "missing_required_parameter", "Missing required parameter"},
		"null IDs":              {fields{"file_ids": nil}, "file_ids", "missing_required_parameter", "Missing required parameter"},
		"IDs beside null files": {body: fields{"file_ids": []string{"file-a"}, "files": nil}},
		"unknown field":         {fields{"file_ids": []string{"file-a"}, "colour": 1}, "colour", "unknown_parameter", "Unknown parameter: 'colour'."},
		"unknown field of file": {fields{"files": []fields{{"file_id": "file-a", "x": 1}}}, "files[0].x", "unknown_parameter", "Unknown parameter: 'files[0].x'."},
		"file without ID":       {fields{"files": []fields{{}}}, "files[0].file_id", "missing_required_parameter", "Missing required parameter: 'files[0].file_id'."},
		"IDs as text":           {fields{"file_ids": "file-a"}, "file_ids", "invalid_type", "expected an array, but got a string"},
		"number as ID":          {fields{"file_ids": []any{"file-a", 7}}, "file_ids[1]", "invalid_type", "expected a string, but got a number"},
		"text as file":          {fields{"files": []any{"file-a"}}, "files[0]", "invalid_type", "expected an object, but got a string"},
		"wrong prefix":          {fields{"file_ids": []any{"vs_a"}}, "file_ids[0]", "invalid_value", "Invalid 'file_ids[0]': 'vs_a'. Expected an ID that begins with 'file-'."},

		"16 attributes":         {body: withFileIDs(fields{"attributes": pairs(16)})},
		"17 attributes":         {withFileIDs(fields{"attributes": pairs(17)}), "attributes", "object_above_max_properties", "at most 16 properties"},
		"17 attributes of file": {fields{"files": []fields{{"file_id": "file-a", "attributes": pairs(17)}}}, "files[0].attributes", "object_above_max_properties", "at most 16 properties"},
		"key of 64":             {body: withFileIDs(fields{"attributes": fields{long(64): 1}})},
		"key of 65":             {withFileIDs(fields{"attributes": fields{long(65): 1}}), "attributes", "string_above_max_length", "maximum length 64"},
		"value of 512":          {body: withFileIDs(fields{"attributes": fields{"k": long(512)}})},
		"value of 513":          {withFileIDs(fields{"attributes": fields{"k": long(513)}}), "attributes.k", "string_above_max_length", "maximum length 512, but got a string with length 513"},
		"all kinds of value":    {body: withFileIDs(fields{"attributes": fields{"s": "", "n": -1.5e3, "b": true}})},
		"null value":            {withFileIDs(fields{"attributes": fields{"k": nil}}), "attributes.k", "invalid_type", "but got null"},
		"list as value":         {withFileIDs(fields{"attributes": fields{"k": []int{}}}), "attributes.k", "invalid_type", "but got an array"},
		"null attributes":       {body: withFileIDs(fields{"attributes": nil})},
		"attributes as list":    {withFileIDs(fields{"attributes": []int{}}), "attributes", "invalid_type", "expected an object"},

		"auto chunking":            {body: withFileIDs(fields{"chunking_strategy": fields{"type": "auto"}})},
		"auto chunking with size":  {withFileIDs(fields{"chunking_strategy": fields{"type": "auto", "static": fields{}}}), "chunking_strategy.static", "unknown_parameter", "Unknown parameter"},
		"chunks of 100":            {body: withFileIDs(fields{"chunking_strategy": static(100, 0)})},
		"chunks of 99":             {withFileIDs(fields{"chunking_strategy": static(99, 0)}), "chunking_strategy.static.max_chunk_size_tokens", "integer_below_min_value", ">= 100, but got 99"},
		"chunks of 4096":           {body: withFileIDs(fields{"chunking_strategy": static(4096, 2048)})},
		"chunks of 4097":           {withFileIDs(fields{"chunking_strategy": static(4097, 0)}), "chunking_strategy.static.max_chunk_size_tokens", "integer_above_max_value", "<= 4096, but got 4097"},
		"overlap of half":          {body: withFileIDs(fields{"chunking_strategy": static(201, 100)})},
		"overlap of more":          {withFileIDs(fields{"chunking_strategy": static(201, 101)}), "chunking_strategy.static.chunk_overlap_tokens", "invalid_value", "more than half"},
		"overlap below zero":       {withFileIDs(fields{"chunking_strategy": static(200, -1)}), "chunking_strategy.static.chunk_overlap_tokens", "integer_below_min_value", ">= 0"},
		"no overlap":               {withFileIDs(fields{"chunking_strategy": static(200, nil)}), "chunking_strategy.static.chunk_overlap_tokens", "missing_required_parameter", "Missing"},
		"size as text":             {withFileIDs(fields{"chunking_strategy": static("200", 0)}), "chunking_strategy.static.max_chunk_size_tokens", "invalid_type", "expected an integer"},
		"size as fraction":         {withFileIDs(fields{"chunking_strategy": static(200.5, 0)}), "chunking_strategy.static.max_chunk_size_tokens", "invalid_type", "expected an integer"},
		"static chunking, no size": {withFileIDs(fields{"chunking_strategy": fields{"type": "static"}}), "chunking_strategy.static", "missing_required_parameter", "Missing"},
		"no type of chunking":      {withFileIDs(fields{"chunking_strategy": fields{}}), "chunking_strategy.type", "missing_required_parameter", "Missing"},
		"unknown chunking":         {withFileIDs(fields{"chunking_strategy": fields{"type": "semantic"}}), "chunking_strategy.type", "invalid_value", "'auto' and 'static'"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, emulator.Settings{})
			if test.param == "" {
				s.want(http.StatusOK, http.MethodPost, batchesPath, test.body)
				equal(t, "batches created", s.emu.CreateCount(), 1)
				return
			}
			r := s.want(http.StatusBadRequest, http.MethodPost, batchesPath, test.body)
			e := r.json["error"].(map[string]any)
			equal(t, "param and code", [2]any{e["param"], e["code"]}, [2]any{test.param, test.code})
			if !strings.Contains(r.message(), test.message) {
				t.Errorf("got message %q, want it to contain %q", r.message(), test.message)
			}
			equal(t, "batches created", s.emu.CreateCount(), 0)
			equal(t, "files attached", len(s.emu.AttachedFiles(testStore)), 0)
		})
	}
}

func TestCreateBatch_RejectsInvalidJSON(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	for _, body := range []string{"", "{", "[]", "null", "7", `{"file_ids":["file-a"]} {}`, `{"file_ids":["file-a"]}x`, "\xff"} {
		r := s.want(http.StatusBadRequest, http.MethodPost, batchesPath, body)
		if r.message() == "" {
			t.Errorf("%q: no message", body)
		}
	}
	equal(t, "batches created", s.emu.CreateCount(), 0)
}

func TestCreateBatch_RejectsLargeBody(t *testing.T) {
	s := newTestServerWithOptions(t, emulator.Options{MaxBodyBytes: 100, VectorStores: []string{testStore}})
	body := `{"file_ids":["file-a"]}`
	s.want(http.StatusOK, http.MethodPost, batchesPath, body+strings.Repeat(" ", 100-len(body)))
	s.want(http.StatusRequestEntityTooLarge, http.MethodPost, batchesPath, body+strings.Repeat(" ", 101-len(body)))
	equal(t, "batches created", s.emu.CreateCount(), 1)
}

func TestAuthorization(t *testing.T) {
	restricted := newTestServer(t, emulator.Settings{})
	open := newTestServerWithOptions(t, emulator.Options{VectorStores: []string{testStore}})
	tests := map[string]struct {
		server        *testServer
		authorization string
		status        int
		code          any
	}{
		"right key":           {restricted, "Bearer " + testKey, 200, nil},
		"scheme in lowercase": {restricted, "bearer " + testKey, 200, nil},
		"wrong key":           {restricted, "Bearer sk-wrong", 401, "invalid_api_key"},
		"part of the key":     {restricted, "Bearer " + testKey[:5], 401, "invalid_api_key"},
		"other scheme":        {restricted, "Basic " + testKey, 401, nil},
		"no key":              {restricted, "", 401, nil},
		"any key":             {open, "Bearer whatever", 200, nil},
		"empty key":           {open, "Bearer ", 401, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequest(http.MethodGet, test.server.url+"/v1/vector_stores/"+testStore, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", test.authorization)
			r, err := test.server.roundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "status", r.status, test.status)
			if test.status == http.StatusOK {
				return
			}
			equal(t, "code", r.json["error"].(map[string]any)["code"], test.code)
			if strings.Contains(r.raw, "sk-") {
				t.Errorf("the response contains a part of the key: %s", r.raw)
			}
		})
	}
}

func TestAuthorization_MultipleKeys(t *testing.T) {
	s := newTestServerWithOptions(t, emulator.Options{APIKeys: []string{"sk-1", "sk-2"}, VectorStores: []string{testStore}})
	for _, s.key = range []string{"sk-1", "sk-2"} {
		s.create("file-a")
	}
	calls := s.emu.Calls(emulator.Create)
	if len(calls) != 2 || calls[0].Key == calls[1].Key || strings.Contains(calls[0].Key, "sk") {
		t.Errorf("the fingerprints in the calls do not distinguish the keys: %+v", calls)
	}
}

func TestRateLimits_RequestsPerStore(t *testing.T) {
	s := newTestServer(t, emulator.Settings{AttachedFiles: 1000, Behaviors: emulator.Behaviors{EnforceLimits: true}})
	s.emu.AddStore("vs_other")
	for range 150 {
		s.create("file-a")
		s.want(http.StatusOK, http.MethodPost, "/v1/vector_stores/"+testStore+"/files", fields{"file_id": "file-b"})
	}
	s.clock.advance(20500 * time.Millisecond)
	r := s.want(http.StatusTooManyRequests, http.MethodPost, batchesPath, fields{"file_ids": []string{"file-a"}})
	equal(t, "Retry-After", r.header.Get("Retry-After"), "40")
	equal(t, "code", r.json["error"].(map[string]any)["code"], any("rate_limit_exceeded"))
	s.want(http.StatusTooManyRequests, http.MethodPost, "/v1/vector_stores/"+testStore+"/files", fields{"file_id": "file-b"})
	s.want(http.StatusOK, http.MethodPost, "/v1/vector_stores/vs_other/file_batches", fields{"file_ids": []string{"file-a"}})
	s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil)
	s.clock.advance(39499 * time.Millisecond)
	s.want(http.StatusTooManyRequests, http.MethodPost, batchesPath, fields{"file_ids": []string{"file-a"}})
	s.clock.advance(time.Millisecond)
	s.create("file-a")
}

func TestRateLimits_FilesAcrossStores(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Minute: 10 * time.Second, Behaviors: emulator.Behaviors{EnforceLimits: true}})
	s.emu.AddStore("vs_other")
	other := "/v1/vector_stores/vs_other/file_batches"
	s.create(numbered(1500)...)
	s.clock.advance(5 * time.Second)
	s.want(http.StatusOK, http.MethodPost, other, fields{"file_ids": numbered(500)})
	r := s.want(http.StatusTooManyRequests, http.MethodPost, other, fields{"file_ids": numbered(1)})
	equal(t, "Retry-After", r.header.Get("Retry-After"), "5")
	r = s.want(http.StatusTooManyRequests, http.MethodPost, other, fields{"file_ids": numbered(1501)})
	equal(t, "Retry-After for more", r.header.Get("Retry-After"), "10")
	s.clock.advance(5 * time.Second)
	s.want(http.StatusOK, http.MethodPost, other, fields{"file_ids": numbered(1500)})
	equal(t, "batches created", s.emu.CreateCount(), 3)
}

func TestRateLimits_DisabledByDefault(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	for range 301 {
		s.create(numbered(10)...)
	}
	equal(t, "batches created", s.emu.CreateCount(), 301)
}
