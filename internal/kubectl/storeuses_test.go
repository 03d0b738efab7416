// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// translating is a gateway that lists the files of a vector store under other IDs than the requests name.
type translating struct {
	mu      sync.Mutex
	deleted []string
	// status is that of requests for a file of the vector store that does not have it.
	status int
}

func (g *translating) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	body := `{"error":{"message":"File not found in the vector store."}}`
	status := http.StatusOK
	switch path := strings.TrimPrefix(r.URL.Path, "/v1/"); {
	case path == "vector_stores":
		body = `{"data":[{"id":"vs_1"},{"id":"vs_2"}],"has_more":false}`
	case path == "vector_stores/vs_1/files":
		body = `{"data":[{"id":"file-provider-1","status":"completed"}],"has_more":false}`
	case path == "vector_stores/vs_2/files":
		body = `{"data":[],"has_more":false}`
	case path == "files" && r.Method == http.MethodGet:
		body = `{"data":[{"id":"file-attached"},{"id":"file-unused"}],"has_more":false}`
	case path == "vector_stores/vs_1/files/file-attached":
		body = `{"id":"file-attached","status":"completed"}`
	case strings.HasPrefix(path, "vector_stores/"):
		status = g.status
	case r.Method == http.MethodDelete:
		g.mu.Lock()
		g.deleted = append(g.deleted, strings.TrimPrefix(path, "files/"))
		g.mu.Unlock()
		body = fmt.Sprintf(`{"id":%q,"deleted":true}`, strings.TrimPrefix(path, "files/"))
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// TestStoreUses_TranslatedIDs shows that a file that is listed under another ID counts as used.
func TestStoreUses_TranslatedIDs(t *testing.T) {
	for status, want := range map[int][]string{
		http.StatusNotFound: {"file-unused"}, http.StatusBadRequest: {"file-unused"}, http.StatusForbidden: nil,
	} {
		gateway := &translating{status: status}
		server := httptest.NewServer(gateway)
		t.Cleanup(server.Close)
		p := &plugin{Options: Options{Streams: genericiooptions.NewTestIOStreamsDiscard()}}
		client, err := p.dial(upstream.Connection{BaseURL: server.URL + "/v1", APIKey: "sk-test"}, "a test", false, callTimeout)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		journal, err := upload.OpenJournal(filepath.Join(t.TempDir(), "journal"), "a")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = journal.Close() })
		uses, err := newStoreUses(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		removed, err := uses.deleteUnused(t.Context(), journal, []string{"file-attached", "file-unused"})
		if failed := err != nil; failed != (want == nil) {
			t.Errorf("%d: %v", status, err)
		}
		if !slices.Equal(gateway.deleted, want) || len(removed) != len(want) {
			t.Errorf("%d: deleted %q, want %q", status, gateway.deleted, want)
		}
	}
}
