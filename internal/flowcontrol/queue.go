// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

import (
	"container/heap"
	"time"
)

// state is how far a call is.
type state int

const (
	// queued means that it waits in a queue.
	queued state = iota
	// admitted means that the caller was woken and has not claimed its admission yet.
	admitted
	// calling means that the call is in flight.
	calling
	// reported means that the call has ended, and that the caller still has its seat.
	reported
)

// waiter is a call from its request until its seat is free again.
type waiter struct {
	caller  *caller
	flow    *flow
	request Request
	state   state
	// arrival orders the callers in a queue.
	arrival uint64
	// admittedAt is when it was admitted, and sentAt when the caller claimed its admission.
	admittedAt time.Time
	sentAt     time.Time
	// queue is the queue that it waits in, and index its position there.
	queue *queue
	index int
}

// queue holds waiters in the order of their arrival. A waiter that returns has its old position.
type queue struct {
	waiters []*waiter
}

func (q *queue) first() *waiter {
	if len(q.waiters) == 0 {
		return nil
	}
	return q.waiters[0]
}

func (q *queue) add(w *waiter) {
	w.queue = q
	heap.Push((*waiterHeap)(q), w)
}

func (q *queue) remove(w *waiter) {
	heap.Remove((*waiterHeap)(q), w.index)
	w.queue = nil
}

// waiterHeap implements heap.Interface.
type waiterHeap queue

// Len implements heap.Interface.
func (h *waiterHeap) Len() int { return len(h.waiters) }

// Less implements heap.Interface.
func (h *waiterHeap) Less(i, j int) bool { return h.waiters[i].arrival < h.waiters[j].arrival }

// Swap implements heap.Interface.
func (h *waiterHeap) Swap(i, j int) {
	h.waiters[i], h.waiters[j] = h.waiters[j], h.waiters[i]
	h.waiters[i].index, h.waiters[j].index = i, j
}

// Push implements heap.Interface.
func (h *waiterHeap) Push(x any) {
	w, _ := x.(*waiter) // add pushes nothing else
	w.index = len(h.waiters)
	h.waiters = append(h.waiters, w)
}

// Pop implements heap.Interface.
func (h *waiterHeap) Pop() any {
	last := len(h.waiters) - 1
	w := h.waiters[last]
	h.waiters[last] = nil
	h.waiters = h.waiters[:last]
	if last == 0 {
		h.waiters = nil // or its array is never freed
	}
	return w
}

// share is the virtual time of one of several that share something fairly: start-time fair queueing.
// The one with the least time is next, and its time grows by what it takes.
type share struct{ time float64 }

// shareClock is the virtual time of those that share.
type shareClock struct{ now float64 }

// join is called when one starts to wait: its time of idleness earns it nothing.
func (c *shareClock) join(s *share) { s.time = max(s.time, c.now) }

// charge is called when one takes its turn.
func (c *shareClock) charge(s *share, cost int) {
	c.now = max(c.now, s.time)
	s.time += float64(cost)
}
