// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

import "time"

// A back-off lasts at least minBackoff, and twice as long each time. It lasts as long as the server
// asks for, but at most maxBackoff: some servers ask for a day because of a limit per minute, so one
// call finds out earlier whether they still refuse.
const (
	minBackoff = time.Second
	maxBackoff = 5 * time.Minute
)

// backoff holds a class of calls on one connection after a 429, until one of them succeeds.
type backoff struct {
	// refusals is the number of refusals in a row. Calls that were sent before the last of them are no
	// new evidence.
	refusals int
	// until is when the next call can be sent, and requested until when the server asked to wait.
	until     time.Time
	requested time.Time
}

// report records the outcome of a call that was sent at a time.
func (b *backoff) report(now, sentAt time.Time, outcome Outcome) {
	isNew := b.refusals == 0 || !sentAt.Before(b.until)
	switch {
	case outcome.Unsent || outcome.Unanswered:
	case outcome.TooManyRequests:
		if isNew {
			b.refusals++
		}
		wait := max(outcome.RetryAfter, minBackoff<<min(b.refusals-1, 10))
		b.until = later(b.until, now.Add(min(wait, maxBackoff)))
		b.requested = later(b.requested, now.Add(outcome.RetryAfter))
	case isNew:
		*b = backoff{}
	}
}

// holds reports whether no call can be sent.
func (b *backoff) holds(now time.Time) bool { return now.Before(b.until) }

// active reports whether a call was refused and none has succeeded since.
func (b *backoff) active() bool { return b.refusals > 0 }

// end returns the time that callers are told: that which the server asked for, if it is later.
func (b *backoff) end() time.Time { return later(b.until, b.requested) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
