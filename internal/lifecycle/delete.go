// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// delete decides for an object that is being deleted: carry out its deletionPolicy, and remove
// the finalizer. It does not wait for a cancelled batch to stop, and ends in bounded time.
func (s scope) delete() Decision {
	switch {
	case !batch.HasFinalizer(s.b):
		return s.unchanged()
	case batch.DeletionPolicy(s.b) == v1alpha1.DeletionPolicyOrphan:
		return s.removeFinalizer()
	case batch.ID(s.b) == "" && s.observed.State.CreatedID != "":
		return s.recordBatchID()
	case batch.ID(s.b) == "":
		return s.deleteWithoutBatch()
	case batch.Stopped(s.b), s.observed.State.BatchGone:
		return s.detach()
	case s.observed.Err != nil:
		return s.deleteFailed(s.observed.Err)
	case s.observed.performed(ReadStore):
		return s.storeGone()
	case s.cancelAccepted(), s.observed.Batch != nil && s.observed.Batch.Status.Terminal():
		return s.batchStopped()
	case s.observed.Batch != nil:
		return s.retryDelete(Cancel, "the API did not accept the cancellation, and the batch is still running", 0)
	case !s.due(Cancel):
		return s.waitUntilDue()
	default:
		return s.act(Cancel)
	}
}

// batchStopped continues after this reconciliation found that nothing is left to be cancelled.
// Files are detached by the next ones, after that is persisted.
func (s scope) batchStopped() Decision {
	if batch.DeletionPolicy(s.b) != v1alpha1.DeletionPolicyDetachFiles {
		return s.removeFinalizer()
	}
	c := condition{v1alpha1.ReasonDeleting, "Batch stopped; detaching its files from the vector store"}
	return s.requeue(c, s.detachState(), detachNow, 0)
}

const (
	// detachLimit is how many requests one reconciliation makes to detach files, so that it stays short
	// and other objects can proceed.
	detachLimit = 25
	// detachPause is the pause between two of those, and detachNow the one before the first.
	detachPause = time.Second
	detachNow   = time.Millisecond
)

// detach detaches the files if the policy is DetachFiles, and removes the finalizer.
func (s scope) detach() Decision {
	detached := s.observed.Detached
	switch {
	case batch.DeletionPolicy(s.b) != v1alpha1.DeletionPolicyDetachFiles:
		return s.removeFinalizer()
	case s.observed.performed(Detach) && s.observed.Err != nil:
		return s.retryDelete(Detach, s.observed.Err.Error(), notBefore(s.observed.Err))
	case s.observed.performed(Detach) && detached.Remaining == 0:
		return s.removeFinalizer(s.spared()...)
	case s.observed.performed(Detach):
		c := condition{v1alpha1.ReasonDeleting, fmt.Sprintf("Detached %d of %d files from the vector store", detached.Count, detached.Count+detached.Remaining)}
		return s.requeue(c, s.detachState(), detachPause, 0)
	case len(s.observed.Actions) == 0 && !s.due(Detach):
		return s.waitUntilDue()
	case !s.observed.State.Located:
		return s.locate()
	default:
		d := s.act(Detach)
		d.Detach = DetachRange{Skip: int(s.b.Status.DetachedFileCount), Limit: detachLimit}
		return d
	}
}

// locate makes sure that the API knows the batch or its store before a 404 for a file counts: with the
// key of another project, or a wrong base URL, there is a 404 for everything.
func (s scope) locate() Decision {
	err := s.observed.Err
	switch {
	case !s.observed.performed(ReadStore):
		return s.act(ReadStore)
	case err == nil:
		return s.storeGone()
	case refused(err) && batch.ID(s.b) != "" && !s.observed.performed(Poll):
		return s.act(Poll) // not every server returns stores
	default:
		return s.retryDelete(ReadStore, err.Error(), notBefore(err))
	}
}

// storeGone completes the deletion of an object whose store does not exist.
func (s scope) storeGone() Decision {
	return s.removeFinalizer(Event{
		Reason:  v1alpha1.ReasonVectorStoreNotFound,
		Message: fmt.Sprintf("Vector store %s was not found, so there is nothing to cancel or detach: it was deleted or has expired, or the key belongs to another project", s.b.Spec.VectorStoreID),
	})
}

// spared returns the Event about files that were not detached because other objects attach them too.
func (s scope) spared() []Event {
	detached := s.observed.Detached
	if detached.Spared == 0 {
		return nil
	}
	return []Event{{
		Reason:  v1alpha1.ReasonFilesSpared,
		Message: fmt.Sprintf("Detached %d files from vector store %s. %d files stay there, because other objects attach them too", detached.Count, s.b.Spec.VectorStoreID, detached.Spared),
	}}
}

// filesPerPage is how many files a page of the API's lists has.
const filesPerPage = 100

// requestsToDetach returns how many requests the next Detach is expected to make, at least 1. The first
// one for an adopted batch lists its files too.
func (s scope) requestsToDetach() int {
	files, pages := detachLimit, 1
	if counts := s.b.Status.FileCounts; counts != nil {
		files = max(1, min(detachLimit, int(counts.Total-s.b.Status.DetachedFileCount)))
		pages = max(1, int(counts.Total+filesPerPage-1)/filesPerPage)
	}
	if batch.Adopted(s.b) && !s.observed.State.Listed {
		return min(files+pages, 2*detachLimit)
	}
	return files
}

// detachState returns what the next Detach has to know.
func (s scope) detachState() State {
	state := s.observed.State
	return State{DetachProgress: state.DetachProgress}
}

// deleteWithoutBatch removes the finalizer of an object without a batch, unless a create request
// for it can be in flight.
func (s scope) deleteWithoutBatch() Decision {
	startedAt, pending := batch.CreatePending(s.b, s.now)
	if !pending || batch.Stopped(s.b) && batch.LostCreates(s.b) == 0 {
		return s.removeFinalizer()
	}
	if wait := s.inFlightFor(startedAt); wait > 0 {
		c := condition{v1alpha1.ReasonDeleting, "Waiting until the create request can no longer take effect"}
		return s.requeue(c, s.observed.State, wait, wait)
	}
	if batch.DeletionPolicy(s.b) == v1alpha1.DeletionPolicyDetachFiles {
		return s.detach() // needs no batch, only its files
	}
	return s.removeFinalizer(Event{
		Warning: true, Reason: v1alpha1.ReasonBatchOrphaned,
		Message: fmt.Sprintf("The object was deleted while the outcome of its create request was unknown: an untracked batch may be running in vector store %s", s.b.Spec.VectorStoreID),
	})
}

// deleteFailed decides after a call that the deletion needs has failed.
func (s scope) deleteFailed(err *upstream.Error) Decision {
	last := s.observed.lastAction()
	switch {
	case refused(err) && last == Cancel:
		return s.act(Poll)
	case err.Kind == upstream.NotFound && last == Poll && s.now.Sub(s.knownSince()) >= s.NotFoundGrace:
		return s.act(ReadStore)
	case err.OtherObject && last == Poll:
		return s.act(CountFiles) // the files show whether the batch is running
	case last == ReadStore:
		return s.retryDelete(ReadStore, err.Error(), notBefore(err))
	default:
		return s.retryDelete(Cancel, err.Error(), notBefore(err))
	}
}

// retryDelete tries again later, and not before a time, until the finalize timeout.
func (s scope) retryDelete(action Action, cause string, notBefore time.Duration) Decision {
	next := action
	if action == ReadStore {
		if next = Cancel; batch.ID(s.b) == "" || batch.Stopped(s.b) {
			next = Detach
		}
	}
	state := s.withFailure(next)
	if action != Cancel && s.b.Status.DetachedFileCount > 0 && state.DetachedAt.IsZero() {
		// Another process made progress until now, and the time of its last success is lost with it.
		state.DetachedAt = s.now
	}
	left := s.finalizeDeadline(state).Sub(s.now)
	if left <= 0 {
		return s.removeFinalizer(Event{
			Warning: true, Reason: v1alpha1.ReasonDeletionIncomplete,
			Message: fmt.Sprintf("Gave up after %s without progress: %s: %s", s.FinalizeTimeout, s.leftBehind(action), cause),
		})
	}
	failed := "The batch could not be cancelled"
	switch action { //nolint:exhaustive // the others cancel
	case Detach:
		failed = "Not all files could be detached from the vector store"
	case ReadStore:
		failed = "Neither the batch nor the vector store was found"
	}
	c := condition{v1alpha1.ReasonDeleting, failed + "; retrying: " + cause}
	if current := s.currentCondition(); strings.HasPrefix(current.message, failed) && !s.edited() && !renewed(state.Failures) {
		c = current // as in steady
	}
	return s.requeue(c, state, min(backoff(minBackoff, maxBackoff, state.Failures), left), min(notBefore, left))
}

// leftBehind names what remains at the API if the deletion times out during an action.
func (s scope) leftBehind(action Action) string {
	name, store, files := "batch "+batch.ID(s.b), s.b.Spec.VectorStoreID, ""
	if batch.ID(s.b) == "" {
		name = "a batch whose ID is lost"
	}
	if left := s.observed.Detached.Left; left != "" {
		files = " (" + left + ")"
	}
	switch detaches := batch.DeletionPolicy(s.b) == v1alpha1.DeletionPolicyDetachFiles; {
	case action == Detach:
		return fmt.Sprintf("files of %s may be left in vector store %s%s, %d were detached", name, store, files, s.mirrored().DetachedFileCount)
	case detaches && batch.Stopped(s.b):
		return fmt.Sprintf("files of %s may be left in vector store %s%s", name, store, files)
	case detaches:
		return fmt.Sprintf("%s in vector store %s may still be running, and its files may be left there%s", name, store, files)
	default:
		return fmt.Sprintf("%s in vector store %s may still be running", name, store)
	}
}

// finalizeDeadline returns when the deletion times out. Each file that is detached extends it.
func (s scope) finalizeDeadline(state State) time.Time {
	start := s.b.DeletionTimestamp.Time
	if state.DetachedAt.After(start) {
		start = state.DetachedAt
	}
	return start.Add(s.FinalizeTimeout)
}

// finalizeTimedOut reports whether a deletion has made no progress for the finalize timeout.
func (s scope) finalizeTimedOut() bool {
	return !s.b.DeletionTimestamp.IsZero() && !s.now.Before(s.finalizeDeadline(s.observed.State))
}

// finalAttempt reports whether this is the last attempt of a deletion that has failed so far.
func (s scope) finalAttempt() bool {
	return s.observed.State.Failures > 0 && s.finalizeTimedOut()
}

// beforeFinalizeTimeout requeues the object no later than the finalize timeout, for the last attempt.
func (s scope) beforeFinalizeTimeout(d Decision) Decision {
	left := s.finalizeDeadline(d.State).Sub(s.now)
	if d.Action == Requeue && d.RequeueAfter > 0 && left > 0 {
		d.RequeueAfter = min(d.RequeueAfter, left)
	}
	return d
}

// removeFinalizer returns the decision to complete the deletion. The status no longer matters.
func (s scope) removeFinalizer(events ...Event) Decision {
	return Decision{Action: RemoveFinalizer, Status: s.b.Status, Events: events}
}
