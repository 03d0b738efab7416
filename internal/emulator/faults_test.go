// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

func createOne(s *testServer) (response, error) {
	return s.send(http.MethodPost, batchesPath, fields{"file_ids": []string{"file-a"}})
}

func TestFault_Matches(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	s.emu.AddStore("vs_other")
	first, id := s.create("file-a")
	second, _ := s.create("file-b")
	other := "/v1/vector_stores/vs_other"
	key := s.emu.Calls()[0].Key
	tests := map[string]struct {
		fault emulator.Fault
		want  map[string]int // status by the path of a GET
	}{
		"every call":    {emulator.Fault{}, map[string]int{first: 500, other: 500, first + "/files": 500}},
		"any operation": {emulator.Fault{Operation: emulator.AnyOperation}, map[string]int{first: 500, other: 500}},
		"by operation": {
			emulator.Fault{Operation: emulator.Retrieve},
			map[string]int{first: 500, second: 500, other: 200, first + "/files": 200},
		},
		"by vector store": {emulator.Fault{VectorStoreID: "vs_other"}, map[string]int{first: 200, other: 500}},
		"by batch":        {emulator.Fault{BatchID: id}, map[string]int{first: 500, first + "/files": 500, second: 200}},
		"by key":          {emulator.Fault{Key: key}, map[string]int{first: 500}},
		"by other key":    {emulator.Fault{Key: "00000000"}, map[string]int{first: 200}},
		"unknown URLs":    {emulator.Fault{Operation: emulator.UnknownOperation}, map[string]int{first: 200, "/v1/models": 500}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			defer s.emu.ClearFaults()
			test.fault.Status = http.StatusInternalServerError
			s.emu.AddFault(test.fault)
			for path, status := range test.want {
				equal(t, path, s.in(t).do(http.MethodGet, path, nil).status, status)
			}
		})
	}
}

func TestFault_SkipAndTimes(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	path, _ := s.create("file-a")
	s.emu.AddFault(emulator.Fault{Operation: emulator.Retrieve, Skip: 1, Times: 2, Status: 503})
	late := s.emu.AddFault(emulator.Fault{Operation: emulator.Retrieve, Skip: 2, Status: 502})
	var got []int
	for range 6 {
		got = append(got, s.do(http.MethodGet, path, nil).status)
	}
	// The second fault matches only the calls that the first lets through: 1, 4, 5 and 6.
	equal(t, "statuses", got, []int{200, 503, 503, 200, 502, 502})
	faults := s.emu.Faults()
	equal(t, "met", [2]int{faults[0].Met, faults[1].Met}, [2]int{2, 2})
	if !s.emu.RemoveFault(late) || s.emu.RemoveFault(late) {
		t.Error("a fault must be removable exactly once")
	}
	s.want(http.StatusOK, http.MethodGet, path, nil)
}

func TestFault_Answer(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	quota := emulator.OpenAIError("insufficient_quota", "insufficient_quota", "You exceeded your quota.")
	tests := map[string]struct {
		fault       emulator.Fault
		contentType string
		header      [2]string
		body        string
	}{
		"429 with seconds": {
			emulator.Fault{Status: 429, Header: map[string]string{"Retry-After": "7"}, Body: emulator.OpenAIError("requests", "rate_limit_exceeded", "Slow down.")},
			"application/json", [2]string{"Retry-After", "7"},
			`{"error":{"message":"Slow down.","type":"requests","param":null,"code":"rate_limit_exceeded"}}`,
		},
		"429 with a date": {
			emulator.Fault{Status: 429, RetryAt: 90 * time.Second},
			"text/plain; charset=utf-8", [2]string{"Retry-After", "Sun, 01 Mar 2026 12:01:30 GMT"}, "",
		},
		"429 without Retry-After": {emulator.Fault{Status: 429, Body: quota}, "application/json", [2]string{"Retry-After", ""}, quota},
		"HTML": {
			emulator.Fault{Status: 502, Body: "<html><h1>Bad Gateway</h1></html>"},
			"text/html; charset=utf-8", [2]string{"Retry-After", ""}, "<html><h1>Bad Gateway</h1></html>",
		},
		"redirect": {
			emulator.Fault{Status: 307, Header: map[string]string{"Location": "http://127.0.0.1:1/"}},
			"text/plain; charset=utf-8", [2]string{"Location", "http://127.0.0.1:1/"}, "",
		},
		"200 with invalid JSON": {emulator.Fault{Status: 200, Body: "{"}, "text/plain; charset=utf-8", [2]string{}, "{"},
	}
	s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			defer s.emu.ClearFaults()
			before := s.emu.CreateCount()
			s.emu.AddFault(test.fault)
			r, err := createOne(s)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "status", r.status, test.fault.Status)
			equal(t, "content type", r.header.Get("Content-Type"), test.contentType)
			if test.header[0] != "" {
				equal(t, test.header[0], r.header.Get(test.header[0]), test.header[1])
			}
			equal(t, "body", r.raw, test.body)
			if !strings.HasPrefix(r.header.Get("X-Request-Id"), "req_") {
				t.Error("the response has no request ID")
			}
			equal(t, "batches created", s.emu.CreateCount()-before, 0)
		})
	}
}

func TestFault_AnswerWithoutStatusAddsHeader(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	s.emu.AddFault(emulator.Fault{Operation: emulator.Create, Header: map[string]string{"openai-poll-after-ms": "5000"}})
	r, err := createOne(s)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "header", r.header.Get("Openai-Poll-After-Ms"), "5000")
	equal(t, "status and batches", [2]int{r.status, s.emu.CreateCount()}, [2]int{200, 1})
}

func TestFault_EffectOfCreate(t *testing.T) {
	tests := map[string]struct {
		fault   emulator.Fault
		status  int // 0 if there is no response
		batches int
	}{
		"drop before effect":         {emulator.Fault{Action: emulator.Drop}, 0, 0},
		"drop after effect":          {emulator.Fault{Action: emulator.Drop, AfterEffect: true}, 0, 1},
		"500 before effect":          {emulator.Fault{Status: 500}, 500, 0},
		"500 after effect":           {emulator.Fault{Status: 500, AfterEffect: true}, 500, 1},
		"truncate":                   {emulator.Fault{Action: emulator.Truncate}, 0, 1},
		"wrong object before effect": {emulator.Fault{Action: emulator.WrongObject}, 200, 0},
		"wrong object after effect":  {emulator.Fault{Action: emulator.WrongObject, AfterEffect: true}, 200, 1},
		"wrong status":               {emulator.Fault{Action: emulator.WrongStatus, BatchStatus: "x"}, 200, 1},
		"drip":                       {emulator.Fault{Action: emulator.Drip, Interval: time.Microsecond}, 200, 1},
		"delay":                      {emulator.Fault{Delay: time.Microsecond}, 200, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, emulator.Settings{})
			s.emu.AddFault(test.fault)
			r, err := createOne(s)
			if (err != nil) != (test.status == 0) || r.status != test.status {
				t.Errorf("status %d, error %v, want status %d", r.status, err, test.status)
			}
			if test.fault.Action == emulator.Truncate && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("got error %v, want io.ErrUnexpectedEOF", err)
			}
			equal(t, "batches created", s.emu.CreateCount(), test.batches)
			calls := s.emu.Calls()
			if len(calls) != 1 || calls[0].Fault == "" {
				t.Errorf("got calls %+v, want one with the fault", calls)
			}
		})
	}
}

func TestFault_WrongObject(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	path, id := s.create("file-a", "file-b")
	s.emu.AddFault(emulator.Fault{Operation: emulator.Retrieve, Times: 1, Action: emulator.WrongObject})
	wrong := s.want(http.StatusOK, http.MethodGet, path, nil)
	equal(t, "wrong", [2]string{wrong.text("id"), wrong.text("object")}, [2]string{testStore, "vector_store"})
	equal(t, "right", s.want(http.StatusOK, http.MethodGet, path, nil).text("id"), id)
}

func TestFault_WrongStatus(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	path, id := s.create("file-a")
	s.emu.AddFault(emulator.Fault{Operation: emulator.Retrieve, Times: 1, Action: emulator.WrongStatus, BatchStatus: "validating"})
	r := s.want(http.StatusOK, http.MethodGet, path, nil)
	equal(t, "wrong", [2]string{r.text("id"), r.state()}, [2]string{id, "validating 0/1/0/0/1"})
	equal(t, "right", s.want(http.StatusOK, http.MethodGet, path, nil).text("status"), "completed")
}

func TestFault_Until(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	release := make(chan struct{})
	s.emu.AddFault(emulator.Fault{Operation: emulator.Create, Until: release})
	responses := make(chan response, 1)
	go func() {
		r, err := createOne(s)
		if err != nil {
			t.Error(err)
		}
		responses <- r
	}()
	for s.emu.Faults()[0].Met == 0 {
		s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil)
	}
	equal(t, "batches created before", s.emu.CreateCount(), 0)
	equal(t, "status before", s.emu.Calls(emulator.Create)[0].Status, 0)
	close(release)
	equal(t, "status", (<-responses).status, 200)
	equal(t, "batches created", s.emu.CreateCount(), 1)
	equal(t, "status after", s.emu.Calls(emulator.Create)[0].Status, 200)
}

func TestFault_DisconnectedClient(t *testing.T) {
	for name, test := range map[string]struct {
		fault   emulator.Fault
		batches int
	}{
		"before the effect": {emulator.Fault{Delay: time.Hour}, 0},
		"during Until":      {emulator.Fault{Until: make(chan struct{})}, 0},
		"after the effect":  {emulator.Fault{Delay: time.Hour, AfterEffect: true}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, emulator.Settings{})
			test.fault.Operation = emulator.Create
			s.emu.AddFault(test.fault)
			ctx, cancel := context.WithCancel(t.Context())
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+batchesPath, strings.NewReader(`{"file_ids":["file-a"]}`))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+s.key)
			done := make(chan error, 1)
			go func() {
				_, err := s.roundTrip(request)
				done <- err
			}()
			for s.emu.Faults()[0].Met == 0 || s.emu.CreateCount() < test.batches {
				s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil)
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("got error %v, want context.Canceled", err)
			}
			for s.emu.Calls(emulator.Create)[0].Fault == "" {
				s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil)
			}
			equal(t, "batches created", s.emu.CreateCount(), test.batches)
		})
	}
}

func TestFault_Endless(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	path, _ := s.create("file-a")
	s.emu.AddFault(emulator.Fault{Operation: emulator.Retrieve, Action: emulator.Endless})
	request, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	const enough = 8 << 20
	n, err := io.CopyN(io.Discard, r.Body, enough)
	if n != enough || err != nil {
		t.Errorf("the response ended after %d bytes: %v", n, err)
	}
}

func TestFault_DripSendsWholeResponse(t *testing.T) {
	s := newTestServer(t, emulator.Settings{})
	path, id := s.create("file-a")
	s.emu.AddFault(emulator.Fault{Operation: emulator.Retrieve, Action: emulator.Drip, Interval: time.Microsecond})
	r := s.want(http.StatusOK, http.MethodGet, path, nil)
	equal(t, "batch", r.text("id"), id)
	if !json.Valid([]byte(r.raw)) {
		t.Errorf("the response %q is not complete", r.raw)
	}
}
