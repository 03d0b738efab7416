// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

import (
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

var (
	histories = flag.Int("histories", 100_000, "number of random histories of TestProperties")
	seed      = flag.Uint64("seed", 0, "seed of the only history of TestProperties")
)

// TestProperties runs random histories of tenants whose servers hang, are slow, refuse, lose answers
// and recover, in simulated time, and checks the properties of flow control in each: isolation,
// priority, order, limits, back-off, progress, and bounded state.
func TestProperties(t *testing.T) {
	n := *histories
	if testing.Short() {
		n = 2000
	}
	first := framework.CommitSeed()
	if *seed != 0 {
		n, first = 1, *seed
	}
	var next, failed atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && failed.Load() < 5; i = next.Add(1) - 1 {
				for _, failure := range newHistory(first + uint64(i)).run() {
					failed.Add(1)
					t.Errorf("-seed=%d: %s", first+uint64(i), failure)
				}
			}
		})
	}
	group.Wait()
}

// checkWaiting checks the answer to a request that has to wait.
func (h *history) checkWaiting(o *object, request Request, admission Admission) {
	level := request.Class.level()
	if admission == BackedOff && o.server.backoffs[request.Class].refusals == 0 {
		h.failf("isolation of classes: class %d of %s is backed off without a refusal", request.Class, o.server.connection)
	}
	if request.Class == Create && head(h.limiters.limiters[o.server.connection].account, h.clock.now) != h.waiter(o, Create) {
		return // it waits for others
	}
	others, own := 0, h.limiters.namespaces[o.caller.Namespace]
	for _, n := range h.limiters.namespaces {
		if n != own && n.used[level] > 0 {
			others++
		}
	}
	// Each namespace leaves half of the seats that it finds.
	if admission == Saturated && own.used[level] == 0 && h.limiters.seats.reserved>>others > 0 {
		h.failf("isolation: %s waits for a seat of level %d, of which it holds none and %d other namespaces hold %v",
			o.caller.Namespace, level, others, h.limiters.seats.used)
	}
}

// checkAdmitted checks a call when it starts.
func (h *history) checkAdmitted(o *object, request Request) {
	if request.Class.level() != urgentLevel {
		o.server.requests += request.Requests
	}
	total := 0
	for _, n := range h.limiters.seats.used {
		total += n
	}
	if total > h.limits.Seats {
		h.failf("limits: %d calls hold %d seats", total, h.limits.Seats)
	}
	if total == h.limits.Seats && h.limiters.seats.used[urgentLevel] == total && total > 1 {
		h.failf("priority: urgent calls hold all seats")
	}
}

// admittedTo checks the order in which waiting calls are admitted.
func (h *history) admittedTo(o *object, class Class) {
	for _, other := range h.objects {
		sameQueue := other != o && other.server == o.server && other.caller.Namespace == o.caller.Namespace && other.store == o.store
		w := h.waiter(other, class)
		if sameQueue && w != nil && w.state == queued && other.order != 0 && other.order < o.order && class == Create {
			h.failf("order: %s is admitted before %s, which asked first", o.caller, other.caller)
		}
	}
}

// waiter returns the object's call of a class; nil if it has none.
func (h *history) waiter(o *object, class Class) *waiter {
	if c := h.limiters.callers[o.caller]; c != nil {
		return c.waiters[class]
	}
	return nil
}

// observe checks the end of a call against the model of the back-off, and records what the server
// counts.
func (h *history) observe(s *server, request Request, outcome Outcome, sent time.Time) {
	if b := &s.backoffs[request.Class]; b.observe(outcome, sent, h.clock.now) {
		h.failf("back-off: class %d of %s was called before %s", request.Class, s.connection, b.until.Format("15:04:05.000"))
	}
	if request.Class == Create && !outcome.Unsent && !outcome.Refused {
		s.creates = append(s.creates, counted{sent, h.clock.now, request.VectorStoreID, request.Files})
	}
}

// observe records the end of a call, and reports whether it was sent too early.
func (b *modelBackoff) observe(outcome Outcome, sent, now time.Time) (early bool) {
	early = !outcome.Unsent && !sent.Before(b.since) && sent.Before(b.until)
	isNew := !sent.Before(b.until)
	switch {
	case outcome.Unsent || outcome.Unanswered:
	case outcome.TooManyRequests:
		if isNew {
			b.refusals++
			b.since = now
		}
		wait := min(max(outcome.RetryAfter, time.Second<<min(10, b.refusals-1)), 5*time.Minute)
		b.until = later(b.until, now.Add(wait))
	case isNew:
		*b = modelBackoff{}
	}
	return early
}

// checkQuiescent checks that no call waits that could be made now.
func (h *history) checkQuiescent() {
	h.checkShares()
	for _, lim := range h.limiters.limiters {
		for _, class := range []Class{Read, Detach, Urgent} {
			h.checkClass(lim, class)
		}
		w := head(lim.account, h.clock.now)
		if w == nil || !lim.account.files.fits(w.request.Files) || !h.limiters.seats.permits(w.flow, writeLevel) {
			continue
		}
		admission, _ := w.flow.limiter.gate(Create, h.clock.now)
		if admission == Admitted && !h.due(lim.account.alarm) && !h.due(w.flow.limiter.alarm) {
			h.failf("progress: a create of %s waits for nothing", w.caller.id)
		}
	}
}

// checkClass checks that no call of a class waits that could be made now.
func (h *history) checkClass(lim *limiter, class Class) {
	if lim.waiting[class] == 0 || h.due(lim.alarm) {
		return
	}
	admission, until := lim.gate(class, h.clock.now)
	switch {
	case admission == Admitted:
		for _, f := range lim.flows {
			if f.waits(class) && h.limiters.seats.permits(f, class.level()) {
				h.failf("progress: a call of class %d waits for nothing", class)
			}
		}
	case until.IsZero() || h.isReady(lim, class): // a call in flight or a seat comes first
	case lim.alarm.timer == nil || lim.alarm.at.After(until.Add(2*time.Millisecond)):
		h.failf("progress: no alarm is set for %s, when a call of class %d can be made", until, class)
	}
}

// head returns the create of an account that is next, if it is not held.
func head(a *account, now time.Time) (first *waiter) {
	for lim := range a.limiters {
		for _, f := range lim.flows {
			if w := f.first(Create, now); w != nil && (first == nil || w.attachesBefore(first)) {
				first = w
			}
		}
	}
	return first
}

// checkShares checks that no class of a connection waits for the rate longer than five times its fair
// share, which is a third of the rate.
func (h *history) checkShares() {
	now := h.clock.now
	for _, lim := range h.limiters.limiters {
		for _, class := range []Class{Read, Detach, Create} {
			key := waitKey{lim, class}
			admission, _ := lim.gate(class, now)
			since, limited := h.limited[key]
			switch {
			case lim.waiting[class] == 0 || admission != RateLimited || limited && since.served != lim.served(class):
				delete(h.limited, key)
			case !limited:
				own, _ := lim.tokens.buckets(class.level())
				debt := max(0, -own.TokensAt(now)) + 1
				if class != Read {
					debt += float64(lim.tokens.urgent.Burst()) // urgent calls come first
				}
				h.limited[key] = rateWait{now, debt, lim.served(class)}
			default:
				fair := time.Duration(since.debt * float64(levels) / h.limits.RequestsPerSecond * float64(time.Second))
				if waited := now.Sub(since.at); waited > 5*fair+10*time.Millisecond {
					h.failf("priority: class %d of a connection waits for %s, its fair share is %s", class, waited, fair)
				}
			}
		}
	}
}

// waitKey is a class of calls on a connection, and rateWait is since when it waits for the rate, with
// how many requests to make up for.
type (
	waitKey struct {
		lim   *limiter
		class Class
	}
	rateWait struct {
		at     time.Time
		debt   float64
		served uint64
	}
)

// served returns when a level was last served, as a sequence number.
func (l *limiter) served(class Class) (last uint64) {
	for _, f := range l.flows {
		last = max(last, f.served[class.level()])
	}
	return last
}

// isReady reports whether the calls of a class are considered when a seat is free.
func (h *history) isReady(lim *limiter, class Class) bool {
	l := h.limiters
	for _, f := range lim.flows {
		s := source{flow: f}
		_, ready := l.ready[class.level()][s]
		_, parked := l.parked[class.level()][f.namespace][s]
		if f.waits(class) && !ready && !parked {
			return false
		}
	}
	return true
}

// due reports whether an alarm goes off now. Times are rounded.
func (h *history) due(a alarm) bool {
	return a.timer != nil && !a.at.After(h.clock.now.Add(2*time.Millisecond))
}

// checkLimits checks the server's counts, at the end.
func (h *history) checkLimits() {
	for _, s := range h.servers {
		h.checkWindow(s.creates, func(counted) bool { return true }, "files", h.limits.FilesPerWindow, func(c counted) int { return c.files })
		for _, c := range s.creates {
			sameStore := func(other counted) bool { return other.store == c.store }
			h.checkWindow(s.creates, sameStore, "creates", h.limits.CreatesPerWindow, func(counted) int { return 1 })
			break
		}
	}
}

// checkWindow checks that no window contains more than a limit, even if the server counts one call late
// and the next early.
func (h *history) checkWindow(creates []counted, match func(counted) bool, what string, limit int, count func(counted) int) {
	for i, last := range creates {
		sum, n := 0, 0
		for _, c := range creates {
			if match(c) && match(last) && !c.from.After(last.from) && last.from.Sub(c.to) < h.limits.Window {
				sum, n = sum+count(c), n+1
			}
		}
		if sum > limit && n > 1 {
			h.failf("limits: %d %s within a window at create %d, the limit is %d", sum, what, i, limit)
			return
		}
	}
}

// checkBounded checks that nothing is kept for objects that are gone.
func (h *history) checkBounded() {
	for _, o := range h.objects {
		h.limiters.Forget(o.caller)
		h.limiters.Release(o.caller)
	}
	h.runUntil(h.clock.now.Add(h.limits.Window + 3*idleLifetime))
	l := h.limiters
	if n := len(l.callers) + len(l.limiters) + len(l.accounts) + len(l.namespaces) + len(l.unclaimed); n > 0 {
		h.failf("bounded: %d callers, %d limiters, %d accounts, %d namespaces, %d unclaimed are kept",
			len(l.callers), len(l.limiters), len(l.accounts), len(l.namespaces), len(l.unclaimed))
	}
	if l.sweeps.timer != nil || l.claims.timer != nil {
		h.failf("bounded: a timer is left")
	}
	for level := range l.ready {
		if n := len(l.ready[level]) + len(l.parked[level]); n > 0 || l.seats.used[level] != 0 {
			h.failf("bounded: %d connections are ready and %d seats are used at level %d", n, l.seats.used[level], level)
		}
	}
}
