// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
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
	startedAt, pending := batch.CreatePending(s.b, s.now)
	files, invalid := batch.Files(s.b)
	switch {
	case s.mustEnd() && pending:
		return s.endPendingCreate(startedAt)
	case s.mustEnd() && !batch.CancelWanted(s.b):
		return s.finish(s.abandoned())
	case pending && invalid == nil:
		return s.recoverCreate(files, startedAt)
	}
	return s.createFirst(files, invalid)
}

// createFirst decides for an object that no create was started for. invalid is why its files cannot be sent.
func (s scope) createFirst(files int, invalid error) Decision {
	switch {
	case batch.CancelWanted(s.b):
		return s.cancelledBeforeCreate()
	case s.exceeded():
		return s.finish(s.abandoned())
	case invalid != nil:
		return s.requeue(condition{v1alpha1.ReasonInvalidSpec, invalid.Error()}, State{}, 0, 0)
	case !s.due(Create):
		return s.waitUntilDue()
	}
	return s.createBatch(files)
}

// createBatch returns the decision to send a create request.
func (s scope) createBatch(files int) Decision {
	d := s.act(Create)
	d.Cost.Files = files
	if id := batch.IgnoredBatchID(s.b); id != "" {
		d.Events = []Event{{
			Warning: true, Reason: v1alpha1.ReasonAnnotationIgnored,
			Message: fmt.Sprintf("Ignored batch %s in the annotation %s, which was written for another object, and created a batch for this one", id, v1alpha1.AnnotationBatchID),
		}}
	}
	return d
}

// CheckCreated returns an error instead of a batch that was created and cannot be tracked, because its
// ID cannot be recorded or sent.
func CheckCreated(answer *upstream.Batch, err error) (*upstream.Batch, error) {
	if err != nil || batch.UsableID(answer.ID) {
		return answer, err
	}
	return nil, &upstream.Error{
		Kind: upstream.UnknownOutcome, OtherObject: true,
		Message: fmt.Sprintf("the API returned a batch ID that cannot be used in a URL: %.64q", answer.ID),
	}
}

// createFailed decides after a create that returned no batch. The create stays pending if its
// outcome is unknown.
func (s scope) createFailed() Decision {
	err := s.observed.Err
	switch {
	case err.Kind != upstream.UnknownOutcome:
		return s.failed(Create, err)
	case err.OtherObject && batch.LostCreates(s.b) > 0 && batch.CancelWanted(s.b):
		return s.cancelLost(batch.LostCreates(s.b) + 1)
	case err.OtherObject && batch.LostCreates(s.b) > 0:
		c := condition{v1alpha1.ReasonRejected, "The API created a batch that cannot be tracked, again. No more are created: " + err.Error() + ". " + createAgain}
		return s.requeue(c, s.withFailure(Create), maxStalledBackoff, 0)
	}
	state := s.withFailure(Create)
	startedAt, _ := batch.CreatePending(s.b, s.now)
	wait := max(backoff(s.PollMin, maxBackoff, state.Failures), s.verifiableIn(startedAt))
	earliest := notBefore(err)
	if batch.CancelWanted(s.b) {
		earliest = 0
	}
	c := condition{v1alpha1.ReasonCreateOutcomeUnknown, "The response to the create request was lost, so the batch may exist. Before creating it again, the operator checks the vector store for its files: " + err.Error()}
	return s.requeue(s.steady(c, err, state), state, wait, earliest)
}

// recoverCreate decides for an object whose create was started and whose outcome is unknown: wait
// until the request can no longer take effect, verify whether it did, and create again. A
// second batch does not harm the files, because a file is attached once however often it is
// attached, and it makes them observable again.
func (s scope) recoverCreate(files int, startedAt time.Time) Decision {
	if s.finalizerMissing() {
		return s.act(AddFinalizer)
	}
	if s.untrackable() {
		return s.createsStopped(s.currentCondition(), batch.LostCreates(s.b)+1)
	}
	if wait := s.verifiableIn(startedAt); wait > 0 {
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
	// A server that refuses to show the files has none of them.
	if err := s.observed.Err; s.observed.lastAction() == VerifyCreate && err != nil && !upstream.IsRefused(err) {
		return s.failed(VerifyCreate, err)
	}
	return s.createVerified(files)
}

// createVerified decides for an object whose create is known to have attached files or not.
func (s scope) createVerified(files int) Decision {
	effective, lost := s.observed.Attached || s.observed.State.CreateUntracked, 0
	if effective {
		lost = batch.LostCreates(s.b) + 1
	}
	if lost >= maxLostCreates {
		message := fmt.Sprintf("The responses to %d create requests in a row were lost, though the requests took effect. No more batches are created. Check the API and any proxy before it. ", lost)
		return s.createsStopped(condition{v1alpha1.ReasonCreateOutcomeUnknown, message + createAgain}, lost)
	}
	unknown := max(lost, batch.LostCreates(s.b))
	if batch.CancelWanted(s.b) && !s.observed.Attached && unknown > 0 {
		return s.cancelLost(unknown)
	}
	if s.cancelRequired() && unknown == 0 {
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
	d.Recovery = &Recovery{Attached: s.observed.Attached, Lost: lost}
	d.Events = append(d.Events, s.createdAgain())
	return d
}

// endPendingCreate checks once more whether a create had an effect when the object has to be finished, and
// finishes it.
func (s scope) endPendingCreate(startedAt time.Time) Decision {
	err, attached := s.observed.Err, s.observed.Attached || s.observed.State.CreateUntracked || batch.LostCreates(s.b) > 0
	answered := s.observed.Admission == Admitted && (err == nil || upstream.IsRefused(err))
	switch {
	case !s.observed.performed(VerifyCreate) && s.verifiableIn(startedAt) <= 0:
		return s.verifyCreate(startedAt)
	case s.observed.lastAction() == VerifyCreate && answered && !attached && batch.CancelWanted(s.b):
		return s.act(ClearCreatePending)
	default:
		return s.finish(s.abandoned())
	}
}

// maxLostCreates is how many batches in a row are created whose IDs are lost: a batch an hour forever is
// worse than a user's decision.
const maxLostCreates = 3

// createAgain is the remedy for batches whose IDs are lost.
const createAgain = "Then delete the object and create it again: a file that is in the vector store is not attached twice"

// untrackable reports whether the object is stalled because the API creates batches that cannot be
// tracked.
func (s scope) untrackable() bool {
	ready := s.ready()
	return ready != nil && ready.Reason == v1alpha1.ReasonRejected && batch.LostCreates(s.b) > 0
}

// createsStopped decides for an object for which no more batches are created. A cancel finishes it.
func (s scope) createsStopped(c condition, lost int) Decision {
	if batch.CancelWanted(s.b) {
		return s.cancelLost(lost)
	}
	return s.as(stalled).requeue(c, s.observed.State, maxStalledBackoff, 0)
}

// cancelLost finishes an object that is to be cancelled, and of whose batches no ID is known.
func (s scope) cancelLost(lost int) Decision {
	return s.finish(condition{v1alpha1.ReasonCancelFailed, fmt.Sprintf("The IDs of the batches that were created (%d) are lost, so these cannot be cancelled, and may still be running in vector store %s", lost, s.b.Spec.VectorStoreID)})
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
	if s.observed.Attached || s.observed.State.CreateUntracked {
		message = "The earlier create request took effect, but its batch ID is lost. Creating a second batch to track the files; no file is attached twice"
	}
	return Event{Warning: true, Reason: v1alpha1.ReasonBatchRecreated, Message: message}
}

// inFlightFor returns how long a create request that was started can still be in flight. The response of
// a gateway, such as a 504, does not mean that the server behind it has ended the request.
func (s scope) inFlightFor(startedAt time.Time) time.Duration {
	return startedAt.Add(s.RequestTimeout + batch.ClockSkew).Sub(s.now)
}

// verifiableIn returns in how long the files show whether a create took effect: a file can be missing
// just after it was attached.
func (s scope) verifiableIn(startedAt time.Time) time.Duration {
	return s.inFlightFor(startedAt) + s.NotFoundGrace
}

// cancelledBeforeCreate finishes an object that was cancelled before its batch was created.
func (s scope) cancelledBeforeCreate() Decision {
	s.b = s.b.DeepCopy()
	s.b.Status.Status = string(upstream.Cancelled)
	return s.finish(s.cancelled(s.b.Status, v1alpha1.FileCounts{}))
}
