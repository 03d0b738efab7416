// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"fmt"
	"math"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// cancelGrace is how long a batch may take to end after the deadline cancelled it. Batches that
// are stuck upstream are what deadlines are for, so the object does not wait for their end.
const cancelGrace = time.Minute

// deadline is when the batch has been in progress for too long. It counts from the later of
// the batch's creation and the object's, so that adopting an old batch leaves it some time. It
// is not known before the batch was seen: the object may be much older than its batch.
func (v view) deadline() (at time.Time, set bool) {
	createdAt, seen := v.createdAt()
	if v.b.Spec.ActiveDeadlineSeconds == nil || !seen {
		return time.Time{}, false
	}
	since := v.b.CreationTimestamp.Time
	if createdAt.After(since) {
		since = createdAt
	}
	seconds := min(*v.b.Spec.ActiveDeadlineSeconds, int64(math.MaxInt64/time.Second))
	return since.Add(time.Duration(seconds) * time.Second), true
}

// createdAt is when the batch was created, as the status tells or this pass saw; zero where the
// upstream showed the batch without saying so.
func (v view) createdAt() (at time.Time, seen bool) {
	switch {
	case v.b.Status.CreatedAt != nil:
		return v.b.Status.CreatedAt.Time, true
	case v.seen.Batch != nil:
		return v.seen.Batch.CreatedAt.Truncate(time.Second), true
	default:
		return time.Time{}, v.b.Status.FileCounts != nil
	}
}

// pastDeadline reports whether the batch has been in progress for too long at a time.
func (v view) pastDeadline(at time.Time) bool {
	deadline, set := v.deadline()
	return set && !at.Before(deadline)
}

// cancelledByDeadline reports whether the cancel that the upstream took was the deadline's.
func (v view) cancelledByDeadline(status v1alpha1.VectorStoreFileBatchStatus) bool {
	return !CancelWanted(v.b) && status.CancelRequestedAt != nil && v.pastDeadline(status.CancelRequestedAt.Time)
}

// beforeDeadline makes sure that the next pass comes by the deadline, or by the time when the
// end of a batch that the deadline cancelled is not waited for any longer. A batch that is over
// has no deadline, but its object may have a time to live.
func (v view) beforeDeadline(d Decision) Decision {
	if d.Action != Rest || d.After <= 0 || d.Status.FinishedAt != nil {
		return d
	}
	by, set := v.deadline()
	if set && v.cancelledByDeadline(d.Status) {
		by = d.Status.CancelRequestedAt.Add(cancelGrace)
	}
	if wait := by.Sub(v.now); set && wait > 0 {
		d.By = wait
	}
	return d
}

// givenUp reports whether a batch that the deadline cancelled has had its time to end.
func (v view) givenUp() bool {
	return v.cancelledByDeadline(v.b.Status) && !v.now.Before(v.b.Status.CancelRequestedAt.Add(cancelGrace))
}

// lastLook looks once more at a batch that has had its time to end, and then tells the end.
func (v view) lastLook() Decision {
	seen := v.seen.Batch
	switch {
	case seen == nil && !v.seen.took(Retrieve):
		return v.do(Retrieve)
	case seen != nil && (seen.Status.Terminal() || v.failuresToList(*seen)):
		return v.sawBatch(*seen)
	default:
		return v.end(v.deadlineExceeded(countsOf(v.mirrored())))
	}
}

// deadlineExceeded is the state of a batch that was in progress for too long.
func (v view) deadlineExceeded(counts v1alpha1.FileCounts) state {
	return state{v1alpha1.ReasonDeadlineExceeded, fmt.Sprintf("the batch was in progress for longer than the %d seconds of spec.activeDeadlineSeconds and was cancelled; %d of %d files are in the vector store", *v.b.Spec.ActiveDeadlineSeconds, counts.Completed, counts.Total)}
}

// expiring decides about a finished object's time to live.
func (v view) expiring(d Decision) Decision {
	if v.b.Spec.TTLSecondsAfterFinished == nil || d.Status.FinishedAt == nil {
		return d
	}
	ttl := time.Duration(*v.b.Spec.TTLSecondsAfterFinished) * time.Second
	left := d.Status.FinishedAt.Add(ttl).Sub(v.now)
	if left > 0 {
		d.After, d.NotBefore, d.By = left, left, left
		return d
	}
	if !Finished(v.b) {
		// The end is told before the object goes.
		d.After, d.NotBefore = expireAtOnce, 0
		return d
	}
	return Decision{Action: Delete, Status: v.b.Status, Reset: true, Events: []Event{{
		Reason:  v1alpha1.ReasonTTLExpired,
		Message: fmt.Sprintf("deleting the object %s after its batch was over, as spec.ttlSecondsAfterFinished asks", ttl),
	}}}
}

const expireAtOnce = time.Millisecond

// suspended decides for an object that leaves the upstream alone.
func (v view) suspended() Decision {
	d := v.describe(state{v1alpha1.ReasonSuspended, "spec.suspend is set: the upstream is left alone"})
	d.Reset = true
	return d
}
