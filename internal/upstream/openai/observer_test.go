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

// observed is what an observer was told of one request.
type observed struct {
	Operation upstream.Operation
	Outcome   upstream.Outcome
}

// witness is an observer that writes down what it is told.
func witness(into *[]observed) upstream.Observer {
	return func(ctx context.Context, operation upstream.Operation) (context.Context, func(upstream.Outcome)) {
		return ctx, func(outcome upstream.Outcome) { *into = append(*into, observed{operation, outcome}) }
	}
}

func TestEveryRequestIsObserved(t *testing.T) {
	server := emulator.New(emulator.Options{APIKeys: []string{testKey}, VectorStores: []string{testStore}})
	e := listen(t, server.ServeHTTP, plain)
	var told []observed
	client := dial(t, upstream.Connection{BaseURL: e.URL + "/v1"}, Options{Observer: witness(&told)})

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
		before := len(told)
		if err := step.call(); err != nil {
			t.Fatalf("%s: %v", step.operation, err)
		}
		if len(told) != before+1 || told[before].Operation != step.operation {
			t.Errorf("%s: the observer was told %+v", step.operation, told[before:])
		}
	}
	calls := server.Calls()
	if len(calls) != len(told) {
		t.Fatalf("the upstream had %d requests, and the observer was told of %d", len(calls), len(told))
	}
	for i, call := range calls {
		want := upstream.Outcome{StatusCode: http.StatusOK, RequestID: call.RequestID}
		if diff := cmp.Diff(want, told[i].Outcome); diff != "" {
			t.Errorf("%s (-want +told):\n%s", told[i].Operation, diff)
		}
	}
	// One that is never sent is no request.
	if _, err := client.Retrieve(t.Context(), upstream.BatchRef{VectorStoreID: "../x", BatchID: "b"}); err == nil || len(told) != len(calls) {
		t.Errorf("a call that was refused gives %v, and the observer was told %+v", err, told[len(calls):])
	}
}

func TestFailuresAreObserved(t *testing.T) {
	for name, test := range map[string]struct {
		handle http.HandlerFunc
		cancel bool
		want   upstream.Outcome
		says   string
	}{
		"an error":               {answerJSON(500, `{"error":{"message":"it broke with `+testKey+`"}}`, "X-Request-Id", "req_1"), false, upstream.Outcome{StatusCode: 500, RequestID: "req_1"}, "it broke"},
		"too many requests":      {answerJSON(429, `{}`, "X-Request-Id", "req_2"), false, upstream.Outcome{StatusCode: 429, RequestID: "req_2"}, "429"},
		"no answer":              {hangUp, false, upstream.Outcome{}, "broke"},
		"an answer that is late": {hold, false, upstream.Outcome{}, "in time"},
		"a call broken off":      {hold, true, upstream.Outcome{Canceled: true}, "interrupted"},
	} {
		t.Run(name, func(t *testing.T) {
			var told []observed
			client, _ := serve(t, test.handle, Options{Observer: witness(&told), RequestTimeout: 200 * time.Millisecond})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if test.cancel {
				time.AfterFunc(20*time.Millisecond, cancel)
			}
			if _, err := client.Retrieve(ctx, testRef); err == nil {
				t.Fatal("no error")
			}
			if len(told) != 1 {
				t.Fatalf("the observer was told %+v", told)
			}
			got := told[0].Outcome
			if !strings.Contains(got.Error, test.says) || strings.Contains(got.Error, testKey) {
				t.Errorf("it says %q, want %q in it, and no key", got.Error, test.says)
			}
			got.Error = ""
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +told):\n%s", diff)
			}
		})
	}
}
