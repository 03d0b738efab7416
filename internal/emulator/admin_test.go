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

// admin calls the admin side, which asks for no key, and decodes its answer.
func admin[T any](b *bench, method, path string, body any) T {
	b.t.Helper()
	key := b.key
	b.key = ""
	defer func() { b.key = key }()
	r := b.want(http.StatusOK, method, "/_emulator"+path, body)
	var v T
	if err := json.Unmarshal([]byte(r.raw), &v); err != nil {
		b.t.Fatalf("%s %s: %v: %s", method, path, err, r.raw)
	}
	return v
}

func TestAdminCountsCallsThatItForgot(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	path, _ := b.create("file-a")
	b.do(http.MethodGet, path, nil)
	b.do(http.MethodGet, path, nil)
	b.do(http.MethodGet, path+"0", nil)
	admin[any](b, "DELETE", "/calls", nil)

	got := admin[map[string]map[int]int](b, "GET", "/call_counts", nil)
	equal(t, "counts", got, map[string]map[int]int{
		"create":   {http.StatusOK: 1},
		"retrieve": {http.StatusOK: 2, http.StatusNotFound: 1},
	})
}

func TestAdminShowsCalls(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	path, id := b.create("file-a")
	b.do(http.MethodGet, path, nil)
	b.do(http.MethodGet, path+"/files?limit=3", nil)
	b.key = "sk-wrong"
	b.do(http.MethodPost, path+"/cancel", nil)
	b.key = testKey
	b.do(http.MethodGet, "/v1/models", nil)

	calls := admin[[]emulator.Call](b, "GET", "/calls", nil)
	type seen struct {
		Operation emulator.Operation
		Method    string
		Path      string
		Query     string
		Batch     string
		Status    int
	}
	var got []seen
	for _, c := range calls {
		got = append(got, seen{c.Operation, c.Method, c.Path, c.Query, c.BatchID, c.Status})
	}
	equal(t, "calls", got, []seen{
		{emulator.Create, "POST", batchesPath, "", id, 200},
		{emulator.Retrieve, "GET", path, "", id, 200},
		{emulator.ListFiles, "GET", path + "/files", "limit=3", id, 200},
		{emulator.Cancel, "POST", path + "/cancel", "", id, 401},
		{emulator.UnknownOperation, "GET", "/v1/models", "", "", 404},
	})
	if calls[0].Key == calls[3].Key || calls[0].Key != calls[1].Key {
		t.Error("fingerprints do not tell the keys apart")
	}
	equal(t, "time", calls[0].Time, b.clock.now())
	equal(t, "of an operation", len(admin[[]emulator.Call](b, "GET", "/calls?operation=cancel", nil)), 1)
	equal(t, "of a batch", len(admin[[]emulator.Call](b, "GET", "/calls?batch="+id, nil)), 4)
	equal(t, "of another store", len(admin[[]emulator.Call](b, "GET", "/calls?vector_store=vs_none", nil)), 0)
	admin[any](b, "DELETE", "/calls", nil)
	equal(t, "after forgetting", len(admin[[]emulator.Call](b, "GET", "/calls", nil)), 0)
	equal(t, "batches", b.emu.CreateCount(), 1)
}

func TestAdminShowsBatches(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: time.Minute})
	path, id := b.create("file-b", "file-a")
	_, again := b.create("file-a", "file-b")
	b.do(http.MethodGet, path, nil)
	b.do(http.MethodGet, path, nil)
	b.do(http.MethodPost, path+"/cancel", nil)
	batches := admin[[]emulator.Batch](b, "GET", "/batches", nil)
	equal(t, "batches", batches[0], emulator.Batch{
		ID: id, VectorStoreID: testStore, CreatedAt: b.clock.now(), Status: "cancelled",
		FileCounts: emulator.FileCounts{Cancelled: 2, Total: 2}, FileIDs: []string{"file-b", "file-a"},
		Retrieves: 2, Cancels: 1,
	})
	equal(t, "one batch", admin[emulator.Batch](b, "GET", "/batches/"+again, nil).Status, "in_progress")
	equal(t, "file sets", admin[[]emulator.FileSet](b, "GET", "/file_sets", nil), []emulator.FileSet{
		{VectorStoreID: testStore, FileIDs: []string{"file-b", "file-a"}, BatchIDs: []string{id, again}},
	})
	equal(t, "attached", admin[[]emulator.AttachedFile](b, "GET", "/vector_stores/"+testStore+"/files", nil), []emulator.AttachedFile{
		{ID: "file-a", Status: "in_progress", BatchID: again, Attaches: 2},
		{ID: "file-b", Status: "in_progress", BatchID: again, Attaches: 2},
	})
	forced := admin[emulator.Batch](b, "PUT", "/batches/"+again, fields{"status": "failed"})
	equal(t, "forced", forced.Status, "failed")
	b.want(http.StatusNotFound, "GET", "/_emulator/batches/vsfb_none", nil)
	b.want(http.StatusNotFound, "PUT", "/_emulator/batches/vsfb_none", fields{"status": "failed"})
}

func TestAdminMakesThings(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	admin[any](b, "GET", "/health", nil)
	admin[any](b, "POST", "/vector_stores", fields{"id": "vs_made"})
	equal(t, "stores", admin[[]string](b, "GET", "/vector_stores", nil), []string{testStore, "vs_made"})
	made := admin[map[string]string](b, "POST", "/files", fields{"outcome": fields{"code": "invalid_file", "message": "No."}})["id"]
	admin[any](b, "POST", "/files", fields{"id": "file-b", "outcome": fields{"stuck": true}})
	r := b.want(http.StatusOK, "POST", "/v1/vector_stores/vs_made/file_batches", fields{"file_ids": []string{made, "file-b"}})
	equal(t, "batch", b.want(http.StatusOK, "GET", "/v1/vector_stores/vs_made/file_batches/"+r.text("id"), nil).state(), "in_progress 1/0/1/0/2")
	admin[any](b, "POST", "/vector_stores/vs_made/expire", nil)
	equal(t, "expired", b.want(http.StatusOK, "GET", "/v1/vector_stores/vs_made", nil).text("status"), "expired")
	admin[any](b, "DELETE", "/vector_stores/vs_made", nil)
	b.want(http.StatusNotFound, "GET", "/v1/vector_stores/vs_made", nil)
	b.want(http.StatusNotFound, "DELETE", "/_emulator/vector_stores/vs_made", nil)
	b.want(http.StatusNotFound, "GET", "/_emulator/vector_stores/vs_made/files", nil)
	b.want(http.StatusNotFound, "POST", "/_emulator/vector_stores/vs_made/expire", nil)
}

func TestAdminChangesSettingsAndClock(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: time.Minute, Parallel: 2})
	path, _ := b.create(numbered(4)...)
	settings := admin[map[string]any](b, "PATCH", "/settings", fields{"pace": "2h", "strict_files": true})
	equal(t, "changed", [3]any{settings["pace"], settings["strict_files"], settings["parallel"]}, [3]any{"2h0m0s", true, 2.0})
	equal(t, "in force", b.emu.Settings().Pace, 2*time.Hour)
	equal(t, "shown", admin[map[string]any](b, "GET", "/settings", nil), settings)
	admin[any](b, "POST", "/clock", fields{"advance": "2h"})
	equal(t, "batch", b.want(http.StatusOK, "GET", path, nil).state(), "in_progress 2/2/0/0/4")
	b.want(http.StatusNotFound, "POST", batchesPath, fields{"file_ids": []string{"file-new"}})
}

func TestAdminKeepsFaults(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	added := admin[map[string]any](b, "POST", "/faults", `{
		"operation": "retrieve", "times": 1, "status": 429, "delay": "1ms", "retry_at": "1m",
		"header": {"X-Note": "n"}, "body": "{}"}`)
	path, _ := b.create("file-a")
	r := b.want(http.StatusTooManyRequests, "GET", path, nil)
	equal(t, "headers", [2]string{r.header.Get("Retry-After"), r.header.Get("X-Note")}, [2]string{"Sun, 01 Mar 2026 12:01:00 GMT", "n"})
	b.want(http.StatusOK, "GET", path, nil)
	faults := admin[[]map[string]any](b, "GET", "/faults", nil)
	equal(t, "fault", [3]any{faults[0]["met"], faults[0]["delay"], faults[0]["id"]}, [3]any{1.0, "1ms", added["id"]})
	admin[any](b, "DELETE", "/faults/1", nil)
	b.want(http.StatusNotFound, "DELETE", "/_emulator/faults/1", nil)
	admin[any](b, "POST", "/faults", fields{"action": "drop"})
	admin[any](b, "DELETE", "/faults", nil)
	equal(t, "cleared", len(admin[[]any](b, "GET", "/faults", nil)), 0)
}

func TestAdminRefusesNonsense(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	for name, test := range map[string]struct {
		method, path string
		body         any
		status       int
	}{
		"action":         {"POST", "/faults", fields{"action": "explode"}, 400},
		"operation":      {"POST", "/faults", fields{"operation": "explode"}, 400},
		"status":         {"POST", "/faults", fields{"status": 99}, 400},
		"unknown field":  {"POST", "/faults", fields{"colour": "red"}, 400},
		"no JSON":        {"POST", "/faults", "{", 400},
		"too much":       {"POST", "/faults", strings.Repeat(" ", 1<<20+1), 413},
		"fault's ID":     {"DELETE", "/faults/x", nil, 400},
		"store's ID":     {"POST", "/vector_stores", fields{"id": "other"}, 400},
		"file's ID":      {"POST", "/files", fields{"id": "other"}, 400},
		"outcome":        {"POST", "/files", fields{"outcome": fields{"code": "bad"}}, 400},
		"duration":       {"PATCH", "/settings", fields{"pace": "fast"}, 400},
		"clock":          {"POST", "/clock", fields{"advance": 3}, 400},
		"path":           {"GET", "/nothing", nil, 404},
		"nothing at all": {"GET", "/", nil, 404},
	} {
		t.Run(name, func(t *testing.T) {
			b.in(t).want(test.status, test.method, "/_emulator"+test.path, test.body)
		})
	}
	equal(t, "faults", len(b.emu.Faults()), 0)
	equal(t, "calls to the API", len(b.emu.Calls()), 0)
}

func TestCallsAreBounded(t *testing.T) {
	b := newBenchWith(t, emulator.Options{MaxCalls: 10, VectorStores: []string{testStore}})
	var paths []string
	for range 35 {
		path, _ := b.create("file-a")
		paths = append(paths, path)
	}
	calls := b.emu.Calls()
	equal(t, "calls", len(calls), 10)
	if !strings.HasSuffix(paths[34], calls[9].BatchID) || !strings.HasSuffix(paths[25], calls[0].BatchID) {
		t.Error("the calls are not the newest")
	}
	equal(t, "batches", b.emu.CreateCount(), 35)
}

func TestLogHasOneLineARequestAndNoKey(t *testing.T) {
	var log bytes.Buffer
	b := newBenchWith(t, emulator.Options{APIKeys: []string{testKey}, VectorStores: []string{testStore}, Log: &log, Organization: "org-1"})
	path, _ := b.create("file-a")
	b.emu.AddFault(emulator.Fault{Operation: emulator.Retrieve, Status: 500})
	b.do(http.MethodGet, path+"?note=%0aforged", nil)
	b.key = "sk-not-the-key"
	r := b.do(http.MethodGet, path+"/files", nil)
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
			t.Fatalf("line %d of these is not as it should be:\n%s", i, log.String())
		}
	}
	if strings.Contains(log.String(), "sk-") {
		t.Errorf("there is a key in the log:\n%s", log.String())
	}
}
