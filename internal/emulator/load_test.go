// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// TestServer_ConcurrentUse makes concurrent calls for the race detector, and verifies the final counts.
func TestServer_ConcurrentUse(t *testing.T) {
	s := newTestServer(t, emulator.Settings{Pace: time.Millisecond, Parallel: 2})
	const workers, rounds = 8, 10
	var wait sync.WaitGroup
	for worker := range workers {
		wait.Go(func() {
			for round := range rounds {
				ids := []string{fmt.Sprintf("file-%d-%d", worker, round), "file-shared"}
				r, err := s.send(http.MethodPost, batchesPath, fields{"file_ids": ids})
				if err != nil {
					t.Error(err)
					return
				}
				path := batchesPath + "/" + r.text("id")
				for _, call := range [][2]string{
					{"GET", path}, {"GET", path + "/files"}, {"GET", "/v1/vector_stores/" + testStore},
					{"GET", "/v1/vector_stores/" + testStore + "/files"}, {"POST", path + "/cancel"},
					{"GET", "/_emulator/batches"}, {"GET", "/_emulator/calls"}, {"DELETE", "/_emulator/faults"},
				} {
					if r, err := s.send(call[0], call[1], nil); err != nil || r.status != http.StatusOK {
						t.Errorf("%v: %d, %v", call, r.status, err)
					}
				}
				s.emu.AddFault(emulator.Fault{Operation: emulator.DeleteStore})
				s.clock.advance(time.Millisecond)
				s.emu.Configure(func(s *emulator.Settings) { s.Parallel = 1 + round%3 })
			}
		})
	}
	wait.Wait()
	s.clock.advance(time.Hour)
	equal(t, "batches", s.emu.CreateCount(), workers*rounds)
	counts := map[string]int{}
	for _, f := range s.emu.AttachedFiles(testStore) {
		counts[f.Status]++
	}
	store := s.want(http.StatusOK, http.MethodGet, "/v1/vector_stores/"+testStore, nil)
	equal(t, "store", store.counts(), fmt.Sprintf("%d/%d/%d/%d/%d",
		counts["in_progress"], counts["completed"], counts["failed"], counts["cancelled"], workers*rounds+1))
	equal(t, "in progress", counts["in_progress"], 0)
}

// TestServer_ManyBatches takes minutes if a request visits all batches: ten thousand are in progress.
func TestServer_ManyBatches(t *testing.T) {
	clock := newClock()
	emu := emulator.New(emulator.Options{
		Clock: clock.now, VectorStores: []string{testStore}, Settings: emulator.Settings{Pace: time.Hour},
	})
	call := func(method, path, body string) response {
		request := httptest.NewRequest(method, path, strings.NewReader(body))
		request.Header.Set("Authorization", "Bearer any")
		recorder := httptest.NewRecorder()
		emu.ServeHTTP(recorder, request)
		if recorder.Code != http.StatusOK {
			t.Fatalf("%s %s: %d: %s", method, path, recorder.Code, recorder.Body)
		}
		return response{raw: recorder.Body.String()}
	}
	const batches = 10_000
	for i := range batches {
		call("POST", batchesPath, fmt.Sprintf(`{"file_ids":["file-%d","file-%d-b"]}`, i, i))
	}
	all := emu.Batches()
	equal(t, "batches", len(all), batches)
	for range 3 {
		clock.advance(time.Hour)
		for _, b := range all {
			call("GET", batchesPath+"/"+b.ID, "")
		}
	}
	for _, b := range emu.Batches() {
		if b.Status != "completed" || b.Retrieves != 3 {
			t.Fatalf("batch %s is %s after %d retrieves", b.ID, b.Status, b.Retrieves)
		}
	}
}
