// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

import "sync"

// seats bounds the calls of a class that are in flight, over all connections: each of them occupies a
// worker. A Limiter that finds no seat waits in a queue.
type seats struct {
	mu      sync.Mutex
	free    int
	waiting []func()
}

// take takes a seat, and reports whether one was free. If not, again is called when one is.
func (s *seats) take(again func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free > 0 {
		s.free--
		return true
	}
	s.waiting = append(s.waiting, again)
	return false
}

// put frees a seat, and calls those that wait for it, until one has taken it. The caller must not hold
// the lock of a Limiter.
func (s *seats) put() {
	s.mu.Lock()
	s.free++
	s.mu.Unlock()
	for {
		again := s.next()
		if again == nil {
			return
		}
		again()
	}
}

// next returns the function of the next that can try to take a seat; nil if there is none.
func (s *seats) next() func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 || len(s.waiting) == 0 {
		return nil
	}
	again := s.waiting[0]
	s.waiting = s.waiting[1:]
	return again
}
