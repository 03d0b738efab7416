// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// admin calls the admin API without a key, and decodes the response.
func admin[T any](s *testServer, method, path string, body any) T {
	s.t.Helper()
	key := s.key
	s.key = ""
	defer func() { s.key = key }()
	r := s.want(http.StatusOK, method, "/_emulator"+path, body)
	var v T
	if err := json.Unmarshal([]byte(r.raw), &v); err != nil {
		s.t.Fatalf("%s %s: %v: %s", method, path, err, r.raw)
	}
	return v
}

func TestAdminCallCounts_IncludeDeletedCalls(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	path, _ := s.create("file-a")
	s.do(http.MethodGet, path, nil)
	s.do(http.MethodGet, path, nil)
	s.do(http.MethodGet, path+"0", nil)
	admin[any](s, "DELETE", "/calls", nil)

	got := admin[map[string]map[int]int](s, "GET", "/call_counts", nil)
	equal(t, "counts", got, map[string]map[int]int{
		"create":   {http.StatusOK: 1},
		"retrieve": {http.StatusOK: 2, http.StatusNotFound: 1},
	})
}

func TestAdminCalls(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	path, id := s.create("file-a")
	s.do(http.MethodGet, path, nil)
	s.do(http.MethodGet, path+"/files?limit=3", nil)
	s.key = "sk-wrong"
	s.do(http.MethodPost, path+"/cancel", nil)
	s.key = testKey
	s.do(http.MethodGet, "/v1/models", nil)

	calls := admin[[]emulator.Call](s, "GET", "/calls", nil)
	type summary struct {
		Operation emulator.Operation
		Method    string
		Path      string
		Query     string
		Batch     string
		Status    int
	}
	var got []summary
	for _, c := range calls {
		got = append(got, summary{c.Operation, c.Method, c.Path, c.Query, c.BatchID, c.Status})
	}
	equal(t, "calls", got, []summary{
		{emulator.Create, "POST", batchesPath, "", id, 200},
		{emulator.Retrieve, "GET", path, "", id, 200},
		{emulator.ListFiles, "GET", path + "/files", "limit=3", id, 200},
		{emulator.Cancel, "POST", path + "/cancel", "", id, 401},
		{emulator.UnknownOperation, "GET", "/v1/models", "", "", 404},
	})
	if calls[0].Key == calls[3].Key || calls[0].Key != calls[1].Key {
		t.Error("the fingerprints do not distinguish the keys")
	}
	equal(t, "time", calls[0].Time, s.clock.now())
	equal(t, "of an operation", len(admin[[]emulator.Call](s, "GET", "/calls?operation=cancel", nil)), 1)
	equal(t, "of a batch", len(admin[[]emulator.Call](s, "GET", "/calls?batch="+id, nil)), 4)
	equal(t, "of another store", len(admin[[]emulator.Call](s, "GET", "/calls?vector_store=vs_none", nil)), 0)
	admin[any](s, "DELETE", "/calls", nil)
	equal(t, "after deletion", len(admin[[]emulator.Call](s, "GET", "/calls", nil)), 0)
	equal(t, "batches", s.emu.CreateCount(), 1)
}

func TestAdminBatches(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Minute})
	path, id := s.create("file-b", "file-a")
	_, again := s.create("file-a", "file-b")
	s.do(http.MethodGet, path, nil)
	s.do(http.MethodGet, path, nil)
	s.do(http.MethodPost, path+"/cancel", nil)
	batches := admin[[]emulator.Batch](s, "GET", "/batches", nil)
	equal(t, "batches", batches[0], emulator.Batch{
		ID: id, VectorStoreID: testStore, CreatedAt: s.clock.now(), Status: "cancelled",
		FileCounts: emulator.FileCounts{Cancelled: 2, Total: 2}, FileIDs: []string{"file-b", "file-a"},
		Retrieves: 2, Cancels: 1,
	})
	equal(t, "one batch", admin[emulator.Batch](s, "GET", "/batches/"+again, nil).Status, "in_progress")
	equal(t, "file sets", admin[[]emulator.FileSet](s, "GET", "/file_sets", nil), []emulator.FileSet{
		{VectorStoreID: testStore, FileIDs: []string{"file-b", "file-a"}, BatchIDs: []string{id, again}},
	})
	equal(t, "attached", admin[[]emulator.AttachedFile](s, "GET", "/vector_stores/"+testStore+"/files", nil), []emulator.AttachedFile{
		{ID: "file-a", Status: "in_progress", BatchID: again, Attaches: 2},
		{ID: "file-b", Status: "in_progress", BatchID: again, Attaches: 2},
	})
	forced := admin[emulator.Batch](s, "PUT", "/batches/"+again, fields{"status": "failed"})
	equal(t, "forced", forced.Status, "failed")
	s.want(http.StatusNotFound, "GET", "/_emulator/batches/vsfb_none", nil)
	s.want(http.StatusNotFound, "PUT", "/_emulator/batches/vsfb_none", fields{"status": "failed"})
}

func TestAdmin_CreatesStoresAndFiles(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	admin[any](s, "GET", "/health", nil)
	admin[any](s, "POST", "/vector_stores", fields{"id": "vs_made"})
	equal(t, "stores", admin[[]string](s, "GET", "/vector_stores", nil), []string{testStore, "vs_made"})
	made := admin[map[string]string](s, "POST", "/files", fields{"outcome": fields{"code": "invalid_file", "message": "No."}})["id"]
	admin[any](s, "POST", "/files", fields{"id": "file-b", "outcome": fields{"stuck": true}})
	r := s.want(http.StatusOK, "POST", "/v1/vector_stores/vs_made/file_batches", fields{"file_ids": []string{made, "file-b"}})
	equal(t, "batch", s.want(http.StatusOK, "GET", "/v1/vector_stores/vs_made/file_batches/"+r.text("id"), nil).state(), "in_progress 1/0/1/0/2")
	admin[any](s, "POST", "/vector_stores/vs_made/expire", nil)
	equal(t, "expired", s.want(http.StatusOK, "GET", "/v1/vector_stores/vs_made", nil).text("status"), "expired")
	admin[any](s, "DELETE", "/vector_stores/vs_made", nil)
	s.want(http.StatusNotFound, "GET", "/v1/vector_stores/vs_made", nil)
	s.want(http.StatusNotFound, "DELETE", "/_emulator/vector_stores/vs_made", nil)
	s.want(http.StatusNotFound, "GET", "/_emulator/vector_stores/vs_made/files", nil)
	s.want(http.StatusNotFound, "POST", "/_emulator/vector_stores/vs_made/expire", nil)
}

func TestAdmin_ChangesSettingsAndClock(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Minute, Parallel: 2})
	path, _ := s.create(numbered(4)...)
	settings := admin[map[string]any](s, "PATCH", "/settings", fields{"pace": "2h", "strict_files": true})
	equal(t, "changed", [3]any{settings["pace"], settings["strict_files"], settings["parallel"]}, [3]any{"2h0m0s", true, 2.0})
	equal(t, "in force", s.emu.Settings().Pace, 2*time.Hour)
	equal(t, "shown", admin[map[string]any](s, "GET", "/settings", nil), settings)
	admin[any](s, "POST", "/clock", fields{"advance": "2h"})
	equal(t, "batch", s.want(http.StatusOK, "GET", path, nil).state(), "in_progress 2/2/0/0/4")
	s.want(http.StatusNotFound, "POST", batchesPath, fields{"file_ids": []string{"file-new"}})
}

func TestAdminFaults(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	added := admin[map[string]any](s, "POST", "/faults", `{
		"operation": "retrieve", "times": 1, "status": 429, "delay": "1ms", "retry_at": "1m",
		"header": {"X-Note": "n"}, "body": "{}"}`)
	path, _ := s.create("file-a")
	r := s.want(http.StatusTooManyRequests, "GET", path, nil)
	equal(t, "headers", [2]string{r.header.Get("Retry-After"), r.header.Get("X-Note")}, [2]string{"Sun, 01 Mar 2026 12:01:00 GMT", "n"})
	s.want(http.StatusOK, "GET", path, nil)
	faults := admin[[]map[string]any](s, "GET", "/faults", nil)
	equal(t, "fault", [3]any{faults[0]["met"], faults[0]["delay"], faults[0]["id"]}, [3]any{1.0, "1ms", added["id"]})
	admin[any](s, "DELETE", "/faults/1", nil)
	s.want(http.StatusNotFound, "DELETE", "/_emulator/faults/1", nil)
	admin[any](s, "POST", "/faults", fields{"action": "drop"})
	admin[any](s, "DELETE", "/faults", nil)
	equal(t, "cleared", len(admin[[]any](s, "GET", "/faults", nil)), 0)
}

func TestAdmin_RejectsInvalidRequests(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	for name, test := range map[string]struct {
		method, path string
		body         any
		status       int
	}{
		"action":        {"POST", "/faults", fields{"action": "explode"}, 400},
		"operation":     {"POST", "/faults", fields{"operation": "explode"}, 400},
		"status":        {"POST", "/faults", fields{"status": 99}, 400},
		"unknown field": {"POST", "/faults", fields{"colour": "red"}, 400},
		"invalid JSON":  {"POST", "/faults", "{", 400},
		"large body":    {"POST", "/faults", strings.Repeat(" ", 1<<20+1), 413},
		"fault ID":      {"DELETE", "/faults/x", nil, 400},
		"store ID":      {"POST", "/vector_stores", fields{"id": "other"}, 400},
		"file ID":       {"POST", "/files", fields{"id": "other"}, 400},
		"outcome":       {"POST", "/files", fields{"outcome": fields{"code": "bad"}}, 400},
		"duration":      {"PATCH", "/settings", fields{"pace": "fast"}, 400},
		"clock":         {"POST", "/clock", fields{"advance": 3}, 400},
		"unknown path":  {"GET", "/nothing", nil, 404},
		"root path":     {"GET", "/", nil, 404},
	} {
		t.Run(name, func(t *testing.T) {
			s.in(t).want(test.status, test.method, "/_emulator"+test.path, test.body)
		})
	}
	equal(t, "faults", len(s.emu.Faults()), 0)
	equal(t, "calls to the API", len(s.emu.Calls()), 0)
}

func TestCalls_KeepsNewest(t *testing.T) {
	s := newTestServerWithOptions(t, emulator.Options{MaxCalls: 10, VectorStores: []string{testStore}})
	var paths []string
	for range 35 {
		path, _ := s.create("file-a")
		paths = append(paths, path)
	}
	calls := s.emu.Calls()
	equal(t, "calls", len(calls), 10)
	if !strings.HasSuffix(paths[34], calls[9].BatchID) || !strings.HasSuffix(paths[25], calls[0].BatchID) {
		t.Error("the recorded calls are not the newest")
	}
	equal(t, "batches", s.emu.CreateCount(), 35)
}

func TestLog_WritesOneLinePerRequestWithoutKey(t *testing.T) {
	var log bytes.Buffer
	s := newTestServerWithOptions(t, emulator.Options{APIKeys: []string{testKey}, VectorStores: []string{testStore}, Log: &log, Organization: "org-1"})
	path, _ := s.create("file-a")
	s.emu.AddFault(emulator.Fault{Operation: emulator.Retrieve, Status: 500})
	s.do(http.MethodGet, path+"?note=%0aforged", nil)
	s.key = "sk-not-the-key"
	r := s.do(http.MethodGet, path+"/files", nil)
	for name, pattern := range map[string]string{
		"X-Request-Id": "^req_[0-9a-f]{32}$", "Openai-Version": "^[0-9-]+$",
		"Openai-Processing-Ms": "^[0-9]+$", "Openai-Organization": "^org-1$",
	} {
		if !regexp.MustCompile(pattern).MatchString(r.header.Get(name)) {
			t.Errorf("%s is %q", name, r.header.Get(name))
		}
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	for i, pattern := range []string{
		"^2026-03-01T12:00:00Z 200 POST " + batchesPath + " operation=create request=req_[0-9a-f]+ key=[0-9a-f]{8}$",
		"^2026-03-01T12:00:00Z 500 GET .*note=%0aforged operation=retrieve .* fault=answer$",
		"^2026-03-01T12:00:00Z 401 GET .* operation=list_files ",
	} {
		if len(lines) != 3 || !regexp.MustCompile(pattern).MatchString(lines[i]) {
			t.Fatalf("line %d does not match %s in:\n%s", i, pattern, log.String())
		}
	}
	if strings.Contains(log.String(), "sk-") {
		t.Errorf("the log contains a key:\n%s", log.String())
	}
}
