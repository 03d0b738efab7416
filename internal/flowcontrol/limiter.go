// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package flowcontrol delays calls to the OpenAI API so that none exceeds a rate limit that is known
// in advance. A caller that has to wait does not block a worker: it waits in a queue, and is woken
// when its request is admitted.
package flowcontrol

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// Class sorts requests by priority. A cancel has no class, because it does not wait.
type Class int

const (
	// Read is a request that changes nothing.
	Read Class = iota
	// Write is a request that changes something. It comes before reads.
	Write
	classes
)

// Limits are the limits of one connection, and the seats that all connections share.
type Limits struct {
	// RequestsPerSecond is the number of requests per second, of all classes.
	RequestsPerSecond float64
	// CreatesPerWindow is the number of batches created in one vector store within any Window.
	CreatesPerWindow int
	// FilesPerWindow is the number of files attached to all vector stores within any Window.
	FilesPerWindow int
	// Window is the length of the windows: a minute for the OpenAI API.
	Window time.Duration
	// Reads and Writes are the seats of each class: the number of requests in flight at a time, over
	// all connections.
	Reads, Writes int
}

// DefaultLimits returns the documented limits of the OpenAI API, with seats for 64 workers. No limit
// for RequestsPerSecond is documented.
func DefaultLimits() Limits {
	return Limits{RequestsPerSecond: 50, CreatesPerWindow: 300, FilesPerWindow: 2000, Window: time.Minute}.WithWorkers(64)
}

// WithWorkers returns limits with seats for n workers. A quarter of the workers has no seat, and
// remains free for cancels.
func (l Limits) WithWorkers(n int) Limits {
	l.Reads = max(1, n*3/8)
	l.Writes = max(1, n*3/8)
	return l
}

// burst returns the number of requests that can be sent at once after a pause.
func (l Limits) burst() int { return max(2, int(2*l.RequestsPerSecond)) }

// Request describes a call to the API.
type Request struct {
	Class Class
	// Requests is the number of HTTP requests, at least 1.
	Requests int
	// VectorStoreID is set for a create, and Files is the number of files that it attaches.
	VectorStoreID string
	Files         int
}

// Admission is the answer to a request.
type Admission int

const (
	// Admitted means that the call can be made now.
	Admitted Admission = iota
	// Saturated means that it waits for a seat.
	Saturated
	// RateLimited means that it waits for the rate limits.
	RateLimited
	// BackedOff means that it waits because the API asked to slow down.
	BackedOff
)

// Outcome is the outcome of a call.
type Outcome struct {
	// Unsent is true if no request was sent.
	Unsent bool
	// Unanswered is true if the server did not answer.
	Unanswered bool
	// TooManyRequests is true if the server asked to slow down, and RetryAfter is for how long; zero if
	// it did not specify that.
	TooManyRequests bool
	RetryAfter      time.Duration
}

// Without a Retry-After, the back-off doubles from the first of these to the second.
const (
	minBackoff = time.Second
	maxBackoff = 5 * time.Minute
)

// claimTimeout is how long an admission is kept for a caller that does not claim it.
const claimTimeout = 15 * time.Second

// Limiter admits the requests of one connection. K identifies a caller, which makes one call at a time.
// A Limiter is safe for concurrent use.
type Limiter[K comparable] struct {
	limits Limits
	clock  clock.WithDelayedExecution
	// wake is called when the request of a waiting caller is admitted. It must not call back.
	wake  func(K, Class)
	seats *[classes]seats

	mu       sync.Mutex
	requests *rate.Limiter
	files    window
	stores   map[string]*storeQueue
	// blocked are the stores with waiters.
	blocked map[string]*storeQueue
	waiters map[K]*waiter[K]
	// queues hold the waiters of each class whose vector store has capacity.
	queues [classes]list.List
	// admitted are the waiters that were admitted and have not claimed it yet.
	admitted list.List

	inFlight [classes]int
	// concurrencyLimit is the number of requests of a class that can be in flight on this connection. It
	// shrinks while the server does not answer, so that a server that hangs does not take all seats.
	concurrencyLimit [classes]float64
	// seatless is true while the Limiter waits for a seat, and freed is the number of seats to return.
	seatless [classes]bool
	freed    [classes]int

	backoffUntil time.Time
	backoffs     int // in a row
	// probing is true until the server accepts a request after it asked to slow down. Meanwhile one
	// request of each class at a time is sent.
	probing bool

	timer   clock.Timer
	timerAt time.Time
}

// storeQueue is the queue of creates in one vector store.
type storeQueue struct {
	creates window
	queue   list.List
}

// waiter is a caller's position in a queue, and then its call in flight.
type waiter[K comparable] struct {
	key     K
	request Request
	// queue is the list that it is in: that of its store, of its class, or of the admitted; nil while its
	// call is in flight.
	queue      *list.List
	element    *list.Element
	admittedAt time.Time
}

func (t *waiter[K]) moveTo(queue *list.List) {
	if t.queue != nil {
		t.queue.Remove(t.element)
	}
	t.queue, t.element = queue, queue.PushBack(t)
}

func (t *waiter[K]) dequeue() {
	t.queue.Remove(t.element)
	t.queue, t.element = nil, nil
}

// first returns the head of a queue; nil if it is empty.
func (l *Limiter[K]) first(queue *list.List) *waiter[K] {
	if queue.Len() == 0 {
		return nil
	}
	t, _ := queue.Front().Value.(*waiter[K]) // a queue holds nothing else
	return t
}

func newLimiter[K comparable](limits Limits, c clock.WithDelayedExecution, shared *[classes]seats, wake func(K, Class)) *Limiter[K] {
	l := &Limiter[K]{
		limits: limits, clock: c, wake: wake, seats: shared,
		requests: rate.NewLimiter(rate.Limit(limits.RequestsPerSecond), limits.burst()),
		files:    window{limit: limits.FilesPerWindow, length: limits.Window},
		stores:   make(map[string]*storeQueue),
		blocked:  make(map[string]*storeQueue),
		waiters:  make(map[K]*waiter[K]),
	}
	l.concurrencyLimit[Read], l.concurrencyLimit[Write] = l.maxConcurrency(Read), l.maxConcurrency(Write)
	return l
}

// maxConcurrency returns the highest concurrency limit. It leaves some seats to other connections.
func (l *Limiter[K]) maxConcurrency(class Class) float64 {
	all := l.limits.Reads
	if class == Write {
		all = l.limits.Writes
	}
	return max(1, float64(all)*3/4)
}

// Acquire asks to admit a request. If it is admitted, Release must be called after the call. If not,
// the caller is queued, keeps its position however often it asks again, and is woken when the request
// is admitted.
func (l *Limiter[K]) Acquire(key K, request Request) (admission Admission) {
	l.locked(func(now time.Time) {
		t := l.waiters[key]
		if t != nil && t.queue == nil { // its call is in flight
			admission = Saturated
			return
		}
		if t != nil && t.request != request {
			l.drop(t)
			t = nil
		}
		if t == nil {
			t = l.enqueue(key, request)
		}
		l.dispatch(now, t)
		admission = l.admission(t, now)
		if admission == Admitted {
			t.dequeue()
		}
	})
	return admission
}

// admission returns what a waiter waits for.
func (l *Limiter[K]) admission(t *waiter[K], now time.Time) Admission {
	switch {
	case t.queue == &l.admitted:
		return Admitted
	case now.Before(l.backoffUntil):
		return BackedOff
	case t.queue == &l.queues[t.request.Class] && l.affordableAt(l.first(t.queue), now).Equal(now):
		return Saturated
	default:
		return RateLimited
	}
}

// Release reports the outcome of an admitted call.
func (l *Limiter[K]) Release(key K, outcome Outcome) {
	l.locked(func(now time.Time) {
		t := l.waiters[key]
		if t == nil || t.queue != nil {
			return
		}
		if outcome.Unsent {
			l.refund(t)
		} else {
			l.settle(t, now)
		}
		l.remove(t)
		l.report(now, t.request.Class, outcome)
		l.dispatch(now, nil)
	})
}

// Forget removes a caller from its queue, or withdraws its admission. It does not affect a call in
// flight.
func (l *Limiter[K]) Forget(key K) {
	l.locked(func(now time.Time) {
		if t := l.waiters[key]; t != nil && t.queue != nil {
			l.drop(t)
			l.dispatch(now, nil)
		}
	})
}

// Take consumes requests that do not wait for admission. Others wait longer for it.
func (l *Limiter[K]) Take(requests int) {
	l.locked(func(now time.Time) { l.take(now, requests) })
}

// Observe reports the outcome of a call that did not wait for admission.
func (l *Limiter[K]) Observe(outcome Outcome) {
	l.locked(func(now time.Time) {
		l.report(now, classes, outcome)
		l.dispatch(now, nil)
	})
}

// locked calls a function with the lock held, and then returns the seats that it freed.
func (l *Limiter[K]) locked(f func(now time.Time)) {
	l.mu.Lock()
	f(l.clock.Now())
	freed := l.freed
	l.freed = [classes]int{}
	l.mu.Unlock()
	for class, n := range freed {
		for range n {
			l.seats[class].put()
		}
	}
}

// enqueue adds a caller at the end of its queue.
func (l *Limiter[K]) enqueue(key K, request Request) *waiter[K] {
	t := &waiter[K]{key: key, request: request}
	l.waiters[key] = t
	if request.VectorStoreID == "" {
		t.moveTo(&l.queues[request.Class])
		return t
	}
	s := l.stores[request.VectorStoreID]
	if s == nil {
		s = &storeQueue{creates: window{limit: l.limits.CreatesPerWindow, length: l.limits.Window}}
		l.stores[request.VectorStoreID] = s
	}
	t.moveTo(&s.queue)
	l.blocked[request.VectorStoreID] = s
	return t
}

// dispatch admits all waiters that can proceed, and wakes them, except for the one that is asking.
func (l *Limiter[K]) dispatch(now time.Time, asking *waiter[K]) {
	for expired := l.first(&l.admitted); expired != nil && now.Sub(expired.admittedAt) >= claimTimeout; expired = l.first(&l.admitted) {
		l.drop(expired)
	}
	l.files.forget(now)
	for id, s := range l.blocked {
		l.dispatchStore(s, now)
		if s.queue.Len() == 0 {
			delete(l.blocked, id)
		}
	}
	for l.admitNext(now, asking) {
	}
	l.schedule(now)
}

// dispatchStore moves the creates for which the vector store has capacity to the queue of their class.
// They keep that capacity while they wait there.
func (l *Limiter[K]) dispatchStore(s *storeQueue, now time.Time) {
	s.creates.forget(now)
	for t := l.first(&s.queue); t != nil && s.creates.fits(1); t = l.first(&s.queue) {
		s.creates.take(1)
		t.moveTo(&l.queues[t.request.Class])
	}
}

// admitNext admits one waiter that can proceed, and reports whether there was one.
func (l *Limiter[K]) admitNext(now time.Time, asking *waiter[K]) bool {
	if now.Before(l.backoffUntil) {
		return false
	}
	for _, class := range []Class{Write, Read} {
		t := l.first(&l.queues[class])
		if t == nil || !l.affordableAt(t, now).Equal(now) || !l.takeSeat(class) {
			continue
		}
		l.inFlight[class]++
		l.take(now, t.request.Requests)
		l.files.take(t.request.Files)
		t.admittedAt = now
		t.moveTo(&l.admitted)
		if t != asking {
			l.wake(t.key, class)
		}
		return true
	}
	return false
}

// affordableAt returns when the rate limits allow the head of a queue, if no other request comes
// first; zero if that depends on calls in flight.
func (l *Limiter[K]) affordableAt(t *waiter[K], now time.Time) time.Time {
	at := now
	// Half of the burst is reserved for writes.
	needed := 1.0
	if t.request.Class == Read {
		needed += float64(l.limits.burst() / 2)
	}
	if missing := needed - l.requests.TokensAt(now); missing > tolerance {
		at = now.Add(time.Duration(missing / l.limits.RequestsPerSecond * float64(time.Second)))
	}
	if l.files.fits(t.request.Files) {
		return at
	}
	room := l.files.fitsAt(t.request.Files)
	if room.IsZero() || room.After(at) {
		return room
	}
	return at
}

// tolerance allows for the rounding of times.
const tolerance = 1e-6

// take consumes requests, on credit if necessary.
func (l *Limiter[K]) take(now time.Time, requests int) {
	for range requests {
		l.requests.ReserveN(now, 1)
	}
}

// takeSeat takes a seat for a request of a class, and reports whether there was one.
func (l *Limiter[K]) takeSeat(class Class) bool {
	width := int(l.concurrencyLimit[class])
	if l.probing {
		width = 1
	}
	if l.inFlight[class] >= width || l.seatless[class] {
		return false
	}
	took := l.seats[class].take(func() {
		l.locked(func(now time.Time) {
			l.seatless[class] = false
			l.dispatch(now, nil)
		})
	})
	l.seatless[class] = !took
	return took
}

// drop removes a waiter from whatever list it is in.
func (l *Limiter[K]) drop(t *waiter[K]) {
	switch t.queue {
	case &l.admitted:
		l.refund(t)
		t.dequeue()
		l.remove(t)
		return
	case &l.queues[t.request.Class]:
		if s := l.stores[t.request.VectorStoreID]; s != nil {
			s.creates.put(1)
		}
	}
	t.dequeue()
	delete(l.waiters, t.key)
}

// refund returns what a request took from the limits.
func (l *Limiter[K]) refund(t *waiter[K]) {
	l.files.put(t.request.Files)
	if s := l.stores[t.request.VectorStoreID]; s != nil {
		s.creates.put(1)
	}
}

// settle starts the time for which a request counts against the limits.
func (l *Limiter[K]) settle(t *waiter[K], now time.Time) {
	if t.request.Files > 0 {
		l.files.settle(now, t.request.Files)
	}
	if s := l.stores[t.request.VectorStoreID]; s != nil {
		s.creates.settle(now, 1)
	}
}

// remove removes a waiter, and frees its seat.
func (l *Limiter[K]) remove(t *waiter[K]) {
	delete(l.waiters, t.key)
	l.inFlight[t.request.Class]--
	l.freed[t.request.Class]++
}

// report adapts the back-off and the concurrency limit to the outcome of a call.
func (l *Limiter[K]) report(now time.Time, class Class, outcome Outcome) {
	backedOff := now.Before(l.backoffUntil)
	switch {
	case outcome.Unsent:
	case outcome.TooManyRequests:
		if !backedOff { // calls in flight when the back-off began are no new evidence
			l.backoffs++
		}
		wait := outcome.RetryAfter
		if wait <= 0 {
			wait = min(maxBackoff, minBackoff<<min(l.backoffs-1, 10))
		}
		if until := now.Add(wait); until.After(l.backoffUntil) {
			l.backoffUntil = until
		}
		l.probing = true
	case outcome.Unanswered && class < classes:
		l.concurrencyLimit[class] = max(1, l.concurrencyLimit[class]/2)
	case !outcome.Unanswered && !backedOff:
		l.backoffs, l.probing = 0, false
	}
	if answered := !outcome.Unsent && !outcome.Unanswered; answered && class < classes {
		l.concurrencyLimit[class] = min(l.maxConcurrency(class), l.concurrencyLimit[class]+1)
	}
}

// schedule sets the timer for the next admission.
func (l *Limiter[K]) schedule(now time.Time) {
	at := l.nextAdmission(now)
	switch {
	case at.IsZero():
		return
	case !at.After(now):
		at = now.Add(time.Millisecond)
	}
	if l.timer != nil {
		if !at.Before(l.timerAt) {
			return
		}
		l.timer.Stop()
	}
	l.timerAt = at
	var timer clock.Timer
	timer = l.clock.AfterFunc(at.Sub(now), func() {
		l.locked(func(now time.Time) {
			if l.timer == timer {
				l.timer = nil
			}
			l.dispatch(now, nil)
		})
	})
	l.timer = timer
}

// nextAdmission returns when time alone can admit a waiter; zero if it cannot.
func (l *Limiter[K]) nextAdmission(now time.Time) (at time.Time) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, s := range l.blocked {
		sooner(s.creates.fitsAt(1))
	}
	for class := range l.queues {
		t := l.first(&l.queues[class])
		switch {
		case t == nil:
		case now.Before(l.backoffUntil):
			sooner(l.backoffUntil)
		default:
			// A waiter that the limits allow now waits for a seat, and time provides none.
			if at := l.affordableAt(t, now); at.After(now) {
				sooner(at)
			}
		}
	}
	if t := l.first(&l.admitted); t != nil {
		sooner(t.admittedAt.Add(claimTimeout))
	}
	return at
}

// idle reports whether the Limiter can be dropped without losing anything. It also drops the state of
// vector stores that no longer counts.
func (l *Limiter[K]) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	l.files.forget(now)
	for id, s := range l.stores {
		s.creates.forget(now)
		if s.creates.empty() && s.queue.Len() == 0 {
			delete(l.stores, id)
		}
	}
	return len(l.waiters) == 0 && len(l.stores) == 0 && l.files.empty() && !now.Before(l.backoffUntil)
}
