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
)

// throttled ends a reconciliation whose call has to wait for admission. The status stays the
// same, except for a create that has waited for a while.
func (s scope) throttled() Decision {
	state := s.observed.State
	if state.WaitingSince.IsZero() {
		state.WaitingSince = s.now
	}
	d := Decision{Action: Requeue, Status: s.b.Status, Throttled: true, State: state, RequeueAfter: throttledRequeue}
	_, pending := batch.CreatePending(s.b, s.now)
	switch left := throttledDelay - s.now.Sub(state.WaitingSince); {
	case !s.b.DeletionTimestamp.IsZero():
		return s.beforeFinalizeTimeout(d)
	case s.observed.lastAction() != Create || pending || s.observed.Admission == Saturated:
		return s.beforeDeadline(d)
	case left > 0:
		d.RequeueAfter = left
		return d
	}
	shown := s.describe(s.throttledCondition())
	shown.Throttled, shown.State, shown.RequeueAfter = true, state, throttledRequeue
	return shown
}

// throttledCondition returns the condition of a create that waits for admission. It quotes no
// answer of the API: answers can differ, and each difference would write every waiting object.
func (s scope) throttledCondition() condition {
	if s.observed.Admission == BackedOff {
		return condition{v1alpha1.ReasonRateLimited, "The API rate limited these credentials (HTTP 429), or their quota is exhausted. The batch is created after the back-off"}
	}
	return condition{v1alpha1.ReasonWaiting, "Waiting for the rate limits, which all objects with these credentials share"}
}
