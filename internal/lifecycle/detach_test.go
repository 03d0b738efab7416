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
	detaching = policy(v1alpha1.DeletionPolicyDetachFiles)
	deleted   = deletedAt(epoch)
)

func TestDetach(t *testing.T) {
	gone := fails(upstream.NotFound)
	for name, test := range map[string]struct {
		b         *object
		results   []result
		performed string // in all passes
	}{
		"in progress":               {tracked(detaching, deleted), nil, "Cancel, Detach"},
		"completed meanwhile":       {tracked(detaching, deleted), []result{{batch: answer(upstream.Completed)}}, "Cancel, Detach"},
		"cancel refused, it's over": {tracked(detaching, deleted), []result{fails(upstream.Rejected), {batch: answer(upstream.Completed)}}, "Cancel Poll, Detach"},
		"cancel taken already":      {tracked(detaching, cancelAccepted, deleted), nil, "Detach"},
		"over":                      {withChange(completedAtOnce().object, detaching, deleted), nil, "Detach"},
		"failures not listed yet":   {tracked(detaching, deleted, func(b *object) { b.Status.Status = "completed" }), nil, "Detach"},
		"adopted":                   {tracked(adopted, detaching, deleted), nil, "Cancel, Detach"},
		"adopted, and over":         {withChange(completedAtOnce(adopted).object, detaching, deleted), nil, "Detach"},
		"batch gone":                {tracked(detaching, deleted), []result{gone, gone}, "Cancel Poll Detach"},
		"several portions":          {tracked(detaching, cancelAccepted, deleted), []result{{detached: 25, left: 15}, {detached: 40}}, "Detach, Detach"},
		"never created":             {newObject(hasFinalizer, detaching, deleted), nil, ""},
		"cancelled before created":  {withChange(run(newObject(hasFinalizer, wantsCancel), lifecycle.State{}, epoch).object, detaching, deleted), nil, ""},
		"cancelled, stray intent":   {withChange(run(newObject(hasFinalizer, wantsCancel), lifecycle.State{}, epoch).object, pendingSince(epoch), detaching, deleted), nil, ""},
		"lost create, settled":      {newObject(hasFinalizer, detaching, deleted, pendingSince(epoch.Add(-time.Hour))), nil, "Detach"},
		"lost create, in portions":  {newObject(hasFinalizer, detaching, deleted, pendingSince(epoch.Add(-time.Hour))), []result{{detached: 25, left: 1}, {detached: 26}}, "Detach, Detach"},
		"lost create, under way":    {newObject(hasFinalizer, detaching, deleted, pendingSince(epoch)), nil, ", Detach"},
		"policy changed to Cancel":  {withChange(completedAtOnce(detaching).object, policy("Cancel"), deleted), nil, ""},
		"suspended":                 {tracked(detaching, suspends, deleted), nil, "Cancel, Detach"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, lifecycle.State{}, epoch, test.results...)
			reconciliations := []string{p.performed()}
			for used := len(p.actions); p.final.Action == lifecycle.Requeue; used += len(p.actions) {
				if p.reason() != v1alpha1.ReasonDeleting || len(reconciliations) > 5 {
					t.Fatalf("did %q: %s: %s", reconciliations, p.reason(), p.message())
				}
				p = p.again(test.results[min(used, len(test.results)):]...)
				reconciliations = append(reconciliations, p.performed())
			}
			if got := strings.Join(reconciliations, ", "); got != test.performed || p.final.Action != lifecycle.RemoveFinalizer {
				t.Errorf("did %q, then %s", got, p.final.Action)
			}
			for _, event := range p.events {
				if event.Warning {
					t.Errorf("warned: %+v", event)
				}
			}
		})
	}
}

func TestDetach_Progress(t *testing.T) {
	p := run(tracked(detaching, deleted), lifecycle.State{}, epoch)
	if !strings.Contains(p.message(), "detaching its files") || p.object.Status.CancelRequestedAt == nil || p.final.RequeueAfter > time.Second {
		t.Fatalf("%s, and looks again after %s", p.message(), p.final.RequeueAfter)
	}
	p = p.again(result{detached: 25, left: 15})
	if !strings.Contains(p.message(), "25 of 40 files") || p.object.Status.DetachedFiles != 25 || p.state.LastDetached != "file-025" {
		t.Fatalf("%s; %d detached, up to %q", p.message(), p.object.Status.DetachedFiles, p.state.LastDetached)
	}
	if early := run(p.object, p.state, epoch); early.performed() != "" || early.message() != p.message() {
		t.Errorf("did %q at once: %s", early.performed(), early.message())
	}
	p = p.again(result{err: &upstream.Error{Kind: upstream.Transient, Message: "it went wrong"}, detached: 30, left: 10})
	if !strings.Contains(p.message(), "Not all files could be detached from the vector store; retrying: it went wrong") || p.object.Status.DetachedFiles != 30 {
		t.Errorf("%s; %d detached", p.message(), p.object.Status.DetachedFiles)
	}
	p = p.again(fails(upstream.NoCredentials))
	if p.object.Status.DetachedFiles != 30 || p.state.LastDetached != "file-030" {
		t.Errorf("a pass that got nowhere forgot what was done: %d detached, up to %q", p.object.Status.DetachedFiles, p.state.LastDetached)
	}
	if p = p.again(result{detached: 40}); p.final.Action != lifecycle.RemoveFinalizer {
		t.Errorf("%s with nothing left", p.final.Action)
	}
}

func TestDetach_FailureBacksOff(t *testing.T) {
	for _, kind := range []upstream.ErrorKind{upstream.Transient, upstream.RateLimited, upstream.Unauthorized, upstream.NoCredentials, upstream.Rejected, upstream.UnknownOutcome} {
		p := run(tracked(detaching, cancelAccepted, deleted), lifecycle.State{}, epoch, fails(kind))
		want := time.Second
		for range 5 {
			if p.performed() != "Detach" || p.reason() != v1alpha1.ReasonDeleting || p.final.RequeueAfter != want {
				t.Fatalf("%s: did %q: %s, looks again after %s, want %s", kind, p.performed(), p.reason(), p.final.RequeueAfter, want)
			}
			p, want = p.again(fails(kind)), 2*want
		}
		if p = p.again(); p.final.Action != lifecycle.RemoveFinalizer {
			t.Errorf("%s: %s once it worked", kind, p.final.Action)
		}
	}
}

func TestDetach_TimeoutNamesLeftovers(t *testing.T) {
	for name, test := range map[string]struct {
		b     *object
		parts []string
	}{
		"over":                 {withChange(completedAtOnce().object, detaching, deleted), []string{"files of batch batch_1", "vs_1", "0 were detached", "Gave up after 10m0s"}},
		"some are detached":    {tracked(detaching, cancelAccepted, deleted, func(b *object) { b.Status.DetachedFiles = 7 }), []string{"files of batch batch_1", "7 were detached"}},
		"create lost":          {newObject(hasFinalizer, detaching, deleted, pendingSince(epoch.Add(-time.Hour))), []string{"files of a batch whose ID is lost", "vs_1"}},
		"it was not cancelled": {tracked(detaching, deleted), []string{"batch batch_1", "may still be running", "files may be left"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, last := run(test.b, lifecycle.State{}, epoch, fails(upstream.Transient)), epoch
			for tries := 1; p.final.Action == lifecycle.Requeue; tries++ {
				if tries > 20 || p.final.RequeueAfter > epoch.Add(config.FinalizeTimeout).Sub(last) {
					t.Fatalf("try %d: looks again by %s", tries, p.final.RequeueAfter)
				}
				last = p.next
				p = p.again(fails(upstream.Transient))
			}
			if got := last.Sub(epoch); got != config.FinalizeTimeout || p.final.Action != lifecycle.RemoveFinalizer {
				t.Errorf("%s after %s", p.final.Action, got)
			}
			for _, part := range test.parts {
				if warning := p.warned(v1alpha1.ReasonDeleting); !strings.Contains(warning, part) {
					t.Errorf("the warning %q does not say %q", warning, part)
				}
			}
		})
	}
}

func TestDetach_ProgressExtendsTimeout(t *testing.T) {
	p, last := run(tracked(detaching, cancelAccepted, deleted), lifecycle.State{}, epoch, result{detached: 1, left: 99}), epoch
	for done := 2; done < 20; done++ { // a file at a time, for hours
		for range 9 {
			last = p.next
			p = p.again(fails(upstream.RateLimited))
		}
		if p.final.Action != lifecycle.Requeue {
			t.Fatalf("gave up after %s, with %d files taken out: %+v", last.Sub(epoch), done-1, p.events)
		}
		last = p.next
		p = p.again(result{detached: done, left: 100 - done})
	}
	if last.Before(epoch.Add(time.Hour)) {
		t.Fatalf("it took %s only", last.Sub(epoch))
	}
	progress := last
	for p.final.Action == lifecycle.Requeue {
		last = p.next
		p = p.again(fails(upstream.RateLimited))
	}
	if got := last.Sub(progress); got != config.FinalizeTimeout || !strings.Contains(p.warned(v1alpha1.ReasonDeleting), "19 were detached") {
		t.Errorf("gave up %s after the last progress, telling %+v", got, p.events)
	}
}

func TestDetach_ContinuedByAnotherProcess(t *testing.T) {
	started := epoch.Add(time.Hour)
	b := tracked(detaching, cancelAccepted, deleted, func(b *object) { b.Status.DetachedFiles = 7 })
	p, last := run(b, lifecycle.State{}, started, fails(upstream.Transient)), started
	for p.final.Action == lifecycle.Requeue {
		last = p.next
		p = p.again(fails(upstream.Transient))
	}
	if got := last.Sub(started); got != config.FinalizeTimeout {
		t.Errorf("gave up %s after the start", got)
	}
	b.Status.DetachedFiles = 0
	if p = run(b, lifecycle.State{}, started, fails(upstream.Transient)); p.final.Action != lifecycle.RemoveFinalizer {
		t.Errorf("%s, though nothing got on since the deletion, an hour ago", p.final.Action)
	}
}

// TestDetach_FinalAttemptIsPunctual: a waiting time may be stretched, but not beyond the end.
func TestDetach_FinalAttemptIsPunctual(t *testing.T) {
	stretched := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(config.FinalizeTimeout + time.Minute), Failed: lifecycle.Cancel, Failures: 9}}
	b := withObserved(tracked(deleted))
	if p := run(b, stretched, epoch.Add(time.Minute)); p.performed() != "" || p.final.RequeueAfter != config.FinalizeTimeout-time.Minute {
		t.Errorf("did %q before its time, and looks again by %s", p.performed(), p.final.RequeueAfter)
	}
	if p := run(b, stretched, epoch.Add(config.FinalizeTimeout)); p.performed() != "Cancel" || p.final.Action != lifecycle.RemoveFinalizer {
		t.Errorf("did %q at the end, then %s", p.performed(), p.final.Action)
	}
}

func TestDetach_AnsweredCreateStaysSettled(t *testing.T) {
	answered := lifecycle.State{Backoff: lifecycle.Backoff{Failed: lifecycle.Create, Failures: 1, NextCall: epoch.Add(-time.Second)}, Unsaved: lifecycle.Unsaved{CreateAnswered: true}}
	p := run(newObject(hasFinalizer, detaching, deleted, pendingSince(epoch.Add(-time.Second))), answered, epoch, result{detached: 25, left: 25})
	if p.performed() != "Detach" {
		t.Fatalf("did %q: %s", p.performed(), p.message())
	}
	if p = p.again(result{detached: 50}); p.performed() != "Detach" || p.final.Action != lifecycle.RemoveFinalizer {
		t.Errorf("did %q, then %s: %s", p.performed(), p.final.Action, p.message())
	}
}

func TestDetach_FinalizerIsAddedAfterwards(t *testing.T) {
	free := func(b *object) { b.Finalizers = nil }
	for name, test := range map[string]struct {
		b            *object
		performed    string
		hasFinalizer bool
	}{
		"over":                   {withChange(completedAtOnce().object, free, detaching, edited), "AddFinalizer", true},
		"over, time to live too": {withChange(completedAtOnce(ttl(0)).object, free, detaching, edited), "AddFinalizer", true},
		"adopted, over":          {withChange(completedAtOnce(adopted).object, free, detaching, edited), "AddFinalizer", true},
		"adopted, in progress":   {newObject(adopted, detaching), "AddFinalizer Poll", true},
		"held already":           {withChange(completedAtOnce().object, detaching, edited), "", true},
		"over, another policy":   {withChange(completedAtOnce().object, free, edited), "", false},
		"nothing was created":    {withChange(run(newObject(wantsCancel), lifecycle.State{}, epoch).object, detaching, edited), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, lifecycle.State{}, epoch.Add(time.Second))
			if p.performed() != test.performed || batch.HasFinalizer(p.object) != test.hasFinalizer {
				t.Errorf("did %q, held %t", p.performed(), batch.HasFinalizer(p.object))
			}
		})
	}
}
