// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

import (
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// claimTimeout is how long an admission is kept for a caller that does not claim it.
	claimTimeout = 15 * time.Second
	// idleLifetime is how long unused state is kept.
	idleLifetime = 10 * time.Minute
)

// Limiters admits calls, over all connections. It is safe for concurrent use. State that is not used
// for 10 minutes is dropped, unless it still counts against a limit.
type Limiters struct {
	limits Limits
	clock  clock.WithDelayedExecution
	wake   func(Caller, Class)

	mu    sync.Mutex
	seats seats
	// sequence orders arrivals, and who was served.
	sequence   uint64
	namespaces map[string]*namespace
	limiters   map[upstream.Connection]*limiter
	accounts   map[organization]*account
	callers    map[Caller]*caller

	// ready are those of each level that may have a call that can be made now. parked are those whose calls
	// wait until their namespace can take a seat.
	ready  [levels]map[source]struct{}
	parked [levels]map[*namespace]map[source]struct{}
	// unclaimed are the admitted calls that are not claimed yet, in the order of their admission.
	unclaimed []*waiter
	// asking is the call whose request is being answered. Its caller is not woken.
	asking *waiter

	claims, sweeps alarm
}

// organization identifies an organization of a server.
type organization struct{ baseURL, name string }

// caller is what is known of a Caller.
type caller struct {
	id Caller
	// arrival is its position in every queue; zero if it has none. It is kept until a call that is not a
	// read is sent, or until the caller is forgotten.
	arrival uint64
	// waiters are its calls. While a create waits, the caller can make the reads that have to precede it.
	waiters [classes]*waiter
	usedAt  time.Time
}

// New returns Limiters. A caller whose call is admitted later is woken by wake, which must not call
// back.
func New(limits Limits, c clock.WithDelayedExecution, wake func(Caller, Class)) *Limiters {
	l := &Limiters{
		limits: limits, clock: c, wake: wake,
		seats:      newSeats(limits.Seats),
		namespaces: make(map[string]*namespace),
		limiters:   make(map[upstream.Connection]*limiter),
		accounts:   make(map[organization]*account),
		callers:    make(map[Caller]*caller),
	}
	for level := range l.ready {
		l.ready[level] = make(map[source]struct{})
		l.parked[level] = make(map[*namespace]map[source]struct{})
	}
	return l
}

// Acquire asks to admit a call. If it is admitted, Report must be called after the call, and Release
// at the end of the reconciliation. If not, the caller is queued, keeps its position however often it
// asks, and is woken when the call is admitted. The time is when a back-off ends, as far as is known.
//
// A caller that has a seat because of an earlier call of the same level, and has not released it,
// continues with that seat.
func (l *Limiters) Acquire(id Caller, connection upstream.Connection, request Request) (Admission, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	c, lim := l.caller(id, now), l.limiter(connection, now)
	if w := c.continues(lim, request.Class); w != nil {
		w.request, w.state, w.sentAt = request, calling, now
		lim.inFlight[request.Class]++
		lim.tokens.take(now, request.Class.level(), request.Requests)
		return Admitted, time.Time{}
	}
	l.withdraw(c, lim, request, now)
	w := c.waiters[request.Class]
	if w == nil {
		w = l.enqueue(c, lim, request)
	}
	l.wakeUp(lim, request.Class.level())
	l.asking = w
	l.dispatch(now)
	l.asking = nil
	if w.state == admitted {
		w.state, w.sentAt = calling, now
		return Admitted, time.Time{}
	}
	return l.admission(w, now)
}

// continues returns the caller's call that has ended and whose seat the next one can use; nil if there
// is none.
func (c *caller) continues(l *limiter, class Class) *waiter {
	w := c.waiters[class]
	if w == nil || w.state != reported || w.flow.limiter != l || class == Create || l.backoffs[class].active() {
		return nil
	}
	return w
}

// withdraw drops the caller's calls that a request replaces. Only a create stays while its caller reads.
func (l *Limiters) withdraw(c *caller, lim *limiter, request Request, now time.Time) {
	for class, w := range c.waiters {
		switch {
		case w == nil:
		case w.state == reported:
			l.finish(w, now)
		case w.state == calling:
		case w.state == admitted && lim.backoffs[class].holds(now): // it was refused after the admission
			l.drop(w, now)
		case w.flow.limiter == lim && w.request == request:
		case w.flow.limiter == lim && Class(class) == Create && request.Class == Read:
		default:
			l.drop(w, now)
		}
	}
}

// admission returns what a call waits for, and until when.
func (l *Limiters) admission(w *waiter, now time.Time) (Admission, time.Time) {
	if w.state == calling { // the caller has a call in flight
		return Saturated, time.Time{}
	}
	lim := w.flow.limiter
	admission, _ := lim.gate(w.request.Class, now)
	switch {
	case admission == BackedOff:
		return BackedOff, lim.backoffs[w.request.Class].end()
	case admission == RateLimited:
		return RateLimited, time.Time{}
	case w.request.Class == Create && (!lim.account.stores[w.request.VectorStoreID].fits(1) || !lim.account.fits(now, &l.seats)):
		return RateLimited, time.Time{}
	}
	return Saturated, time.Time{}
}

// Report reports the outcome of the call that the caller makes. The caller keeps its seat.
func (l *Limiters) Report(id Caller, outcome Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.callers[id]
	if c == nil {
		return
	}
	now := l.clock.Now()
	for _, w := range c.waiters {
		if w != nil && w.state == calling {
			l.report(w, now, outcome)
		}
	}
	l.dispatch(now)
}

// report counts the call of a waiter.
func (l *Limiters) report(w *waiter, now time.Time, outcome Outcome) {
	class, lim := w.request.Class, w.flow.limiter
	w.state = reported
	lim.inFlight[class]--
	lim.usedAt = now
	if class == Create {
		lim.account.settle(w.request, now, !outcome.Unsent && !outcome.Refused)
	}
	if class != Read && !outcome.Unsent {
		w.caller.arrival = 0
	}
	lim.backoffs[class].report(now, w.sentAt, outcome)
	if outcome.Organization != "" && lim.account.organization == "" {
		l.join(lim, outcome.Organization)
		l.wakeUp(lim, writeLevel)
	}
	l.wakeUp(lim, class.level())
}

// Release returns the caller's seat. A call without a report counts as unsent. Its calls that wait keep
// their positions.
func (l *Limiters) Release(id Caller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.callers[id]
	if c == nil {
		return
	}
	now := l.clock.Now()
	for _, w := range c.waiters {
		if w != nil && w.state == calling {
			l.report(w, now, Outcome{Unsent: true})
		}
		if w != nil && w.state == reported {
			l.finish(w, now)
		}
	}
	c.usedAt = now
	l.dropCaller(c)
	l.dispatch(now)
}

// Forget withdraws the requests of a caller, and its position. A call in flight stays until Release.
func (l *Limiters) Forget(id Caller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.callers[id]
	if c == nil {
		return
	}
	now := l.clock.Now()
	for _, w := range c.waiters {
		if w != nil && (w.state == queued || w.state == admitted) {
			l.drop(w, now)
		}
	}
	c.arrival = 0
	l.dropCaller(c)
	l.dispatch(now)
}

// Callers returns the number of callers that have a call, or a position.
func (l *Limiters) Callers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.callers)
}

// caller returns the state of a caller.
func (l *Limiters) caller(id Caller, now time.Time) *caller {
	c := l.callers[id]
	if c == nil {
		c = &caller{id: id}
		l.callers[id] = c
	}
	if c.arrival == 0 {
		l.sequence++
		c.arrival = l.sequence
	}
	c.usedAt = now
	return c
}

// dropCaller drops a caller without calls and without a position.
func (l *Limiters) dropCaller(c *caller) {
	if c.waiters == [classes]*waiter{} && c.arrival == 0 {
		delete(l.callers, c.id)
	}
}

// limiter returns the state of a connection.
func (l *Limiters) limiter(connection upstream.Connection, now time.Time) *limiter {
	connection = connection.Identity()
	lim := l.limiters[connection]
	if lim == nil {
		lim = &limiter{baseURL: connection.BaseURL, tokens: newTokens(l.limits.RequestsPerSecond), account: newAccount(l.limits, ""), flows: make(map[string]*flow)}
		lim.account.limiters[lim] = struct{}{}
		l.limiters[connection] = lim
		l.set(&l.sweeps, now.Add(idleLifetime), now, l.sweep)
	}
	lim.usedAt = now
	return lim
}

// Rotate is called when a key was replaced by another one of the same user. What the server counted for
// the first one counts for the second, too.
func (l *Limiters) Rotate(from, to upstream.Connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	earlier := l.limiters[from.Identity()]
	if earlier == nil || l.limiters[to.Identity()] != nil {
		return
	}
	now := l.clock.Now()
	later := l.limiter(to, now)
	later.account = earlier.account
	later.account.limiters[later] = struct{}{}
}

// join counts a connection in the account of its organization.
func (l *Limiters) join(lim *limiter, name string) {
	key, own := organization{lim.baseURL, name}, lim.account
	a := l.accounts[key]
	if a == nil {
		a = newAccount(l.limits, name)
		l.accounts[key] = a
	}
	a.merge(own)
	l.dropAccount(own)
}

// flow returns the state of a namespace's use of a connection.
func (l *Limiters) flow(lim *limiter, name string) *flow {
	f := lim.flows[name]
	if f != nil {
		return f
	}
	n := l.namespaces[name]
	if n == nil {
		n = &namespace{}
		l.namespaces[name] = n
	}
	n.flows++
	f = &flow{limiter: lim, namespace: n, creates: make(map[string]*queue)}
	lim.flows[name] = f
	return f
}

// enqueue adds a call to its queue.
func (l *Limiters) enqueue(c *caller, lim *limiter, request Request) *waiter {
	class := request.Class
	w := &waiter{caller: c, flow: l.flow(lim, c.id.Namespace), request: request, arrival: c.arrival}
	c.waiters[class] = w
	if lim.waiting[class] == 0 && class.level() == writeLevel {
		lim.writes.join(&lim.writeShares[class])
	}
	lim.waiting[class]++
	if class == Create {
		lim.account.creates(l.limits, request.VectorStoreID)
	}
	if class == Create && !w.flow.waits(Create) {
		lim.account.clock.join(&w.flow.files)
	}
	w.flow.add(w)
	return w
}

// drop withdraws a call that is not in flight.
func (l *Limiters) drop(w *waiter, now time.Time) {
	class, lim := w.request.Class, w.flow.limiter
	if w.state == admitted {
		l.report(w, now, Outcome{Unsent: true})
		l.finish(w, now)
		return
	}
	w.flow.remove(w)
	lim.waiting[class]--
	w.caller.waiters[class] = nil
	l.wakeUp(lim, class.level())
}

// finish returns the seat of a call that has ended.
func (l *Limiters) finish(w *waiter, now time.Time) {
	l.seats.put(w.flow, w.request.Class.level())
	w.flow.limiter.usedAt = now
	w.caller.waiters[w.request.Class] = nil
}
