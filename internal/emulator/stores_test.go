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

// upload sends a file as a form, with further fields.
func (b *bench) upload(name, content string, values ...string) response {
	b.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i < len(values); i += 2 {
		if err := form.WriteField(values[i], values[i+1]); err != nil {
			b.t.Fatal(err)
		}
	}
	if name != "" {
		part, err := form.CreateFormFile("file", name)
		if err != nil {
			b.t.Fatal(err)
		}
		if _, err := io.WriteString(part, content); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		b.t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, b.url+"/v1/files", &body)
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+b.key)
	request.Header.Set("Content-Type", form.FormDataContentType())
	r, err := b.roundTrip(request)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func TestLifeOfVectorStore(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: time.Second})
	created := b.want(http.StatusOK, http.MethodPost, "/v1/vector_stores",
		fields{"name": "Handbook", "metadata": fields{"team": "docs"}, "file_ids": []string{"file-a", "file-fail-b"}})
	path := "/v1/vector_stores/" + created.text("id")
	equal(t, "created", created.state(), "in_progress 2/0/0/0/2")
	b.clock.advance(2 * time.Second)
	read := b.want(http.StatusOK, http.MethodGet, path, nil)
	equal(t, "processed", read.state(), "completed 0/1/1/0/2")
	size := b.want(http.StatusOK, http.MethodGet, "/v1/files/file-a", nil).json["bytes"]
	equal(t, "usage", read.json["usage_bytes"], size)

	updated := b.want(http.StatusOK, http.MethodPost, path, fields{"name": "Manual"})
	equal(t, "updated", [2]any{updated.json["name"], updated.json["metadata"]}, [2]any{"Manual", map[string]any{"team": "docs"}})
	b.want(http.StatusBadRequest, http.MethodPost, path, fields{"name": "Other", "metadata": fields{"n": 1}})
	equal(t, "left alone", b.want(http.StatusOK, http.MethodGet, path, nil).text("name"), "Manual")

	equal(t, "listed", b.want(http.StatusOK, http.MethodGet, "/v1/vector_stores?order=asc", nil).ids(), []string{testStore, created.text("id")})
	equal(t, "listed by default", b.want(http.StatusOK, http.MethodGet, "/v1/vector_stores", nil).ids(), []string{created.text("id"), testStore})
	gone := b.want(http.StatusOK, http.MethodDelete, path, nil)
	equal(t, "deleted", gone.text("object"), "vector_store.deleted")
	b.want(http.StatusNotFound, http.MethodGet, path, nil)
	b.want(http.StatusNotFound, http.MethodDelete, path, nil)
	equal(t, "batches made", b.emu.CreateCount(), 0)
}

func TestVectorStoreLimits(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	for name, test := range map[string]struct {
		body   any
		status int
	}{
		"nothing":              {nil, 200},
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
			before := len(b.emu.StoreIDs())
			r := b.in(t).want(test.status, http.MethodPost, "/v1/vector_stores", test.body)
			made := len(b.emu.StoreIDs()) - before
			if (made == 1) != (r.status == http.StatusOK) {
				t.Errorf("%d stores made by an answer of %d", made, r.status)
			}
		})
	}
}

func TestVectorStoreExpires(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	created := b.want(http.StatusOK, http.MethodPost, "/v1/vector_stores",
		fields{"expires_after": fields{"anchor": "last_active_at", "days": 1}})
	path := "/v1/vector_stores/" + created.text("id")
	equal(t, "expires_at", created.json["expires_at"], any(created.json["created_at"].(float64)+86400))
	b.clock.advance(24*time.Hour - time.Second)
	b.want(http.StatusOK, http.MethodPost, path+"/file_batches", fields{"file_ids": []string{"file-a"}})
	b.emu.Advance(24*time.Hour - 1)
	equal(t, "a moment before", b.want(http.StatusOK, http.MethodGet, path, nil).text("status"), "completed")
	b.emu.Advance(1)
	equal(t, "after a day without use", b.want(http.StatusOK, http.MethodGet, path, nil).text("status"), "expired")
	b.want(http.StatusBadRequest, http.MethodPost, path+"/file_batches", fields{"file_ids": []string{"file-a"}})
	b.want(http.StatusBadRequest, http.MethodPost, path+"/files", fields{"file_id": "file-a"})

	if !b.emu.ExpireStore(testStore) || b.emu.ExpireStore("vs_none") {
		t.Error("a store that is there can be made to expire, and no other")
	}
	b.want(http.StatusBadRequest, http.MethodPost, batchesPath, fields{"file_ids": []string{"file-a"}})
}

func TestLifeOfFileInStore(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: time.Second})
	path := "/v1/vector_stores/" + testStore + "/files"
	attached := b.want(http.StatusOK, http.MethodPost, path, fields{"file_id": "file-a", "attributes": fields{"k": "v"}})
	equal(t, "attached", attached.text("status"), "in_progress")
	b.clock.advance(time.Second)
	equal(t, "processed", b.want(http.StatusOK, http.MethodGet, path+"/file-a", nil).text("status"), "completed")
	updated := b.want(http.StatusOK, http.MethodPost, path+"/file-a", fields{"attributes": fields{"n": 1}})
	equal(t, "updated", updated.json["attributes"], any(map[string]any{"n": 1.0}))
	b.want(http.StatusBadRequest, http.MethodPost, path+"/file-a", fields{})
	b.want(http.StatusBadRequest, http.MethodPost, path+"/file-a", fields{"attributes": fields{"n": []int{}}})
	cleared := b.want(http.StatusOK, http.MethodPost, path+"/file-a", fields{"attributes": nil})
	equal(t, "cleared", cleared.json["attributes"], any(map[string]any{}))
	content := b.want(http.StatusOK, http.MethodGet, path+"/file-a/content", nil)
	if !strings.Contains(content.raw, "file-a") {
		t.Errorf("no content in %s", content.raw)
	}
	equal(t, "detached", b.want(http.StatusOK, http.MethodDelete, path+"/file-a", nil).text("object"), "vector_store.file.deleted")
	b.want(http.StatusNotFound, http.MethodGet, path+"/file-a", nil)
	b.want(http.StatusNotFound, http.MethodDelete, path+"/file-a", nil)
	b.want(http.StatusOK, http.MethodGet, "/v1/files/file-a", nil)
	store := b.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil)
	equal(t, "store", store.state()+fmt.Sprint(" ", store.json["usage_bytes"]), "completed 0/0/0/0/0 0")
	equal(t, "batches made", b.emu.CreateCount(), 0)
}

func TestDetachedFileStaysInItsBatch(t *testing.T) {
	b := newBench(t, emulator.Settings{Pace: time.Second})
	path, _ := b.create("file-a", "file-b")
	b.want(http.StatusOK, http.MethodDelete, "/v1/vector_stores/"+testStore+"/files/file-a", nil)
	b.clock.advance(time.Hour)
	equal(t, "batch", b.want(http.StatusOK, http.MethodGet, path, nil).state(), "completed 0/2/0/0/2")
	equal(t, "store", b.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil).counts(), "0/1/0/0/1")
	equal(t, "attached", b.emu.AttachedFileIDs(testStore), []string{"file-b"})
}

func TestLifeOfUpload(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	up := b.upload("Notes.MD", "# Notes", "purpose", "assistants")
	equal(t, "upload", [4]any{up.status, up.json["filename"], up.json["bytes"], up.json["purpose"]}, [4]any{200, "Notes.MD", 7.0, "assistants"})
	id := up.text("id")
	equal(t, "content", b.want(http.StatusOK, http.MethodGet, "/v1/files/"+id+"/content", nil).raw, "# Notes")
	equal(t, "read", b.want(http.StatusOK, http.MethodGet, "/v1/files/"+id, nil).raw, up.raw)
	other := b.upload("a.jsonl", "{}", "purpose", "batch").text("id")
	equal(t, "list", b.want(http.StatusOK, http.MethodGet, "/v1/files", nil).ids(), []string{other, id})
	equal(t, "list of a purpose", b.want(http.StatusOK, http.MethodGet, "/v1/files?purpose=assistants", nil).ids(), []string{id})

	b.create(id)
	equal(t, "deleted", b.want(http.StatusOK, http.MethodDelete, "/v1/files/"+id, nil).text("object"), "file")
	r := b.want(http.StatusNotFound, http.MethodGet, "/v1/files/"+id, nil)
	equal(t, "message", r.message(), "No such File object: "+id)
	equal(t, "attached", b.emu.AttachedFileIDs(testStore), nil)
	equal(t, "store", b.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil).counts(), "0/0/0/0/0")
}

func TestUploadedFilesFailByNameAndContent(t *testing.T) {
	b := newBench(t, emulator.Settings{StrictFiles: true})
	ids := []string{
		b.upload("good.txt", "text", "purpose", "assistants").text("id"),
		b.upload("photo.jpeg", "text", "purpose", "assistants").text("id"),
		b.upload("empty.txt", "", "purpose", "assistants").text("id"),
	}
	b.create(ids...)
	for i, want := range []string{"<nil>", "unsupported_file", "invalid_file"} {
		file := b.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore+"/files/"+ids[i], nil)
		e, _ := file.json["last_error"].(map[string]any)
		equal(t, "code", fmt.Sprint(e["code"]), want)
	}
}

func TestStrictFiles(t *testing.T) {
	b := newBench(t, emulator.Settings{StrictFiles: true})
	b.emu.SetOutcome("file-known", emulator.Outcome{})
	b.create("file-known")
	r := b.want(http.StatusNotFound, http.MethodPost, batchesPath, fields{"file_ids": []string{"file-known", "file-unknown"}})
	equal(t, "message", r.message(), "No such File object: file-unknown")
	b.want(http.StatusNotFound, http.MethodPost, "/v1/vector_stores/"+testStore+"/files", fields{"file_id": "file-unknown"})
	equal(t, "batches made", b.emu.CreateCount(), 1)
}

func TestBadUploadsAreRefused(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	for name, r := range map[string]response{
		"no purpose":      b.upload("a.txt", "a"),
		"unknown purpose": b.upload("a.txt", "a", "purpose", "fun"),
		"no file":         b.upload("", "", "purpose", "assistants"),
		"no form":         b.do(http.MethodPost, "/v1/files", fields{"purpose": "assistants"}),
		"life too short":  b.upload("a.txt", "a", "purpose", "assistants", "expires_after[anchor]", "created_at", "expires_after[seconds]", "3599"),
		"life too long":   b.upload("a.txt", "a", "purpose", "assistants", "expires_after[anchor]", "created_at", "expires_after[seconds]", "2592001"),
		"life of a word":  b.upload("a.txt", "a", "purpose", "assistants", "expires_after[anchor]", "created_at", "expires_after[seconds]", "x"),
		"wrong anchor":    b.upload("a.txt", "a", "purpose", "assistants", "expires_after[anchor]", "now", "expires_after[seconds]", "3600"),
	} {
		if r.status != http.StatusBadRequest || r.message() == "" {
			t.Errorf("%s: status %d: %s", name, r.status, r.raw)
		}
	}
	equal(t, "uploads", b.want(http.StatusOK, http.MethodGet, "/v1/files", nil).ids(), []string{})
}

func TestUploadExpires(t *testing.T) {
	b := newBench(t, emulator.Settings{})
	up := b.upload("a.txt", "a", "purpose", "assistants", "expires_after[anchor]", "created_at", "expires_after[seconds]", "3600")
	equal(t, "expires_at", up.json["expires_at"], any(up.json["created_at"].(float64)+3600))
	b.clock.advance(time.Hour - 1)
	b.want(http.StatusOK, http.MethodGet, "/v1/files/"+up.text("id"), nil)
	b.clock.advance(1)
	equal(t, "uploads", b.want(http.StatusOK, http.MethodGet, "/v1/files", nil).ids(), []string{})
	b.want(http.StatusNotFound, http.MethodGet, "/v1/files/"+up.text("id"), nil)
}
