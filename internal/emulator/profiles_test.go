// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// newProfileServer returns a running emulator with a profile, and the path of testStore.
func newProfileServer(t *testing.T, profile string, strict bool, settings emulator.Settings) (*testServer, string) {
	t.Helper()
	s := newTestServerWithOptions(t, emulator.Options{
		APIKeys: []string{testKey}, VectorStores: []string{testStore, "vs_second"}, Organization: "org-test",
		Profile: profile, Strict: strict, Settings: settings,
	})
	base := s.emu.Settings().BasePath
	if base != "/v1" {
		s.url += strings.TrimSuffix(base, "/v1")
	}
	return s, "/v1/vector_stores/" + testStore
}

func TestProfile_LinesAreValid(t *testing.T) {
	for _, p := range emulator.Profiles() {
		for _, strict := range []bool{false, true} {
			if _, err := p.Select(strict); err != nil {
				t.Error(err)
			}
		}
		seen := map[string]bool{}
		for _, line := range p.Behaviors {
			if line.Shows == "" || line.Evidence == "" || seen[line.Name] {
				t.Errorf("%s: line %s has no text, no evidence, or is there twice", p.Name, line.Name)
			}
			seen[line.Name] = true
		}
	}
}

func TestProfile_DefaultIsOpenAI(t *testing.T) {
	equal(t, "profile", emulator.New(emulator.Options{}).ActiveBehaviors().Profile, emulator.ProfileOpenAI)
	defer func() {
		if recover() == nil {
			t.Error("New accepts an unknown profile")
		}
	}()
	emulator.New(emulator.Options{Profile: "acme"})
}

// profileTest is one behavior of one profile. Every behavior of every profile has one.
type profileTest struct {
	profile, behavior string
	settings          emulator.Settings
	run               func(s *testServer, store string)
}

// wantAttach attaches an upload of the name, and a good file, in a batch.
func wantAttach(s *testServer, store, name string, status int) response {
	s.t.Helper()
	id := s.upload(name, "text", "purpose", "assistants").text("id")
	r := s.do(http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-good", id}})
	equal(s.t, name, r.status, status)
	return r
}

func errorOf(r response, field string) any {
	e, _ := r.json["error"].(map[string]any)
	return e[field]
}

func (s *testServer) wantHeaders(headers map[string]string) {
	s.t.Helper()
	r := s.do(http.MethodGet, "/v1/vector_stores/"+testStore, nil)
	for name, prefix := range headers {
		if got := r.header.Get(name); !strings.HasPrefix(got, prefix) || prefix == "" && got != "" {
			s.t.Errorf("%s is %q, want %q", name, got, prefix)
		}
	}
}

func wantRefusedExtensions(s *testServer, store string) {
	for _, name := range []string{"a.csv", "a.svg", "a.png", "a.h", "noextension", "A.PDF", "b.Md"} {
		r := wantAttach(s, store, name, http.StatusBadRequest)
		equal(s.t, name, [2]any{errorOf(r, "code"), s.emu.CreateCount()}, [2]any{"unsupported_file", 0})
		if s.emu.ActiveBehaviors().Profile == emulator.ProfileOpenAI {
			equal(s.t, "param", errorOf(r, "param"), any("file_ids"))
		}
	}
	wantAttach(s, store, "a.md", http.StatusOK)
	r := s.do(http.MethodPost, store+"/files", fields{"file_id": s.upload("a.xlsx", "x", "purpose", "assistants").text("id")})
	equal(s.t, "single attach", [2]any{r.status, errorOf(r, "code")}, [2]any{400, "unsupported_file"})
}

func wantFails(name, content, code string) func(*testServer, string) {
	return func(s *testServer, store string) {
		id := s.upload(name, content, "purpose", "assistants").text("id")
		b := s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{id}})
		files := s.want(http.StatusOK, http.MethodGet, store+"/file_batches/"+b.text("id")+"/files?filter=failed", nil)
		if !strings.Contains(files.raw, `"code":"`+code+`"`) {
			s.t.Errorf("got %s, want the code %s", files.raw, code)
		}
	}
}

func wantMaxFiles(limit int) func(*testServer, string) {
	return func(s *testServer, store string) {
		s.emu.Configure(func(s *emulator.Settings) { s.EnforceLimits = false })
		s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": numbered(limit)})
		r := s.want(http.StatusBadRequest, http.MethodPost, store+"/file_batches", fields{"file_ids": numbered(limit + 1)})
		if want := fmt.Sprintf("array too long. Expected an array with maximum length %d", limit); !strings.Contains(r.message(), want) {
			s.t.Errorf("got %q, want %q", r.message(), want)
		}
	}
}

func wantFilesIgnored(s *testServer, store string) {
	created := s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"files": []fields{{"file_id": "file-a"}}})
	equal(s.t, "created", created.state(), "in_progress 0/0/0/0/0")
	read := s.want(http.StatusOK, http.MethodGet, store+"/file_batches/"+created.text("id"), nil)
	equal(s.t, "read", read.state(), "completed 0/0/0/0/0")
	equal(s.t, "attached", s.emu.AttachedFileIDs(testStore), nil)
}

func wantStrictPath(s *testServer, store string) {
	s.want(http.StatusOK, http.MethodGet, store, nil)
	s.want(http.StatusNotFound, http.MethodGet, strings.TrimPrefix(store, "/v1"), nil)
}

func wantEnforcedLimits(s *testServer, store string) {
	s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-a"}})
	s.want(http.StatusTooManyRequests, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-a"}})
}

func wantMissingFile(s *testServer, store string) {
	s.want(http.StatusNotFound, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-none"}})
}

var profileTests = []profileTest{
	{"openai", "headers", emulator.Settings{}, func(s *testServer, _ string) {
		s.wantHeaders(map[string]string{"X-Request-Id": "req_", "Openai-Organization": "org-test", "Openai-Version": "2020", "Openai-Poll-After-Ms": ""})
	}},
	{"openai", "strict_path", emulator.Settings{}, wantStrictPath},
	{"openai", "attach_extensions", emulator.Settings{}, wantRefusedExtensions},
	{"openai", "upload_extensions", emulator.Settings{}, func(s *testServer, _ string) {
		r := s.upload("a.exe", "x", "purpose", "assistants")
		equal(s.t, "status", r.status, http.StatusBadRequest)
		if !strings.Contains(r.message(), "Invalid extension exe") {
			s.t.Errorf("got %q", r.message())
		}
		equal(s.t, "upper case", s.upload("A.PDF", "x", "purpose", "assistants").status, http.StatusOK)
	}},
	{"openai", "no_assistants_download", emulator.Settings{}, func(s *testServer, _ string) {
		id := s.upload("a.txt", "x", "purpose", "assistants").text("id")
		s.want(http.StatusBadRequest, http.MethodGet, "/v1/files/"+id+"/content", nil)
	}},
	{"openai", "failing_content", emulator.Settings{}, wantFails("a.txt", "", "invalid_file")},
	{"openai", "drifting_creation", emulator.Settings{}, func(s *testServer, store string) {
		s.emu.Configure(func(s *emulator.Settings) { s.AnswersStore, s.BatchVisibleAfter = nil, 0 })
		b := s.strictCreate(store)
		read := s.want(http.StatusOK, http.MethodGet, store+"/file_batches/"+b.text("id"), nil)
		equal(s.t, "drift", read.json["created_at"].(float64)-b.json["created_at"].(float64), 1.0)
	}},
	{"openai", "detach_delay", emulator.Settings{Behaviors: emulator.Behaviors{InvisiblePercent: 1}}, func(s *testServer, store string) {
		s.strictCreate(store)
		s.clock.advance(10 * time.Second)
		s.want(http.StatusOK, http.MethodDelete, store+"/files/file-known", nil)
		s.want(http.StatusOK, http.MethodGet, store+"/files/file-known", nil)
		equal(s.t, "listed", s.do(http.MethodGet, store+"/files", nil).ids(), []string{"file-known"})
		equal(s.t, "attached", s.emu.AttachedFileIDs(testStore), nil)
		s.want(http.StatusNotFound, http.MethodDelete, store+"/files/file-known", nil)
		s.clock.advance(2 * time.Second)
		s.want(http.StatusNotFound, http.MethodGet, store+"/files/file-known", nil)
		equal(s.t, "listed later", s.do(http.MethodGet, store+"/files", nil).ids(), []string{})
	}},
	{"openai", "upload_visible_after", emulator.Settings{Behaviors: emulator.Behaviors{InvisiblePercent: 100}}, func(s *testServer, store string) {
		id := s.upload("a.txt", "x", "purpose", "assistants").text("id")
		s.want(http.StatusNotFound, http.MethodGet, "/v1/files/"+id, nil)
		s.want(http.StatusNotFound, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{id}})
		s.clock.advance(3 * time.Second)
		s.want(http.StatusOK, http.MethodGet, "/v1/files/"+id, nil)
		s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{id}})
	}},
	{"openai", "batch_visible_after", emulator.Settings{Behaviors: emulator.Behaviors{InvisiblePercent: 100}}, func(s *testServer, store string) {
		path := store + "/file_batches/" + s.strictCreate(store).text("id")
		s.want(http.StatusNotFound, http.MethodGet, path, nil)
		s.want(http.StatusNotFound, http.MethodPost, path+"/cancel", nil)
		s.want(http.StatusNotFound, http.MethodGet, store+"/files/file-known", nil)
		s.clock.advance(3 * time.Second)
		s.want(http.StatusOK, http.MethodGet, path, nil)
		s.want(http.StatusOK, http.MethodGet, store+"/files/file-known", nil)
	}},
	{"openai", "invisible_percent", emulator.Settings{}, func(s *testServer, _ string) {
		missing := 0
		for range 200 {
			id := s.upload("a.txt", "x", "purpose", "assistants").text("id")
			if s.do(http.MethodGet, "/v1/files/"+id, nil).status == http.StatusNotFound {
				missing++
			}
		}
		if missing == 0 || missing > 40 {
			s.t.Errorf("%d of 200 uploads are not found, want about 10", missing)
		}
	}},
	{"openai", "batch_id_prefix", emulator.Settings{}, func(s *testServer, store string) {
		if id := s.strictCreate(store).text("id"); !strings.HasPrefix(id, "vsfb_ibj_") {
			s.t.Errorf("ID %s", id)
		}
	}},
	{"openai", "answers_store", emulator.Settings{Behaviors: emulator.Behaviors{InvisiblePercent: 1}}, func(s *testServer, store string) {
		b := s.strictCreate(store)
		s.clock.advance(10 * time.Second)
		for range 3 {
			r := s.want(http.StatusOK, http.MethodGet, store+"/file_batches/"+b.text("id"), nil)
			equal(s.t, "read", [2]string{r.text("id"), r.text("object")}, [2]string{testStore, "vector_store"})
		}
		equal(s.t, "files", s.do(http.MethodGet, store+"/file_batches/"+b.text("id")+"/files", nil).ids(), []string{"file-known"})
		s.want(http.StatusNotFound, http.MethodGet, store+"/file_batches/vsfb_none", nil)
	}},
	{"openai", "strict_files", emulator.Settings{}, wantMissingFile},
	{"openai", "enforce_limits", emulator.Settings{AttachRequests: 1}, func(s *testServer, store string) {
		s.emu.SetOutcome("file-a", emulator.Outcome{})
		wantEnforcedLimits(s, store)
	}},
	{"openai", "file_chunking_ignored", emulator.Settings{Behaviors: emulator.Behaviors{InvisiblePercent: 1}}, func(s *testServer, store string) {
		s.emu.SetOutcome("file-known", emulator.Outcome{})
		s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"files": []fields{{"file_id": "file-known", "chunking_strategy": static(200, 50)}}})
		s.clock.advance(10 * time.Second)
		if r := s.do(http.MethodGet, store+"/files/file-known", nil); !strings.Contains(r.raw, `"max_chunk_size_tokens":800`) {
			s.t.Errorf("got %s", r.raw)
		}
	}},
	{"openai", "detaches_everywhere", emulator.Settings{}, func(s *testServer, store string) {
		s.strictCreate(store)
		s.strictCreate("/v1/vector_stores/vs_second")
		s.clock.advance(10 * time.Second)
		s.want(http.StatusOK, http.MethodDelete, store+"/files/file-known", nil)
		equal(s.t, "attached elsewhere", s.emu.AttachedFileIDs("vs_second"), nil)
	}},
	{"openai", "file_names", emulator.Settings{}, func(s *testServer, _ string) {
		equal(s.t, "name", s.upload("docs/sub/a.txt", "x", "purpose", "assistants").text("filename"), "docs/sub/a.txt")
	}},

	{"azure", "base_path", emulator.Settings{}, func(s *testServer, store string) {
		s.want(http.StatusOK, http.MethodGet, store, nil)
		equal(s.t, "base path", s.emu.Settings().BasePath, "/openai/v1")
	}},
	{"azure", "strict_path", emulator.Settings{}, func(s *testServer, store string) {
		s.url = strings.TrimSuffix(s.url, "/openai")
		s.want(http.StatusNotFound, http.MethodGet, store, nil)
	}},
	{"azure", "api_key_header", emulator.Settings{}, func(s *testServer, store string) {
		for key, want := range map[string]int{testKey: http.StatusOK, "wrong": http.StatusUnauthorized} {
			request, err := http.NewRequest(http.MethodGet, s.url+store, nil)
			if err != nil {
				s.t.Fatal(err)
			}
			request.Header.Set("Api-Key", key)
			r, err := s.roundTrip(request)
			if err != nil {
				s.t.Fatal(err)
			}
			equal(s.t, key, r.status, want)
		}
	}},
	{"azure", "headers", emulator.Settings{}, func(s *testServer, _ string) {
		s.wantHeaders(map[string]string{"X-Request-Id": "req_", "Apim-Request-Id": "req_", "Openai-Organization": ""})
	}},
	{"azure", "error_body", emulator.Settings{}, func(s *testServer, store string) {
		r := s.want(http.StatusNotFound, http.MethodGet, store+"/file_batches/vsfb_none", nil)
		e, _ := r.json["error"].(map[string]any)
		equal(s.t, "fields", [2]any{e["code"], len(e)}, [2]any{"404", 2})
	}},
	{"azure", "max_batch_files", emulator.Settings{}, wantMaxFiles(500)},
	{"azure", "file_quota", emulator.Settings{}, func(s *testServer, _ string) {
		s.emu.Configure(func(s *emulator.Settings) { s.FileQuota = 2 })
		s.upload("a.txt", "x", "purpose", "assistants")
		s.upload("b.txt", "x", "purpose", "assistants")
		r := s.upload("c.txt", "x", "purpose", "assistants")
		equal(s.t, "third", [2]any{r.status, errorOf(r, "code")}, [2]any{400, "quotaExceeded"})
		r = s.upload("c.txt", "x", "purpose", "assistants", "expires_after[anchor]", "created_at", "expires_after[seconds]", "1209600")
		equal(s.t, "with expiry", r.status, http.StatusOK)
	}},
	{"azure", "expiring_file_quota", emulator.Settings{}, func(s *testServer, _ string) {
		s.emu.Configure(func(s *emulator.Settings) { s.ExpiringFileQuota = 1 })
		for i, want := range []int{http.StatusOK, http.StatusBadRequest} {
			r := s.upload(fmt.Sprint(i, ".txt"), "x", "purpose", "assistants", "expires_after[anchor]", "created_at", "expires_after[seconds]", "1209600")
			equal(s.t, "upload", r.status, want)
		}
	}},
	{"azure", "enforce_limits", emulator.Settings{AttachRequests: 1}, wantEnforcedLimits},
	{"azure", "limit_retry_after", emulator.Settings{AttachRequests: 1}, func(s *testServer, store string) {
		wantEnforcedLimits(s, store)
		r := s.do(http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-a"}})
		equal(s.t, "Retry-After", r.header.Get("Retry-After"), "86400")
		s.clock.advance(time.Minute)
		s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-a"}})
	}},
	{"azure", "limit_retry_millis", emulator.Settings{AttachRequests: 1}, func(s *testServer, store string) {
		wantEnforcedLimits(s, store)
		r := s.do(http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-a"}})
		equal(s.t, "milliseconds", r.header.Get("X-Ms-Retry-After-Ms"), "60000")
	}},
	{"azure", "attach_extensions", emulator.Settings{}, wantRefusedExtensions},
	{"azure", "failing_content", emulator.Settings{}, wantFails("a.txt", "", "invalid_file")},
	{"azure", "strict_files", emulator.Settings{}, wantMissingFile},

	{"gateway", "headers", emulator.Settings{}, func(s *testServer, _ string) {
		s.wantHeaders(map[string]string{"X-Request-Id": "", "Openai-Organization": ""})
	}},
	{"gateway", "any_ids", emulator.Settings{}, func(s *testServer, store string) {
		s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"https://files.example.com/a/b?c=1"}})
	}},
	{"gateway", "file_id_length", emulator.Settings{}, func(s *testServer, store string) {
		first, second := s.upload("a.txt", "x", "purpose", "assistants").text("id"), s.upload("a.txt", "x", "purpose", "assistants").text("id")
		if len(first) != 320 || first == second || strings.HasPrefix(first, "file-") {
			s.t.Errorf("IDs %s and %s", first, second)
		}
		s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{first, second}})
	}},
	{"gateway", "origin_store_ids", emulator.Settings{}, func(s *testServer, store string) {
		b := s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-a"}})
		if id := b.text("vector_store_id"); id == testStore || !strings.HasPrefix(id, "vs_") {
			s.t.Errorf("vector_store_id %s", id)
		}
		s.want(http.StatusOK, http.MethodGet, store+"/file_batches/"+b.text("id"), nil)
	}},
	{"gateway", "max_batch_files", emulator.Settings{}, wantMaxFiles(100)},
	{"gateway", "files_ignored", emulator.Settings{}, wantFilesIgnored},
	{"gateway", "ineffective_detaches", emulator.Settings{}, func(s *testServer, store string) {
		s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-a"}})
		for _, deleted := range []bool{false, true} {
			equal(s.t, "attached", s.emu.AttachedFileIDs(testStore), []string{"file-a"})
			equal(s.t, "deleted", s.want(http.StatusOK, http.MethodDelete, store+"/files/file-a", nil).json["deleted"], any(deleted))
		}
		equal(s.t, "attached", s.emu.AttachedFileIDs(testStore), nil)
	}},
	{"gateway", "login_page", emulator.Settings{}, func(s *testServer, store string) {
		s.key = "wrong"
		r := s.want(http.StatusOK, http.MethodGet, store, nil)
		equal(s.t, "type", r.header.Get("Content-Type"), "text/html; charset=utf-8")
	}},
	{"gateway", "failing_content", emulator.Settings{}, wantFails("a.csv", "a,b", "unsupported_file")},
	{"gateway", "no_file_batches", emulator.Settings{}, func(s *testServer, store string) {
		s.want(http.StatusNotFound, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-a"}})
		s.want(http.StatusOK, http.MethodPost, store+"/files", fields{"file_id": "file-a"})
	}},

	{"ogx", "headers", emulator.Settings{}, func(s *testServer, _ string) {
		s.wantHeaders(map[string]string{"X-Request-Id": "", "Openai-Version": "", "Server": "uvicorn"})
	}},
	{"ogx", "strict_path", emulator.Settings{}, wantStrictPath},
	{"ogx", "files_ignored", emulator.Settings{}, wantFilesIgnored},
	{"ogx", "uuids", emulator.Settings{}, func(s *testServer, store string) {
		id := s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-a"}}).text("id")
		equal(s.t, "groups", strings.Count(id, "-"), 4)
	}},
	{"ogx", "max_batch_files", emulator.Settings{}, func(s *testServer, store string) {
		s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": numbered(2001)})
	}},
	{"ogx", "counts_step", emulator.Settings{Pace: time.Second}, func(s *testServer, store string) {
		path := store + "/file_batches/" + s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": numbered(25)}).text("id")
		for _, want := range []string{"in_progress 25/0/0/0/25", "in_progress 15/10/0/0/25", "in_progress 5/20/0/0/25"} {
			s.clock.advance(8 * time.Second)
			equal(s.t, "counts", s.do(http.MethodGet, path, nil).state(), want)
		}
		equal(s.t, "cancelled", s.do(http.MethodGet, path, nil).counts(), "5/20/0/0/25")
	}},
	{"ogx", "cancelled_uncounted", emulator.Settings{Pace: time.Second}, func(s *testServer, store string) {
		path := store + "/file_batches/" + s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": numbered(25)}).text("id")
		s.clock.advance(6 * time.Second)
		equal(s.t, "cancel", s.do(http.MethodPost, path+"/cancel", nil).state(), "cancelled 25/0/0/0/25")
		equal(s.t, "read", s.do(http.MethodGet, path, nil).state(), "cancelled 25/0/0/0/25")
		equal(s.t, "files", len(s.do(http.MethodGet, path+"/files", nil).ids()), 6)
		s.want(http.StatusOK, http.MethodPost, path+"/cancel", nil)
	}},
	{"ogx", "attached_when_processed", emulator.Settings{Pace: time.Second}, func(s *testServer, store string) {
		s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-a"}})
		s.want(http.StatusBadRequest, http.MethodGet, store+"/files/file-a", nil)
		s.want(http.StatusBadRequest, http.MethodDelete, store+"/files/file-a", nil)
		equal(s.t, "store", s.do(http.MethodGet, store, nil).counts(), "0/0/0/0/0")
		s.clock.advance(time.Second)
		s.want(http.StatusOK, http.MethodDelete, store+"/files/file-a", nil)
	}},
	{"ogx", "reattach_skipped", emulator.Settings{}, func(s *testServer, store string) {
		s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-fail-a"}})
		s.do(http.MethodGet, store, nil)
		s.emu.SetOutcome("file-fail-a", emulator.Outcome{})
		again := func() string {
			b := s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-fail-a"}})
			return s.do(http.MethodGet, store+"/file_batches/"+b.text("id"), nil).state()
		}
		equal(s.t, "attached again", again(), "completed 0/0/1/0/1")
		s.want(http.StatusOK, http.MethodDelete, store+"/files/file-fail-a", nil)
		equal(s.t, "after a detach", again(), "completed 0/1/0/0/1")
	}},
	{"ogx", "batch_retention", emulator.Settings{}, func(s *testServer, store string) {
		path := store + "/file_batches/" + s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-a"}}).text("id")
		s.clock.advance(7 * 24 * time.Hour)
		s.want(http.StatusOK, http.MethodGet, path, nil)
		s.clock.advance(time.Second)
		s.want(http.StatusBadRequest, http.MethodGet, path, nil)
	}},
	{"ogx", "file_lifetime", emulator.Settings{}, func(s *testServer, _ string) {
		up := s.upload("a.txt", "x", "purpose", "assistants")
		equal(s.t, "lifetime", up.json["expires_at"].(float64)-up.json["created_at"].(float64), 31536000.0)
	}},
	{"ogx", "max_upload_bytes", emulator.Settings{Behaviors: emulator.Behaviors{MaxUploadBytes: 1000}}, func(s *testServer, _ string) {
		equal(s.t, "status", s.upload("a.txt", strings.Repeat("a", 1001), "purpose", "assistants").status, http.StatusRequestEntityTooLarge)
		equal(s.t, "status", s.upload("a.txt", strings.Repeat("a", 1000), "purpose", "assistants").status, http.StatusOK)
	}},
	{"ogx", "closes_after_errors", emulator.Settings{}, func(s *testServer, store string) {
		r := s.want(http.StatusBadRequest, http.MethodGet, store+"/files/file-none", nil)
		equal(s.t, "announced", r.header.Get("Connection"), "")
		s.want(http.StatusOK, http.MethodGet, store, nil)
	}},
}

// strictCreate creates a batch of one file in a strict profile.
func (s *testServer) strictCreate(store string) response {
	s.t.Helper()
	s.emu.SetOutcome("file-known", emulator.Outcome{})
	return s.want(http.StatusOK, http.MethodPost, store+"/file_batches", fields{"file_ids": []string{"file-known"}})
}

func TestProfile_Behaviors(t *testing.T) {
	for _, test := range profileTests {
		t.Run(test.profile+"/"+test.behavior, func(t *testing.T) {
			profile, err := emulator.LookupProfile(test.profile)
			if err != nil {
				t.Fatal(err)
			}
			strict, found := false, false
			for _, line := range profile.Behaviors {
				if line.Name == test.behavior {
					strict, found = line.Strict, true
				}
			}
			if !found {
				t.Fatalf("profile %s has no line for %s", test.profile, test.behavior)
			}
			s, store := newProfileServer(t, test.profile, strict, test.settings)
			test.run(s, store)
		})
	}
}

// TestProfile_EveryLineIsTested finds lines of profiles without a test. Those of ogx that are not in
// profileTests are observed by TestProfile_OGXMatchesServer.
func TestProfile_EveryLineIsTested(t *testing.T) {
	observed := map[string]bool{}
	for _, name := range []string{
		"error_body", "detail_errors", "not_found_status", "messages", "batch_id_prefix", "any_ids", "batch_object", "empty_batches",
		"unknown_fields", "counts_duplicates", "float_numbers", "auto_read_back", "failing_content", "failure_code", "batch_lists_store",
		"cancels_at_once", "reject_late_cancel", "loose_queries", "file_names", "deleted_files_stay", "missing_files_fail",
		"search_own_ids", // TestSearch_OwnIDs
	} {
		observed["ogx/"+name] = true
	}
	for _, test := range profileTests {
		observed[test.profile+"/"+test.behavior] = true
	}
	for _, p := range emulator.Profiles() {
		for _, line := range p.Behaviors {
			if !observed[p.Name+"/"+line.Name] {
				t.Errorf("%s/%s has no test", p.Name, line.Name)
			}
		}
	}
}

func TestProfile_AdminListsActiveBehaviors(t *testing.T) {
	s, _ := newProfileServer(t, emulator.ProfileOGX, false, emulator.Settings{})
	admin[any](s, "PATCH", "/settings", fields{"counts_step": 5, "messages": fields{"store": "gone"}})
	active := admin[emulator.ActiveBehaviors](s, "GET", "/behaviors", nil)
	equal(t, "profile", [2]any{active.Profile, active.Strict}, [2]any{"ogx", false})
	lines := map[string]emulator.Behavior{}
	for _, line := range active.Behaviors {
		lines[line.Name] = line
	}
	equal(t, "unchanged", [2]any{lines["files_ignored"].Value, lines["files_ignored"].Evidence}, [2]any{true, emulator.Measured})
	equal(t, "changed", [2]any{lines["counts_step"].Value, lines["counts_step"].Evidence}, [2]any{5.0, emulator.Evidence("")})
	equal(t, "message", s.do(http.MethodGet, "/v1/vector_stores/vs_none", nil).message(), "gone")
	other, _ := newProfileServer(t, emulator.ProfileOGX, false, emulator.Settings{})
	equal(t, "another server", other.do(http.MethodGet, "/v1/vector_stores/vs_none", nil).message(), "Vector_store 'vs_none' not found")
	equal(t, "profiles", len(admin[[]emulator.Profile](s, "GET", "/profiles", nil)), 4)
}

func TestBehaviors_NotInAProfile(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Hour, Behaviors: emulator.Behaviors{
		PollAfter: emulator.Duration(3 * time.Second), CreatedAtSkew: emulator.Duration(time.Hour), AnyExtensionCase: true,
	}})
	r := s.want(http.StatusOK, http.MethodPost, batchesPath, fields{"file_ids": []string{"file-a"}})
	equal(t, "header", r.header.Get("Openai-Poll-After-Ms"), "3000")
	equal(t, "created_at", int64(r.json["created_at"].(float64)), s.clock.now().Add(time.Hour).Unix())
	wantAttach(s, "/v1/vector_stores/"+testStore, "A.PDF", http.StatusOK)
}

func TestFault_HoldsForEveryCallOfAFile(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	s.emu.AddFault(emulator.Fault{FileID: "file-a", Status: 503})
	for range 20 {
		s.want(503, http.MethodPost, batchesPath, fields{"file_ids": []string{"file-b", "file-a"}})
	}
	s.want(200, http.MethodPost, batchesPath, fields{"file_ids": []string{"file-b", "file-ab"}})
	s.want(503, http.MethodGet, "/v1/vector_stores/"+testStore+"/files/file-a", nil)
	equal(t, "met", s.emu.Faults()[0].Met, 21)
}

func TestFault_Every(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	s.emu.AddFault(emulator.Fault{Status: 500, Every: 3, Skip: 1})
	var got []int
	for range 7 {
		got = append(got, s.do(http.MethodGet, "/v1/vector_stores", nil).status)
	}
	equal(t, "statuses", got, []int{200, 200, 200, 500, 200, 200, 500})
}

func TestFault_Presets(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	path, id := s.create("file-a")
	s.http.Transport.(*http.Transport).DisableCompression = true
	for _, name := range emulator.Presets() {
		t.Run(name, func(t *testing.T) {
			defer s.emu.ClearFaults()
			admin[any](s.in(t), "POST", "/faults", fields{"operation": "retrieve", "preset": name})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+testKey)
			r, err := s.http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			var body io.Reader = r.Body
			if r.Header.Get("Content-Encoding") == "gzip" && name != "not_gzip" {
				if body, err = gzip.NewReader(r.Body); err != nil {
					t.Fatal(err)
				}
			}
			const limit = 8 << 20
			content, err := io.ReadAll(io.LimitReader(body, limit))
			if err != nil {
				t.Fatal(err)
			}
			wantPreset(t, name, id, r, content, len(content) == limit)
		})
	}
}

// wantPreset verifies what a preset sends; large is set if the body is longer than 8 MiB.
func wantPreset(t *testing.T, name, batchID string, r *http.Response, content []byte, large bool) {
	t.Helper()
	valid := json.Valid(content)
	switch name {
	case "gzip_bomb", "endless", "endless_gzip", "endless_page", "long_page", "many_keys":
		if !large {
			t.Errorf("the body has %d bytes", len(content))
		}
	case "deep_nesting":
		equal(t, "depth", bytes.Count(content, []byte("[")), 1<<20)
	case "key_echo", "key_as_id":
		if !bytes.Contains(content, []byte(testKey)) || !valid {
			t.Errorf("got %s", content)
		}
	case "retry_day":
		equal(t, "Retry-After", r.Header.Get("Retry-After"), "86400")
	case "html", "not_json", "empty", "not_gzip", "bad_utf8", "undeleted", "retry_text":
	default:
		t.Errorf("preset %s has no test", name)
	}
	if name == "not_gzip" && !bytes.Contains(content, []byte(batchID)) {
		t.Errorf("got %s", content)
	}
}

func TestFault_UnknownPreset(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	s.want(http.StatusBadRequest, http.MethodPost, "/_emulator/faults", fields{"preset": "nice"})
}
