// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// call calls the emulator. The test ends if the call fails.
func call(t *testing.T, method, path string, body, into any) {
	t.Helper()
	if err := openAI.Call(t.Context(), method, path, body, into); err != nil {
		t.Fatal(err)
	}
}

// admin calls the admin API of the emulator.
func admin(t *testing.T, method, path string, body, into any) {
	t.Helper()
	call(t, method, "/_emulator/"+path, body, into)
}

func addStore(t *testing.T, id string) {
	t.Helper()
	admin(t, http.MethodPost, "vector_stores", map[string]string{"id": id}, nil)
}

// batchesOf returns the batches of a vector store.
func batchesOf(t *testing.T, store string) []emulator.Batch {
	t.Helper()
	all, err := openAI.Batches(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(b emulator.Batch) bool { return b.VectorStoreID != store })
}

// onlyBatch returns the one batch of a vector store.
func onlyBatch(t *testing.T, store string) emulator.Batch {
	t.Helper()
	batches := batchesOf(t, store)
	if len(batches) != 1 {
		t.Fatalf("vector store %s has %d batches, want 1: %+v", store, len(batches), batches)
	}
	return batches[0]
}

// filesOf returns the IDs of the files of a vector store, sorted.
func filesOf(t *testing.T, store string) []string {
	t.Helper()
	var all []emulator.AttachedFile
	admin(t, http.MethodGet, "vector_stores/"+store+"/files", nil, &all)
	var ids []string
	for _, file := range all {
		ids = append(ids, file.ID)
	}
	slices.Sort(ids)
	return ids
}

// finish finishes a batch with a status.
func finish(t *testing.T, batchID, status string) {
	t.Helper()
	admin(t, http.MethodPut, "batches/"+batchID, map[string]string{"status": status}, nil)
}

// addFault makes calls fail until the end of the test.
func addFault(t *testing.T, fault map[string]any) {
	t.Helper()
	var added struct {
		ID int `json:"id"`
	}
	admin(t, http.MethodPost, "faults", fault, &added)
	t.Cleanup(func() {
		url := fmt.Sprintf("%s/_emulator/faults/%d", openAI.URL, added.ID)
		if _, _, err := framework.Send(context.Background(), http.DefaultClient, http.MethodDelete, url, "", ""); err != nil {
			t.Error(err)
		}
	})
}
