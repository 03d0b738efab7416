// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func emulate(t *testing.T, settings emulator.Settings) (*Client, *emulator.Server) {
	t.Helper()
	server := emulator.New(emulator.Options{APIKeys: []string{testKey}, VectorStores: []string{testStore}, Settings: settings})
	e := listen(t, server.ServeHTTP, start)
	return dial(t, upstream.Connection{BaseURL: e.URL + "/v1"}, Options{}), server
}

func TestClient_CreateRetrieveCancel(t *testing.T) {
	ctx := t.Context()
	client, server := emulate(t, emulator.Settings{Pace: time.Hour, Behaviors: emulator.Behaviors{ExtraFields: true}})

	created, err := client.Create(ctx, upstream.CreateRequest{VectorStoreID: testStore, FileIDs: []string{"file-a", "file-b"}})
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	want := upstream.Batch{
		ID:         created.ID,
		CreatedAt:  created.CreatedAt,
		Status:     upstream.InProgress,
		FileCounts: upstream.FileCounts{InProgress: 2, Total: 2},
	}
	if diff := cmp.Diff(want, created); diff != "" || created.ID == "" || created.CreatedAt.IsZero() {
		t.Errorf("Create (-want +got):\n%s", diff)
	}
	ref := upstream.BatchRef{VectorStoreID: testStore, BatchID: created.ID}
	retrieved, err := client.Retrieve(ctx, ref)
	if err != nil {
		t.Fatalf("Retrieve: %v", err)
	}
	if diff := cmp.Diff(created, retrieved); diff != "" {
		t.Errorf("Retrieve (-created +retrieved):\n%s", diff)
	}
	if answered, err := client.Cancel(ctx, ref); err != nil || answered.ID != created.ID {
		t.Fatalf("Cancel = %+v, %v; want %s", answered, err, created.ID)
	}
	cancelled, err := client.Retrieve(ctx, ref)
	if err != nil {
		t.Fatalf("Retrieve: %v", err)
	}
	want.Status = upstream.Cancelled
	want.FileCounts = upstream.FileCounts{Cancelled: 2, Total: 2}
	if diff := cmp.Diff(want, cancelled); diff != "" {
		t.Errorf("Retrieve after Cancel (-want +got):\n%s", diff)
	}
	if server.CreateCount() != 1 {
		t.Errorf("the server created %d batches, want 1", server.CreateCount())
	}
}

func TestFile(t *testing.T) {
	client, _ := emulate(t, emulator.Settings{})
	if _, err := client.File(t.Context(), testStore, testFile); classified(t, err).Kind != upstream.NotFound {
		t.Errorf("File before it is attached: %v, want not found", err)
	}
	created, err := client.Create(t.Context(), testCreate)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	file, err := client.File(t.Context(), testStore, testFile)
	if err != nil {
		t.Fatalf("File: %v", err)
	}
	if file.ID != testFile || file.Status != upstream.Completed || file.CreatedAt.Before(created.CreatedAt.Add(-time.Second)) {
		t.Errorf("File = %+v, want %s completed, attached with the batch of %s", file, testFile, created.CreatedAt)
	}
}

func TestFailedFiles_Pagination(t *testing.T) {
	client, server := emulate(t, emulator.Settings{})
	request := upstream.CreateRequest{VectorStoreID: testStore, FileIDs: []string{"file-good"}}
	for i := range 250 {
		request.FileIDs = append(request.FileIDs, fmt.Sprintf("file-fail-unsupported-%03d", i))
	}
	created, err := client.Create(t.Context(), request)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	ref := upstream.BatchRef{VectorStoreID: testStore, BatchID: created.ID}
	for limit, pages := range map[int]int{0: 0, 1: 1, 100: 1, 101: 2, 250: 3, 1000: 3} {
		server.ClearCalls()
		failed, err := client.FailedFiles(t.Context(), ref, limit)
		if err != nil {
			t.Fatalf("FailedFiles: %v", err)
		}
		distinct := map[string]bool{}
		for _, file := range failed {
			distinct[file.FileID] = true
			if file.Code != emulator.UnsupportedFile || file.Message == "" || !strings.HasPrefix(file.FileID, "file-fail-") {
				t.Errorf("limit %d: %+v, want a failed file with its code and message", limit, file)
			}
		}
		if want := min(limit, 250); len(failed) != want || len(distinct) != want {
			t.Errorf("limit %d: %d files, %d of them distinct, want %d", limit, len(failed), len(distinct), want)
		}
		if got := len(server.Calls(emulator.ListFiles)); got != pages {
			t.Errorf("limit %d: %d requests, want %d", limit, got, pages)
		}
	}
}

// page returns a page of a list of files, all with the given status.
func page(status string, hasMore bool, ids ...string) string {
	files := make([]string, 0, len(ids))
	for _, id := range ids {
		files = append(files, fmt.Sprintf(`{"id":%q,"status":%q,"last_error":{"code":"server_error","message":"broke"}}`, id, status))
	}
	return fmt.Sprintf(`{"object":"list","data":[%s],"has_more":%t}`, strings.Join(files, ","), hasMore)
}

func TestFailedFiles_EndlessList(t *testing.T) {
	t.Run("always the same page", func(t *testing.T) {
		client, e := serve(t, respondJSON(200, page("failed", true, "file-a", "file-b")), Options{})
		failed, err := client.FailedFiles(t.Context(), testRef, 100)
		want := []upstream.FailedFile{
			{FileID: "file-a", Code: "server_error", Message: "broke"},
			{FileID: "file-b", Code: "server_error", Message: "broke"},
		}
		if diff := cmp.Diff(want, failed); diff != "" || err != nil {
			t.Errorf("FailedFiles: %v (-want +got):\n%s", err, diff)
		}
		if e.requests.Load() != 2 {
			t.Errorf("%d requests, want 2", e.requests.Load())
		}
	})
	t.Run("endless pages of completed files", func(t *testing.T) {
		var number atomic.Int64
		client, e := serve(t, func(w http.ResponseWriter, r *http.Request) {
			ids := make([]string, filesPerPage)
			for i := range ids {
				ids[i] = fmt.Sprintf("file-%d", number.Add(1))
			}
			respondJSON(200, page("completed", true, ids...))(w, r)
		}, Options{})
		failed, err := client.FailedFiles(t.Context(), testRef, 100)
		if err != nil || len(failed) != 0 {
			t.Errorf("FailedFiles = %v, %v; want none", failed, err)
		}
		if got := e.requests.Load(); got != filesPerBatch/filesPerPage {
			t.Errorf("%d requests, want %d", got, filesPerBatch/filesPerPage)
		}
	})
}

// TestFailedFiles_KeepsPagesBeforeError checks that one page that fails does not lose the others.
func TestFailedFiles_KeepsPagesBeforeError(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") == "" {
			respondJSON(http.StatusOK, page("failed", true, "file-a", "file-b"))(w, r)
			return
		}
		respondJSON(http.StatusInternalServerError, `{}`)(w, r)
	}, Options{})
	failed, err := client.FailedFiles(t.Context(), testRef, 100)
	if !upstream.IsTransient(err) || len(failed) != 2 || failed[0].FileID != "file-a" || failed[1].FileID != "file-b" {
		t.Errorf("FailedFiles = %v, %v; want the two of the first page, and an error", failed, err)
	}
}

func TestFiles_Pages(t *testing.T) {
	for name, test := range map[string]struct {
		perPage         int
		files, requests int
		err             string
	}{
		"of the maximum size":   {filesPerPage, filesPerBatch, filesPerBatch / filesPerPage, ""},
		"of the smallest size":  {filesPerBatch / pagesPerBatch, filesPerBatch, pagesPerBatch, ""},
		"smaller than that":     {filesPerBatch/pagesPerBatch - 1, filesPerBatch - pagesPerBatch, pagesPerBatch, "more than 100 pages"},
		"of one file":           {1, pagesPerBatch, pagesPerBatch, "more than 100 pages"},
		"of an odd size":        {99, 99 * 21, 21, ""},
		"larger than requested": {filesPerPage + 1, filesPerBatch, filesPerBatch / filesPerPage, ""},
	} {
		t.Run(name, func(t *testing.T) {
			number := 0
			client, e := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if after := r.URL.Query().Get("after"); number > 0 && after != fmt.Sprintf("file-%d", number) {
					t.Errorf("the cursor is %q, want the last file that was read, %d", after, number)
				}
				ids := make([]string, test.perPage)
				for i := range ids {
					ids[i] = fmt.Sprintf("file-%d", number+i+1)
				}
				number += min(test.perPage, filesPerPage)
				respondJSON(200, page("completed", true, ids...))(w, r)
			}, Options{})
			files, err := client.Files(t.Context(), testRef)
			if len(files) != test.files || e.requests.Load() != int64(test.requests) {
				t.Errorf("%d files of %d requests, want %d of %d", len(files), e.requests.Load(), test.files, test.requests)
			}
			if test.err == "" {
				if err != nil {
					t.Errorf("Files: %v", err)
				}
			} else if failure := classified(t, err); failure.Kind != upstream.Rejected || !strings.Contains(failure.Message, test.err) {
				t.Errorf("%v: %v, want rejected, %q", failure.Kind, failure, test.err)
			}
		})
	}
}

func TestFiles_RepeatedPages(t *testing.T) {
	large := make([]string, filesPerPage+1)
	for i := range large {
		large[i] = fmt.Sprintf("file-%d", i)
	}
	for name, test := range map[string]struct {
		pages           [][]string
		files, requests int
		complete        bool
	}{
		"the same page":        {[][]string{{"file-a", "file-b"}}, 2, 2, true},
		"two pages in turn":    {[][]string{{"file-a", "file-b"}, {"file-c"}}, 3, 3, true},
		"pages that overlap":   {[][]string{{"file-a", "file-b"}, {"file-b", "file-c"}, {"file-c"}}, 3, 3, true},
		"a file twice":         {[][]string{{"file-a", "file-a"}}, 1, 2, true},
		"the same large page":  {[][]string{large}, filesPerPage, 2, false},
		"a full page, ignored": {[][]string{large[:filesPerPage]}, filesPerPage, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			number := 0
			client, e := serve(t, func(w http.ResponseWriter, r *http.Request) {
				number++
				respondJSON(200, page("failed", true, test.pages[(number-1)%len(test.pages)]...))(w, r)
			}, Options{})
			files, err := client.Files(t.Context(), testRef)
			if len(files) != test.files || e.requests.Load() != int64(test.requests) || (err == nil) != test.complete {
				t.Errorf("%d files of %d requests, %v; want %d of %d", len(files), e.requests.Load(), err, test.files, test.requests)
			}
			if !test.complete {
				failure := classified(t, err)
				if failure.Kind != upstream.Transient || failure.Host != client.host || !strings.Contains(failure.Message, "more than 100 files") {
					t.Errorf("%v: %v, want transient", failure.Kind, failure)
				}
			}
		})
	}
}

func TestFailedFiles_SparseLists(t *testing.T) {
	for name, test := range map[string]struct {
		body string
		want []upstream.FailedFile
	}{
		"no files":     {`{"data":[],"has_more":false}`, nil},
		"null":         {`{"data":null}`, nil},
		"no error":     {`{"data":[{"id":"file-a","status":"failed","last_error":null}],"has_more":false}`, []upstream.FailedFile{{FileID: "file-a"}}},
		"error absent": {`{"data":[{"id":"file-a","status":"failed"}],"has_more":false}`, []upstream.FailedFile{{FileID: "file-a"}}},
		"null message": {
			`{"data":[{"id":"file-a","status":"failed","last_error":{"code":"new_code","message":null}}],"has_more":false}`,
			[]upstream.FailedFile{{FileID: "file-a", Code: "new_code"}},
		},
		"long message with a key in it": {
			`{"data":[{"id":"file-a","status":"failed","last_error":{"code":"x","message":"` + testKey + strings.Repeat("ä", 2000) + `"}}],"has_more":false}`,
			[]upstream.FailedFile{{FileID: "file-a", Code: "x", Message: redacted + strings.Repeat("ä", maxMessage-len(redacted)-1) + "…"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, respondJSON(200, test.body), Options{})
			got, err := client.FailedFiles(t.Context(), testRef, 100)
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("FailedFiles: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestClient_PollAfter(t *testing.T) {
	for hint, want := range map[string]time.Duration{
		"": 0, "5000": 5 * time.Second, "-1": 0, "soon": 0, "8000": 8 * time.Second, "8001": 8 * time.Second, "86400000": 8 * time.Second, "1e300": 8 * time.Second, "NaN": 0,
	} {
		client, _ := serve(t, respondJSON(200, batchJSON, "openai-poll-after-ms", hint), Options{})
		for name, call := range map[string]func() (upstream.Batch, error){
			"create":   func() (upstream.Batch, error) { return client.Create(t.Context(), testCreate) },
			"retrieve": func() (upstream.Batch, error) { return client.Retrieve(t.Context(), testRef) },
			"cancel":   func() (upstream.Batch, error) { return client.Cancel(t.Context(), testRef) },
		} {
			if batch, err := call(); err != nil || batch.PollAfter != want {
				t.Errorf("%s with a hint of %q: PollAfter %v, %v; want %v", name, hint, batch.PollAfter, err, want)
			}
		}
	}
}

func TestClient_Requests(t *testing.T) {
	chunking := &upstream.StaticChunking{MaxChunkSizeTokens: 800, ChunkOverlapTokens: 0}
	attributes := map[string]any{"s": "<ü>", "yes": true, "no": false, "empty": "", "zero": int64(0)}
	for name, test := range map[string]struct {
		call       func(*Client) error
		method     string
		requestURI string
		body       string
	}{
		"create with IDs only": {
			call:       func(c *Client) error { return calls["create"](t.Context(), c) },
			method:     "POST",
			requestURI: "/v1/vector_stores/vs_abc123/file_batches",
			body:       `{"file_ids":["file-abc"]}`,
		},
		"create with shared settings": {
			call: func(c *Client) error {
				_, err := c.Create(t.Context(), upstream.CreateRequest{
					VectorStoreID: testStore, FileIDs: []string{"file-a", "file-b"}, Attributes: attributes, Chunking: chunking,
				})
				return err
			},
			method:     "POST",
			requestURI: "/v1/vector_stores/vs_abc123/file_batches",
			body: `{"file_ids":["file-a","file-b"],"attributes":{"s":"<ü>","yes":true,"no":false,"empty":"","zero":0},` +
				`"chunking_strategy":{"type":"static","static":{"max_chunk_size_tokens":800,"chunk_overlap_tokens":0}}}`,
		},
		"create with settings for each file": {
			call: func(c *Client) error {
				_, err := c.Create(t.Context(), upstream.CreateRequest{VectorStoreID: testStore, Files: []upstream.FileToAttach{
					{FileID: "file-a", Attributes: attributes, Chunking: chunking}, {FileID: "file-b"},
				}, Attributes: map[string]any{"ignored": true}, Chunking: chunking})
				return err
			},
			method:     "POST",
			requestURI: "/v1/vector_stores/vs_abc123/file_batches",
			body: `{"files":[{"file_id":"file-a","attributes":{"s":"<ü>","yes":true,"no":false,"empty":"","zero":0},` +
				`"chunking_strategy":{"type":"static","static":{"max_chunk_size_tokens":800,"chunk_overlap_tokens":0}}},{"file_id":"file-b"}]}`,
		},
		"retrieve": {
			call:       func(c *Client) error { return calls["retrieve"](t.Context(), c) },
			method:     "GET",
			requestURI: "/v1/vector_stores/vs_abc123/file_batches/" + testBatch,
		},
		"cancel": {
			call:       func(c *Client) error { return calls["cancel"](t.Context(), c) },
			method:     "POST",
			requestURI: "/v1/vector_stores/vs_abc123/file_batches/" + testBatch + "/cancel",
		},
		"failed files": {
			call:       func(c *Client) error { return calls["failed files"](t.Context(), c) },
			method:     "GET",
			requestURI: "/v1/vector_stores/vs_abc123/file_batches/" + testBatch + "/files?filter=failed&limit=100",
		},
		"file": {
			call:       func(c *Client) error { return calls["file"](t.Context(), c) },
			method:     "GET",
			requestURI: "/v1/vector_stores/vs_abc123/files/file-abc",
		},
	} {
		t.Run(name, func(t *testing.T) {
			type request struct{ method, uri, body string }
			requests := make(chan request, 1)
			client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				requests <- request{r.Method, r.RequestURI, string(body)}
				respondJSON(400, "")(w, r)
			}, Options{})
			if err := test.call(client); classified(t, err).Kind != upstream.Rejected {
				t.Fatalf("error is %v, want rejected", err)
			}
			got := <-requests
			if got.method != test.method || got.uri != test.requestURI {
				t.Errorf("request is %s %s, want %s %s", got.method, got.uri, test.method, test.requestURI)
			}
			if !sameJSON(t, test.body, got.body) {
				t.Errorf("body is %s, want %s", got.body, test.body)
			}
		})
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	if a == "" || b == "" {
		return a == b
	}
	var x, y any
	for text, value := range map[*string]*any{&a: &x, &b: &y} {
		if err := json.Unmarshal([]byte(*text), value); err != nil {
			t.Fatalf("%s: %v", *text, err)
		}
	}
	return reflect.DeepEqual(x, y)
}

func TestCreate_AttributeNumbersAreExact(t *testing.T) {
	for _, test := range []struct {
		value any
		want  string
	}{
		{int64(3), "3"},
		{float64(3), "3"},
		{int64(9007199254740993), "9007199254740993"},
		{int64(-9223372036854775808), "-9223372036854775808"},
		{0.1, "0.1"},
		{-2.5e-7, "-2.5e-7"},
		{1e21, "1e+21"},
		{json.Number("9007199254740993"), "9007199254740993"},
		{json.Number("123456789012345678901234567890"), "123456789012345678901234567890"},
		{json.Number("1e21"), "1e21"},
		{json.Number("3.0"), "3.0"},
	} {
		for name, request := range map[string]upstream.CreateRequest{
			"shared":   {VectorStoreID: testStore, FileIDs: []string{testFile}, Attributes: map[string]any{"n": test.value}},
			"per file": {VectorStoreID: testStore, Files: []upstream.FileToAttach{{FileID: testFile, Attributes: map[string]any{"n": test.value}}}},
		} {
			bodies := make(chan string, 1)
			client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				bodies <- string(body)
				respondJSON(200, batchJSON)(w, r)
			}, Options{})
			if _, err := client.Create(t.Context(), request); err != nil {
				t.Fatalf("Create: %v", err)
			}
			if body, want := <-bodies, `{"n":`+test.want+`}`; !strings.Contains(body, want) {
				t.Errorf("%s, %T %v: body is %s, want %s in it", name, test.value, test.value, body, want)
			}
		}
	}
}

func TestCreate_InvalidRequests(t *testing.T) {
	for name, call := range map[string]func(*Client) error{
		"no files": createWith(upstream.CreateRequest{VectorStoreID: testStore}),
		"both IDs and files": createWith(upstream.CreateRequest{
			VectorStoreID: testStore, FileIDs: []string{testFile}, Files: []upstream.FileToAttach{{FileID: testFile}},
		}),
		"a null attribute": createAttribute(nil),
		"a list attribute": createAttribute([]any{"a"}),
		"not a number":     createAttribute(json.Number("three")),
		"infinity":         createAttribute(math.Inf(1)),
	} {
		t.Run(name, func(t *testing.T) {
			client, e := serve(t, respondJSON(200, batchJSON), Options{})
			if failure := classified(t, call(client)); failure.Kind != upstream.Rejected || failure.Message == "" {
				t.Errorf("error is %v (%v), want rejected with a message", failure, failure.Kind)
			}
			if e.requests.Load() != 0 {
				t.Errorf("%d requests were sent, want none", e.requests.Load())
			}
		})
	}
}

func createWith(request upstream.CreateRequest) func(*Client) error {
	return func(c *Client) error {
		_, err := c.Create(context.Background(), request)
		return err
	}
}

func createAttribute(value any) func(*Client) error {
	return createWith(upstream.CreateRequest{
		VectorStoreID: testStore, FileIDs: []string{testFile}, Attributes: map[string]any{"a": value},
	})
}

func TestClient_InvalidIDs(t *testing.T) {
	client, e := serve(t, respondJSON(200, batchJSON), Options{})
	bad := []string{
		"", ".", "..", "../x", "a/b", "a\\b", "a%2Fb", "a?b", "a#b", "a b", "a\nb", "ä", "a\x00", strings.Repeat("a", 513),
		"vs_abc123\n", ";", "a&b",
	}
	for _, id := range bad {
		ctx := t.Context()
		for name, call := range map[string]func() error{
			"create in a store": func() error {
				_, err := client.Create(ctx, upstream.CreateRequest{VectorStoreID: id, FileIDs: []string{testFile}})
				return err
			},
			"retrieve in a store": func() error {
				_, err := client.Retrieve(ctx, upstream.BatchRef{VectorStoreID: id, BatchID: testBatch})
				return err
			},
			"retrieve": func() error {
				_, err := client.Retrieve(ctx, upstream.BatchRef{VectorStoreID: testStore, BatchID: id})
				return err
			},
			"cancel": func() error {
				_, err := client.Cancel(ctx, upstream.BatchRef{VectorStoreID: testStore, BatchID: id})
				return err
			},
			"failed files": func() error {
				_, err := client.FailedFiles(ctx, upstream.BatchRef{VectorStoreID: testStore, BatchID: id}, 1)
				return err
			},
			"file":            func() error { _, err := client.File(ctx, testStore, id); return err },
			"file of a store": func() error { _, err := client.File(ctx, id, testFile); return err },
		} {
			if err := call(); classified(t, err).Kind != upstream.Rejected {
				t.Errorf("%s with ID %q: %v, want rejected", name, id, err)
			}
		}
	}
	if e.requests.Load() != 0 {
		t.Errorf("%d requests were sent, want none", e.requests.Load())
	}
}

func TestRetrieve_IDsOfCompatibleServers(t *testing.T) {
	const batchID = "batch:6f1c2a1e-0b64-4a53.v2"
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if want := "/v1/vector_stores/" + testStore + "/file_batches/" + batchID; r.URL.Path != want {
			t.Errorf("path is %s, want %s", r.URL.Path, want)
		}
		respondJSON(200, strings.ReplaceAll(batchJSON, testBatch, batchID))(w, r)
	}, Options{})
	if _, err := client.Retrieve(t.Context(), upstream.BatchRef{VectorStoreID: testStore, BatchID: batchID}); err != nil {
		t.Errorf("Retrieve: %v", err)
	}
}

func TestClient_ReusesConnections(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"HTTP/1": start,
		"HTTP/2": func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		t.Run(name, func(t *testing.T) {
			var accepted atomic.Int64
			var protocol atomic.Value
			e := listen(t, func(w http.ResponseWriter, r *http.Request) {
				protocol.Store(r.Proto)
				switch {
				case strings.HasSuffix(r.URL.Path, "/"+testFile):
					respondJSON(404, `{"error":{"message":"no such file"}}`)(w, r)
				case strings.HasSuffix(r.URL.Path, "/files"):
					respondJSON(200, page("failed", false, "file-a"))(w, r)
				default:
					respondJSON(200, batchJSON)(w, r)
				}
			}, func(s *httptest.Server) {
				s.Config.ConnState = countNew(&accepted)
				start(s)
			})
			client := dial(t, upstream.Connection{BaseURL: e.URL + "/v1", CABundle: caBundle(e)}, Options{})
			for range 20 {
				for name, call := range calls {
					if err := call(t.Context(), client); (err != nil) != (name == "file") {
						t.Fatalf("%s: %v", name, err)
					}
				}
			}
			if e.requests.Load() != 100 || accepted.Load() != 1 {
				t.Errorf("%d requests over %d connections, want 100 over 1", e.requests.Load(), accepted.Load())
			}
			if got := protocol.Load().(string); !strings.HasPrefix(got, name) {
				t.Errorf("protocol is %s, want %s", got, name)
			}
			client.Close()
			if err := calls["retrieve"](t.Context(), client); err != nil || accepted.Load() != 2 {
				t.Errorf("after Close: %v, %d connections; want a second connection", err, accepted.Load())
			}
		})
	}
}

func TestValidateAttribute(t *testing.T) {
	const notFinite, wrongType = "the value must be a finite number", "the value must be a string, a number or a boolean"
	for _, test := range []struct {
		value any
		want  string
	}{
		{"a", ""}, {true, ""}, {1, ""}, {int32(1), ""}, {int64(1), ""}, {float32(1), ""}, {1.5, ""}, {json.Number("1e3"), ""},
		{math.NaN(), notFinite}, {math.Inf(1), notFinite}, {math.Inf(-1), notFinite}, {float32(math.Inf(1)), notFinite}, {json.Number("x"), notFinite},
		{nil, wrongType}, {[]string{"a"}, wrongType}, {map[string]any{}, wrongType},
	} {
		got := ""
		if err := validateAttribute(test.value); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%T %v: %q, want %q", test.value, test.value, got, test.want)
		}
	}
}
