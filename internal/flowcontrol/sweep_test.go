// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

var (
	testCaller     = Caller{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "a"}}
	testConnection = upstream.Connection{APIKey: "key"}
)

func newTestLimiters(limits Limits) (*simulatedClock, *Limiters) {
	c := newSimulatedClock()
	return c, New(limits, c, func(Caller, Class) {})
}

// advance runs the clock for a while.
func (c *simulatedClock) advance(d time.Duration) {
	end := c.now.Add(d)
	for more := true; more; {
		more = c.run(end)
	}
}

// call makes a call that must be admitted.
func call(t *testing.T, l *Limiters, request Request, outcome Outcome) {
	t.Helper()
	if admission, _ := l.Acquire(testCaller, testConnection, request); admission != Admitted {
		t.Fatalf("admission is %d", admission)
	}
	l.Report(testCaller, outcome)
	l.Release(testCaller)
}

func TestSweep_DropsIdleConnections(t *testing.T) {
	c, l := newTestLimiters(DefaultLimits())
	call(t, l, Request{Class: Read, Requests: 1}, Outcome{})
	l.Forget(testCaller)
	c.advance(idleLifetime - 1)
	if n := len(l.limiters); n != 1 {
		t.Errorf("%d connections before the end of their lifetime", n)
	}
	c.advance(1)
	if n := len(l.limiters); n != 0 {
		t.Errorf("%d connections after the end of their lifetime", n)
	}
}

// What counts against a limit is kept as long as it counts.
func TestSweep_KeepsWhatCounts(t *testing.T) {
	limits := DefaultLimits()
	limits.Window = time.Hour
	create := Request{Class: Create, Requests: 1, VectorStoreID: "vs", Files: 1500}
	for name, organization := range map[string]string{"connection": "", "organization": "org"} {
		t.Run(name, func(t *testing.T) {
			c, l := newTestLimiters(limits)
			call(t, l, create, Outcome{Organization: organization})
			l.Forget(testCaller)
			c.advance(59 * time.Minute)
			if kept := len(l.accounts) + len(l.limiters); kept != 1 {
				t.Errorf("%d connections and %d organizations are kept, want one of them", len(l.limiters), len(l.accounts))
			}
			// A connection whose state was dropped learns its organization from the next answer.
			call(t, l, Request{Class: Create, Requests: 1, VectorStoreID: "vs"}, Outcome{Organization: organization})
			if admission, _ := l.Acquire(testCaller, testConnection, create); admission != RateLimited {
				t.Errorf("admission is %d, want the create of the last hour to count", admission)
			}
			l.Forget(testCaller)
			c.advance(90 * time.Minute)
			if kept := len(l.accounts) + len(l.limiters); kept != 0 {
				t.Errorf("%d connections and %d organizations are kept", len(l.limiters), len(l.accounts))
			}
		})
	}
}

// A caller that does not ask again keeps its place in a queue, and the position of one that is in no queue
// expires.
func TestSweep_Callers(t *testing.T) {
	limits := DefaultLimits()
	limits.Window = time.Hour
	c, l := newTestLimiters(limits)
	create := Request{Class: Create, Requests: 1, VectorStoreID: "vs", Files: 2000}
	call(t, l, create, Outcome{})
	if admission, _ := l.Acquire(testCaller, testConnection, create); admission != RateLimited {
		t.Fatalf("admission is %d", admission)
	}
	c.advance(time.Hour + time.Second)
	call(t, l, create, Outcome{Unsent: true}) // claims the admission; a conflict keeps the position
	c.advance(idleLifetime - time.Minute)
	if n := l.Callers(); n != 1 {
		t.Errorf("%d callers before the end of their lifetime", n)
	}
	c.advance(2 * idleLifetime)
	if n := l.Callers(); n != 0 {
		t.Errorf("%d callers after the end of their lifetime", n)
	}
}

// The position of a caller expires after exactly its lifetime.
func TestSweep_CallersExactly(t *testing.T) {
	c, l := newTestLimiters(DefaultLimits())
	call(t, l, Request{Class: Create, Requests: 1, VectorStoreID: "vs", Files: 1}, Outcome{Unsent: true})
	c.advance(idleLifetime - 1)
	if n := l.Callers(); n != 1 {
		t.Errorf("%d callers before the end of their lifetime", n)
	}
	c.advance(1)
	if n := l.Callers(); n != 0 {
		t.Errorf("%d callers at the end of their lifetime", n)
	}
}

// A namespace that makes a call does not keep the state of the others that use its connection.
func TestSweep_DropsIdleNamespaces(t *testing.T) {
	c, l := newTestLimiters(DefaultLimits())
	read := Request{Class: Read, Requests: 1}
	for i := range 20 {
		caller := Caller{NamespacedName: types.NamespacedName{Namespace: fmt.Sprint("ns-", i), Name: "a"}}
		if admission, _ := l.Acquire(caller, testConnection, read); admission != Admitted {
			t.Fatalf("admission is %d", admission)
		}
		if i > 0 { // the first one hangs
			l.Report(caller, Outcome{})
			l.Release(caller)
			l.Forget(caller)
		}
	}
	c.advance(idleLifetime)
	if len(l.namespaces) != 1 || l.namespaces["ns-0"] == nil {
		t.Errorf("%d namespaces are kept, want the one that makes a call", len(l.namespaces))
	}
}

// A create that waits for the files of its organization is woken, though another connection of the organization was
// dropped meanwhile.
func TestSweep_WakesOtherConnections(t *testing.T) {
	limits := DefaultLimits()
	limits.Window = time.Hour
	c := newSimulatedClock()
	var woken []Caller
	l := New(limits, c, func(caller Caller, _ Class) { woken = append(woken, caller) })
	create := Request{Class: Create, Requests: 1, VectorStoreID: "vs", Files: 2000}
	call(t, l, create, Outcome{Organization: "org"})
	l.Forget(testCaller)

	other, connection := Caller{NamespacedName: types.NamespacedName{Namespace: "other", Name: "b"}}, upstream.Connection{APIKey: "other"}
	if admission, _ := l.Acquire(other, connection, Request{Class: Read, Requests: 1}); admission != Admitted {
		t.Fatalf("admission is %d", admission)
	}
	l.Report(other, Outcome{Organization: "org"})
	if admission, _ := l.Acquire(other, connection, create); admission != RateLimited {
		t.Fatalf("admission is %d, want the files of the organization to count", admission)
	}
	l.Release(other)
	c.advance(59 * time.Minute)
	if len(l.limiters) != 1 || len(woken) != 0 {
		t.Fatalf("%d connections are kept, and %v were woken", len(l.limiters), woken)
	}
	c.advance(2 * time.Minute)
	if len(woken) != 1 || woken[0] != other {
		t.Errorf("woken: %v, want %v", woken, other)
	}
}

// Calls that do not wait for tokens add nothing to a debt of a whole burst.
func TestTokens_DebtIsBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	tokens := newTokens(10)
	tokens.take(now, writeLevel, 34) // 16 tokens, 2 that are borrowed, and 16 on credit
	if got := tokens.writes.TokensAt(now); got != -16 {
		t.Fatalf("%v tokens, want -16", got)
	}
	tokens.take(now, writeLevel, 1)
	if got := tokens.writes.TokensAt(now); got != -16 {
		t.Errorf("%v tokens after one more request", got)
	}
	if got := tokens.reads.TokensAt(now); got != 2 {
		t.Errorf("%v tokens are left for reads, want 2", got)
	}
}
