// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"fmt"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// deleting decides for an object that is being deleted: carry out its deletionPolicy, and let
// it go. It never waits for the cancellation to end, and never for good.
func (v view) deleting() Decision {
	switch {
	case !Held(v.b) || v.seen.Memory.Released:
		return Decision{Action: Rest, Status: v.b.Status, Memory: v.seen.Memory, Reset: true}
	case deletionPolicy(v.b) == v1alpha1.DeletionPolicyOrphan:
		return v.release()
	case ID(v.b) != "" && (v.stopped() || v.seen.took(Detach)):
		return v.detaching()
	case ID(v.b) == "" && v.seen.Memory.CreatedID != "":
		return v.do(KeepID)
	case ID(v.b) == "":
		return v.deletingUnborn()
	case v.seen.Err != nil:
		return v.deletionFailed(v.seen.Err)
	case v.cancelTaken(), v.seen.Batch != nil && v.seen.Batch.Status.Terminal():
		return v.letGo()
	case v.seen.Batch != nil:
		return v.retryDeletion(Cancel, "the upstream did not take the cancel, and the batch still runs", 0)
	case !v.due(Cancel):
		return v.wait()
	default:
		return v.do(Cancel)
	}
}

// stopped reports whether nothing is left to be cancelled: the batch is over, or the upstream
// took a cancel.
func (v view) stopped() bool {
	return Finished(v.b) || v.b.Status.CancelRequestedAt != nil || upstream.Status(v.b.Status.Status).Terminal()
}

// letGo goes on after this pass saw that nothing is left to be cancelled. Files are detached in
// the passes that follow, once that is stored.
func (v view) letGo() Decision {
	if deletionPolicy(v.b) != v1alpha1.DeletionPolicyDetachFiles {
		return v.release()
	}
	s := state{v1alpha1.ReasonDeleting, "the batch is stopped; its files are about to be taken out of the vector store"}
	return v.rest(s, v.detached(), detachAtOnce, 0)
}

// Files are taken out of the store in portions, so that a pass stays short, and other objects
// have their turn.
const (
	detachAtOnce = time.Millisecond
	detachPause  = time.Second
)

// detaching takes the files out of the store, where the policy says so, and lets the object go.
func (v view) detaching() Decision {
	switch {
	case deletionPolicy(v.b) != v1alpha1.DeletionPolicyDetachFiles:
		return v.release()
	case v.seen.took(Detach) && v.seen.Err != nil:
		return v.retryDeletion(Detach, v.seen.Err.Error(), v.seen.Err.RetryAfter)
	case v.seen.took(Detach) && v.seen.Left == 0:
		return v.release()
	case v.seen.took(Detach):
		s := state{v1alpha1.ReasonDeleting, fmt.Sprintf("%d of %d files were taken out of the vector store", v.seen.Detached, v.seen.Detached+v.seen.Left)}
		return v.rest(s, v.detached(), detachPause, 0)
	case !v.due(Detach):
		return v.wait()
	default:
		return v.do(Detach)
	}
}

// detached is what the next portion has to know.
func (v view) detached() Memory {
	seen := v.seen.Memory
	return Memory{DetachedUpTo: seen.DetachedUpTo, DetachedAt: seen.DetachedAt, CreateAnswered: seen.CreateAnswered}
}

// deletingUnborn lets an object without a batch go, unless a create of it may be under way.
func (v view) deletingUnborn() Decision {
	startedAt, intent := CreateStartedAt(v.b, v.now)
	if !intent || Finished(v.b) {
		return v.release()
	}
	if wait := v.unsettled(startedAt); wait > 0 && !v.seen.Memory.CreateAnswered {
		s := state{v1alpha1.ReasonDeleting, "waiting until the request that creates the batch must have ended"}
		return v.rest(s, v.seen.Memory, wait, wait)
	}
	if deletionPolicy(v.b) == v1alpha1.DeletionPolicyDetachFiles {
		return v.detaching() // which needs no batch, only its files
	}
	return v.release(Event{
		Warning: true, Reason: v1alpha1.ReasonCreateOutcomeUnknown,
		Message: fmt.Sprintf("the answer to the request that creates the batch was lost: a batch whose ID nobody knows may be left in vector store %s", v.b.Spec.VectorStoreID),
	})
}

// deletionFailed decides after a call failed that the deletion needs.
func (v view) deletionFailed(err *upstream.Error) Decision {
	refused := err.Kind == upstream.Rejected || err.Kind == upstream.NotFound
	switch {
	case refused && v.seen.last() == Cancel:
		return v.do(Retrieve)
	case err.Kind == upstream.NotFound && v.now.Sub(v.knownSince()) >= v.NotFoundGrace:
		return v.detaching()
	default:
		return v.retryDeletion(Cancel, err.Error(), err.RetryAfter)
	}
}

// retryDeletion tries again later, and not before a time, until the time for it is over.
func (v view) retryDeletion(action Action, why string, notBefore time.Duration) Decision {
	memory := v.failureMemory(action)
	if action == Detach && v.b.Status.DetachedFiles > 0 && memory.DetachedAt.IsZero() {
		// Another process was getting on until now, and when it did so last was lost with it.
		memory.DetachedAt = v.now
	}
	left := v.givesUpAt(memory).Sub(v.now)
	if left <= 0 {
		return v.release(Event{
			Warning: true, Reason: v1alpha1.ReasonDeleting,
			Message: fmt.Sprintf("gave up after %s without progress: %s: %s", v.FinalizeTimeout, v.leftBehind(action), why),
		})
	}
	undone := "the batch could not be cancelled"
	if action == Detach {
		undone = "not all files could be taken out of the vector store"
	}
	s := state{v1alpha1.ReasonDeleting, undone + " yet: " + why}
	return v.rest(s, memory, min(backoff(minBackoff, maxBackoff, memory.Failures), left), min(notBefore, left))
}

// leftBehind names what a deletion leaves upstream that gives up on an action.
func (v view) leftBehind(action Action) string {
	batch, store := "batch "+ID(v.b), v.b.Spec.VectorStoreID
	if ID(v.b) == "" {
		batch = "a batch whose ID is lost"
	}
	switch {
	case action == Detach:
		return fmt.Sprintf("files of %s may be left in vector store %s, of which %d were taken out", batch, store, v.mirrored().DetachedFiles)
	case deletionPolicy(v.b) == v1alpha1.DeletionPolicyDetachFiles:
		return fmt.Sprintf("%s in vector store %s may still be running, and its files may be left there", batch, store)
	default:
		return fmt.Sprintf("%s in vector store %s may still be running", batch, store)
	}
}

// givesUpAt is when a deletion is not tried any longer. As long as files are being taken out of
// the store it gets on, however many there are.
func (v view) givesUpAt(memory Memory) time.Time {
	since := v.b.DeletionTimestamp.Time
	if memory.DetachedAt.After(since) {
		since = memory.DetachedAt
	}
	return since.Add(v.FinalizeTimeout)
}

// lastTry reports whether a deletion that failed so far must be tried now or never.
func (v view) lastTry() bool {
	return !v.b.DeletionTimestamp.IsZero() && v.seen.Memory.Failures > 0 && !v.now.Before(v.givesUpAt(v.seen.Memory))
}

// beforeGivingUp makes sure that a deletion's last try does not come late.
func (v view) beforeGivingUp(d Decision) Decision {
	if left := v.givesUpAt(d.Memory).Sub(v.now); d.Action == Rest && d.After > 0 && left > 0 {
		d.By = left
	}
	return d
}

// release lets the object go. Its status is of no interest any more.
func (v view) release(events ...Event) Decision {
	return Decision{Action: Release, Status: v.b.Status, Events: events, Reset: true}
}
