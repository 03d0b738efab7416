// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/vector-store-operator/vector-store-operator/internal/flowcontrol"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// fixture is a Limiter, and the callers that it woke, in a synctest bubble.
type fixture struct {
	*testing.T
	*flowcontrol.Limiter[string]
	limiters *flowcontrol.Limiters[string]

	mu    sync.Mutex
	woken []string
}

// withLimiter runs a test of a Limiter with changed default limits.
func withLimiter(t *testing.T, change func(*flowcontrol.Limits), test func(f *fixture)) {
	t.Helper()
	limits := flowcontrol.DefaultLimits()
	change(&limits)
	synctest.Test(t, func(t *testing.T) {
		f := &fixture{T: t}
		f.limiters = flowcontrol.New(limits, clock.RealClock{}, func(key string, _ flowcontrol.Class) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.woken = append(f.woken, key)
		})
		f.Limiter = f.limiters.For(connection)
		test(f)
	})
}

var connection = upstream.Connection{APIKey: "key"}

func defaults(*flowcontrol.Limits) {}

var (
	read  = flowcontrol.Request{Class: flowcontrol.Read, Requests: 1}
	write = flowcontrol.Request{Class: flowcontrol.Write, Requests: 1}
)

func create(store string, files int) flowcontrol.Request {
	return flowcontrol.Request{Class: flowcontrol.Write, Requests: 1, VectorStoreID: store, Files: files}
}

// wantWoken checks which callers were woken since the last check, in order.
func (f *fixture) wantWoken(want ...string) {
	f.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if diff := cmp.Diff(want, slices.Clone(f.woken)); diff != "" {
		f.Errorf("woken (-want +got):\n%s", diff)
	}
	f.woken = nil
}

// admit acquires a request that must be admitted.
func (f *fixture) admit(key string, request flowcontrol.Request) {
	f.Helper()
	if admission := f.Acquire(key, request); admission != flowcontrol.Admitted {
		f.Fatalf("admission of %s is %d, want Admitted", key, admission)
	}
}

// rateLimit acquires a request that must wait for the rate limits.
func (f *fixture) rateLimit(key string, request flowcontrol.Request) {
	f.Helper()
	f.wantAdmission(flowcontrol.RateLimited, key, request)
}

func (f *fixture) wantAdmission(want flowcontrol.Admission, key string, request flowcontrol.Request) {
	f.Helper()
	if admission := f.Acquire(key, request); admission != want {
		f.Fatalf("admission of %s is %d, want %d", key, admission, want)
	}
}

// call makes a call that must be admitted.
func (f *fixture) call(key string, request flowcontrol.Request) {
	f.Helper()
	f.admit(key, request)
	f.Release(key, flowcontrol.Outcome{})
}

// advance advances the clock of the test.
func advance(d time.Duration) { <-time.After(d) }

func TestLimiter_CreatesPerStore(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow = 2 }, func(f *fixture) {
		f.call("a", create("vs_1", 1))
		advance(10 * time.Second)
		f.call("b", create("vs_1", 1))
		f.rateLimit("c", create("vs_1", 1))
		f.rateLimit("d", create("vs_1", 1))
		f.call("e", create("vs_2", 1))
		f.call("f", read)
		advance(49 * time.Second)
		f.wantWoken()
		advance(time.Second)
		f.wantWoken("c")
		f.admit("c", create("vs_1", 1))
		advance(10 * time.Second)
		f.wantWoken("d")
	})
}

func TestLimiter_BacklogOfOneStoreDelaysNoOther(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.FilesPerWindow, l.CreatesPerWindow = 100, 10 }, func(f *fixture) {
		for i := range 1000 {
			if key := fmt.Sprint(i); f.Acquire(key, create("vs_1", 1)) == flowcontrol.Admitted {
				f.Release(key, flowcontrol.Outcome{})
			}
		}
		f.call("other", create("vs_2", 50))
	})
}

func TestLimiter_FilesOfAllStores(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		f.call("a", create("vs_1", 1500))
		advance(30 * time.Second)
		f.call("b", create("vs_2", 500))
		f.rateLimit("c", create("vs_3", 501))
		f.rateLimit("d", create("vs_4", 1))
		advance(30 * time.Second)
		f.wantWoken("c", "d")
	})
}

func TestLimiter_LargestBatchDoesNotStarve(t *testing.T) {
	for _, files := range []int{2000, 5000} {
		withLimiter(t, defaults, func(f *fixture) {
			f.call("small", create("vs_1", 1))
			f.rateLimit("large", create("vs_1", files))
			advance(time.Second)
			f.rateLimit("late", create("vs_2", 1))
			advance(59 * time.Second)
			f.wantWoken("large")
			f.call("large", create("vs_1", files))
			advance(time.Minute)
			f.wantWoken("late")
		})
	}
}

func TestLimiter_WindowStartsAtResponse(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow = 1 }, func(f *fixture) {
		f.admit("slow", create("vs_1", 1))
		f.rateLimit("next", create("vs_1", 1))
		advance(90 * time.Second)
		f.Release("slow", flowcontrol.Outcome{})
		advance(59 * time.Second)
		f.wantWoken()
		advance(time.Second)
		f.wantWoken("next")
	})
}

func TestLimiter_UnsentRequestIsRefunded(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow, l.FilesPerWindow = 1, 1 }, func(f *fixture) {
		f.admit("a", create("vs_1", 1))
		f.rateLimit("b", create("vs_1", 1))
		f.Release("a", flowcontrol.Outcome{Unsent: true})
		f.wantWoken("b")
		f.Forget("b")
		f.call("c", create("vs_1", 1))
	})
}

func TestLimiter_ForgottenWaiterBlocksNoOther(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.FilesPerWindow = 100 }, func(f *fixture) {
		f.admit("a", create("vs_1", 100))
		f.rateLimit("large", create("vs_1", 100))
		f.rateLimit("b", create("vs_1", 50))
		f.rateLimit("c", create("vs_2", 50))
		f.Release("a", flowcontrol.Outcome{})
		f.Forget("large")
		advance(time.Minute)
		f.wantWoken("b", "c")
	})
}

func TestLimiter_PositionIsKept(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.FilesPerWindow = 1 }, func(f *fixture) {
		f.call("a", create("vs_1", 1))
		f.rateLimit("b", create("vs_1", 1))
		f.rateLimit("c", create("vs_2", 1))
		for range 5 {
			f.rateLimit("b", create("vs_1", 1))
			f.rateLimit("a", create("vs_1", 1))
		}
		advance(time.Minute)
		f.wantWoken("b")
		f.call("b", create("vs_1", 1))
		advance(time.Minute)
		f.wantWoken("c")
		f.call("c", create("vs_2", 1))
		advance(time.Minute)
		f.wantWoken("a")
	})
}

func TestLimiter_UnclaimedAdmissionExpires(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.FilesPerWindow = 1 }, func(f *fixture) {
		f.call("a", create("vs_1", 1))
		f.rateLimit("absent", create("vs_1", 1))
		f.rateLimit("b", create("vs_1", 1))
		advance(time.Minute)
		f.wantWoken("absent")
		advance(15 * time.Second)
		f.wantWoken("b")
		f.call("b", create("vs_1", 1))
	})
}

func TestLimiter_WritesBeforeReads(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.RequestsPerSecond = 10 }, func(f *fixture) {
		for i := range 10 {
			f.call(fmt.Sprint("read", i), read)
		}
		f.rateLimit("read10", read)
		for i := range 10 {
			f.call(fmt.Sprint("write", i), write)
		}
		f.rateLimit("write10", write)
		advance(100 * time.Millisecond)
		f.wantWoken("write10")
		f.call("write10", write)
		advance(1000 * time.Millisecond)
		f.wantWoken()
		advance(100 * time.Millisecond)
		f.wantWoken("read10")
	})
}

func TestLimiter_TakeDelaysOthers(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.RequestsPerSecond = 10 }, func(f *fixture) {
		f.Take(20 + 50)
		f.rateLimit("a", write)
		advance(5 * time.Second)
		f.wantWoken()
		advance(100 * time.Millisecond)
		f.wantWoken("a")
	})
}

func TestLimiter_RetryAfterBacksOffThenAdmitsOneRequest(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		f.admit("a", read)
		f.admit("b", read)
		f.Release("a", flowcontrol.Outcome{TooManyRequests: true, RetryAfter: 20 * time.Second})
		f.wantAdmission(flowcontrol.BackedOff, "c", read)
		f.wantAdmission(flowcontrol.BackedOff, "d", read)
		f.wantAdmission(flowcontrol.BackedOff, "e", create("vs_1", 1))
		f.Release("b", flowcontrol.Outcome{}) // in flight before the back-off
		f.wantAdmission(flowcontrol.BackedOff, "e", create("vs_1", 1))
		advance(20*time.Second - 1)
		f.wantWoken()
		advance(1)
		f.wantWoken("e", "c")
		f.admit("c", read)
		f.Release("c", flowcontrol.Outcome{TooManyRequests: true, RetryAfter: 5 * time.Second})
		advance(5 * time.Second)
		f.wantWoken("d")
		f.call("e", create("vs_1", 1))
		f.call("f", read)
		f.call("d", read)
	})
}

func TestLimiter_BackoffDoublesWithoutRetryAfter(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
			f.admit("a", write)
			f.Release("a", flowcontrol.Outcome{TooManyRequests: true})
			f.wantAdmission(flowcontrol.BackedOff, "a", write)
			advance(time.Duration(seconds)*time.Second - 1)
			f.wantWoken()
			advance(1)
			f.wantWoken("a")
		}
		f.call("a", write)
		f.admit("a", write)
		f.Release("a", flowcontrol.Outcome{TooManyRequests: true})
		f.wantAdmission(flowcontrol.BackedOff, "a", write)
		advance(time.Second)
		f.wantWoken("a")
	})
}

func TestLimiter_ObservedRateLimitBacksOff(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		f.Observe(flowcontrol.Outcome{TooManyRequests: true, RetryAfter: time.Minute})
		f.wantAdmission(flowcontrol.BackedOff, "a", read)
	})
}

func TestLimiters_SeatsAreSharedByConnections(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.Reads = 8 }, func(f *fixture) {
		other := f.limiters.For(upstream.Connection{APIKey: "other"})
		for i := range 6 {
			f.admit(fmt.Sprint("hangs", i), read)
		}
		f.wantAdmission(flowcontrol.Saturated, "hangs6", read) // a quarter of the seats remains for other connections
		for i := range 2 {
			if other.Acquire(fmt.Sprint("other", i), read) != flowcontrol.Admitted {
				f.Fatal("a connection whose calls hang has all seats")
			}
		}
		if other.Acquire("other2", read) != flowcontrol.Saturated {
			f.Fatal("there are more calls than seats")
		}
		f.admit("write", write)
		for i := range 5 {
			f.Release(fmt.Sprint("hangs", i), flowcontrol.Outcome{Unanswered: true})
		}
		f.wantWoken("other2")
		f.Release("hangs5", flowcontrol.Outcome{Unanswered: true})
		f.wantWoken("hangs6")
		f.wantAdmission(flowcontrol.Saturated, "hangs7", read)
	})
}

func TestLimiters_OnePerConnection(t *testing.T) {
	withLimiter(t, defaults, func(f *fixture) {
		same := []upstream.Connection{
			{APIKey: "key", BaseURL: upstream.DefaultBaseURL}, {APIKey: "key", BaseURL: upstream.DefaultBaseURL + "/"}, {APIKey: "key", CABundle: "-"},
		}
		others := []upstream.Connection{{APIKey: "key2"}, {APIKey: "key", Organization: "o"}, {APIKey: "key", Project: "p"}, {APIKey: "key", BaseURL: "https://other"}}
		for _, c := range same {
			if f.limiters.For(c) != f.Limiter {
				f.Errorf("%s has another Limiter", c)
			}
		}
		for _, c := range others {
			if f.limiters.For(c) == f.Limiter {
				f.Errorf("%s has the same Limiter", c)
			}
		}
		if n := f.limiters.Len(); n != 1+len(others) {
			f.Errorf("there are %d Limiters, want %d", n, 1+len(others))
		}
	})
}

func TestLimiters_IdleLimiterIsDropped(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.Window = time.Hour }, func(f *fixture) {
		f.limiters.For(upstream.Connection{APIKey: "idle"})
		f.call("a", create("vs_1", 1))
		advance(30 * time.Minute)
		if n := f.limiters.Len(); n != 1 {
			f.Errorf("there are %d Limiters, want the one that counts a create", n)
		}
		advance(31 * time.Minute)
		synctest.Wait()
		if n := f.limiters.Len(); n != 0 {
			f.Errorf("%d Limiters remain", n)
		}
	})
}
