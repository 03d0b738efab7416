// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

var (
	detaching = policy(v1alpha1.DeletionPolicyDetachFiles)
	deleted   = deletedAt(epoch)
)

func TestDetachFiles(t *testing.T) {
	gone := fails(upstream.NotFound)
	for name, test := range map[string]struct {
		b       *object
		results []result
		did     string // in all passes
	}{
		"in progress":               {followed(detaching, deleted), nil, "Cancel, Detach"},
		"completed meanwhile":       {followed(detaching, deleted), []result{{batch: answer(upstream.Completed)}}, "Cancel, Detach"},
		"cancel refused, it's over": {followed(detaching, deleted), []result{fails(upstream.Rejected), {batch: answer(upstream.Completed)}}, "Cancel Retrieve, Detach"},
		"cancel taken already":      {followed(detaching, latched, deleted), nil, "Detach"},
		"over":                      {withChange(ended().object, detaching, deleted), nil, "Detach"},
		"failures not listed yet":   {followed(detaching, deleted, func(b *object) { b.Status.Status = "completed" }), nil, "Detach"},
		"adopted":                   {followed(adopted, detaching, deleted), nil, "Cancel, Detach"},
		"adopted, and over":         {withChange(ended(adopted).object, detaching, deleted), nil, "Detach"},
		"batch gone":                {followed(detaching, deleted), []result{gone, gone}, "Cancel Retrieve Detach"},
		"several portions":          {followed(detaching, latched, deleted), []result{{detached: 25, left: 15}, {detached: 40}}, "Detach, Detach"},
		"never created":             {fresh(held, detaching, deleted), nil, ""},
		"cancelled before created":  {withChange(run(fresh(held, wantsCancel), batch.Memory{}, epoch).object, detaching, deleted), nil, ""},
		"cancelled, stray intent":   {withChange(run(fresh(held, wantsCancel), batch.Memory{}, epoch).object, intendedAt(epoch), detaching, deleted), nil, ""},
		"lost create, settled":      {fresh(held, detaching, deleted, intendedAt(epoch.Add(-time.Hour))), nil, "Detach"},
		"lost create, in portions":  {fresh(held, detaching, deleted, intendedAt(epoch.Add(-time.Hour))), []result{{detached: 25, left: 1}, {detached: 26}}, "Detach, Detach"},
		"lost create, under way":    {fresh(held, detaching, deleted, intendedAt(epoch)), nil, ", Detach"},
		"policy changed to Cancel":  {withChange(ended(detaching).object, policy("Cancel"), deleted), nil, ""},
		"suspended":                 {followed(detaching, suspends, deleted), nil, "Cancel, Detach"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, batch.Memory{}, epoch, test.results...)
			passes := []string{p.did()}
			for used := len(p.took); p.final.Action == batch.Rest; used += len(p.took) {
				if p.reason() != v1alpha1.ReasonDeleting || len(passes) > 5 {
					t.Fatalf("did %q: %s: %s", passes, p.reason(), p.message())
				}
				p = p.again(test.results[min(used, len(test.results)):]...)
				passes = append(passes, p.did())
			}
			if got := strings.Join(passes, ", "); got != test.did || p.final.Action != batch.Release {
				t.Errorf("did %q, then %s", got, p.final.Action)
			}
			for _, event := range p.told {
				if event.Warning {
					t.Errorf("warned: %+v", event)
				}
			}
		})
	}
}

func TestDetachingTellsItsProgress(t *testing.T) {
	p := run(followed(detaching, deleted), batch.Memory{}, epoch)
	if !strings.Contains(p.message(), "about to be taken out") || p.object.Status.CancelRequestedAt == nil || p.final.After > time.Second {
		t.Fatalf("%s, and looks again after %s", p.message(), p.final.After)
	}
	p = p.again(result{detached: 25, left: 15})
	if !strings.Contains(p.message(), "25 of 40 files") || p.object.Status.DetachedFiles != 25 || p.memory.DetachedUpTo != "file-025" {
		t.Fatalf("%s; %d detached, up to %q", p.message(), p.object.Status.DetachedFiles, p.memory.DetachedUpTo)
	}
	if early := run(p.object, p.memory, epoch); early.did() != "" || early.message() != p.message() {
		t.Errorf("did %q at once: %s", early.did(), early.message())
	}
	p = p.again(result{err: &upstream.Error{Kind: upstream.Transient, Message: "it went wrong"}, detached: 30, left: 10})
	if !strings.Contains(p.message(), "not all files could be taken out of the vector store yet: it went wrong") || p.object.Status.DetachedFiles != 30 {
		t.Errorf("%s; %d detached", p.message(), p.object.Status.DetachedFiles)
	}
	p = p.again(fails(upstream.NoCredentials))
	if p.object.Status.DetachedFiles != 30 || p.memory.DetachedUpTo != "file-030" {
		t.Errorf("a pass that got nowhere forgot what was done: %d detached, up to %q", p.object.Status.DetachedFiles, p.memory.DetachedUpTo)
	}
	if p = p.again(result{detached: 40}); p.final.Action != batch.Release {
		t.Errorf("%s with nothing left", p.final.Action)
	}
}

func TestAFailedDetachIsTriedAgain(t *testing.T) {
	for _, kind := range []upstream.ErrorKind{upstream.Transient, upstream.RateLimited, upstream.Unauthorized, upstream.NoCredentials, upstream.Rejected, upstream.UnknownOutcome} {
		p := run(followed(detaching, latched, deleted), batch.Memory{}, epoch, fails(kind))
		want := time.Second
		for range 5 {
			if p.did() != "Detach" || p.reason() != v1alpha1.ReasonDeleting || p.final.After != want {
				t.Fatalf("%s: did %q: %s, looks again after %s, want %s", kind, p.did(), p.reason(), p.final.After, want)
			}
			p, want = p.again(fails(kind)), 2*want
		}
		if p = p.again(); p.final.Action != batch.Release {
			t.Errorf("%s: %s once it worked", kind, p.final.Action)
		}
	}
}

func TestDetachingGivesUpNamingWhatMayBeLeft(t *testing.T) {
	for name, test := range map[string]struct {
		b     *object
		parts []string
	}{
		"over":                 {withChange(ended().object, detaching, deleted), []string{"files of batch batch_1", "vs_1", "of which 0 were", "gave up after 10m0s"}},
		"some are detached":    {followed(detaching, latched, deleted, func(b *object) { b.Status.DetachedFiles = 7 }), []string{"files of batch batch_1", "of which 7 were"}},
		"create lost":          {fresh(held, detaching, deleted, intendedAt(epoch.Add(-time.Hour))), []string{"files of a batch whose ID is lost", "vs_1"}},
		"it was not cancelled": {followed(detaching, deleted), []string{"batch batch_1", "may still be running", "files may be left"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, last := run(test.b, batch.Memory{}, epoch, fails(upstream.Transient)), epoch
			for tries := 1; p.final.Action == batch.Rest; tries++ {
				if tries > 20 || p.final.By != epoch.Add(rules.FinalizeTimeout).Sub(last) {
					t.Fatalf("try %d: looks again by %s", tries, p.final.By)
				}
				last = p.next
				p = p.again(fails(upstream.Transient))
			}
			if got := last.Sub(epoch); got != rules.FinalizeTimeout || p.final.Action != batch.Release {
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

func TestDetachingThatGetsOnDoesNotGiveUp(t *testing.T) {
	p, last := run(followed(detaching, latched, deleted), batch.Memory{}, epoch, result{detached: 1, left: 99}), epoch
	for done := 2; done < 20; done++ { // a file at a time, for hours
		for range 9 {
			last = p.next
			p = p.again(fails(upstream.RateLimited))
		}
		if p.final.Action != batch.Rest {
			t.Fatalf("gave up after %s, with %d files taken out: %+v", last.Sub(epoch), done-1, p.told)
		}
		last = p.next
		p = p.again(result{detached: done, left: 100 - done})
	}
	if last.Before(epoch.Add(time.Hour)) {
		t.Fatalf("it took %s only", last.Sub(epoch))
	}
	progress := last
	for p.final.Action == batch.Rest {
		last = p.next
		p = p.again(fails(upstream.RateLimited))
	}
	if got := last.Sub(progress); got != rules.FinalizeTimeout || !strings.Contains(p.warned(v1alpha1.ReasonDeleting), "of which 19 were taken out") {
		t.Errorf("gave up %s after the last progress, telling %+v", got, p.told)
	}
}

func TestAnotherProcessGoesOnDetachingAndGivesUpAFinalizeTimeoutLater(t *testing.T) {
	started := epoch.Add(time.Hour)
	b := followed(detaching, latched, deleted, func(b *object) { b.Status.DetachedFiles = 7 })
	p, last := run(b, batch.Memory{}, started, fails(upstream.Transient)), started
	for p.final.Action == batch.Rest {
		last = p.next
		p = p.again(fails(upstream.Transient))
	}
	if got := last.Sub(started); got != rules.FinalizeTimeout {
		t.Errorf("gave up %s after the start", got)
	}
	b.Status.DetachedFiles = 0
	if p = run(b, batch.Memory{}, started, fails(upstream.Transient)); p.final.Action != batch.Release {
		t.Errorf("%s, though nothing got on since the deletion, an hour ago", p.final.Action)
	}
}

// TestTheLastTryOfADeletionIsNotLate: a waiting time may be stretched, but not beyond the end.
func TestTheLastTryOfADeletionIsNotLate(t *testing.T) {
	stretched := batch.Memory{NextCall: epoch.Add(rules.FinalizeTimeout + time.Minute), Failed: batch.Cancel, Failures: 9}
	b := withObserved(followed(deleted))
	if p := run(b, stretched, epoch.Add(time.Minute)); p.did() != "" || p.final.By != rules.FinalizeTimeout-time.Minute {
		t.Errorf("did %q before its time, and looks again by %s", p.did(), p.final.By)
	}
	if p := run(b, stretched, epoch.Add(rules.FinalizeTimeout)); p.did() != "Cancel" || p.final.Action != batch.Release {
		t.Errorf("did %q at the end, then %s", p.did(), p.final.Action)
	}
}

func TestALostCreateThatWasAnsweredStaysSettled(t *testing.T) {
	answered := batch.Memory{CreateAnswered: true, Failed: batch.Create, Failures: 1, NextCall: epoch.Add(-time.Second)}
	p := run(fresh(held, detaching, deleted, intendedAt(epoch.Add(-time.Second))), answered, epoch, result{detached: 25, left: 25})
	if p.did() != "Detach" {
		t.Fatalf("did %q: %s", p.did(), p.message())
	}
	if p = p.again(result{detached: 50}); p.did() != "Detach" || p.final.Action != batch.Release {
		t.Errorf("did %q, then %s: %s", p.did(), p.final.Action, p.message())
	}
}

func TestAnObjectIsHeldUntilItsFilesAreDetached(t *testing.T) {
	free := func(b *object) { b.Finalizers = nil }
	for name, test := range map[string]struct {
		b    *object
		did  string
		held bool
	}{
		"over":                   {withChange(ended().object, free, detaching, edited), "Hold", true},
		"over, time to live too": {withChange(ended(ttl(0)).object, free, detaching, edited), "Hold", true},
		"adopted, over":          {withChange(ended(adopted).object, free, detaching, edited), "Hold", true},
		"adopted, in progress":   {fresh(adopted, detaching), "Hold Retrieve", true},
		"held already":           {withChange(ended().object, detaching, edited), "", true},
		"over, another policy":   {withChange(ended().object, free, edited), "", false},
		"nothing was created":    {withChange(run(fresh(wantsCancel), batch.Memory{}, epoch).object, detaching, edited), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, batch.Memory{}, epoch.Add(time.Second))
			if p.did() != test.did || batch.Held(p.object) != test.held {
				t.Errorf("did %q, held %t", p.did(), batch.Held(p.object))
			}
		})
	}
}
