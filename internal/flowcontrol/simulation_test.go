// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// simulatedClock runs functions at simulated times, in one goroutine.
type simulatedClock struct {
	clock.WithDelayedExecution

	now    time.Time
	events eventHeap
	seq    int
}

type event struct {
	clock.Timer

	at      time.Time
	seq     int
	f       func()
	stopped bool
}

func (e *event) Stop() bool { e.stopped = true; return true }

func newSimulatedClock() *simulatedClock { return &simulatedClock{now: time.Unix(1e9, 0)} }

func (c *simulatedClock) Now() time.Time { return c.now }

func (c *simulatedClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	c.seq++
	e := &event{at: c.now.Add(max(0, d)), seq: c.seq, f: f}
	heap.Push(&c.events, e)
	return e
}

// run runs the next function, and reports whether there was one before the end.
func (c *simulatedClock) run(end time.Time) bool {
	for c.events.Len() > 0 && !c.events[0].at.After(end) {
		e, _ := heap.Pop(&c.events).(*event)
		if e.stopped {
			continue
		}
		c.now = e.at
		e.f()
		return true
	}
	c.now = end
	return false
}

type eventHeap []*event

func (h eventHeap) Len() int      { return len(h) }
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at.Before(h[j].at) || h[i].at.Equal(h[j].at) && h[i].seq < h[j].seq
}
func (h *eventHeap) Push(x any) { e, _ := x.(*event); *h = append(*h, e) }
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}

// requestTimeout bounds the calls of a simulation, and so a seat's turn.
const requestTimeout = 30 * time.Second

// behavior is how a server answers at present.
type behavior struct {
	// minLatency and maxLatency are those of its answers. It hangs if they reach requestTimeout.
	minLatency, maxLatency time.Duration
	// refuse is the share of calls that it answers with 429, and reject that of other refusals.
	refuse, reject float64
	retryAfter     time.Duration
	// refused is the class that refuse is limited to; all if it is classes.
	refused Class
}

// server is an API server of a history, and what it counts.
type server struct {
	connection upstream.Connection
	// organization is reported if it is not empty.
	organization string
	behavior     behavior
	// backoffs is a model of each class's back-off.
	backoffs [classes]modelBackoff
	// creates are the creates that took effect.
	creates []counted
	// requests is the number of requests that are not urgent.
	requests int
}

// counted is a create that a server counts, at a time between its request and its response.
type counted struct {
	from, to time.Time
	store    string
	files    int
}

// modelBackoff is what the back-off of a class has to be.
type modelBackoff struct {
	refusals int
	// since is when the last refusal came that is new evidence, and until when no call can be sent.
	since, until time.Time
}

// work is what an object wants to do.
type work int

const (
	pollWork work = iota
	createWork
	recreateWork // verifies before it creates
	cancelWork
	detachWork
)

// object is an object of a history.
type object struct {
	caller  Caller
	server  *server
	work    work
	store   string
	files   int
	calls   int // left to make
	since   time.Time
	order   int // of the first request for the present work
	waiting bool
	// asleep is true if the object misses its wake-ups until its next reconciliation by time.
	asleep     bool
	verified   bool
	inCall     bool
	queuedFor  Class
	reconciled *event
}

// history is a random history of tenants and their servers.
type history struct {
	*rand.Rand
	clock    *simulatedClock
	limiters *Limiters
	limits   Limits
	servers  []*server
	objects  map[Caller]*object
	order    int
	// healthy is true in the last part, in which everything must be done.
	healthy  bool
	limited  map[waitKey]rateWait
	failures []string
	events   int
}

func (h *history) failf(format string, args ...any) {
	if len(h.failures) < 5 {
		h.failures = append(h.failures, h.clock.now.Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

func newHistory(seed uint64) *history {
	h := &history{
		Rand: rand.New(rand.NewPCG(seed, 1)), clock: newSimulatedClock(),
		objects: make(map[Caller]*object), limited: make(map[waitKey]rateWait),
	}
	h.limits = DefaultLimits()
	if h.IntN(2) == 0 {
		h.limits = Limits{RequestsPerSecond: 1 + 20*h.Float64(), CreatesPerWindow: 1 + h.IntN(5), FilesPerWindow: 1 + h.IntN(200), Window: 10 * time.Second}
		h.limits = h.limits.WithWorkers(4 + h.IntN(61))
	}
	h.limiters = New(h.limits, h.clock, h.woken)
	for i := range 1 + h.IntN(4) {
		s := &server{connection: upstream.Connection{BaseURL: fmt.Sprint("https://server-", i/2), APIKey: fmt.Sprint("key-", i)}, behavior: healthyBehavior}
		if h.IntN(2) == 0 {
			s.organization = "org"
		}
		h.servers = append(h.servers, s)
	}
	for i := range 1 + h.IntN(4) {
		h.newTenant(fmt.Sprint("ns-", i))
	}
	return h
}

var healthyBehavior = behavior{minLatency: 20 * time.Millisecond, maxLatency: 500 * time.Millisecond, refused: classes}

// newTenant adds a namespace with objects.
func (h *history) newTenant(name string) {
	objects := 1 + h.IntN(3)
	if h.IntN(3) == 0 {
		objects = 1 + h.IntN(25) // floods
	}
	main := work(h.IntN(5))
	for i := range objects {
		o := &object{
			caller: Caller{NamespacedName: types.NamespacedName{Namespace: name, Name: fmt.Sprint(i)}, UID: types.UID(fmt.Sprint(name, i))},
			server: h.servers[h.IntN(len(h.servers))],
			work:   main, store: fmt.Sprint("vs-", h.IntN(3)), calls: 1 + h.IntN(2),
			files: 1 + h.IntN(h.limits.FilesPerWindow)/(1+h.IntN(4)),
		}
		if h.IntN(3) == 0 {
			o.work = work(h.IntN(5))
		}
		h.objects[o.caller] = o
		h.after(time.Duration(h.IntN(10_000))*time.Millisecond, o)
	}
}

// after reconciles an object after a while.
func (h *history) after(d time.Duration, o *object) {
	if o.reconciled != nil {
		o.reconciled.Stop()
	}
	o.reconciled, _ = h.clock.AfterFunc(d, func() { h.reconcile(o) }).(*event)
}

// woken is called by the Limiters.
func (h *history) woken(id Caller, class Class) {
	o := h.objects[id]
	h.admittedTo(o, class)
	if !o.inCall && !o.asleep {
		h.after(time.Duration(h.IntN(50))*time.Millisecond, o)
	}
}

// request returns the object's next request.
func (o *object) request() Request {
	switch o.work {
	case createWork:
		return Request{Class: Create, Requests: 1, VectorStoreID: o.store, Files: o.files}
	case recreateWork:
		if !o.verified {
			return Request{Class: Read, Requests: min(3, o.files)}
		}
		return Request{Class: Create, Requests: 1, VectorStoreID: o.store, Files: o.files}
	case cancelWork:
		return Request{Class: Urgent, Requests: 1}
	case detachWork:
		return Request{Class: Detach, Requests: 25}
	case pollWork:
	}
	return Request{Class: Read, Requests: 1}
}

// reconcile makes the object's next call, if it is admitted.
func (h *history) reconcile(o *object) {
	if o.calls == 0 || o.inCall {
		return
	}
	o.asleep = false
	if o.order == 0 {
		h.order++
		o.order, o.since = h.order, h.clock.now
	}
	if !o.waiting {
		o.verified = false
	}
	h.call(o)
}

// call asks for the object's next call, and makes it.
func (h *history) call(o *object) {
	request := o.request()
	o.queuedFor, o.waiting = request.Class, true
	admission, _ := h.limiters.Acquire(o.caller, o.server.connection, request)
	if admission != Admitted {
		h.checkWaiting(o, request, admission)
		o.verified = false // the next reconciliation starts from the beginning
		o.asleep = h.IntN(20) == 0
		h.after(time.Minute, o)
		return
	}
	h.checkAdmitted(o, request)
	o.inCall = true
	if h.IntN(30) == 0 && !h.healthy { // a conflict before anything was sent
		h.end(o, request, Outcome{Unsent: true}, h.clock.now)
		return
	}
	latency, outcome := h.answer(o.server, request.Class)
	sent := h.clock.now
	h.clock.AfterFunc(latency, func() { h.end(o, request, outcome, sent) })
}

// answer returns how a server answers a call, and when.
func (h *history) answer(s *server, class Class) (time.Duration, Outcome) {
	b := s.behavior
	latency := b.minLatency + time.Duration(h.Int64N(int64(max(1, b.maxLatency-b.minLatency))))
	switch {
	case latency >= requestTimeout:
		return requestTimeout, Outcome{Unanswered: true}
	case h.Float64() < b.refuse && (b.refused == classes || b.refused == class):
		return latency, Outcome{Refused: true, TooManyRequests: true, RetryAfter: b.retryAfter}
	case h.Float64() < b.reject:
		return latency, Outcome{Refused: true, Organization: s.organization}
	}
	return latency, Outcome{Organization: s.organization}
}

// end ends a call, and the reconciliation unless another call follows.
func (h *history) end(o *object, request Request, outcome Outcome, sent time.Time) {
	o.inCall = false
	h.observe(o.server, request, outcome, sent)
	h.limiters.Report(o.caller, outcome)
	succeeded := !outcome.Unsent && !outcome.Unanswered && !outcome.TooManyRequests
	if o.work == recreateWork && request.Class == Read && succeeded {
		o.verified = true
		h.call(o)
		if !o.inCall {
			h.limiters.Release(o.caller)
		}
		return
	}
	h.limiters.Release(o.caller)
	if !outcome.Unsent {
		o.order, o.waiting, o.verified = 0, false, false
		h.limiters.Forget(o.caller)
		if succeeded {
			o.calls--
		}
	}
	h.after(time.Duration(h.IntN(5000))*time.Millisecond, o)
	h.checkQuiescent()
}

// disturb changes how a server answers.
func (h *history) disturb() {
	s := h.servers[h.IntN(len(h.servers))]
	s.behavior = healthyBehavior
	switch h.IntN(6) {
	case 0: // hangs
		s.behavior.minLatency, s.behavior.maxLatency = requestTimeout, requestTimeout+1
	case 1: // is slow
		s.behavior.minLatency, s.behavior.maxLatency = time.Second, requestTimeout-time.Second
	case 2: // loses some answers
		s.behavior.maxLatency = requestTimeout * 11 / 10
	case 3:
		s.behavior.refuse, s.behavior.refused = 1, Class(h.IntN(int(classes)+1))
		s.behavior.retryAfter = []time.Duration{0, time.Second, 20 * time.Second, 24 * time.Hour}[h.IntN(4)]
	case 4:
		s.behavior.refuse, s.behavior.reject = h.Float64()/2, h.Float64()
	}
}

// run runs the history, and returns what was wrong.
func (h *history) run() []string {
	start := h.clock.now
	for range h.IntN(6) {
		h.clock.AfterFunc(time.Duration(h.IntN(120))*time.Second, h.disturb)
	}
	h.runUntil(start.Add(2 * time.Minute))
	if len(h.failures) > 0 {
		return h.failures
	}
	h.healthy = true
	for _, s := range h.servers {
		s.behavior = healthyBehavior
	}
	end := h.clock.now.Add(4 * time.Hour)
	for h.left() > 0 && len(h.failures) == 0 && h.clock.now.Before(end) {
		h.runUntil(h.clock.now.Add(time.Minute))
	}
	if n := h.left(); n > 0 && len(h.failures) == 0 {
		h.failf("%d objects are not served within 4 hours of healthy servers", n)
	}
	h.checkLimits()
	if len(h.failures) == 0 {
		h.checkBounded()
	}
	return h.failures
}

func (h *history) runUntil(end time.Time) {
	for len(h.failures) == 0 && h.clock.run(end) {
		h.events++
		if h.events > 200_000 {
			h.failf("hot loop")
			return
		}
	}
}

func (h *history) left() (n int) {
	for _, o := range h.objects {
		if o.calls > 0 {
			n++
		}
	}
	return n
}
