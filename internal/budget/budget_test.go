// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package budget_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/vector-store-operator/vector-store-operator/internal/budget"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// desk is a budget, and who was woken by it, in a bubble whose time passes by itself.
type desk struct {
	*testing.T
	*budget.Budget[string]
	budgets *budget.Budgets[string]

	mu    sync.Mutex
	woken []string
}

// at runs a test on a budget with the default limits, changed as the test needs them.
func at(t *testing.T, change func(*budget.Limits), test func(d *desk)) {
	t.Helper()
	limits := budget.DefaultLimits()
	change(&limits)
	synctest.Test(t, func(t *testing.T) {
		d := &desk{T: t}
		d.budgets = budget.New(limits, clock.RealClock{}, func(who string, _ budget.Class) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.woken = append(d.woken, who)
		})
		d.Budget = d.budgets.Of(connection)
		test(d)
	})
}

var connection = upstream.Connection{APIKey: "key"}

func asDefault(*budget.Limits) {}

var (
	look   = budget.Call{Class: budget.Look, Requests: 1}
	change = budget.Call{Class: budget.Change, Requests: 1}
)

func create(store string, files int) budget.Call {
	return budget.Call{Class: budget.Change, Requests: 1, VectorStoreID: store, Files: files}
}

// wantWoken checks who was woken since the last time, in this order.
func (d *desk) wantWoken(want ...string) {
	d.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if diff := cmp.Diff(want, slices.Clone(d.woken)); diff != "" {
		d.Errorf("woken (-want +got):\n%s", diff)
	}
	d.woken = nil
}

func (d *desk) mustGo(who string, call budget.Call) {
	d.Helper()
	if verdict := d.Ask(who, call); verdict != budget.Granted {
		d.Fatalf("%s has to wait: %d", who, verdict)
	}
}

func (d *desk) mustWait(who string, call budget.Call) { d.Helper(); d.mustBe(budget.Paced, who, call) }

func (d *desk) mustBe(want budget.Verdict, who string, call budget.Call) {
	d.Helper()
	if verdict := d.Ask(who, call); verdict != want {
		d.Fatalf("%s is told %d, want %d", who, verdict, want)
	}
}

// make makes a whole call, which must be possible.
func (d *desk) make(who string, call budget.Call) {
	d.Helper()
	d.mustGo(who, call)
	d.Done(who, budget.Outcome{})
}

func pass(d time.Duration) { <-time.After(d) }

func TestCreatesInAStoreWaitForItsLimitAndForNoOtherStores(t *testing.T) {
	at(t, func(l *budget.Limits) { l.CreatesPerWindow = 2 }, func(d *desk) {
		d.make("a", create("vs_1", 1))
		pass(10 * time.Second)
		d.make("b", create("vs_1", 1))
		d.mustWait("c", create("vs_1", 1))
		d.mustWait("d", create("vs_1", 1))
		d.make("e", create("vs_2", 1))
		d.make("f", look)
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
	at(t, func(l *budget.Limits) { l.FilesPerWindow, l.CreatesPerWindow = 100, 10 }, func(d *desk) {
		for i := range 1000 {
			if who := fmt.Sprint(i); d.Ask(who, create("vs_1", 1)) == budget.Granted {
				d.Done(who, budget.Outcome{})
			}
		}
		d.make("other", create("vs_2", 50))
	})
}

func TestFilesAreCountedOverAllStores(t *testing.T) {
	at(t, asDefault, func(d *desk) {
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
		at(t, asDefault, func(d *desk) {
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
	at(t, func(l *budget.Limits) { l.CreatesPerWindow = 1 }, func(d *desk) {
		d.mustGo("slow", create("vs_1", 1))
		d.mustWait("next", create("vs_1", 1))
		pass(90 * time.Second)
		d.Done("slow", budget.Outcome{})
		pass(59 * time.Second)
		d.wantWoken()
		pass(time.Second)
		d.wantWoken("next")
	})
}

func TestWhatWasNotSentIsGivenBack(t *testing.T) {
	at(t, func(l *budget.Limits) { l.CreatesPerWindow, l.FilesPerWindow = 1, 1 }, func(d *desk) {
		d.mustGo("a", create("vs_1", 1))
		d.mustWait("b", create("vs_1", 1))
		d.Done("a", budget.Outcome{Unsent: true})
		d.wantWoken("b")
		d.Leave("b")
		d.make("c", create("vs_1", 1))
	})
}

func TestWhoLeavesIsNotWaitedFor(t *testing.T) {
	at(t, func(l *budget.Limits) { l.FilesPerWindow = 100 }, func(d *desk) {
		d.mustGo("a", create("vs_1", 100))
		d.mustWait("large", create("vs_1", 100))
		d.mustWait("b", create("vs_1", 50))
		d.mustWait("c", create("vs_2", 50))
		d.Done("a", budget.Outcome{})
		d.Leave("large")
		pass(time.Minute)
		d.wantWoken("b", "c")
	})
}

func TestAPlaceInLineIsKeptHoweverOftenOneAsks(t *testing.T) {
	at(t, func(l *budget.Limits) { l.FilesPerWindow = 1 }, func(d *desk) {
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
	at(t, func(l *budget.Limits) { l.FilesPerWindow = 1 }, func(d *desk) {
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
	at(t, func(l *budget.Limits) { l.RequestsPerSecond = 10 }, func(d *desk) {
		for i := range 10 {
			d.make(fmt.Sprint("look", i), look)
		}
		d.mustWait("look10", look)
		for i := range 10 {
			d.make(fmt.Sprint("change", i), change)
		}
		d.mustWait("change10", change)
		pass(100 * time.Millisecond)
		d.wantWoken("change10")
		d.make("change10", change)
		pass(1000 * time.Millisecond)
		d.wantWoken()
		pass(100 * time.Millisecond)
		d.wantWoken("look10")
	})
}

func TestWhatDoesNotWaitIsPaidByTheOthers(t *testing.T) {
	at(t, func(l *budget.Limits) { l.RequestsPerSecond = 10 }, func(d *desk) {
		d.Spend(20 + 50)
		d.mustWait("a", change)
		pass(5 * time.Second)
		d.wantWoken()
		pass(100 * time.Millisecond)
		d.wantWoken("a")
	})
}

func TestARateLimitHoldsTheWholeConnectionThenOneCallFindsOut(t *testing.T) {
	at(t, asDefault, func(d *desk) {
		d.mustGo("a", look)
		d.mustGo("b", look)
		d.Done("a", budget.Outcome{RateLimited: true, RetryAfter: 20 * time.Second})
		d.mustBe(budget.Held, "c", look)
		d.mustBe(budget.Held, "d", look)
		d.mustBe(budget.Held, "e", create("vs_1", 1))
		d.Done("b", budget.Outcome{}) // which was under way before
		d.mustBe(budget.Held, "e", create("vs_1", 1))
		pass(20*time.Second - 1)
		d.wantWoken()
		pass(1)
		d.wantWoken("e", "c")
		d.mustGo("c", look)
		d.Done("c", budget.Outcome{RateLimited: true, RetryAfter: 5 * time.Second})
		pass(5 * time.Second)
		d.wantWoken("d")
		d.make("e", create("vs_1", 1))
		d.make("f", look)
		d.make("d", look)
	})
}

func TestARateLimitWithoutATimeHoldsLongerEachTime(t *testing.T) {
	at(t, asDefault, func(d *desk) {
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
			d.mustGo("a", change)
			d.Done("a", budget.Outcome{RateLimited: true})
			d.mustBe(budget.Held, "a", change)
			pass(time.Duration(seconds)*time.Second - 1)
			d.wantWoken()
			pass(1)
			d.wantWoken("a")
		}
		d.make("a", change)
		d.mustGo("a", change)
		d.Done("a", budget.Outcome{RateLimited: true})
		d.mustBe(budget.Held, "a", change)
		pass(time.Second)
		d.wantWoken("a")
	})
}

func TestAHeldCancelHoldsTheOthersToo(t *testing.T) {
	at(t, asDefault, func(d *desk) {
		d.Report(budget.Outcome{RateLimited: true, RetryAfter: time.Minute})
		d.mustBe(budget.Held, "a", look)
	})
}

func TestConnectionsShareThePlacesAndOneThatHangsIsLeftFew(t *testing.T) {
	at(t, func(l *budget.Limits) { l.Looks = 8 }, func(d *desk) {
		other := d.budgets.Of(upstream.Connection{APIKey: "other"})
		for i := range 6 {
			d.mustGo(fmt.Sprint("hangs", i), look)
		}
		d.mustBe(budget.Busy, "hangs6", look) // a quarter of the places is left to others
		for i := range 2 {
			if other.Ask(fmt.Sprint("other", i), look) != budget.Granted {
				d.Fatal("a connection that hangs has all places")
			}
		}
		if other.Ask("other2", look) != budget.Busy {
			d.Fatal("there are more calls than places")
		}
		d.mustGo("changes", change)
		for i := range 5 {
			d.Done(fmt.Sprint("hangs", i), budget.Outcome{Unanswered: true})
		}
		d.wantWoken("other2")
		d.Done("hangs5", budget.Outcome{Unanswered: true})
		d.wantWoken("hangs6")
		d.mustBe(budget.Busy, "hangs7", look)
	})
}

func TestOneConnectionHasOneBudgetWhateverTheSecretsAreCalled(t *testing.T) {
	at(t, asDefault, func(d *desk) {
		same := []upstream.Connection{
			{APIKey: "key", BaseURL: upstream.DefaultBaseURL}, {APIKey: "key", BaseURL: upstream.DefaultBaseURL + "/"}, {APIKey: "key", CABundle: "-"},
		}
		others := []upstream.Connection{{APIKey: "key2"}, {APIKey: "key", Organization: "o"}, {APIKey: "key", Project: "p"}, {APIKey: "key", BaseURL: "https://other"}}
		for _, c := range same {
			if d.budgets.Of(c) != d.Budget {
				d.Errorf("%s has another budget", c)
			}
		}
		for _, c := range others {
			if d.budgets.Of(c) == d.Budget {
				d.Errorf("%s has the same budget", c)
			}
		}
		if n := d.budgets.Len(); n != 1+len(others) {
			d.Errorf("there are %d budgets", n)
		}
	})
}

func TestABudgetGoesWhenNobodyNeedsIt(t *testing.T) {
	at(t, func(l *budget.Limits) { l.Window = time.Hour }, func(d *desk) {
		d.budgets.Of(upstream.Connection{APIKey: "idle"})
		d.make("a", create("vs_1", 1))
		pass(30 * time.Minute)
		if n := d.budgets.Len(); n != 1 {
			d.Errorf("there are %d budgets, want the one that remembers a create", n)
		}
		pass(31 * time.Minute)
		synctest.Wait()
		if n := d.budgets.Len(); n != 0 {
			d.Errorf("%d budgets are left", n)
		}
	})
}
