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
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/flowcontrol"
)

// crowd are many batches that all want to be created at once, by an upstream that enforces the
// documented limits and takes its time.
type crowd struct {
	*testing.T
	upstream *emulator.Server
	limiter  *flowcontrol.Limiter[int]
	calls    []flowcontrol.Request
	woken    []chan struct{}
}

func newCrowd(t *testing.T, calls []flowcontrol.Request) *crowd {
	c := &crowd{T: t, calls: calls, upstream: emulator.New(emulator.Options{Settings: emulator.Settings{EnforceLimits: true}})}
	for _, call := range calls {
		c.upstream.AddStore(call.VectorStoreID)
		c.woken = append(c.woken, make(chan struct{}, 1))
	}
	limiters := flowcontrol.New(flowcontrol.DefaultLimits(), clock.RealClock{}, func(key int, _ flowcontrol.Class) {
		select {
		case c.woken[key] <- struct{}{}:
		default:
		}
	})
	c.limiter = limiters.For(connection)
	return c
}

// create brings one batch about; the way to the upstream and back takes up to three seconds.
func (c *crowd) create(key int) {
	for c.limiter.Acquire(key, c.calls[key]) != flowcontrol.Admitted {
		<-c.woken[key]
	}
	ids := make([]string, c.calls[key].Files)
	for i := range ids {
		ids[i] = fmt.Sprintf("file-%d-%d", key, i)
	}
	body, err := json.Marshal(map[string]any{"file_ids": ids})
	if err != nil {
		c.Error(err)
	}
	request := httptest.NewRequest(http.MethodPost, "/v1/vector_stores/"+c.calls[key].VectorStoreID+"/file_batches", bytes.NewReader(body))
	request.Header.Set("Authorization", "Bearer key")
	answer := httptest.NewRecorder()
	pass(rand.N(2 * time.Second))
	c.upstream.ServeHTTP(answer, request)
	pass(rand.N(time.Second))
	if answer.Code != http.StatusOK {
		c.Errorf("batch %d: the upstream answered %d: %s", key, answer.Code, answer.Body)
	}
	c.limiter.Release(key, flowcontrol.Outcome{TooManyRequests: answer.Code == http.StatusTooManyRequests})
}

// TestACrowdMeetsNo429AndLosesLittleTime demands the same of every mix of sizes: no 429, and at most
// 1.15 times what the limits alone allow.
func TestACrowdMeetsNo429AndLosesLittleTime(t *testing.T) {
	tests := map[string]struct {
		batches, stores int
		files           func(i int) int
		// ideal is the time after which the last one can be created at the earliest.
		ideal time.Duration
	}{
		"10 000 files in 10 stores":   {500, 10, func(int) int { return 20 }, 4 * time.Minute},
		"1500 creates in one store":   {1500, 1, func(int) int { return 1 }, 4 * time.Minute},
		"the largest batches":         {6, 2, func(int) int { return 2000 }, 5 * time.Minute},
		"small ones among large ones": {200, 10, func(i int) int { return 1 + 99*(i%2) }, 5 * time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls []flowcontrol.Request
				for i := range test.batches {
					calls = append(calls, create(fmt.Sprint("vs_", i%test.stores), test.files(i)))
				}
				c := newCrowd(t, calls)
				began := time.Now()
				var group sync.WaitGroup
				for key := range calls {
					group.Go(func() { c.create(key) })
				}
				group.Wait()
				if took := time.Since(began); took > test.ideal*115/100 {
					t.Errorf("it took %s, and the limits alone allow %s", took, test.ideal)
				}
				if n := c.upstream.CreateCount(); n != test.batches {
					t.Errorf("%d batches were created, want %d", n, test.batches)
				}
			})
		})
	}
}
