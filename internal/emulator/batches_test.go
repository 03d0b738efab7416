// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

func TestBatch_ProcessesOneFileAtATime(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: 10 * time.Second})
	created := s.want(http.StatusOK, http.MethodPost, batchesPath,
		map[string]any{"file_ids": []string{"file-a", "file-fail-unsupported-b", "file-c"}})
	equal(t, "created", created.state(), "in_progress 3/0/0/0/3")
	equal(t, "object", created.text("object"), "vector_store.file_batch")
	equal(t, "store", created.text("vector_store_id"), testStore)
	if id := created.text("id"); !strings.HasPrefix(id, "vsfb_") || len(id) != len("vsfb_")+32 {
		t.Errorf("got ID %q, want vsfb_ and 32 digits", id)
	}
	path := batchesPath + "/" + created.text("id")
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{0, "in_progress 3/0/0/0/3"},
		{10*time.Second - 1, "in_progress 3/0/0/0/3"},
		{1, "in_progress 2/1/0/0/3"},
		{10 * time.Second, "in_progress 1/1/1/0/3"},
		{10 * time.Second, "completed 0/2/1/0/3"},
		{time.Hour, "completed 0/2/1/0/3"},
	} {
		s.clock.advance(step.after)
		equal(t, "state", s.want(http.StatusOK, http.MethodGet, path, nil).state(), step.want)
	}
}

func TestBatch_ProcessesFilesInParallel(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Second, Parallel: 4})
	path, _ := s.create(numbered(10)...)
	for _, want := range []string{"in_progress 6/4/0/0/10", "in_progress 2/8/0/0/10", "completed 0/10/0/0/10"} {
		s.clock.advance(time.Second)
		equal(t, "state", s.want(http.StatusOK, http.MethodGet, path, nil).state(), want)
	}
}

func TestConfigure_NewPaceAppliesFromNowOn(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Minute})
	path, _ := s.create(numbered(4)...)
	s.clock.advance(90 * time.Second)
	s.emu.Configure(func(s *emulator.Settings) { s.Pace = time.Hour })
	s.clock.advance(59 * time.Minute)
	equal(t, "before the hour", s.want(http.StatusOK, http.MethodGet, path, nil).state(), "in_progress 3/1/0/0/4")
	s.clock.advance(time.Minute)
	equal(t, "after the hour", s.want(http.StatusOK, http.MethodGet, path, nil).state(), "in_progress 2/2/0/0/4")
	s.emu.Configure(func(s *emulator.Settings) { s.Pace = 0 })
	equal(t, "without a pace", s.want(http.StatusOK, http.MethodGet, path, nil).state(), "completed 0/4/0/0/4")
}

func TestCreateBatch_DuplicateFileCountsOnce(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Second})
	created := s.want(http.StatusOK, http.MethodPost, batchesPath,
		map[string]any{"file_ids": []string{"file-a", "file-b", "file-a"}})
	equal(t, "counts", created.counts(), "2/0/0/0/2")
	equal(t, "attached", s.emu.AttachedFileIDs(testStore), []string{"file-a", "file-b"})
}

func TestCreateBatch_ReattachedFileIsInStoreOnce(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	first, firstID := s.create("file-a", "file-b")
	second, secondID := s.create("file-b", "file-a")
	equal(t, "first", s.want(http.StatusOK, http.MethodGet, first, nil).state(), "completed 0/2/0/0/2")
	equal(t, "second", s.want(http.StatusOK, http.MethodGet, second, nil).state(), "completed 0/2/0/0/2")
	store := s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil)
	equal(t, "store", store.counts(), "0/2/0/0/2")
	equal(t, "attached", s.emu.AttachedFiles(testStore), []emulator.AttachedFile{
		{ID: "file-b", Status: "completed", BatchID: secondID, Attaches: 2},
		{ID: "file-a", Status: "completed", BatchID: secondID, Attaches: 2},
	})
	equal(t, "batches of the set", s.emu.BatchesOf(testStore, "file-a", "file-b"), []string{firstID, secondID})
	equal(t, "batches of a subset", s.emu.BatchesOf(testStore, "file-a"), nil)
}

func TestCancel(t *testing.T) {
	tests := map[string]struct {
		settings  emulator.Settings
		processed time.Duration // before the cancel
		response  string
		later     time.Duration // after the cancel
		final     string
	}{
		"takes effect after the response": {
			settings:  emulator.Settings{Pace: 10 * time.Second},
			processed: 15 * time.Second, response: "in_progress 2/1/0/0/3", final: "cancelled 0/1/0/2/3",
		},
		"waits for the delay": {
			settings:  emulator.Settings{Pace: 10 * time.Second, CancelDelay: 4 * time.Second},
			processed: 11 * time.Second, response: "in_progress 2/1/0/0/3",
			later: 4*time.Second - 1, final: "in_progress 2/1/0/0/3",
		},
		"cancels the files that the delay left": {
			settings:  emulator.Settings{Pace: 10 * time.Second, CancelDelay: 10 * time.Second},
			processed: 11 * time.Second, response: "in_progress 2/1/0/0/3",
			later: time.Hour, final: "cancelled 0/2/0/1/3",
		},
		"batch completes during the delay": {
			settings:  emulator.Settings{Pace: 10 * time.Second, CancelDelay: 10 * time.Second},
			processed: 21 * time.Second, response: "in_progress 1/2/0/0/3",
			later: time.Hour, final: "completed 0/3/0/0/3",
		},
		"batch is finished": {
			settings:  emulator.Settings{Pace: 10 * time.Second},
			processed: time.Hour, response: "completed 0/3/0/0/3", final: "completed 0/3/0/0/3",
		},
		"cancelling status": {
			settings:  emulator.Settings{Pace: 10 * time.Second, CancelDelay: time.Second, Behaviors: emulator.Behaviors{CancellingStatus: "cancelling"}},
			processed: 0, response: "cancelling 3/0/0/0/3", final: "cancelling 3/0/0/0/3",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, test.settings)
			path, id := s.create(numbered(3)...)
			s.clock.advance(test.processed)
			equal(t, "response", s.want(http.StatusOK, http.MethodPost, path+"/cancel", nil).state(), test.response)
			s.clock.advance(test.later)
			equal(t, "final", s.want(http.StatusOK, http.MethodGet, path, nil).state(), test.final)
			batch, _ := s.emu.Batch(id)
			equal(t, "cancels and retrieves", [2]int{batch.Cancels, batch.Retrieves}, [2]int{1, 1})
		})
	}
}

func TestCancel_RepeatedDoesNotExtendDelay(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Hour, CancelDelay: 10 * time.Second})
	path, _ := s.create("file-a")
	s.want(http.StatusOK, http.MethodPost, path+"/cancel", nil)
	s.clock.advance(9 * time.Second)
	s.want(http.StatusOK, http.MethodPost, path+"/cancel", nil)
	s.clock.advance(time.Second)
	equal(t, "state", s.want(http.StatusOK, http.MethodGet, path, nil).state(), "cancelled 0/0/0/1/1")
}

func TestCancel_FinishedBatchIsRejected(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Behaviors: emulator.Behaviors{RejectLateCancel: true}})
	path, _ := s.create("file-a")
	r := s.want(http.StatusBadRequest, http.MethodPost, path+"/cancel", nil)
	if !strings.Contains(r.message(), "completed") {
		t.Errorf("message %q does not contain the status", r.message())
	}
	equal(t, "state", s.want(http.StatusOK, http.MethodGet, path, nil).state(), "completed 0/1/0/0/1")
}

func TestOutcome_StuckFileNeverFinishes(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Second})
	path, _ := s.create("file-stuck-a", "file-b")
	s.clock.advance(1000 * time.Hour)
	equal(t, "stuck", s.want(http.StatusOK, http.MethodGet, path, nil).state(), "in_progress 1/1/0/0/2")
	s.emu.SetOutcome("file-stuck-a", emulator.Outcome{})
	equal(t, "finished", s.want(http.StatusOK, http.MethodGet, path, nil).state(), "completed 0/2/0/0/2")

	path, _ = s.create("file-stuck-c")
	s.clock.advance(time.Hour)
	s.want(http.StatusOK, http.MethodPost, path+"/cancel", nil)
	equal(t, "cancelled", s.want(http.StatusOK, http.MethodGet, path, nil).state(), "cancelled 0/0/0/1/1")
}

func TestOutcome_FailedFiles(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	s.emu.SetOutcome("file-set", emulator.Outcome{Code: emulator.InvalidFile, Message: "It is torn."})
	path, _ := s.create("file-fail-unsupported-a", "file-fail-invalid-b", "file-fail-c", "file-set", "file-fine")
	got := map[string]any{}
	for _, item := range s.want(http.StatusOK, http.MethodGet, path+"/files", nil).json["data"].([]any) {
		file := item.(map[string]any)
		if e, failed := file["last_error"].(map[string]any); failed {
			got[file["id"].(string)] = e["code"]
			equal(t, "status", file["status"], any("failed"))
			equal(t, "usage", file["usage_bytes"], any(0.0))
		}
	}
	equal(t, "codes", got, map[string]any{
		"file-fail-unsupported-a": "unsupported_file", "file-fail-invalid-b": "invalid_file",
		"file-fail-c": "server_error", "file-set": "invalid_file",
	})
	file := s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore+"/files/file-set", nil)
	equal(t, "message", file.json["last_error"], any(map[string]any{"code": "invalid_file", "message": "It is torn."}))
}

func TestCreateBatch_FileSettings(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	static := map[string]any{"type": "static", "static": map[string]any{"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100}}
	auto := map[string]any{"type": "static", "static": map[string]any{"max_chunk_size_tokens": 800.0, "chunk_overlap_tokens": 400.0}}
	read := func(id string) (any, any) {
		f := s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore+"/files/"+id, nil)
		return f.json["attributes"], f.json["chunking_strategy"]
	}

	s.want(http.StatusOK, http.MethodPost, batchesPath, map[string]any{
		"file_ids": []string{"file-a"}, "attributes": map[string]any{"lang": "en", "page": 3, "draft": false},
	})
	attributes, chunking := read("file-a")
	equal(t, "attributes", attributes, any(map[string]any{"lang": "en", "page": 3.0, "draft": false}))
	equal(t, "auto chunking", chunking, any(auto))

	// With files, the settings at the top level are ignored, even if they are invalid.
	s.want(http.StatusOK, http.MethodPost, batchesPath, map[string]any{
		"files": []any{
			map[string]any{"file_id": "file-b", "attributes": map[string]any{"own": true}, "chunking_strategy": static},
			map[string]any{"file_id": "file-c"},
		},
		"attributes": map[string]any{"top": []int{1}}, "chunking_strategy": map[string]any{"type": "unheard of"},
	})
	attributes, chunking = read("file-b")
	equal(t, "own attributes", attributes, any(map[string]any{"own": true}))
	equal(t, "own chunking", chunking, any(map[string]any{
		"type": "static", "static": map[string]any{"max_chunk_size_tokens": 200.0, "chunk_overlap_tokens": 100.0},
	}))
	attributes, chunking = read("file-c")
	equal(t, "no attributes", attributes, any(map[string]any{}))
	equal(t, "default chunking", chunking, any(auto))
}

func TestSettings_CompatibleServers(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Behaviors: emulator.Behaviors{
		BatchIDPrefix: "batch_", BatchObject: "vector_store.files_batch", ExtraFields: true, DriftingCreation: true,
	}})
	created := s.want(http.StatusOK, http.MethodPost, batchesPath, map[string]any{"file_ids": []string{"file-a"}})
	id := created.text("id")
	if !strings.HasPrefix(id, "batch_") {
		t.Errorf("ID %q does not begin with batch_", id)
	}
	equal(t, "object", created.text("object"), "vector_store.files_batch")
	retrieved := s.want(http.StatusOK, http.MethodGet, batchesPath+"/"+id, nil)
	equal(t, "drift", retrieved.json["created_at"].(float64)-created.json["created_at"].(float64), 1.0)
	files := s.want(http.StatusOK, http.MethodGet, batchesPath+"/"+id+"/files", nil)
	for what, object := range map[string]map[string]any{
		"batch": created.json, "list": files.json, "item": files.json["data"].([]any)[0].(map[string]any),
	} {
		if object["x_emulated_extra"] == nil {
			t.Errorf("%s has no extra field", what)
		}
	}
	s.want(http.StatusBadRequest, http.MethodGet, batchesPath+"/vsfb_1", nil)

	s = newTestServer(t, emulator.Settings{Behaviors: emulator.Behaviors{BatchIDPrefix: "vsfb_ibj_"}})
	path, id := s.create("file-a")
	if !strings.HasPrefix(id, "vsfb_ibj_") {
		t.Errorf("ID %q does not begin with vsfb_ibj_", id)
	}
	s.want(http.StatusOK, http.MethodGet, path, nil)
	s.want(http.StatusNotFound, http.MethodGet, batchesPath+"/vsfb_1", nil)
}

func TestSetBatchStatus(t *testing.T) {
	tests := map[string]struct{ want, file string }{
		"completed":    {"completed 0/3/0/0/3", "completed"},
		"cancelled":    {"cancelled 0/1/0/2/3", "cancelled"},
		"failed":       {"failed 0/1/2/0/3", "failed"},
		"reticulating": {"reticulating 2/1/0/0/3", "in_progress"},
		"":             {"in_progress 2/1/0/0/3", "in_progress"},
	}
	for status, test := range tests {
		t.Run("to "+status, func(t *testing.T) {
			s := newTestServer(t, emulator.Settings{Pace: time.Minute})
			path, id := s.create(numbered(3)...)
			s.clock.advance(time.Minute)
			if err := s.emu.SetBatchStatus(id, status); err != nil {
				t.Fatal(err)
			}
			equal(t, "batch", s.want(http.StatusOK, http.MethodGet, path, nil).state(), test.want)
			file := s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore+"/files/file-0002", nil)
			equal(t, "file", file.text("status"), test.file)
			store := s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil)
			equal(t, "store", store.counts(), strings.SplitN(test.want, " ", 2)[1])
		})
	}
	if err := newTestServer(t, emulator.Settings{}).emu.SetBatchStatus("vsfb_none", "failed"); err == nil {
		t.Error("setting the status of an unknown batch succeeded")
	}
}

func TestErrors_UnknownObjects(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	s.emu.AddStore("vs_other")
	path, id := s.create("file-a")
	tests := map[string]struct {
		method, path string
		status       int
		message      string
	}{
		"store":                {"POST", "/v1/vector_stores/vs_none/file_batches", 404, "No vector store found with id 'vs_none'."},
		"batch":                {"GET", batchesPath + "/vsfb_none", 404, "No file batch found with id 'vsfb_none' in vector store 'vs_test'."},
		"cancel":               {"POST", batchesPath + "/vsfb_none/cancel", 404, "No file batch found with id 'vsfb_none' in vector store 'vs_test'."},
		"batch of other store": {"GET", "/v1/vector_stores/vs_other/file_batches/" + id, 404, "No file batch found with id '" + id + "' in vector store 'vs_other'."},
		"file":                 {"GET", "/v1/vector_stores/vs_test/files/file-none", 404, "No file found with id 'file-none' in vector store 'vs_test'."},
		"store prefix":         {"GET", "/v1/vector_stores/none", 400, "Invalid 'vector_store_id': 'none'. Expected an ID that begins with 'vs_'."},
		"batch prefix":         {"GET", batchesPath + "/vs_1", 400, "Invalid 'batch_id': 'vs_1'. Expected an ID that begins with 'vsfb_'."},
		"file prefix":          {"GET", "/v1/vector_stores/vs_test/files/none", 400, "Invalid 'file_id': 'none'. Expected an ID that begins with 'file-'."},
		"escaped slash":        {"GET", batchesPath + "/" + id + "%2Fcancel", 404, "No file batch found with id '" + id + "/cancel' in vector store 'vs_test'."},
		"URL":                  {"GET", "/v1/models", 404, "Invalid URL (GET /v1/models)"},
		"URL without an ID":    {"GET", "/v1/vector_stores/vs_test/files/", 404, "Invalid URL (GET /v1/vector_stores/vs_test/files/)"},
		"method":               {"PUT", path, 405, "Not allowed to PUT on " + path + "."},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := s.in(t).want(test.status, test.method, test.path, "{}")
			equal(t, "message", r.message(), test.message)
			e := r.json["error"].(map[string]any)
			equal(t, "type", e["type"], any("invalid_request_error"))
			for _, field := range []string{"param", "code"} {
				if _, exists := e[field]; !exists {
					t.Errorf("the error has no %s", field)
				}
			}
		})
	}
	equal(t, "Allow", s.do("PUT", path, nil).header.Get("Allow"), "GET")
}

func TestDeleteStore_DeletesBatches(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Second})
	path, _ := s.create("file-a")
	if !s.emu.DeleteStore(testStore) || s.emu.DeleteStore(testStore) {
		t.Error("a store must be deletable exactly once")
	}
	s.want(http.StatusNotFound, http.MethodGet, path, nil)
	s.want(http.StatusNotFound, http.MethodPost, path+"/cancel", nil)
	s.want(http.StatusNotFound, http.MethodPost, batchesPath, map[string]any{"file_ids": []string{"file-a"}})
	equal(t, "batches created", s.emu.CreateCount(), 1)
}

func TestRoutes_WithoutBasePath(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	path, _ := s.create("file-a")
	s.want(http.StatusNotFound, http.MethodGet, strings.TrimPrefix(path, "/v1"), nil)
	s.emu.Configure(func(s *emulator.Settings) { s.StrictPath = false })
	s.want(http.StatusOK, http.MethodGet, strings.TrimPrefix(path, "/v1"), nil)
	s.want(http.StatusNotFound, http.MethodGet, "/v2"+strings.TrimPrefix(path, "/v1"), nil)
}

func TestSeed_RepeatsIDs(t *testing.T) {
	ids := func(seed string, polls int) string {
		s := newTestServerWithOptions(t, emulator.Options{Seed: seed, VectorStores: []string{testStore}})
		path, first := s.create("file-a")
		for range polls {
			s.want(http.StatusOK, http.MethodGet, path, nil)
		}
		_, second := s.create("file-a")
		return first + " " + second
	}
	if ids("one", 0) != ids("one", 3) {
		t.Error("the same seed generates different IDs")
	}
	unseeded, other := ids("", 0), ids("", 0)
	if ids("one", 0) == ids("two", 0) || unseeded == other {
		t.Error("different seeds generate the same IDs")
	}
}
