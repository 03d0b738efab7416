// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// finished decides for an object whose batch is finished. It makes no API calls. A changed
// maxFailedFiles is judged by the counts in the status.
func (s scope) finished() Decision {
	if s.finalizerMissing() {
		return s.act(AddFinalizer)
	}
	return s.finish(s.outcome(s.b.Status))
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
