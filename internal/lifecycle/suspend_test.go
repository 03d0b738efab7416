// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func TestSuspend(t *testing.T) {
	failing := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour), Failed: lifecycle.Poll, Failures: 9}}
	for name, test := range map[string]struct {
		b           *object
		state       lifecycle.State
		wantActions string
		reason      string
	}{
		"before the create":            {newObject(suspended), lifecycle.State{}, "", "Suspended"},
		"adopted batch":                {newObject(adopted, suspended), lifecycle.State{}, "", "Suspended"},
		"with an invalid spec":         {newObject(suspended, func(b *object) { b.Spec.FileIDs = nil }), lifecycle.State{}, "", "Suspended"},
		"with a lost create":           {newObject(withFinalizer, suspended, pendingSince(epoch.Add(-time.Hour))), lifecycle.State{}, "", "Suspended"},
		"with an ID not recorded":      {newObject(withFinalizer, suspended, pendingSince(epoch)), lifecycle.State{Unsaved: lifecycle.Unsaved{CreatedID: "batch_1"}}, "RecordBatchID", "Suspended"},
		"in progress":                  {tracked(suspended, edited), lifecycle.State{}, "", "Suspended"},
		"in progress, no finalizer":    {tracked(suspended, edited, withoutFinalizers), lifecycle.State{}, "AddFinalizer", "Suspended"},
		"while polls fail":             {tracked(suspended, edited), failing, "", "Suspended"},
		"past the deadline":            {tracked(suspended, deadline(time.Minute), edited), lifecycle.State{}, "", "Suspended"},
		"with a cancel":                {tracked(suspended, cancelWanted, edited), lifecycle.State{}, "Cancel", "Cancelling"},
		"with an accepted cancel":      {tracked(suspended, cancelWanted, cancelAccepted, edited), lifecycle.State{}, "Poll", "Cancelling"},
		"with a cancel, then unset":    {tracked(suspended, cancelAccepted, edited), lifecycle.State{}, "Poll", "Cancelling"},
		"with a cancel, before create": {newObject(suspended, cancelWanted), lifecycle.State{}, "", "Cancelled"},
		"with a cancel, lost create":   {newObject(withFinalizer, suspended, cancelWanted, pendingSince(epoch.Add(-time.Hour))), lifecycle.State{}, "VerifyCreate ClearCreatePending", "Cancelled"},
		"finished":                     {withChange(runCompleted().object, suspended, edited), lifecycle.State{}, "", "Completed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(test.b, test.state, epoch)
			if r.actionNames() != test.wantActions || r.reason() != test.reason {
				t.Errorf("performed %q: %s: %s", r.actionNames(), r.reason(), r.message())
			}
			if test.reason == v1alpha1.ReasonSuspended && !r.next.IsZero() {
				t.Errorf("requeued after %s, though only an edit can change the reason", r.final.RequeueAfter)
			}
		})
	}
}

func TestSuspend_Delete(t *testing.T) {
	r := run(tracked(suspended, deletedAt(epoch)), lifecycle.State{}, epoch)
	if r.actionNames() != "Cancel" || r.final.Action != lifecycle.RemoveFinalizer {
		t.Errorf("performed %q, then %s", r.actionNames(), r.final.Action)
	}
	if r = run(withChange(runCompleted().object, suspended, ttl(0), edited), lifecycle.State{}, epoch); r.final.Action != lifecycle.Delete {
		t.Errorf("%s for a suspended object whose time to live has expired", r.final.Action)
	}
}

func TestSuspend_ReportedOnce(t *testing.T) {
	r := run(tracked(suspended, edited), lifecycle.State{}, epoch)
	if len(r.events) != 1 || r.events[0].Reason != v1alpha1.ReasonSuspended || r.events[0].Warning {
		t.Errorf("Events %+v", r.events)
	}
	if r.object.Status.Status != "in_progress" || r.object.Status.BatchID != "batch_1" || r.object.Status.FileCounts.Total != 2 {
		t.Errorf("the status is %+v", r.object.Status)
	}
	if again := run(r.object, r.state, epoch.Add(time.Hour)); len(again.events) != 0 || again.actionNames() != "" {
		t.Errorf("performed %q, Events %+v an hour later", again.actionNames(), again.events)
	}
}

func TestSuspend_ResumePollsAtOnce(t *testing.T) {
	resumed := func(b *object) { b.Spec.Suspend = nil }
	for name, test := range map[string]struct {
		b           *object
		wantActions string
		reason      string
	}{
		"before the create": {newObject(suspended), "Create", "InProgress"},
		"lost create":       {newObject(withFinalizer, suspended, pendingSince(epoch.Add(-time.Hour))), "VerifyCreate Create", "InProgress"},
		"in progress":       {tracked(suspended, edited), "Poll", "InProgress"},
		"past the deadline": {tracked(suspended, deadline(time.Minute), edited), "Poll", "InProgress"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(test.b, lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour), PollInterval: time.Minute}}, epoch)
			if r = run(withChange(r.object, resumed, edited), r.state, epoch.Add(time.Second)); r.actionNames() != test.wantActions || r.reason() != test.reason {
				t.Errorf("performed %q: %s", r.actionNames(), r.reason())
			}
		})
	}
}

// TestSuspend_FinishedAfterResume: a batch can finish while its object is suspended, so that the first status
// after the object is resumed is the last one.
func TestSuspend_FinishedAfterResume(t *testing.T) {
	r := run(tracked(suspended, edited), lifecycle.State{}, epoch)
	resumed := withChange(r.object, func(b *object) { b.Spec.Suspend = nil }, edited)
	r = run(resumed, r.state, epoch.Add(time.Minute), result{batch: answer(upstream.Completed)})
	got := meta.FindStatusCondition(r.object.Status.Conditions, v1alpha1.ConditionSuspended)
	if r.reason() != v1alpha1.ReasonCompleted || got == nil || got.Status != "False" || got.Reason != v1alpha1.ReasonResumed {
		t.Errorf("%s, and the condition Suspended is %+v", r.reason(), got)
	}
}

// TestSuspend_FinalConditionStays: spec.suspend of an object that is finished or being deleted changes no
// condition.
func TestSuspend_FinalConditionStays(t *testing.T) {
	resumed := func(b *object) { b.Spec.Suspend = nil }
	paused := run(tracked(suspended, edited), lifecycle.State{}, epoch).object
	cancelledBatch := result{batch: answer(upstream.Cancelled)}
	for name, test := range map[string]struct {
		finished, changed change
		want              metav1.ConditionStatus
	}{
		"resumed after a cancel":       {cancelWanted, resumed, yes},
		"still suspended":              {cancelWanted, edited, yes},
		"resumed, then suspended":      {resumed, suspended, no},
		"resumed by the deletion":      {deleted, resumed, yes},
		"suspended after the deletion": {func(b *object) { resumed(b); deleted(b) }, suspended, yes},
	} {
		r := run(withChange(paused, test.finished, edited), lifecycle.State{}, epoch.Add(time.Minute), cancelledBatch, cancelledBatch, fails(upstream.Transient))
		before := r.object.Status
		if batch.Finished(r.object) {
			withoutFinalizers(r.object)
		}
		after := run(withChange(r.object, test.changed, edited), lifecycle.State{}, epoch.Add(time.Hour)).object.Status
		got := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionSuspended)
		if got == nil || got.Status != test.want || *got != *meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionSuspended) {
			t.Errorf("%s: %s, and Suspended is %+v, want %s", name, reasonOf(after), got, test.want)
		}
	}
	done := run(tracked(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)}).object
	if r := run(withChange(done, withoutFinalizers, suspended, edited), lifecycle.State{}, epoch.Add(time.Hour)); meta.FindStatusCondition(r.object.Status.Conditions, v1alpha1.ConditionSuspended) != nil {
		t.Errorf("a finished object is suspended: %+v", r.object.Status.Conditions)
	}
}

// TestSuspend_CancelBackoff: a cancel is the only call for a suspended object. Its failures back
// off.
func TestSuspend_CancelBackoff(t *testing.T) {
	r := run(tracked(suspended, cancelWanted, edited), lifecycle.State{}, epoch, fails(upstream.Transient))
	if early := run(r.object, r.state, epoch); early.actionNames() != "" || early.reason() != v1alpha1.ReasonUpstreamUnavailable || early.next.IsZero() {
		t.Errorf("performed %q before the retry is due: %s", early.actionNames(), early.reason())
	}
	if r = r.again(); r.actionNames() != "Cancel" || r.reason() != v1alpha1.ReasonCancelling {
		t.Fatalf("performed %q: %s", r.actionNames(), r.reason())
	}
	if r = r.again(result{batch: answer(upstream.Cancelled)}); r.actionNames() != "Poll" || r.reason() != v1alpha1.ReasonCancelled {
		t.Errorf("performed %q: %s", r.actionNames(), r.reason())
	}
}
