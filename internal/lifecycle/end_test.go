// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// TestEnd_CancelNotAccepted requires that spec.cancel finishes the object a minute after the operator
// began to cancel the batch, whatever the error is.
func TestEnd_CancelNotAccepted(t *testing.T) {
	for _, b := range []*object{tracked(cancelWanted, edited), created(cancelWanted), newObject(adopted, cancelWanted)} {
		for _, kind := range []upstream.ErrorKind{
			upstream.UnknownOutcome, upstream.Transient, upstream.RateLimited, upstream.Rejected, upstream.Unauthorized, upstream.NotAllowed, upstream.NoCredentials,
		} {
			r := run(b, lifecycle.State{}, epoch, fails(kind), result{batch: answer(upstream.InProgress)})
			tries := 0
			for ; r.object.Status.CompletionTime == nil; tries++ {
				if r.next.After(epoch.Add(time.Minute)) || r.object.Status.CancelStartTime == nil {
					t.Fatalf("%s: %s, next at %s, status %+v", kind, r.reason(), r.next.Sub(epoch), r.object.Status)
				}
				r = r.again(fails(kind), result{batch: answer(upstream.InProgress)})
			}
			if got := r.object.Status.CompletionTime.Sub(epoch); got != time.Minute || r.reason() != v1alpha1.ReasonCancelFailed || tries < 3 {
				t.Errorf("%s: %s after %s and %d tries: %s", kind, r.reason(), got, tries, r.message())
			}
			for _, part := range []string{"did not accept", "batch_1", "vs_1", "may still be running"} {
				if !strings.Contains(r.message(), part) {
					t.Errorf("%s: the message does not contain %q: %s", kind, part, r.message())
				}
			}
			if r = run(r.object, r.state, epoch.Add(time.Hour)); r.actionNames() != "" || r.reason() != v1alpha1.ReasonCancelFailed {
				t.Errorf("%s: performed %q for a finished object: %s", kind, r.actionNames(), r.reason())
			}
		}
	}
}

// TestEnd_DeadlineCancelNotAccepted requires the same of a deadline.
func TestEnd_DeadlineCancelNotAccepted(t *testing.T) {
	for _, kind := range []upstream.ErrorKind{
		upstream.UnknownOutcome, upstream.Transient, upstream.RateLimited, upstream.Rejected, upstream.Unauthorized, upstream.NotAllowed, upstream.NoCredentials,
	} {
		r := run(tracked(deadline(time.Hour), ttl(time.Hour)), lifecycle.State{}, epoch, fails(kind), result{batch: answer(upstream.InProgress)})
		for r.object.Status.CompletionTime == nil {
			r = r.again(fails(kind), fails(kind))
		}
		if got := r.object.Status.CompletionTime.Sub(epoch); got != time.Minute || r.reason() != v1alpha1.ReasonDeadlineExceeded {
			t.Errorf("%s: %s after %s", kind, r.reason(), got)
		}
		if !strings.Contains(r.message(), "activeDeadlineSeconds (1h0m0s)") || !strings.Contains(r.message(), "batch_1 may still be running in vector store vs_1") {
			t.Errorf("%s: %s", kind, r.message())
		}
		if r = r.withoutFinalizer(r.next); r.next.IsZero() || runAt(r, r.next).final.Action != lifecycle.Delete {
			t.Errorf("%s: the time to live did not start", kind)
		}
	}
}

// TestEnd_BatchGone requires that an object whose batch is gone is finished if a cancel was requested, or
// its deadline has passed.
func TestEnd_BatchGone(t *testing.T) {
	gone := fails(upstream.NotFound)
	for name, test := range map[string]struct {
		b      *object
		reason string
	}{
		"cancel":              {tracked(cancelWanted, edited), v1alpha1.ReasonCancelled},
		"cancel, adopted":     {newObject(adopted, cancelWanted), v1alpha1.ReasonCancelled},
		"accepted cancel":     {tracked(cancelWanted, cancelAccepted), v1alpha1.ReasonCancelled},
		"unset after":         {tracked(cancelAccepted), v1alpha1.ReasonCancelled},
		"known to be gone":    {withChange(run(tracked(), lifecycle.State{}, epoch, gone).again(gone).object, cancelWanted, edited), v1alpha1.ReasonCancelled},
		"deadline":            {tracked(deadline(time.Hour)), v1alpha1.ReasonDeadlineExceeded},
		"deadline and cancel": {tracked(deadline(time.Hour), cancelWanted), v1alpha1.ReasonDeadlineExceeded},
		"neither":             {tracked(), v1alpha1.ReasonBatchNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(test.b, lifecycle.State{}, epoch, gone, gone)
			for tries := 0; r.reason() != test.reason && tries < 3; tries++ {
				r = r.again(gone, gone)
			}
			if r.reason() != test.reason || batch.Finished(r.object) != (name != "neither") || !strings.Contains(r.message(), "not found") {
				t.Errorf("%s after %q: %s", r.reason(), r.actionNames(), r.message())
			}
		})
	}
}

// TestEnd_CreateOutcomeUnknown requires an end too if it cannot be found out whether there is a batch. A
// server that refuses to show the files has none of them, so then nothing was created.
func TestEnd_CreateOutcomeUnknown(t *testing.T) {
	pending := pendingSince(epoch.Add(-time.Hour))
	for name, test := range map[string]struct {
		change change
		reason string
	}{
		"cancel":   {cancelWanted, v1alpha1.ReasonCancelFailed},
		"deadline": {deadline(time.Minute), v1alpha1.ReasonDeadlineExceeded},
	} {
		for _, kind := range []upstream.ErrorKind{upstream.Transient, upstream.Unauthorized, upstream.NoCredentials, upstream.RateLimited, upstream.Rejected} {
			b := newObject(withFinalizer, pending, test.change)
			r := run(b, lifecycle.State{}, epoch, fails(kind))
			for r.object.Status.CompletionTime == nil && r.next.Before(epoch.Add(5*time.Minute)) {
				r = r.again(fails(kind))
			}
			want, part := test.reason, "may still be running in vector store vs_1"
			if kind == upstream.Rejected && name == "cancel" {
				want, part = v1alpha1.ReasonCancelled, "before the batch was created"
			}
			if at := r.object.Status.CompletionTime; at == nil || at.Sub(epoch) > 2*time.Minute || r.reason() != want {
				t.Fatalf("%s, %s: finished at %v as %s: %s", name, kind, at, r.reason(), r.message())
			}
			if !strings.Contains(r.message(), part) {
				t.Errorf("%s, %s: %s", name, kind, r.message())
			}
		}
	}
}

// TestEnd_PendingCreateIsVerified requires that a cancel waits for the check of a create whose outcome is
// unknown, and that the check is made once more at the end.
func TestEnd_PendingCreateIsVerified(t *testing.T) {
	for name, test := range map[string]struct {
		last   result
		reason string
		part   string
	}{
		"no effect":   {result{}, v1alpha1.ReasonCancelled, "before the batch was created"},
		"refused":     {fails(upstream.NotFound), v1alpha1.ReasonCancelled, "before the batch was created"},
		"attached":    {result{attached: true}, v1alpha1.ReasonCancelFailed, "took effect"},
		"unavailable": {fails(upstream.Transient), v1alpha1.ReasonCancelFailed, "outcome of the create request is unknown"},
		"held back":   {result{admission: lifecycle.BackedOff}, v1alpha1.ReasonCancelFailed, "outcome of the create request is unknown"},
	} {
		end := settled.Add(10 * time.Second)
		r := run(newObject(withFinalizer, cancelWanted, pendingSince(epoch)), lifecycle.State{}, epoch)
		if batch.Finished(r.object) || r.actionNames() != "" {
			t.Fatalf("%s: performed %q: %s", name, r.actionNames(), r.reason())
		}
		for r.next.Before(end) {
			if r = r.again(fails(upstream.Transient)); batch.Finished(r.object) {
				t.Fatalf("%s: %s at %s", name, r.reason(), r.object.Status.CompletionTime.Sub(epoch))
			}
		}
		if r = r.again(test.last); r.reason() != test.reason || !strings.Contains(r.message(), test.part) || !r.object.Status.CompletionTime.Time.Equal(end) {
			t.Errorf("%s: %s after %q: %s at %v", name, r.reason(), r.actionNames(), r.message(), r.object.Status.CompletionTime)
		}
	}
}

// TestEnd_NewKeyOfAnotherProject requires that a 404 is not believed just after the Secret changed, though
// the object is to be cancelled.
func TestEnd_NewKeyOfAnotherProject(t *testing.T) {
	b := tracked(cancelWanted, edited)
	for _, changed := range []time.Duration{config.NotFoundGrace - time.Second, config.NotFoundGrace} {
		want := changed == config.NotFoundGrace
		observed := lifecycle.Observed{
			State: lifecycle.State{Backoff: lifecycle.Backoff{NotFound: 1}}, Actions: []lifecycle.Action{lifecycle.Cancel, lifecycle.Poll},
			Err: fails(upstream.NotFound).err, CredentialsChangedAt: epoch.Add(-changed),
		}
		d := config.Decide(b, observed, epoch)
		if got := d.Status.CompletionTime != nil; got != want {
			t.Errorf("finished %s after the Secret changed: %t", changed, got)
		}
	}
}

// TestEnd_NothingCreated requires that a deadline ends an object whose batch was never created.
func TestEnd_NothingCreated(t *testing.T) {
	for _, kind := range []upstream.ErrorKind{upstream.Transient, upstream.Unauthorized, upstream.NoCredentials, upstream.RateLimited, upstream.Rejected, upstream.NotAllowed} {
		r := run(newObject(deadline(5*time.Minute)), lifecycle.State{}, epoch, fails(kind))
		for r.object.Status.CompletionTime == nil && r.next.Before(epoch.Add(time.Hour)) {
			r = r.again(fails(kind))
		}
		if at := r.object.Status.CompletionTime; at == nil || at.Sub(epoch) != 5*time.Minute || r.reason() != v1alpha1.ReasonDeadlineExceeded || !strings.Contains(r.message(), "No batch was created: ") {
			t.Errorf("%s: finished at %v as %s: %s", kind, at, r.reason(), r.message())
		}
	}
	invalid := run(newObject(deadline(time.Minute), func(b *object) { b.Spec.FileIDs = nil }), lifecycle.State{}, epoch)
	if invalid = invalid.again(); invalid.reason() != v1alpha1.ReasonDeadlineExceeded {
		t.Errorf("an invalid spec: %s at %s", invalid.reason(), invalid.next)
	}
}

// TestEnd_AfterDowntime requires that a manager that starts after the deadline sends the cancel, and
// gives the API the usual time.
func TestEnd_AfterDowntime(t *testing.T) {
	r := run(tracked(deadline(time.Hour)), lifecycle.State{}, epoch.Add(24*time.Hour), fails(upstream.Transient))
	if r.actionNames() != "Cancel" || r.reason() != v1alpha1.ReasonUpstreamUnavailable {
		t.Fatalf("performed %q: %s", r.actionNames(), r.reason())
	}
	if r = r.again(result{batch: answer(upstream.Cancelled)}); r.actionNames() != "Cancel" || r.reason() != v1alpha1.ReasonDeadlineExceeded {
		t.Errorf("performed %q: %s", r.actionNames(), r.reason())
	}
}

// TestEnd_StatusLostAfterDeadline requires that the object does not report a cancel by someone else if
// the status with its own cancel was lost.
func TestEnd_StatusLostAfterDeadline(t *testing.T) {
	b := created(deadline(time.Hour))
	if r := run(b, lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)}); r.reason() != v1alpha1.ReasonDeadlineExceeded {
		t.Errorf("%s: %s", r.reason(), r.message())
	}
	deadline(time.Hour + time.Second)(b)
	if r := run(b, lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)}); r.reason() != v1alpha1.ReasonCancelledExternally {
		t.Errorf("before the deadline: %s: %s", r.reason(), r.message())
	}
}

// TestEnd_UnreadableAfterCancel requires an end if the API accepted the cancel, and does not return the
// batch any more. One that is returned as in progress is followed on.
func TestEnd_UnreadableAfterCancel(t *testing.T) {
	for _, kind := range []upstream.ErrorKind{upstream.Transient, upstream.Unauthorized, upstream.NoCredentials, upstream.RateLimited} {
		r := run(tracked(cancelWanted, cancelAccepted), lifecycle.State{}, epoch.Add(2*time.Second), fails(kind))
		for r.object.Status.CompletionTime == nil && r.next.Before(epoch.Add(time.Hour)) {
			r = r.again(fails(kind))
		}
		if at := r.object.Status.CompletionTime; at == nil || at.Sub(epoch) > 2*time.Minute || r.reason() != v1alpha1.ReasonCancelled || !strings.Contains(r.message(), "could not be read") {
			t.Errorf("%s: finished at %v as %s: %s", kind, at, r.reason(), r.message())
		}
	}
	r := run(tracked(cancelWanted, cancelAccepted), lifecycle.State{}, epoch.Add(30*time.Minute), fails(upstream.Transient))
	if r = r.again(); r.reason() != v1alpha1.ReasonCancelling {
		t.Errorf("a single failure: %s: %s", r.reason(), r.message())
	}
}

// TestEnd_LateCreationTime requires that a creation time in the future does not postpone the deadline.
func TestEnd_LateCreationTime(t *testing.T) {
	b := tracked(deadline(time.Hour), createdAt(epoch.Add(1000*time.Hour)))
	if r := run(b, lifecycle.State{}, epoch.Add(time.Hour)); r.actionNames() != "Cancel" {
		t.Errorf("performed %q: %s", r.actionNames(), r.reason())
	}
}

// TestCancel_RepeatedWhileRunning requires that an accepted cancel is sent again after 10 minutes, an
// hour and a day if the batch is still running.
func TestCancel_RepeatedWhileRunning(t *testing.T) {
	for name, second := range map[string]result{
		"accepted": {batch: answer(upstream.InProgress)}, "refused": fails(upstream.Rejected), "unavailable once": fails(upstream.Transient),
	} {
		t.Run(name, func(t *testing.T) {
			r := run(tracked(cancelWanted, edited), lifecycle.State{}, epoch)
			var sent []time.Duration
			for r.next.Before(epoch.Add(50 * time.Hour)) {
				at, results := r.next.Sub(epoch), []result(nil)
				due := len(sent) < 3 && at >= []time.Duration{10 * time.Minute, time.Hour, 24 * time.Hour}[len(sent)]
				if due {
					results = []result{second}
				}
				if r = r.again(results...); strings.Contains(r.actionNames(), "Cancel") {
					sent = append(sent, at)
					if second.err != nil && second.err.Kind == upstream.Transient {
						if r.reason() != v1alpha1.ReasonUpstreamUnavailable {
							t.Fatalf("%s: %s", r.reason(), r.message())
						}
						if r = r.again(); r.actionNames() != "Cancel" {
							t.Fatalf("performed %q after a failed repetition", r.actionNames())
						}
					}
				}
				if r.reason() != v1alpha1.ReasonCancelling {
					t.Fatalf("%s: %s", r.reason(), r.message())
				}
			}
			if len(sent) != 3 || sent[0] > 11*time.Minute || sent[1] > 61*time.Minute || sent[2] > 24*time.Hour+time.Minute {
				t.Errorf("repeated after %v", sent)
			}
		})
	}
}

// TestResume_RestartsDeadline requires that the time until the deadline begins again when the object is
// resumed.
func TestResume_RestartsDeadline(t *testing.T) {
	r := run(tracked(suspended, deadline(time.Minute), edited), lifecycle.State{}, epoch)
	if !r.next.IsZero() || r.reason() != v1alpha1.ReasonSuspended {
		t.Fatalf("%s, next at %s", r.reason(), r.next)
	}
	resumedAt := epoch.Add(time.Hour)
	r = run(withChange(r.object, func(b *object) { b.Spec.Suspend = nil }, edited), r.state, resumedAt)
	for r.actionNames() == "Poll" && r.next.Before(resumedAt.Add(time.Hour)) {
		at := r.next
		if r = r.again(result{batch: answer(upstream.InProgress)}); r.actionNames() == "Cancel" && at.Sub(resumedAt) != time.Minute {
			t.Errorf("cancelled %s after it was resumed", at.Sub(resumedAt))
		}
	}
	if r.actionNames() != "Cancel" {
		t.Errorf("performed %q", r.actionNames())
	}
}

// TestCancel_IrrevocableEventAfterFailure requires the Event even if the first call after the edit fails.
func TestCancel_IrrevocableEventAfterFailure(t *testing.T) {
	r := run(tracked(cancelAccepted, edited), lifecycle.State{}, epoch.Add(10*time.Second), fails(upstream.Transient))
	if r.warning(v1alpha1.ReasonCancelIrrevocable) == "" {
		t.Errorf("Events %+v", r.events)
	}
	if r = r.again(); r.warning(v1alpha1.ReasonCancelIrrevocable) != "" {
		t.Errorf("repeated Events %+v", r.events)
	}
}

// behavior is how a server answers calls of one kind, for good.
type behavior int

const (
	answers behavior = iota
	hangs
	fails404
	fails405
	fails409
	fails500
	wrongObject
	away
	fails401
	noSecret
	fails429
	heldBack
	losesAnswers
	behaviors
)

// world is a server that can fail for good, with one object, whose users do not wait.
type world struct {
	random                *rand.Rand
	config                lifecycle.Config
	now                   time.Time
	create, read, cancel  behavior
	b                     *object
	state                 lifecycle.State
	next                  time.Time
	batch                 *upstream.Batch
	edits                 []edit
	restarts              []time.Time
	base, cancelledAt     time.Time
	accepted              bool
	restartsAfterTheCause int
	// trace logs each step; nil for none.
	trace func(format string, args ...any)
}

// edit is an edit of the object at a time.
type edit struct {
	at    time.Time
	apply change
	note  func()
}

// TestEnd_WhateverTheServerDoes requires, for random servers that fail for good, random edits and
// restarts, that each object with a deadline or a cancel is finished within two minutes.
func TestEnd_WhateverTheServerDoes(t *testing.T) {
	histories, first := 20_000, framework.CommitSeed()
	if testing.Short() {
		histories, first = 1_000, 1
	}
	if *historyFlag != 0 {
		histories, first = 1, *historyFlag
	}
	finished := map[string]int{}
	for seed := first; seed < first+uint64(histories); seed++ {
		w := newWorld(seed)
		if *historyFlag != 0 {
			w.trace = t.Logf
		}
		if err := w.run(); err != nil {
			t.Fatalf("%v\n\tcreate %d, read %d, cancel %d, spec %+v, status %+v\n\tgo test ./internal/lifecycle -run TestEnd_Whatever -v -history=%d", err, w.create, w.read, w.cancel, w.b.Spec, w.b.Status, seed)
		}
		finished[reasonOf(w.b.Status)]++
	}
	t.Logf("%v", finished)
	for _, reason := range []string{v1alpha1.ReasonCancelled, v1alpha1.ReasonCancelFailed, v1alpha1.ReasonDeadlineExceeded} {
		if finished[reason] == 0 {
			t.Errorf("no object was finished as %s: %v", reason, finished)
		}
	}
}

func newWorld(seed uint64) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 1)), config: config, now: epoch, next: epoch, b: newObject(withFinalizer)}
	pick := func() behavior { return behavior(w.random.IntN(int(behaviors))) }
	if w.create, w.read, w.cancel = pick(), pick(), pick(); w.random.IntN(2) == 0 {
		w.create = answers
	}
	w.b.CreationTimestamp.Time, w.base = epoch, epoch
	if w.random.IntN(4) == 0 {
		adopted(w.b)
		dropFinalizer(w.b)
		w.batch = answer(upstream.InProgress)
	}
	if w.random.IntN(4) == 0 && w.create != hangs && w.create != losesAnswers { // a create is not cut off
		w.config.RequestTimeout = 5 * time.Minute
	}
	at := func() time.Time { return epoch.Add(time.Duration(w.random.Int64N(int64(10 * time.Minute)))) }
	kind := w.random.IntN(3) // a deadline, a cancel, or both
	if kind != 1 {
		deadline(time.Second + time.Duration(w.random.Int64N(int64(10*time.Minute))))(w.b)
	}
	if kind != 0 {
		cancelAt := at()
		w.edits = append(w.edits, edit{cancelAt, cancelWanted, func() { w.cancelledAt = cancelAt }})
	}
	if w.random.IntN(4) == 0 {
		suspendAt, resumeAt := at(), epoch.Add(15*time.Minute)
		w.edits = append(w.edits, edit{suspendAt, suspended, nil}, edit{resumeAt, func(b *object) { b.Spec.Suspend = nil }, func() { w.base = resumeAt }})
	}
	for range w.random.IntN(3) {
		w.restarts = append(w.restarts, at())
	}
	return w
}

// run runs the world until its object is finished.
func (w *world) run() error {
	end := epoch.Add(time.Hour)
	for w.now.Before(end) && !batch.Finished(w.b) {
		w.now = later(w.now, w.upcoming())
		w.happen()
		if err := w.reconcile(); err != nil {
			return err
		}
	}
	return w.check()
}

func (w *world) logf(format string, args ...any) {
	if w.trace != nil {
		w.trace("%s  "+format, append([]any{w.now.Sub(epoch)}, args...)...)
	}
}

// upcoming returns when something happens next.
func (w *world) upcoming() time.Time {
	at := epoch.Add(2 * time.Hour)
	if !w.next.IsZero() {
		at = w.next
	}
	for _, e := range w.edits {
		if e.at.Before(at) {
			at = e.at
		}
	}
	for _, restart := range w.restarts {
		if restart.Before(at) {
			at = restart
		}
	}
	return at
}

// happen applies the edits and restarts that are due. It reports whether there were any.
func (w *world) happen() bool {
	happened := false
	var later []edit
	for _, e := range w.edits {
		if e.at.After(w.now) {
			later = append(later, e)
			continue
		}
		w.b = withChange(w.b, e.apply, edited)
		if e.note != nil {
			e.note()
		}
		happened = true
	}
	w.edits = later
	var remaining []time.Time
	for _, restart := range w.restarts {
		if restart.After(w.now) {
			remaining = append(remaining, restart)
			continue
		}
		w.state, happened = lifecycle.State{}, true
		w.restartsAfterTheCause++
	}
	w.restarts = remaining
	return happened
}

// reconcile reconciles the object. An edit or a restart meanwhile interrupts it.
func (w *world) reconcile() error {
	b := w.b.DeepCopy()
	observed := lifecycle.Observed{State: w.state, StartedAt: w.now, Jitter: 0.4*w.random.Float64() - 0.2}
	for range maxActions + 1 {
		d := w.config.Decide(b, observed, w.now)
		w.logf("%s, timeout %s: %s after %s, %+v", d.Action, d.Timeout, reasonOf(d.Status), d.RequeueAfter, d.State)
		if d.Action == lifecycle.Requeue {
			w.b = w.b.DeepCopy()
			if first := w.b.Status.Conditions == nil; first && d.Status.CreatedAt == nil {
				w.base = later(w.base, w.now)
			}
			w.b.Status, w.state, w.next = d.Status, d.State, time.Time{}
			if d.RequeueAfter > 0 {
				w.next = w.now.Add(d.RequeueAfter)
			}
			return nil
		}
		if d.Action.Terminal() {
			return fmt.Errorf("%s", d.Action)
		}
		r, took := w.call(d)
		cutOff := d.Action.ReadsBatch() && len(w.edits) > 0 && w.edits[0].at.Before(w.now.Add(took))
		if cutOff {
			took = w.edits[0].at.Sub(w.now)
		}
		w.now = w.now.Add(took)
		before := b
		b, observed = apply(b, observed, d, r, w.now)
		if d.Action == lifecycle.Create && observed.Err != nil && observed.Err.Kind == upstream.UnknownOutcome {
			markPending(b, d.Recovery, before.CreationTimestamp.Time) // worst case: it is verified at once
		}
		if r.admission != lifecycle.Admitted {
			observed.Admission, observed.BackedOffUntil = r.admission, w.now.Add(24*time.Hour)
		}
		w.b.Annotations, w.b.Finalizers = b.DeepCopy().Annotations, b.DeepCopy().Finalizers
		if w.happen() || cutOff {
			w.state.Unsaved = observed.State.Unsaved
			w.next = w.now.Add(time.Millisecond)
			return nil
		}
	}
	return fmt.Errorf("no terminal action after %v", observed.Actions)
}

// call returns the result of an action, and how long it took.
func (w *world) call(d lifecycle.Decision) (result, time.Duration) {
	how, took := answers, time.Duration(w.random.Int64N(int64(time.Second)))
	switch d.Action {
	case lifecycle.Create:
		how = w.create
	case lifecycle.Cancel:
		how = w.cancel
	case lifecycle.Poll, lifecycle.VerifyCreate, lifecycle.ListFailedFiles, lifecycle.CountFiles:
		how = w.read
	case lifecycle.AddFinalizer, lifecycle.RecordBatchID, lifecycle.ClearCreatePending:
		return result{}, 0
	case lifecycle.Requeue, lifecycle.ReadStore, lifecycle.Detach, lifecycle.Delete, lifecycle.RemoveFinalizer:
	}
	timeout := w.config.RequestTimeout
	if d.Timeout > 0 {
		timeout = d.Timeout
	}
	failure := func(kind upstream.ErrorKind, status int, retryAfter time.Duration) result {
		return result{err: &upstream.Error{Kind: kind, StatusCode: status, RetryAfter: retryAfter, Message: "the call failed"}}
	}
	ambiguous := upstream.Transient
	if d.Action == lifecycle.Create {
		ambiguous = upstream.UnknownOutcome
	}
	switch how {
	case hangs, losesAnswers:
		return failure(ambiguous, 0, 0), timeout
	case fails404:
		return failure(upstream.NotFound, 404, 0), took
	case fails405:
		return failure(upstream.Rejected, 405, 0), took
	case fails409, away:
		return failure(upstream.Transient, 409, 0), took
	case fails500:
		return failure(ambiguous, 500, 0), took
	case wrongObject:
		return failure(ambiguous, 200, 0), took
	case fails401:
		return failure(upstream.Unauthorized, 401, 0), took
	case noSecret:
		return failure(upstream.NoCredentials, 0, 0), 0
	case fails429:
		return failure(upstream.RateLimited, 429, 24*time.Hour), took
	case heldBack:
		return result{admission: lifecycle.BackedOff}, 0
	case answers, behaviors:
	}
	if d.Action == lifecycle.Create {
		w.batch = answer(upstream.InProgress, func(a *upstream.Batch) { a.CreatedAt = w.now.Truncate(time.Second) })
		w.base = later(w.base, w.now.Add(took))
	}
	w.accepted = w.accepted || d.Action == lifecycle.Cancel
	return result{batch: w.batch, attached: w.batch != nil}, took
}

// check checks that the object is finished in time.
func (w *world) check() error {
	const bound = 2 * time.Minute
	finishedAt := w.now
	if !batch.Finished(w.b) {
		finishedAt = epoch.Add(time.Hour)
	}
	stuck := w.accepted && w.read == answers // the batch is followed until it stops
	// A restart can begin the time again that a cancel has, if it happens during the first call. Nothing shows
	// then that this process is not the first one.
	restarts := time.Duration(w.restartsAfterTheCause) * time.Minute
	if w.b.Spec.ActiveDeadlineSeconds != nil {
		if by := w.base.Add(time.Duration(*w.b.Spec.ActiveDeadlineSeconds) * time.Second).Add(bound + restarts); finishedAt.After(by) && !batch.Suspended(w.b) {
			return fmt.Errorf("%s at %s, and it had to be finished at %s by its deadline", reasonOf(w.b.Status), finishedAt.Sub(epoch), by.Sub(epoch))
		}
	}
	if !w.cancelledAt.IsZero() && !stuck {
		if by := w.cancelledAt.Add(bound + restarts); finishedAt.After(by) {
			return fmt.Errorf("%s at %s, and it had to be finished at %s by its cancel", reasonOf(w.b.Status), finishedAt.Sub(epoch), by.Sub(epoch))
		}
	}
	return nil
}
