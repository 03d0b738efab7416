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

// clock is a manual clock.
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

// testServer is a running emulator with a client.
type testServer struct {
	t     *testing.T
	emu   *emulator.Server
	clock *clock
	url   string
	key   string
	http  *http.Client
}

func newTestServer(t *testing.T, settings emulator.Settings) *testServer {
	return newTestServerWithOptions(t, emulator.Options{APIKeys: []string{testKey}, VectorStores: []string{testStore}, Settings: settings})
}

func newTestServerWithOptions(t *testing.T, options emulator.Options) *testServer {
	t.Helper()
	c := newClock()
	options.Clock = c.now
	emu := emulator.New(options)
	server := httptest.NewServer(emu)
	t.Cleanup(server.Close)
	// A profile can close a connection without announcing it, which the next request on it would meet.
	server.Client().Transport.(*http.Transport).DisableKeepAlives = true
	return &testServer{t: t, emu: emu, clock: c, url: server.URL, key: testKey, http: server.Client()}
}

// in returns the same testServer for a subtest.
func (s *testServer) in(t *testing.T) *testServer {
	sub := *s
	sub.t = t
	return &sub
}

// response is an HTTP response with its body. json is nil unless the body is a JSON object.
type response struct {
	status int
	header http.Header
	raw    string
	json   map[string]any
}

// send sends a request. A body that is neither a string nor an io.Reader is encoded as JSON.
func (s *testServer) send(method, path string, body any) (response, error) {
	request, err := http.NewRequest(method, s.url+path, reader(body))
	if err != nil {
		return response{}, err
	}
	if s.key != "" {
		request.Header.Set("Authorization", "Bearer "+s.key)
	}
	request.Header.Set("Content-Type", "application/json")
	return s.roundTrip(request)
}

func (s *testServer) roundTrip(request *http.Request) (response, error) {
	httpResponse, err := s.http.Do(request)
	if err != nil {
		return response{}, err
	}
	defer httpResponse.Body.Close()
	raw, err := io.ReadAll(httpResponse.Body)
	if err != nil {
		return response{}, fmt.Errorf("reading the response: %w", err)
	}
	r := response{status: httpResponse.StatusCode, header: httpResponse.Header, raw: string(raw)}
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

// do sends a request and fails the test if there is no response.
func (s *testServer) do(method, path string, body any) response {
	s.t.Helper()
	r, err := s.send(method, path, body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// want sends a request and fails the test unless the response has the given status.
func (s *testServer) want(status int, method, path string, body any) response {
	s.t.Helper()
	r := s.do(method, path, body)
	if r.status != status {
		s.t.Fatalf("%s %s: status %d, want %d: %s", method, path, r.status, status, r.raw)
	}
	return r
}

const batchesPath = "/v1/vector_stores/" + testStore + "/file_batches"

// create creates a batch in testStore and returns its path and ID.
func (s *testServer) create(fileIDs ...string) (path, id string) {
	s.t.Helper()
	r := s.want(http.StatusOK, http.MethodPost, batchesPath, map[string]any{"file_ids": fileIDs})
	id = r.text("id")
	return batchesPath + "/" + id, id
}

func (r response) text(field string) string {
	s, _ := r.json[field].(string)
	return s
}

// message returns the message of an error.
func (r response) message() string {
	e, _ := r.json["error"].(map[string]any)
	m, _ := e["message"].(string)
	return m
}

// counts formats file_counts as in_progress/completed/failed/cancelled/total.
func (r response) counts() string {
	c, _ := r.json["file_counts"].(map[string]any)
	return fmt.Sprint(c["in_progress"], "/", c["completed"], "/", c["failed"], "/", c["cancelled"], "/", c["total"])
}

// state formats the status and the counts of a batch.
func (r response) state() string { return r.text("status") + " " + r.counts() }

// ids returns the IDs of a list's items.
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

// numbered returns n file IDs.
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
