// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func TestACancelGoesFirst(t *testing.T) {
	busy := batch.Memory{NextCall: epoch.Add(time.Hour), Interval: time.Minute}
	failing := batch.Memory{NextCall: epoch.Add(time.Hour), Failed: batch.Retrieve, Failures: 9}
	for name, test := range map[string]struct {
		b      *object
		memory batch.Memory
	}{
		"between polls":                {followed(wantsCancel, edited), busy},
		"between polls, seen already":  {followed(wantsCancel), busy},
		"while the upstream fails":     {followed(wantsCancel), failing},
		"without finalizer":            {followed(wantsCancel, func(b *object) { b.Finalizers = nil }), busy},
		"without annotation":           {followed(wantsCancel, func(b *object) { b.Annotations = nil }), busy},
		"adopted and never looked at":  {fresh(adopted, wantsCancel), batch.Memory{}},
		"created, and the status lost": {created(wantsCancel), batch.Memory{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, test.memory, epoch)
			if p.did() != "Cancel" || p.reason() != v1alpha1.ReasonCancelling || p.object.Status.CancelRequestedAt == nil {
				t.Errorf("did %q: %s, latch %v", p.did(), p.reason(), p.object.Status.CancelRequestedAt)
			}
			if next := p.again(); strings.Contains(next.did(), "Cancel") {
				t.Errorf("did %q thereafter", next.did())
			}
		})
	}
}

func TestACancelWaitsForItsOwnFailures(t *testing.T) {
	p := run(followed(wantsCancel, edited), batch.Memory{}, epoch, fails(upstream.Transient))
	if p.did() != "Cancel" || p.reason() != v1alpha1.ReasonUpstreamUnavailable || p.object.Status.CancelRequestedAt != nil {
		t.Fatalf("did %q: %s", p.did(), p.reason())
	}
	if early := run(p.object, p.memory, epoch); early.did() != "" {
		t.Errorf("did %q at once", early.did())
	}
	if p = p.again(); p.did() != "Cancel" || p.reason() != v1alpha1.ReasonCancelling {
		t.Errorf("did %q: %s", p.did(), p.reason())
	}
}

func TestACancelBeforeTheCreateCreatesNothing(t *testing.T) {
	for name, b := range map[string]*object{
		"at once":                fresh(wantsCancel),
		"with an invalid spec":   fresh(wantsCancel, func(b *object) { b.Spec.FileIDs = nil }),
		"between failed creates": run(fresh(), batch.Memory{}, epoch, fails(upstream.Transient)).object,
	} {
		wantsCancel(b)
		edited(b)
		p := run(b, batch.Memory{}, epoch)
		if p.did() != "" || p.reason() != v1alpha1.ReasonCancelled || p.object.Status.Status != "cancelled" || p.final.After != 0 {
			t.Errorf("%s: did %q: %s %s", name, p.did(), p.reason(), p.message())
		}
		if !strings.Contains(p.message(), "before anything was created") {
			t.Errorf("%s: %s", name, p.message())
		}
	}
}

func TestACancelThatLostTheRaceIsToldAsCompleted(t *testing.T) {
	p := run(followed(wantsCancel, edited), batch.Memory{}, epoch, result{batch: answer(upstream.Completed)})
	if p.did() != "Cancel" || p.reason() != v1alpha1.ReasonCompleted || !strings.Contains(p.message(), "completed before it could be cancelled") {
		t.Errorf("did %q: %s: %s", p.did(), p.reason(), p.message())
	}
}

func TestARefusedCancelIsAnsweredByReadingTheBatch(t *testing.T) {
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
				p := run(followed(wantsCancel, edited), batch.Memory{}, epoch, fails(refusal), test.then)
				if p.did() != "Cancel Retrieve" || p.reason() != test.reason || p.object.Status.CancelRequestedAt != nil {
					t.Fatalf("did %q: %s: %s", p.did(), p.reason(), p.message())
				}
				if batch.Finished(p.object) {
					return
				}
				if early := run(p.object, p.memory, epoch); early.did() != "" {
					t.Errorf("did %q at once", early.did())
				}
				if p = p.again(); p.did() != "Cancel" {
					t.Errorf("did %q when its time came", p.did())
				}
			})
		}
	}
}

func TestACancelCannotBeTakenBack(t *testing.T) {
	p := run(followed(wantsCancel, edited), batch.Memory{}, epoch)
	p.object.Spec.Cancel = ptr(false)
	edited(p.object)
	p = run(p.object, p.memory, epoch)
	if p.warned(v1alpha1.ReasonCancelIrrevocable) == "" || p.reason() != v1alpha1.ReasonCancelling || !strings.Contains(p.message(), "does not take that back") {
		t.Fatalf("%s: %s; told %+v", p.reason(), p.message(), p.told)
	}
	if again := p.again(); len(again.told) != 0 || again.reason() != v1alpha1.ReasonCancelling {
		t.Errorf("told again: %+v", again.told)
	}
	if p = p.again(result{batch: answer(upstream.Cancelled)}); p.reason() != v1alpha1.ReasonCancelled {
		t.Errorf("the end is %s", p.reason())
	}
}

func TestACancelThatDoesNotEndTheBatchIsToldWithItsAge(t *testing.T) {
	p := run(followed(wantsCancel, edited), batch.Memory{}, epoch)
	writes := 0
	told := map[string]bool{}
	for p.next.Before(epoch.Add(25 * time.Hour)) {
		before := p.object.Status
		if p = p.again(); p.did() != "Retrieve" || p.reason() != v1alpha1.ReasonCancelling {
			t.Fatalf("did %q: %s: %s", p.did(), p.reason(), p.message())
		}
		if diff := cmp.Diff(before, p.object.Status); diff != "" {
			writes++
		}
		_, age, _ := strings.Cut(p.message(), "more than ")
		told[strings.TrimSuffix(age, " ago, and has not ended it yet: it may be stuck there")] = true
	}
	want := map[string]bool{"": true, "a minute": true, "10 minutes": true, "an hour": true, "a day": true}
	if diff := cmp.Diff(want, told); diff != "" || writes != 4 {
		t.Errorf("%d writes of the status; told ages (-want +got):\n%s", writes, diff)
	}
}

func TestACancelThatCouldNotBeStoredIsNotSentAgain(t *testing.T) {
	for name, test := range map[string]struct {
		b      *object
		did    string
		action batch.Action
	}{
		"spec.cancel":           {followed(wantsCancel, edited), "Retrieve", batch.Rest},
		"spec.cancel, unset":    {followed(edited), "Retrieve", batch.Rest},
		"deadline":              {followed(deadline(time.Hour)), "Retrieve", batch.Rest},
		"deletion":              {followed(deletedAt(epoch)), "", batch.Release},
		"deletion, DetachFiles": {followed(policy("DetachFiles"), deletedAt(epoch)), "", batch.Rest},
	} {
		t.Run(name, func(t *testing.T) {
			taken := batch.Memory{CancelledID: "batch_1", CancelledAt: epoch}
			p := run(test.b, taken, epoch.Add(10*time.Second))
			if p.did() != test.did || p.final.Action != test.action {
				t.Errorf("did %q, then %s", p.did(), p.final.Action)
			}
			if latch := p.object.Status.CancelRequestedAt; test.action == batch.Rest && !latch.Time.Equal(epoch) {
				t.Errorf("the status tells of a cancel at %s, want %s", latch, epoch)
			}
			if lost := run(test.b, batch.Memory{CancelledID: "batch_9", CancelledAt: epoch}, epoch.Add(10*time.Second)); name != "spec.cancel, unset" && lost.did() != "Cancel" {
				t.Errorf("did %q with the cancel of another batch in mind", lost.did())
			}
		})
	}
}

func TestAnObjectThatWasReleasedIsLeftAlone(t *testing.T) {
	for name, b := range map[string]*object{
		"Cancel": followed(deletedAt(epoch)), "DetachFiles": followed(detaching, latched, deletedAt(epoch)), "never created": fresh(held, deletedAt(epoch)),
	} {
		p := run(b, batch.Memory{Released: true}, epoch)
		if p.did() != "" || p.final.Action != batch.Rest || p.final.After != 0 || len(p.told) != 0 || !p.final.Memory.Released {
			t.Errorf("%s: did %q, then %s after %s", name, p.did(), p.final.Action, p.final.After)
		}
		if diff := cmp.Diff(b.Status, p.final.Status); diff != "" {
			t.Errorf("%s: the status is written (-before +after):\n%s", name, diff)
		}
	}
}

func TestACancelUnsetBeforeTheUpstreamTookItIsForgotten(t *testing.T) {
	p := run(followed(wantsCancel, edited), batch.Memory{}, epoch, fails(upstream.Transient))
	p.object.Spec.Cancel = nil
	edited(p.object)
	if p = run(p.object, p.memory, epoch); p.did() != "Retrieve" || p.reason() != v1alpha1.ReasonInProgress {
		t.Errorf("did %q: %s", p.did(), p.reason())
	}
}

func TestDeletion(t *testing.T) {
	now := deletedAt(epoch)
	for name, test := range map[string]struct {
		b       *object
		results []result
		did     string
	}{
		"runs":                          {followed(now), nil, "Cancel"},
		"completed meanwhile":           {followed(now), []result{{batch: answer(upstream.Completed)}}, "Cancel"},
		"cancel refused, as it is over": {followed(now), []result{fails(upstream.Rejected), {batch: answer(upstream.Completed)}}, "Cancel Retrieve"},
		"batch gone":                    {followed(now), []result{fails(upstream.NotFound), fails(upstream.NotFound)}, "Cancel Retrieve"},
		"adopted batch never was there": {fresh(held, adopted, policy("Cancel"), now), []result{fails(upstream.NotFound), fails(upstream.NotFound)}, "Cancel Retrieve"},
		"over":                          {run(created(), batch.Memory{}, epoch, result{batch: answer(upstream.Completed)}).object, nil, ""},
		"cancel taken already":          {followed(latched, now), nil, ""},
		"orphaned":                      {followed(policy("Orphan"), now), nil, ""},
		"orphaned, intent":              {fresh(held, intendedAt(epoch), policy("Orphan"), now), nil, ""},
		"adopted":                       {fresh(held, adopted, now), nil, ""},
		"adopted, to be cancelled":      {fresh(held, adopted, policy("Cancel"), now), nil, "Cancel"},
		"nothing created":               {fresh(held, now), nil, ""},
		"ID known to the status only":   {followed(now, func(b *object) { b.Annotations = nil }), nil, "Cancel"},
	} {
		t.Run(name, func(t *testing.T) {
			now(test.b)
			p := run(test.b, batch.Memory{}, epoch, test.results...)
			if p.did() != test.did || p.final.Action != batch.Release {
				t.Errorf("did %q, then %s: %s", p.did(), p.final.Action, p.message())
			}
			for _, event := range p.told {
				if event.Warning {
					t.Errorf("warned: %+v", event)
				}
			}
		})
	}
}

func TestDeletionOfAYoungBatchDoesNotBelieveA404(t *testing.T) {
	for name, b := range map[string]*object{
		"of a young object":                 created(deletedAt(epoch), func(b *object) { b.CreationTimestamp.Time = epoch.Add(-time.Second) }),
		"of an old object":                  followed(deletedAt(epoch), func(b *object) { b.Status.CreatedAt = &metav1.Time{Time: epoch.Add(-time.Second)} }),
		"of which the status tells nothing": created(deletedAt(epoch)),
	} {
		p := run(b, batch.Memory{}, epoch, fails(upstream.NotFound), fails(upstream.NotFound))
		if p.final.Action != batch.Rest || p.reason() != v1alpha1.ReasonDeleting || p.final.After <= 0 {
			t.Errorf("%s: %s: %s", name, p.final.Action, p.message())
		}
		p = run(p.object, p.memory, epoch.Add(time.Minute), fails(upstream.NotFound), fails(upstream.NotFound))
		if p.final.Action != batch.Release {
			t.Errorf("%s: %s a minute later", name, p.final.Action)
		}
	}
}

func TestDeletionGivesUpAloud(t *testing.T) {
	for name, results := range map[string][]result{
		"upstream down":  {fails(upstream.Transient)},
		"key refused":    {fails(upstream.Unauthorized)},
		"Secret gone":    {fails(upstream.NoCredentials)},
		"cancel refused": {fails(upstream.Rejected), {batch: answer(upstream.InProgress)}},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(followed(deletedAt(epoch)), batch.Memory{}, epoch, results...)
			for tries := 1; p.final.Action == batch.Rest; tries++ {
				if p.reason() != v1alpha1.ReasonDeleting || !strings.HasPrefix(p.did(), "Cancel") || tries > 20 {
					t.Fatalf("try %d: did %q: %s: %s", tries, p.did(), p.reason(), p.message())
				}
				p = p.again(results...)
			}
			warning := p.warned(v1alpha1.ReasonDeleting)
			for _, part := range []string{"batch_1", "vs_1", "may still be running"} {
				if !strings.Contains(warning, part) {
					t.Errorf("the warning %q does not say %q", warning, part)
				}
			}
			if p.memory != (batch.Memory{}) {
				t.Errorf("remembers %+v", p.memory)
			}
		})
	}
}

func TestDeletionGivesUpInTime(t *testing.T) {
	p := run(followed(deletedAt(epoch)), batch.Memory{}, epoch, fails(upstream.Transient))
	last := epoch
	for tries := 1; p.final.Action == batch.Rest; tries++ {
		if tries > 20 {
			t.Fatalf("still trying after %s", last.Sub(epoch))
		}
		last = p.memory.NextCall
		p = p.again(fails(upstream.Transient))
	}
	if got := last.Sub(epoch); got != rules.FinalizeTimeout {
		t.Errorf("gave up after %s, want %s", got, rules.FinalizeTimeout)
	}
}

func TestDeletionWaitsForACreateThatMayBeUnderWay(t *testing.T) {
	b := fresh(held, intendedAt(epoch.Add(-time.Second)), deletedAt(epoch))
	p := run(b, batch.Memory{}, epoch)
	if p.final.Action != batch.Rest || p.final.After != rules.RequestTimeout+batch.ClockSkew-time.Second {
		t.Fatalf("%s for %s", p.final.Action, p.final.After)
	}
	if p = p.again(); p.final.Action != batch.Release || !strings.Contains(p.warned(v1alpha1.ReasonCreateOutcomeUnknown), "vs_1") {
		t.Errorf("%s; told %+v", p.final.Action, p.told)
	}
	answered := batch.Memory{CreateAnswered: true, NextCall: epoch.Add(time.Hour), Failed: batch.Create, Failures: 1}
	if p = run(b, answered, epoch); p.final.Action != batch.Release {
		t.Errorf("%s for %s, though nothing is under way", p.final.Action, p.final.After)
	}
}

func TestDeletionKeepsAnIDThatCouldNotBeStored(t *testing.T) {
	p := run(fresh(held, intendedAt(epoch), deletedAt(epoch)), batch.Memory{CreatedID: "batch_1"}, epoch)
	if p.did() != "KeepID Cancel" || p.final.Action != batch.Release {
		t.Errorf("did %q, then %s", p.did(), p.final.Action)
	}
}

func TestAnObjectThatOthersHoldIsLeftAlone(t *testing.T) {
	p := run(followed(deletedAt(epoch), func(b *object) { b.Finalizers = []string{"example.com/other"} }), batch.Memory{}, epoch)
	if p.did() != "" || p.final.Action != batch.Rest || p.final.After != 0 || len(p.told) != 0 {
		t.Errorf("did %q, then %s after %s", p.did(), p.final.Action, p.final.After)
	}
}
