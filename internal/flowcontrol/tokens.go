// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

import (
	"time"

	"golang.org/x/time/rate"
)

// tokens limits the requests per second of a connection. A fifth of the rate is reserved for reads,
// and the rest is for urgent calls and writes. Reads and writes borrow from each other what
// the other does not use. Urgent calls do not wait, and are charged at most half of the writes' share, so
// that writes make progress under any number of them.
type tokens struct {
	reads, writes, urgent *rate.Limiter
}

func newTokens(perSecond float64) tokens {
	burst := max(2, int(2*perSecond))
	reserved := max(1, burst/5)
	bucket := func(share float64, burst int) *rate.Limiter {
		return rate.NewLimiter(rate.Limit(share*perSecond), burst)
	}
	return tokens{
		reads:  bucket(1./5, reserved),
		writes: bucket(4./5, max(1, burst-reserved)),
		urgent: bucket(2./5, max(1, burst*2/5)),
	}
}

// availableAt returns when a request of a level can be sent.
func (t tokens) availableAt(now time.Time, l level) time.Time {
	if l == urgentLevel {
		return now
	}
	own, other := t.buckets(l)
	at := tokenAt(own, 1, now)
	if borrowed := tokenAt(other, surplus(other), now); borrowed.Before(at) {
		return borrowed
	}
	return at
}

// buckets returns the bucket of a level, and the one that it can borrow from.
func (t tokens) buckets(l level) (own, other *rate.Limiter) {
	if l == readLevel {
		return t.reads, t.writes
	}
	return t.writes, t.reads
}

// surplus returns how many tokens a bucket must have before the other level can borrow one. A bucket
// whose own level is waiting never has that many.
func surplus(bucket *rate.Limiter) float64 { return 1 + max(1, float64(bucket.Burst()/2)) }

// tolerance allows for the rounding of times.
const tolerance = 1e-6

// tokenAt returns when a bucket has a number of tokens.
func tokenAt(bucket *rate.Limiter, tokens float64, now time.Time) time.Time {
	missing := tokens - bucket.TokensAt(now)
	if missing <= tolerance {
		return now
	}
	return now.Add(time.Duration(missing / float64(bucket.Limit()) * float64(time.Second)))
}

// take consumes requests, on credit if there are fewer tokens. Nothing is added to a debt that exceeds a
// burst: urgent calls and calls that continue with a seat do not wait for tokens.
func (t tokens) take(now time.Time, l level, requests int) {
	own, other := t.buckets(l)
	if own.TokensAt(now) <= -float64(own.Burst()) {
		return
	}
	for range requests {
		bucket := own
		if l != urgentLevel && tokenAt(own, 1, now).After(now) && !tokenAt(other, surplus(other), now).After(now) {
			bucket = other
		}
		if l == urgentLevel && !t.urgent.AllowN(now, 1) {
			return
		}
		bucket.ReserveN(now, 1)
	}
}
