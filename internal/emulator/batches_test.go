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

func TestBatchIsProcessedFileByFile(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: 10 * time.Second})
	created := b.want(http.StatusOK, http.MethodPost, batchesPath,
		map[string]any{"file_ids": []string{"file-a", "file-fail-unsupported-b", "file-c"}})
	equal(t, "created", created.state(), "in_progress 3/0/0/0/3")
	equal(t, "object", created.text("object"), "vector_store.file_batch")
	equal(t, "store", created.text("vector_store_id"), testStore)
	if id := created.text("id"); !strings.HasPrefix(id, "vsfb_") || len(id) != len("vsfb_")+32 {
		t.Errorf("id %q is not vsfb_ and 32 digits", id)
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
		b.clock.advance(step.after)
		equal(t, "state", b.want(http.StatusOK, http.MethodGet, path, nil).state(), step.want)
	}
}

func TestFilesAreProcessedInParallel(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: time.Second, Parallel: 4})
	path, _ := b.create(numbered(10)...)
	for _, want := range []string{"in_progress 6/4/0/0/10", "in_progress 2/8/0/0/10", "completed 0/10/0/0/10"} {
		b.clock.advance(time.Second)
		equal(t, "state", b.want(http.StatusOK, http.MethodGet, path, nil).state(), want)
	}
}

func TestNewPaceCountsFromNowOn(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: time.Minute})
	path, _ := b.create(numbered(4)...)
	b.clock.advance(90 * time.Second)
	b.emu.Configure(func(s *emulator.Settings) { s.Pace = time.Hour })
	b.clock.advance(59 * time.Minute)
	equal(t, "before the hour", b.want(http.StatusOK, http.MethodGet, path, nil).state(), "in_progress 3/1/0/0/4")
	b.clock.advance(time.Minute)
	equal(t, "after the hour", b.want(http.StatusOK, http.MethodGet, path, nil).state(), "in_progress 2/2/0/0/4")
	b.emu.Configure(func(s *emulator.Settings) { s.Pace = 0 })
	equal(t, "without a pace", b.want(http.StatusOK, http.MethodGet, path, nil).state(), "completed 0/4/0/0/4")
}

func TestRepeatedFileCountsOnce(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: time.Second})
	created := b.want(http.StatusOK, http.MethodPost, batchesPath,
		map[string]any{"file_ids": []string{"file-a", "file-b", "file-a"}})
	equal(t, "counts", created.counts(), "2/0/0/0/2")
	equal(t, "attached", b.emu.AttachedFileIDs(testStore), []string{"file-a", "file-b"})
}

func TestFileAttachedTwiceIsAttachedOnce(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	first, firstID := b.create("file-a", "file-b")
	second, secondID := b.create("file-b", "file-a")
	equal(t, "first", b.want(http.StatusOK, http.MethodGet, first, nil).state(), "completed 0/2/0/0/2")
	equal(t, "second", b.want(http.StatusOK, http.MethodGet, second, nil).state(), "completed 0/2/0/0/2")
	store := b.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil)
	equal(t, "store", store.counts(), "0/2/0/0/2")
	equal(t, "attached", b.emu.AttachedFiles(testStore), []emulator.AttachedFile{
		{ID: "file-b", Status: "completed", BatchID: secondID, Attaches: 2},
		{ID: "file-a", Status: "completed", BatchID: secondID, Attaches: 2},
	})
	equal(t, "batches of the set", b.emu.BatchesOf(testStore, "file-a", "file-b"), []string{firstID, secondID})
	equal(t, "batches of part of it", b.emu.BatchesOf(testStore, "file-a"), nil)
}

func TestCancel(t *testing.T) {
	tests := map[string]struct {
		settings  emulator.Settings
		processed time.Duration // before the cancel
		answered  string
		later     time.Duration // after the cancel
		ended     string
	}{
		"takes effect after the answer": {
			settings:  emulator.Settings{Pace: 10 * time.Second},
			processed: 15 * time.Second, answered: "in_progress 2/1/0/0/3", ended: "cancelled 0/1/0/2/3",
		},
		"takes its delay": {
			settings:  emulator.Settings{Pace: 10 * time.Second, CancelDelay: 4 * time.Second},
			processed: 11 * time.Second, answered: "in_progress 2/1/0/0/3",
			later: 4*time.Second - 1, ended: "in_progress 2/1/0/0/3",
		},
		"ends what the delay left over": {
			settings:  emulator.Settings{Pace: 10 * time.Second, CancelDelay: 10 * time.Second},
			processed: 11 * time.Second, answered: "in_progress 2/1/0/0/3",
			later: time.Hour, ended: "cancelled 0/2/0/1/3",
		},
		"loses the race against completion": {
			settings:  emulator.Settings{Pace: 10 * time.Second, CancelDelay: 10 * time.Second},
			processed: 21 * time.Second, answered: "in_progress 1/2/0/0/3",
			later: time.Hour, ended: "completed 0/3/0/0/3",
		},
		"comes too late": {
			settings:  emulator.Settings{Pace: 10 * time.Second},
			processed: time.Hour, answered: "completed 0/3/0/0/3", ended: "completed 0/3/0/0/3",
		},
		"has its own status": {
			settings:  emulator.Settings{Pace: 10 * time.Second, CancelDelay: time.Second, CancellingStatus: "cancelling"},
			processed: 0, answered: "cancelling 3/0/0/0/3", ended: "cancelling 3/0/0/0/3",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, test.settings)
			path, id := b.create(numbered(3)...)
			b.clock.advance(test.processed)
			equal(t, "answer", b.want(http.StatusOK, http.MethodPost, path+"/cancel", nil).state(), test.answered)
			b.clock.advance(test.later)
			equal(t, "end", b.want(http.StatusOK, http.MethodGet, path, nil).state(), test.ended)
			batch, _ := b.emu.Batch(id)
			equal(t, "cancels and retrieves", [2]int{batch.Cancels, batch.Retrieves}, [2]int{1, 1})
		})
	}
}

func TestRepeatedCancelDoesNotPutItOff(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: time.Hour, CancelDelay: 10 * time.Second})
	path, _ := b.create("file-a")
	b.want(http.StatusOK, http.MethodPost, path+"/cancel", nil)
	b.clock.advance(9 * time.Second)
	b.want(http.StatusOK, http.MethodPost, path+"/cancel", nil)
	b.clock.advance(time.Second)
	equal(t, "state", b.want(http.StatusOK, http.MethodGet, path, nil).state(), "cancelled 0/0/0/1/1")
}

func TestLateCancelCanBeRejected(t *testing.T) {
	b := newBench(t, emulator.Settings{RejectLateCancel: true})
	path, _ := b.create("file-a")
	r := b.want(http.StatusBadRequest, http.MethodPost, path+"/cancel", nil)
	if !strings.Contains(r.message(), "completed") {
		t.Errorf("message %q does not name the status", r.message())
	}
	equal(t, "state", b.want(http.StatusOK, http.MethodGet, path, nil).state(), "completed 0/1/0/0/1")
}

func TestStuckFileNeverFinishes(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: time.Second})
	path, _ := b.create("file-stuck-a", "file-b")
	b.clock.advance(1000 * time.Hour)
	equal(t, "stuck", b.want(http.StatusOK, http.MethodGet, path, nil).state(), "in_progress 1/1/0/0/2")
	b.emu.SetOutcome("file-stuck-a", emulator.Outcome{})
	equal(t, "let go", b.want(http.StatusOK, http.MethodGet, path, nil).state(), "completed 0/2/0/0/2")

	path, _ = b.create("file-stuck-c")
	b.clock.advance(time.Hour)
	b.want(http.StatusOK, http.MethodPost, path+"/cancel", nil)
	equal(t, "cancelled", b.want(http.StatusOK, http.MethodGet, path, nil).state(), "cancelled 0/0/0/1/1")
}

func TestOutcomesOfFiles(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	b.emu.SetOutcome("file-set", emulator.Outcome{Code: emulator.InvalidFile, Message: "It is torn."})
	path, _ := b.create("file-fail-unsupported-a", "file-fail-invalid-b", "file-fail-c", "file-set", "file-fine")
	got := map[string]any{}
	for _, item := range b.want(http.StatusOK, http.MethodGet, path+"/files", nil).json["data"].([]any) {
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
	file := b.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore+"/files/file-set", nil)
	equal(t, "message", file.json["last_error"], any(map[string]any{"code": "invalid_file", "message": "It is torn."}))
}

func TestSettingsOfFiles(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	static := map[string]any{"type": "static", "static": map[string]any{"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100}}
	auto := map[string]any{"type": "static", "static": map[string]any{"max_chunk_size_tokens": 800.0, "chunk_overlap_tokens": 400.0}}
	read := func(id string) (any, any) {
		f := b.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore+"/files/"+id, nil)
		return f.json["attributes"], f.json["chunking_strategy"]
	}

	b.want(http.StatusOK, http.MethodPost, batchesPath, map[string]any{
		"file_ids": []string{"file-a"}, "attributes": map[string]any{"lang": "en", "page": 3, "draft": false},
	})
	attributes, chunking := read("file-a")
	equal(t, "attributes", attributes, any(map[string]any{"lang": "en", "page": 3.0, "draft": false}))
	equal(t, "auto chunking", chunking, any(auto))

	// With files, what stands beside them is ignored, even where it is wrong.
	b.want(http.StatusOK, http.MethodPost, batchesPath, map[string]any{
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

func TestDialects(t *testing.T) {
	b := newBench(t, emulator.Settings{
		BatchIDPrefix: "batch_", BatchObject: "vector_store.files_batch", ExtraFields: true, DriftingCreation: true,
	})
	created := b.want(http.StatusOK, http.MethodPost, batchesPath, map[string]any{"file_ids": []string{"file-a"}})
	id := created.text("id")
	if !strings.HasPrefix(id, "batch_") {
		t.Errorf("id %q does not begin with batch_", id)
	}
	equal(t, "object", created.text("object"), "vector_store.files_batch")
	retrieved := b.want(http.StatusOK, http.MethodGet, batchesPath+"/"+id, nil)
	equal(t, "drift", retrieved.json["created_at"].(float64)-created.json["created_at"].(float64), 1.0)
	files := b.want(http.StatusOK, http.MethodGet, batchesPath+"/"+id+"/files", nil)
	for what, object := range map[string]map[string]any{
		"batch": created.json, "list": files.json, "item": files.json["data"].([]any)[0].(map[string]any),
	} {
		if object["x_emulated_extra"] == nil {
			t.Errorf("%s has no extra field", what)
		}
	}
	b.want(http.StatusBadRequest, http.MethodGet, batchesPath+"/vsfb_1", nil)

	b = newBench(t, emulator.Settings{BatchIDPrefix: "vsfb_ibj_"})
	path, id := b.create("file-a")
	if !strings.HasPrefix(id, "vsfb_ibj_") {
		t.Errorf("id %q does not begin with vsfb_ibj_", id)
	}
	b.want(http.StatusOK, http.MethodGet, path, nil)
	b.want(http.StatusNotFound, http.MethodGet, batchesPath+"/vsfb_1", nil)
}

func TestBatchStatusCanBeForced(t *testing.T) {
	tests := map[string]struct{ want, file string }{
		"completed":    {"completed 0/3/0/0/3", "completed"},
		"cancelled":    {"cancelled 0/1/0/2/3", "cancelled"},
		"failed":       {"failed 0/1/2/0/3", "failed"},
		"reticulating": {"reticulating 2/1/0/0/3", "in_progress"},
		"":             {"in_progress 2/1/0/0/3", "in_progress"},
	}
	for status, test := range tests {
		t.Run("to "+status, func(t *testing.T) {
			b := newBench(t, emulator.Settings{Pace: time.Minute})
			path, id := b.create(numbered(3)...)
			b.clock.advance(time.Minute)
			if err := b.emu.SetBatchStatus(id, status); err != nil {
				t.Fatal(err)
			}
			equal(t, "batch", b.want(http.StatusOK, http.MethodGet, path, nil).state(), test.want)
			file := b.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore+"/files/file-0002", nil)
			equal(t, "file", file.text("status"), test.file)
			store := b.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil)
			equal(t, "store", store.counts(), strings.SplitN(test.want, " ", 2)[1])
		})
	}
	if err := newBench(t, emulator.Settings{}).emu.SetBatchStatus("vsfb_none", "failed"); err == nil {
		t.Error("forcing a batch that is not there is no error")
	}
}

func TestUnknownThingsAreNotFound(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	b.emu.AddStore("vs_other")
	path, id := b.create("file-a")
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
			r := b.in(t).want(test.status, test.method, test.path, "{}")
			equal(t, "message", r.message(), test.message)
			e := r.json["error"].(map[string]any)
			equal(t, "type", e["type"], any("invalid_request_error"))
			for _, field := range []string{"param", "code"} {
				if _, there := e[field]; !there {
					t.Errorf("the error has no %s", field)
				}
			}
		})
	}
	equal(t, "Allow", b.do("PUT", path, nil).header.Get("Allow"), "GET")
}

func TestBatchesOfDeletedStoreAreGone(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: time.Second})
	path, _ := b.create("file-a")
	if !b.emu.DeleteStore(testStore) || b.emu.DeleteStore(testStore) {
		t.Error("a store can be deleted once")
	}
	b.want(http.StatusNotFound, http.MethodGet, path, nil)
	b.want(http.StatusNotFound, http.MethodPost, path+"/cancel", nil)
	b.want(http.StatusNotFound, http.MethodPost, batchesPath, map[string]any{"file_ids": []string{"file-a"}})
	equal(t, "batches made", b.emu.CreateCount(), 1)
}

func TestPathsWorkWithoutTheBasePath(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	path, _ := b.create("file-a")
	b.want(http.StatusOK, http.MethodGet, strings.TrimPrefix(path, "/v1"), nil)
	b.want(http.StatusNotFound, http.MethodGet, "/v2"+strings.TrimPrefix(path, "/v1"), nil)
}

func TestSeedRepeatsIDs(t *testing.T) {
	ids := func(seed string, polls int) string {
		b := newBenchWith(t, emulator.Options{Seed: seed, VectorStores: []string{testStore}})
		path, first := b.create("file-a")
		for range polls {
			b.want(http.StatusOK, http.MethodGet, path, nil)
		}
		_, second := b.create("file-a")
		return first + " " + second
	}
	if ids("one", 0) != ids("one", 3) {
		t.Error("the same seed makes other IDs")
	}
	unseeded, other := ids("", 0), ids("", 0)
	if ids("one", 0) == ids("two", 0) || unseeded == other {
		t.Error("other seeds make the same IDs")
	}
}
