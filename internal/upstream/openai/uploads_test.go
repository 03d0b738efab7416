// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const uploadJSON = `{"id":"file-abc","object":"file","bytes":11,"created_at":1700000000,"filename":"a \"b\".md","purpose":"assistants","status":"processed"}`

var uploaded = upstream.UploadedFile{ID: "file-abc", Name: `a "b".md`, Size: 11, CreatedAt: time.Unix(1700000000, 0).UTC()}

func uploadRequest() upstream.UploadRequest {
	return upstream.UploadRequest{Name: `a "b".md`, Size: 11, Content: strings.NewReader("Hello there")}
}

func TestUpload_Expiry(t *testing.T) {
	for want, expiry := range map[string]time.Duration{" ": 0, "created_at 3600": time.Hour, "created_at 5400": 90*time.Minute + time.Millisecond} {
		var got string
		client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			got = r.FormValue("expires_after[anchor]") + " " + r.FormValue("expires_after[seconds]")
			respondJSON(http.StatusOK, uploadJSON)(w, r)
		}, Options{})
		request := uploadRequest()
		request.ExpiresAfter = expiry
		if _, err := client.Upload(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("for %s, the server received %q, want %q", expiry, got, want)
		}
	}
}

func TestUpload(t *testing.T) {
	var got struct{ path, purpose, name, content string }
	var length int64
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		length = r.ContentLength
		file, header, err := r.FormFile("file")
		if err != nil {
			t.Error(err)
			return
		}
		content, err := io.ReadAll(file)
		if err != nil {
			t.Error(err)
		}
		got.path, got.purpose, got.name, got.content = r.URL.Path, r.FormValue("purpose"), header.Filename, string(content)
		respondJSON(http.StatusOK, uploadJSON)(w, r)
	}, Options{})
	file, err := client.Upload(t.Context(), uploadRequest())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(uploaded, file); diff != "" {
		t.Errorf("Upload (-want +got):\n%s", diff)
	}
	want := struct{ path, purpose, name, content string }{"/v1/files", "assistants", `a "b".md`, "Hello there"}
	if got != want {
		t.Errorf("the server received %+v, want %+v", got, want)
	}
	if length <= 0 {
		t.Errorf("the Content-Length is %d, want it to be set", length)
	}
}

func TestUpload_ErrorKinds(t *testing.T) {
	for name, test := range map[string]struct {
		handle http.HandlerFunc
		kind   upstream.ErrorKind
	}{
		"server error": {respondJSON(http.StatusInternalServerError, `{}`), upstream.UnknownOutcome},
		"broken":       {dropConnection, upstream.UnknownOutcome},
		"no ID":        {respondJSON(http.StatusOK, `{"object":"file"}`), upstream.UnknownOutcome},
		"too many":     {respondJSON(http.StatusTooManyRequests, `{}`), upstream.RateLimited},
		"rejected":     {respondJSON(http.StatusBadRequest, `{}`), upstream.Rejected},
		"unauthorized": {respondJSON(http.StatusUnauthorized, `{}`), upstream.Unauthorized},
		"too large":    {respondJSON(http.StatusRequestEntityTooLarge, `{}`), upstream.Rejected},
		"HTML page":    {respond(http.StatusOK, "text/html", "<html>"), upstream.UnknownOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			client, endpoint := serve(t, test.handle, Options{})
			_, err := client.Upload(t.Context(), uploadRequest())
			if got := classified(t, err).Kind; got != test.kind {
				t.Errorf("kind is %v (%v), want %v", got, err, test.kind)
			}
			if n := endpoint.requests.Load(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestUpload_CannotConnect(t *testing.T) {
	client, endpoint := serve(t, respondJSON(http.StatusOK, uploadJSON), Options{})
	endpoint.Close()
	_, err := client.Upload(t.Context(), uploadRequest())
	if got := classified(t, err).Kind; got != upstream.Transient {
		t.Errorf("kind is %v, want transient", got)
	}
}

// pages returns a handler that serves a list of count files. File 0 is the newest; each file is one
// second older than the previous one.
func pages(t *testing.T, count, size int, requests *int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*requests++
		query := r.URL.Query()
		if query.Get("purpose") != "assistants" || query.Get("order") != "desc" {
			t.Errorf("unexpected query: %v", query)
		}
		from := 0
		if after := query.Get("after"); after != "" {
			if _, err := fmt.Sscanf(after, "file-%d", &from); err != nil {
				t.Error(err)
			}
			from++
		}
		var items []string
		for i := from; i < min(from+size, count); i++ {
			items = append(items, fmt.Sprintf(`{"id":"file-%d","filename":"f","bytes":1,"created_at":%d}`, i, 1700000000-i))
		}
		respondJSON(http.StatusOK, fmt.Sprintf(`{"object":"list","data":[%s],"has_more":%t}`, strings.Join(items, ","), from+size < count))(w, r)
	}
}

func TestUploads_Pagination(t *testing.T) {
	for name, test := range map[string]struct {
		since           time.Time
		files, requests int
	}{
		"all":          {time.Time{}, 25, 3},
		"some":         {time.Unix(1700000000-5, 0), 10, 1},
		"across pages": {time.Unix(1700000000-12, 0), 20, 2},
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			client, _ := serve(t, pages(t, 25, 10, &requests), Options{})
			files, err := client.Uploads(t.Context(), test.since)
			if err != nil {
				t.Fatal(err)
			}
			if len(files) != test.files || requests != test.requests {
				t.Errorf("%d files of %d pages, want %d of %d", len(files), requests, test.files, test.requests)
			}
		})
	}
}

func TestUploads_CursorIgnored(t *testing.T) {
	page := `{"data":[` + uploadJSON + `],"has_more":true}`
	client, endpoint := serve(t, respondJSON(http.StatusOK, page), Options{})
	files, err := client.Uploads(t.Context(), time.Time{})
	if err != nil || len(files) != 1 || endpoint.requests.Load() != 2 {
		t.Errorf("%d files of %d requests: %v", len(files), endpoint.requests.Load(), err)
	}
}

func TestUploads_InvalidLists(t *testing.T) {
	for body, works := range map[string]bool{`{"data":[]}`: true, `{"data":null}`: true, `{}`: false, `[]`: false, `{"data":[{"id":"a/b"}]}`: false} {
		client, _ := serve(t, respondJSON(http.StatusOK, body), Options{})
		if _, err := client.Uploads(t.Context(), time.Time{}); (err == nil) != works {
			t.Errorf("%s: error is %v", body, err)
		}
	}
}

func TestUploadedFile(t *testing.T) {
	client, _ := serve(t, respondJSON(http.StatusNotFound, `{}`), Options{})
	_, err := client.UploadedFile(t.Context(), "file-abc")
	if got := classified(t, err).Kind; got != upstream.NotFound {
		t.Errorf("kind is %v, want not_found", got)
	}
	client, _ = serve(t, respondJSON(http.StatusOK, uploadJSON), Options{})
	if file, err := client.UploadedFile(t.Context(), "file-abc"); err != nil || file != uploaded {
		t.Errorf("UploadedFile = %+v, %v", file, err)
	}
	if _, err := client.UploadedFile(t.Context(), "file-other"); err == nil {
		t.Error("another file than the requested one was accepted")
	}
	if _, err := client.UploadedFile(t.Context(), "a/b"); !errors.As(err, new(*upstream.Error)) {
		t.Errorf("error is %v", err)
	}
}
