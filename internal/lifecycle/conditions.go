// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// condition is the reason and the message of the object's conditions. The reason decides the
// statuses of all five.
type condition struct {
	reason  string
	message string
}

// row is a row of the table of conditions: their statuses for some reasons.
type row struct{ ready, reconciling, stalled, finished, succeeded metav1.ConditionStatus }

const (
	yes     = metav1.ConditionTrue
	no      = metav1.ConditionFalse
	unknown = metav1.ConditionUnknown
)

// The rows of the table. Generic tools take Ready=False for a final failure, so Ready is Unknown
// while the batch is running.
var (
	running   = row{ready: unknown, reconciling: yes, stalled: no, finished: no, succeeded: unknown}
	stalled   = row{ready: no, reconciling: no, stalled: yes, finished: no, succeeded: unknown}
	succeeded = row{ready: yes, reconciling: no, stalled: no, finished: yes, succeeded: yes}
	failed    = row{ready: no, reconciling: no, stalled: yes, finished: yes, succeeded: no}
	suspended = row{ready: unknown, reconciling: no, stalled: no, finished: no, succeeded: unknown}
	cancelled = row{ready: yes, reconciling: no, stalled: no, finished: yes, succeeded: no}
)

// rows is the table of conditions, by the reason of Ready.
var rows = map[string]row{
	v1alpha1.ReasonCreating:             running,
	v1alpha1.ReasonWaitingForRateLimit:  running,
	v1alpha1.ReasonCreateOutcomeUnknown: running,
	v1alpha1.ReasonInProgress:           running,
	v1alpha1.ReasonCancelling:           running,
	v1alpha1.ReasonCredentialsNotFound:  running,
	v1alpha1.ReasonRateLimited:          running,
	v1alpha1.ReasonUpstreamUnavailable:  running,
	v1alpha1.ReasonDeleting:             running,

	v1alpha1.ReasonSuspended: suspended,

	v1alpha1.ReasonBatchNotFound:       stalled,
	v1alpha1.ReasonInvalidSpec:         stalled,
	v1alpha1.ReasonRejected:            stalled,
	v1alpha1.ReasonEndpointNotAllowed:  stalled,
	v1alpha1.ReasonCredentialsRejected: stalled,

	v1alpha1.ReasonCompleted:           succeeded,
	v1alpha1.ReasonFilesFailed:         failed,
	v1alpha1.ReasonFilesMissing:        failed,
	v1alpha1.ReasonBatchFailed:         failed,
	v1alpha1.ReasonCancelled:           cancelled,
	v1alpha1.ReasonCancelledExternally: failed,
	v1alpha1.ReasonDeadlineExceeded:    failed,
	v1alpha1.ReasonCancelFailed:        failed,
}

// Polled reports whether the batch of an object whose Ready condition has this reason is polled
// regularly.
func Polled(reason string) bool {
	return reason == v1alpha1.ReasonInProgress || reason == v1alpha1.ReasonCancelling
}

// Progressing reports whether an object whose Ready condition has this reason should reach
// another state without anyone's help. An empty reason means that it was never reconciled.
func Progressing(reason string) bool {
	switch reason {
	case "", v1alpha1.ReasonCreating, v1alpha1.ReasonCreateOutcomeUnknown, v1alpha1.ReasonDeleting:
		return true
	default:
		return Polled(reason)
	}
}

// hindered reports whether an error keeps a running object from making progress.
func hindered(reason string) bool {
	switch reason {
	case v1alpha1.ReasonCreateOutcomeUnknown, v1alpha1.ReasonCredentialsNotFound,
		v1alpha1.ReasonRateLimited, v1alpha1.ReasonUpstreamUnavailable,
		v1alpha1.ReasonCredentialsRejected, v1alpha1.ReasonRejected, v1alpha1.ReasonBatchNotFound:
		return true
	default:
		return false
	}
}

// describe returns the status that the object has in a condition, and an Event if the reason is
// a new one.
func (s scope) describe(c condition) Decision {
	table := s.rowOf(c.reason)
	status := s.mirrored()
	status.ObservedGeneration = s.b.Generation
	if request := batch.ReconcileRequest(s.b); request != "" {
		status.LastHandledReconcileAt = request
	}
	if table.finished == yes && status.CompletionTime == nil {
		status.CompletionTime = &metav1.Time{Time: s.now.Truncate(time.Second)}
	}
	for _, line := range []struct {
		conditionType string
		status        metav1.ConditionStatus
	}{
		{v1alpha1.ConditionReady, table.ready},
		{v1alpha1.ConditionReconciling, table.reconciling},
		{v1alpha1.ConditionStalled, table.stalled},
		{v1alpha1.ConditionFinished, table.finished},
		{v1alpha1.ConditionSucceeded, table.succeeded},
	} {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: line.conditionType, Status: line.status, Reason: c.reason, Message: messageOf(line.conditionType, line.status, c),
			ObservedGeneration: s.b.Generation,
			LastTransitionTime: metav1.Time{Time: s.now.Truncate(time.Second)},
		})
	}
	s.setSuspended(&status)
	d := Decision{Action: Requeue, Status: status}
	if ready := s.ready(); ready == nil || ready.Reason != c.reason || ready.Status != table.ready {
		warning := table.ready == no || table == running && hindered(c.reason)
		d.Events = append(d.Events, Event{Warning: warning, Reason: c.reason, Message: c.message})
	}
	return d
}

// messageOf returns the message of a condition. Ready has the whole message, and so has Reconciling or
// Stalled if it is True, because generic tools show that one. The others state only their own case.
func messageOf(conditionType string, status metav1.ConditionStatus, c condition) string {
	final := rows[c.reason].finished == yes
	switch {
	case conditionType == v1alpha1.ConditionReady:
	case conditionType == v1alpha1.ConditionFinished && status == yes:
		return "The batch is finished"
	case conditionType == v1alpha1.ConditionFinished:
		return "The batch is not finished"
	case conditionType == v1alpha1.ConditionSucceeded && status == unknown:
		return "The result is known once the batch is finished"
	case conditionType == v1alpha1.ConditionSucceeded && status == yes:
		return "The files are in the vector store"
	case conditionType == v1alpha1.ConditionSucceeded:
		return "Not all files were added to the vector store"
	case status == yes:
	case conditionType == v1alpha1.ConditionStalled:
		return "The object does not have to be changed"
	case final:
		return "The operator has nothing left to do"
	case c.reason == v1alpha1.ReasonSuspended:
		return "The object is suspended"
	default:
		return "The object makes no progress until a user acts"
	}
	return c.message
}

// setSuspended sets the condition Suspended of an object that is or was suspended. The deadline depends on
// its transition time. The status that finishes an object shows that it was resumed, and no status after it
// changes that.
func (s scope) setSuspended(status *v1alpha1.VectorStoreFileBatchStatus) {
	finishing := status.CompletionTime != nil && !batch.Finished(s.b) && !batch.Suspended(s.b)
	if status.CompletionTime != nil && !finishing || !s.b.DeletionTimestamp.IsZero() {
		return
	}
	suspended := metav1.Condition{
		Type: v1alpha1.ConditionSuspended, Status: yes, Reason: v1alpha1.ReasonSuspended, Message: "spec.suspend is true",
		ObservedGeneration: s.b.Generation, LastTransitionTime: metav1.Time{Time: s.observed.startedAt(s.now).Truncate(time.Second)},
	}
	if !batch.Suspended(s.b) {
		if meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionSuspended) == nil {
			return
		}
		suspended.Status, suspended.Reason, suspended.Message = no, v1alpha1.ReasonResumed, "spec.suspend is not true any more"
	}
	meta.SetStatusCondition(&status.Conditions, suspended)
}

// rowOf returns the statuses of the conditions for a reason.
func (s scope) rowOf(reason string) row {
	if s.statuses != (row{}) {
		return s.statuses
	}
	return rows[reason]
}

// unjudged returns a scope in which the reason that the object has now keeps its statuses: they can be
// others than those of the table.
func (s scope) unjudged() scope {
	ready := s.ready()
	if ready == nil || s.currentCondition().reason != ready.Reason {
		return s
	}
	for _, statuses := range []row{running, stalled} {
		if exceptional(ready.Reason) && ready.Status == statuses.ready {
			return s.as(statuses)
		}
	}
	return s
}

// exceptional reports whether a reason can have other statuses than those of the table: a refusal is not
// final just after a change, and creates whose outcome is unknown are not repeated forever.
func exceptional(reason string) bool {
	switch reason {
	case v1alpha1.ReasonCredentialsRejected, v1alpha1.ReasonRejected, v1alpha1.ReasonBatchNotFound, v1alpha1.ReasonCreateOutcomeUnknown:
		return true
	default:
		return false
	}
}

// ready returns the Ready condition that the object has now; nil if it has none.
func (s scope) ready() *metav1.Condition {
	return meta.FindStatusCondition(s.b.Status.Conditions, v1alpha1.ConditionReady)
}

// currentCondition returns the condition that the object has now.
func (s scope) currentCondition() condition {
	ready := s.ready()
	if ready == nil || rows[ready.Reason] == (row{}) || ready.Reason == v1alpha1.ReasonSuspended {
		return s.undisturbed()
	}
	return condition{ready.Reason, ready.Message}
}

// undisturbed returns the condition of an object that no error holds up.
func (s scope) undisturbed() condition {
	accepted := s.accepted()
	switch {
	case accepted && s.cancelledByDeadline(s.mirrored()):
		return condition{v1alpha1.ReasonCancelling, "Deadline exceeded (spec.activeDeadlineSeconds); cancelling the batch"}
	case accepted && !batch.CancelWanted(s.b):
		return condition{v1alpha1.ReasonCancelling, "Cancellation requested" + s.overdue() + "; unsetting spec.cancel does not undo it"}
	case accepted:
		return condition{v1alpha1.ReasonCancelling, "Cancellation requested" + s.overdue()}
	case batch.CancelWanted(s.b):
		return condition{v1alpha1.ReasonCancelling, "Requesting cancellation"}
	case batch.ID(s.b) == "":
		return condition{v1alpha1.ReasonCreating, "Creating the batch"}
	case batch.Adopted(s.b):
		return condition{v1alpha1.ReasonInProgress, fmt.Sprintf("The API is processing the files of batch %s (adopted)%s", batch.ID(s.b), s.source())}
	default:
		return condition{v1alpha1.ReasonInProgress, fmt.Sprintf("The API is processing the files of batch %s%s", batch.ID(s.b), s.source())}
	}
}

// overdue returns for how long a cancelled batch has not stopped, in steps, so that the status is
// not written with each poll.
func (s scope) overdue() string {
	requestedAt := s.mirrored().CancelRequestTime
	for _, step := range []struct {
		time.Duration
		name string
	}{{24 * time.Hour, "a day"}, {time.Hour, "an hour"}, {10 * time.Minute, "10 minutes"}, {time.Minute, "a minute"}} {
		if s.now.Sub(requestedAt.Time) >= step.Duration {
			return " more than " + step.name + " ago; the batch has not stopped and may be stuck"
		}
	}
	return ""
}

// outcome returns the condition of a batch that is finished.
func (s scope) outcome(status v1alpha1.VectorStoreFileBatchStatus) condition {
	counts := countsOf(status)
	if ready := s.ready(); batch.Finished(s.b) && ready != nil && !judged(ready.Reason) {
		return condition{ready.Reason, ready.Message}
	}
	switch status.Status {
	case string(upstream.Completed):
		return s.completed(status, counts)
	case string(upstream.Cancelled):
		return s.cancelled(status, counts)
	default:
		return condition{v1alpha1.ReasonBatchFailed, fmt.Sprintf("Batch failed; %d of %d files failed%s", counts.Failed, counts.Total, seeFailedFiles(status)) + unreported(counts) + s.source()}
	}
}

// judged reports whether a final reason depends on spec.maxFailedFiles, which can be changed.
func judged(reason string) bool {
	return reason == v1alpha1.ReasonCompleted || reason == v1alpha1.ReasonFilesFailed
}

func countsOf(status v1alpha1.VectorStoreFileBatchStatus) v1alpha1.FileCounts {
	if status.FileCounts == nil {
		return v1alpha1.FileCounts{}
	}
	return *status.FileCounts
}

// completed judges a completed batch by its missing files, and by its failed ones.
func (s scope) completed(status v1alpha1.VectorStoreFileBatchStatus, counts v1alpha1.FileCounts) condition {
	allowed := batch.MaxFailedFiles(s.b)
	if files := s.files(counts); counts.Completed+counts.Failed < files && !batch.Finished(s.b) {
		return condition{v1alpha1.ReasonFilesMissing, filesMissing(status, counts, files) + s.source()}
	}
	if counts.Failed > allowed {
		return condition{v1alpha1.ReasonFilesFailed, fmt.Sprintf("%d of %d files failed (allowed: %d)%s", counts.Failed, counts.Total, allowed, seeFailedFiles(status)) + s.source()}
	}
	message := fmt.Sprintf("%d of %d files are in the vector store", counts.Completed, counts.Total)
	if counts.Failed > 0 {
		message += fmt.Sprintf("; %d failed (allowed: %d)", counts.Failed, allowed)
	}
	if batch.CancelWanted(s.b) {
		message += "; the batch completed before it could be cancelled"
	}
	return condition{v1alpha1.ReasonCompleted, message + s.source()}
}

// files returns how many files the batch should have: those of the spec, each counted once, or those of
// an adopted batch.
func (s scope) files(counts v1alpha1.FileCounts) int32 {
	files, err := batch.Files(s.b)
	if err != nil { // the spec of an adopted batch names no files
		return counts.Total
	}
	return int32(files) // at most 2000
}

// filesMissing returns the message about a completed batch that does not have all files.
func filesMissing(status v1alpha1.VectorStoreFileBatchStatus, counts v1alpha1.FileCounts, files int32) string {
	message := fmt.Sprintf("The batch completed, but %d of %d files are in the vector store", counts.Completed, files)
	if counts.Failed > 0 {
		message += fmt.Sprintf("; %d failed%s", counts.Failed, seeFailedFiles(status))
	}
	if counts.Cancelled > 0 {
		message += fmt.Sprintf("; %d were cancelled", counts.Cancelled)
	}
	message += unreported(counts)
	if counts.Total < files {
		message += fmt.Sprintf("; the server created a batch of %d. Servers that ignore spec.files do so: create a new object with spec.fileIDs instead", counts.Total)
	}
	return message
}

// unreported returns the part of a message about files whose result the server does not report.
func unreported(counts v1alpha1.FileCounts) string {
	if counts.InProgress == 0 {
		return ""
	}
	return fmt.Sprintf("; the server does not report the result of %d", counts.InProgress)
}

// seeFailedFiles refers to the list of failed files, if there is one.
func seeFailedFiles(status v1alpha1.VectorStoreFileBatchStatus) string {
	if len(status.FailedFiles) == 0 {
		return ""
	}
	return "; see status.failedFiles"
}

// cancelled distinguishes a cancel that this object requested from one by someone else. A
// judgement is final: a spec.cancel that is set afterwards requested nothing.
func (s scope) cancelled(status v1alpha1.VectorStoreFileBatchStatus, counts v1alpha1.FileCounts) condition {
	uncertain := s.observed.performed(Cancel) && !batch.CancelWanted(s.b) && s.b.Spec.ActiveDeadlineSeconds != nil && s.b.Status.CancelRequestTime == nil
	if uncertain || s.cancelledByDeadline(status) || s.exceeded() && !batch.CancelWanted(s.b) && status.CancelRequestTime == nil {
		// The creation time that came with the cancel can postpone the deadline, or the status was lost.
		return s.deadlineExceeded(counts)
	}
	if status.CancelRequestTime == nil && !batch.CancelWanted(s.b) {
		return condition{v1alpha1.ReasonCancelledExternally, fmt.Sprintf("Batch was cancelled outside this object; %d of %d files are in the vector store%s%s", counts.Completed, counts.Total, unreported(counts), s.source())}
	}
	if batch.ID(s.b) == "" {
		return condition{v1alpha1.ReasonCancelled, "Cancelled before the batch was created"}
	}
	return condition{v1alpha1.ReasonCancelled, fmt.Sprintf("Cancelled as requested; %d of %d files are in the vector store%s%s", counts.Completed, counts.Total, unreported(counts), s.source())}
}
