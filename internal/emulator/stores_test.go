// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// upload uploads a file; values are the names and values of further form fields.
func (s *testServer) upload(name, content string, values ...string) response {
	s.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i < len(values); i += 2 {
		if err := form.WriteField(values[i], values[i+1]); err != nil {
			s.t.Fatal(err)
		}
	}
	if name != "" {
		part, err := form.CreateFormFile("file", name)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := io.WriteString(part, content); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		s.t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, s.url+"/v1/files", &body)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.key)
	request.Header.Set("Content-Type", form.FormDataContentType())
	r, err := s.roundTrip(request)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func TestVectorStore_Lifecycle(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Second})
	created := s.want(http.StatusOK, http.MethodPost, "/v1/vector_stores",
		fields{"name": "Handbook", "metadata": fields{"team": "docs"}, "file_ids": []string{"file-a", "file-fail-b"}})
	path := "/v1/vector_stores/" + created.text("id")
	equal(t, "created", created.state(), "in_progress 2/0/0/0/2")
	s.clock.advance(2 * time.Second)
	read := s.want(http.StatusOK, http.MethodGet, path, nil)
	equal(t, "processed", read.state(), "completed 0/1/1/0/2")
	size := s.want(http.StatusOK, http.MethodGet, "/v1/files/file-a", nil).json["bytes"]
	equal(t, "usage", read.json["usage_bytes"], size)

	updated := s.want(http.StatusOK, http.MethodPost, path, fields{"name": "Manual"})
	equal(t, "updated", [2]any{updated.json["name"], updated.json["metadata"]}, [2]any{"Manual", map[string]any{"team": "docs"}})
	s.want(http.StatusBadRequest, http.MethodPost, path, fields{"name": "Other", "metadata": fields{"n": 1}})
	equal(t, "unchanged", s.want(http.StatusOK, http.MethodGet, path, nil).text("name"), "Manual")

	equal(t, "listed", s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores?order=asc", nil).ids(), []string{testStore, created.text("id")})
	equal(t, "listed by default", s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores", nil).ids(), []string{created.text("id"), testStore})
	gone := s.want(http.StatusOK, http.MethodDelete, path, nil)
	equal(t, "deleted", gone.text("object"), "vector_store.deleted")
	s.want(http.StatusNotFound, http.MethodGet, path, nil)
	s.want(http.StatusNotFound, http.MethodDelete, path, nil)
	equal(t, "batches created", s.emu.CreateCount(), 0)
}

func TestCreateStore_Limits(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	for name, test := range map[string]struct {
		body   any
		status int
	}{
		"empty body":           {nil, 200},
		"500 files":            {fields{"file_ids": numbered(500)}, 200},
		"501 files":            {fields{"file_ids": numbered(501)}, 400},
		"365 days":             {fields{"expires_after": fields{"anchor": "last_active_at", "days": 365}}, 200},
		"366 days":             {fields{"expires_after": fields{"anchor": "last_active_at", "days": 366}}, 400},
		"no days":              {fields{"expires_after": fields{"anchor": "last_active_at"}}, 400},
		"wrong anchor":         {fields{"expires_after": fields{"anchor": "created_at", "days": 1}}, 400},
		"metadata of 512":      {fields{"metadata": fields{"k": strings.Repeat("x", 512)}}, 200},
		"metadata of 513":      {fields{"metadata": fields{"k": strings.Repeat("x", 513)}}, 400},
		"metadata as number":   {fields{"metadata": fields{"k": 1}}, 400},
		"unknown field":        {fields{"x": 1}, 400},
		"name as a number":     {fields{"name": 1}, 400},
		"file of wrong prefix": {fields{"file_ids": []string{"a"}}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(s.emu.StoreIDs())
			r := s.in(t).want(test.status, http.MethodPost, "/v1/vector_stores", test.body)
			created := len(s.emu.StoreIDs()) - before
			if (created == 1) != (r.status == http.StatusOK) {
				t.Errorf("status %d created %d stores", r.status, created)
			}
		})
	}
}

func TestVectorStore_Expires(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	created := s.want(http.StatusOK, http.MethodPost, "/v1/vector_stores",
		fields{"expires_after": fields{"anchor": "last_active_at", "days": 1}})
	path := "/v1/vector_stores/" + created.text("id")
	equal(t, "expires_at", created.json["expires_at"], any(created.json["created_at"].(float64)+86400))
	s.clock.advance(24*time.Hour - time.Second)
	s.want(http.StatusOK, http.MethodPost, path+"/file_batches", fields{"file_ids": []string{"file-a"}})
	s.emu.Advance(24*time.Hour - 1)
	equal(t, "before a day without use", s.want(http.StatusOK, http.MethodGet, path, nil).text("status"), "completed")
	s.emu.Advance(1)
	equal(t, "after a day without use", s.want(http.StatusOK, http.MethodGet, path, nil).text("status"), "expired")
	s.want(http.StatusBadRequest, http.MethodPost, path+"/file_batches", fields{"file_ids": []string{"file-a"}})
	s.want(http.StatusBadRequest, http.MethodPost, path+"/files", fields{"file_id": "file-a"})

	if !s.emu.ExpireStore(testStore) || s.emu.ExpireStore("vs_none") {
		t.Error("only an existing store must be expirable")
	}
	s.want(http.StatusBadRequest, http.MethodPost, batchesPath, fields{"file_ids": []string{"file-a"}})
}

func TestStoreFile_Lifecycle(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Second})
	path := "/v1/vector_stores/" + testStore + "/files"
	attached := s.want(http.StatusOK, http.MethodPost, path, fields{"file_id": "file-a", "attributes": fields{"k": "v"}})
	equal(t, "attached", attached.text("status"), "in_progress")
	s.clock.advance(time.Second)
	equal(t, "processed", s.want(http.StatusOK, http.MethodGet, path+"/file-a", nil).text("status"), "completed")
	updated := s.want(http.StatusOK, http.MethodPost, path+"/file-a", fields{"attributes": fields{"n": 1}})
	equal(t, "updated", updated.json["attributes"], any(map[string]any{"n": 1.0}))
	s.want(http.StatusBadRequest, http.MethodPost, path+"/file-a", fields{})
	s.want(http.StatusBadRequest, http.MethodPost, path+"/file-a", fields{"attributes": fields{"n": []int{}}})
	cleared := s.want(http.StatusOK, http.MethodPost, path+"/file-a", fields{"attributes": nil})
	equal(t, "cleared", cleared.json["attributes"], any(map[string]any{}))
	content := s.want(http.StatusOK, http.MethodGet, path+"/file-a/content", nil)
	if !strings.Contains(content.raw, "file-a") {
		t.Errorf("got %s, want the content of the file", content.raw)
	}
	equal(t, "detached", s.want(http.StatusOK, http.MethodDelete, path+"/file-a", nil).text("object"), "vector_store.file.deleted")
	s.want(http.StatusNotFound, http.MethodGet, path+"/file-a", nil)
	s.want(http.StatusNotFound, http.MethodDelete, path+"/file-a", nil)
	s.want(http.StatusOK, http.MethodGet, "/v1/files/file-a", nil)
	store := s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil)
	equal(t, "store", store.state()+fmt.Sprint(" ", store.json["usage_bytes"]), "completed 0/0/0/0/0 0")
	equal(t, "batches created", s.emu.CreateCount(), 0)
}

func TestDetachFile_KeepsBatch(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Second})
	path, _ := s.create("file-a", "file-b")
	s.want(http.StatusOK, http.MethodDelete, "/v1/vector_stores/"+testStore+"/files/file-a", nil)
	s.clock.advance(time.Hour)
	equal(t, "batch", s.want(http.StatusOK, http.MethodGet, path, nil).state(), "completed 0/2/0/0/2")
	equal(t, "store", s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil).counts(), "0/1/0/0/1")
	equal(t, "attached", s.emu.AttachedFileIDs(testStore), []string{"file-b"})
}

func TestUpload_Lifecycle(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	up := s.upload("Notes.MD", "# Notes", "purpose", "assistants")
	equal(t, "upload", [4]any{up.status, up.json["filename"], up.json["bytes"], up.json["purpose"]}, [4]any{200, "Notes.MD", 7.0, "assistants"})
	id := up.text("id")
	refused := s.want(http.StatusBadRequest, http.MethodGet, "/v1/files/"+id+"/content", nil)
	equal(t, "download", refused.message(), "Not allowed to download files of purpose: assistants")
	s.emu.Configure(func(s *emulator.Settings) { s.NoAssistantsDownload, s.AttachExtensions = false, nil })
	equal(t, "content", s.want(http.StatusOK, http.MethodGet, "/v1/files/"+id+"/content", nil).raw, "# Notes")
	equal(t, "read", s.want(http.StatusOK, http.MethodGet, "/v1/files/"+id, nil).raw, up.raw)
	other := s.upload("a.jsonl", "{}", "purpose", "batch").text("id")
	equal(t, "list", s.want(http.StatusOK, http.MethodGet, "/v1/files", nil).ids(), []string{other, id})
	equal(t, "list of a purpose", s.want(http.StatusOK, http.MethodGet, "/v1/files?purpose=assistants", nil).ids(), []string{id})

	s.create(id)
	equal(t, "deleted", s.want(http.StatusOK, http.MethodDelete, "/v1/files/"+id, nil).text("object"), "file")
	r := s.want(http.StatusNotFound, http.MethodGet, "/v1/files/"+id, nil)
	equal(t, "message", r.message(), "No such File object: "+id)
	equal(t, "attached", s.emu.AttachedFileIDs(testStore), nil)
	equal(t, "store", s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil).counts(), "0/0/0/0/0")
}

func TestUpload_Outcome(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Behaviors: emulator.Behaviors{StrictFiles: true}})
	s.emu.Configure(func(s *emulator.Settings) { s.AttachExtensions = nil })
	ids := []string{
		s.upload("good.txt", "text", "purpose", "assistants").text("id"),
		s.upload("photo.jpeg", "text", "purpose", "assistants").text("id"),
		s.upload("empty.txt", "", "purpose", "assistants").text("id"),
	}
	s.create(ids...)
	for i, want := range []string{"<nil>", "unsupported_file", "invalid_file"} {
		file := s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore+"/files/"+ids[i], nil)
		e, _ := file.json["last_error"].(map[string]any)
		equal(t, "code", fmt.Sprint(e["code"]), want)
	}
}

func TestSettings_StrictFiles(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Behaviors: emulator.Behaviors{StrictFiles: true}})
	s.emu.SetOutcome("file-known", emulator.Outcome{})
	s.create("file-known")
	r := s.want(http.StatusNotFound, http.MethodPost, batchesPath, fields{"file_ids": []string{"file-known", "file-unknown"}})
	equal(t, "message", r.message(), "No such File object: file-unknown")
	s.want(http.StatusNotFound, http.MethodPost, "/v1/vector_stores/"+testStore+"/files", fields{"file_id": "file-unknown"})
	equal(t, "batches created", s.emu.CreateCount(), 1)
}

func TestUpload_RejectsInvalidForms(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	for name, r := range map[string]response{
		"no purpose":            s.upload("a.txt", "a"),
		"unknown purpose":       s.upload("a.txt", "a", "purpose", "fun"),
		"no file":               s.upload("", "", "purpose", "assistants"),
		"no form":               s.do(http.MethodPost, "/v1/files", fields{"purpose": "assistants"}),
		"lifetime too short":    s.upload("a.txt", "a", "purpose", "assistants", "expires_after[anchor]", "created_at", "expires_after[seconds]", "3599"),
		"lifetime too long":     s.upload("a.txt", "a", "purpose", "assistants", "expires_after[anchor]", "created_at", "expires_after[seconds]", "2592001"),
		"lifetime not a number": s.upload("a.txt", "a", "purpose", "assistants", "expires_after[anchor]", "created_at", "expires_after[seconds]", "x"),
		"wrong anchor":          s.upload("a.txt", "a", "purpose", "assistants", "expires_after[anchor]", "now", "expires_after[seconds]", "3600"),
	} {
		if r.status != http.StatusBadRequest || r.message() == "" {
			t.Errorf("%s: status %d: %s", name, r.status, r.raw)
		}
	}
	equal(t, "uploads", s.want(http.StatusOK, http.MethodGet, "/v1/files", nil).ids(), []string{})
}

func TestUpload_Expires(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	up := s.upload("a.txt", "a", "purpose", "assistants", "expires_after[anchor]", "created_at", "expires_after[seconds]", "3600")
	equal(t, "expires_at", up.json["expires_at"], any(up.json["created_at"].(float64)+3600))
	s.clock.advance(time.Hour - 1)
	s.want(http.StatusOK, http.MethodGet, "/v1/files/"+up.text("id"), nil)
	s.clock.advance(1)
	equal(t, "uploads", s.want(http.StatusOK, http.MethodGet, "/v1/files", nil).ids(), []string{})
	s.want(http.StatusNotFound, http.MethodGet, "/v1/files/"+up.text("id"), nil)
}
