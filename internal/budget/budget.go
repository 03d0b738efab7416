// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package budget paces the calls to the upstream, so that none meets a 429 that could have been
// foreseen. Who has to wait stands in a line, not in a worker: it is told when its turn comes.
package budget

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// Class sorts calls by how long they can wait. A cancel is of no class: it does not wait.
type Class int

const (
	// Look is a call that changes nothing.
	Look Class = iota
	// Change is a call that does, but for a cancel. It goes before looks.
	Change
	classes
)

// Limits are those of one connection, and the places that all connections share.
type Limits struct {
	// RequestsPerSecond is how many requests are sent a second, for whatever purpose.
	RequestsPerSecond float64
	// CreatesPerWindow is how many batches are created in one vector store within any Window.
	CreatesPerWindow int
	// FilesPerWindow is how many files are attached in all within any Window.
	FilesPerWindow int
	// Window is the upstream's minute.
	Window time.Duration
	// Looks and Changes are how many calls of these classes are under way at a time, over all
	// connections.
	Looks, Changes int
}

// DefaultLimits are the documented limits of the upstream, but for RequestsPerSecond, of which
// nothing is documented. There are places for 64 workers.
func DefaultLimits() Limits {
	return Limits{RequestsPerSecond: 50, CreatesPerWindow: 300, FilesPerWindow: 2000, Window: time.Minute}.ForWorkers(64)
}

// ForWorkers gives limits with so many places that a quarter of the workers is left for
// cancels, whatever the others wait for.
func (l Limits) ForWorkers(n int) Limits {
	l.Looks = max(1, n*3/8)
	l.Changes = max(1, n*3/8)
	return l
}

// burst is how many requests may be sent at once after a pause.
func (l Limits) burst() int { return max(2, int(2*l.RequestsPerSecond)) }

// Call is what somebody wants to do.
type Call struct {
	Class Class
	// Requests is how many requests it takes; at least one.
	Requests int
	// VectorStoreID is set for a create, and Files is how many files that attaches.
	VectorStoreID string
	Files         int
}

// Verdict answers who asks for a turn.
type Verdict int

const (
	// Granted lets the call be made at once.
	Granted Verdict = iota
	// Busy makes it wait for other calls to end.
	Busy
	// Paced makes it wait for the limits.
	Paced
	// Held makes it wait since the upstream asked to slow down.
	Held
)

// Outcome is what became of a call.
type Outcome struct {
	// Unsent tells that no request was sent after all.
	Unsent bool
	// Unanswered tells that no answer came.
	Unanswered bool
	// RateLimited tells that the answer was to slow down, and RetryAfter for how long; zero
	// where it did not say.
	RateLimited bool
	RetryAfter  time.Duration
}

// Waits without a Retry-After double from the first of these to the second.
const (
	minHold = time.Second
	maxHold = 5 * time.Minute
)

// claimTimeout is how long a turn is kept for somebody who does not come.
const claimTimeout = 15 * time.Second

// Budget paces the calls on one connection. K names who calls, and calls one thing at a time. It
// is safe for concurrent use.
type Budget[K comparable] struct {
	limits Limits
	clock  clock.WithDelayedExecution
	// wake tells somebody that its turn has come. It must not call back.
	wake   func(K, Class)
	places *[classes]places

	mu       sync.Mutex
	requests *rate.Limiter
	files    window
	stores   map[string]*storeLine
	// blocked are the stores with a line before them.
	blocked map[string]*storeLine
	tickets map[K]*ticket[K]
	// lines are those who wait for all but a vector store.
	lines [classes]list.List
	// called are those whose turn has come, and who have not come yet.
	called list.List

	underWay [classes]int
	// width is how many calls of a class may be under way on this connection. It shrinks while
	// no answers come, so that an upstream that hangs does not take all places.
	width [classes]float64
	// starved tells that the budget waits for a place, and freed how many it gives back.
	starved [classes]bool
	freed   [classes]int

	heldUntil time.Time
	holds     int // in a row
	// careful tells that the upstream has taken nothing since it asked to slow down: one call of a
	// class at a time is enough to find out whether it does.
	careful bool

	alarm   clock.Timer
	alarmAt time.Time
}

// storeLine is the line before one vector store.
type storeLine struct {
	creates window
	line    list.List
}

// ticket is somebody's place in a line, then its turn.
type ticket[K comparable] struct {
	who  K
	call Call
	// line is where it stands: before its store, in the line of its class, or among those who
	// were called; nil once its call is under way.
	line     *list.List
	place    *list.Element
	calledAt time.Time
}

func (t *ticket[K]) join(line *list.List) {
	if t.line != nil {
		t.line.Remove(t.place)
	}
	t.line, t.place = line, line.PushBack(t)
}

func (t *ticket[K]) leave() {
	t.line.Remove(t.place)
	t.line, t.place = nil, nil
}

// first is who stands at the head of a line; nil where nobody does.
func (b *Budget[K]) first(line *list.List) *ticket[K] {
	if line.Len() == 0 {
		return nil
	}
	t, _ := line.Front().Value.(*ticket[K]) // a line holds nothing else
	return t
}

func newBudget[K comparable](limits Limits, c clock.WithDelayedExecution, shared *[classes]places, wake func(K, Class)) *Budget[K] {
	b := &Budget[K]{
		limits: limits, clock: c, wake: wake, places: shared,
		requests: rate.NewLimiter(rate.Limit(limits.RequestsPerSecond), limits.burst()),
		files:    window{limit: limits.FilesPerWindow, length: limits.Window},
		stores:   make(map[string]*storeLine),
		blocked:  make(map[string]*storeLine),
		tickets:  make(map[K]*ticket[K]),
	}
	b.width[Look], b.width[Change] = b.widest(Look), b.widest(Change)
	return b
}

// widest leaves some places for other connections.
func (b *Budget[K]) widest(class Class) float64 {
	all := b.limits.Looks
	if class == Change {
		all = b.limits.Changes
	}
	return max(1, float64(all)*3/4)
}

// Ask asks for a turn. Where it is granted, Done must be called once the call was made. Where it
// is not, the caller stands in line from now on, keeps its place however often it asks again, and
// is woken when its turn has come.
func (b *Budget[K]) Ask(who K, call Call) (verdict Verdict) {
	b.locked(func(now time.Time) {
		t := b.tickets[who]
		if t != nil && t.line == nil { // its call is under way
			verdict = Busy
			return
		}
		if t != nil && t.call != call {
			b.drop(t)
			t = nil
		}
		if t == nil {
			t = b.join(who, call)
		}
		b.proceed(now, t)
		verdict = b.verdict(t, now)
		if verdict == Granted {
			t.leave()
		}
	})
	return verdict
}

// verdict says what somebody waits for.
func (b *Budget[K]) verdict(t *ticket[K], now time.Time) Verdict {
	switch {
	case t.line == &b.called:
		return Granted
	case now.Before(b.heldUntil):
		return Held
	case t.line == &b.lines[t.call.Class] && b.affordableAt(b.first(t.line), now).Equal(now):
		return Busy
	default:
		return Paced
	}
}

// Done says what became of a call that was granted.
func (b *Budget[K]) Done(who K, outcome Outcome) {
	b.locked(func(now time.Time) {
		t := b.tickets[who]
		if t == nil || t.line != nil {
			return
		}
		if outcome.Unsent {
			b.refund(t)
		} else {
			b.settle(t, now)
		}
		b.release(t)
		b.report(now, t.call.Class, outcome)
		b.proceed(now, nil)
	})
}

// Leave gives up a place in line, or a turn. A call that is under way is not concerned.
func (b *Budget[K]) Leave(who K) {
	b.locked(func(now time.Time) {
		if t := b.tickets[who]; t != nil && t.line != nil {
			b.drop(t)
			b.proceed(now, nil)
		}
	})
}

// Spend takes requests that do not wait for their turn. Others wait the longer for it.
func (b *Budget[K]) Spend(requests int) {
	b.locked(func(now time.Time) { b.spend(now, requests) })
}

// Report says what became of a call that was not asked for.
func (b *Budget[K]) Report(outcome Outcome) {
	b.locked(func(now time.Time) {
		b.report(now, classes, outcome)
		b.proceed(now, nil)
	})
}

// locked calls a function with the lock held, and then gives back the places that it freed.
func (b *Budget[K]) locked(f func(now time.Time)) {
	b.mu.Lock()
	f(b.clock.Now())
	freed := b.freed
	b.freed = [classes]int{}
	b.mu.Unlock()
	for class, n := range freed {
		for range n {
			b.places[class].giveBack()
		}
	}
}

// join puts a newcomer at the end of its line.
func (b *Budget[K]) join(who K, call Call) *ticket[K] {
	t := &ticket[K]{who: who, call: call}
	b.tickets[who] = t
	if call.VectorStoreID == "" {
		t.join(&b.lines[call.Class])
		return t
	}
	s := b.stores[call.VectorStoreID]
	if s == nil {
		s = &storeLine{creates: window{limit: b.limits.CreatesPerWindow, length: b.limits.Window}}
		b.stores[call.VectorStoreID] = s
	}
	t.join(&s.line)
	b.blocked[call.VectorStoreID] = s
	return t
}

// proceed calls all those whose turn has come, and wakes them, but for the one who is asking.
func (b *Budget[K]) proceed(now time.Time, asking *ticket[K]) {
	for late := b.first(&b.called); late != nil && now.Sub(late.calledAt) >= claimTimeout; late = b.first(&b.called) {
		b.drop(late)
	}
	b.files.forget(now)
	for id, s := range b.blocked {
		b.pass(s, now)
		if s.line.Len() == 0 {
			delete(b.blocked, id)
		}
	}
	for b.callNext(now, asking) {
	}
	b.setAlarm(now)
}

// pass lets those through for whom the vector store has room. They keep it while they wait for
// the rest.
func (b *Budget[K]) pass(s *storeLine, now time.Time) {
	s.creates.forget(now)
	for t := b.first(&s.line); t != nil && s.creates.fits(1); t = b.first(&s.line) {
		s.creates.take(1)
		t.join(&b.lines[t.call.Class])
	}
}

// callNext calls one whose turn has come, if there is any.
func (b *Budget[K]) callNext(now time.Time, asking *ticket[K]) bool {
	if now.Before(b.heldUntil) {
		return false
	}
	for _, class := range []Class{Change, Look} {
		t := b.first(&b.lines[class])
		if t == nil || !b.affordableAt(t, now).Equal(now) || !b.takePlace(class) {
			continue
		}
		b.underWay[class]++
		b.spend(now, t.call.Requests)
		b.files.take(t.call.Files)
		t.calledAt = now
		t.join(&b.called)
		if t != asking {
			b.wake(t.who, class)
		}
		return true
	}
	return false
}

// affordableAt is when the first in a line can go, if nobody else does; zero where that depends
// on calls that are under way.
func (b *Budget[K]) affordableAt(t *ticket[K], now time.Time) time.Time {
	at := now
	// Half of the burst is left to changes, however many looks there are.
	needed := 1.0
	if t.call.Class == Look {
		needed += float64(b.limits.burst() / 2)
	}
	if missing := needed - b.requests.TokensAt(now); missing > tolerance {
		at = now.Add(time.Duration(missing / b.limits.RequestsPerSecond * float64(time.Second)))
	}
	if b.files.fits(t.call.Files) {
		return at
	}
	room := b.files.roomAt(t.call.Files)
	if room.IsZero() || room.After(at) {
		return room
	}
	return at
}

// tolerance is for the rounding of times.
const tolerance = 1e-6

// spend takes requests, on credit if need be.
func (b *Budget[K]) spend(now time.Time, requests int) {
	for range requests {
		b.requests.ReserveN(now, 1)
	}
}

// takePlace takes a place for a call of a class.
func (b *Budget[K]) takePlace(class Class) bool {
	width := int(b.width[class])
	if b.careful {
		width = 1
	}
	if b.underWay[class] >= width || b.starved[class] {
		return false
	}
	took := b.places[class].take(func() {
		b.locked(func(now time.Time) {
			b.starved[class] = false
			b.proceed(now, nil)
		})
	})
	b.starved[class] = !took
	return took
}

// drop takes somebody out, wherever it stands.
func (b *Budget[K]) drop(t *ticket[K]) {
	switch t.line {
	case &b.called:
		b.refund(t)
		t.leave()
		b.release(t)
		return
	case &b.lines[t.call.Class]:
		if s := b.stores[t.call.VectorStoreID]; s != nil {
			s.creates.giveBack(1)
		}
	}
	t.leave()
	delete(b.tickets, t.who)
}

// refund gives back what a call would have taken from the limits.
func (b *Budget[K]) refund(t *ticket[K]) {
	b.files.giveBack(t.call.Files)
	if s := b.stores[t.call.VectorStoreID]; s != nil {
		s.creates.giveBack(1)
	}
}

// settle says that what a call takes from the limits was taken.
func (b *Budget[K]) settle(t *ticket[K], now time.Time) {
	if t.call.Files > 0 {
		b.files.settle(now, t.call.Files)
	}
	if s := b.stores[t.call.VectorStoreID]; s != nil {
		s.creates.settle(now, 1)
	}
}

// release ends what a ticket stands for.
func (b *Budget[K]) release(t *ticket[K]) {
	delete(b.tickets, t.who)
	b.underWay[t.call.Class]--
	b.freed[t.call.Class]++
}

// report learns from what became of a call.
func (b *Budget[K]) report(now time.Time, class Class, outcome Outcome) {
	held := now.Before(b.heldUntil)
	switch {
	case outcome.Unsent:
	case outcome.RateLimited:
		if !held { // what was under way when the hold began tells nothing new
			b.holds++
		}
		wait := outcome.RetryAfter
		if wait <= 0 {
			wait = min(maxHold, minHold<<min(b.holds-1, 10))
		}
		if until := now.Add(wait); until.After(b.heldUntil) {
			b.heldUntil = until
		}
		b.careful = true
	case outcome.Unanswered && class < classes:
		b.width[class] = max(1, b.width[class]/2)
	case !outcome.Unanswered && !held:
		b.holds, b.careful = 0, false
	}
	if answered := !outcome.Unsent && !outcome.Unanswered; answered && class < classes {
		b.width[class] = min(b.widest(class), b.width[class]+1)
	}
}

// setAlarm makes sure that the next turn is not missed.
func (b *Budget[K]) setAlarm(now time.Time) {
	at := b.nextTurn(now)
	switch {
	case at.IsZero():
		return
	case !at.After(now):
		at = now.Add(time.Millisecond)
	}
	if b.alarm != nil {
		if !at.Before(b.alarmAt) {
			return
		}
		b.alarm.Stop()
	}
	b.alarmAt = at
	var alarm clock.Timer
	alarm = b.clock.AfterFunc(at.Sub(now), func() {
		b.locked(func(now time.Time) {
			if b.alarm == alarm {
				b.alarm = nil
			}
			b.proceed(now, nil)
		})
	})
	b.alarm = alarm
}

// nextTurn is when time alone may let somebody go; zero where it lets nobody.
func (b *Budget[K]) nextTurn(now time.Time) (at time.Time) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, s := range b.blocked {
		sooner(s.creates.roomAt(1))
	}
	for class := range b.lines {
		t := b.first(&b.lines[class])
		switch {
		case t == nil:
		case now.Before(b.heldUntil):
			sooner(b.heldUntil)
		default:
			// Who could go now waits for a place, and time gives none.
			if turn := b.affordableAt(t, now); turn.After(now) {
				sooner(turn)
			}
		}
	}
	if t := b.first(&b.called); t != nil {
		sooner(t.calledAt.Add(claimTimeout))
	}
	return at
}

// idle reports whether nothing would be lost with the budget. It also drops what it keeps of
// vector stores in vain.
func (b *Budget[K]) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	b.files.forget(now)
	for id, s := range b.stores {
		s.creates.forget(now)
		if s.creates.empty() && s.line.Len() == 0 {
			delete(b.stores, id)
		}
	}
	return len(b.tickets) == 0 && len(b.stores) == 0 && b.files.empty() && !now.Before(b.heldUntil)
}
