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
	case !Held(v.b):
		return Decision{Action: Rest, Status: v.b.Status, Reset: true}
	case deletionPolicy(v.b) == v1alpha1.DeletionPolicyOrphan, Finished(v.b), v.b.Status.CancelRequestedAt != nil:
		return v.release()
	case ID(v.b) == "" && v.seen.Memory.CreatedID != "":
		return v.do(KeepID)
	case ID(v.b) == "":
		return v.deletingUnborn()
	case v.seen.Err != nil:
		return v.deletionFailed(v.seen.Err)
	case v.seen.CancelTaken:
		return v.release()
	case v.seen.Batch != nil && v.seen.Batch.Status.Terminal():
		return v.release()
	case v.seen.Batch != nil:
		return v.retryDeletion("the upstream did not take the cancel, and the batch still runs", 0)
	case !v.due(Cancel):
		return v.wait()
	default:
		return v.do(Cancel)
	}
}

// deletingUnborn lets an object without a batch go, unless a create of it may be under way.
func (v view) deletingUnborn() Decision {
	startedAt, intent := CreateStartedAt(v.b, v.now)
	if !intent {
		return v.release()
	}
	if wait := v.unsettled(startedAt); wait > 0 && !v.seen.Memory.CreateAnswered {
		s := state{v1alpha1.ReasonDeleting, "waiting until the request that creates the batch must have ended"}
		return v.rest(s, v.seen.Memory, wait, wait)
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
		return v.release()
	default:
		return v.retryDeletion(err.Error(), err.RetryAfter)
	}
}

// retryDeletion tries again later, and not before a time, until the time for it is over.
func (v view) retryDeletion(why string, notBefore time.Duration) Decision {
	memory := v.failureMemory(Cancel)
	left := v.b.DeletionTimestamp.Add(v.FinalizeTimeout).Sub(v.now)
	if left <= 0 {
		return v.release(Event{
			Warning: true, Reason: v1alpha1.ReasonDeleting,
			Message: fmt.Sprintf("gave up after %s: batch %s in vector store %s may still be running: %s", v.FinalizeTimeout, ID(v.b), v.b.Spec.VectorStoreID, why),
		})
	}
	s := state{v1alpha1.ReasonDeleting, "the batch could not be cancelled yet: " + why}
	return v.rest(s, memory, min(backoff(minBackoff, maxBackoff, memory.Failures), left), min(notBefore, left))
}

// release lets the object go. Its status is of no interest any more.
func (v view) release(events ...Event) Decision {
	return Decision{Action: Release, Status: v.b.Status, Events: events, Reset: true}
}
