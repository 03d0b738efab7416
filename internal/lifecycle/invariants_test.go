// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// question is what the rules were asked.
type input struct {
	b        *object
	observed lifecycle.Observed
	now      time.Time
}

// checkDecision says what is wrong with an answer to a question, whatever the world may be
// like; nil where nothing is.
func checkDecision(q input, d lifecycle.Decision) error {
	switch d.Action {
	case lifecycle.Requeue:
		if !q.b.DeletionTimestamp.IsZero() && !batch.HasFinalizer(q.b) {
			return checkUntouched(q, d)
		}
		if err := checkStatus(q.b, d.Status); err != nil {
			return err
		}
		if acceptedCancel(q) && d.Status.CancelRequestedAt == nil {
			return fmt.Errorf("the upstream took a cancel, and the status does not say so")
		}
		if err := checkSuspension(q, d); err != nil {
			return err
		}
		if err := checkPunctual(q, d); err != nil {
			return err
		}
		return checkRequeue(q, d)
	case lifecycle.Delete:
		return checkDelete(q, d)
	case lifecycle.RemoveFinalizer:
		return checkRemoveFinalizer(q, d)
	case lifecycle.AddFinalizer, lifecycle.RecordBatchID, lifecycle.ClearCreatePending, lifecycle.Create, lifecycle.VerifyCreate, lifecycle.Poll, lifecycle.Cancel, lifecycle.ListFailedFiles, lifecycle.Detach:
		return checkAction(q, d.Action)
	}
	return fmt.Errorf("%d is no action", d.Action)
}

func checkUntouched(q input, d lifecycle.Decision) error {
	if d.RequeueAfter != 0 || !reflect.DeepEqual(d.Status, q.b.Status) {
		return fmt.Errorf("an object that is let go has another status, or is looked at again after %s", d.RequeueAfter)
	}
	return nil
}

// asksUpstream reports whether an action is a call to the upstream.
func callsAPI(action lifecycle.Action) bool {
	switch action {
	case lifecycle.Create, lifecycle.VerifyCreate, lifecycle.Poll, lifecycle.Cancel, lifecycle.ListFailedFiles, lifecycle.Detach:
		return true
	case lifecycle.Requeue, lifecycle.AddFinalizer, lifecycle.RecordBatchID, lifecycle.ClearCreatePending, lifecycle.Delete, lifecycle.RemoveFinalizer:
	}
	return false
}

func changesAPI(action lifecycle.Action) bool {
	return action == lifecycle.Create || action == lifecycle.Cancel || action == lifecycle.Detach
}

// deadlineOf is when a batch has been in progress for too long. It is not known before the
// batch was seen.
func deadlineOf(q input) (at time.Time, known bool) {
	if q.b.Spec.ActiveDeadlineSeconds == nil {
		return time.Time{}, false
	}
	since := q.b.CreationTimestamp.Time
	switch {
	case q.b.Status.CreatedAt != nil:
		since = later(since, q.b.Status.CreatedAt.Time)
	case q.observed.Batch != nil:
		since = later(since, q.observed.Batch.CreatedAt)
	case q.b.Status.FileCounts == nil:
		return time.Time{}, false
	}
	return since.Add(time.Duration(*q.b.Spec.ActiveDeadlineSeconds) * time.Second), true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pastDeadline reports whether the deadline asks for a cancel.
func pastDeadline(q input) bool {
	at, known := deadlineOf(q)
	return known && !q.now.Before(at) && !batch.Suspended(q.b) && !finishedAtAPI(q)
}

// over reports whether the upstream's batch is over, as far as is known.
func finishedAtAPI(q input) bool {
	return upstream.Status(q.b.Status.Status).Terminal() || q.observed.Batch != nil && q.observed.Batch.Status.Terminal()
}

// leftAlone reports whether the upstream must hear nothing about an object.
func mustNotCall(q input) bool {
	return batch.Suspended(q.b) && !batch.CancelWanted(q.b) && q.b.DeletionTimestamp.IsZero() &&
		(q.b.Status.CancelRequestedAt == nil && !acceptedCancel(q) || batch.ID(q.b) == "")
}

func detaches(b *object) bool { return b.Spec.DeletionPolicy == v1alpha1.DeletionPolicyDetachFiles }

// tookAway reports whether this pass has taken all files out of the store.
func detachedAll(q input) bool {
	return slices.Contains(q.observed.Actions, lifecycle.Detach) && q.observed.Err == nil && q.observed.Detached.Remaining == 0
}

// seenGone reports whether this pass was told that there is no batch, and may believe it.
func confirmedGone(q input) bool {
	since := q.b.CreationTimestamp.Time
	switch {
	case q.b.Status.CreatedAt != nil:
		since = q.b.Status.CreatedAt.Time
	case !q.b.DeletionTimestamp.IsZero() && !batch.Adopted(q.b):
		since = q.b.DeletionTimestamp.Time // it may have been created just before
	}
	return slices.Contains(q.observed.Actions, lifecycle.Poll) && q.observed.Err != nil && q.observed.Err.Kind == upstream.NotFound &&
		q.now.Sub(since) >= config.NotFoundGrace
}

// cancelTaken reports whether the upstream took a cancel, as far as this process knows.
func acceptedCancel(q input) bool {
	id := batch.ID(q.b)
	return id != "" && q.observed.State.CancelledID == id
}

// givesUpAt is when a deletion must end: it may take longer only while files are taken out, or
// where an earlier process took some out and nobody knows when.
func finalizeDeadline(q input) time.Time {
	since := later(q.b.DeletionTimestamp.Time, q.observed.State.DetachedAt)
	failed := slices.Contains(q.observed.Actions, lifecycle.Detach) && q.observed.Err != nil
	if failed && q.b.Status.DetachedFiles > 0 && q.observed.State.DetachedAt.IsZero() {
		since = later(since, q.now)
	}
	return since.Add(config.FinalizeTimeout)
}

// secondEffect reports whether an action may change the upstream once more in a pass: a cancel
// that was answered with a 404 has changed nothing.
func secondEffect(q input, action lifecycle.Action) bool {
	failed := action == lifecycle.Detach && !acceptedCancel(q) && confirmedGone(q)
	return changesAPI(action) && slices.ContainsFunc(q.observed.Actions, changesAPI) && !failed
}

// checkAction holds the actions of a pass against what may follow what.
func checkAction(q input, action lifecycle.Action) error {
	deleted := !q.b.DeletionTimestamp.IsZero()
	switch {
	case slices.Contains(q.observed.Actions, action):
		return fmt.Errorf("%s twice in a pass", action)
	case secondEffect(q, action):
		return fmt.Errorf("%s is the second effect on the upstream in one pass, after %v", action, q.observed.Actions)
	case callsAPI(action) && batch.Finished(q.b) && action != lifecycle.Detach:
		return fmt.Errorf("%s after the batch is over", action)
	case callsAPI(action) && mustNotCall(q):
		return fmt.Errorf("%s for a suspended object", action)
	case deleted && !batch.HasFinalizer(q.b):
		return fmt.Errorf("%s for an object that was let go", action)
	case deleted && q.b.Spec.DeletionPolicy == v1alpha1.DeletionPolicyOrphan:
		return fmt.Errorf("%s for a deleted object that is to be orphaned", action)
	}
	return checkCall(q, action)
}

// checkCall holds an action against the object that it is for.
func checkCall(q input, action lifecycle.Action) error {
	switch action {
	case lifecycle.Create:
		return checkCreate(q)
	case lifecycle.Poll:
		if cancelForgotten(q) {
			return fmt.Errorf("looked at a batch that is to be cancelled before cancelling it")
		}
	case lifecycle.Cancel:
		if q.b.DeletionTimestamp.IsZero() && !batch.CancelWanted(q.b) && !pastDeadline(q) {
			return fmt.Errorf("cancelled though nobody asked for it")
		}
		if q.b.Status.CancelRequestedAt != nil || acceptedCancel(q) {
			return fmt.Errorf("cancelled again")
		}
	case lifecycle.Detach:
		return checkDetach(q)
	case lifecycle.Requeue, lifecycle.AddFinalizer, lifecycle.RecordBatchID, lifecycle.ClearCreatePending, lifecycle.VerifyCreate, lifecycle.ListFailedFiles, lifecycle.Delete, lifecycle.RemoveFinalizer:
	}
	return nil
}

// checkDetach says whether files are taken out of the store unasked, or while a batch that can
// be cancelled may put them back.
func checkDetach(q input) error {
	startedAt, pending := batch.CreatePending(q.b, q.now)
	inFlight := q.now.Before(startedAt.Add(config.RequestTimeout+batch.ClockSkew)) && !q.observed.State.CreateAnswered
	stopped := batch.Finished(q.b) || q.b.Status.CancelRequestedAt != nil || upstream.Status(q.b.Status.Status).Terminal()
	switch {
	case q.b.DeletionTimestamp.IsZero() || !detaches(q.b):
		return fmt.Errorf("detached files though nobody asked for it")
	case batch.ID(q.b) == "" && !pending:
		return fmt.Errorf("detached files of a batch that was never created")
	case batch.ID(q.b) == "" && inFlight:
		return fmt.Errorf("detached files while a create may be under way")
	case batch.ID(q.b) != "" && !stopped && !confirmedGone(q):
		return fmt.Errorf("detached files of a batch that may still run")
	}
	return nil
}

// checkRelease says whether an object is let go before its deletionPolicy was carried out.
func checkRemoveFinalizer(q input, d lifecycle.Decision) error {
	if q.b.DeletionTimestamp.IsZero() || !batch.HasFinalizer(q.b) {
		return fmt.Errorf("released an object that is not deleted, or not held")
	}
	_, pending := batch.CreatePending(q.b, q.now)
	nothing := batch.ID(q.b) == "" && q.observed.State.CreatedID == "" && (!pending || batch.Finished(q.b))
	warned := slices.ContainsFunc(d.Events, func(e lifecycle.Event) bool { return e.Warning && strings.Contains(e.Message, "may be ") })
	gaveUp := warned && !q.now.Before(finalizeDeadline(q))
	if detaches(q.b) && !detachedAll(q) && !nothing && !gaveUp {
		return fmt.Errorf("let go with files in the store, without a word")
	}
	return checkUntouched(q, d)
}

// checkDelete says whether an object is deleted that should stay.
func checkDelete(q input, d lifecycle.Decision) error {
	after, finishedAt := q.b.Spec.TTLSecondsAfterFinished, q.b.Status.FinishedAt
	switch {
	case !q.b.DeletionTimestamp.IsZero() || !batch.Finished(q.b):
		return fmt.Errorf("deleted an object that is not over, or deleted already")
	case after == nil || finishedAt == nil || q.now.Before(finishedAt.Add(time.Duration(*after)*time.Second)):
		return fmt.Errorf("deleted an object whose time is not over")
	case detaches(q.b) && batch.ID(q.b) != "" && !batch.HasFinalizer(q.b):
		return fmt.Errorf("deleted an object that nothing holds back until its files are detached")
	case len(d.Events) != 1 || d.Events[0].Reason != v1alpha1.ReasonTTLExpired || d.Events[0].Warning:
		return fmt.Errorf("deleted an object, telling %+v", d.Events)
	}
	return checkUntouched(q, d)
}

// checkSuspension says whether an object is suspended that should not be, or the other way.
func checkSuspension(q input, d lifecycle.Decision) error {
	events := reasonOf(d.Status) == v1alpha1.ReasonSuspended
	if want := mustNotCall(q) && !batch.Finished(q.b); events != want {
		return fmt.Errorf("%s is told, and that the object is to be left alone is %t", reasonOf(d.Status), want)
	}
	if events && d.RequeueAfter != 0 {
		return fmt.Errorf("a suspended object is requeued after %s", d.RequeueAfter)
	}
	return nil
}

// checkBy says whether the next pass may come too late for what a time was set for.
func checkPunctual(q input, d lifecycle.Decision) error {
	by, set := latestRequeue(q, d)
	if left := by.Sub(q.now); set && left > 0 && (d.RequeueAfter <= 0 || d.RequeueAfter > left) {
		return fmt.Errorf("requeued after %s, and something is due in %s", d.RequeueAfter, left)
	}
	return nil
}

// lastMoment is when the pass upon a decision to rest must come at the latest.
func latestRequeue(q input, d lifecycle.Decision) (at time.Time, set bool) {
	switch {
	case !q.b.DeletionTimestamp.IsZero():
		return finalizeDeadline(q), true
	case batch.ID(q.b) == "" || d.RequeueAfter <= 0 || meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionFinished):
		return time.Time{}, false
	}
	at, set = deadlineOf(q)
	acceptedAt := d.Status.CancelRequestedAt
	if set && acceptedAt != nil && !acceptedAt.Time.Before(at) && !batch.CancelWanted(q.b) {
		return acceptedAt.Add(time.Minute), true
	}
	return at, set && acceptedAt == nil
}

func checkCreate(q input) error {
	if id := batch.ID(q.b); id != "" {
		return fmt.Errorf("created though batch %s is known", id)
	}
	if q.observed.State.CreatedID != "" {
		return fmt.Errorf("created though batch %s was created", q.observed.State.CreatedID)
	}
	if !q.b.DeletionTimestamp.IsZero() {
		return fmt.Errorf("created for a deleted object")
	}
	if _, err := batch.CreateRequest(q.b); err != nil {
		return fmt.Errorf("created from an invalid spec: %w", err)
	}
	return nil
}

// cancelForgotten reports whether a cancel is wanted, by the spec or by the deadline, that this
// pass has not tried, and that does not wait for its own failures.
func cancelForgotten(q input) bool {
	waits := q.observed.State.Failed == lifecycle.Cancel && q.observed.State.Failures > 0 && q.now.Before(q.observed.State.NextCall)
	return (batch.CancelWanted(q.b) || pastDeadline(q)) && q.b.Status.CancelRequestedAt == nil && !acceptedCancel(q) &&
		!slices.Contains(q.observed.Actions, lifecycle.Cancel) && !waits
}

// checkStatus holds a status against the table of conditions, against the bounds of the CRD,
// and against the one before it.
func checkStatus(before *object, status v1alpha1.VectorStoreFileBatchStatus) error {
	if status.ObservedGeneration != before.Generation {
		return fmt.Errorf("observedGeneration is %d, and the generation %d", status.ObservedGeneration, before.Generation)
	}
	if err := checkConditions(status); err != nil {
		return err
	}
	for _, condition := range status.Conditions {
		old := meta.FindStatusCondition(before.Status.Conditions, condition.Type)
		if old != nil && old.Status == condition.Status && !old.LastTransitionTime.Equal(&condition.LastTransitionTime) {
			return fmt.Errorf("%s stayed %s, and its lastTransitionTime moved", condition.Type, condition.Status)
		}
	}
	finished := meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionFinished)
	if finished != (status.FinishedAt != nil) && !undoing(before) {
		return fmt.Errorf("finishedAt is %v, and Finished %t", status.FinishedAt, finished)
	}
	if batch.Finished(before) && !undoing(before) {
		if err := checkFinal(before.Status, status); err != nil {
			return err
		}
	}
	return checkBounds(status)
}

// undone reports whether what a batch brought about is being undone: an object that is over
// goes on once more then.
func undoing(b *object) bool { return !b.DeletionTimestamp.IsZero() && detaches(b) }

// checkConditions holds the five conditions against the line of the table for their reason.
func checkConditions(status v1alpha1.VectorStoreFileBatchStatus) error {
	reason := reasonOf(status)
	row, known := rowOf(reason)
	if !known {
		return fmt.Errorf("the table has no line for %q", reason)
	}
	if len(status.Conditions) != len(row.conditions()) {
		return fmt.Errorf("%d conditions stand", len(status.Conditions))
	}
	if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReconciling) && meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStalled) {
		return fmt.Errorf("reconciling and stalled at once")
	}
	for _, want := range row.conditions() {
		got := meta.FindStatusCondition(status.Conditions, want.Type)
		switch {
		case got == nil:
			return fmt.Errorf("%s does not stand", want.Type)
		case got.Status != want.Status:
			return fmt.Errorf("%s is %s with reason %s, and should be %s", want.Type, got.Status, reason, want.Status)
		case got.Reason != reason:
			return fmt.Errorf("%s has reason %s beside %s", want.Type, got.Reason, reason)
		case got.ObservedGeneration != status.ObservedGeneration:
			return fmt.Errorf("%s speaks of generation %d", want.Type, got.ObservedGeneration)
		case utf8.RuneCountInString(got.Message) > 32768 || !utf8.ValidString(got.Message) || got.LastTransitionTime.IsZero():
			return fmt.Errorf("%s is not one that an API server takes", want.Type)
		}
	}
	return nil
}

// checkFinal says what changed of a batch that was over, but must not.
func checkFinal(before, after v1alpha1.VectorStoreFileBatchStatus) error {
	kstatusOf := func(reason string) bool {
		return reason == v1alpha1.ReasonCompleted || reason == v1alpha1.ReasonFilesFailed
	}
	was, is := reasonOf(before), reasonOf(after)
	if was != is && (!kstatusOf(was) || !kstatusOf(is)) {
		return fmt.Errorf("%s became %s after the batch was over", was, is)
	}
	if !meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionFinished) {
		return fmt.Errorf("a batch that was over goes on")
	}
	before.Conditions, after.Conditions = nil, nil
	before.ObservedGeneration, after.ObservedGeneration = 0, 0
	before.BatchID, after.BatchID = "", "" // it may be restored
	if !reflect.DeepEqual(before, after) {
		return fmt.Errorf("the mirror of a batch that was over changed")
	}
	return nil
}

// checkBounds holds a status against the CRD.
func checkBounds(status v1alpha1.VectorStoreFileBatchStatus) error {
	short := func(text string, limit int) bool {
		return utf8.RuneCountInString(text) <= limit && utf8.ValidString(text)
	}
	if !short(status.BatchID, 128) || !short(status.Status, 128) {
		return fmt.Errorf("batchID or status is too long")
	}
	if c := status.FileCounts; c != nil && min(c.InProgress, c.Completed, c.Failed, c.Cancelled, c.Total) < 0 {
		return fmt.Errorf("a count is negative: %+v", *c)
	}
	if len(status.FailedFiles) > 100 {
		return fmt.Errorf("%d failed files are listed", len(status.FailedFiles))
	}
	for _, file := range status.FailedFiles {
		if file.FileID == "" || !short(file.FileID, 128) || !short(file.Code, 128) || !short(file.Message, 1024) {
			return fmt.Errorf("a failed file is out of bounds: %+v", file)
		}
	}
	if !slices.IsSortedFunc(status.FailedFiles, func(a, b v1alpha1.FailedFile) int { return strings.Compare(a.FileID, b.FileID) }) {
		return fmt.Errorf("the failed files are not sorted")
	}
	return nil
}

// checkTimes says whether an object is forgotten, or looked at too early.
func checkRequeue(q input, d lifecycle.Decision) error {
	finished := meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionFinished)
	deleted := !q.b.DeletionTimestamp.IsZero()
	switch {
	case finished && !deleted:
		return checkTimeToLive(q, d)
	case onlyEditHelps(q, d) && !deleted:
		return nil
	case batch.ID(q.b) != "" && !deleted && cancelForgotten(q) && !finishedAtAPI(q) && d.RequeueAfter > 2*time.Millisecond:
		return fmt.Errorf("rests for %s with a cancel to make", d.RequeueAfter)
	case d.RequeueAfter <= 0:
		return fmt.Errorf("forgot an object in state %s", reasonOf(d.Status))
	}
	if least, next := leastWait(q), d.State.NextCall.Sub(q.now); next < least {
		return fmt.Errorf("the next call comes after %s, and the API asks for %s", next, least)
	}
	return nil
}

// onlyEditMends reports whether nothing but an edit of the spec can change an object's state.
func onlyEditHelps(q input, d lifecycle.Decision) bool {
	_, invalid := batch.CreateRequest(q.b)
	rejected := invalid != nil && batch.ID(q.b) == "" && reasonOf(d.Status) == v1alpha1.ReasonRejected
	return rejected || reasonOf(d.Status) == v1alpha1.ReasonSuspended
}

// checkTimeToLive says whether a batch that is over is looked at for another reason than the
// end of its object's time to live, or is not looked at for that.
func checkTimeToLive(q input, d lifecycle.Decision) error {
	if q.b.Spec.TTLSecondsAfterFinished == nil {
		if d.RequeueAfter != 0 {
			return fmt.Errorf("a finished object is requeued after %s", d.RequeueAfter)
		}
		return nil
	}
	left := d.Status.FinishedAt.Add(time.Duration(*q.b.Spec.TTLSecondsAfterFinished) * time.Second).Sub(q.now)
	switch {
	case left > 0 && d.RequeueAfter != left:
		return fmt.Errorf("requeued after %s, and expires in %s", d.RequeueAfter, left)
	case left <= 0 && (batch.Finished(q.b) || d.RequeueAfter <= 0 || d.RequeueAfter > time.Second):
		return fmt.Errorf("lives on for %s, though its time is over", d.RequeueAfter)
	}
	return nil
}

// leastWait is how long the upstream asked to be left alone, in its last answer. A cancel waits
// for no poll, and a deletion for nothing beyond its own end.
func leastWait(q input) time.Duration {
	if q.observed.Err != nil {
		least := q.observed.Err.RetryAfter
		if !q.b.DeletionTimestamp.IsZero() {
			least = min(least, finalizeDeadline(q).Sub(q.now))
		}
		return least
	}
	cancelPending := (batch.CancelWanted(q.b) || pastDeadline(q)) && q.b.Status.CancelRequestedAt == nil && !acceptedCancel(q)
	if q.observed.Batch == nil || !q.b.DeletionTimestamp.IsZero() || cancelPending {
		return 0
	}
	return q.observed.Batch.PollAfter
}

// wrongStatus is a word for a batch's state that this operator does not know.
const wrongStatus upstream.Status = "finalizing"
