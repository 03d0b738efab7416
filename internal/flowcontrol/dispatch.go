// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

import (
	"cmp"
	"maps"
	"time"

	"k8s.io/utils/clock"
)

// dispatch admits all calls that can be made now, and wakes their callers. Levels come in their order
// of priority; each has reserved seats. A call that is admitted can reduce what its level reserves, so the
// levels before it are considered again.
func (l *Limiters) dispatch(now time.Time) {
	l.expireClaims(now)
	for again := true; again; {
		again = false
		for level := range levels {
			for w := l.next(level, now); w != nil; w = l.next(level, now) {
				l.admit(w, now)
				again = true
			}
		}
	}
}

// source is what the calls of a level come from: a flow, or for creates an account.
type source struct {
	flow    *flow
	account *account
}

// next returns the call of a level that takes the next seat; nil if none can be made now.
func (l *Limiters) next(level level, now time.Time) *waiter {
	if l.seats.available(level) <= 0 {
		return nil
	}
	for n, sources := range l.parked[level] {
		if n.used[level] < l.seats.available(level) {
			maps.Copy(l.ready[level], sources)
			delete(l.parked[level], n)
		}
	}
	var best *waiter
	for s := range l.ready[level] {
		w := l.nextOf(s, level, now)
		if w == nil {
			delete(l.ready[level], s)
		} else if best == nil || w.precedes(best) {
			best = w
		}
	}
	return best
}

// nextOf returns the next call of a source, if it can be made now. If not, the source becomes ready
// again at a time, after a call in flight, or when its namespace can take a seat.
func (l *Limiters) nextOf(s source, level level, now time.Time) *waiter {
	if s.account != nil {
		return l.nextCreate(s.account, now)
	}
	class, f := classOf(level), s.flow
	w := f.first(class, now)
	if w == nil {
		return nil
	}
	if admission, until := f.limiter.gate(class, now); admission != Admitted {
		l.wakeUpAt(f.limiter, until, now)
		return nil
	}
	if !l.seats.permits(f, level) {
		l.park(s, level, f.namespace)
		return nil
	}
	return w
}

// classOf returns the class of a level, other than Create.
func classOf(level level) Class { return [levels]Class{Urgent, Detach, Read}[level] }

// nextCreate returns the next create of an account, if it can be made now.
func (l *Limiters) nextCreate(a *account, now time.Time) *waiter {
	w := a.next(now, &l.seats,
		func(lim *limiter, until time.Time) { l.wakeUpAt(lim, until, now) },
		func(n *namespace) { l.park(source{account: a}, writeLevel, n) })
	if w != nil && a.files.fits(w.request.Files) {
		return w
	}
	l.set(&a.alarm, a.nextChange(now, w), now, func(time.Time) { l.ready[writeLevel][source{account: a}] = struct{}{} })
	return nil
}

// park keeps a source until its namespace can take a seat.
func (l *Limiters) park(s source, level level, n *namespace) {
	if l.parked[level][n] == nil {
		l.parked[level][n] = make(map[source]struct{})
	}
	l.parked[level][n][s] = struct{}{}
}

// precedes reports whether a call takes a seat before another one of its level: that of the namespace
// with fewer seats, then of the one that was served longer ago, then the same for the connections of
// a namespace. Creates and detaches of one connection share its requests.
func (w *waiter) precedes(other *waiter) bool {
	level, a, b := w.request.Class.level(), w.flow, other.flow
	return cmp.Or(
		cmp.Compare(a.namespace.used[level], b.namespace.used[level]),
		cmp.Compare(a.namespace.served[level], b.namespace.served[level]),
		cmp.Compare(a.used[level], b.used[level]),
		cmp.Compare(a.served[level], b.served[level]),
		cmp.Compare(a.limiter.writeShares[w.request.Class].time, b.limiter.writeShares[other.request.Class].time),
		cmp.Compare(w.arrival, other.arrival),
	) < 0
}

// admit admits a call: it takes its seat, and what it needs of the limits.
func (l *Limiters) admit(w *waiter, now time.Time) {
	class, level, lim, f := w.request.Class, w.request.Class.level(), w.flow.limiter, w.flow
	f.remove(w)
	lim.waiting[class]--
	lim.inFlight[class]++
	l.seats.take(f, level)
	l.sequence++
	f.served[level], f.namespace.served[level] = l.sequence, l.sequence
	lim.tokens.take(now, level, w.request.Requests)
	if class == Create {
		lim.account.take(w.request)
		lim.account.clock.charge(&f.files, w.request.Files)
	}
	if level == writeLevel {
		lim.writes.charge(&lim.writeShares[class], w.request.Requests)
	}
	w.state, w.admittedAt = admitted, now
	if w != l.asking {
		l.unclaimed = append(l.unclaimed, w)
		l.set(&l.claims, now.Add(claimTimeout), now, nil)
		l.wake(w.caller.id, class)
	}
}

// expireClaims withdraws the admissions that their callers do not claim. Such a caller keeps its
// position, for when it asks again. While it makes another call, it keeps its admission too.
func (l *Limiters) expireClaims(now time.Time) {
	for len(l.unclaimed) > 0 {
		w := l.unclaimed[0]
		if w.state == admitted {
			if at := w.admittedAt.Add(claimTimeout); now.Before(at) {
				l.set(&l.claims, at, now, nil)
				return
			}
		}
		l.unclaimed[0] = nil
		l.unclaimed = l.unclaimed[1:]
		switch {
		case w.state != admitted:
		case w.caller.hasSeat():
			w.admittedAt = now
			l.unclaimed = append(l.unclaimed, w)
		default:
			l.drop(w, now)
		}
	}
	l.unclaimed = nil
}

// hasSeat reports whether the caller makes a call, or has made one in its present reconciliation.
func (c *caller) hasSeat() bool {
	for _, w := range c.waiters {
		if w != nil && (w.state == calling || w.state == reported) {
			return true
		}
	}
	return false
}

// wakeUp makes the next dispatch consider the calls of a level on a connection. A create can be one of
// another connection.
func (l *Limiters) wakeUp(lim *limiter, level level) {
	for _, f := range lim.flows {
		if f.waits(classOf(level)) {
			l.ready[level][source{flow: f}] = struct{}{}
		}
	}
	if level == writeLevel {
		l.ready[level][source{account: lim.account}] = struct{}{}
	}
}

// wakeUpAt does that for all levels at a time; zero for never.
func (l *Limiters) wakeUpAt(lim *limiter, at, now time.Time) {
	l.set(&lim.alarm, at, now, func(time.Time) {
		for level := range levels {
			l.wakeUp(lim, level)
		}
	})
}

// alarm is a timer that dispatches.
type alarm struct {
	timer clock.Timer
	at    time.Time
}

// set calls a function, and dispatches, at a time; zero for never. An earlier alarm that is set is kept.
func (l *Limiters) set(a *alarm, at, now time.Time, f func(now time.Time)) {
	switch {
	case at.IsZero():
		return
	case !at.After(now):
		at = now.Add(time.Millisecond) // times were rounded
	}
	if a.timer != nil {
		if !at.Before(a.at) {
			return
		}
		a.timer.Stop()
	}
	a.at = at
	var timer clock.Timer
	timer = l.clock.AfterFunc(at.Sub(now), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if a.timer == timer {
			a.timer = nil
		}
		now := l.clock.Now()
		if f != nil {
			f(now)
		}
		l.dispatch(now)
	})
	a.timer = timer
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

// sweep drops the state that was not used for a while and counts nothing.
func (l *Limiters) sweep(now time.Time) {
	for _, c := range l.callers {
		if c.waiters == [classes]*waiter{} && now.Sub(c.usedAt) >= idleLifetime {
			delete(l.callers, c.id)
		}
	}
	for connection, lim := range l.limiters {
		l.sweepFlows(lim)
		if lim.idle(now) {
			lim.alarm.stop()
			delete(lim.account.limiters, lim)
			delete(l.limiters, connection)
			l.dropAccount(lim.account)
		}
	}
	for key, a := range l.accounts {
		if len(a.limiters) == 0 && a.idle(now) {
			delete(l.accounts, key)
			l.dropAccount(a)
		}
	}
	if len(l.limiters)+len(l.accounts)+len(l.callers) > 0 {
		l.set(&l.sweeps, now.Add(idleLifetime), now, l.sweep)
	}
}

// dropAccount drops an account that no connection uses.
func (l *Limiters) dropAccount(a *account) {
	if len(a.limiters) == 0 {
		a.alarm.stop()
		l.dropSource(source{account: a})
	}
}

// sweepFlows drops the namespaces that make no calls on a connection.
func (l *Limiters) sweepFlows(lim *limiter) {
	for name, f := range lim.flows {
		if !f.idle() {
			continue
		}
		delete(lim.flows, name)
		l.dropSource(source{flow: f})
		if f.namespace.flows--; f.namespace.flows == 0 {
			delete(l.namespaces, name)
		}
	}
}

// dropSource drops a source that has no calls.
func (l *Limiters) dropSource(s source) {
	for level := range levels {
		delete(l.ready[level], s)
		for n, sources := range l.parked[level] {
			if delete(sources, s); len(sources) == 0 {
				delete(l.parked[level], n)
			}
		}
	}
}
