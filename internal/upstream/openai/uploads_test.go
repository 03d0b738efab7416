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

func TestUploadSendsTheFileAndItsPurpose(t *testing.T) {
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
		answerJSON(http.StatusOK, uploadJSON)(w, r)
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
		t.Errorf("the upstream got %+v, want %+v", got, want)
	}
	if length <= 0 {
		t.Errorf("the request's length is %d, which some servers refuse", length)
	}
}

func TestUploadIsSentOnceAndItsErrorsTellTheOutcome(t *testing.T) {
	for name, test := range map[string]struct {
		handle http.HandlerFunc
		kind   upstream.ErrorKind
	}{
		"server error":   {answerJSON(http.StatusInternalServerError, `{}`), upstream.UnknownOutcome},
		"broken":         {hangUp, upstream.UnknownOutcome},
		"no ID":          {answerJSON(http.StatusOK, `{"object":"file"}`), upstream.UnknownOutcome},
		"too many":       {answerJSON(http.StatusTooManyRequests, `{}`), upstream.RateLimited},
		"refused":        {answerJSON(http.StatusBadRequest, `{}`), upstream.Rejected},
		"key refused":    {answerJSON(http.StatusUnauthorized, `{}`), upstream.Unauthorized},
		"too large":      {answerJSON(http.StatusRequestEntityTooLarge, `{}`), upstream.Rejected},
		"HTML of a page": {answer(http.StatusOK, "text/html", "<html>"), upstream.UnknownOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			client, endpoint := serve(t, test.handle, Options{})
			_, err := client.Upload(t.Context(), uploadRequest())
			if got := known(t, err).Kind; got != test.kind {
				t.Errorf("kind is %v (%v), want %v", got, err, test.kind)
			}
			if n := endpoint.requests.Load(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestUploadThatCannotConnectHadNoEffect(t *testing.T) {
	client, endpoint := serve(t, answerJSON(http.StatusOK, uploadJSON), Options{})
	endpoint.Close()
	_, err := client.Upload(t.Context(), uploadRequest())
	if got := known(t, err).Kind; got != upstream.Transient {
		t.Errorf("kind is %v, want transient", got)
	}
}

// pages serves a list of count files, of which the newest is number 0 and each is a second
// older than the one before.
func pages(t *testing.T, count, size int, asked *int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*asked++
		query := r.URL.Query()
		if query.Get("purpose") != "assistants" || query.Get("order") != "desc" {
			t.Errorf("asked for %v", query)
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
		answerJSON(http.StatusOK, fmt.Sprintf(`{"object":"list","data":[%s],"has_more":%t}`, strings.Join(items, ","), from+size < count))(w, r)
	}
}

func TestUploadsReadsAllPagesAsFarBackAsAsked(t *testing.T) {
	for name, test := range map[string]struct {
		since        time.Time
		files, asked int
	}{
		"all":          {time.Time{}, 25, 3},
		"some":         {time.Unix(1700000000-5, 0), 10, 1},
		"across pages": {time.Unix(1700000000-12, 0), 20, 2},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			client, _ := serve(t, pages(t, 25, 10, &asked), Options{})
			files, err := client.Uploads(t.Context(), test.since)
			if err != nil {
				t.Fatal(err)
			}
			if len(files) != test.files || asked != test.asked {
				t.Errorf("%d files of %d pages, want %d of %d", len(files), asked, test.files, test.asked)
			}
		})
	}
}

func TestUploadsEndsWhereAServerIgnoresTheCursor(t *testing.T) {
	page := `{"data":[` + uploadJSON + `],"has_more":true}`
	client, endpoint := serve(t, answerJSON(http.StatusOK, page), Options{})
	files, err := client.Uploads(t.Context(), time.Time{})
	if err != nil || len(files) != 1 || endpoint.requests.Load() != 2 {
		t.Errorf("%d files of %d requests: %v", len(files), endpoint.requests.Load(), err)
	}
}

func TestUploadsTellsNoListFromAnEmptyOne(t *testing.T) {
	for body, works := range map[string]bool{`{"data":[]}`: true, `{"data":null}`: true, `{}`: false, `[]`: false, `{"data":[{"id":"a/b"}]}`: false} {
		client, _ := serve(t, answerJSON(http.StatusOK, body), Options{})
		if _, err := client.Uploads(t.Context(), time.Time{}); (err == nil) != works {
			t.Errorf("%s: error is %v", body, err)
		}
	}
}

func TestUploadedFileTellsAFileThatIsGone(t *testing.T) {
	client, _ := serve(t, answerJSON(http.StatusNotFound, `{}`), Options{})
	_, err := client.UploadedFile(t.Context(), "file-abc")
	if got := known(t, err).Kind; got != upstream.NotFound {
		t.Errorf("kind is %v, want not_found", got)
	}
	client, _ = serve(t, answerJSON(http.StatusOK, uploadJSON), Options{})
	if file, err := client.UploadedFile(t.Context(), "file-abc"); err != nil || file != uploaded {
		t.Errorf("UploadedFile gives %+v, %v", file, err)
	}
	if _, err := client.UploadedFile(t.Context(), "file-other"); err == nil {
		t.Error("an answer about another file is taken for the one asked for")
	}
	if _, err := client.UploadedFile(t.Context(), "a/b"); !errors.As(err, new(*upstream.Error)) {
		t.Errorf("error is %v", err)
	}
}
