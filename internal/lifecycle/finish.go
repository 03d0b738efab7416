// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// finished decides for an object whose batch is finished. It makes no API calls, except for a list of
// failed files that could not be read at the end. A changed maxFailedFiles is judged by the counts in the
// status.
func (s scope) finished() Decision {
	if s.finalizerMissing() {
		return s.act(AddFinalizer)
	}
	d := s.finish(s.outcome(s.mirrored()))
	if d.Action == Requeue && s.listPending() {
		if s.due(ListFailedFiles) {
			return s.act(ListFailedFiles)
		}
		d.State = s.observed.State
		d.RequeueAfter = sooner(d.RequeueAfter, d.State.NextCall.Sub(s.now))
	}
	return d
}

const (
	// listTimeout is for how long after the end of a batch a list of its failed files is asked for again.
	listTimeout = time.Hour
	// maxListBackoff is the longest wait between two of those attempts.
	maxListBackoff = 10 * time.Minute
)

// listPending reports whether the failed files of a finished batch could not be listed and are to be listed
// again. Only the process that tried it knows that: after a restart they are not.
func (s scope) listPending() bool {
	state := s.observed.State
	return state.Failed == ListFailedFiles && !s.observed.performed(ListFailedFiles) &&
		failedFilesMissing(s.b.Status) && !batch.Suspended(s.b) && s.now.Before(s.b.Status.CompletionTime.Add(listTimeout))
}

// failedFilesMissing reports whether a status lists fewer failed files than it can.
func failedFilesMissing(status v1alpha1.VectorStoreFileBatchStatus) bool {
	return int64(len(status.FailedFiles)) < min(int64(countsOf(status).Failed), v1alpha1.MaxFailedFilesListed)
}

// listAgain schedules another attempt to list the failed files of a finished batch, if the last one failed
// and the API did not refuse it.
func (s scope) listAgain(d Decision) Decision {
	err := s.observed.Err
	if s.observed.lastAction() != ListFailedFiles || err == nil || refused(err) || !failedFilesMissing(d.Status) || batch.Suspended(s.b) {
		return d
	}
	state := s.withFailure(ListFailedFiles)
	wait := max(backoff(minBackoff, maxListBackoff, state.Failures), notBefore(err))
	wait = max(time.Duration(float64(wait)*(1+s.observed.Jitter)), notBefore(err))
	if state.NextCall = s.now.Add(wait); !state.NextCall.Before(d.Status.CompletionTime.Add(listTimeout)) {
		return d
	}
	d.State, d.RequeueAfter = State{Backoff: state.Backoff}, sooner(d.RequeueAfter, wait)
	return d
}

// sooner returns the shorter one of two waits, of which the first is zero if there is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// finish ends a reconciliation in a condition in which the batch is finished. The next one removes
// the finalizer if the deletion has nothing left to do, or adds it for DetachFiles: after a crash
// between the two, the status shows that this is due.
func (s scope) finish(c condition) Decision {
	d := s.expire(s.describe(c))
	after := &v1alpha1.VectorStoreFileBatch{ObjectMeta: s.b.ObjectMeta, Spec: s.b.Spec, Status: d.Status}
	if d.Action == Requeue && batch.HasFinalizer(after) != batch.NeedsFinalizer(after) {
		d.RequeueAfter = finalizerNow
	}
	if d.Action == Requeue {
		d = s.listAgain(d)
	}
	return d
}

// finalizerNow is how soon an object is reconciled before or after its finalizer is removed.
const finalizerNow = time.Millisecond

// dropFinalizer returns the decision to remove the finalizer of an object that is not being deleted.
func (s scope) dropFinalizer() Decision {
	return Decision{Action: RemoveFinalizer, Status: s.b.Status, State: s.observed.State, RequeueAfter: finalizerNow}
}

// finalizerUnneeded reports whether the object has the finalizer though its deletion has nothing to do
// at the API: then nothing may block the deletion, not even that the operator is uninstalled.
func (s scope) finalizerUnneeded() bool {
	return s.b.DeletionTimestamp.IsZero() && batch.HasFinalizer(s.b) && !batch.NeedsFinalizer(s.b) && len(s.observed.Actions) == 0
}

// expireNow is how soon an object whose time to live has expired is deleted after its result
// is persisted.
const expireNow = time.Millisecond

// expire applies ttlSecondsAfterFinished to a finished object.
func (s scope) expire(d Decision) Decision {
	if s.b.Spec.TTLSecondsAfterFinished == nil || d.Status.CompletionTime == nil {
		return d
	}
	ttl := time.Duration(*s.b.Spec.TTLSecondsAfterFinished) * time.Second
	if left := d.Status.CompletionTime.Add(ttl).Sub(s.now); left > 0 {
		d.RequeueAfter = left
		return d
	}
	if !batch.Finished(s.b) {
		d.RequeueAfter = expireNow
		return d
	}
	return Decision{Action: Delete, Status: s.b.Status, Events: []Event{{
		Reason:  v1alpha1.ReasonTTLExpired,
		Message: fmt.Sprintf("Deleting the object %s after its batch finished (spec.ttlSecondsAfterFinished)", ttl),
	}}}
}

// suspended decides for an object for which no API calls are made.
func (s scope) suspended() Decision {
	return s.describe(condition{v1alpha1.ReasonSuspended, "Suspended (spec.suspend): the operator makes no API calls. A batch that is already running continues"})
}
