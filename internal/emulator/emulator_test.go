// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

const (
	testKey   = "sk-test-9f8e7d"
	testStore = "vs_test"
)

// clock is set by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock {
	return &clock{at: time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// bench is a running emulator and a client for it.
type bench struct {
	t     *testing.T
	emu   *emulator.Server
	clock *clock
	url   string
	key   string
	http  *http.Client
}

func newBench(t *testing.T, settings emulator.Settings) *bench {
	return newBenchWith(t, emulator.Options{APIKeys: []string{testKey}, VectorStores: []string{testStore}, Settings: settings})
}

func newBenchWith(t *testing.T, options emulator.Options) *bench {
	t.Helper()
	c := newClock()
	options.Clock = c.now
	emu := emulator.New(options)
	server := httptest.NewServer(emu)
	t.Cleanup(server.Close)
	return &bench{t: t, emu: emu, clock: c, url: server.URL, key: testKey, http: server.Client()}
}

// in is the same bench for a subtest.
func (b *bench) in(t *testing.T) *bench {
	sub := *b
	sub.t = t
	return &sub
}

// response is an answer with its body read, and decoded where it is a JSON object.
type response struct {
	status int
	header http.Header
	raw    string
	json   map[string]any
}

// send makes a request; a body that is no string or io.Reader is sent as JSON.
func (b *bench) send(method, path string, body any) (response, error) {
	request, err := http.NewRequest(method, b.url+path, reader(body))
	if err != nil {
		return response{}, err
	}
	if b.key != "" {
		request.Header.Set("Authorization", "Bearer "+b.key)
	}
	request.Header.Set("Content-Type", "application/json")
	return b.roundTrip(request)
}

func (b *bench) roundTrip(request *http.Request) (response, error) {
	answer, err := b.http.Do(request)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		return response{}, fmt.Errorf("reading the answer: %w", err)
	}
	r := response{status: answer.StatusCode, header: answer.Header, raw: string(raw)}
	if json.Unmarshal(raw, &r.json) != nil {
		r.json = nil
	}
	return r, nil
}

func reader(body any) io.Reader {
	switch b := body.(type) {
	case nil:
		return http.NoBody
	case string:
		return strings.NewReader(b)
	case io.Reader:
		return b
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return bytes.NewReader(encoded)
}

// do makes a request that has to get an answer.
func (b *bench) do(method, path string, body any) response {
	b.t.Helper()
	r, err := b.send(method, path, body)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// want makes a request that has to get an answer with the given status.
func (b *bench) want(status int, method, path string, body any) response {
	b.t.Helper()
	r := b.do(method, path, body)
	if r.status != status {
		b.t.Fatalf("%s %s: status %d, want %d: %s", method, path, r.status, status, r.raw)
	}
	return r
}

const batchesPath = "/v1/vector_stores/" + testStore + "/file_batches"

// create makes a batch in the test's store and returns its path and its ID.
func (b *bench) create(fileIDs ...string) (path, id string) {
	b.t.Helper()
	r := b.want(http.StatusOK, http.MethodPost, batchesPath, map[string]any{"file_ids": fileIDs})
	id = r.text("id")
	return batchesPath + "/" + id, id
}

func (r response) text(field string) string {
	s, _ := r.json[field].(string)
	return s
}

// message is that of an error.
func (r response) message() string {
	e, _ := r.json["error"].(map[string]any)
	m, _ := e["message"].(string)
	return m
}

// counts are file_counts as in_progress/completed/failed/cancelled/total.
func (r response) counts() string {
	c, _ := r.json["file_counts"].(map[string]any)
	return fmt.Sprint(c["in_progress"], "/", c["completed"], "/", c["failed"], "/", c["cancelled"], "/", c["total"])
}

// state is a batch's status and counts.
func (r response) state() string { return r.text("status") + " " + r.counts() }

// ids are those of a list's items.
func (r response) ids() []string {
	items, _ := r.json["data"].([]any)
	ids := []string{}
	for _, item := range items {
		fields, _ := item.(map[string]any)
		id, _ := fields["id"].(string)
		ids = append(ids, id)
	}
	return ids
}

// numbered are n file IDs.
func numbered(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("file-%04d", i)
	}
	return ids
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
