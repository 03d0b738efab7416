// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// admin asks the emulator's admin side, and decodes the answer.
func admin(t *testing.T, method, path, body string, into any) {
	t.Helper()
	ask(t, method, "/_emulator/"+path, "", body, into)
}

// ask makes a request to the emulator, which has to succeed.
func ask(t *testing.T, method, path, key, body string, into any) {
	t.Helper()
	code, answer, err := send(t.Context(), http.DefaultClient, method, shared.upstream+path, key, body)
	if err != nil {
		t.Fatal(err)
	}
	if code != http.StatusOK {
		t.Fatalf("%s %s: HTTP %d: %s", method, path, code, answer)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal([]byte(answer), into); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, answer)
	}
}

// addStore makes a vector store.
func addStore(t *testing.T, id string) {
	t.Helper()
	admin(t, http.MethodPost, "vector_stores", fmt.Sprintf(`{"id":%q}`, id), nil)
}

// batchesOf are the batches of a vector store.
func batchesOf(t *testing.T, store string) []emulator.Batch {
	t.Helper()
	var all []emulator.Batch
	admin(t, http.MethodGet, "batches", "", &all)
	return slices.DeleteFunc(all, func(b emulator.Batch) bool { return b.VectorStoreID != store })
}

// onlyBatch is the one batch that a vector store must have.
func onlyBatch(t *testing.T, store string) emulator.Batch {
	t.Helper()
	batches := batchesOf(t, store)
	if len(batches) != 1 {
		t.Fatalf("vector store %s has %d batches, want 1: %+v", store, len(batches), batches)
	}
	return batches[0]
}

// end makes a batch end with a status, from outside.
func end(t *testing.T, batchID, status string) {
	t.Helper()
	admin(t, http.MethodPut, "batches/"+batchID, fmt.Sprintf(`{"status":%q}`, status), nil)
}

// addFault makes calls on a vector store go wrong until the test is over.
func addFault(t *testing.T, fault map[string]any) {
	t.Helper()
	body, err := json.Marshal(fault)
	if err != nil {
		t.Fatal(err)
	}
	var added struct {
		ID int `json:"id"`
	}
	admin(t, http.MethodPost, "faults", string(body), &added)
	t.Cleanup(func() {
		url := fmt.Sprintf("%s/_emulator/faults/%d", shared.upstream, added.ID)
		if _, _, err := send(context.Background(), http.DefaultClient, http.MethodDelete, url, "", ""); err != nil {
			t.Error(err)
		}
	})
}

// createUpstream makes a batch without the operator, and gives its ID.
func createUpstream(t *testing.T, store string, files ...string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"file_ids": files})
	if err != nil {
		t.Fatal(err)
	}
	var created struct {
		ID string `json:"id"`
	}
	ask(t, http.MethodPost, "/v1/vector_stores/"+store+"/file_batches", mainKey, string(body), &created)
	return created.ID
}

// wantBatch waits until the one batch of a vector store is as it has to be.
func wantBatch(t *testing.T, store string, as func(emulator.Batch) bool) {
	t.Helper()
	var last emulator.Batch
	changed := eventually(t, func() bool {
		last = onlyBatch(t, store)
		return as(last)
	})
	if !changed {
		t.Errorf("the batch is %+v", last)
	}
}
