// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

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
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// question is what the rules were asked.
type question struct {
	b    *object
	seen batch.Observation
	now  time.Time
}

// checkDecision says what is wrong with an answer to a question, whatever the world may be
// like; nil where nothing is.
func checkDecision(q question, d batch.Decision) error {
	switch d.Action {
	case batch.Rest:
		if !q.b.DeletionTimestamp.IsZero() && !batch.Held(q.b) {
			return checkUntouched(q, d)
		}
		if err := checkStatus(q.b, d.Status); err != nil {
			return err
		}
		if cancelTaken(q) && d.Status.CancelRequestedAt == nil {
			return fmt.Errorf("the upstream took a cancel, and the status does not say so")
		}
		if err := checkSuspension(q, d); err != nil {
			return err
		}
		if err := checkBy(q, d); err != nil {
			return err
		}
		return checkTimes(q, d)
	case batch.Delete:
		return checkDelete(q, d)
	case batch.Release:
		return checkRelease(q, d)
	case batch.Hold, batch.KeepID, batch.ForgetIntent, batch.Create, batch.Probe, batch.Retrieve, batch.Cancel, batch.ListFailedFiles, batch.Detach:
		return checkAction(q, d.Action)
	}
	return fmt.Errorf("%d is no action", d.Action)
}

func checkUntouched(q question, d batch.Decision) error {
	if d.After != 0 || d.By != 0 || !reflect.DeepEqual(d.Status, q.b.Status) {
		return fmt.Errorf("an object that is let go has another status, or is looked at again after %s", d.After)
	}
	return nil
}

// asksUpstream reports whether an action is a call to the upstream.
func asksUpstream(action batch.Action) bool {
	switch action {
	case batch.Create, batch.Probe, batch.Retrieve, batch.Cancel, batch.ListFailedFiles, batch.Detach:
		return true
	case batch.Rest, batch.Hold, batch.KeepID, batch.ForgetIntent, batch.Delete, batch.Release:
	}
	return false
}

func changesUpstream(action batch.Action) bool {
	return action == batch.Create || action == batch.Cancel || action == batch.Detach
}

// deadlineOf is when a batch has been in progress for too long. It is not known before the
// batch was seen.
func deadlineOf(q question) (at time.Time, known bool) {
	if q.b.Spec.ActiveDeadlineSeconds == nil {
		return time.Time{}, false
	}
	since := q.b.CreationTimestamp.Time
	switch {
	case q.b.Status.CreatedAt != nil:
		since = later(since, q.b.Status.CreatedAt.Time)
	case q.seen.Batch != nil:
		since = later(since, q.seen.Batch.CreatedAt)
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
func pastDeadline(q question) bool {
	at, known := deadlineOf(q)
	return known && !q.now.Before(at) && !batch.Suspended(q.b) && !over(q)
}

// over reports whether the upstream's batch is over, as far as is known.
func over(q question) bool {
	return upstream.Status(q.b.Status.Status).Terminal() || q.seen.Batch != nil && q.seen.Batch.Status.Terminal()
}

// leftAlone reports whether the upstream must hear nothing about an object.
func leftAlone(q question) bool {
	return batch.Suspended(q.b) && !batch.CancelWanted(q.b) && q.b.DeletionTimestamp.IsZero() &&
		(q.b.Status.CancelRequestedAt == nil && !cancelTaken(q) || batch.ID(q.b) == "")
}

func detaches(b *object) bool { return b.Spec.DeletionPolicy == v1alpha1.DeletionPolicyDetachFiles }

// tookAway reports whether this pass has taken all files out of the store.
func tookAway(q question) bool {
	return slices.Contains(q.seen.Took, batch.Detach) && q.seen.Err == nil && q.seen.Left == 0
}

// seenGone reports whether this pass was told that there is no batch, and may believe it.
func seenGone(q question) bool {
	since := q.b.CreationTimestamp.Time
	switch {
	case q.b.Status.CreatedAt != nil:
		since = q.b.Status.CreatedAt.Time
	case !q.b.DeletionTimestamp.IsZero() && !batch.Adopted(q.b):
		since = q.b.DeletionTimestamp.Time // it may have been created just before
	}
	return slices.Contains(q.seen.Took, batch.Retrieve) && q.seen.Err != nil && q.seen.Err.Kind == upstream.NotFound &&
		q.now.Sub(since) >= rules.NotFoundGrace
}

// cancelTaken reports whether the upstream took a cancel, as far as this process knows.
func cancelTaken(q question) bool {
	id := batch.ID(q.b)
	return id != "" && q.seen.Memory.CancelledID == id
}

// givesUpAt is when a deletion must end: it may take longer only while files are taken out, or
// where an earlier process took some out and nobody knows when.
func givesUpAt(q question) time.Time {
	since := later(q.b.DeletionTimestamp.Time, q.seen.Memory.DetachedAt)
	failed := slices.Contains(q.seen.Took, batch.Detach) && q.seen.Err != nil
	if failed && q.b.Status.DetachedFiles > 0 && q.seen.Memory.DetachedAt.IsZero() {
		since = later(since, q.now)
	}
	return since.Add(rules.FinalizeTimeout)
}

// secondEffect reports whether an action may change the upstream once more in a pass: a cancel
// that was answered with a 404 has changed nothing.
func secondEffect(q question, action batch.Action) bool {
	failed := action == batch.Detach && !cancelTaken(q) && seenGone(q)
	return changesUpstream(action) && slices.ContainsFunc(q.seen.Took, changesUpstream) && !failed
}

// checkAction holds the actions of a pass against what may follow what.
func checkAction(q question, action batch.Action) error {
	deleted := !q.b.DeletionTimestamp.IsZero()
	switch {
	case slices.Contains(q.seen.Took, action):
		return fmt.Errorf("%s twice in a pass", action)
	case secondEffect(q, action):
		return fmt.Errorf("%s is the second effect on the upstream in one pass, after %v", action, q.seen.Took)
	case asksUpstream(action) && batch.Finished(q.b) && action != batch.Detach:
		return fmt.Errorf("%s after the batch is over", action)
	case asksUpstream(action) && leftAlone(q):
		return fmt.Errorf("%s for a suspended object", action)
	case deleted && !batch.Held(q.b):
		return fmt.Errorf("%s for an object that was let go", action)
	case deleted && q.b.Spec.DeletionPolicy == v1alpha1.DeletionPolicyOrphan:
		return fmt.Errorf("%s for a deleted object that is to be orphaned", action)
	}
	return checkCall(q, action)
}

// checkCall holds an action against the object that it is for.
func checkCall(q question, action batch.Action) error {
	switch action {
	case batch.Create:
		return checkCreate(q)
	case batch.Retrieve:
		if cancelForgotten(q) {
			return fmt.Errorf("looked at a batch that is to be cancelled before cancelling it")
		}
	case batch.Cancel:
		if q.b.DeletionTimestamp.IsZero() && !batch.CancelWanted(q.b) && !pastDeadline(q) {
			return fmt.Errorf("cancelled though nobody asked for it")
		}
		if q.b.Status.CancelRequestedAt != nil || cancelTaken(q) {
			return fmt.Errorf("cancelled again")
		}
	case batch.Detach:
		return checkDetach(q)
	case batch.Rest, batch.Hold, batch.KeepID, batch.ForgetIntent, batch.Probe, batch.ListFailedFiles, batch.Delete, batch.Release:
	}
	return nil
}

// checkDetach says whether files are taken out of the store unasked, or while a batch that can
// be cancelled may put them back.
func checkDetach(q question) error {
	startedAt, intent := batch.CreateStartedAt(q.b, q.now)
	unsettled := q.now.Before(startedAt.Add(rules.RequestTimeout+batch.ClockSkew)) && !q.seen.Memory.CreateAnswered
	stopped := batch.Finished(q.b) || q.b.Status.CancelRequestedAt != nil || upstream.Status(q.b.Status.Status).Terminal()
	switch {
	case q.b.DeletionTimestamp.IsZero() || !detaches(q.b):
		return fmt.Errorf("detached files though nobody asked for it")
	case batch.ID(q.b) == "" && !intent:
		return fmt.Errorf("detached files of a batch that was never created")
	case batch.ID(q.b) == "" && unsettled:
		return fmt.Errorf("detached files while a create may be under way")
	case batch.ID(q.b) != "" && !stopped && !seenGone(q):
		return fmt.Errorf("detached files of a batch that may still run")
	}
	return nil
}

// checkRelease says whether an object is let go before its deletionPolicy was carried out.
func checkRelease(q question, d batch.Decision) error {
	if q.b.DeletionTimestamp.IsZero() || !batch.Held(q.b) {
		return fmt.Errorf("released an object that is not deleted, or not held")
	}
	_, intent := batch.CreateStartedAt(q.b, q.now)
	nothing := batch.ID(q.b) == "" && q.seen.Memory.CreatedID == "" && (!intent || batch.Finished(q.b))
	warned := slices.ContainsFunc(d.Events, func(e batch.Event) bool { return e.Warning && strings.Contains(e.Message, "may be ") })
	gaveUp := warned && !q.now.Before(givesUpAt(q))
	if detaches(q.b) && !tookAway(q) && !nothing && !gaveUp {
		return fmt.Errorf("let go with files in the store, without a word")
	}
	return checkUntouched(q, d)
}

// checkDelete says whether an object is deleted that should stay.
func checkDelete(q question, d batch.Decision) error {
	after, finishedAt := q.b.Spec.TTLSecondsAfterFinished, q.b.Status.FinishedAt
	switch {
	case !q.b.DeletionTimestamp.IsZero() || !batch.Finished(q.b):
		return fmt.Errorf("deleted an object that is not over, or deleted already")
	case after == nil || finishedAt == nil || q.now.Before(finishedAt.Add(time.Duration(*after)*time.Second)):
		return fmt.Errorf("deleted an object whose time is not over")
	case detaches(q.b) && batch.ID(q.b) != "" && !batch.Held(q.b):
		return fmt.Errorf("deleted an object that nothing holds back until its files are detached")
	case len(d.Events) != 1 || d.Events[0].Reason != v1alpha1.ReasonTTLExpired || d.Events[0].Warning:
		return fmt.Errorf("deleted an object, telling %+v", d.Events)
	}
	return checkUntouched(q, d)
}

// checkSuspension says whether an object is suspended that should not be, or the other way.
func checkSuspension(q question, d batch.Decision) error {
	told := reasonOf(d.Status) == v1alpha1.ReasonSuspended
	if want := leftAlone(q) && !batch.Finished(q.b); told != want {
		return fmt.Errorf("%s is told, and that the object is to be left alone is %t", reasonOf(d.Status), want)
	}
	if told && (d.After != 0 || d.By != 0) {
		return fmt.Errorf("looks again after %s, by %s, at a suspended object", d.After, d.By)
	}
	return nil
}

// checkBy says whether the next pass may come too late for what a time was set for.
func checkBy(q question, d batch.Decision) error {
	if d.By < 0 || d.By > 0 && d.After <= 0 {
		return fmt.Errorf("looks again after %s, by %s", d.After, d.By)
	}
	by, set := lastMoment(q, d)
	if left := by.Sub(q.now); set && left > 0 && (d.By <= 0 || d.By > left) {
		return fmt.Errorf("looks again by %s, and something ends in %s", d.By, left)
	}
	return nil
}

// lastMoment is when the pass upon a decision to rest must come at the latest.
func lastMoment(q question, d batch.Decision) (at time.Time, set bool) {
	switch {
	case !q.b.DeletionTimestamp.IsZero():
		return givesUpAt(q), true
	case batch.ID(q.b) == "" || d.After <= 0 || meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionFinished):
		return time.Time{}, false
	}
	at, set = deadlineOf(q)
	latch := d.Status.CancelRequestedAt
	if set && latch != nil && !latch.Time.Before(at) && !batch.CancelWanted(q.b) {
		return latch.Add(time.Minute), true
	}
	return at, set && latch == nil
}

func checkCreate(q question) error {
	if id := batch.ID(q.b); id != "" {
		return fmt.Errorf("created though batch %s is known", id)
	}
	if q.seen.Memory.CreatedID != "" {
		return fmt.Errorf("created though batch %s was created", q.seen.Memory.CreatedID)
	}
	if !q.b.DeletionTimestamp.IsZero() {
		return fmt.Errorf("created for a deleted object")
	}
	if _, err := batch.Request(q.b); err != nil {
		return fmt.Errorf("created from an invalid spec: %w", err)
	}
	return nil
}

// cancelForgotten reports whether a cancel is wanted, by the spec or by the deadline, that this
// pass has not tried, and that does not wait for its own failures.
func cancelForgotten(q question) bool {
	waits := q.seen.Memory.Failed == batch.Cancel && q.seen.Memory.Failures > 0 && q.now.Before(q.seen.Memory.NextCall)
	return (batch.CancelWanted(q.b) || pastDeadline(q)) && q.b.Status.CancelRequestedAt == nil && !cancelTaken(q) &&
		!slices.Contains(q.seen.Took, batch.Cancel) && !waits
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
	if finished != (status.FinishedAt != nil) && !undone(before) {
		return fmt.Errorf("finishedAt is %v, and Finished %t", status.FinishedAt, finished)
	}
	if batch.Finished(before) && !undone(before) {
		if err := checkFinal(before.Status, status); err != nil {
			return err
		}
	}
	return checkBounds(status)
}

// undone reports whether what a batch brought about is being undone: an object that is over
// goes on once more then.
func undone(b *object) bool { return !b.DeletionTimestamp.IsZero() && detaches(b) }

// checkConditions holds the five conditions against the line of the table for their reason.
func checkConditions(status v1alpha1.VectorStoreFileBatchStatus) error {
	reason := reasonOf(status)
	line, known := lineOf(reason)
	if !known {
		return fmt.Errorf("the table has no line for %q", reason)
	}
	if len(status.Conditions) != len(line.conditions()) {
		return fmt.Errorf("%d conditions stand", len(status.Conditions))
	}
	if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReconciling) && meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStalled) {
		return fmt.Errorf("reconciling and stalled at once")
	}
	for _, want := range line.conditions() {
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
	judged := func(reason string) bool {
		return reason == v1alpha1.ReasonCompleted || reason == v1alpha1.ReasonFilesFailed
	}
	was, is := reasonOf(before), reasonOf(after)
	if was != is && (!judged(was) || !judged(is)) {
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
func checkTimes(q question, d batch.Decision) error {
	finished := meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionFinished)
	deleted := !q.b.DeletionTimestamp.IsZero()
	switch {
	case d.After < d.NotBefore:
		return fmt.Errorf("looks again after %s, not before %s", d.After, d.NotBefore)
	case finished && !deleted:
		return checkTimeToLive(q, d)
	case onlyEditMends(q, d) && !deleted:
		return nil
	case batch.ID(q.b) != "" && !deleted && cancelForgotten(q) && !over(q) && d.After > time.Millisecond:
		return fmt.Errorf("rests for %s with a cancel to make", d.After)
	case d.After <= 0:
		return fmt.Errorf("forgot an object in state %s", reasonOf(d.Status))
	}
	if least := leastWait(q); d.NotBefore < least && d.Reset {
		return fmt.Errorf("may look again after %s, and the upstream asks for %s", d.NotBefore, least)
	}
	return nil
}

// onlyEditMends reports whether nothing but an edit of the spec can change an object's state.
func onlyEditMends(q question, d batch.Decision) bool {
	_, invalid := batch.Request(q.b)
	rejected := invalid != nil && batch.ID(q.b) == "" && reasonOf(d.Status) == v1alpha1.ReasonRejected
	return rejected || reasonOf(d.Status) == v1alpha1.ReasonSuspended
}

// checkTimeToLive says whether a batch that is over is looked at for another reason than the
// end of its object's time to live, or is not looked at for that.
func checkTimeToLive(q question, d batch.Decision) error {
	if q.b.Spec.TTLSecondsAfterFinished == nil {
		if d.After != 0 || d.By != 0 {
			return fmt.Errorf("looks again after %s, by %s, at a batch that is over", d.After, d.By)
		}
		return nil
	}
	left := d.Status.FinishedAt.Add(time.Duration(*q.b.Spec.TTLSecondsAfterFinished) * time.Second).Sub(q.now)
	switch {
	case left > 0 && (d.After != left || d.By != left || d.NotBefore != left):
		return fmt.Errorf("looks again after %s, by %s, and lives for another %s", d.After, d.By, left)
	case left <= 0 && (batch.Finished(q.b) || d.After <= 0 || d.After > time.Second):
		return fmt.Errorf("lives on for %s, though its time is over", d.After)
	}
	return nil
}

// leastWait is how long the upstream asked to be left alone, in its last answer. A cancel waits
// for no poll, and a deletion for nothing beyond its own end.
func leastWait(q question) time.Duration {
	if q.seen.Err != nil {
		least := q.seen.Err.RetryAfter
		if !q.b.DeletionTimestamp.IsZero() {
			least = min(least, givesUpAt(q).Sub(q.now))
		}
		return least
	}
	cancelPending := (batch.CancelWanted(q.b) || pastDeadline(q)) && q.b.Status.CancelRequestedAt == nil && !cancelTaken(q)
	if q.seen.Batch == nil || !q.b.DeletionTimestamp.IsZero() || cancelPending {
		return 0
	}
	return q.seen.Batch.PollAfter
}

// wrongStatus is a word for a batch's state that this operator does not know.
const wrongStatus upstream.Status = "finalizing"
