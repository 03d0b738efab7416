// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

const compatibleStore = "vs_elsewhere"

// compatibleKey does not have the form of OpenAI's keys.
var compatibleKey = "key." + rand.Text()

// compatible is a server with OpenAI's API that shares no code with the emulator. It has a TLS
// certificate of a private CA, serves the API below another path, returns IDs of another form, more
// statuses and more fields, and rejects the cancel of a finished batch.
//
// A batch proceeds to its next status before each retrieve.
type compatible struct {
	*httptest.Server
	mu      sync.Mutex
	batches map[string]*compatibleBatch
}

// compatibleBatch is a batch of the server.
type compatibleBatch struct {
	files   []string
	steps   []string // the next statuses; the last one stays
	creates int
	cancels int
	// completes makes the batch complete just before a cancel of it arrives.
	completes bool
}

func newCompatible(t *testing.T) *compatible {
	t.Helper()
	c := &compatible{batches: map[string]*compatibleBatch{}}
	mux := http.NewServeMux()
	const batches = "/openai/v1/vector_stores/" + compatibleStore + "/file_batches"
	mux.HandleFunc("POST "+batches, c.create)
	mux.HandleFunc("GET "+batches+"/{id}", c.retrieve)
	mux.HandleFunc("POST "+batches+"/{id}/cancel", c.cancel)
	mux.HandleFunc("GET "+batches+"/{id}/files", c.list)
	c.Server = httptest.NewUnstartedServer(authorized(mux))
	// Tests expect clients that do not trust it.
	c.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

func authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+compatibleKey {
			reply(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{"message": "unknown key"}})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// secret returns the content of a Secret for the server.
func (c *compatible) secret() map[string]string {
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw})
	return map[string]string{
		v1alpha1.SecretKeyAPIKey: compatibleKey, v1alpha1.SecretKeyBaseURL: c.URL + "/openai/v1/\n", v1alpha1.SecretKeyCABundle: string(authority),
	}
}

func reply(w http.ResponseWriter, code int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}

// add adds a batch, and returns its ID.
func (c *compatible) add(files ...string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := "batch_" + string(uuid.NewUUID())
	b := &compatibleBatch{files: files, steps: []string{"queued", "queued", "in_progress", "post processing", "completed"}}
	for _, file := range files {
		if strings.HasPrefix(file, "endless") {
			b.steps = []string{"queued", "indexing"}
		}
		b.completes = b.completes || strings.HasPrefix(file, "endless-late")
	}
	c.batches[id] = b
	return id
}

func (c *compatible) create(w http.ResponseWriter, r *http.Request) {
	var body struct {
		FileIDs []string `json:"file_ids"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.FileIDs) == 0 {
		reply(w, http.StatusBadRequest, map[string]any{"detail": fmt.Sprintf("no file_ids: %v", err)})
		return
	}
	id := c.add(body.FileIDs...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batches[id].creates++
	reply(w, http.StatusCreated, c.batches[id].object(id))
}

func (c *compatible) find(w http.ResponseWriter, r *http.Request) (id string, b *compatibleBatch) {
	id = r.PathValue("id")
	if b = c.batches[id]; b == nil {
		reply(w, http.StatusNotFound, map[string]any{"detail": "no such batch"})
	}
	return id, b
}

func (c *compatible) retrieve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id, b := c.find(w, r); b != nil {
		b.steps = b.steps[min(1, len(b.steps)-1):]
		reply(w, http.StatusOK, b.object(id))
	}
}

func (c *compatible) cancel(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, b := c.find(w, r)
	if b == nil {
		return
	}
	b.cancels++
	if b.completes {
		b.steps = []string{"completed"}
	}
	if b.finished() {
		reply(w, http.StatusBadRequest, map[string]any{"detail": "the batch is " + b.steps[0]})
		return
	}
	b.steps = []string{"cancelling", "cancelling", "cancelled"}
	reply(w, http.StatusOK, b.object(id))
}

// list returns one file a page, and ignores the filter.
func (c *compatible) list(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, b := c.find(w, r)
	if b == nil {
		return
	}
	next := 0
	for i, file := range b.files {
		if file == r.URL.Query().Get("after") {
			next = i + 1
		}
	}
	data := []any{}
	for _, file := range b.files[next:min(next+1, len(b.files))] {
		data = append(data, b.file(file))
	}
	reply(w, http.StatusOK, map[string]any{"object": "list", "data": data, "has_more": next+1 < len(b.files), "trace": "x"})
}

func (b *compatibleBatch) finished() bool {
	return b.steps[0] == "completed" || b.steps[0] == "cancelled"
}

func (b *compatibleBatch) file(id string) map[string]any {
	file := map[string]any{
		"id": id, "object": "vector_store.file", "created_at": 1767225600, "vector_store_id": compatibleStore,
		"status": b.steps[0], "last_error": nil, "embedding_model": "any",
	}
	if strings.HasPrefix(id, "bad") && b.finished() {
		file["status"] = "failed"
		file["last_error"] = map[string]any{"code": "unreadable", "message": "the file is empty", "hint": "add text"}
	}
	return file
}

func (b *compatibleBatch) object(id string) map[string]any {
	counts := map[string]int{"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "queued": 0, "total": len(b.files)}
	for _, file := range b.files {
		switch {
		case !b.finished():
			counts["in_progress"]++
		case b.steps[0] == "cancelled":
			counts["cancelled"]++
		case strings.HasPrefix(file, "bad"):
			counts["failed"]++
		default:
			counts["completed"]++
		}
	}
	return map[string]any{
		"id": id, "object": "vector_store.files_batch", "created_at": 1767225600, "vector_store_id": compatibleStore,
		"status": b.steps[0], "file_counts": counts, "expires_at": nil, "region": "here", "links": []string{"self"},
	}
}

// only returns the one batch of the server.
func (c *compatible) only(t *testing.T) (string, compatibleBatch) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.batches) != 1 {
		t.Fatalf("the server has %d batches, want 1", len(c.batches))
	}
	for id, b := range c.batches {
		return id, *b
	}
	return "", compatibleBatch{}
}

func TestCompatibleServer(t *testing.T) {
	t.Parallel()
	handbook := func(files string) string {
		return manifest("handbook", `{vectorStoreID: `+compatibleStore+`, fileIDs: [`+files+`]}`)
	}
	for name, run := range map[string]func(t *testing.T, f fixture, c *compatible){
		"attaches files": func(t *testing.T, f fixture, c *compatible) {
			f.Apply(t, handbook("a, b"))
			b := f.wantState(t, "handbook", v1alpha1.ReasonCompleted)
			id, batch := c.only(t)
			if b.Status.BatchID != id || batch.creates != 1 || batch.cancels != 0 {
				t.Errorf("batchID = %q, want %q, created once: %+v", b.Status.BatchID, id, batch)
			}
			if diff := cmp.Diff(&v1alpha1.FileCounts{Completed: 2, Total: 2}, b.Status.FileCounts); diff != "" {
				t.Errorf("fileCounts (-want +got):\n%s", diff)
			}
		},
		"reports an unknown status": func(t *testing.T, f fixture, _ *compatible) {
			f.Apply(t, handbook("endless"))
			f.WaitFor(t, "handbook", "jsonpath={.status.status}=indexing")
			f.wantState(t, "handbook", v1alpha1.ReasonInProgress)
		},
		"reports the failed files": func(t *testing.T, f fixture, _ *compatible) {
			f.Apply(t, handbook("a, bad-1, b, bad-2"))
			b := f.wantState(t, "handbook", v1alpha1.ReasonFilesFailed)
			want := []v1alpha1.FailedFile{
				{FileID: "bad-1", Code: "unreadable", Message: "the file is empty"},
				{FileID: "bad-2", Code: "unreadable", Message: "the file is empty"},
			}
			if diff := cmp.Diff(want, b.Status.FailedFiles); diff != "" {
				t.Errorf("failedFiles (-want +got):\n%s", diff)
			}
		},
		"cancels": func(t *testing.T, f fixture, c *compatible) {
			f.Apply(t, handbook("endless, a"))
			f.wantState(t, "handbook", v1alpha1.ReasonInProgress)
			f.patchSpec(t, "handbook", `{"cancel":true}`)
			b := f.wantState(t, "handbook", v1alpha1.ReasonCancelled)
			if _, batch := c.only(t); batch.cancels != 1 || batch.creates != 1 || b.Status.CancelRequestTime == nil {
				t.Errorf("the batch was created %d times and cancelled %d times, at %v", batch.creates, batch.cancels, b.Status.CancelRequestTime)
			}
		},
		"accepts that a cancel is rejected": func(t *testing.T, f fixture, c *compatible) {
			f.Apply(t, handbook("endless-late, bad"))
			f.wantState(t, "handbook", v1alpha1.ReasonInProgress)
			f.patchSpec(t, "handbook", `{"cancel":true}`)
			b := f.wantState(t, "handbook", v1alpha1.ReasonFilesFailed)
			if _, batch := c.only(t); batch.cancels != 1 || b.Status.CancelRequestTime != nil {
				t.Errorf("the cancel was sent %d times and recorded at %v, want it sent once and not recorded", batch.cancels, b.Status.CancelRequestTime)
			}
		},
		"adopts": func(t *testing.T, f fixture, c *compatible) {
			id := c.add("a", "b")
			f.Apply(t, manifest("handbook", `{vectorStoreID: `+compatibleStore+`, batchID: `+id+`}`))
			b := f.wantState(t, "handbook", v1alpha1.ReasonCompleted)
			if _, batch := c.only(t); b.Status.BatchID != id || batch.creates != 0 {
				t.Errorf("batchID = %q after %d creates, want %q after none", b.Status.BatchID, batch.creates, id)
			}
		},
		"deletes": func(t *testing.T, f fixture, c *compatible) {
			f.Apply(t, handbook("endless"))
			f.wantState(t, "handbook", v1alpha1.ReasonInProgress)
			f.delete(t, "handbook")
			if _, batch := c.only(t); batch.cancels != 1 {
				t.Errorf("the batch was cancelled %d times, want once", batch.cancels)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, c := newFixtureWithoutSecret(t), newCompatible(t)
			f.putSecret(t, "openai", c.secret())
			run(t, f, c)
		})
	}
}

func TestCompatibleServer_UntrustedCertificate(t *testing.T) {
	t.Parallel()
	f, c := newFixtureWithoutSecret(t), newCompatible(t)
	secret := c.secret()
	delete(secret, v1alpha1.SecretKeyCABundle)
	f.putSecret(t, "openai", secret)
	f.Apply(t, manifest("handbook", `{vectorStoreID: `+compatibleStore+`, fileIDs: [a]}`))
	b := f.wantState(t, "handbook", v1alpha1.ReasonUpstreamUnavailable)
	wantMessage(t, b, "certificate")
	f.delete(t, "handbook")
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.batches) != 0 {
		t.Errorf("%d batches were created", len(c.batches))
	}
}
