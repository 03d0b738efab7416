// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

const (
	// throttledRequeue is when an object is requeued that is not woken before.
	throttledRequeue = time.Minute
	// throttledDelay is how long a create waits for the rate limits before the status shows it.
	// Most wait for less, and a status write has its cost.
	throttledDelay = 2 * time.Second
	// longBackoff is the length of a back-off that the status of every object shows.
	longBackoff = 10 * time.Minute
)

// throttled ends a reconciliation whose call has to wait for admission. The status stays the
// same, except for a create that has waited for a while, and for a long back-off.
func (s scope) throttled() Decision {
	state := s.observed.State
	if batch.Finished(s.b) && s.b.DeletionTimestamp.IsZero() {
		return s.throttledList()
	}
	if state.WaitingSince.IsZero() {
		state.WaitingSince = s.now
	}
	if s.observed.Admission == BackedOff && state.FailingSince.IsZero() {
		state.FailingSince = s.now
	}
	d := Decision{Action: Requeue, Status: s.b.Status, Throttled: true, State: state, RequeueAfter: throttledRequeue}
	switch {
	case !s.b.DeletionTimestamp.IsZero():
		return s.beforeFinalizeTimeout(d)
	case s.failedAction() != s.observed.lastAction():
		return s.refusedAndThrottled()
	}
	return s.waitThrottled(d)
}

// waitThrottled ends the reconciliation of an object whose call has to wait, and shows that if it takes long.
func (s scope) waitThrottled(d Decision) Decision {
	_, pending := batch.CreatePending(s.b, s.now)
	long := s.observed.Admission == BackedOff && s.observed.BackedOffUntil.Sub(s.now) >= longBackoff
	shown := s.observed.lastAction() == Create && !pending && s.observed.Admission != Saturated
	switch left := throttledDelay - s.now.Sub(d.State.WaitingSince); {
	case !shown && !long && !s.clockUnstarted():
		return s.inTime(d)
	case left > 0:
		d.RequeueAfter = left
		return d
	}
	c := s.currentCondition()
	if shown || long {
		c = s.throttledCondition()
	}
	return s.showThrottled(c, d.State)
}

// throttledList ends a reconciliation of a finished object whose list of failed files has to wait.
func (s scope) throttledList() Decision {
	d := s.expire(Decision{Action: Requeue, Status: s.b.Status, Throttled: true, State: s.observed.State})
	d.RequeueAfter = sooner(d.RequeueAfter, throttledRequeue)
	return d
}

// showThrottled ends a reconciliation whose call has to wait, and shows a condition.
func (s scope) showThrottled(c condition, state State) Decision {
	d := s.describe(c)
	d.Throttled, d.State, d.RequeueAfter = true, state, throttledRequeue
	return s.inTime(d)
}

// refusedAndThrottled ends a reconciliation whose cancel was refused, and whose poll, which would show
// why, has to wait.
func (s scope) refusedAndThrottled() Decision {
	state := s.withFailure(Cancel)
	return s.inTime(s.requeue(s.currentCondition(), state, backoff(s.PollMin, maxBackoff, state.Failures), 0))
}

// clockUnstarted reports whether only a status can start the time by which the object has to be
// finished.
func (s scope) clockUnstarted() bool {
	if s.cancelPending() {
		return s.b.Status.CancelStartTime == nil
	}
	return s.b.Spec.ActiveDeadlineSeconds != nil && s.ready() == nil
}

// throttledCondition returns the condition of an object whose call waits for admission. It quotes no
// answer of the API: answers can differ, and each difference would write every waiting object. For the
// same reason it names the end of a long back-off only, in whole minutes.
func (s scope) throttledCondition() condition {
	if s.observed.Admission != BackedOff {
		return condition{v1alpha1.ReasonWaitingForRateLimit, "Waiting for the rate limits, which all objects with these credentials share"}
	}
	if until := s.observed.BackedOffUntil; until.Sub(s.now) >= longBackoff {
		return condition{v1alpha1.ReasonRateLimited, rateLimitedUntil(until)}
	}
	return condition{v1alpha1.ReasonRateLimited, rateLimited + "The call is repeated after the back-off, at least every 5 minutes"}
}

const rateLimited = "The API rate limited these credentials (HTTP 429), or their quota is exhausted. "

// rateLimitedUntil returns the message of a long back-off.
func rateLimitedUntil(until time.Time) string {
	end := until.Add(time.Minute).Truncate(time.Minute).UTC().Format(time.RFC3339)
	return rateLimited + "It asked to wait until " + end + "; one call every few minutes finds out whether that is still so"
}
