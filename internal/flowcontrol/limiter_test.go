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

// desk is a budget, and who was woken by it, in a bubble whose time passes by itself.
type fixture struct {
	*testing.T
	*flowcontrol.Limiter[string]
	limiters *flowcontrol.Limiters[string]

	mu    sync.Mutex
	woken []string
}

// at runs a test on a budget with the default limits, changed as the test needs them.
func withLimiter(t *testing.T, write func(*flowcontrol.Limits), test func(d *fixture)) {
	t.Helper()
	limits := flowcontrol.DefaultLimits()
	write(&limits)
	synctest.Test(t, func(t *testing.T) {
		d := &fixture{T: t}
		d.limiters = flowcontrol.New(limits, clock.RealClock{}, func(key string, _ flowcontrol.Class) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.woken = append(d.woken, key)
		})
		d.Limiter = d.limiters.For(connection)
		test(d)
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

// wantWoken checks who was woken since the last time, in this order.
func (d *fixture) wantWoken(want ...string) {
	d.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if diff := cmp.Diff(want, slices.Clone(d.woken)); diff != "" {
		d.Errorf("woken (-want +got):\n%s", diff)
	}
	d.woken = nil
}

func (d *fixture) mustGo(key string, call flowcontrol.Request) {
	d.Helper()
	if admission := d.Acquire(key, call); admission != flowcontrol.Admitted {
		d.Fatalf("%s has to wait: %d", key, admission)
	}
}

func (d *fixture) mustWait(key string, call flowcontrol.Request) {
	d.Helper()
	d.mustBe(flowcontrol.RateLimited, key, call)
}

func (d *fixture) mustBe(want flowcontrol.Admission, key string, call flowcontrol.Request) {
	d.Helper()
	if admission := d.Acquire(key, call); admission != want {
		d.Fatalf("%s is told %d, want %d", key, admission, want)
	}
}

// make makes a whole call, which must be possible.
func (d *fixture) make(key string, call flowcontrol.Request) {
	d.Helper()
	d.mustGo(key, call)
	d.Release(key, flowcontrol.Outcome{})
}

func pass(d time.Duration) { <-time.After(d) }

func TestCreatesInAStoreWaitForItsLimitAndForNoOtherStores(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow = 2 }, func(d *fixture) {
		d.make("a", create("vs_1", 1))
		pass(10 * time.Second)
		d.make("b", create("vs_1", 1))
		d.mustWait("c", create("vs_1", 1))
		d.mustWait("d", create("vs_1", 1))
		d.make("e", create("vs_2", 1))
		d.make("f", read)
		pass(49 * time.Second)
		d.wantWoken()
		pass(time.Second)
		d.wantWoken("c")
		d.mustGo("c", create("vs_1", 1))
		pass(10 * time.Second)
		d.wantWoken("d")
	})
}

func TestABacklogOfOneStoreDoesNotDelayTheOthers(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.FilesPerWindow, l.CreatesPerWindow = 100, 10 }, func(d *fixture) {
		for i := range 1000 {
			if key := fmt.Sprint(i); d.Acquire(key, create("vs_1", 1)) == flowcontrol.Admitted {
				d.Release(key, flowcontrol.Outcome{})
			}
		}
		d.make("other", create("vs_2", 50))
	})
}

func TestFilesAreCountedOverAllStores(t *testing.T) {
	withLimiter(t, defaults, func(d *fixture) {
		d.make("a", create("vs_1", 1500))
		pass(30 * time.Second)
		d.make("b", create("vs_2", 500))
		d.mustWait("c", create("vs_3", 501))
		d.mustWait("d", create("vs_4", 1))
		pass(30 * time.Second)
		d.wantWoken("c", "d")
	})
}

func TestTheLargestBatchGetsItsTurn(t *testing.T) {
	for _, files := range []int{2000, 5000} {
		withLimiter(t, defaults, func(d *fixture) {
			d.make("small", create("vs_1", 1))
			d.mustWait("large", create("vs_1", files))
			pass(time.Second)
			d.mustWait("late", create("vs_2", 1))
			pass(59 * time.Second)
			d.wantWoken("large")
			d.make("large", create("vs_1", files))
			pass(time.Minute)
			d.wantWoken("late")
		})
	}
}

func TestACallCountsUntilAWindowAfterItsAnswer(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow = 1 }, func(d *fixture) {
		d.mustGo("slow", create("vs_1", 1))
		d.mustWait("next", create("vs_1", 1))
		pass(90 * time.Second)
		d.Release("slow", flowcontrol.Outcome{})
		pass(59 * time.Second)
		d.wantWoken()
		pass(time.Second)
		d.wantWoken("next")
	})
}

func TestWhatWasNotSentIsGivenBack(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.CreatesPerWindow, l.FilesPerWindow = 1, 1 }, func(d *fixture) {
		d.mustGo("a", create("vs_1", 1))
		d.mustWait("b", create("vs_1", 1))
		d.Release("a", flowcontrol.Outcome{Unsent: true})
		d.wantWoken("b")
		d.Forget("b")
		d.make("c", create("vs_1", 1))
	})
}

func TestWhoLeavesIsNotWaitedFor(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.FilesPerWindow = 100 }, func(d *fixture) {
		d.mustGo("a", create("vs_1", 100))
		d.mustWait("large", create("vs_1", 100))
		d.mustWait("b", create("vs_1", 50))
		d.mustWait("c", create("vs_2", 50))
		d.Release("a", flowcontrol.Outcome{})
		d.Forget("large")
		pass(time.Minute)
		d.wantWoken("b", "c")
	})
}

func TestAPlaceInLineIsKeptHoweverOftenOneAsks(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.FilesPerWindow = 1 }, func(d *fixture) {
		d.make("a", create("vs_1", 1))
		d.mustWait("b", create("vs_1", 1))
		d.mustWait("c", create("vs_2", 1))
		for range 5 {
			d.mustWait("b", create("vs_1", 1))
			d.mustWait("a", create("vs_1", 1))
		}
		pass(time.Minute)
		d.wantWoken("b")
		d.make("b", create("vs_1", 1))
		pass(time.Minute)
		d.wantWoken("c")
		d.make("c", create("vs_2", 1))
		pass(time.Minute)
		d.wantWoken("a")
	})
}

func TestATurnThatNobodyTakesIsLost(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.FilesPerWindow = 1 }, func(d *fixture) {
		d.make("a", create("vs_1", 1))
		d.mustWait("absent", create("vs_1", 1))
		d.mustWait("b", create("vs_1", 1))
		pass(time.Minute)
		d.wantWoken("absent")
		pass(15 * time.Second)
		d.wantWoken("b")
		d.make("b", create("vs_1", 1))
	})
}

func TestLooksArePacedAndChangesGoFirst(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.RequestsPerSecond = 10 }, func(d *fixture) {
		for i := range 10 {
			d.make(fmt.Sprint("look", i), read)
		}
		d.mustWait("look10", read)
		for i := range 10 {
			d.make(fmt.Sprint("change", i), write)
		}
		d.mustWait("change10", write)
		pass(100 * time.Millisecond)
		d.wantWoken("change10")
		d.make("change10", write)
		pass(1000 * time.Millisecond)
		d.wantWoken()
		pass(100 * time.Millisecond)
		d.wantWoken("look10")
	})
}

func TestWhatDoesNotWaitIsPaidByTheOthers(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.RequestsPerSecond = 10 }, func(d *fixture) {
		d.Take(20 + 50)
		d.mustWait("a", write)
		pass(5 * time.Second)
		d.wantWoken()
		pass(100 * time.Millisecond)
		d.wantWoken("a")
	})
}

func TestARateLimitHoldsTheWholeConnectionThenOneCallFindsOut(t *testing.T) {
	withLimiter(t, defaults, func(d *fixture) {
		d.mustGo("a", read)
		d.mustGo("b", read)
		d.Release("a", flowcontrol.Outcome{TooManyRequests: true, RetryAfter: 20 * time.Second})
		d.mustBe(flowcontrol.BackedOff, "c", read)
		d.mustBe(flowcontrol.BackedOff, "d", read)
		d.mustBe(flowcontrol.BackedOff, "e", create("vs_1", 1))
		d.Release("b", flowcontrol.Outcome{}) // which was under way before
		d.mustBe(flowcontrol.BackedOff, "e", create("vs_1", 1))
		pass(20*time.Second - 1)
		d.wantWoken()
		pass(1)
		d.wantWoken("e", "c")
		d.mustGo("c", read)
		d.Release("c", flowcontrol.Outcome{TooManyRequests: true, RetryAfter: 5 * time.Second})
		pass(5 * time.Second)
		d.wantWoken("d")
		d.make("e", create("vs_1", 1))
		d.make("f", read)
		d.make("d", read)
	})
}

func TestARateLimitWithoutATimeHoldsLongerEachTime(t *testing.T) {
	withLimiter(t, defaults, func(d *fixture) {
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
			d.mustGo("a", write)
			d.Release("a", flowcontrol.Outcome{TooManyRequests: true})
			d.mustBe(flowcontrol.BackedOff, "a", write)
			pass(time.Duration(seconds)*time.Second - 1)
			d.wantWoken()
			pass(1)
			d.wantWoken("a")
		}
		d.make("a", write)
		d.mustGo("a", write)
		d.Release("a", flowcontrol.Outcome{TooManyRequests: true})
		d.mustBe(flowcontrol.BackedOff, "a", write)
		pass(time.Second)
		d.wantWoken("a")
	})
}

func TestAHeldCancelHoldsTheOthersToo(t *testing.T) {
	withLimiter(t, defaults, func(d *fixture) {
		d.Observe(flowcontrol.Outcome{TooManyRequests: true, RetryAfter: time.Minute})
		d.mustBe(flowcontrol.BackedOff, "a", read)
	})
}

func TestConnectionsShareThePlacesAndOneThatHangsIsLeftFew(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.Reads = 8 }, func(d *fixture) {
		other := d.limiters.For(upstream.Connection{APIKey: "other"})
		for i := range 6 {
			d.mustGo(fmt.Sprint("hangs", i), read)
		}
		d.mustBe(flowcontrol.Saturated, "hangs6", read) // a quarter of the places is left to others
		for i := range 2 {
			if other.Acquire(fmt.Sprint("other", i), read) != flowcontrol.Admitted {
				d.Fatal("a connection that hangs has all places")
			}
		}
		if other.Acquire("other2", read) != flowcontrol.Saturated {
			d.Fatal("there are more calls than places")
		}
		d.mustGo("changes", write)
		for i := range 5 {
			d.Release(fmt.Sprint("hangs", i), flowcontrol.Outcome{Unanswered: true})
		}
		d.wantWoken("other2")
		d.Release("hangs5", flowcontrol.Outcome{Unanswered: true})
		d.wantWoken("hangs6")
		d.mustBe(flowcontrol.Saturated, "hangs7", read)
	})
}

func TestOneConnectionHasOneBudgetWhateverTheSecretsAreCalled(t *testing.T) {
	withLimiter(t, defaults, func(d *fixture) {
		same := []upstream.Connection{
			{APIKey: "key", BaseURL: upstream.DefaultBaseURL}, {APIKey: "key", BaseURL: upstream.DefaultBaseURL + "/"}, {APIKey: "key", CABundle: "-"},
		}
		others := []upstream.Connection{{APIKey: "key2"}, {APIKey: "key", Organization: "o"}, {APIKey: "key", Project: "p"}, {APIKey: "key", BaseURL: "https://other"}}
		for _, c := range same {
			if d.limiters.For(c) != d.Limiter {
				d.Errorf("%s has another budget", c)
			}
		}
		for _, c := range others {
			if d.limiters.For(c) == d.Limiter {
				d.Errorf("%s has the same budget", c)
			}
		}
		if n := d.limiters.Len(); n != 1+len(others) {
			d.Errorf("there are %d budgets", n)
		}
	})
}

func TestABudgetGoesWhenNobodyNeedsIt(t *testing.T) {
	withLimiter(t, func(l *flowcontrol.Limits) { l.Window = time.Hour }, func(d *fixture) {
		d.limiters.For(upstream.Connection{APIKey: "idle"})
		d.make("a", create("vs_1", 1))
		pass(30 * time.Minute)
		if n := d.limiters.Len(); n != 1 {
			d.Errorf("there are %d budgets, want the one that remembers a create", n)
		}
		pass(31 * time.Minute)
		synctest.Wait()
		if n := d.limiters.Len(); n != 0 {
			d.Errorf("%d budgets are left", n)
		}
	})
}
