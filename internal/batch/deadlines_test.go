// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"math"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func createdAt(at time.Time) change {
	return func(b *object) { b.Status.CreatedAt = &metav1.Time{Time: at} }
}

func bornAt(at time.Time) change {
	return func(b *object) { b.CreationTimestamp.Time = at }
}

func TestTheDeadlineCountsFromTheLaterOfBatchAndObject(t *testing.T) {
	for name, test := range map[string]struct {
		b  *object
		at time.Duration // from the epoch
	}{
		"batch made by the object":  {followed(createdAt(epoch.Add(-50 * time.Minute))), 10 * time.Minute},
		"old batch, adopted lately": {followed(bornAt(epoch.Add(-time.Minute))), 59 * time.Minute},
		"unknown to the upstream":   {followed(func(b *object) { b.Status.CreatedAt = nil }), 0},
	} {
		t.Run(name, func(t *testing.T) {
			deadline(time.Hour)(test.b)
			deadlineAt := epoch.Add(test.at)
			p := run(test.b, batch.Memory{Interval: time.Minute}, deadlineAt.Add(-10*time.Second))
			if p.did() != "Retrieve" || p.final.By != 10*time.Second {
				t.Fatalf("before the deadline it did %q, and looks again by %s", p.did(), p.final.By)
			}
			if p = run(test.b, p.memory, deadlineAt); p.did() != "Cancel" || p.reason() != v1alpha1.ReasonCancelling {
				t.Errorf("at the deadline it did %q: %s", p.did(), p.reason())
			}
		})
	}
}

func TestTheNextPassComesByTheDeadline(t *testing.T) {
	slow := batch.Memory{Interval: time.Minute}
	in30s := deadline(time.Hour + 30*time.Second)
	for name, p := range map[string]pass{
		"after a look":         run(followed(in30s), slow, epoch),
		"after a failure":      run(followed(in30s), batch.Memory{Failed: batch.Retrieve, Failures: 9}, epoch, fails(upstream.Transient)),
		"before its time":      run(followed(in30s), batch.Memory{NextCall: epoch.Add(time.Hour)}, epoch),
		"asked to poll slowly": run(followed(in30s), slow, epoch, result{batch: answer(upstream.InProgress, pollAfter(time.Hour))}),
		"asked to slow down":   run(followed(in30s), slow, epoch, result{err: &upstream.Error{Kind: upstream.RateLimited, RetryAfter: time.Hour}}),
		"no such batch":        run(followed(in30s), batch.Memory{NotFound: 9}, epoch, fails(upstream.NotFound)),
	} {
		t.Run(name, func(t *testing.T) {
			if p.final.By != 30*time.Second || p.final.After < 30*time.Second {
				t.Fatalf("looks again after %s, by %s", p.final.After, p.final.By)
			}
			if p = p.again(result{batch: answer(upstream.Cancelled)}); p.did() != "Cancel" || p.reason() != v1alpha1.ReasonDeadlineExceeded {
				t.Errorf("did %q at the deadline: %s", p.did(), p.reason())
			}
		})
	}
}

func TestADeadlineIsNotKnownBeforeTheBatchWasSeen(t *testing.T) {
	young := result{batch: answer(upstream.InProgress, func(a *upstream.Batch) { a.CreatedAt = epoch })}
	for name, test := range map[string]struct {
		b       *object
		results []result
		did     string
	}{
		"created late":                 {fresh(deadline(time.Minute)), []result{young}, "Create"},
		"created late, status lost":    {created(deadline(time.Minute)), []result{young}, "Retrieve"},
		"adopted, and not looked at":   {fresh(adopted, deadline(time.Minute)), []result{young}, "Retrieve"},
		"adopted, and cannot be found": {fresh(adopted, deadline(time.Minute)), []result{fails(upstream.NotFound)}, "Retrieve"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, batch.Memory{}, epoch, test.results...)
			if p.did() != test.did || p.final.After != rules.PollMin {
				t.Errorf("did %q, and looks again after %s", p.did(), p.final.After)
			}
			if p = p.again(test.results...); p.did() != "Retrieve" {
				t.Errorf("did %q thereafter", p.did())
			}
		})
	}
}

func TestAnEndlessDeadlineIsNeverOver(t *testing.T) {
	p := run(followed(func(b *object) { b.Spec.ActiveDeadlineSeconds = ptr(int64(math.MaxInt64)) }), batch.Memory{}, epoch)
	if p.did() != "Retrieve" || p.final.By < 100*365*24*time.Hour {
		t.Errorf("did %q, and looks again by %s", p.did(), p.final.By)
	}
}

func TestWhatBecomesOfADeadline(t *testing.T) {
	over := deadline(time.Hour)
	later := batch.Memory{NextCall: epoch.Add(time.Hour), Interval: time.Minute}
	ended := withChange(run(created(), batch.Memory{}, epoch, result{batch: answer(upstream.Completed)}).object, over, edited)
	for name, test := range map[string]struct {
		b      *object
		then   upstream.Status
		did    string
		reason string
		part   string // of the message
	}{
		"cancelled at it":                   {followed(over), upstream.Cancelled, "Cancel", "DeadlineExceeded", "longer than the 3600 seconds"},
		"still runs":                        {followed(over), upstream.InProgress, "Cancel", "Cancelling", "spec.activeDeadlineSeconds is over"},
		"completed before it was cancelled": {followed(over), upstream.Completed, "Cancel", "Completed", "2 of 2 files"},
		"failed before it was cancelled":    {followed(over), upstream.Failed, "Cancel", "BatchFailed", "gave the batch up"},
		"spec.cancel was set too":           {followed(over, wantsCancel), upstream.Cancelled, "Cancel", "Cancelled", "as asked"},
		"suspended":                         {followed(over, suspends), upstream.Cancelled, "", "Suspended", "left alone"},
		"over already":                      {ended, upstream.Cancelled, "", "Completed", "2 of 2 files"},
		"not reached":                       {followed(deadline(time.Hour + time.Second)), upstream.InProgress, "", "InProgress", "batch_1"},
		"only the list of failures missing": {followed(over, func(b *object) { b.Status.Status = "cancelled" }), upstream.Cancelled, "", "InProgress", "batch_1"},
		"adopted, and nothing is held":      {followed(adopted, over, func(b *object) { b.Finalizers = nil }), upstream.Cancelled, "Cancel", "DeadlineExceeded", "3600"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(withObserved(test.b), later, epoch, result{batch: answer(test.then)})
			if p.did() != test.did || p.reason() != test.reason || !strings.Contains(p.message(), test.part) {
				t.Errorf("did %q: %s: %s", p.did(), p.reason(), p.message())
			}
		})
	}
}

// withObserved is an object whose spec has been looked at, so that nothing is due out of turn.
func withObserved(b *object) *object {
	return withChange(b, func(b *object) { b.Status.ObservedGeneration = b.Generation })
}

// runAt makes a pass over what an earlier one left, at a time.
func runAt(p pass, at time.Time, results ...result) pass {
	return run(p.object, p.memory, at, results...)
}

func TestABatchThatIsStuckIsGivenUpAMinuteAfterTheCancel(t *testing.T) {
	p := run(followed(deadline(time.Hour)), batch.Memory{Interval: time.Minute}, epoch)
	for p.object.Status.FinishedAt == nil {
		if left := epoch.Add(time.Minute).Sub(p.next); left < 0 || p.reason() != v1alpha1.ReasonCancelling {
			t.Fatalf("%s: looks again %s after the minute", p.reason(), -left)
		}
		p = p.again()
	}
	if p.did() != "Retrieve" || p.reason() != v1alpha1.ReasonDeadlineExceeded || p.object.Status.Status != "in_progress" {
		t.Errorf("did %q: %s, with the batch %s", p.did(), p.reason(), p.object.Status.Status)
	}
	if got := p.object.Status.FinishedAt.Sub(epoch); got != time.Minute || p.warned(v1alpha1.ReasonDeadlineExceeded) == "" {
		t.Errorf("given up after %s, told %+v", got, p.told)
	}
	late := run(followed(deadline(time.Hour)), batch.Memory{Interval: time.Minute}, epoch)
	if late = runAt(late, epoch.Add(time.Minute), result{batch: answer(upstream.Completed)}); late.reason() != v1alpha1.ReasonCompleted {
		t.Errorf("a batch that completed after all is told to be %s, after %q", late.reason(), late.did())
	}
	down := run(followed(deadline(time.Hour)), batch.Memory{}, epoch)
	for down.object.Status.FinishedAt == nil {
		down = down.again(fails(upstream.Transient))
	}
	if got := down.object.Status.FinishedAt.Sub(epoch); got != time.Minute {
		t.Errorf("given up after %s while the upstream is down", got)
	}
}

func TestACancelOfThePeopleIsWaitedForToItsEnd(t *testing.T) {
	for name, b := range map[string]*object{
		"before the deadline":    followed(deadline(2*time.Hour), wantsCancel, latched),
		"after the deadline":     followed(deadline(time.Hour), wantsCancel, latched),
		"before, and unset then": followed(deadline(2*time.Hour), latched),
	} {
		p := run(b, batch.Memory{}, epoch.Add(90*time.Minute))
		if p.did() != "Retrieve" || p.reason() != v1alpha1.ReasonCancelling {
			t.Errorf("%s: did %q: %s", name, p.did(), p.reason())
		}
		if p = p.again(result{batch: answer(upstream.Cancelled)}); p.reason() != v1alpha1.ReasonCancelled {
			t.Errorf("%s: the end is %s", name, p.reason())
		}
	}
}

func TestTheDeadlinesCancelIsNoAnswerToAnUnsetCancel(t *testing.T) {
	p := run(followed(deadline(time.Hour), latched, edited), batch.Memory{}, epoch)
	if p.did() != "Retrieve" || p.warned(v1alpha1.ReasonCancelIrrevocable) != "" || !strings.Contains(p.message(), "spec.activeDeadlineSeconds is over") {
		t.Errorf("did %q, told %+v: %s", p.did(), p.told, p.message())
	}
}

func TestAnExceededDeadlineStays(t *testing.T) {
	for name, first := range map[string]pass{
		"cancelled": run(followed(deadline(time.Hour)), batch.Memory{}, epoch, result{batch: answer(upstream.Cancelled)}),
		"stuck":     run(followed(deadline(time.Hour), latched), batch.Memory{}, epoch.Add(time.Minute)),
	} {
		for edit, apply := range map[string]change{
			"none": edited, "longer": deadline(time.Hour * 100), "unset": func(b *object) { b.Spec.ActiveDeadlineSeconds = nil },
			"cancel": wantsCancel, "suspend": suspends, "failures allowed": allowed(5),
		} {
			p := run(withChange(first.object, apply, edited), batch.Memory{}, epoch.Add(time.Hour))
			if p.did() != "" || p.reason() != v1alpha1.ReasonDeadlineExceeded || p.message() != first.message() || !p.next.IsZero() || len(p.told) != 0 {
				t.Errorf("%s, edited %s: did %q: %s: %s", name, edit, p.did(), p.reason(), p.message())
			}
		}
	}
}

func TestTheDeadlinesCancelWaitsForItsOwnFailuresOnly(t *testing.T) {
	p := run(followed(deadline(time.Hour)), batch.Memory{}, epoch, fails(upstream.Transient))
	if p.did() != "Cancel" || p.reason() != v1alpha1.ReasonUpstreamUnavailable || p.final.By != 0 {
		t.Fatalf("did %q: %s, by %s", p.did(), p.reason(), p.final.By)
	}
	if early := run(p.object, p.memory, epoch); early.did() != "" {
		t.Errorf("did %q at once", early.did())
	}
	if p = p.again(fails(upstream.Rejected), result{batch: answer(upstream.Completed)}); p.did() != "Cancel Retrieve" || p.reason() != v1alpha1.ReasonCompleted {
		t.Errorf("did %q: %s", p.did(), p.reason())
	}
}
