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

func objectCreatedAt(at time.Time) change {
	return func(b *object) { b.CreationTimestamp.Time = at }
}

func TestDeadline_CountsFromLaterCreation(t *testing.T) {
	for name, test := range map[string]struct {
		b  *object
		at time.Duration // from the epoch
	}{
		"created by the object":    {tracked(createdAt(epoch.Add(-50 * time.Minute))), 10 * time.Minute},
		"old batch, adopted later": {tracked(objectCreatedAt(epoch.Add(-time.Minute))), 59 * time.Minute},
		"first status":             {tracked(func(b *object) { b.Status.CreatedAt = nil }), time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			deadline(time.Hour)(test.b)
			deadlineAt := epoch.Add(test.at)
			slow := lifecycle.State{Backoff: lifecycle.Backoff{PollInterval: time.Minute}}
			r := reconciliation{}
			for _, none := range []time.Time{{}, time.Unix(0, 0)} { // no time, and 0
				untimed := result{batch: answer(upstream.InProgress, func(a *upstream.Batch) { a.CreatedAt = none })}
				if r = run(test.b, slow, deadlineAt.Add(-10*time.Second), untimed); r.actionNames() != "Poll" || r.final.RequeueAfter != 10*time.Second {
					t.Fatalf("before the deadline: performed %q, requeued after %s", r.actionNames(), r.final.RequeueAfter)
				}
			}
			if r = run(test.b, r.state, deadlineAt); r.actionNames() != "Cancel" || r.reason() != v1alpha1.ReasonCancelling {
				t.Errorf("at the deadline: performed %q: %s", r.actionNames(), r.reason())
			}
		})
	}
}

func TestDeadline_RequeuesInTime(t *testing.T) {
	slow := lifecycle.State{Backoff: lifecycle.Backoff{PollInterval: time.Minute}}
	in30s := deadline(time.Hour + 30*time.Second)
	for name, r := range map[string]reconciliation{
		"after a poll":         run(tracked(in30s), slow, epoch),
		"after a failure":      run(tracked(in30s), lifecycle.State{Backoff: lifecycle.Backoff{Failed: lifecycle.Poll, Failures: 9}}, epoch, fails(upstream.Transient)),
		"before the next call": run(tracked(in30s), lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour)}}, epoch),
		"long poll interval":   run(tracked(in30s), slow, epoch, result{batch: answer(upstream.InProgress, pollAfter(time.Hour))}),
		"rate limited":         run(tracked(in30s), slow, epoch, result{err: &upstream.Error{Kind: upstream.RateLimited, RetryAfter: time.Hour}}),
		"batch not found":      run(tracked(in30s), lifecycle.State{Backoff: lifecycle.Backoff{NotFound: 9}}, epoch, fails(upstream.NotFound)),
	} {
		t.Run(name, func(t *testing.T) {
			if r.final.RequeueAfter != 30*time.Second {
				t.Fatalf("requeued after %s", r.final.RequeueAfter)
			}
			if r = r.again(result{batch: answer(upstream.Cancelled)}); r.actionNames() != "Cancel" || r.reason() != v1alpha1.ReasonDeadlineExceeded {
				t.Errorf("performed %q at the deadline: %s", r.actionNames(), r.reason())
			}
		})
	}
}

func TestDeadline_UnknownBeforeFirstPoll(t *testing.T) {
	newBatch := result{batch: answer(upstream.InProgress, func(a *upstream.Batch) { a.CreatedAt = epoch })}
	for name, test := range map[string]struct {
		b           *object
		results     []result
		wantActions string
	}{
		"created late":              {newObject(deadline(time.Minute)), []result{newBatch}, "Create"},
		"created late, status lost": {created(deadline(time.Minute)), []result{newBatch}, "Poll"},
		"adopted, never polled":     {newObject(adopted, deadline(time.Minute)), []result{newBatch}, "Poll"},
		"adopted, not found":        {newObject(adopted, deadline(time.Minute)), []result{fails(upstream.NotFound)}, "Poll"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(test.b, lifecycle.State{}, epoch, test.results...)
			if r.actionNames() != test.wantActions || r.final.RequeueAfter != config.PollMin {
				t.Errorf("performed %q, requeued after %s", r.actionNames(), r.final.RequeueAfter)
			}
			if r = r.again(test.results...); r.actionNames() != "Poll" {
				t.Errorf("performed %q next", r.actionNames())
			}
		})
	}
}

func TestDeadline_MaximumValue(t *testing.T) {
	r := run(tracked(func(b *object) { b.Spec.ActiveDeadlineSeconds = ptr(int64(math.MaxInt64)) }), lifecycle.State{}, epoch)
	if r.actionNames() != "Poll" || r.final.RequeueAfter != config.PollMin {
		t.Errorf("performed %q, requeued after %s", r.actionNames(), r.final.RequeueAfter)
	}
}

func TestDeadline_Outcomes(t *testing.T) {
	exceeded := deadline(time.Hour)
	notDue := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour), PollInterval: time.Minute}}
	completed := withChange(runCompleted().object, exceeded, edited)
	for name, test := range map[string]struct {
		b           *object
		status      upstream.Status // of the batch after the cancel
		wantActions string
		reason      string
		part        string // of the message
	}{
		"cancelled":                   {tracked(exceeded), upstream.Cancelled, "Cancel", "DeadlineExceeded", "activeDeadlineSeconds (1h0m0s)"},
		"in progress":                 {tracked(exceeded), upstream.InProgress, "Cancel", "Cancelling", "Deadline exceeded (spec.activeDeadlineSeconds)"},
		"completed before the cancel": {tracked(exceeded), upstream.Completed, "Cancel", "Completed", "2 of 2 files"},
		"failed before the cancel":    {tracked(exceeded), upstream.Failed, "Cancel", "BatchFailed", "Batch failed"},
		"spec.cancel is set too":      {tracked(exceeded, cancelWanted), upstream.Cancelled, "Cancel", "Cancelled", "Cancelled as requested"},
		"suspended":                   {tracked(exceeded, suspended), upstream.Cancelled, "", "Suspended", "makes no API calls"},
		"finished":                    {completed, upstream.Cancelled, "", "Completed", "2 of 2 files"},
		"not reached":                 {tracked(deadline(time.Hour + time.Second)), upstream.InProgress, "", "InProgress", "batch_1"},
		"failed files not listed yet": {tracked(exceeded, func(b *object) { b.Status.Status = "cancelled" }), upstream.Cancelled, "", "InProgress", "batch_1"},
		"adopted, no finalizer":       {tracked(adopted, exceeded, withoutFinalizers), upstream.Cancelled, "Cancel", "DeadlineExceeded", "1h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(withObserved(test.b), notDue, epoch, result{batch: answer(test.status)})
			if r.actionNames() != test.wantActions || r.reason() != test.reason || !strings.Contains(r.message(), test.part) {
				t.Errorf("performed %q: %s: %s", r.actionNames(), r.reason(), r.message())
			}
		})
	}
}

// withObserved returns a copy whose generation is observed, so that no call is due early.
func withObserved(b *object) *object {
	return withChange(b, func(b *object) { b.Status.ObservedGeneration = b.Generation })
}

// runAt runs another reconciliation at a time.
func runAt(r reconciliation, at time.Time, results ...result) reconciliation {
	return run(r.object, r.state, at, results...)
}

// TestDeadline_PostponedByTheCancel: the answer to the cancel can be the first with the time at which the batch was
// created, which postpones the deadline that the cancel was due to.
func TestDeadline_PostponedByTheCancel(t *testing.T) {
	b := tracked(deadline(30*time.Minute), func(b *object) { b.Status.CreatedAt = nil })
	late := result{batch: answer(upstream.Cancelled, func(a *upstream.Batch) { a.CreatedAt = epoch.Add(20 * time.Minute) })}
	r := run(b, lifecycle.State{}, epoch.Add(31*time.Minute), late)
	if r.actionNames() != "Cancel" || r.reason() != v1alpha1.ReasonDeadlineExceeded {
		t.Errorf("performed %q: %s: %s", r.actionNames(), r.reason(), r.message())
	}
}

// TestDeadline_RequeuesAtTheEnd: after the deadline, no back-off is longer than the time until the object is finished.
func TestDeadline_RequeuesAtTheEnd(t *testing.T) {
	b := tracked(deadline(time.Hour), func(b *object) { b.Status.CancelStartTime = &metav1.Time{Time: epoch} })
	failing := lifecycle.State{Backoff: lifecycle.Backoff{Failed: lifecycle.Cancel, Failures: 9, FailingSince: epoch}}
	r := run(b, failing, epoch.Add(10*time.Second), fails(upstream.Rejected), fails(upstream.Rejected))
	if r.actionNames() != "Cancel Poll" || r.final.RequeueAfter != 50*time.Second {
		t.Fatalf("performed %q, requeued after %s", r.actionNames(), r.final.RequeueAfter)
	}
	if r = r.again(fails(upstream.Rejected), fails(upstream.Rejected)); r.reason() != v1alpha1.ReasonDeadlineExceeded {
		t.Errorf("performed %q: %s: %s", r.actionNames(), r.reason(), r.message())
	}
}

// TestCancel_EndOfARecordedBatch: a create that is pending by mistake gives a batch whose ID is recorded no more time.
func TestCancel_EndOfARecordedBatch(t *testing.T) {
	failing := fails(upstream.Transient)
	r := run(tracked(cancelWanted, edited, pendingSince(epoch)), lifecycle.State{}, epoch, failing)
	if r = runAt(r, epoch.Add(time.Minute), failing, failing); r.reason() != v1alpha1.ReasonCancelFailed {
		t.Errorf("%s a minute after the cancel: %s", r.reason(), r.message())
	}
}

func TestDeadline_StuckBatch(t *testing.T) {
	r := run(tracked(deadline(time.Hour)), lifecycle.State{Backoff: lifecycle.Backoff{PollInterval: time.Minute}}, epoch)
	for r.object.Status.CompletionTime == nil {
		if left := epoch.Add(time.Minute).Sub(r.next); left < 0 || r.reason() != v1alpha1.ReasonCancelling {
			t.Fatalf("%s: requeued %s after the minute", r.reason(), -left)
		}
		r = r.again()
	}
	if r.actionNames() != "Poll" || r.reason() != v1alpha1.ReasonDeadlineExceeded || r.object.Status.Status != "in_progress" {
		t.Errorf("performed %q: %s, status %s", r.actionNames(), r.reason(), r.object.Status.Status)
	}
	if got := r.object.Status.CompletionTime.Sub(epoch); got != time.Minute || r.warning(v1alpha1.ReasonDeadlineExceeded) == "" {
		t.Errorf("given up after %s, Events %+v", got, r.events)
	}
	completed := run(tracked(deadline(time.Hour)), lifecycle.State{Backoff: lifecycle.Backoff{PollInterval: time.Minute}}, epoch)
	if completed = runAt(completed, epoch.Add(time.Minute), result{batch: answer(upstream.Completed)}); completed.reason() != v1alpha1.ReasonCompleted {
		t.Errorf("a batch that completed within the minute: %s after %q", completed.reason(), completed.actionNames())
	}
	down := run(tracked(deadline(time.Hour)), lifecycle.State{}, epoch)
	for down.object.Status.CompletionTime == nil {
		down = down.again(fails(upstream.Transient))
	}
	if got := down.object.Status.CompletionTime.Sub(epoch); got != time.Minute {
		t.Errorf("given up after %s while the API is unavailable", got)
	}
}

func TestDeadline_SpecCancelIsFollowed(t *testing.T) {
	for name, b := range map[string]*object{
		"before the deadline": tracked(deadline(2*time.Hour), cancelWanted, cancelAccepted),
		"after the deadline":  tracked(deadline(2*time.Hour), cancelWanted, cancelAcceptedAt(epoch.Add(time.Hour))),
		"before, then unset":  tracked(deadline(2*time.Hour), cancelAccepted),
	} {
		r := run(b, lifecycle.State{CancelSentAt: epoch.Add(time.Hour)}, epoch.Add(time.Hour+30*time.Second))
		if r.actionNames() != "Poll" || r.reason() != v1alpha1.ReasonCancelling {
			t.Errorf("%s: performed %q: %s", name, r.actionNames(), r.reason())
		}
		if cancelled := r.again(result{batch: answer(upstream.Cancelled)}); cancelled.reason() != v1alpha1.ReasonCancelled {
			t.Errorf("%s: finished as %s", name, cancelled.reason())
		}
		if r = runAt(r, epoch.Add(time.Hour+time.Minute)); r.actionNames() != "Poll" || r.reason() != v1alpha1.ReasonDeadlineExceeded {
			t.Errorf("%s, stuck: performed %q: %s", name, r.actionNames(), r.reason())
		}
	}
}

func TestDeadline_NoCancelIrrevocableEvent(t *testing.T) {
	r := run(tracked(deadline(time.Hour), cancelAccepted, edited), lifecycle.State{}, epoch)
	if r.actionNames() != "Poll" || r.warning(v1alpha1.ReasonCancelIrrevocable) != "" || !strings.Contains(r.message(), "Deadline exceeded (spec.activeDeadlineSeconds)") {
		t.Errorf("performed %q, Events %+v: %s", r.actionNames(), r.events, r.message())
	}
}

func TestDeadline_ExceededIsFinal(t *testing.T) {
	for name, first := range map[string]reconciliation{
		"cancelled": run(tracked(deadline(time.Hour)), lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)}).withoutFinalizer(epoch),
		"stuck":     run(tracked(deadline(time.Hour), cancelAccepted), lifecycle.State{}, epoch.Add(time.Minute)).withoutFinalizer(epoch.Add(time.Minute)),
	} {
		for edit, apply := range map[string]change{
			"none": edited, "longer": deadline(time.Hour * 100), "unset": func(b *object) { b.Spec.ActiveDeadlineSeconds = nil },
			"cancel": cancelWanted, "suspend": suspended, "maxFailedFiles": maxFailedFiles(5),
		} {
			r := run(withChange(first.object, apply, edited), lifecycle.State{}, epoch.Add(time.Hour))
			if r.actionNames() != "" || r.reason() != v1alpha1.ReasonDeadlineExceeded || r.message() != first.message() || !r.next.IsZero() || len(r.events) != 0 {
				t.Errorf("%s, edited %s: performed %q: %s: %s", name, edit, r.actionNames(), r.reason(), r.message())
			}
		}
	}
}

func TestDeadline_CancelFailureBacksOff(t *testing.T) {
	r := run(tracked(deadline(time.Hour)), lifecycle.State{}, epoch, fails(upstream.Transient))
	if r.actionNames() != "Cancel" || r.reason() != v1alpha1.ReasonUpstreamUnavailable || r.final.RequeueAfter != time.Second {
		t.Fatalf("performed %q: %s, requeued after %s", r.actionNames(), r.reason(), r.final.RequeueAfter)
	}
	if early := run(r.object, r.state, epoch); early.actionNames() != "" {
		t.Errorf("performed %q before the retry is due", early.actionNames())
	}
	if r = r.again(fails(upstream.Rejected), result{batch: answer(upstream.Completed)}); r.actionNames() != "Cancel Poll" || r.reason() != v1alpha1.ReasonCompleted {
		t.Errorf("performed %q: %s", r.actionNames(), r.reason())
	}
}
