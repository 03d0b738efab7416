// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// endGrace is how long a batch may take to stop after its deadline, and the API to accept a cancel.
	// Then the object is finished, whatever the API returns: both are for batches that are stuck.
	endGrace = time.Minute
	// longestEnd is how long the object waits instead if the outcome of its create is unknown. The call that
	// is cut off at that time lasts up to finalCall.
	longestEnd = 110 * time.Second
	// firstCall bounds the first call that cancels a batch, so that there is time left for others.
	firstCall = 30 * time.Second
	// finalCall bounds a call that would last beyond the time at which the object has to be finished.
	finalCall = 10 * time.Second
)

// deadline returns when the batch has been in progress for too long.
func (s scope) deadline() (at time.Time, set bool) {
	start, known := s.activeSince()
	if s.b.Spec.ActiveDeadlineSeconds == nil || !known {
		return time.Time{}, false
	}
	return start.Add(s.activeDeadline()), true
}

// activeDeadline returns spec.activeDeadlineSeconds.
func (s scope) activeDeadline() time.Duration {
	return time.Duration(min(*s.b.Spec.ActiveDeadlineSeconds, int64(math.MaxInt64/time.Second))) * time.Second
}

// activeSince returns when the time until the deadline began: the creation of the batch, of the object,
// or the last resume, whichever was last. An old batch that is adopted has some time left. While it is not
// known when the batch was created, the time begins with the first status: the operator may not have run
// when the object was created.
func (s scope) activeSince() (at time.Time, known bool) {
	start := s.b.CreationTimestamp.Time
	createdAt, known := s.createdAt()
	// The API's clock can be wrong, and a batch that is read from the list of its files has no time.
	if first := s.firstStatus(); createdAt.Unix() <= 0 || createdAt.After(s.now.Add(batch.ClockSkew)) {
		createdAt, known = first, known || !first.IsZero()
	}
	return later(later(start, createdAt), s.resumedAt()), known
}

// createdAt returns when the batch was created; zero if the API did not report it. It is known
// once the API has answered about the batch.
func (s scope) createdAt() (at time.Time, known bool) {
	switch {
	case s.b.Status.CreatedAt != nil:
		return s.b.Status.CreatedAt.Time, true
	case s.observed.Batch != nil:
		return s.observed.Batch.CreatedAt.Truncate(time.Second), true
	default:
		return time.Time{}, s.b.Status.FileCounts != nil
	}
}

// firstStatus returns when the object's status was written first; zero if there is none.
func (s scope) firstStatus() time.Time {
	if finished := meta.FindStatusCondition(s.b.Status.Conditions, v1alpha1.ConditionFinished); finished != nil {
		return finished.LastTransitionTime.Time
	}
	return time.Time{}
}

// resumedAt returns when the object was resumed last; zero if it was never suspended.
func (s scope) resumedAt() time.Time {
	suspended := meta.FindStatusCondition(s.b.Status.Conditions, v1alpha1.ConditionSuspended)
	switch {
	case suspended == nil || batch.Suspended(s.b):
		return time.Time{}
	case suspended.Status != metav1.ConditionTrue:
		return suspended.LastTransitionTime.Time
	default:
		return s.observed.startedAt(s.now).Truncate(time.Second) // as the status will show
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pastDeadline reports whether the deadline has passed at a time.
func (s scope) pastDeadline(at time.Time) bool {
	deadline, set := s.deadline()
	return set && !at.Before(deadline)
}

// exceeded reports whether the deadline has passed now, and applies.
func (s scope) exceeded() bool { return s.pastDeadline(s.now) && !batch.Suspended(s.b) }

// deadlineUncertain reports whether the deadline has passed only if the batch is as old as the object. A
// poll shows that, unless it failed before.
func (s scope) deadlineUncertain() bool {
	_, known := s.createdAt()
	return !known && s.exceeded() && !batch.CancelWanted(s.b) && s.observed.State.Failures == 0 && !s.observed.performed(Poll) && !s.accepted()
}

// cancelledByDeadline reports whether the cancel that the API accepted was due to the deadline.
func (s scope) cancelledByDeadline(status v1alpha1.VectorStoreFileBatchStatus) bool {
	return !batch.CancelWanted(s.b) && status.CancelRequestTime != nil && s.pastDeadline(status.CancelRequestTime.Time)
}

// endBy returns when the object has to be finished, whatever the API returns, if a status is persisted:
// some time after the deadline, or after the operator began to cancel the batch. An operator that was not
// running at the deadline has some time left too.
func (s scope) endBy(status v1alpha1.VectorStoreFileBatchStatus, state State) (at time.Time, set bool) {
	start := status.CancelStartTime
	if start == nil {
		start = status.CancelRequestTime
	}
	if start == nil {
		return time.Time{}, false
	}
	accepted := status.CancelRequestTime
	if s.cancelledByDeadline(status) || s.exceeded() {
		deadline, _ := s.deadline()
		at, set = later(s.endAfter(deadline), start.Add(firstCall)), true
	}
	if accepted == nil && batch.CancelWanted(s.b) {
		at, set = earlier(at, s.endAfter(start.Time)), true
	}
	if accepted != nil && !state.FailingSince.IsZero() {
		// The API accepted the cancel, and does not return the batch any more.
		at, set = earlier(at, later(accepted.Time, state.FailingSince).Add(endGrace)), true
	}
	return at, set
}

// endAfter returns when the object has to be finished after its deadline or its cancel. While the outcome of
// a create is unknown, there is time for the check that shows it.
func (s scope) endAfter(cause time.Time) time.Time {
	end := cause.Add(endGrace)
	if startedAt, pending := batch.CreatePending(s.b, s.now); pending && batch.ID(s.b) == "" {
		verified := s.now.Add(s.verifiableIn(startedAt)).Add(finalCall)
		end = later(end, earlier(verified, cause.Add(longestEnd)))
	}
	return end
}

// mustEnd reports whether the object has to be finished now.
func (s scope) mustEnd() bool {
	if !s.b.DeletionTimestamp.IsZero() || batch.Finished(s.b) {
		return false
	}
	by, set := s.endBy(s.b.Status, s.observed.State)
	return set && !s.now.Before(by)
}

// inTime requeues the object no later than the deadline, or the time at which it has to be finished.
func (s scope) inTime(d Decision) Decision {
	if d.Action != Requeue || d.Status.CompletionTime != nil || d.RequeueAfter == 0 && batch.Suspended(s.b) {
		return d
	}
	described := s
	described.b = &v1alpha1.VectorStoreFileBatch{ObjectMeta: s.b.ObjectMeta, Spec: s.b.Spec, Status: d.Status}
	by, set := described.endBy(d.Status, d.State)
	if deadline, known := described.deadline(); known && !batch.Suspended(s.b) && s.now.Before(deadline) {
		by, set = earlier(by, deadline), true
	}
	if wait := by.Sub(s.now); set && wait > 0 && (d.RequeueAfter == 0 || wait < d.RequeueAfter) {
		d.RequeueAfter = wait
	}
	return d
}

// earlier returns the earlier one of two times; the second one if the first is zero.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// timeout returns the timeout of an action's call, if it must be shorter than the request timeout, so
// that a call that hangs does not delay the end of the object. A create is not cut off.
func (s scope) timeout(action Action) time.Duration {
	if !action.CallsAPI() || action == Create || !s.b.DeletionTimestamp.IsZero() {
		return 0
	}
	by, set := s.endBy(s.b.Status, s.observed.State)
	deadline, known := s.deadline()
	if !set && (s.cancelPending() || s.accepted() || s.b.Spec.ActiveDeadlineSeconds != nil && !known) {
		by, set = s.now.Add(firstCall), true
	}
	if known && !batch.Suspended(s.b) && s.now.Before(deadline) {
		by, set = earlier(by, deadline), true
	}
	if left := by.Sub(s.now); set && left < s.RequestTimeout {
		return min(max(left, finalCall), s.RequestTimeout)
	}
	return 0
}

// finalPoll reads the batch once more when the object has to be finished, and finishes it.
func (s scope) finalPoll() Decision {
	answer := s.observed.Batch
	switch {
	case answer == nil && !s.observed.performed(Poll):
		return s.act(Poll)
	case s.failedFilesWanted():
		return s.act(ListFailedFiles)
	case answer != nil && answer.Status.Terminal():
		return s.settle(*answer)
	default:
		return s.finish(s.abandoned())
	}
}

// abandoned returns the condition of an object that is finished although its batch may not be.
func (s scope) abandoned() condition {
	counts := countsOf(s.mirrored())
	switch deadline := s.exceeded() || s.cancelledByDeadline(s.mirrored()); {
	case deadline && s.accepted():
		return s.deadlineExceeded(counts)
	case deadline:
		return condition{v1alpha1.ReasonDeadlineExceeded, fmt.Sprintf("Exceeded spec.activeDeadlineSeconds (%s). %s", s.activeDeadline(), s.notCancelled())}
	case s.batchGone():
		return condition{v1alpha1.ReasonCancelled, "Cancelled as requested. " + s.notCancelled()}
	case s.accepted():
		return condition{v1alpha1.ReasonCancelled, "Cancelled as requested; the API accepted the cancellation, and the batch could not be read since" + s.lastFailure()}
	default:
		return condition{v1alpha1.ReasonCancelFailed, s.notCancelled()}
	}
}

// batchGone reports whether this reconciliation found that the batch does not exist.
func (s scope) batchGone() bool {
	err := s.observed.Err
	return err != nil && err.Kind == upstream.NotFound && s.observed.lastAction() == Poll && s.now.Sub(s.knownSince()) >= s.NotFoundGrace
}

// notCancelled returns what is left at the API if no cancel was accepted.
func (s scope) notCancelled() string {
	id, store := batch.ID(s.b), s.b.Spec.VectorStoreID
	_, pending := batch.CreatePending(s.b, s.now)
	switch {
	case s.batchGone():
		return fmt.Sprintf("Batch %s was not found in vector store %s: the batch or the store was deleted or has expired, or the key belongs to another project", id, store)
	case id != "":
		return fmt.Sprintf("The API did not accept the cancellation, so batch %s may still be running in vector store %s%s", id, store, s.lastFailure())
	case s.observed.Attached:
		return fmt.Sprintf("The create request took effect, but its response was lost, so a batch that cannot be cancelled may still be running in vector store %s", store)
	case pending:
		return fmt.Sprintf("The outcome of the create request is unknown, so a batch may still be running in vector store %s%s", store, s.lastFailure())
	default:
		return "No batch was created" + s.lastFailure()
	}
}

// lastFailure returns the error of the last call, or what the status shows of an earlier one, to be
// appended to a message.
func (s scope) lastFailure() string {
	if s.observed.Err != nil {
		return ": " + s.observed.Err.Error()
	}
	if ready := s.ready(); ready != nil && (hindered(ready.Reason) || rows[ready.Reason] == stalled) {
		return ": " + ready.Message
	}
	return ""
}

// deadlineExceeded returns the condition of a batch that was in progress for too long, and was cancelled.
func (s scope) deadlineExceeded(counts v1alpha1.FileCounts) condition {
	return condition{v1alpha1.ReasonDeadlineExceeded, fmt.Sprintf("Exceeded spec.activeDeadlineSeconds (%s) and was cancelled; %d of %d files are in the vector store", s.activeDeadline(), counts.Completed, counts.Total)}
}
