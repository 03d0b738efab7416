// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// throttledAt returns a reconciliation whose last action was not admitted.
func throttledAt(state lifecycle.State, actions ...lifecycle.Action) lifecycle.Observed {
	return lifecycle.Observed{State: state, Actions: actions, Admission: lifecycle.RateLimited}
}

func TestThrottled_StatusUnchanged(t *testing.T) {
	tests := map[string]struct {
		object  *object
		actions []lifecycle.Action
	}{
		"poll":                 {tracked(), []lifecycle.Action{lifecycle.Poll}},
		"poll after an edit":   {tracked(edited), []lifecycle.Action{lifecycle.Poll}},
		"first poll":           {newObject(adopted), []lifecycle.Action{lifecycle.Poll}},
		"verify":               {newObject(pendingSince(epoch)), []lifecycle.Action{lifecycle.VerifyCreate}},
		"create after verify":  {newObject(pendingSince(epoch)), []lifecycle.Action{lifecycle.VerifyCreate, lifecycle.Create}},
		"create, rate limited": {newObject(), []lifecycle.Action{lifecycle.Create}},
		"create, saturated":    {newObject(), []lifecycle.Action{lifecycle.Create}},
		"detach":               {tracked(deletedAt(epoch), deletionPolicy("DetachFiles")), []lifecycle.Action{lifecycle.Detach}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			state := lifecycle.State{Backoff: lifecycle.Backoff{PollInterval: time.Minute, Failed: lifecycle.Create, Failures: 2}}
			observed := throttledAt(state, test.actions...)
			if name == "create, saturated" {
				observed.Admission = lifecycle.Saturated
			}
			d := config.Decide(test.object, observed, epoch)
			if diff := cmp.Diff(test.object.Status, d.Status); diff != "" || len(d.Events) != 0 || d.Action != lifecycle.Requeue {
				t.Errorf("%s, %v (-persisted +decided):\n%s", d.Action, d.Events, diff)
			}
			state.WaitingSince = epoch
			if diff := cmp.Diff(state, d.State); diff != "" || !d.Throttled {
				t.Errorf("throttled: %t; state (-want +got):\n%s", d.Throttled, diff)
			}
			if d.RequeueAfter <= 0 || d.RequeueAfter > time.Minute {
				t.Errorf("requeued after %s", d.RequeueAfter)
			}
		})
	}
}

func TestThrottled_LongWaitIsReported(t *testing.T) {
	for reason, admission := range map[string]lifecycle.Admission{v1alpha1.ReasonWaitingForRateLimit: lifecycle.RateLimited, v1alpha1.ReasonRateLimited: lifecycle.BackedOff} {
		t.Run(reason, func(t *testing.T) {
			b := newObject()
			observed := throttledAt(lifecycle.State{}, lifecycle.Create)
			observed.Admission = admission
			d := config.Decide(b, observed, epoch)
			observed.State = d.State
			later := epoch.Add(d.RequeueAfter)
			d = config.Decide(b, observed, later)
			ready := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionReady)
			if ready == nil || ready.Reason != reason || ready.Status != "Unknown" {
				t.Fatalf("after %s, Ready is %+v", later.Sub(epoch), ready)
			}
			if len(d.Events) != 1 || d.Events[0].Reason != reason {
				t.Errorf("the Events are %+v", d.Events)
			}
			// An Event is emitted once, however long the wait takes.
			b.Status = d.Status
			d = config.Decide(b, observed, later.Add(time.Hour))
			if diff := cmp.Diff(b.Status, d.Status); diff != "" || len(d.Events) != 0 {
				t.Errorf("repeated: %+v (-persisted +decided):\n%s", d.Events, diff)
			}
		})
	}
}

func TestThrottled_RequeuesAtDeadline(t *testing.T) {
	d := config.Decide(tracked(deadline(time.Hour+10*time.Second)), throttledAt(lifecycle.State{}, lifecycle.Poll), epoch)
	if d.RequeueAfter != 10*time.Second {
		t.Errorf("requeued after %s, and the deadline is in 10s", d.RequeueAfter)
	}
	d = config.Decide(tracked(deletedAt(epoch), deletionPolicy("DetachFiles")), throttledAt(lifecycle.State{}, lifecycle.Detach), epoch.Add(config.FinalizeTimeout-10*time.Second))
	if d.RequeueAfter != 10*time.Second {
		t.Errorf("requeued after %s, and the deletion times out in 10s", d.RequeueAfter)
	}
}

// TestThrottled_CancelNeverSent: the message of an object whose calls all had to wait names no failure.
func TestThrottled_CancelNeverSent(t *testing.T) {
	b := tracked(cancelWanted, func(b *object) { b.Status.CancelStartTime = &metav1.Time{Time: epoch.Add(-time.Hour)} })
	d := config.Decide(b, throttledAt(lifecycle.State{}, lifecycle.Cancel, lifecycle.Poll), epoch)
	const want = "The API did not accept the cancellation, so batch batch_1 may still be running in vector store vs_1"
	if got := (reconciliation{object: &object{Status: d.Status}}).message(); got != want || reasonOf(d.Status) != v1alpha1.ReasonCancelFailed {
		t.Errorf("%s: %q, want %q", reasonOf(d.Status), got, want)
	}
}

// TestThrottled_StartsTheClock: the time by which an object has to be finished begins with a status. One is written
// for a call that waits for longer than two seconds, and once.
func TestThrottled_StartsTheClock(t *testing.T) {
	waiting := lifecycle.State{Backoff: lifecycle.Backoff{WaitingSince: epoch.Add(-2 * time.Second)}}
	started := func(b *object) { b.Status.CancelStartTime = &metav1.Time{Time: epoch.Add(-10 * time.Second)} }
	for name, test := range map[string]struct {
		b      *object
		action lifecycle.Action
		writes bool
	}{
		"cancel":                  {tracked(cancelWanted), lifecycle.Cancel, true},
		"cancel, started":         {tracked(cancelWanted, started), lifecycle.Cancel, false},
		"poll":                    {newObject(adopted), lifecycle.Poll, false},
		"poll, with a deadline":   {newObject(adopted, deadline(time.Hour)), lifecycle.Poll, true},
		"poll, after a status":    {tracked(deadline(2 * time.Hour)), lifecycle.Poll, false},
		"poll, the cancel is new": {tracked(cancelAccepted), lifecycle.Poll, false},
	} {
		observed := throttledAt(waiting, test.action)
		observed.Admission = lifecycle.Saturated
		d := config.Decide(test.b, observed, epoch)
		if writes := cmp.Diff(test.b.Status, d.Status) != ""; writes != test.writes || !d.Throttled {
			t.Errorf("%s: the status is written: %t", name, writes)
		}
		if test.action == lifecycle.Cancel && d.Status.CancelStartTime == nil {
			t.Errorf("%s: the clock did not start", name)
		}
	}
}

// TestThrottled_AtTheEnd: the time at which an object has to be finished whatever the API returns does not count for
// one that is finished or being deleted.
func TestThrottled_AtTheEnd(t *testing.T) {
	late := func(b *object) { b.Status.CancelStartTime = &metav1.Time{Time: epoch.Add(-time.Hour)} }
	finished := run(tracked(cancelAccepted, withoutFinalizers), lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled, failures(1))}, fails(upstream.Transient)).object
	for name, test := range map[string]struct {
		b         *object
		action    lifecycle.Action
		throttled bool
	}{
		"cancelled": {tracked(cancelWanted, late), lifecycle.Cancel, false},
		"deleted":   {tracked(cancelWanted, late, deletedAt(epoch)), lifecycle.Cancel, true},
		"finished":  {withChange(finished, cancelWanted, late), lifecycle.ListFailedFiles, true},
	} {
		if d := config.Decide(test.b, throttledAt(lifecycle.State{}, test.action), epoch); d.Throttled != test.throttled {
			t.Errorf("%s: %s, throttled: %t", name, d.Action, d.Throttled)
		}
	}
}
