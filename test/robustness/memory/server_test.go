// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// readFiles returns the IDs of the files in a create request.
func readFiles(r *http.Request) ([]string, error) {
	var request struct {
		FileIDs []string `json:"file_ids"`
		Files   []struct {
			FileID string `json:"file_id"`
		} `json:"files"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, fmt.Errorf("decoding the request: %w", err)
	}
	for _, file := range request.Files {
		request.FileIDs = append(request.FileIDs, file.FileID)
	}
	return request.FileIDs, nil
}

// batchBody returns a batch.
func batchBody(store, id, status string, completed, failed int) string {
	return fmt.Sprintf(`{"id":%q,"object":"vector_store.file_batch","created_at":%d,"vector_store_id":%q,"status":%q,`+
		`"file_counts":{"in_progress":0,"completed":%d,"failed":%d,"cancelled":0,"total":%d}}`,
		id, time.Now().Unix(), store, status, completed, failed, completed+failed)
}

// complete answers a create with a batch that is completed. A create that was lost attached no file.
func complete(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		http.NotFound(w, r)
		return
	}
	files, err := readFiles(r)
	if err != nil || len(files) == 0 {
		http.Error(w, "no files", http.StatusBadRequest)
		return
	}
	respond(w, batchBody(storeOf(r), "vsfb_"+files[0][:min(len(files[0]), 20)], "completed", len(files), 0))
}

// storeOf returns the vector store in a path.
func storeOf(r *http.Request) string {
	_, after, _ := strings.Cut(r.URL.Path, "/vector_stores/")
	store, _, _ := strings.Cut(after, "/")
	return store
}

func respond(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body) // the client may be gone
}

// hostile is a response that is meant to fill memory.
type hostile struct {
	name string
	// gzipped bodies take few bytes on the wire.
	gzipped bool
	body    func(w io.Writer)
}

const decodedBytes = 8 << 20

// repeated writes a text again and again between two others.
func repeated(begin, text, end string) func(io.Writer) {
	return func(w io.Writer) {
		_, _ = io.WriteString(w, begin)
		block := strings.Repeat(text, max(1, (64<<10)/len(text)))
		for written := 0; written < decodedBytes; written += len(block) {
			if _, err := io.WriteString(w, block); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, end)
	}
}

func hostileBodies() []hostile {
	bodies := []hostile{
		{"empty objects", true, repeated(`{"object":"list","data":[`, `{},`, `{}],"has_more":false}`)},
		{"zeros", false, repeated(`{"object":"list","data":[`, `0,`, `0],"has_more":false}`)},
		{"files", true, repeated(`{"object":"list","data":[`, `{"id":"file-1","object":"vector_store.file","status":"failed"},`, `{}],"has_more":true}`)},
		{"nested arrays", true, repeated(`{"object":"list","data":`, `[`, ``)},
		{"nested objects", true, repeated(`{"id":"vsfb_1","x":`, `{"a":`, ``)},
		{"long string", true, repeated(`{"id":"`, `x`, `"}`)},
		{"long status", true, repeated(`{"id":"vsfb_1","object":"vector_store.file_batch","created_at":1,"vector_store_id":"vs_test","status":"`, `x`, `","file_counts":{}}`)},
		{"white space", true, repeated(``, "\n", `{}`)},
		{"escapes", true, repeated(`{"id":"`, `\ud83d\ude00`, `"}`)},
		{"many keys", true, func(w io.Writer) {
			_, _ = io.WriteString(w, `{"id":"vsfb_1"`)
			for i := range 1_000_000 {
				_, _ = fmt.Fprintf(w, `,"k%d":0`, i)
			}
			_, _ = io.WriteString(w, `}`)
		}},
		{"endless", false, func(w io.Writer) {
			block := bytes.Repeat([]byte("{},"), 20_000)
			for {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}},
	}
	return bodies
}

// fuzzed returns a body that repeats random pieces of JSON.
func fuzzed(seed uint64) hostile {
	random := rand.New(rand.NewPCG(seed, seed))
	pieces := []string{`{`, `}`, `[`, `]`, `,`, `:`, `"`, `0`, `null`, `true`, `{}`, `[]`, `""`, `"a"`, `"data"`, `"id"`, `"file_counts"`, `"last_error"`, `1e9999`, `\u0000`, ` `}
	var text strings.Builder
	for range 1 + random.IntN(12) {
		text.WriteString(pieces[random.IntN(len(pieces))])
	}
	begins := []string{``, `{"data":[`, `{"id":"vsfb_1","file_counts":`, `[`, `{"error":{"message":`}
	return hostile{fmt.Sprintf("fuzzed with seed %d", seed), true, repeated(begins[random.IntN(len(begins))], text.String(), ``)}
}

// hostileServer answers with one hostile body: to reads of batches, or to reads of lists only.
type hostileServer struct {
	hostile
	lists  bool
	served atomic.Int64
}

func (s *hostileServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if s.lists && !strings.HasSuffix(r.URL.Path, "/files") {
		id := path[len(path)-1]
		if r.Method == http.MethodPost {
			id = "vsfb_1"
		}
		respond(w, batchBody(storeOf(r), id, "completed", 0, 2000))
		return
	}
	defer s.served.Add(1)
	w.Header().Set("Content-Type", "application/json")
	if !s.gzipped {
		s.body(w)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	compressed, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return
	}
	s.body(compressed)
	_ = compressed.Close()
}

// TestMemory_HostileBodies measures servers that answer with such bodies, to many calls at a time.
func TestMemory_HostileBodies(t *testing.T) {
	const calls = 8
	bodies := hostileBodies()
	for i := range uint64(4) {
		bodies = append(bodies, fuzzed(framework.CommitSeed()+i))
	}
	for _, body := range bodies {
		for _, lists := range []bool{false, true} {
			what := body.name + " for a batch"
			if lists {
				what = body.name + " for a list"
			}
			t.Run(what, func(t *testing.T) {
				server := &hostileServer{hostile: body, lists: lists}
				f := newFixture(t, server)
				for i := range calls {
					f.create(framework.NewBatch(f.namespace, fmt.Sprint("adopted-", i), v1alpha1.VectorStoreFileBatchSpec{VectorStoreID: framework.VectorStore, BatchID: fmt.Sprint("vsfb_", i)}))
					f.create(framework.NewBatch(f.namespace, fmt.Sprint("created-", i), v1alpha1.VectorStoreFileBatchSpec{VectorStoreID: framework.VectorStore, FileIDs: []string{"file-1"}}))
				}
				m := f.start()
				framework.Eventually(t, "the bodies to be served", func() bool {
					if err := m.Err(); err != nil {
						t.Fatal(err)
					}
					return server.served.Load() >= calls
				})
				f.checkPeak(m, what)
				m.Kill()
			})
		}
	}
}
