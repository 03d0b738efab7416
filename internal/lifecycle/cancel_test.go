// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func TestCancel_PrecedesOtherCalls(t *testing.T) {
	busy := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour), PollInterval: time.Minute}}
	failing := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour), Failed: lifecycle.Poll, Failures: 9}}
	for name, test := range map[string]struct {
		b     *object
		state lifecycle.State
	}{
		"between polls":                      {tracked(cancelWanted, edited), busy},
		"between polls, generation observed": {tracked(cancelWanted), busy},
		"while polls fail":                   {tracked(cancelWanted), failing},
		"without finalizer":                  {tracked(cancelWanted, withoutFinalizers), busy},
		"without annotation":                 {tracked(cancelWanted, func(b *object) { b.Annotations = nil }), busy},
		"adopted and never polled":           {newObject(adopted, cancelWanted), lifecycle.State{}},
		"created, and the status lost":       {created(cancelWanted), lifecycle.State{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(test.b, test.state, epoch)
			if r.actionNames() != "Cancel" || r.reason() != v1alpha1.ReasonCancelling || r.object.Status.CancelRequestTime == nil {
				t.Errorf("performed %q: %s, cancelRequestTime %v", r.actionNames(), r.reason(), r.object.Status.CancelRequestTime)
			}
			if next := r.again(); strings.Contains(next.actionNames(), "Cancel") {
				t.Errorf("performed %q next", next.actionNames())
			}
		})
	}
}

func TestCancel_FailureBacksOff(t *testing.T) {
	r := run(tracked(cancelWanted, edited), lifecycle.State{}, epoch, fails(upstream.Transient))
	if r.actionNames() != "Cancel" || r.reason() != v1alpha1.ReasonUpstreamUnavailable || r.object.Status.CancelRequestTime != nil {
		t.Fatalf("performed %q: %s", r.actionNames(), r.reason())
	}
	if early := run(r.object, r.state, epoch); early.actionNames() != "" {
		t.Errorf("performed %q before the retry is due", early.actionNames())
	}
	if r = r.again(); r.actionNames() != "Cancel" || r.reason() != v1alpha1.ReasonCancelling {
		t.Errorf("performed %q: %s", r.actionNames(), r.reason())
	}
}

func TestCancel_BeforeCreate(t *testing.T) {
	for name, b := range map[string]*object{
		"before the retry is due": newObject(cancelWanted),
		"with an invalid spec":    newObject(cancelWanted, func(b *object) { b.Spec.FileIDs = nil }),
		"between failed creates":  run(newObject(), lifecycle.State{}, epoch, fails(upstream.Transient)).object,
	} {
		cancelWanted(b)
		edited(b)
		r := run(b, lifecycle.State{}, epoch).withoutFinalizer(epoch)
		if r.actionNames() != "" || r.reason() != v1alpha1.ReasonCancelled || batch.HasFinalizer(r.object) || r.object.Status.Status != "cancelled" || r.final.RequeueAfter != 0 {
			t.Errorf("%s: performed %q: %s %s", name, r.actionNames(), r.reason(), r.message())
		}
		if !strings.Contains(r.message(), "before the batch was created") {
			t.Errorf("%s: %s", name, r.message())
		}
	}
}

func TestCancel_AfterCompletion(t *testing.T) {
	r := run(tracked(cancelWanted, edited), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)})
	if r.actionNames() != "Cancel" || r.reason() != v1alpha1.ReasonCompleted || !strings.Contains(r.message(), "completed before it could be cancelled") {
		t.Errorf("performed %q: %s: %s", r.actionNames(), r.reason(), r.message())
	}
}

func TestCancel_RejectedPollsTheBatch(t *testing.T) {
	for _, rejection := range []upstream.ErrorKind{upstream.Rejected, upstream.NotFound} {
		for name, test := range map[string]struct {
			then   result
			reason string
		}{
			"completed":      {result{batch: answer(upstream.Completed)}, v1alpha1.ReasonCompleted},
			"failed":         {result{batch: answer(upstream.Failed)}, v1alpha1.ReasonBatchFailed},
			"cancelled":      {result{batch: answer(upstream.Cancelled)}, v1alpha1.ReasonCancelled},
			"in progress":    {result{batch: answer(upstream.InProgress)}, v1alpha1.ReasonCancelling},
			"poll failed":    {fails(upstream.Transient), v1alpha1.ReasonUpstreamUnavailable},
			"unknown status": {result{batch: answer(unknownStatus)}, v1alpha1.ReasonCancelling},
			"not found":      {fails(upstream.NotFound), v1alpha1.ReasonInProgress},
			"key rejected":   {fails(upstream.Unauthorized), v1alpha1.ReasonCredentialsRejected},
		} {
			t.Run(rejection.String()+"/"+name, func(t *testing.T) {
				r := run(tracked(cancelWanted, edited), lifecycle.State{}, epoch, fails(rejection), test.then)
				if r.actionNames() != "Cancel Poll" || r.reason() != test.reason || r.object.Status.CancelRequestTime != nil {
					t.Fatalf("performed %q: %s: %s", r.actionNames(), r.reason(), r.message())
				}
				if batch.Finished(r.object) {
					return
				}
				if early := run(r.object, r.state, epoch); early.actionNames() != "" {
					t.Errorf("performed %q before the retry is due", early.actionNames())
				}
				if r = r.again(); r.actionNames() != "Cancel" {
					t.Errorf("performed %q when the retry was due", r.actionNames())
				}
			})
		}
	}
}

func TestCancel_IsIrrevocable(t *testing.T) {
	r := run(tracked(cancelWanted, edited), lifecycle.State{}, epoch)
	r.object.Spec.Cancel = ptr(false)
	edited(r.object)
	r = run(r.object, r.state, epoch)
	if r.warning(v1alpha1.ReasonCancelIrrevocable) == "" || r.reason() != v1alpha1.ReasonCancelling || !strings.Contains(r.message(), "does not undo it") {
		t.Fatalf("%s: %s; Events %+v", r.reason(), r.message(), r.events)
	}
	if again := r.again(); len(again.events) != 0 || again.reason() != v1alpha1.ReasonCancelling {
		t.Errorf("repeated Events: %+v", again.events)
	}
	if r = r.again(result{batch: answer(upstream.Cancelled)}); r.reason() != v1alpha1.ReasonCancelled {
		t.Errorf("finished as %s", r.reason())
	}
}

func TestCancel_OverdueMessage(t *testing.T) {
	r := run(tracked(cancelWanted, edited), lifecycle.State{}, epoch)
	writes := 0
	ages := map[string]bool{}
	for r.next.Before(epoch.Add(25 * time.Hour)) {
		before := r.object.Status
		if r = r.again(); !strings.Contains("Poll Cancel", r.actionNames()) || r.reason() != v1alpha1.ReasonCancelling {
			t.Fatalf("performed %q: %s: %s", r.actionNames(), r.reason(), r.message())
		}
		if diff := cmp.Diff(before, r.object.Status); diff != "" {
			writes++
		}
		_, age, _ := strings.Cut(r.message(), "more than ")
		ages[strings.TrimSuffix(age, " ago; the batch has not stopped and may be stuck")] = true
	}
	want := map[string]bool{"": true, "a minute": true, "10 minutes": true, "an hour": true, "a day": true}
	if diff := cmp.Diff(want, ages); diff != "" || writes != 4 {
		t.Errorf("%d writes of the status; ages in the message (-want +got):\n%s", writes, diff)
	}
}

func TestCancel_UnpersistedIsNotRepeated(t *testing.T) {
	for name, test := range map[string]struct {
		b           *object
		wantActions string
		action      lifecycle.Action
	}{
		"spec.cancel":           {tracked(cancelWanted, edited), "Poll", lifecycle.Requeue},
		"spec.cancel, unset":    {tracked(edited), "Poll", lifecycle.Requeue},
		"deadline":              {tracked(deadline(time.Hour)), "Poll", lifecycle.Requeue},
		"deletion":              {tracked(deletedAt(epoch)), "", lifecycle.RemoveFinalizer},
		"deletion, DetachFiles": {tracked(deletionPolicy("DetachFiles"), deletedAt(epoch)), "", lifecycle.Requeue},
	} {
		t.Run(name, func(t *testing.T) {
			unsaved := lifecycle.State{Unsaved: lifecycle.Unsaved{CancelledID: "batch_1", CancelledAt: epoch}}
			r := run(test.b, unsaved, epoch.Add(10*time.Second))
			if r.actionNames() != test.wantActions || r.final.Action != test.action {
				t.Errorf("performed %q, then %s", r.actionNames(), r.final.Action)
			}
			if acceptedAt := r.object.Status.CancelRequestTime; test.action == lifecycle.Requeue && !acceptedAt.Time.Equal(epoch) {
				t.Errorf("cancelRequestTime is %s, want %s", acceptedAt, epoch)
			}
			if other := run(test.b, lifecycle.State{Unsaved: lifecycle.Unsaved{CancelledID: "batch_9", CancelledAt: epoch}}, epoch.Add(10*time.Second)); name != "spec.cancel, unset" && other.actionNames() != "Cancel" {
				t.Errorf("performed %q with the unsaved cancel of another batch", other.actionNames())
			}
		})
	}
}

func TestDelete_Completed(t *testing.T) {
	for name, b := range map[string]*object{
		"Cancel": tracked(deletedAt(epoch)), "DetachFiles": tracked(detachFiles, cancelAccepted, deletedAt(epoch)), "never created": newObject(withFinalizer, deletedAt(epoch)),
	} {
		d := config.Decide(b, lifecycle.Observed{Gone: true}, epoch)
		if d.Action != lifecycle.Requeue || d.RequeueAfter != 0 || len(d.Events) != 0 {
			t.Errorf("%s: %s after %s, with Events %v", name, d.Action, d.RequeueAfter, d.Events)
		}
		if diff := cmp.Diff(b.Status, d.Status); diff != "" {
			t.Errorf("%s: the status is written (-before +after):\n%s", name, diff)
		}
	}
}

func TestCancel_UnsetBeforeAccepted(t *testing.T) {
	r := run(tracked(cancelWanted, edited), lifecycle.State{}, epoch, fails(upstream.Transient))
	r.object.Spec.Cancel = nil
	edited(r.object)
	if r = run(r.object, r.state, epoch); r.actionNames() != "Poll" || r.reason() != v1alpha1.ReasonInProgress {
		t.Errorf("performed %q: %s", r.actionNames(), r.reason())
	}
}

func TestDelete(t *testing.T) {
	for name, test := range map[string]struct {
		b           *object
		results     []result
		wantActions string
	}{
		"in progress":                {tracked(deleted), nil, "Cancel"},
		"completed meanwhile":        {tracked(deleted), []result{{batch: answer(upstream.Completed)}}, "Cancel"},
		"cancel rejected, completed": {tracked(deleted), []result{fails(upstream.Rejected), {batch: answer(upstream.Completed)}}, "Cancel Poll"},
		"batch gone":                 {tracked(deleted), []result{fails(upstream.NotFound), fails(upstream.NotFound)}, "Cancel Poll ReadStore"},
		"adopted batch not found":    {newObject(withFinalizer, adopted, deletionPolicy("Cancel"), deleted), []result{fails(upstream.NotFound), fails(upstream.NotFound)}, "Cancel Poll ReadStore"},
		"finished":                   {withChange(runCompleted().object, withFinalizer, deleted), nil, ""},
		"cancel accepted":            {tracked(cancelAccepted, deleted), nil, ""},
		"orphaned":                   {tracked(deletionPolicy("Orphan"), deleted), nil, ""},
		"orphaned, create pending":   {newObject(withFinalizer, pendingSince(epoch), deletionPolicy("Orphan"), deleted), nil, ""},
		"adopted":                    {newObject(withFinalizer, adopted, deleted), nil, ""},
		"adopted, to be cancelled":   {newObject(withFinalizer, adopted, deletionPolicy("Cancel"), deleted), nil, "Cancel"},
		"nothing created":            {newObject(withFinalizer, deleted), nil, ""},
		"ID in the status only":      {tracked(deleted, func(b *object) { b.Annotations = nil }), nil, "Cancel"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(test.b, lifecycle.State{}, epoch, test.results...)
			if r.actionNames() != test.wantActions || r.final.Action != lifecycle.RemoveFinalizer {
				t.Errorf("performed %q, then %s: %s", r.actionNames(), r.final.Action, r.message())
			}
			for _, event := range r.events {
				if event.Warning {
					t.Errorf("unexpected warning: %+v", event)
				}
			}
		})
	}
}

func TestDelete_NotFoundWithinGracePeriod(t *testing.T) {
	for name, b := range map[string]*object{
		"new object":            created(deletedAt(epoch), func(b *object) { b.CreationTimestamp.Time = epoch.Add(-time.Second) }),
		"old object, new batch": tracked(deletedAt(epoch), func(b *object) { b.Status.CreatedAt = &metav1.Time{Time: epoch.Add(-time.Second)} }),
		"no status":             created(deletedAt(epoch)),
	} {
		r := run(b, lifecycle.State{}, epoch, fails(upstream.NotFound), fails(upstream.NotFound))
		if r.final.Action != lifecycle.Requeue || r.reason() != v1alpha1.ReasonDeleting || r.final.RequeueAfter <= 0 {
			t.Errorf("%s: %s: %s", name, r.final.Action, r.message())
		}
		r = run(r.object, r.state, epoch.Add(time.Minute), fails(upstream.NotFound), fails(upstream.NotFound))
		if r.final.Action != lifecycle.RemoveFinalizer {
			t.Errorf("%s: %s a minute later", name, r.final.Action)
		}
	}
}

func TestDelete_TimeoutWarns(t *testing.T) {
	for name, results := range map[string][]result{
		"API unavailable": {fails(upstream.Transient)},
		"key rejected":    {fails(upstream.Unauthorized)},
		"no Secret":       {fails(upstream.NoCredentials)},
		"cancel rejected": {fails(upstream.Rejected), {batch: answer(upstream.InProgress)}},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(tracked(deletedAt(epoch)), lifecycle.State{}, epoch, results...)
			for tries := 1; r.final.Action == lifecycle.Requeue; tries++ {
				if r.reason() != v1alpha1.ReasonDeleting || !strings.HasPrefix(r.actionNames(), "Cancel") || tries > 20 {
					t.Fatalf("try %d: performed %q: %s: %s", tries, r.actionNames(), r.reason(), r.message())
				}
				r = r.again(results...)
			}
			warning := r.warning(v1alpha1.ReasonDeletionIncomplete)
			for _, part := range []string{"batch_1", "vs_1", "may still be running"} {
				if !strings.Contains(warning, part) {
					t.Errorf("the warning %q does not contain %q", warning, part)
				}
			}
			if r.state != (lifecycle.State{}) {
				t.Errorf("state %+v remains", r.state)
			}
		})
	}
}

func TestDelete_TimeoutIsPunctual(t *testing.T) {
	r := run(tracked(deletedAt(epoch)), lifecycle.State{}, epoch, fails(upstream.Transient))
	last := epoch
	for tries := 1; r.final.Action == lifecycle.Requeue; tries++ {
		if tries > 20 {
			t.Fatalf("not given up after %s", last.Sub(epoch))
		}
		last = r.state.NextCall
		r = r.again(fails(upstream.Transient))
	}
	if got := last.Sub(epoch); got != config.FinalizeTimeout {
		t.Errorf("gave up after %s, want %s", got, config.FinalizeTimeout)
	}
}

func TestDelete_WaitsForCreateInFlight(t *testing.T) {
	b := newObject(withFinalizer, pendingSince(epoch.Add(-time.Second)), deletedAt(epoch))
	r := run(b, lifecycle.State{}, epoch)
	if r.final.Action != lifecycle.Requeue || r.final.RequeueAfter != config.RequestTimeout+batch.ClockSkew-time.Second {
		t.Fatalf("%s for %s", r.final.Action, r.final.RequeueAfter)
	}
	if r = r.again(); r.final.Action != lifecycle.RemoveFinalizer || !strings.Contains(r.warning(v1alpha1.ReasonBatchOrphaned), "vs_1") {
		t.Errorf("%s; Events %+v", r.final.Action, r.events)
	}
	// A gateway's 504 does not mean that the create has ended.
	failed := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour), Failed: lifecycle.Create, Failures: 1}}
	if r = run(b, failed, epoch); r.final.Action != lifecycle.Requeue || r.final.RequeueAfter != config.RequestTimeout+batch.ClockSkew-time.Second {
		t.Errorf("%s for %s", r.final.Action, r.final.RequeueAfter)
	}
}

func TestDelete_RecordsUnsavedID(t *testing.T) {
	r := run(newObject(withFinalizer, pendingSince(epoch), deletedAt(epoch)), lifecycle.State{Unsaved: lifecycle.Unsaved{CreatedID: "batch_1"}}, epoch)
	if r.actionNames() != "RecordBatchID Cancel" || r.final.Action != lifecycle.RemoveFinalizer {
		t.Errorf("performed %q, then %s", r.actionNames(), r.final.Action)
	}
}

func TestDelete_OtherFinalizers(t *testing.T) {
	r := run(tracked(deletedAt(epoch), func(b *object) { b.Finalizers = []string{"example.com/other"} }), lifecycle.State{}, epoch)
	if r.actionNames() != "" || r.final.Action != lifecycle.Requeue || r.final.RequeueAfter != 0 || len(r.events) != 0 {
		t.Errorf("performed %q, then %s after %s", r.actionNames(), r.final.Action, r.final.RequeueAfter)
	}
}
