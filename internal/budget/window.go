// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import "time"

// window is a limit on how much may happen within some length of time, wherever that begins.
// What was taken counts until that long after it was settled: the upstream counted it at some
// moment in between, so its own count is never higher, whichever way it counts.
type window struct {
	limit  int
	length time.Duration
	// used is what was taken and not given back, settled or not.
	used    int
	settled []settlement
}

type settlement struct {
	until time.Time
	n     int
}

// fits reports whether n more may happen. What is more than the whole limit may, once nothing
// else counts: otherwise it would never.
func (w *window) fits(n int) bool { return w.used+n <= w.limit || w.used == 0 }

func (w *window) take(n int) { w.used += n }

// giveBack takes back what did not happen after all.
func (w *window) giveBack(n int) { w.used -= n }

// settle says that what was taken has happened by now.
func (w *window) settle(now time.Time, n int) {
	w.settled = append(w.settled, settlement{now.Add(w.length), n})
}

// forget drops what does not count any more.
func (w *window) forget(now time.Time) {
	old := 0
	for ; old < len(w.settled) && !now.Before(w.settled[old].until); old++ {
		w.used -= w.settled[old].n
	}
	w.settled = w.settled[old:]
	if len(w.settled) == 0 {
		w.settled = nil // or its array would stay for good
	}
}

// roomAt is when n more will fit, if nothing more is taken; zero where that depends on what is
// not settled yet.
func (w *window) roomAt(n int) time.Time {
	used := w.used
	for _, s := range w.settled {
		used -= s.n
		if used+n <= w.limit || used == 0 {
			return s.until
		}
	}
	return time.Time{}
}

// empty reports whether nothing counts.
func (w *window) empty() bool { return w.used == 0 }
