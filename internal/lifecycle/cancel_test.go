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

func TestCancel_BeforeAnythingElse(t *testing.T) {
	busy := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour), PollInterval: time.Minute}}
	failing := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour), Failed: lifecycle.Poll, Failures: 9}}
	for name, test := range map[string]struct {
		b     *object
		state lifecycle.State
	}{
		"between polls":                {tracked(wantsCancel, edited), busy},
		"between polls, seen already":  {tracked(wantsCancel), busy},
		"while the upstream fails":     {tracked(wantsCancel), failing},
		"without finalizer":            {tracked(wantsCancel, func(b *object) { b.Finalizers = nil }), busy},
		"without annotation":           {tracked(wantsCancel, func(b *object) { b.Annotations = nil }), busy},
		"adopted and never looked at":  {newObject(adopted, wantsCancel), lifecycle.State{}},
		"created, and the status lost": {created(wantsCancel), lifecycle.State{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, test.state, epoch)
			if p.performed() != "Cancel" || p.reason() != v1alpha1.ReasonCancelling || p.object.Status.CancelRequestedAt == nil {
				t.Errorf("did %q: %s, latch %v", p.performed(), p.reason(), p.object.Status.CancelRequestedAt)
			}
			if next := p.again(); strings.Contains(next.performed(), "Cancel") {
				t.Errorf("did %q thereafter", next.performed())
			}
		})
	}
}

func TestCancel_BacksOffAfterItsOwnFailures(t *testing.T) {
	p := run(tracked(wantsCancel, edited), lifecycle.State{}, epoch, fails(upstream.Transient))
	if p.performed() != "Cancel" || p.reason() != v1alpha1.ReasonUpstreamUnavailable || p.object.Status.CancelRequestedAt != nil {
		t.Fatalf("did %q: %s", p.performed(), p.reason())
	}
	if early := run(p.object, p.state, epoch); early.performed() != "" {
		t.Errorf("did %q at once", early.performed())
	}
	if p = p.again(); p.performed() != "Cancel" || p.reason() != v1alpha1.ReasonCancelling {
		t.Errorf("did %q: %s", p.performed(), p.reason())
	}
}

func TestCancel_BeforeCreate(t *testing.T) {
	for name, b := range map[string]*object{
		"at once":                newObject(wantsCancel),
		"with an invalid spec":   newObject(wantsCancel, func(b *object) { b.Spec.FileIDs = nil }),
		"between failed creates": run(newObject(), lifecycle.State{}, epoch, fails(upstream.Transient)).object,
	} {
		wantsCancel(b)
		edited(b)
		p := run(b, lifecycle.State{}, epoch)
		if p.performed() != "" || p.reason() != v1alpha1.ReasonCancelled || p.object.Status.Status != "cancelled" || p.final.RequeueAfter != 0 {
			t.Errorf("%s: did %q: %s %s", name, p.performed(), p.reason(), p.message())
		}
		if !strings.Contains(p.message(), "before the batch was created") {
			t.Errorf("%s: %s", name, p.message())
		}
	}
}

func TestCancel_AfterCompletion(t *testing.T) {
	p := run(tracked(wantsCancel, edited), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)})
	if p.performed() != "Cancel" || p.reason() != v1alpha1.ReasonCompleted || !strings.Contains(p.message(), "completed before it could be cancelled") {
		t.Errorf("did %q: %s: %s", p.performed(), p.reason(), p.message())
	}
}

func TestCancel_RefusedPollsTheBatch(t *testing.T) {
	for _, refusal := range []upstream.ErrorKind{upstream.Rejected, upstream.NotFound} {
		for name, test := range map[string]struct {
			then   result
			reason string
		}{
			"it completed":          {result{batch: answer(upstream.Completed)}, v1alpha1.ReasonCompleted},
			"it failed":             {result{batch: answer(upstream.Failed)}, v1alpha1.ReasonBatchFailed},
			"it was cancelled":      {result{batch: answer(upstream.Cancelled)}, v1alpha1.ReasonCancelled},
			"it still runs":         {result{batch: answer(upstream.InProgress)}, v1alpha1.ReasonCancelling},
			"it cannot be read":     {fails(upstream.Transient), v1alpha1.ReasonUpstreamUnavailable},
			"it is in a new state":  {result{batch: answer(wrongStatus)}, v1alpha1.ReasonCancelling},
			"it seems to be gone":   {fails(upstream.NotFound), v1alpha1.ReasonInProgress},
			"the key was withdrawn": {fails(upstream.Unauthorized), v1alpha1.ReasonCredentialsRejected},
		} {
			t.Run(refusal.String()+"/"+name, func(t *testing.T) {
				p := run(tracked(wantsCancel, edited), lifecycle.State{}, epoch, fails(refusal), test.then)
				if p.performed() != "Cancel Poll" || p.reason() != test.reason || p.object.Status.CancelRequestedAt != nil {
					t.Fatalf("did %q: %s: %s", p.performed(), p.reason(), p.message())
				}
				if batch.Finished(p.object) {
					return
				}
				if early := run(p.object, p.state, epoch); early.performed() != "" {
					t.Errorf("did %q at once", early.performed())
				}
				if p = p.again(); p.performed() != "Cancel" {
					t.Errorf("did %q when its time came", p.performed())
				}
			})
		}
	}
}

func TestCancel_IsIrrevocable(t *testing.T) {
	p := run(tracked(wantsCancel, edited), lifecycle.State{}, epoch)
	p.object.Spec.Cancel = ptr(false)
	edited(p.object)
	p = run(p.object, p.state, epoch)
	if p.warned(v1alpha1.ReasonCancelIrrevocable) == "" || p.reason() != v1alpha1.ReasonCancelling || !strings.Contains(p.message(), "does not undo it") {
		t.Fatalf("%s: %s; told %+v", p.reason(), p.message(), p.events)
	}
	if again := p.again(); len(again.events) != 0 || again.reason() != v1alpha1.ReasonCancelling {
		t.Errorf("told again: %+v", again.events)
	}
	if p = p.again(result{batch: answer(upstream.Cancelled)}); p.reason() != v1alpha1.ReasonCancelled {
		t.Errorf("the end is %s", p.reason())
	}
}

func TestCancel_OverdueMessage(t *testing.T) {
	p := run(tracked(wantsCancel, edited), lifecycle.State{}, epoch)
	writes := 0
	events := map[string]bool{}
	for p.next.Before(epoch.Add(25 * time.Hour)) {
		before := p.object.Status
		if p = p.again(); p.performed() != "Poll" || p.reason() != v1alpha1.ReasonCancelling {
			t.Fatalf("did %q: %s: %s", p.performed(), p.reason(), p.message())
		}
		if diff := cmp.Diff(before, p.object.Status); diff != "" {
			writes++
		}
		_, age, _ := strings.Cut(p.message(), "more than ")
		events[strings.TrimSuffix(age, " ago; the batch has not stopped and may be stuck")] = true
	}
	want := map[string]bool{"": true, "a minute": true, "10 minutes": true, "an hour": true, "a day": true}
	if diff := cmp.Diff(want, events); diff != "" || writes != 4 {
		t.Errorf("%d writes of the status; told ages (-want +got):\n%s", writes, diff)
	}
}

func TestCancel_UnpersistedIsNotRepeated(t *testing.T) {
	for name, test := range map[string]struct {
		b         *object
		performed string
		action    lifecycle.Action
	}{
		"spec.cancel":           {tracked(wantsCancel, edited), "Poll", lifecycle.Requeue},
		"spec.cancel, unset":    {tracked(edited), "Poll", lifecycle.Requeue},
		"deadline":              {tracked(deadline(time.Hour)), "Poll", lifecycle.Requeue},
		"deletion":              {tracked(deletedAt(epoch)), "", lifecycle.RemoveFinalizer},
		"deletion, DetachFiles": {tracked(policy("DetachFiles"), deletedAt(epoch)), "", lifecycle.Requeue},
	} {
		t.Run(name, func(t *testing.T) {
			taken := lifecycle.State{Unsaved: lifecycle.Unsaved{CancelledID: "batch_1", CancelledAt: epoch}}
			p := run(test.b, taken, epoch.Add(10*time.Second))
			if p.performed() != test.performed || p.final.Action != test.action {
				t.Errorf("did %q, then %s", p.performed(), p.final.Action)
			}
			if acceptedAt := p.object.Status.CancelRequestedAt; test.action == lifecycle.Requeue && !acceptedAt.Time.Equal(epoch) {
				t.Errorf("the status tells of a cancel at %s, want %s", acceptedAt, epoch)
			}
			if lost := run(test.b, lifecycle.State{Unsaved: lifecycle.Unsaved{CancelledID: "batch_9", CancelledAt: epoch}}, epoch.Add(10*time.Second)); name != "spec.cancel, unset" && lost.performed() != "Cancel" {
				t.Errorf("did %q with the cancel of another batch in mind", lost.performed())
			}
		})
	}
}

func TestDelete_FinalizerRemoved(t *testing.T) {
	for name, b := range map[string]*object{
		"Cancel": tracked(deletedAt(epoch)), "DetachFiles": tracked(detaching, cancelAccepted, deletedAt(epoch)), "never created": newObject(hasFinalizer, deletedAt(epoch)),
	} {
		d := config.Decide(b, lifecycle.Observed{FinalizerRemoved: true}, epoch)
		if d.Action != lifecycle.Requeue || d.RequeueAfter != 0 || len(d.Events) != 0 {
			t.Errorf("%s: %s after %s, with Events %v", name, d.Action, d.RequeueAfter, d.Events)
		}
		if diff := cmp.Diff(b.Status, d.Status); diff != "" {
			t.Errorf("%s: the status is written (-before +after):\n%s", name, diff)
		}
	}
}

func TestCancel_UnsetBeforeAccepted(t *testing.T) {
	p := run(tracked(wantsCancel, edited), lifecycle.State{}, epoch, fails(upstream.Transient))
	p.object.Spec.Cancel = nil
	edited(p.object)
	if p = run(p.object, p.state, epoch); p.performed() != "Poll" || p.reason() != v1alpha1.ReasonInProgress {
		t.Errorf("did %q: %s", p.performed(), p.reason())
	}
}

func TestDelete(t *testing.T) {
	now := deletedAt(epoch)
	for name, test := range map[string]struct {
		b         *object
		results   []result
		performed string
	}{
		"runs":                          {tracked(now), nil, "Cancel"},
		"completed meanwhile":           {tracked(now), []result{{batch: answer(upstream.Completed)}}, "Cancel"},
		"cancel refused, as it is over": {tracked(now), []result{fails(upstream.Rejected), {batch: answer(upstream.Completed)}}, "Cancel Poll"},
		"batch gone":                    {tracked(now), []result{fails(upstream.NotFound), fails(upstream.NotFound)}, "Cancel Poll"},
		"adopted batch never was there": {newObject(hasFinalizer, adopted, policy("Cancel"), now), []result{fails(upstream.NotFound), fails(upstream.NotFound)}, "Cancel Poll"},
		"over":                          {run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)}).object, nil, ""},
		"cancel taken already":          {tracked(cancelAccepted, now), nil, ""},
		"orphaned":                      {tracked(policy("Orphan"), now), nil, ""},
		"orphaned, intent":              {newObject(hasFinalizer, pendingSince(epoch), policy("Orphan"), now), nil, ""},
		"adopted":                       {newObject(hasFinalizer, adopted, now), nil, ""},
		"adopted, to be cancelled":      {newObject(hasFinalizer, adopted, policy("Cancel"), now), nil, "Cancel"},
		"nothing created":               {newObject(hasFinalizer, now), nil, ""},
		"ID known to the status only":   {tracked(now, func(b *object) { b.Annotations = nil }), nil, "Cancel"},
	} {
		t.Run(name, func(t *testing.T) {
			now(test.b)
			p := run(test.b, lifecycle.State{}, epoch, test.results...)
			if p.performed() != test.performed || p.final.Action != lifecycle.RemoveFinalizer {
				t.Errorf("did %q, then %s: %s", p.performed(), p.final.Action, p.message())
			}
			for _, event := range p.events {
				if event.Warning {
					t.Errorf("warned: %+v", event)
				}
			}
		})
	}
}

func TestDelete_NotFoundWithinGracePeriod(t *testing.T) {
	for name, b := range map[string]*object{
		"of a young object":                 created(deletedAt(epoch), func(b *object) { b.CreationTimestamp.Time = epoch.Add(-time.Second) }),
		"of an old object":                  tracked(deletedAt(epoch), func(b *object) { b.Status.CreatedAt = &metav1.Time{Time: epoch.Add(-time.Second)} }),
		"of which the status tells nothing": created(deletedAt(epoch)),
	} {
		p := run(b, lifecycle.State{}, epoch, fails(upstream.NotFound), fails(upstream.NotFound))
		if p.final.Action != lifecycle.Requeue || p.reason() != v1alpha1.ReasonDeleting || p.final.RequeueAfter <= 0 {
			t.Errorf("%s: %s: %s", name, p.final.Action, p.message())
		}
		p = run(p.object, p.state, epoch.Add(time.Minute), fails(upstream.NotFound), fails(upstream.NotFound))
		if p.final.Action != lifecycle.RemoveFinalizer {
			t.Errorf("%s: %s a minute later", name, p.final.Action)
		}
	}
}

func TestDelete_TimeoutWarns(t *testing.T) {
	for name, results := range map[string][]result{
		"upstream down":  {fails(upstream.Transient)},
		"key refused":    {fails(upstream.Unauthorized)},
		"Secret gone":    {fails(upstream.NoCredentials)},
		"cancel refused": {fails(upstream.Rejected), {batch: answer(upstream.InProgress)}},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(tracked(deletedAt(epoch)), lifecycle.State{}, epoch, results...)
			for tries := 1; p.final.Action == lifecycle.Requeue; tries++ {
				if p.reason() != v1alpha1.ReasonDeleting || !strings.HasPrefix(p.performed(), "Cancel") || tries > 20 {
					t.Fatalf("try %d: did %q: %s: %s", tries, p.performed(), p.reason(), p.message())
				}
				p = p.again(results...)
			}
			warning := p.warned(v1alpha1.ReasonDeleting)
			for _, part := range []string{"batch_1", "vs_1", "may still be running"} {
				if !strings.Contains(warning, part) {
					t.Errorf("the warning %q does not say %q", warning, part)
				}
			}
			if p.state != (lifecycle.State{}) {
				t.Errorf("remembers %+v", p.state)
			}
		})
	}
}

func TestDelete_TimeoutIsPunctual(t *testing.T) {
	p := run(tracked(deletedAt(epoch)), lifecycle.State{}, epoch, fails(upstream.Transient))
	last := epoch
	for tries := 1; p.final.Action == lifecycle.Requeue; tries++ {
		if tries > 20 {
			t.Fatalf("still trying after %s", last.Sub(epoch))
		}
		last = p.state.NextCall
		p = p.again(fails(upstream.Transient))
	}
	if got := last.Sub(epoch); got != config.FinalizeTimeout {
		t.Errorf("gave up after %s, want %s", got, config.FinalizeTimeout)
	}
}

func TestDelete_WaitsForCreateInFlight(t *testing.T) {
	b := newObject(hasFinalizer, pendingSince(epoch.Add(-time.Second)), deletedAt(epoch))
	p := run(b, lifecycle.State{}, epoch)
	if p.final.Action != lifecycle.Requeue || p.final.RequeueAfter != config.RequestTimeout+batch.ClockSkew-time.Second {
		t.Fatalf("%s for %s", p.final.Action, p.final.RequeueAfter)
	}
	if p = p.again(); p.final.Action != lifecycle.RemoveFinalizer || !strings.Contains(p.warned(v1alpha1.ReasonCreateOutcomeUnknown), "vs_1") {
		t.Errorf("%s; told %+v", p.final.Action, p.events)
	}
	answered := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour), Failed: lifecycle.Create, Failures: 1}, Unsaved: lifecycle.Unsaved{CreateAnswered: true}}
	if p = run(b, answered, epoch); p.final.Action != lifecycle.RemoveFinalizer {
		t.Errorf("%s for %s, though nothing is under way", p.final.Action, p.final.RequeueAfter)
	}
}

func TestDelete_RecordsUnsavedID(t *testing.T) {
	p := run(newObject(hasFinalizer, pendingSince(epoch), deletedAt(epoch)), lifecycle.State{Unsaved: lifecycle.Unsaved{CreatedID: "batch_1"}}, epoch)
	if p.performed() != "RecordBatchID Cancel" || p.final.Action != lifecycle.RemoveFinalizer {
		t.Errorf("did %q, then %s", p.performed(), p.final.Action)
	}
}

func TestDelete_OtherFinalizers(t *testing.T) {
	p := run(tracked(deletedAt(epoch), func(b *object) { b.Finalizers = []string{"example.com/other"} }), lifecycle.State{}, epoch)
	if p.performed() != "" || p.final.Action != lifecycle.Requeue || p.final.RequeueAfter != 0 || len(p.events) != 0 {
		t.Errorf("did %q, then %s after %s", p.performed(), p.final.Action, p.final.RequeueAfter)
	}
}
