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
	detaches := batch.DeletionPolicy(s.b) == v1alpha1.DeletionPolicyDetachFiles && batch.ID(s.b) != ""
	if detaches && !batch.HasFinalizer(s.b) && !s.observed.performed(AddFinalizer) {
		return s.act(AddFinalizer)
	}
	return s.finish(s.outcome(s.b.Status))
}

// finish ends a reconciliation in a condition in which the batch is finished.
func (s scope) finish(c condition) Decision { return s.expire(s.describe(c)) }

// expireNow is how soon an object whose time to live has expired is deleted after its result
// is persisted.
const expireNow = time.Millisecond

// expire applies ttlSecondsAfterFinished to a finished object.
func (s scope) expire(d Decision) Decision {
	if s.b.Spec.TTLSecondsAfterFinished == nil || d.Status.FinishedAt == nil {
		return d
	}
	ttl := time.Duration(*s.b.Spec.TTLSecondsAfterFinished) * time.Second
	if left := d.Status.FinishedAt.Add(ttl).Sub(s.now); left > 0 {
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
