// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"math"
	"time"
)

// window counts events within a sliding window. How OpenAI counts is not documented; a client that
// stays within a sliding window stays within a fixed one too.
type window struct {
	events []event
	used   int
}

type event struct {
	at time.Time
	n  int
}

// delay returns the time until n more events stay within the limit; zero if they do now. If n
// exceeds the limit itself, it waits for an empty window, or it would wait forever.
func (w *window) delay(now time.Time, length time.Duration, n, limit int) time.Duration {
	w.expire(now.Add(-length))
	free := limit - w.used
	for _, e := range w.events {
		if free >= n {
			return 0
		}
		free += e.n
		if free >= n || free >= limit {
			return max(e.at.Add(length).Sub(now), 1)
		}
	}
	return 0
}

func (w *window) add(now time.Time, n int) {
	w.events = append(w.events, event{at: now, n: n})
	w.used += n
}

func (w *window) expire(upTo time.Time) {
	i := 0
	for ; i < len(w.events) && !w.events[i].at.After(upTo); i++ {
		w.used -= w.events[i].n
	}
	w.events = w.events[i:]
}

// admit counts a request that attaches n files to v, or rejects it.
func (s *Server) admit(v *store, n int) *apiError {
	if !s.settings.EnforceLimits {
		return nil
	}
	now, length := s.now(), s.settings.Minute
	if wait := v.requests.delay(now, length, 1, s.settings.AttachRequests); wait > 0 {
		return rateLimited("requests", "Too many requests attach files to this vector store.", wait)
	}
	if wait := s.attached.delay(now, length, n, s.settings.AttachedFiles); wait > 0 {
		return rateLimited("files", "Too many files are being attached.", wait)
	}
	v.requests.add(now, 1)
	s.attached.add(now, n)
	return nil
}

func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
