// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// observation is an observed request.
type observation struct {
	Operation upstream.Operation
	Outcome   upstream.Outcome
}

// record returns an observer that appends each request to a list.
func record(into *[]observation) upstream.Observer {
	return func(ctx context.Context, operation upstream.Operation) (context.Context, func(upstream.Outcome)) {
		return ctx, func(outcome upstream.Outcome) { *into = append(*into, observation{operation, outcome}) }
	}
}

func TestObserver_AllRequests(t *testing.T) {
	server := emulator.New(emulator.Options{APIKeys: []string{testKey}, VectorStores: []string{testStore}})
	e := listen(t, server.ServeHTTP, start)
	var observed []observation
	client := dial(t, upstream.Connection{BaseURL: e.URL + "/v1"}, Options{Observer: record(&observed)})

	created, err := client.Create(t.Context(), testCreate)
	if err != nil {
		t.Fatal(err)
	}
	ref := upstream.BatchRef{VectorStoreID: testStore, BatchID: created.ID}
	for _, step := range []struct {
		operation upstream.Operation
		call      func() error
	}{
		{upstream.OperationRetrieve, func() error { _, err := client.Retrieve(t.Context(), ref); return err }},
		{upstream.OperationCancel, func() error { _, err := client.Cancel(t.Context(), ref); return err }},
		{upstream.OperationListFailedFiles, func() error { _, err := client.FailedFiles(t.Context(), ref, 1); return err }},
		{upstream.OperationListFiles, func() error { _, err := client.Files(t.Context(), ref); return err }},
		{upstream.OperationReadFile, func() error { _, err := client.File(t.Context(), testStore, testFile); return err }},
		{upstream.OperationDetachFile, func() error { return client.Detach(t.Context(), testStore, testFile) }},
	} {
		before := len(observed)
		if err := step.call(); err != nil {
			t.Fatalf("%s: %v", step.operation, err)
		}
		if len(observed) != before+1 || observed[before].Operation != step.operation {
			t.Errorf("%s: the observer saw %+v", step.operation, observed[before:])
		}
	}
	calls := server.Calls()
	if len(calls) != len(observed) {
		t.Fatalf("the server received %d requests, the observer saw %d", len(calls), len(observed))
	}
	for i, call := range calls {
		want := upstream.Outcome{StatusCode: http.StatusOK, RequestID: call.RequestID}
		if diff := cmp.Diff(want, observed[i].Outcome); diff != "" {
			t.Errorf("%s (-want +got):\n%s", observed[i].Operation, diff)
		}
	}
	// A rejected call sends no request.
	if _, err := client.Retrieve(t.Context(), upstream.BatchRef{VectorStoreID: "../x", BatchID: "b"}); err == nil || len(observed) != len(calls) {
		t.Errorf("a rejected call: error %v, and the observer saw %+v", err, observed[len(calls):])
	}
}

func TestObserver_Failures(t *testing.T) {
	for name, test := range map[string]struct {
		handle http.HandlerFunc
		cancel bool
		want   upstream.Outcome
		error  string
	}{
		"an error":          {respondJSON(500, `{"error":{"message":"it broke with `+testKey+`"}}`, "X-Request-Id", "req_1"), false, upstream.Outcome{StatusCode: 500, RequestID: "req_1"}, "it broke"},
		"too many requests": {respondJSON(429, `{}`, "X-Request-Id", "req_2"), false, upstream.Outcome{StatusCode: 429, RequestID: "req_2"}, "429"},
		"another object":    {respondJSON(200, fileJSON, "X-Request-Id", "req_3"), false, upstream.Outcome{StatusCode: 200, RequestID: "req_3"}, "not that of the requested batch"},
		"half a response":   {respondJSON(200, batchJSON[:40], "Content-Length", "400"), false, upstream.Outcome{}, "was lost"},
		"no response":       {dropConnection, false, upstream.Outcome{}, "was lost"},
		"a late response":   {hang, false, upstream.Outcome{}, "in time"},
		"a canceled call":   {hang, true, upstream.Outcome{Canceled: true}, "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			var observed []observation
			client, _ := serve(t, test.handle, Options{Observer: record(&observed), RequestTimeout: 200 * time.Millisecond})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if test.cancel {
				time.AfterFunc(20*time.Millisecond, cancel)
			}
			if _, err := client.Retrieve(ctx, testRef); err == nil {
				t.Fatal("no error")
			}
			if len(observed) != 1 {
				t.Fatalf("the observer saw %+v", observed)
			}
			got := observed[0].Outcome
			if !strings.Contains(got.Error, test.error) || strings.Contains(got.Error, testKey) {
				t.Errorf("the error is %q, want it to contain %q, and no key", got.Error, test.error)
			}
			got.Error = ""
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
