// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// create decides for an object without a batch: create the batch, once.
func (s scope) create() Decision {
	if s.observed.lastAction() == Create && s.observed.Err != nil {
		return s.createFailed()
	}
	if s.observed.State.CreatedID != "" {
		return s.recordBatchID()
	}
	if batch.Suspended(s.b) && !batch.CancelWanted(s.b) {
		return s.suspended()
	}
	if s.mustEnd() {
		return s.finish(s.abandoned())
	}
	files, invalid := batch.Files(s.b)
	if startedAt, pending := batch.CreatePending(s.b, s.now); pending && invalid == nil {
		return s.recoverCreate(files, startedAt)
	}
	if batch.CancelWanted(s.b) {
		return s.cancelledBeforeCreate()
	}
	if s.exceeded() {
		return s.finish(s.abandoned())
	}
	if invalid != nil {
		return s.requeue(condition{v1alpha1.ReasonInvalidSpec, invalid.Error()}, State{}, 0, 0)
	}
	if !s.due(Create) {
		return s.waitUntilDue()
	}
	return s.createBatch(files)
}

// createBatch returns the decision to send a create request.
func (s scope) createBatch(files int) Decision {
	d := s.act(Create)
	d.Cost.Files = files
	return d
}

// createFailed decides after a create that returned no batch. The create stays pending if its
// outcome is unknown.
func (s scope) createFailed() Decision {
	err := s.observed.Err
	if err.Kind != upstream.UnknownOutcome {
		return s.failed(Create, err)
	}
	state := s.withFailure(Create)
	state.CreateAnswered = err.StatusCode != 0
	c := condition{v1alpha1.ReasonCreateOutcomeUnknown, "The response to the create request was lost, so the batch may exist. Before creating it again, the operator checks the vector store for its files: " + err.Error()}
	return s.requeue(c, state, s.waitAfterUnknownOutcome(state), notBefore(err))
}

// recoverCreate decides for an object whose create was started and whose outcome is unknown: wait
// until the request is no longer in flight, verify whether it took effect, and create again. A
// second batch does not harm the files, because a file is attached once however often it is
// attached, and it makes them observable again.
func (s scope) recoverCreate(files int, startedAt time.Time) Decision {
	if s.finalizerMissing() {
		return s.act(AddFinalizer)
	}
	if wait := s.inFlightFor(startedAt); wait > 0 {
		if !s.due(VerifyCreate) {
			return s.waitUntilDue()
		}
		c := condition{v1alpha1.ReasonCreateOutcomeUnknown, "The response to the create request was lost. Waiting until it can no longer take effect, then checking the vector store for the batch's files"}
		return s.requeue(c, s.observed.State, wait, wait)
	}
	if !s.observed.performed(VerifyCreate) {
		if !s.due(VerifyCreate) {
			return s.waitUntilDue()
		}
		return s.verifyCreate(startedAt)
	}
	if s.observed.lastAction() == VerifyCreate && s.observed.Err != nil && s.observed.Err.Kind != upstream.NotFound {
		return s.failed(VerifyCreate, s.observed.Err)
	}
	if s.cancelRequired() && !s.observed.Attached {
		if !s.observed.performed(ClearCreatePending) {
			return s.act(ClearCreatePending)
		}
	}
	switch {
	case batch.CancelWanted(s.b) && !s.observed.Attached:
		return s.cancelledBeforeCreate()
	case s.exceeded():
		return s.finish(s.abandoned())
	}
	d := s.createBatch(files)
	d.Recovery = &Recovery{Attached: s.observed.Attached}
	d.Events = []Event{s.createdAgain()}
	return d
}

// verifyCreate returns the decision to check whether files were attached since the create began. The
// API reports times in whole seconds of its own clock.
func (s scope) verifyCreate(startedAt time.Time) Decision {
	d := s.act(VerifyCreate)
	d.Verify = Verification{Files: verifiedFiles, Since: startedAt.Add(-batch.ClockSkew - time.Second)}
	return d
}

// createdAgain returns the Event about a batch that is created again.
func (s scope) createdAgain() Event {
	message := "The earlier create request had no effect; creating the batch again"
	if s.observed.Attached {
		message = "The earlier create request took effect, but its batch ID is lost. Creating a second batch to track the files; no file is attached twice"
	}
	return Event{Warning: true, Reason: v1alpha1.ReasonBatchRecreated, Message: message}
}

// inFlightFor returns how long a create request that was started can still be in flight.
func (s scope) inFlightFor(startedAt time.Time) time.Duration {
	if s.observed.State.CreateAnswered {
		return s.observed.State.NextCall.Sub(s.now)
	}
	return startedAt.Add(s.RequestTimeout + batch.ClockSkew).Sub(s.now)
}

// waitAfterUnknownOutcome returns how long to wait after a create whose outcome is unknown.
func (s scope) waitAfterUnknownOutcome(state State) time.Duration {
	wait := backoff(s.PollMin, maxBackoff, state.Failures)
	if state.CreateAnswered {
		return wait
	}
	startedAt, _ := batch.CreatePending(s.b, s.now)
	return max(wait, startedAt.Add(s.RequestTimeout+batch.ClockSkew).Sub(s.now))
}

// cancelledBeforeCreate finishes an object that was cancelled before its batch was created.
func (s scope) cancelledBeforeCreate() Decision {
	s.b = s.b.DeepCopy()
	s.b.Status.Status = string(upstream.Cancelled)
	return s.finish(s.cancelled(s.b.Status, v1alpha1.FileCounts{}))
}
