// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"fmt"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// following decides for an object whose batch is known and not over.
func (v view) following() Decision {
	switch {
	case v.givenUp():
		return v.lastLook()
	case v.seen.Err != nil:
		return v.callFailed(v.seen.Err)
	case v.seen.Batch != nil:
		return v.sawBatch(*v.seen.Batch)
	case v.cancelPending() && v.due(Cancel):
		return v.do(Cancel)
	case !Held(v.b) && deletionPolicy(v.b) != v1alpha1.DeletionPolicyOrphan && !v.seen.took(Hold):
		return v.do(Hold)
	case Suspended(v.b) && !v.cancelling():
		return v.suspended()
	case !Adopted(v.b) && v.b.Annotations[v1alpha1.AnnotationBatchID] != ID(v.b) && !v.seen.took(KeepID):
		return v.do(KeepID)
	case !v.due(Retrieve):
		return v.waitForBatch()
	default:
		return v.do(Retrieve)
	}
}

// cancelPending reports whether a cancel is wanted, by the spec or by its deadline, that the
// upstream has not taken.
func (v view) cancelPending() bool {
	if v.b.Status.CancelRequestedAt != nil || v.cancelTaken() {
		return false
	}
	over := upstream.Status(v.b.Status.Status).Terminal() // and only its failed files are unknown
	return CancelWanted(v.b) || v.pastDeadline(v.now) && !over && !Suspended(v.b)
}

// cancelling reports whether there is a cancel to be followed to its end.
func (v view) cancelling() bool {
	return CancelWanted(v.b) || v.b.Status.CancelRequestedAt != nil || v.cancelTaken()
}

// waitForBatch ends a pass that came before the next look at the batch was due.
func (v view) waitForBatch() Decision {
	d := v.wait()
	d.Events = append(d.Events, v.cancelIrrevocable()...)
	return d
}

// cancelIrrevocable answers a spec.cancel that was unset too late.
func (v view) cancelIrrevocable() []Event {
	changed := v.b.Generation != v.b.Status.ObservedGeneration
	if v.b.Status.CancelRequestedAt == nil || CancelWanted(v.b) || !changed || v.cancelledByDeadline(v.b.Status) {
		return nil
	}
	return []Event{{Warning: true, Reason: v1alpha1.ReasonCancelIrrevocable, Message: "the upstream was asked to cancel the batch already; unsetting spec.cancel does not take that back"}}
}

// callFailed decides after a call about a known batch failed.
func (v view) callFailed(err *upstream.Error) Decision {
	switch v.seen.last() {
	case Cancel:
		// A server may refuse to cancel what is over, or stumble over it: the batch itself tells.
		stumbles := err.Kind == upstream.Transient && v.failureMemory(Cancel).Failures >= cancelAttempts
		if err.Kind == upstream.Rejected || err.Kind == upstream.NotFound || stumbles {
			return v.do(Retrieve)
		}
	case Retrieve:
		if err.Kind == upstream.NotFound {
			return v.notFound()
		}
	case ListFailedFiles:
		if v.failureMemory(v.blamed()).Failures >= listAttempts || err.Kind == upstream.Rejected || err.Kind == upstream.NotFound {
			return v.settle(*v.seen.Batch)
		}
	case Rest, Hold, KeepID, ForgetIntent, Create, Probe, Detach, Delete, Release:
	}
	return v.failedWith(v.blamed(), err)
}

// cancelAttempts is how often a cancel fails before the batch is looked at in spite of it.
const cancelAttempts = 3

// blamed is the action whose next try has to wait after a failure: a cancel that was refused
// has failed, even where it was the look at the batch thereafter that went wrong.
func (v view) blamed() Action {
	if v.seen.took(Cancel) && !v.cancelTaken() {
		return Cancel
	}
	return v.seen.last()
}

// listAttempts is how often the files that failed are asked for in vain before the batch's end
// is told without them.
const listAttempts = 5

// notFound decides after the upstream says that it has no such batch. A batch can seem not to
// exist just after it was created, so this is believed only later, and on a second look.
func (v view) notFound() Decision {
	memory := v.failureMemory(v.blamed())
	memory.NotFound++
	known := v.currentState().reason == v1alpha1.ReasonBatchNotFound
	since := v.now.Sub(v.knownSince())
	if !known && (memory.NotFound < 2 || since < v.NotFoundGrace) {
		return v.rest(v.currentState(), memory, v.PollMin, v.seen.Err.RetryAfter)
	}
	s := state{v1alpha1.ReasonBatchNotFound, fmt.Sprintf("the upstream has no batch %s in vector store %s: either of them was deleted, or never was there", ID(v.b), v.b.Spec.VectorStoreID)}
	return v.rest(s, memory, backoff(stalledBackoff, maxStalledBackoff, memory.NotFound), v.seen.Err.RetryAfter)
}

// knownSince is when the batch was created, or by when at the latest where its status is lost
// and it is being deleted: nothing is created after that.
func (v view) knownSince() time.Time {
	switch {
	case v.b.Status.CreatedAt != nil:
		return v.b.Status.CreatedAt.Time
	case !v.b.DeletionTimestamp.IsZero() && !Adopted(v.b):
		return v.b.DeletionTimestamp.Time
	default:
		return v.b.CreationTimestamp.Time
	}
}

// sawBatch decides after the upstream showed the batch.
func (v view) sawBatch(batch upstream.Batch) Decision {
	if v.failuresToList(batch) {
		return v.do(ListFailedFiles)
	}
	return v.settle(batch)
}

// failuresToList reports whether the batch has failed files that the status does not list yet.
// While the batch goes on, a cancel comes first.
func (v view) failuresToList(batch upstream.Batch) bool {
	if v.seen.took(ListFailedFiles) || batch.FileCounts.Failed == 0 {
		return false
	}
	listed := int64(len(v.b.Status.FailedFiles))
	if listed >= min(batch.FileCounts.Failed, v1alpha1.MaxFailedFilesListed) {
		return false
	}
	seenBefore := v.b.Status.FileCounts != nil && int64(v.b.Status.FileCounts.Failed) == batch.FileCounts.Failed
	return batch.Status.Terminal() || !seenBefore && !v.cancelPending()
}

// settle mirrors the batch, and ends the pass.
func (v view) settle(batch upstream.Batch) Decision {
	if batch.Status.Terminal() {
		return v.end(v.outcome(v.mirrored()))
	}
	if v.seen.took(Cancel) && !v.cancelTaken() {
		return v.cancelRefused()
	}
	memory := Memory{Interval: v.interval(v.seen.Memory.Interval, batch)}
	after, notBefore := memory.Interval, batch.PollAfter
	if v.seen.Err != nil { // the files that failed could not be listed
		notBefore = max(notBefore, v.seen.Err.RetryAfter)
	}
	if v.cancelPending() {
		after, notBefore = cancelAtOnce, 0
	}
	d := v.rest(v.running(), memory, after, notBefore)
	d.Events = append(d.Events, v.cancelIrrevocable()...)
	return d
}

// cancelAtOnce is how soon a pass follows that cancels a batch which this pass created: a pass
// has one effect on the upstream at most.
const cancelAtOnce = time.Millisecond

// cancelRefused decides where the upstream did not take the cancel of a batch that still runs.
func (v view) cancelRefused() Decision {
	memory := v.failureMemory(Cancel)
	s := state{v1alpha1.ReasonCancelling, "the upstream did not take the cancel, and the batch still runs; asking again"}
	return v.rest(s, memory, backoff(v.PollMin, maxBackoff, memory.Failures), 0)
}

// interval is the time until the next look: short after any movement, longer while there is
// none, and never long while a cancel is being waited for.
func (v view) interval(last time.Duration, batch upstream.Batch) time.Duration {
	before := v.b.Status
	moved := before.FileCounts == nil || *before.FileCounts != *counts(batch.FileCounts) ||
		before.Status != string(batch.Status) || v.seen.took(Cancel) || v.seen.took(Create)
	if moved || last == 0 {
		return v.PollMin
	}
	longest := v.PollMax
	if before.CancelRequestedAt != nil {
		longest = min(longest, 5*v.PollMin)
	}
	return min(last*3/2, longest)
}

// finished decides for an object whose batch is over: nothing is asked of the upstream any
// more. A changed maxFailedFiles is judged by what was mirrored.
func (v view) finished() Decision {
	detaches := deletionPolicy(v.b) == v1alpha1.DeletionPolicyDetachFiles && ID(v.b) != ""
	if detaches && !Held(v.b) && !v.seen.took(Hold) {
		return v.do(Hold)
	}
	return v.end(v.outcome(v.b.Status))
}

// end ends a pass in a state in which the batch is over.
func (v view) end(s state) Decision {
	d := v.describe(s)
	d.Reset = true
	return v.expiring(d)
}
