// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

import (
	"slices"
	"time"
)

// window limits how much happens within any period of a length. What was taken counts until that long
// after it was settled: the server counted it at some moment in between, so its own count is never
// higher, whether its windows are fixed or sliding.
type window struct {
	limit  int
	length time.Duration
	// used is what was taken and not returned, settled or not.
	used    int
	settled []settlement
}

type settlement struct {
	until time.Time
	n     int
}

// fits reports whether n more are allowed. More than the whole limit is allowed if nothing else counts:
// otherwise it would never be.
func (w *window) fits(n int) bool { return w.used+n <= w.limit || w.used == 0 }

func (w *window) take(n int) { w.used += n }

// put returns what was taken and did not happen.
func (w *window) put(n int) { w.used -= n }

// settle records that what was taken has happened by now.
func (w *window) settle(now time.Time, n int) {
	w.settled = append(w.settled, settlement{now.Add(w.length), n})
}

// forget drops what no longer counts.
func (w *window) forget(now time.Time) {
	old := 0
	for ; old < len(w.settled) && !now.Before(w.settled[old].until); old++ {
		w.used -= w.settled[old].n
	}
	w.settled = w.settled[old:]
	if len(w.settled) == 0 {
		w.settled = nil // or its array is never freed
	}
}

// fitsAt returns when n more are allowed, if nothing else is taken; zero if that depends on what is not
// settled yet.
func (w *window) fitsAt(n int) time.Time {
	used := w.used
	for _, s := range w.settled {
		used -= s.n
		if used+n <= w.limit || used == 0 {
			return s.until
		}
	}
	return time.Time{}
}

// opensAt returns when one more is allowed that is not allowed now; zero if one is, or if that depends on
// what is not settled yet.
func (w *window) opensAt(now time.Time) time.Time {
	w.forget(now)
	if w.fits(1) {
		return time.Time{}
	}
	return w.fitsAt(1)
}

// empty reports whether nothing counts.
func (w *window) empty() bool { return w.used == 0 }

// merge adds what another window counts.
func (w *window) merge(other window) {
	w.used += other.used
	w.settled = append(w.settled, other.settled...)
	slices.SortStableFunc(w.settled, func(a, b settlement) int { return a.until.Compare(b.until) })
}
