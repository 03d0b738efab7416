// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// storeCalls are the calls of the StoreManager, on the objects of calls.
var storeCalls = map[string]func(context.Context, *Client) error{
	"vector store": func(ctx context.Context, c *Client) error {
		_, err := c.VectorStore(ctx, testStore)
		return err
	},
	"store files": func(ctx context.Context, c *Client) error {
		return c.StoreFiles(ctx, testStore, func([]upstream.StoreFile) {})
	},
	"vector stores": func(ctx context.Context, c *Client) error {
		_, err := c.VectorStores(ctx)
		return err
	},
	"update attributes": func(ctx context.Context, c *Client) error {
		_, err := c.UpdateAttributes(ctx, testStore, testFile, nil)
		return err
	},
	"delete upload": func(ctx context.Context, c *Client) error { return c.DeleteUpload(ctx, testFile) },
	"search": func(ctx context.Context, c *Client) error {
		_, err := c.Search(ctx, testStore, upstream.SearchRequest{Query: "x"})
		return err
	},
}

const storeJSON = `{"id":"vs_other","object":"vector_store","name":"Handbook","status":"completed","file_counts":{"in_progress":1,"completed":2,"failed":3,"cancelled":4,"total":10}}`

func TestVectorStore(t *testing.T) {
	client, _ := serve(t, respondJSON(http.StatusOK, storeJSON), Options{})
	store, err := client.VectorStore(t.Context(), testStore)
	if err != nil {
		t.Fatal(err)
	}
	want := upstream.VectorStore{ID: testStore, Name: "Handbook", Status: "completed", FileCounts: upstream.FileCounts{InProgress: 1, Completed: 2, Failed: 3, Cancelled: 4, Total: 10}}
	if diff := cmp.Diff(want, store); diff != "" {
		t.Errorf("VectorStore (-want +got):\n%s", diff)
	}
}

const storeFileJSON = `{"id":"file-abc","object":"vector_store.file","usage_bytes":12,"created_at":1700000000,"vector_store_id":"vs_other","status":"failed",` +
	`"last_error":{"code":"invalid_file","message":"Nothing could be read."},"attributes":{"path":"a/b.md","n":5.0,"draft":true,"none":null,"list":[1,{"a":2}],"key":"sk-test-0123456789abcdefghij"}}`

var storeFile = upstream.StoreFile{
	ID: "file-abc", CreatedAt: time.Unix(1700000000, 0).UTC(), Status: upstream.Failed, Bytes: 12,
	Attributes: map[string]any{"path": "a/b.md", "n": 5.0, "draft": true}, Code: "invalid_file", Message: "Nothing could be read.",
}

// storePages serves a list of files in pages of size files, with the cursor "after".
func storePages(ids []string, size int, queries *[]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*queries = append(*queries, r.URL.RawQuery)
		rest := ids[slices.Index(ids, r.URL.Query().Get("after"))+1:]
		page := rest[:min(size, len(rest))]
		var items []string
		for _, id := range page {
			items = append(items, fmt.Sprintf(`{"id":%q,"status":"completed","attributes":{"path":%q}}`, id, id))
		}
		respondJSON(http.StatusOK, fmt.Sprintf(`{"object":"list","data":[%s],"has_more":%t}`, strings.Join(items, ","), len(page) < len(rest)))(w, r)
	}
}

func TestStoreFiles(t *testing.T) {
	for count, want := range map[int]int{0: 1, 1: 1, 100: 1, 101: 2, 1000: 10} {
		var ids, queries, got []string
		for i := range count {
			ids = append(ids, fmt.Sprintf("file-%04d", i))
		}
		client, _ := serve(t, storePages(ids, 100, &queries), Options{})
		err := client.StoreFiles(t.Context(), testStore, func(page []upstream.StoreFile) {
			for _, file := range page {
				got = append(got, file.ID)
				if file.Attributes["path"] != file.ID || file.Status != upstream.Completed {
					t.Errorf("%+v", file)
				}
			}
		})
		if err != nil || !slices.Equal(ids, got) || len(queries) != want {
			t.Errorf("%d files in %d requests, and error %v; want %d in %d", len(got), len(queries), err, count, want)
		}
		if queries[0] != "limit=100&order=asc" {
			t.Errorf("query = %s", queries[0])
		}
	}
}

func TestVectorStores(t *testing.T) {
	for count, want := range map[int]int{0: 1, 1: 1, 100: 1, 101: 2, 250: 3} {
		var ids, queries []string
		for i := range count {
			ids = append(ids, fmt.Sprintf("vs_%04d", i))
		}
		client, _ := serve(t, storePages(ids, 100, &queries), Options{})
		got, err := client.VectorStores(t.Context())
		if err != nil || !slices.Equal(ids, got) || len(queries) != want {
			t.Errorf("%d vector stores in %d requests, and error %v; want %d in %d", len(got), len(queries), err, count, want)
		}
		if queries[0] != "limit=100&order=asc" {
			t.Errorf("query = %s", queries[0])
		}
	}
}

func TestVectorStores_Invalid(t *testing.T) {
	for name, body := range map[string]string{
		"the same page again": `{"data":[{"id":"vs_a"}],"has_more":true}`,
		"no ID":               `{"data":[{"name":"a"}],"has_more":false}`,
		"an ID with a slash":  `{"data":[{"id":"../files"}],"has_more":false}`,
		"no objects":          `{"data":["vs_a"],"has_more":false}`,
		"no list":             `{"object":"list"}`,
	} {
		client, _ := serve(t, respondJSON(http.StatusOK, body), Options{})
		if got, err := client.VectorStores(t.Context()); kindOfError(err) != upstream.Transient {
			t.Errorf("%s: %q, error %v, want transient", name, got, err)
		}
	}
}

// TestVectorStores_OnTwoPages shows that a vector store that is created meanwhile does not repeat others.
func TestVectorStores_OnTwoPages(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body := `{"data":[{"id":"vs_a"},{"id":"vs_b"}],"has_more":true}`
		if r.URL.Query().Get("after") == "vs_b" {
			body = `{"data":[{"id":"vs_b"},{"id":"vs_c"}],"has_more":false}`
		}
		respondJSON(http.StatusOK, body)(w, r)
	}, Options{})
	if got, err := client.VectorStores(t.Context()); err != nil || !slices.Equal(got, []string{"vs_a", "vs_b", "vs_c"}) {
		t.Errorf("VectorStores = %q, %v", got, err)
	}
}

func TestStoreFiles_Invalid(t *testing.T) {
	for name, body := range map[string]string{
		"the same page again": `{"data":[{"id":"file-a","status":"completed"}],"has_more":true}`,
		"no status":           `{"data":[{"id":"file-a"}],"has_more":false}`,
		"no ID":               `{"data":[{"status":"completed"}],"has_more":false}`,
		"no list":             `{"object":"list"}`,
		"not JSON":            `<html>`,
	} {
		client, _ := serve(t, respondJSON(http.StatusOK, body), Options{})
		err := client.StoreFiles(t.Context(), testStore, func([]upstream.StoreFile) {})
		if kind := kindOfError(err); kind != upstream.Transient {
			t.Errorf("%s: error %v of kind %s, want transient", name, err, kind)
		}
	}
}

func kindOfError(err error) upstream.ErrorKind {
	failure, _ := err.(*upstream.Error) //nolint:errorlint // every error of the port has this type
	if failure == nil {
		return -1
	}
	return failure.Kind
}

func TestUpdateAttributes(t *testing.T) {
	var got string
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.Path + " " + string(body)
		respondJSON(http.StatusOK, storeFileJSON)(w, r)
	}, Options{})
	file, err := client.UpdateAttributes(t.Context(), testStore, testFile, map[string]any{"path": "a/b.md", "n": json.Number("5"), "draft": true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(storeFile, file); diff != "" {
		t.Errorf("UpdateAttributes (-want +got):\n%s", diff)
	}
	if want := `POST /v1/vector_stores/vs_abc123/files/file-abc {"attributes":{"draft":true,"n":5,"path":"a/b.md"}}`; got != want {
		t.Errorf("the server received %s, want %s", got, want)
	}
	if _, err := client.UpdateAttributes(t.Context(), testStore, "file-other", nil); kindOfError(err) != upstream.Transient {
		t.Errorf("another file in the response: %v", err)
	}
	if _, err := client.UpdateAttributes(t.Context(), testStore, testFile, map[string]any{"list": []int{1}}); kindOfError(err) != upstream.Rejected {
		t.Errorf("an invalid attribute: %v", err)
	}
}

func TestDeleteUpload(t *testing.T) {
	for body, want := range map[string]upstream.ErrorKind{
		`{"id":"file-abc","deleted":true}`:  -1,
		`{"id":"file-abc"}`:                 -1,
		`{"id":"file-abc","deleted":false}`: upstream.Transient,
		`<html>login</html>`:                upstream.Transient,
	} {
		client, _ := serve(t, respondJSON(http.StatusOK, body), Options{})
		if err := client.DeleteUpload(t.Context(), testFile); kindOfError(err) != want {
			t.Errorf("%s: error %v, want kind %s", body, err, want)
		}
	}
}

func TestSearch(t *testing.T) {
	var got string
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.Path + " " + string(body)
		respondJSON(http.StatusOK, `{"object":"vector_store.search_results.page","search_query":["q"],"data":[
			{"file_id":"file-abc","filename":"a.md","score":0.5,"attributes":{"path":"a.md"},"content":[{"type":"text","text":"One"},{"type":"image"},{"type":"text","text":"two sk-test-0123456789abcdefghij"}]},
			{"file_id":"file-def","filename":"b.md","score":null,"attributes":null,"content":null}],"has_more":false,"next_page":null}`)(w, r)
	}, Options{})
	results, err := client.Search(t.Context(), testStore, upstream.SearchRequest{Query: "How <many>?", Limit: 3, Filters: map[string]any{"type": "eq"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []upstream.SearchResult{
		{FileID: "file-abc", Filename: "a.md", Score: 0.5, Attributes: map[string]any{"path": "a.md"}, Text: "One\ntwo [redacted]"},
		{FileID: "file-def", Filename: "b.md"},
	}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("Search (-want +got):\n%s", diff)
	}
	if want := `POST /v1/vector_stores/vs_abc123/search {"query":"How \u003cmany\u003e?","max_num_results":3,"filters":{"type":"eq"}}`; got != want {
		t.Errorf("the server received %s, want %s", got, want)
	}
}

func TestStoreManager_ErrorKinds(t *testing.T) {
	for name, call := range storeCalls {
		for status, want := range map[int]upstream.ErrorKind{
			http.StatusNotFound: upstream.NotFound, http.StatusTooManyRequests: upstream.RateLimited, http.StatusBadGateway: upstream.Transient,
			http.StatusUnauthorized: upstream.Unauthorized, http.StatusBadRequest: upstream.Rejected,
		} {
			client, _ := serve(t, respondJSON(status, `{"error":{"message":"The server explains."}}`), Options{})
			err := call(t.Context(), client)
			if kindOfError(err) != want || !strings.Contains(err.Error(), "The server explains.") {
				t.Errorf("%s: status %d is %v of kind %s, want %s", name, status, err, kindOfError(err), want)
			}
		}
		client, _ := serve(t, dropConnection, Options{})
		if err := call(t.Context(), client); kindOfError(err) != upstream.Transient {
			t.Errorf("%s: a dropped connection is %v", name, err)
		}
	}
}

func TestStoreManager_InvalidIDs(t *testing.T) {
	client, e := serve(t, respondJSON(http.StatusOK, `{}`), Options{})
	for name, err := range map[string]error{
		"vector store": func() error { _, err := client.VectorStore(t.Context(), "../files"); return err }(),
		"list":         client.StoreFiles(t.Context(), "a/b", func([]upstream.StoreFile) {}),
		"update":       func() error { _, err := client.UpdateAttributes(t.Context(), testStore, "..", nil); return err }(),
		"delete":       client.DeleteUpload(t.Context(), ""),
		"search":       func() error { _, err := client.Search(t.Context(), "", upstream.SearchRequest{}); return err }(),
	} {
		if kindOfError(err) != upstream.Rejected {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := e.requests.Load(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
