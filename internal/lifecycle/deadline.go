// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"math"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// cancelGrace is how long a batch may take to stop after the deadline cancelled it. Deadlines are
// for batches that are stuck, so the object does not wait for them to finish.
const cancelGrace = time.Minute

// deadline returns when the batch has been in progress for too long. The time counts from the
// later of the batch's creation and the object's, so that an old batch that is adopted has some
// time left. It is not known before the first poll: the object may be much older than its batch.
func (s scope) deadline() (at time.Time, set bool) {
	createdAt, known := s.createdAt()
	if s.b.Spec.ActiveDeadlineSeconds == nil || !known {
		return time.Time{}, false
	}
	start := s.b.CreationTimestamp.Time
	if createdAt.After(start) {
		start = createdAt
	}
	seconds := min(*s.b.Spec.ActiveDeadlineSeconds, int64(math.MaxInt64/time.Second))
	return start.Add(time.Duration(seconds) * time.Second), true
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

// pastDeadline reports whether the deadline has passed at a time.
func (s scope) pastDeadline(at time.Time) bool {
	deadline, set := s.deadline()
	return set && !at.Before(deadline)
}

// cancelledByDeadline reports whether the cancel that the API accepted was due to the deadline.
func (s scope) cancelledByDeadline(status v1alpha1.VectorStoreFileBatchStatus) bool {
	return !batch.CancelWanted(s.b) && status.CancelRequestTime != nil && s.pastDeadline(status.CancelRequestTime.Time)
}

// beforeDeadline requeues the object no later than the deadline, or the end of the grace period after
// it.
func (s scope) beforeDeadline(d Decision) Decision {
	if d.Action != Requeue || d.Status.CompletionTime != nil {
		return d
	}
	by, set := s.deadline()
	if set && s.cancelledByDeadline(d.Status) {
		by = d.Status.CancelRequestTime.Add(cancelGrace)
	}
	if wait := by.Sub(s.now); set && wait > 0 {
		d.RequeueAfter = min(d.RequeueAfter, wait)
	}
	return d
}

// cancelGraceExpired reports whether the grace period of a batch that the deadline cancelled has expired.
func (s scope) cancelGraceExpired() bool {
	return s.cancelledByDeadline(s.b.Status) && !s.now.Before(s.b.Status.CancelRequestTime.Add(cancelGrace))
}

// finalPoll polls the batch once more after the grace period, and finishes the object.
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
		return s.finish(s.deadlineExceeded(countsOf(s.mirrored())))
	}
}

// deadlineExceeded returns the condition of a batch that was in progress for too long.
func (s scope) deadlineExceeded(counts v1alpha1.FileCounts) condition {
	deadline := time.Duration(min(*s.b.Spec.ActiveDeadlineSeconds, int64(math.MaxInt64/time.Second))) * time.Second
	return condition{v1alpha1.ReasonDeadlineExceeded, fmt.Sprintf("Exceeded spec.activeDeadlineSeconds (%s) and was cancelled; %d of %d files are in the vector store", deadline, counts.Completed, counts.Total)}
}
