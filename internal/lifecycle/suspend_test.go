// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func TestSuspend(t *testing.T) {
	finishedAtAPI := run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)}).object
	failing := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour), Failed: lifecycle.Poll, Failures: 9}}
	for name, test := range map[string]struct {
		b         *object
		state     lifecycle.State
		performed string
		reason    string
	}{
		"before the create":            {newObject(suspends), lifecycle.State{}, "", "Suspended"},
		"of an adopted batch":          {newObject(adopted, suspends), lifecycle.State{}, "", "Suspended"},
		"with an invalid spec":         {newObject(suspends, func(b *object) { b.Spec.FileIDs = nil }), lifecycle.State{}, "", "Suspended"},
		"with a lost create":           {newObject(hasFinalizer, suspends, pendingSince(epoch.Add(-time.Hour))), lifecycle.State{}, "", "Suspended"},
		"with an ID to be stored":      {newObject(hasFinalizer, suspends, pendingSince(epoch)), lifecycle.State{Unsaved: lifecycle.Unsaved{CreatedID: "batch_1"}}, "RecordBatchID", "Suspended"},
		"in progress":                  {tracked(suspends, edited), lifecycle.State{}, "", "Suspended"},
		"in progress, not held":        {tracked(suspends, edited, func(b *object) { b.Finalizers = nil }), lifecycle.State{}, "AddFinalizer", "Suspended"},
		"while the upstream fails":     {tracked(suspends, edited), failing, "", "Suspended"},
		"past the deadline":            {tracked(suspends, deadline(time.Minute), edited), lifecycle.State{}, "", "Suspended"},
		"with a cancel":                {tracked(suspends, wantsCancel, edited), lifecycle.State{}, "Cancel", "Cancelling"},
		"with a cancel that was taken": {tracked(suspends, wantsCancel, cancelAccepted, edited), lifecycle.State{}, "Poll", "Cancelling"},
		"with a cancel, unset since":   {tracked(suspends, cancelAccepted, edited), lifecycle.State{}, "Poll", "Cancelling"},
		"with a cancel, before create": {newObject(suspends, wantsCancel), lifecycle.State{}, "", "Cancelled"},
		"with a cancel, create lost":   {newObject(hasFinalizer, suspends, wantsCancel, pendingSince(epoch.Add(-time.Hour))), lifecycle.State{}, "VerifyCreate ClearCreatePending", "Cancelled"},
		"after the end":                {withChange(finishedAtAPI, suspends, edited), lifecycle.State{}, "", "Completed"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, test.state, epoch)
			if p.performed() != test.performed || p.reason() != test.reason {
				t.Errorf("did %q: %s: %s", p.performed(), p.reason(), p.message())
			}
			if test.reason == v1alpha1.ReasonSuspended && !p.next.IsZero() {
				t.Errorf("looks again after %s, though only an edit can change anything", p.final.RequeueAfter)
			}
		})
	}
}

func TestSuspend_Delete(t *testing.T) {
	p := run(tracked(suspends, deletedAt(epoch)), lifecycle.State{}, epoch)
	if p.performed() != "Cancel" || p.final.Action != lifecycle.RemoveFinalizer {
		t.Errorf("did %q, then %s", p.performed(), p.final.Action)
	}
	p = run(run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)}).object, lifecycle.State{}, epoch)
	if p = run(withChange(p.object, suspends, ttl(0), edited), lifecycle.State{}, epoch); p.final.Action != lifecycle.Delete {
		t.Errorf("%s of a suspended object whose time to live is over", p.final.Action)
	}
}

func TestSuspend_ReportedOnce(t *testing.T) {
	p := run(tracked(suspends, edited), lifecycle.State{}, epoch)
	if len(p.events) != 1 || p.events[0].Reason != v1alpha1.ReasonSuspended || p.events[0].Warning {
		t.Errorf("told %+v", p.events)
	}
	if p.object.Status.Status != "in_progress" || p.object.Status.BatchID != "batch_1" || p.object.Status.FileCounts.Total != 2 {
		t.Errorf("the status is %+v", p.object.Status)
	}
	if again := run(p.object, p.state, epoch.Add(time.Hour)); len(again.events) != 0 || again.performed() != "" {
		t.Errorf("did %q, told %+v an hour later", again.performed(), again.events)
	}
}

func TestSuspend_ResumePollsAtOnce(t *testing.T) {
	resumed := func(b *object) { b.Spec.Suspend = nil }
	for name, test := range map[string]struct {
		b         *object
		performed string
		reason    string
	}{
		"before the create": {newObject(suspends), "Create", "InProgress"},
		"lost create":       {newObject(hasFinalizer, suspends, pendingSince(epoch.Add(-time.Hour))), "VerifyCreate Create", "InProgress"},
		"in progress":       {tracked(suspends, edited), "Poll", "InProgress"},
		"past the deadline": {tracked(suspends, deadline(time.Minute), edited), "Cancel", "Cancelling"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour), PollInterval: time.Minute}}, epoch)
			if p = run(withChange(p.object, resumed, edited), p.state, epoch.Add(time.Second)); p.performed() != test.performed || p.reason() != test.reason {
				t.Errorf("did %q: %s", p.performed(), p.reason())
			}
		})
	}
}

// TestSuspend_CancelBackoff: it is the one call that is made then, and it backs
// off as ever.
func TestSuspend_CancelBackoff(t *testing.T) {
	p := run(tracked(suspends, wantsCancel, edited), lifecycle.State{}, epoch, fails(upstream.Transient))
	if early := run(p.object, p.state, epoch); early.performed() != "" || early.reason() != v1alpha1.ReasonUpstreamUnavailable || early.next.IsZero() {
		t.Errorf("did %q at once: %s", early.performed(), early.reason())
	}
	if p = p.again(); p.performed() != "Cancel" || p.reason() != v1alpha1.ReasonCancelling {
		t.Fatalf("did %q: %s", p.performed(), p.reason())
	}
	if p = p.again(result{batch: answer(upstream.Cancelled)}); p.performed() != "Poll" || p.reason() != v1alpha1.ReasonCancelled {
		t.Errorf("did %q: %s", p.performed(), p.reason())
	}
}
