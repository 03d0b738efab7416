// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// state is what the conditions say: a reason, which decides all five, and words for a person.
type state struct {
	reason  string
	message string
}

// row is a line of the table of conditions: their statuses in one state.
type row struct{ ready, reconciling, stalled, finished, succeeded metav1.ConditionStatus }

const (
	yes     = metav1.ConditionTrue
	no      = metav1.ConditionFalse
	unknown = metav1.ConditionUnknown
)

// The lines of the table. Ready is False only in a final judgement, as generic tools read it
// as one; while the batch goes on, Ready is Unknown.
var (
	going     = row{ready: unknown, reconciling: yes, stalled: no, finished: no, succeeded: unknown}
	stalled   = row{ready: no, reconciling: no, stalled: yes, finished: no, succeeded: unknown}
	succeeded = row{ready: yes, reconciling: no, stalled: no, finished: yes, succeeded: yes}
	failed    = row{ready: no, reconciling: no, stalled: yes, finished: yes, succeeded: no}
	suspended = row{ready: unknown, reconciling: no, stalled: no, finished: no, succeeded: unknown}
	cancelled = row{ready: yes, reconciling: no, stalled: no, finished: yes, succeeded: no}
)

// rows is the table of conditions, by the reason of Ready.
var rows = map[string]row{
	v1alpha1.ReasonCreating:             going,
	v1alpha1.ReasonWaiting:              going,
	v1alpha1.ReasonCreateOutcomeUnknown: going,
	v1alpha1.ReasonInProgress:           going,
	v1alpha1.ReasonCancelling:           going,
	v1alpha1.ReasonCredentialsNotFound:  going,
	v1alpha1.ReasonRateLimited:          going,
	v1alpha1.ReasonUpstreamUnavailable:  going,
	v1alpha1.ReasonDeleting:             going,

	v1alpha1.ReasonSuspended: suspended,

	v1alpha1.ReasonBatchNotFound:       stalled,
	v1alpha1.ReasonRejected:            stalled,
	v1alpha1.ReasonCredentialsRejected: stalled,

	v1alpha1.ReasonCompleted:           succeeded,
	v1alpha1.ReasonFilesFailed:         failed,
	v1alpha1.ReasonBatchFailed:         failed,
	v1alpha1.ReasonCancelled:           cancelled,
	v1alpha1.ReasonCancelledExternally: failed,
	v1alpha1.ReasonDeadlineExceeded:    failed,
}

// describe gives the status that the object has in a state, and the Event that tells of it
// where the state is a new one.
func (v view) describe(s state) Decision {
	table := rows[s.reason]
	status := v.mirrored()
	status.ObservedGeneration = v.b.Generation
	if table.finished == yes && status.FinishedAt == nil {
		status.FinishedAt = &metav1.Time{Time: v.now.Truncate(time.Second)}
	}
	for _, condition := range []struct {
		kind   string
		status metav1.ConditionStatus
	}{
		{v1alpha1.ConditionReady, table.ready},
		{v1alpha1.ConditionReconciling, table.reconciling},
		{v1alpha1.ConditionStalled, table.stalled},
		{v1alpha1.ConditionFinished, table.finished},
		{v1alpha1.ConditionSucceeded, table.succeeded},
	} {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: condition.kind, Status: condition.status, Reason: s.reason, Message: s.message,
			ObservedGeneration: v.b.Generation,
			LastTransitionTime: metav1.Time{Time: v.now.Truncate(time.Second)},
		})
	}
	d := Decision{Action: Rest, Status: status}
	if ready := v.ready(); ready == nil || ready.Reason != s.reason {
		warning := table.ready == no || table == going && problem(s.reason)
		d.Events = append(d.Events, Event{Warning: warning, Reason: s.reason, Message: s.message})
	}
	return d
}

// problem reports whether a state that goes on does so in spite of something.
func problem(reason string) bool {
	switch reason {
	case v1alpha1.ReasonCreateOutcomeUnknown, v1alpha1.ReasonCredentialsNotFound,
		v1alpha1.ReasonRateLimited, v1alpha1.ReasonUpstreamUnavailable:
		return true
	default:
		return false
	}
}

// ready is the Ready condition that the object has now.
func (v view) ready() *metav1.Condition {
	return meta.FindStatusCondition(v.b.Status.Conditions, v1alpha1.ConditionReady)
}

// currentState is the state that the object's conditions tell of.
func (v view) currentState() state {
	ready := v.ready()
	if ready == nil || rows[ready.Reason] == (row{}) || ready.Reason == v1alpha1.ReasonSuspended {
		return v.running()
	}
	return state{ready.Reason, ready.Message}
}

// running is the state of a batch, or of one to be, that goes on undisturbed.
func (v view) running() state {
	latched := v.b.Status.CancelRequestedAt != nil || v.cancelTaken()
	switch {
	case latched && v.cancelledByDeadline(v.mirrored()):
		return state{v1alpha1.ReasonCancelling, "spec.activeDeadlineSeconds is over, and the upstream was asked to cancel the batch"}
	case latched && !CancelWanted(v.b):
		return state{v1alpha1.ReasonCancelling, "the upstream was asked to cancel the batch" + v.overdue() + "; unsetting spec.cancel does not take that back"}
	case latched:
		return state{v1alpha1.ReasonCancelling, "the upstream was asked to cancel the batch" + v.overdue()}
	case CancelWanted(v.b):
		return state{v1alpha1.ReasonCancelling, "the upstream is about to be asked to cancel the batch"}
	case ID(v.b) == "":
		return state{v1alpha1.ReasonCreating, "the batch is about to be created"}
	case Adopted(v.b):
		return state{v1alpha1.ReasonInProgress, fmt.Sprintf("the upstream is processing the files of batch %s, which was adopted", ID(v.b))}
	default:
		return state{v1alpha1.ReasonInProgress, fmt.Sprintf("the upstream is processing the files of batch %s", ID(v.b))}
	}
}

// overdue says for how long the upstream has not ended a batch that it was asked to cancel, in
// steps, so that the status is not written each time somebody looks.
func (v view) overdue() string {
	latch := v.mirrored().CancelRequestedAt
	for _, step := range []struct {
		time.Duration
		name string
	}{{24 * time.Hour, "a day"}, {time.Hour, "an hour"}, {10 * time.Minute, "10 minutes"}, {time.Minute, "a minute"}} {
		if v.now.Sub(latch.Time) >= step.Duration {
			return " more than " + step.name + " ago, and has not ended it yet: it may be stuck there"
		}
	}
	return ""
}

// outcome is the state of a batch that is over.
func (v view) outcome(status v1alpha1.VectorStoreFileBatchStatus) state {
	counts := countsOf(status)
	if ready := v.ready(); Finished(v.b) && ready != nil && ready.Reason == v1alpha1.ReasonDeadlineExceeded {
		return state{ready.Reason, ready.Message}
	}
	switch status.Status {
	case string(upstream.Completed):
		return v.completed(status, counts)
	case string(upstream.Cancelled):
		return v.cancelled(status, counts)
	default:
		return state{v1alpha1.ReasonBatchFailed, fmt.Sprintf("the upstream gave the batch up; %d of %d files failed%s", counts.Failed, counts.Total, whereToLook(status))}
	}
}

func countsOf(status v1alpha1.VectorStoreFileBatchStatus) v1alpha1.FileCounts {
	if status.FileCounts == nil {
		return v1alpha1.FileCounts{}
	}
	return *status.FileCounts
}

func (v view) completed(status v1alpha1.VectorStoreFileBatchStatus, counts v1alpha1.FileCounts) state {
	if counts.Failed > maxFailedFiles(v.b) {
		return state{v1alpha1.ReasonFilesFailed, fmt.Sprintf("%d of %d files failed, and spec.maxFailedFiles is %d%s", counts.Failed, counts.Total, maxFailedFiles(v.b), whereToLook(status))}
	}
	message := fmt.Sprintf("%d of %d files are in the vector store", counts.Completed, counts.Total)
	if counts.Failed > 0 {
		message += fmt.Sprintf("; %d failed, which spec.maxFailedFiles allows", counts.Failed)
	}
	if CancelWanted(v.b) {
		message += "; it completed before it could be cancelled"
	}
	return state{v1alpha1.ReasonCompleted, message}
}

// whereToLook points to the reasons of failures, where the upstream gave any.
func whereToLook(status v1alpha1.VectorStoreFileBatchStatus) string {
	if len(status.FailedFiles) == 0 {
		return ""
	}
	return ": see status.failedFiles"
}

// cancelled tells a cancel that was asked for from one that came from elsewhere. What was
// decided once stays: a spec.cancel that is set afterwards asked for nothing.
func (v view) cancelled(status v1alpha1.VectorStoreFileBatchStatus, counts v1alpha1.FileCounts) state {
	if ready := v.ready(); Finished(v.b) && ready != nil {
		return state{ready.Reason, ready.Message}
	}
	if v.cancelledByDeadline(status) {
		return v.deadlineExceeded(counts)
	}
	if status.CancelRequestedAt == nil && !CancelWanted(v.b) {
		return state{v1alpha1.ReasonCancelledExternally, fmt.Sprintf("the batch was cancelled, though spec.cancel did not ask for it; %d of %d files are in the vector store", counts.Completed, counts.Total)}
	}
	if ID(v.b) == "" {
		return state{v1alpha1.ReasonCancelled, "cancelled before anything was created"}
	}
	return state{v1alpha1.ReasonCancelled, fmt.Sprintf("cancelled as asked; %d of %d files were in the vector store by then", counts.Completed, counts.Total)}
}
