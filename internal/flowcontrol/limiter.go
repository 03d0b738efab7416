// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

import "time"

// limiter is the state of one connection: its rate, its back-offs, and who waits.
type limiter struct {
	baseURL  string
	tokens   tokens
	backoffs [classes]backoff
	account  *account
	// flows are the namespaces that use the connection.
	flows map[string]*flow
	// waiting is the number of calls that are queued, and inFlight of those that are admitted or sent.
	waiting, inFlight [classes]int
	// writes orders creates and detaches by their requests.
	writes      shareClock
	writeShares [classes]share
	alarm       alarm
	usedAt      time.Time
}

// flow is one namespace's use of one connection.
type flow struct {
	limiter   *limiter
	namespace *namespace
	// queues are those of each class, and creates those of each vector store.
	queues  [classes]queue
	creates map[string]*queue
	// files orders the creates of an account's flows by the files that they attach.
	files share
	// used is the number of its seats, and served when it last took one.
	used   [levels]int
	served [levels]uint64
}

// gate returns why calls of a class cannot be sent now, and until when; zero if that depends on a call
// in flight.
func (l *limiter) gate(class Class, now time.Time) (Admission, time.Time) {
	b := &l.backoffs[class]
	switch at := l.tokens.availableAt(now, class.level()); {
	case b.holds(now):
		return BackedOff, b.until
	case b.active() && l.inFlight[class] > 0: // one call at a time finds out whether the server still refuses
		return BackedOff, time.Time{}
	case at.After(now):
		return RateLimited, at
	}
	return Admitted, now
}

// first returns the first call of a class. For creates, it is that of a vector store whose limit allows
// one.
func (f *flow) first(class Class, now time.Time) *waiter {
	if class != Create {
		return f.queues[class].first()
	}
	var first *waiter
	for id, q := range f.creates {
		creates := f.limiter.account.stores[id]
		creates.forget(now)
		if w := q.first(); (first == nil || w.arrival < first.arrival) && creates.fits(1) {
			first = w
		}
	}
	return first
}

// add adds a call to its queue.
func (f *flow) add(w *waiter) {
	q := &f.queues[w.request.Class]
	if id := w.request.VectorStoreID; w.request.Class == Create {
		if q = f.creates[id]; q == nil {
			q = &queue{}
			f.creates[id] = q
		}
	}
	q.add(w)
}

// remove removes a call from its queue.
func (f *flow) remove(w *waiter) {
	q := w.queue
	q.remove(w)
	if w.request.Class == Create && q.first() == nil {
		delete(f.creates, w.request.VectorStoreID)
	}
}

// waits reports whether a call of a class is queued.
func (f *flow) waits(class Class) bool {
	return f.queues[class].first() != nil || class == Create && len(f.creates) > 0
}

// idle reports whether the connection's state can be dropped without losing anything.
func (l *limiter) idle(now time.Time) bool {
	return len(l.flows) == 0 && now.Sub(l.usedAt) >= idleLifetime && (l.account.organization != "" || l.account.idle(now))
}

// idle reports whether the flow has no call.
func (f *flow) idle() bool {
	return f.used == [levels]int{} && f.limiter.waiting == [classes]int{}
}
