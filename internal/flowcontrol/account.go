// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

import "time"

// account is what the limits of creates and files are counted in: the connections of an organization,
// or a connection whose organization is not known.
type account struct {
	// organization is empty if it is not known.
	organization string
	files        window
	// stores are the creates of each vector store.
	stores   map[string]*window
	limiters map[*limiter]struct{}
	// clock orders the flows by the files that they attach.
	clock shareClock
	alarm alarm
}

func newAccount(limits Limits, organization string) *account {
	return &account{
		organization: organization,
		files:        window{limit: limits.FilesPerWindow, length: limits.Window},
		stores:       make(map[string]*window),
		limiters:     make(map[*limiter]struct{}),
	}
}

// creates returns the window of a vector store.
func (a *account) creates(limits Limits, id string) *window {
	w := a.stores[id]
	if w == nil {
		w = &window{limit: limits.CreatesPerWindow, length: limits.Window}
		a.stores[id] = w
	}
	return w
}

// next returns the create that is next, among those that can take a seat and are not held by the limits
// of their connection: that of the flow which has attached the fewest files. Its files may not fit yet.
// gated is called for each connection that is held, and saturated for each namespace without a seat.
func (a *account) next(now time.Time, s *seats, gated func(*limiter, time.Time), saturated func(*namespace)) (best *waiter) {
	a.files.forget(now)
	for l := range a.limiters {
		if l.waiting[Create] == 0 {
			continue
		}
		if admission, until := l.gate(Create, now); admission != Admitted {
			gated(l, until)
			continue
		}
		for _, f := range l.flows {
			if !f.waits(Create) {
				continue
			}
			if !s.permits(f, writeLevel) {
				saturated(f.namespace)
				continue
			}
			if w := f.first(Create, now); w != nil && (best == nil || w.attachesBefore(best)) {
				best = w
			}
		}
	}
	return best
}

// attachesBefore reports whether a create comes before that of another flow.
func (w *waiter) attachesBefore(other *waiter) bool {
	a, b := w.flow.files.time, other.flow.files.time
	return a < b || a == b && w.arrival < other.arrival
}

// fits reports whether the create that is next does not wait for the limit of files.
func (a *account) fits(now time.Time, s *seats) bool {
	w := a.next(now, s, func(*limiter, time.Time) {}, func(*namespace) {})
	return w == nil || a.files.fits(w.request.Files)
}

// take counts a create that is admitted.
func (a *account) take(request Request) {
	a.files.take(request.Files)
	a.stores[request.VectorStoreID].take(1)
}

// settle starts the time for which an admitted create counts, or ends it if nothing happened.
func (a *account) settle(request Request, now time.Time, happened bool) {
	creates := a.stores[request.VectorStoreID]
	if happened {
		a.files.settle(now, request.Files)
		creates.settle(now, 1)
		return
	}
	a.files.put(request.Files)
	creates.put(1)
}

// nextChange returns when time alone allows a create that waits for its vector store, or the one that
// is next; zero if it does not.
func (a *account) nextChange(now time.Time, next *waiter) (at time.Time) {
	if next != nil {
		at = a.files.fitsAt(next.request.Files)
	}
	for l := range a.limiters {
		for _, f := range l.flows {
			for id := range f.creates {
				if t := a.stores[id].opensAt(now); at.IsZero() || !t.IsZero() && t.Before(at) {
					at = t
				}
			}
		}
	}
	return at
}

// merge moves what another account counts, and its connections, into this one.
func (a *account) merge(other *account) {
	a.files.merge(other.files)
	for id, creates := range other.stores {
		if mine := a.stores[id]; mine != nil {
			mine.merge(*creates)
		} else {
			a.stores[id] = creates
		}
	}
	for l := range other.limiters {
		l.account = a
		a.limiters[l] = struct{}{}
	}
	clear(other.limiters)
}

// idle reports whether nothing counts: a create counts for its files as long as for its vector store. It
// drops the vector stores for which nothing does.
func (a *account) idle(now time.Time) bool {
	for id, creates := range a.stores {
		creates.forget(now)
		if creates.empty() {
			delete(a.stores, id)
		}
	}
	return len(a.stores) == 0
}
