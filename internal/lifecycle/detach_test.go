// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

var (
	detachFiles = deletionPolicy(v1alpha1.DeletionPolicyDetachFiles)
	deleted     = deletedAt(epoch)
)

func TestDetach(t *testing.T) {
	notFound := fails(upstream.NotFound)
	otherObject := result{err: &upstream.Error{Kind: upstream.Transient, StatusCode: 200, OtherObject: true, Message: "its ID is that of the vector store"}}
	for name, test := range map[string]struct {
		b           *object
		results     []result
		wantActions string // of all reconciliations
	}{
		"in progress":                {tracked(detachFiles, deleted), nil, "Cancel, Detach"},
		"completed meanwhile":        {tracked(detachFiles, deleted), []result{{batch: answer(upstream.Completed)}}, "Cancel, Detach"},
		"cancel rejected, completed": {tracked(detachFiles, deleted), []result{fails(upstream.Rejected), {batch: answer(upstream.Completed)}}, "Cancel Poll, Detach"},
		"another object returned":    {tracked(detachFiles, deleted), []result{fails(upstream.Rejected), otherObject, {listed: &upstream.FileCounts{Completed: 2, Total: 2}}}, "Cancel Poll CountFiles, ReadStore Detach"},
		"cancel accepted":            {tracked(detachFiles, cancelAccepted, deleted), nil, "ReadStore Detach"},
		"finished":                   {withChange(runCompleted(detachFiles).object, deleted), nil, "ReadStore Detach"},
		"failed files not listed":    {tracked(detachFiles, deleted, func(b *object) { b.Status.Status = "completed" }), nil, "ReadStore Detach"},
		"adopted":                    {tracked(adopted, detachFiles, deleted), nil, "Cancel, Detach"},
		"adopted, finished":          {withChange(runCompleted(adopted, detachFiles).object, deleted), nil, "ReadStore Detach"},
		"batch gone":                 {tracked(detachFiles, deleted), []result{notFound, notFound}, "Cancel Poll ReadStore Detach"},
		"several calls":              {tracked(detachFiles, cancelAccepted, deleted), []result{{detached: 25, remaining: 15}, {detached: 40}}, "ReadStore Detach, Detach"},
		"never created":              {newObject(withFinalizer, detachFiles, deleted), nil, ""},
		"cancelled before create":    {withChange(run(newObject(withFinalizer, cancelWanted), lifecycle.State{}, epoch).object, detachFiles, deleted), nil, ""},
		"cancelled, create pending":  {withChange(run(newObject(withFinalizer, cancelWanted), lifecycle.State{}, epoch).object, pendingSince(epoch), detachFiles, deleted), nil, ""},
		"lost create, timed out":     {newObject(withFinalizer, detachFiles, deleted, pendingSince(epoch.Add(-time.Hour))), nil, "ReadStore Detach"},
		"lost create, several calls": {newObject(withFinalizer, detachFiles, deleted, pendingSince(epoch.Add(-time.Hour))), []result{{detached: 25, remaining: 1}, {detached: 26}}, "ReadStore Detach, Detach"},
		"lost create, in flight":     {newObject(withFinalizer, detachFiles, deleted, pendingSince(epoch)), nil, ", ReadStore Detach"},
		"policy changed to Cancel":   {withChange(runCompleted(detachFiles).object, deletionPolicy("Cancel"), deleted), nil, ""},
		"suspended":                  {tracked(detachFiles, suspended, deleted), nil, "Cancel, Detach"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(test.b, lifecycle.State{}, epoch, test.results...)
			reconciliations := []string{r.actionNames()}
			for calls := len(r.actions); r.final.Action == lifecycle.Requeue; calls += len(r.actions) {
				if r.reason() != v1alpha1.ReasonDeleting || len(reconciliations) > 5 {
					t.Fatalf("performed %q: %s: %s", reconciliations, r.reason(), r.message())
				}
				r = r.again(test.results[min(calls, len(test.results)):]...)
				reconciliations = append(reconciliations, r.actionNames())
			}
			if got := strings.Join(reconciliations, ", "); got != test.wantActions || r.final.Action != lifecycle.RemoveFinalizer {
				t.Errorf("performed %q, then %s", got, r.final.Action)
			}
			for _, event := range r.events {
				if event.Warning {
					t.Errorf("unexpected warning: %+v", event)
				}
			}
		})
	}
}

func TestDetach_Progress(t *testing.T) {
	r := run(tracked(detachFiles, deleted), lifecycle.State{}, epoch)
	if !strings.Contains(r.message(), "detaching its files") || r.object.Status.CancelRequestTime == nil || r.final.RequeueAfter > time.Second {
		t.Fatalf("%s, requeued after %s", r.message(), r.final.RequeueAfter)
	}
	r = r.again(result{detached: 25, remaining: 15})
	if !strings.Contains(r.message(), "25 of 40 files") || r.object.Status.DetachedFileCount != 25 || !r.state.DetachedAt.Equal(epoch.Add(time.Millisecond)) {
		t.Fatalf("%s; %d detached, the last at %s", r.message(), r.object.Status.DetachedFileCount, r.state.DetachedAt)
	}
	if early := run(r.object, r.state, epoch); early.actionNames() != "" || early.message() != r.message() {
		t.Errorf("performed %q before the next call is due: %s", early.actionNames(), early.message())
	}
	r = r.again(result{err: &upstream.Error{Kind: upstream.Transient, Message: "the call failed"}, detached: 30, remaining: 10})
	if !strings.Contains(r.message(), "Not all files could be detached from the vector store; retrying: the call failed") || r.object.Status.DetachedFileCount != 30 {
		t.Errorf("%s; %d detached", r.message(), r.object.Status.DetachedFileCount)
	}
	r = r.again(fails(upstream.NoCredentials))
	if r.object.Status.DetachedFileCount != 30 || r.state.DetachedAt.Before(epoch.Add(time.Second)) {
		t.Errorf("a reconciliation without progress lost the progress: %d detached, the last at %s", r.object.Status.DetachedFileCount, r.state.DetachedAt)
	}
	if r = r.again(result{detached: 40}); r.final.Action != lifecycle.RemoveFinalizer {
		t.Errorf("%s after all files are detached", r.final.Action)
	}
}

func TestDetach_FailureBacksOff(t *testing.T) {
	for _, kind := range []upstream.ErrorKind{upstream.Transient, upstream.RateLimited, upstream.Unauthorized, upstream.NoCredentials, upstream.Rejected, upstream.UnknownOutcome} {
		r := run(tracked(detachFiles, cancelAccepted, deleted), lifecycle.State{}, epoch, fails(kind))
		want := time.Second
		for range 5 {
			if !strings.HasSuffix(r.actionNames(), "Detach") || r.reason() != v1alpha1.ReasonDeleting || r.final.RequeueAfter != want {
				t.Fatalf("%s: performed %q: %s, requeued after %s, want %s", kind, r.actionNames(), r.reason(), r.final.RequeueAfter, want)
			}
			r, want = r.again(fails(kind)), 2*want
		}
		if r = r.again(); r.final.Action != lifecycle.RemoveFinalizer {
			t.Errorf("%s: %s after a success", kind, r.final.Action)
		}
	}
}

func TestDetach_TimeoutReportsRemainingFiles(t *testing.T) {
	for name, test := range map[string]struct {
		b     *object
		parts []string
	}{
		"finished":            {withChange(runCompleted(detachFiles).object, deleted), []string{"files of batch batch_1", "vs_1", "0 were detached", "Gave up after 10m0s"}},
		"some files detached": {tracked(detachFiles, cancelAccepted, deleted, func(b *object) { b.Status.DetachedFileCount = 7 }), []string{"files of batch batch_1", "7 were detached"}},
		"lost create":         {newObject(withFinalizer, detachFiles, deleted, pendingSince(epoch.Add(-time.Hour))), []string{"files of a batch whose ID is lost", "vs_1"}},
		"not cancelled":       {tracked(detachFiles, deleted), []string{"batch batch_1", "may still be running", "files may be left"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, last := run(test.b, lifecycle.State{}, epoch, fails(upstream.Transient)), epoch
			for tries := 1; r.final.Action == lifecycle.Requeue; tries++ {
				if tries > 20 || r.final.RequeueAfter > epoch.Add(config.FinalizeTimeout).Sub(last) {
					t.Fatalf("try %d: requeued after %s", tries, r.final.RequeueAfter)
				}
				last = r.next
				r = r.again(fails(upstream.Transient))
			}
			if got := last.Sub(epoch); got != config.FinalizeTimeout || r.final.Action != lifecycle.RemoveFinalizer {
				t.Errorf("%s after %s", r.final.Action, got)
			}
			for _, part := range test.parts {
				if warning := r.warning(v1alpha1.ReasonDeletionIncomplete); !strings.Contains(warning, part) {
					t.Errorf("the warning %q does not contain %q", warning, part)
				}
			}
		})
	}
}

func TestDetach_ProgressExtendsTimeout(t *testing.T) {
	r, last := run(tracked(detachFiles, cancelAccepted, deleted), lifecycle.State{}, epoch, result{detached: 1, remaining: 99}), epoch
	for detached := 2; detached < 20; detached++ { // one file at a time, for hours
		for range 9 {
			last = r.next
			r = r.again(fails(upstream.RateLimited))
		}
		if r.final.Action != lifecycle.Requeue {
			t.Fatalf("gave up after %s, with %d files detached: %+v", last.Sub(epoch), detached-1, r.events)
		}
		last = r.next
		r = r.again(result{detached: detached, remaining: 100 - detached})
	}
	if last.Before(epoch.Add(time.Hour)) {
		t.Fatalf("the detaching took only %s", last.Sub(epoch))
	}
	lastProgress := last
	for r.final.Action == lifecycle.Requeue {
		last = r.next
		r = r.again(fails(upstream.RateLimited))
	}
	if got := last.Sub(lastProgress); got != config.FinalizeTimeout || !strings.Contains(r.warning(v1alpha1.ReasonDeletionIncomplete), "19 were detached") {
		t.Errorf("gave up %s after the last progress, Events %+v", got, r.events)
	}
}

func TestDetach_ContinuedByAnotherProcess(t *testing.T) {
	startedAt := epoch.Add(time.Hour)
	b := tracked(detachFiles, cancelAccepted, deleted, func(b *object) { b.Status.DetachedFileCount = 7 })
	r, last := run(b, lifecycle.State{}, startedAt, fails(upstream.Transient)), startedAt
	for r.final.Action == lifecycle.Requeue {
		last = r.next
		r = r.again(fails(upstream.Transient))
	}
	if got := last.Sub(startedAt); got != config.FinalizeTimeout {
		t.Errorf("gave up %s after the start", got)
	}
	b.Status.DetachedFileCount = 0
	if r = run(b, lifecycle.State{}, startedAt, fails(upstream.Transient)); r.final.Action != lifecycle.RemoveFinalizer {
		t.Errorf("%s, though no file was detached in the hour since the deletion", r.final.Action)
	}
}

// TestDetach_FinalAttemptIsPunctual: jitter may lengthen a wait, but not beyond the timeout.
func TestDetach_FinalAttemptIsPunctual(t *testing.T) {
	backedOff := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(config.FinalizeTimeout + time.Minute), Failed: lifecycle.Cancel, Failures: 9}}
	b := withObserved(tracked(deleted))
	if r := run(b, backedOff, epoch.Add(time.Minute)); r.actionNames() != "" || r.final.RequeueAfter != config.FinalizeTimeout-time.Minute {
		t.Errorf("performed %q before the timeout, requeued after %s", r.actionNames(), r.final.RequeueAfter)
	}
	if r := run(b, backedOff, epoch.Add(config.FinalizeTimeout)); r.actionNames() != "Cancel" || r.final.Action != lifecycle.RemoveFinalizer {
		t.Errorf("performed %q at the timeout, then %s", r.actionNames(), r.final.Action)
	}
}

func TestDetach_CreateNoLongerInFlight(t *testing.T) {
	failed := lifecycle.State{Backoff: lifecycle.Backoff{Failed: lifecycle.Create, Failures: 1, NextCall: epoch.Add(-time.Second)}}
	startedAt := epoch.Add(-config.RequestTimeout - batch.ClockSkew)
	r := run(newObject(withFinalizer, detachFiles, deleted, pendingSince(startedAt)), failed, epoch, result{detached: 25, remaining: 25})
	if r.actionNames() != "ReadStore Detach" {
		t.Fatalf("performed %q: %s", r.actionNames(), r.message())
	}
	if r = r.again(result{detached: 50}); r.actionNames() != "Detach" || r.final.Action != lifecycle.RemoveFinalizer {
		t.Errorf("performed %q, then %s: %s", r.actionNames(), r.final.Action, r.message())
	}
}

func TestDetach_FinalizerAddedAfterPolicyChange(t *testing.T) {
	for name, test := range map[string]struct {
		b             *object
		wantActions   string
		wantFinalizer bool
	}{
		"finished":               {withChange(runCompleted().object, detachFiles, edited), "AddFinalizer", true},
		"finished, TTL":          {withChange(runCompleted(ttl(time.Hour)).object, detachFiles, edited), "AddFinalizer", true},
		"adopted, finished":      {withChange(runCompleted(adopted, detachFiles).object, withoutFinalizers, detachFiles, edited), "AddFinalizer", true},
		"adopted, in progress":   {newObject(adopted, detachFiles), "AddFinalizer Poll", true},
		"has the finalizer":      {withChange(runCompleted(detachFiles).object, edited), "", true},
		"finished, other policy": {withChange(runCompleted().object, edited), "", false},
		"never created":          {withChange(run(newObject(cancelWanted), lifecycle.State{}, epoch).object, detachFiles, edited), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(test.b, lifecycle.State{}, epoch.Add(time.Second))
			if r.actionNames() != test.wantActions || batch.HasFinalizer(r.object) != test.wantFinalizer {
				t.Errorf("performed %q, has the finalizer: %t", r.actionNames(), batch.HasFinalizer(r.object))
			}
		})
	}
}

// TestDelete_Messages requires the message after each kind of failure, and which call has to wait because of it.
func TestDelete_Messages(t *testing.T) {
	lost := newObject(withFinalizer, detachFiles, deleted, pendingSince(epoch.Add(-time.Hour)))
	for name, test := range map[string]struct {
		b       *object
		results []result
		actions string
		message string
		failed  lifecycle.Action
	}{
		"cancel":      {tracked(deleted), []result{fails(upstream.Transient)}, "Cancel", "The batch could not be cancelled; retrying: the call failed", lifecycle.Cancel},
		"poll":        {tracked(deleted), []result{fails(upstream.Rejected), fails(upstream.Transient)}, "Cancel Poll", "The batch could not be cancelled; retrying: the call failed", lifecycle.Cancel},
		"store":       {tracked(deleted), []result{fails(upstream.NotFound), fails(upstream.NotFound), failedStore}, "Cancel Poll ReadStore", "Neither the batch nor the vector store was found; retrying: the call failed", lifecycle.Cancel},
		"files":       {tracked(detachFiles, cancelAccepted, deleted), []result{{store: true}, fails(upstream.Transient)}, "ReadStore Detach", "Not all files could be detached from the vector store; retrying: the call failed", lifecycle.Detach},
		"locating":    {tracked(detachFiles, cancelAccepted, deleted), []result{failedStore}, "ReadStore", "Neither the batch nor the vector store was found; retrying: the call failed", lifecycle.Detach},
		"no batch ID": {lost, []result{failedStore}, "ReadStore", "Neither the batch nor the vector store was found; retrying: the call failed", lifecycle.Detach},
	} {
		r := run(test.b, lifecycle.State{}, epoch, test.results...)
		if r.actionNames() != test.actions || r.message() != test.message || r.state.Failed != test.failed {
			t.Errorf("%s: performed %q: %q, failed: %s; want %q", name, r.actionNames(), r.message(), r.state.Failed, test.message)
		}
	}
}

var failedStore = result{store: true, err: &upstream.Error{Kind: upstream.Transient, Message: "the call failed"}}

// TestDelete_MessageIsSteady requires that the message of a deletion that fails is renewed at growing intervals, and
// after a change.
func TestDelete_MessageIsSteady(t *testing.T) {
	failing := func(message string) result {
		return result{err: &upstream.Error{Kind: upstream.Transient, Message: message}}
	}
	r := run(withObserved(tracked(deleted)), lifecycle.State{}, epoch, failing("1"))
	for _, test := range []struct{ message, want string }{{"2", "1"}, {"3", "1"}, {"4", "4"}, {"5", "4"}, {"6", "4"}} {
		if r = r.again(failing(test.message)); r.message() != "The batch could not be cancelled; retrying: "+test.want {
			t.Errorf("failure %s: %s, want that of failure %s", test.message, r.message(), test.want)
		}
	}
	if changed := run(withChange(r.object, edited), r.state, r.next, failing("7")); changed.message() != "The batch could not be cancelled; retrying: 7" {
		t.Errorf("after an edit: %s", changed.message())
	}
	store := result{store: true, err: &upstream.Error{Kind: upstream.Transient, Message: "8"}}
	if other := r.again(fails(upstream.NotFound), fails(upstream.NotFound), store); other.message() != "Neither the batch nor the vector store was found; retrying: 8" {
		t.Errorf("after another failure: performed %q: %s", other.actionNames(), other.message())
	}
}

// TestDelete_IncompleteMessages requires the message of the Event about what is left behind.
func TestDelete_IncompleteMessages(t *testing.T) {
	longAgo := deletedAt(epoch.Add(-config.FinalizeTimeout))
	located := lifecycle.State{DetachProgress: lifecycle.DetachProgress{Located: true}}
	failing := fails(upstream.Transient)
	partly := failing
	partly.left = "file-b and 2 more"
	for name, test := range map[string]struct {
		b      *object
		result result
		want   string
	}{
		"cancel":        {tracked(longAgo), failing, "batch batch_1 in vector store vs_1 may still be running: the call failed"},
		"DetachFiles":   {tracked(detachFiles, longAgo), failing, "batch batch_1 in vector store vs_1 may still be running, and its files may be left there: the call failed"},
		"files":         {tracked(detachFiles, cancelAccepted, longAgo), failing, "files of batch batch_1 may be left in vector store vs_1, 0 were detached: the call failed"},
		"files by name": {tracked(detachFiles, cancelAccepted, longAgo), partly, "files of batch batch_1 may be left in vector store vs_1 (file-b and 2 more), 0 were detached: the call failed"},
		"no batch ID":   {newObject(withFinalizer, detachFiles, longAgo, pendingSince(epoch.Add(-time.Hour))), failing, "files of a batch whose ID is lost may be left in vector store vs_1, 0 were detached: the call failed"},
	} {
		r := run(test.b, located, epoch, test.result)
		if got := r.warning(v1alpha1.ReasonDeletionIncomplete); got != "Gave up after 10m0s without progress: "+test.want {
			t.Errorf("%s: performed %q: %q, want %q", name, r.actionNames(), got, test.want)
		}
	}
}

// TestDelete_Exact requires that a 404 is believed after the grace period and not before, and that a deletion that
// has timed out, but not failed, waits for its next call.
func TestDelete_Exact(t *testing.T) {
	for _, test := range (offsets{{-1, "Cancel Poll"}, {0, "Cancel Poll ReadStore"}}) {
		b := tracked(deleted, createdAt(epoch))
		if r := run(b, lifecycle.State{}, epoch.Add(config.NotFoundGrace+test.offset), fails(upstream.NotFound), fails(upstream.NotFound)); r.actionNames() != test.want {
			t.Errorf("a 404 %s after the grace period: performed %q, want %q", test.offset, r.actionNames(), test.want)
		}
	}
	paused := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Second)}}
	for _, age := range []time.Duration{config.FinalizeTimeout, 2 * config.FinalizeTimeout} {
		b := withObserved(tracked(detachFiles, cancelAccepted, deletedAt(epoch.Add(-age))))
		if r := run(b, paused, epoch); r.actionNames() != "" || r.final.RequeueAfter != time.Second {
			t.Errorf("%s after the deletion: performed %q before the next call is due, requeued after %s", age, r.actionNames(), r.final.RequeueAfter)
		}
	}
}

func TestDetach_SparedFiles(t *testing.T) {
	for spared, want := range map[int]string{
		0: "", 2: "Detached 3 files from vector store vs_1. 2 files stay there, because other objects attach them too",
	} {
		r := run(tracked(detachFiles, cancelAccepted, deleted), lifecycle.State{}, epoch, result{store: true}, result{detached: 3, spared: spared})
		got := ""
		for _, event := range r.events {
			if event.Reason == v1alpha1.ReasonFilesSpared && !event.Warning {
				got = event.Message
			}
		}
		if got != want || r.final.Action != lifecycle.RemoveFinalizer {
			t.Errorf("%d files of others: %s, %q, want %q", spared, r.final.Action, got, want)
		}
	}
}
