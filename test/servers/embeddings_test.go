// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package servers_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

// dimensions is the length of an embedding, which testdata/ogx.yaml has too.
const dimensions = 256

// embeddings is a server of OpenAI's embeddings API without a model. Each word adds 1 or -1 to one
// dimension, so a text is near the texts that share words with it.
type embeddings struct {
	*proxy.Server

	mu    sync.Mutex
	delay time.Duration
	holds []*hold
}

// hold blocks or refuses the calls for texts that have a word.
type hold struct {
	word     string
	refuses  bool
	released chan struct{}
	release  sync.Once
	// blocked is the number of calls that it has blocked so far.
	blocked int
}

func startEmbeddings() (*embeddings, error) {
	e := &embeddings{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/embeddings", e.embed)
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"object": "list", "data": []any{
			map[string]any{"id": "words", "object": "model", "created": 1, "owned_by": "test"},
		}})
	})
	mux.HandleFunc("GET /delay/{seconds}", e.setDelay)
	var err error
	e.Server, err = proxy.Serve(mux)
	return e, err
}

// setDelay sets how long every call takes.
func (e *embeddings) setDelay(w http.ResponseWriter, r *http.Request) {
	delay, err := time.ParseDuration(r.PathValue("seconds") + "s")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.delay = delay
}

// hold blocks the calls for texts that have a word, until its end or that of the test.
func (e *embeddings) hold(t *testing.T, word string) *hold {
	return e.add(t, &hold{word: word, released: make(chan struct{})})
}

// refuse refuses the calls for texts that have a word, until its end or that of the test.
func (e *embeddings) refuse(t *testing.T, word string) *hold {
	return e.add(t, &hold{word: word, refuses: true, released: make(chan struct{})})
}

func (e *embeddings) add(t *testing.T, h *hold) *hold {
	t.Cleanup(h.end)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.holds = append(e.holds, h)
	return h
}

// end releases the calls.
func (h *hold) end() { h.release.Do(func() { close(h.released) }) }

// wait waits until the calls are released. It returns an error if they are refused, or if ctx ends.
func (h *hold) wait(ctx context.Context) error {
	if h.refuses {
		select {
		case <-h.released:
			return nil
		default:
			return fmt.Errorf("the test refuses %q", h.word)
		}
	}
	select {
	case <-h.released:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waitBlocked waits until calls are blocked.
func (e *embeddings) waitBlocked(t *testing.T, h *hold, calls int) {
	t.Helper()
	framework.Eventually(t, fmt.Sprintf("%d embeddings of %q to be requested", calls, h.word), func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return h.blocked >= calls
	})
}

func (e *embeddings) embed(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Input    json.RawMessage `json:"input"`
		Model    string          `json:"model"`
		Encoding string          `json:"encoding_format"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	texts, err := decodeInput(request.Input)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := e.wait(r.Context(), texts); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var data []any
	for i, text := range texts {
		var embedding any = embed(text)
		if request.Encoding == "base64" {
			embedding = base64.StdEncoding.EncodeToString(littleEndian(embed(text)))
		}
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": embedding})
	}
	writeJSON(w, map[string]any{
		"object": "list", "data": data, "model": request.Model,
		"usage": map[string]int{"prompt_tokens": 1, "total_tokens": 1},
	})
}

// wait waits for the delay and the holds of a call. It returns an error if the call is refused, or if
// ctx ends.
func (e *embeddings) wait(ctx context.Context, texts []string) error {
	e.mu.Lock()
	delay, all := e.delay, words(strings.Join(texts, " "))
	var held []*hold
	for _, h := range e.holds {
		if all[h.word] {
			h.blocked++
			held = append(held, h)
		}
	}
	e.mu.Unlock()
	err := framework.Pause(ctx, delay)
	for _, h := range held {
		err = errors.Join(err, h.wait(ctx))
	}
	return err
}

// decodeInput returns the texts of an input, which is one or a list.
func decodeInput(input json.RawMessage) ([]string, error) {
	var text string
	if json.Unmarshal(input, &text) == nil {
		return []string{text}, nil
	}
	var texts []string
	if json.Unmarshal(input, &texts) != nil || len(texts) == 0 {
		return nil, errors.New("the input is neither a text nor a list of texts")
	}
	return texts, nil
}

// words returns the words of a text, in lower case.
func words(text string) map[string]bool {
	all := map[string]bool{}
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		all[word] = true
	}
	return all
}

// embed returns the embedding of a text, whose length is 1.
func embed(text string) []float32 {
	sums := make([]float64, dimensions)
	for word := range words(text) {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(word)) // it never fails
		sum := hash.Sum64()
		sums[sum%dimensions] += float64(sum>>32&1)*2 - 1
	}
	length := 0.0
	for _, sum := range sums {
		length += sum * sum
	}
	embedding := make([]float32, dimensions)
	for i, sum := range sums {
		embedding[i] = float32(sum / max(math.Sqrt(length), 1))
	}
	return embedding
}

func littleEndian(embedding []float32) []byte {
	var encoded []byte
	for _, value := range embedding {
		encoded = binary.LittleEndian.AppendUint32(encoded, math.Float32bits(value))
	}
	return encoded
}

func writeJSON(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}

func TestEmbeddings_NearTextsThatShareWords(t *testing.T) {
	e := &embeddings{}
	server := httptest.NewServer(http.HandlerFunc(e.embed))
	defer server.Close()
	_, answer, err := framework.Send(t.Context(), http.DefaultClient, http.MethodPost, server.URL, "",
		`{"model":"words","input":["Where is the payroll desk?","the payroll desk opens at nine","penguins live in the south"]}`)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Data []struct{ Embedding []float64 }
	}
	if err := json.Unmarshal([]byte(answer), &list); err != nil || len(list.Data) != 3 {
		t.Fatalf("%v: %s", err, answer)
	}
	product := func(i, j int) (sum float64) {
		for k, value := range list.Data[i].Embedding {
			sum += value * list.Data[j].Embedding[k]
		}
		return sum
	}
	if near, far := product(0, 1), product(0, 2); near <= far {
		t.Errorf("the similarity of texts that share words is %v, and of others %v", near, far)
	}
	if same := product(1, 1); math.Abs(same-1) > 1e-5 {
		t.Errorf("the length of an embedding is %v, want 1", same)
	}
}
