// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// TestBatch_OtherObject requires that a response about another object is recognized as an accepted
// request, and that the message names the IDs.
func TestBatch_OtherObject(t *testing.T) {
	for name, test := range map[string]struct {
		body  string
		calls string
		names []string
	}{
		"the vector store":     {`{"id":"vs_abc123","object":"vector_store","status":"completed","file_counts":{"total":1}}`, "create retrieve cancel", []string{"vs_abc123"}},
		"another vector store": {`{"id":"vsfb_0123456789abcdef","vector_store_id":"vs_origin","status":"completed","file_counts":{"total":1}}`, "create retrieve cancel", []string{"vsfb_0123456789abcdef", "vs_origin", testStore}},
		"another batch":        {`{"id":"vsfb_9","status":"completed","file_counts":{"total":1}}`, "retrieve cancel", []string{"vsfb_9"}},
		"an unusable ID":       {`{"id":"../files","status":"completed","file_counts":{"total":1}}`, "create retrieve cancel", []string{`"../files"`}},
		"no ID":                {`{"status":"completed","file_counts":{"total":1}}`, "create", []string{testStore}},
		"no object":            {`<html>`, "", nil},
		"an error":             {`{"error":{"message":"no"}}`, "create", nil},
		"a key":                {`{"id":"` + testKey + `","file_counts":{}}`, "create retrieve cancel", nil},
	} {
		for _, call := range []string{"create", "retrieve", "cancel"} {
			client, _ := serve(t, respondJSON(http.StatusOK, test.body), Options{})
			failure := calls[call](t.Context(), client)
			if name == "another batch" && call == "create" {
				continue // any ID is that of a new batch
			}
			err := classified(t, failure)
			if want := strings.Contains(test.calls, call); err.OtherObject != want || err.Kind != ambiguous(call) {
				t.Errorf("%s, %s: %+v, want another object: %t", name, call, err, want)
			}
			for _, id := range test.names {
				if err.OtherObject && !strings.Contains(err.Message, id) {
					t.Errorf("%s, %s: %q does not name %s", name, call, err.Message, id)
				}
			}
			if strings.Contains(err.Message, testKey) {
				t.Errorf("%s, %s: %q contains the key", name, call, err.Message)
			}
		}
	}
}

// TestShown requires that an ID is shown as it is if it is valid and has at most 64 characters, and never with a key.
func TestShown(t *testing.T) {
	client, long := testClient(), strings.Repeat("x", 64)
	for id, want := range map[string]string{
		"vsfb_1": "vsfb_1", long: long, long + "y": `"` + long + `"`, "../files": `"../files"`, "a\nb": `"a\nb"`, "": `""`,
		testKey: "one that contains a key", "x" + testKey + "y": "one that contains a key",
	} {
		if got := client.shown(id); got != want {
			t.Errorf("shown(%q) = %s, want %s", id, got, want)
		}
	}
}

func TestValidateStatus(t *testing.T) {
	client := testClient()
	for text, valid := range map[string]bool{
		"completed": true, "x": true, "expired, perhaps": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a\nb": false, "a\xff": false, testKey: false,
	} {
		if err := client.validateStatus(field[string]{value: text, count: 1, valid: true}); (err == nil) != valid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// listedFiles responds with pages of files, whose statuses and times are those of the list.
func listedFiles(t *testing.T, pageSize int, files []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		first := 0
		if after := r.URL.Query().Get("after"); after != "" {
			if _, err := fmt.Sscanf(after, "file-%d", &first); err != nil {
				t.Error(err)
			}
			first++
		}
		last := min(first+pageSize, len(files))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"data":[`+strings.Join(files[first:last], ",")+fmt.Sprintf(`],"has_more":%t}`, last < len(files)))
	}
}

func TestCountFiles(t *testing.T) {
	var files []string
	for i, status := range []string{"in_progress", "completed", "completed", "failed", "cancelled", "cancelled", "cancelled", "queued"} {
		files = append(files, fmt.Sprintf(`{"id":"file-%d","status":%q}`, i, status))
	}
	client, _ := serve(t, listedFiles(t, 3, files), Options{})
	got, err := client.CountFiles(t.Context(), testRef)
	if want := (upstream.FileCounts{InProgress: 2, Completed: 2, Failed: 1, Cancelled: 3, Total: 8}); err != nil || got != want {
		t.Errorf("got %+v and %v, want %+v", got, err, want)
	}
}

// TestNewestFiles_AnyOrder requires that a server that ignores the order is read to its end, and one that
// respects it is not.
func TestNewestFiles_AnyOrder(t *testing.T) {
	for name, test := range map[string]struct {
		times []int64
		calls int64
	}{
		"newest first": {[]int64{105, 101, 100, 99, 98, 97, 96}, 2},
		"oldest first": {[]int64{96, 97, 98, 99, 100, 101, 105}, 4},
		"none is new":  {[]int64{100, 99, 98, 97, 96}, 1},
	} {
		var files []string
		for i, at := range test.times {
			files = append(files, fmt.Sprintf(`{"id":"file-%d","status":"completed","created_at":%d}`, i, at))
		}
		client, server := serve(t, listedFiles(t, 2, files), Options{})
		got, err := client.NewestFiles(t.Context(), testStore, time.Unix(100, 0))
		want := 2
		if test.times[0] == 100 {
			want = 0
		}
		if err != nil || len(got) != want || server.requests.Load() != test.calls {
			t.Errorf("%s: got %+v and %v after %d requests", name, got, err, server.requests.Load())
		}
	}
}
