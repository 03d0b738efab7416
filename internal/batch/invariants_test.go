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
		if q.seen.CancelTaken && d.Status.CancelRequestedAt == nil {
			return fmt.Errorf("the upstream took a cancel, and the status does not say so")
		}
		return checkTimes(q, d)
	case batch.Release:
		if q.b.DeletionTimestamp.IsZero() || !batch.Held(q.b) {
			return fmt.Errorf("released an object that is not deleted, or not held")
		}
		return checkUntouched(q, d)
	case batch.Hold, batch.KeepID, batch.ForgetIntent, batch.Create, batch.Probe, batch.Retrieve, batch.Cancel, batch.ListFailedFiles:
		return checkAction(q, d.Action)
	}
	return fmt.Errorf("%d is no action", d.Action)
}

func checkUntouched(q question, d batch.Decision) error {
	if d.After != 0 || !reflect.DeepEqual(d.Status, q.b.Status) {
		return fmt.Errorf("an object that is let go has another status, or is looked at again after %s", d.After)
	}
	return nil
}

// asksUpstream reports whether an action is a call to the upstream.
func asksUpstream(action batch.Action) bool {
	switch action {
	case batch.Create, batch.Probe, batch.Retrieve, batch.Cancel, batch.ListFailedFiles:
		return true
	case batch.Rest, batch.Hold, batch.KeepID, batch.ForgetIntent, batch.Release:
	}
	return false
}

func changesUpstream(action batch.Action) bool {
	return action == batch.Create || action == batch.Cancel
}

// checkAction holds the actions of a pass against what may follow what.
func checkAction(q question, action batch.Action) error {
	deleted := !q.b.DeletionTimestamp.IsZero()
	switch {
	case slices.Contains(q.seen.Took, action):
		return fmt.Errorf("%s twice in a pass", action)
	case changesUpstream(action) && slices.ContainsFunc(q.seen.Took, changesUpstream):
		return fmt.Errorf("%s is the second effect on the upstream in one pass, after %v", action, q.seen.Took)
	case asksUpstream(action) && batch.Finished(q.b):
		return fmt.Errorf("%s after the batch is over", action)
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
		if q.b.DeletionTimestamp.IsZero() && !batch.CancelWanted(q.b) {
			return fmt.Errorf("cancelled though nobody asked for it")
		}
		if q.b.Status.CancelRequestedAt != nil {
			return fmt.Errorf("cancelled again")
		}
	case batch.Rest, batch.Hold, batch.KeepID, batch.ForgetIntent, batch.Probe, batch.ListFailedFiles, batch.Release:
	}
	return nil
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

// cancelForgotten reports whether a cancel is wanted that this pass has not tried, and that
// does not wait for its own failures.
func cancelForgotten(q question) bool {
	waits := q.seen.Memory.Failed == batch.Cancel && q.seen.Memory.Failures > 0 && q.now.Before(q.seen.Memory.NextCall)
	return batch.CancelWanted(q.b) && q.b.Status.CancelRequestedAt == nil &&
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
	if finished != (status.FinishedAt != nil) {
		return fmt.Errorf("finishedAt is %v, and Finished %t", status.FinishedAt, finished)
	}
	if batch.Finished(before) {
		if err := checkFinal(before.Status, status); err != nil {
			return err
		}
	}
	return checkBounds(status)
}

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
	_, invalid := batch.Request(q.b)
	onlyEditMends := invalid != nil && batch.ID(q.b) == "" && reasonOf(d.Status) == v1alpha1.ReasonRejected
	switch {
	case d.After < d.NotBefore:
		return fmt.Errorf("looks again after %s, not before %s", d.After, d.NotBefore)
	case finished:
		if d.After != 0 {
			return fmt.Errorf("looks again after %s at a batch that is over", d.After)
		}
		return nil
	case onlyEditMends && q.b.DeletionTimestamp.IsZero():
		return nil
	case d.After <= 0:
		return fmt.Errorf("forgot an object in state %s", reasonOf(d.Status))
	}
	if least := leastWait(q); d.NotBefore < least && d.Reset {
		return fmt.Errorf("may look again after %s, and the upstream asks for %s", d.NotBefore, least)
	}
	return nil
}

// leastWait is how long the upstream asked to be left alone, in its last answer. A cancel waits
// for no poll, and a deletion for nothing beyond its own end.
func leastWait(q question) time.Duration {
	if q.seen.Err != nil {
		least := q.seen.Err.RetryAfter
		if !q.b.DeletionTimestamp.IsZero() {
			least = min(least, q.b.DeletionTimestamp.Add(rules.FinalizeTimeout).Sub(q.now))
		}
		return least
	}
	cancelPending := batch.CancelWanted(q.b) && q.b.Status.CancelRequestedAt == nil && !q.seen.CancelTaken
	if q.seen.Batch == nil || !q.b.DeletionTimestamp.IsZero() || cancelPending {
		return 0
	}
	return q.seen.Batch.PollAfter
}

// wrongStatus is a word for a batch's state that this operator does not know.
const wrongStatus upstream.Status = "finalizing"
