// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/flowcontrol"
)

// load is a number of batches to create concurrently at an emulator that enforces the documented
// limits and responds slowly.
type load struct {
	*testing.T
	server   *emulator.Server
	limiters *flowcontrol.Limiters
	requests []flowcontrol.Request
	woken    []chan struct{}
}

func newLoad(t *testing.T, requests []flowcontrol.Request) *load {
	l := &load{T: t, requests: requests, server: emulator.New(emulator.Options{Settings: emulator.Settings{Behaviors: emulator.Behaviors{EnforceLimits: true}}})}
	for _, request := range requests {
		l.server.AddStore(request.VectorStoreID)
		l.woken = append(l.woken, make(chan struct{}, 1))
	}
	l.limiters = flowcontrol.New(flowcontrol.DefaultLimits(), clock.RealClock{}, func(who flowcontrol.Caller, _ flowcontrol.Class) {
		key, err := strconv.Atoi(who.Name)
		if err != nil {
			l.Error(err)
		}
		select {
		case l.woken[key] <- struct{}{}:
		default:
		}
	})
	return l
}

// create creates one batch. The request and its response take up to three seconds.
func (l *load) create(key int) {
	who := caller(strconv.Itoa(key))
	for {
		if admission, _ := l.limiters.Acquire(who, connection, l.requests[key]); admission == flowcontrol.Admitted {
			break
		}
		<-l.woken[key]
	}
	ids := make([]string, l.requests[key].Files)
	for i := range ids {
		ids[i] = fmt.Sprintf("file-%d-%d", key, i)
	}
	body, err := json.Marshal(map[string]any{"file_ids": ids})
	if err != nil {
		l.Error(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/v1/vector_stores/"+l.requests[key].VectorStoreID+"/file_batches", bytes.NewReader(body))
	request.Header.Set("Authorization", "Bearer key")
	response := httptest.NewRecorder()
	advance(rand.N(2 * time.Second))
	l.server.ServeHTTP(response, request)
	advance(rand.N(time.Second))
	if response.Code != http.StatusOK {
		l.Errorf("batch %d: HTTP %d: %s", key, response.Code, response.Body)
	}
	l.limiters.Report(who, flowcontrol.Outcome{TooManyRequests: response.Code == http.StatusTooManyRequests})
	l.limiters.Release(who)
}

// TestLimiter_LoadWithout429 checks that no mix of batch sizes causes a 429, or takes more than 1.15
// times the time that the limits require.
func TestLimiter_LoadWithout429(t *testing.T) {
	tests := map[string]struct {
		batches, stores int
		files           func(i int) int
		// minimum is the time that the limits require.
		minimum time.Duration
	}{
		"10 000 files in 10 stores": {500, 10, func(int) int { return 20 }, 4 * time.Minute},
		"1500 creates in one store": {1500, 1, func(int) int { return 1 }, 4 * time.Minute},
		"the largest batches":       {6, 2, func(int) int { return 2000 }, 5 * time.Minute},
		"small and large batches":   {200, 10, func(i int) int { return 1 + 99*(i%2) }, 5 * time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var requests []flowcontrol.Request
				for i := range test.batches {
					requests = append(requests, create(fmt.Sprint("vs_", i%test.stores), test.files(i)))
				}
				l := newLoad(t, requests)
				start := time.Now()
				var group sync.WaitGroup
				for key := range requests {
					group.Go(func() { l.create(key) })
				}
				group.Wait()
				if duration := time.Since(start); duration > test.minimum*115/100 {
					t.Errorf("the creates took %s, and the limits require %s", duration, test.minimum)
				}
				if n := l.server.CreateCount(); n != test.batches {
					t.Errorf("%d batches were created, want %d", n, test.batches)
				}
			})
		})
	}
}
