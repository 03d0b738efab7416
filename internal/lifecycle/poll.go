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

// poll decides for an object whose batch is known and not finished.
func (s scope) poll() Decision {
	switch {
	case s.mustEnd():
		return s.finalPoll()
	case s.observed.Err != nil:
		return s.callFailed(s.observed.Err)
	case s.countsWanted():
		return s.act(CountFiles)
	case s.failedFilesWanted():
		return s.act(ListFailedFiles)
	case s.observed.Batch != nil:
		return s.settle(*s.observed.Batch)
	case s.observed.performed(Cancel) && !s.observed.performed(Poll):
		return s.act(Poll) // the API accepted the cancel, and returned another object
	case s.deadlineUncertain():
		return s.act(Poll)
	case (s.cancelPending() || s.repeatCancel()) && s.due(Cancel):
		return s.act(Cancel)
	}
	return s.track()
}

// track decides for an object whose batch is known, and for which no call was made yet.
func (s scope) track() Decision {
	switch {
	case s.finalizerMissing():
		return s.act(AddFinalizer)
	case batch.Suspended(s.b) && !s.cancelling():
		return s.suspended()
	case s.batchIDMissing():
		return s.recordBatchID()
	case !s.due(Poll):
		return s.waitUntilDue()
	}
	return s.act(Poll)
}

// finalizerMissing reports whether the object needs the finalizer and does not have it.
func (s scope) finalizerMissing() bool {
	return batch.NeedsFinalizer(s.b) && !batch.HasFinalizer(s.b) && !s.observed.performed(AddFinalizer)
}

// batchIDMissing reports whether the annotation does not have the ID of the created batch.
func (s scope) batchIDMissing() bool {
	return !batch.Adopted(s.b) && !batch.Recorded(s.b) && !s.observed.performed(RecordBatchID)
}

const (
	// cancelAttempts is how often a cancel fails before the batch is polled anyway.
	cancelAttempts = 3
	// countAttempts is how often the count of a batch's files fails before the object is finished without it.
	countAttempts = 5
)

// callFailed decides after a call about a known batch has failed.
func (s scope) callFailed(err *upstream.Error) Decision {
	refused := refused(err)
	switch s.observed.lastAction() {
	case Cancel:
		// Servers can reject or fail the cancel of a finished batch: a poll shows whether it is finished.
		failing := err.Kind == upstream.Transient && s.withFailure(Cancel).Failures >= cancelAttempts
		if refused || failing {
			return s.act(Poll)
		}
	case Poll:
		return s.pollFailed(err)
	case CountFiles:
		return s.countFailed(err)
	case ListFailedFiles:
		return s.settle(*s.observed.Batch) // a finished object lists them again
	case Requeue, AddFinalizer, RecordBatchID, ClearCreatePending, Create, VerifyCreate, ReadStore, Detach, Delete, RemoveFinalizer:
	}
	return s.failed(s.failedAction(), err)
}

// pollFailed decides after the batch could not be read.
func (s scope) pollFailed(err *upstream.Error) Decision {
	switch {
	case err.Kind == upstream.NotFound:
		return s.notFound()
	case err.OtherObject:
		return s.otherObject()
	default:
		return s.failed(s.failedAction(), err)
	}
}

// failedAction returns the action whose next attempt has to wait after a failure: a cancel that
// was refused has failed, even if it was the poll after it that returned the error.
func (s scope) failedAction() Action {
	if s.observed.performed(Cancel) && !s.accepted() {
		return Cancel
	}
	return s.observed.lastAction()
}

// notFound decides after a 404 for the batch. A batch can be missing just after it was created,
// so the 404 is believed only after a grace period and the second time in a row.
func (s scope) notFound() Decision {
	state := s.withFailure(s.failedAction())
	state.NotFound++
	ready, age := s.ready(), s.now.Sub(s.knownSince())
	known := ready != nil && ready.Reason == v1alpha1.ReasonBatchNotFound && ready.Status == no
	ending, changed := s.cancelling() || s.exceeded(), s.recentlyChanged()
	if ending { // the cancel itself is a change of the spec
		changed = s.recent(s.changedOutsideSpecAt())
	}
	gone := known || state.NotFound >= 2 && age >= s.NotFoundGrace && !changed
	neverSeen := batch.Adopted(s.b) && s.b.Status.FileCounts == nil
	c := condition{v1alpha1.ReasonBatchNotFound, fmt.Sprintf("Batch %s not found in vector store %s. The batch or the store was deleted or has expired, or the key belongs to another project", batch.ID(s.b), s.b.Spec.VectorStoreID)}
	switch {
	case gone && ending:
		return s.finish(s.abandoned())
	case gone:
		return s.requeue(c, state, backoff(stalledBackoff, maxStalledBackoff, state.NotFound), notBefore(s.observed.Err))
	case changed && state.NotFound >= 2 || neverSeen:
		return s.as(running).requeue(c, state, s.PollMin, notBefore(s.observed.Err))
	default:
		return s.unjudged().requeue(s.currentCondition(), state, s.PollMin, notBefore(s.observed.Err))
	}
}

// knownSince returns when the batch was created, or a time by which it was if its status is lost: the first
// failure to read it, or the deletion, after which nothing is created. The clock of the API can be wrong.
func (s scope) knownSince() time.Time {
	switch {
	case s.b.Status.CreatedAt != nil && !s.b.Status.CreatedAt.After(s.now.Add(batch.ClockSkew)):
		return s.b.Status.CreatedAt.Time
	case !s.b.DeletionTimestamp.IsZero() && !batch.Adopted(s.b):
		return s.b.DeletionTimestamp.Time
	case batch.Adopted(s.b) || s.b.Status.CreatedAt != nil:
		return s.b.CreationTimestamp.Time
	case s.firstStatus().IsZero():
		return s.now
	default:
		// The batch can be newer than the first status, if the response to an earlier create was lost.
		return later(later(s.b.CreationTimestamp.Time, s.firstStatus()), s.observed.State.FailingSince)
	}
}

// failedFilesWanted reports whether the API returned a batch with failed files that the status does
// not list yet. While the batch is running, a cancel comes first.
func (s scope) failedFilesWanted() bool {
	answer := s.observed.Batch
	if answer == nil || answer.FileCounts.Failed == 0 || s.observed.performed(ListFailedFiles) {
		return false
	}
	listed := int64(len(s.b.Status.FailedFiles))
	if listed >= min(answer.FileCounts.Failed, v1alpha1.MaxFailedFilesListed) {
		return false
	}
	unchanged := s.b.Status.FileCounts != nil && int64(s.b.Status.FileCounts.Failed) == answer.FileCounts.Failed
	return answer.Status.Terminal() || !unchanged && !s.cancelPending()
}

// cancelNow is how soon a batch that this reconciliation created is cancelled by the next one: a
// reconciliation changes at most one thing at the API.
const cancelNow = time.Millisecond

// settle mirrors the batch in the status, and ends the reconciliation.
func (s scope) settle(answer upstream.Batch) Decision {
	if answer.Status.Terminal() && !s.unsettled(answer) {
		return s.finish(s.outcome(s.mirrored()))
	}
	if s.observed.performed(Cancel) && !s.accepted() {
		return s.cancelRefused()
	}
	state := State{Backoff: Backoff{
		PollInterval: s.pollInterval(answer), OtherObjects: s.observed.State.OtherObjects, UnsettledSince: s.unsettledSince(answer),
	}, CancelSentAt: s.observed.State.CancelSentAt}
	after, earliest := state.PollInterval, answer.PollAfter
	if s.observed.Err != nil { // the failed files could not be listed
		earliest = max(earliest, notBefore(s.observed.Err))
	}
	if s.cancelPending() {
		after, earliest = cancelNow, 0
	}
	return s.requeue(s.undisturbed(), state, after, earliest)
}

// cancelRefused decides if the API did not accept the cancel of a batch that is still running.
func (s scope) cancelRefused() Decision {
	state := s.withFailure(Cancel)
	c := condition{v1alpha1.ReasonCancelling, "The API did not accept the cancellation, and the batch is still running; retrying"}
	return s.requeue(c, state, backoff(s.PollMin, maxBackoff, state.Failures), 0)
}

// pollInterval returns the time until the next poll: short after any change, longer while there is
// none, and never long while a cancelled batch has not stopped.
func (s scope) pollInterval(answer upstream.Batch) time.Duration {
	before, last := s.b.Status, s.observed.State.PollInterval
	changed := before.FileCounts == nil || *before.FileCounts != *counts(answer.FileCounts) ||
		before.Status != string(answer.Status) || s.observed.performed(Cancel) || s.observed.performed(Create)
	if changed || last == 0 {
		return s.PollMin
	}
	longest := s.PollMax
	if before.CancelRequestTime != nil {
		longest = min(longest, 5*s.PollMin)
	}
	return min(last*3/2, longest)
}
