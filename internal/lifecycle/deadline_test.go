// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"math"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func createdAt(at time.Time) change {
	return func(b *object) { b.Status.CreatedAt = &metav1.Time{Time: at} }
}

func bornAt(at time.Time) change {
	return func(b *object) { b.CreationTimestamp.Time = at }
}

func TestDeadline_CountsFromLaterCreation(t *testing.T) {
	for name, test := range map[string]struct {
		b  *object
		at time.Duration // from the epoch
	}{
		"batch made by the object":  {tracked(createdAt(epoch.Add(-50 * time.Minute))), 10 * time.Minute},
		"old batch, adopted lately": {tracked(bornAt(epoch.Add(-time.Minute))), 59 * time.Minute},
		"unknown to the upstream":   {tracked(func(b *object) { b.Status.CreatedAt = nil }), 0},
	} {
		t.Run(name, func(t *testing.T) {
			deadline(time.Hour)(test.b)
			deadlineAt := epoch.Add(test.at)
			p := run(test.b, lifecycle.State{Backoff: lifecycle.Backoff{PollInterval: time.Minute}}, deadlineAt.Add(-10*time.Second))
			if p.performed() != "Poll" || p.final.RequeueAfter != 10*time.Second {
				t.Fatalf("before the deadline it did %q, and looks again by %s", p.performed(), p.final.RequeueAfter)
			}
			if p = run(test.b, p.state, deadlineAt); p.performed() != "Cancel" || p.reason() != v1alpha1.ReasonCancelling {
				t.Errorf("at the deadline it did %q: %s", p.performed(), p.reason())
			}
		})
	}
}

func TestDeadline_RequeuesInTime(t *testing.T) {
	slow := lifecycle.State{Backoff: lifecycle.Backoff{PollInterval: time.Minute}}
	in30s := deadline(time.Hour + 30*time.Second)
	for name, p := range map[string]reconciliation{
		"after a look":         run(tracked(in30s), slow, epoch),
		"after a failure":      run(tracked(in30s), lifecycle.State{Backoff: lifecycle.Backoff{Failed: lifecycle.Poll, Failures: 9}}, epoch, fails(upstream.Transient)),
		"before its time":      run(tracked(in30s), lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour)}}, epoch),
		"asked to poll slowly": run(tracked(in30s), slow, epoch, result{batch: answer(upstream.InProgress, pollAfter(time.Hour))}),
		"asked to slow down":   run(tracked(in30s), slow, epoch, result{err: &upstream.Error{Kind: upstream.RateLimited, RetryAfter: time.Hour}}),
		"no such batch":        run(tracked(in30s), lifecycle.State{Backoff: lifecycle.Backoff{NotFound: 9}}, epoch, fails(upstream.NotFound)),
	} {
		t.Run(name, func(t *testing.T) {
			if p.final.RequeueAfter != 30*time.Second {
				t.Fatalf("requeued after %s", p.final.RequeueAfter)
			}
			if p = p.again(result{batch: answer(upstream.Cancelled)}); p.performed() != "Cancel" || p.reason() != v1alpha1.ReasonDeadlineExceeded {
				t.Errorf("did %q at the deadline: %s", p.performed(), p.reason())
			}
		})
	}
}

func TestDeadline_UnknownBeforeFirstPoll(t *testing.T) {
	young := result{batch: answer(upstream.InProgress, func(a *upstream.Batch) { a.CreatedAt = epoch })}
	for name, test := range map[string]struct {
		b         *object
		results   []result
		performed string
	}{
		"created late":                 {newObject(deadline(time.Minute)), []result{young}, "Create"},
		"created late, status lost":    {created(deadline(time.Minute)), []result{young}, "Poll"},
		"adopted, and not looked at":   {newObject(adopted, deadline(time.Minute)), []result{young}, "Poll"},
		"adopted, and cannot be found": {newObject(adopted, deadline(time.Minute)), []result{fails(upstream.NotFound)}, "Poll"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, lifecycle.State{}, epoch, test.results...)
			if p.performed() != test.performed || p.final.RequeueAfter != config.PollMin {
				t.Errorf("did %q, and looks again after %s", p.performed(), p.final.RequeueAfter)
			}
			if p = p.again(test.results...); p.performed() != "Poll" {
				t.Errorf("did %q thereafter", p.performed())
			}
		})
	}
}

func TestDeadline_MaximumValue(t *testing.T) {
	p := run(tracked(func(b *object) { b.Spec.ActiveDeadlineSeconds = ptr(int64(math.MaxInt64)) }), lifecycle.State{}, epoch)
	if p.performed() != "Poll" || p.final.RequeueAfter != config.PollMin {
		t.Errorf("did %q, and looks again by %s", p.performed(), p.final.RequeueAfter)
	}
}

func TestDeadline_Outcomes(t *testing.T) {
	finishedAtAPI := deadline(time.Hour)
	later := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour), PollInterval: time.Minute}}
	completedAtOnce := withChange(run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)}).object, finishedAtAPI, edited)
	for name, test := range map[string]struct {
		b         *object
		then      upstream.Status
		performed string
		reason    string
		part      string // of the message
	}{
		"cancelled at it":                   {tracked(finishedAtAPI), upstream.Cancelled, "Cancel", "DeadlineExceeded", "activeDeadlineSeconds (1h0m0s)"},
		"still runs":                        {tracked(finishedAtAPI), upstream.InProgress, "Cancel", "Cancelling", "Deadline exceeded (spec.activeDeadlineSeconds)"},
		"completed before it was cancelled": {tracked(finishedAtAPI), upstream.Completed, "Cancel", "Completed", "2 of 2 files"},
		"failed before it was cancelled":    {tracked(finishedAtAPI), upstream.Failed, "Cancel", "BatchFailed", "Batch failed"},
		"spec.cancel was set too":           {tracked(finishedAtAPI, wantsCancel), upstream.Cancelled, "Cancel", "Cancelled", "Cancelled as requested"},
		"suspended":                         {tracked(finishedAtAPI, suspends), upstream.Cancelled, "", "Suspended", "makes no API calls"},
		"over already":                      {completedAtOnce, upstream.Cancelled, "", "Completed", "2 of 2 files"},
		"not reached":                       {tracked(deadline(time.Hour + time.Second)), upstream.InProgress, "", "InProgress", "batch_1"},
		"only the list of failures missing": {tracked(finishedAtAPI, func(b *object) { b.Status.Status = "cancelled" }), upstream.Cancelled, "", "InProgress", "batch_1"},
		"adopted, and nothing is held":      {tracked(adopted, finishedAtAPI, func(b *object) { b.Finalizers = nil }), upstream.Cancelled, "Cancel", "DeadlineExceeded", "1h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(withObserved(test.b), later, epoch, result{batch: answer(test.then)})
			if p.performed() != test.performed || p.reason() != test.reason || !strings.Contains(p.message(), test.part) {
				t.Errorf("did %q: %s: %s", p.performed(), p.reason(), p.message())
			}
		})
	}
}

// withObserved is an object whose spec has been looked at, so that nothing is due out of turn.
func withObserved(b *object) *object {
	return withChange(b, func(b *object) { b.Status.ObservedGeneration = b.Generation })
}

// runAt makes a pass over what an earlier one left, at a time.
func runAt(p reconciliation, at time.Time, results ...result) reconciliation {
	return run(p.object, p.state, at, results...)
}

func TestDeadline_StuckBatch(t *testing.T) {
	p := run(tracked(deadline(time.Hour)), lifecycle.State{Backoff: lifecycle.Backoff{PollInterval: time.Minute}}, epoch)
	for p.object.Status.FinishedAt == nil {
		if left := epoch.Add(time.Minute).Sub(p.next); left < 0 || p.reason() != v1alpha1.ReasonCancelling {
			t.Fatalf("%s: looks again %s after the minute", p.reason(), -left)
		}
		p = p.again()
	}
	if p.performed() != "Poll" || p.reason() != v1alpha1.ReasonDeadlineExceeded || p.object.Status.Status != "in_progress" {
		t.Errorf("did %q: %s, with the batch %s", p.performed(), p.reason(), p.object.Status.Status)
	}
	if got := p.object.Status.FinishedAt.Sub(epoch); got != time.Minute || p.warned(v1alpha1.ReasonDeadlineExceeded) == "" {
		t.Errorf("given up after %s, told %+v", got, p.events)
	}
	late := run(tracked(deadline(time.Hour)), lifecycle.State{Backoff: lifecycle.Backoff{PollInterval: time.Minute}}, epoch)
	if late = runAt(late, epoch.Add(time.Minute), result{batch: answer(upstream.Completed)}); late.reason() != v1alpha1.ReasonCompleted {
		t.Errorf("a batch that completed after all is told to be %s, after %q", late.reason(), late.performed())
	}
	down := run(tracked(deadline(time.Hour)), lifecycle.State{}, epoch)
	for down.object.Status.FinishedAt == nil {
		down = down.again(fails(upstream.Transient))
	}
	if got := down.object.Status.FinishedAt.Sub(epoch); got != time.Minute {
		t.Errorf("given up after %s while the upstream is down", got)
	}
}

func TestDeadline_UserCancelIsFollowed(t *testing.T) {
	for name, b := range map[string]*object{
		"before the deadline":    tracked(deadline(2*time.Hour), wantsCancel, cancelAccepted),
		"after the deadline":     tracked(deadline(time.Hour), wantsCancel, cancelAccepted),
		"before, and unset then": tracked(deadline(2*time.Hour), cancelAccepted),
	} {
		p := run(b, lifecycle.State{}, epoch.Add(90*time.Minute))
		if p.performed() != "Poll" || p.reason() != v1alpha1.ReasonCancelling {
			t.Errorf("%s: did %q: %s", name, p.performed(), p.reason())
		}
		if p = p.again(result{batch: answer(upstream.Cancelled)}); p.reason() != v1alpha1.ReasonCancelled {
			t.Errorf("%s: the end is %s", name, p.reason())
		}
	}
}

func TestDeadline_CancelIsNotIrrevocableEvent(t *testing.T) {
	p := run(tracked(deadline(time.Hour), cancelAccepted, edited), lifecycle.State{}, epoch)
	if p.performed() != "Poll" || p.warned(v1alpha1.ReasonCancelIrrevocable) != "" || !strings.Contains(p.message(), "Deadline exceeded (spec.activeDeadlineSeconds)") {
		t.Errorf("did %q, told %+v: %s", p.performed(), p.events, p.message())
	}
}

func TestDeadline_ExceededIsFinal(t *testing.T) {
	for name, first := range map[string]reconciliation{
		"cancelled": run(tracked(deadline(time.Hour)), lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)}),
		"stuck":     run(tracked(deadline(time.Hour), cancelAccepted), lifecycle.State{}, epoch.Add(time.Minute)),
	} {
		for edit, apply := range map[string]change{
			"none": edited, "longer": deadline(time.Hour * 100), "unset": func(b *object) { b.Spec.ActiveDeadlineSeconds = nil },
			"cancel": wantsCancel, "suspend": suspends, "failures allowed": allowed(5),
		} {
			p := run(withChange(first.object, apply, edited), lifecycle.State{}, epoch.Add(time.Hour))
			if p.performed() != "" || p.reason() != v1alpha1.ReasonDeadlineExceeded || p.message() != first.message() || !p.next.IsZero() || len(p.events) != 0 {
				t.Errorf("%s, edited %s: did %q: %s: %s", name, edit, p.performed(), p.reason(), p.message())
			}
		}
	}
}

func TestDeadline_CancelBacksOffAfterItsOwnFailures(t *testing.T) {
	p := run(tracked(deadline(time.Hour)), lifecycle.State{}, epoch, fails(upstream.Transient))
	if p.performed() != "Cancel" || p.reason() != v1alpha1.ReasonUpstreamUnavailable || p.final.RequeueAfter != time.Second {
		t.Fatalf("did %q: %s, by %s", p.performed(), p.reason(), p.final.RequeueAfter)
	}
	if early := run(p.object, p.state, epoch); early.performed() != "" {
		t.Errorf("did %q at once", early.performed())
	}
	if p = p.again(fails(upstream.Rejected), result{batch: answer(upstream.Completed)}); p.performed() != "Cancel Poll" || p.reason() != v1alpha1.ReasonCompleted {
		t.Errorf("did %q: %s", p.performed(), p.reason())
	}
}
