// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func TestSuspension(t *testing.T) {
	over := run(created(), batch.Memory{}, epoch, result{batch: answer(upstream.Completed)}).object
	failing := batch.Memory{NextCall: epoch.Add(time.Hour), Failed: batch.Retrieve, Failures: 9}
	for name, test := range map[string]struct {
		b      *object
		memory batch.Memory
		did    string
		reason string
	}{
		"before the create":            {fresh(suspends), batch.Memory{}, "", "Suspended"},
		"of an adopted batch":          {fresh(adopted, suspends), batch.Memory{}, "", "Suspended"},
		"with an invalid spec":         {fresh(suspends, func(b *object) { b.Spec.FileIDs = nil }), batch.Memory{}, "", "Suspended"},
		"with a lost create":           {fresh(held, suspends, intendedAt(epoch.Add(-time.Hour))), batch.Memory{}, "", "Suspended"},
		"with an ID to be stored":      {fresh(held, suspends, intendedAt(epoch)), batch.Memory{CreatedID: "batch_1"}, "KeepID", "Suspended"},
		"in progress":                  {followed(suspends, edited), batch.Memory{}, "", "Suspended"},
		"in progress, not held":        {followed(suspends, edited, func(b *object) { b.Finalizers = nil }), batch.Memory{}, "Hold", "Suspended"},
		"while the upstream fails":     {followed(suspends, edited), failing, "", "Suspended"},
		"past the deadline":            {followed(suspends, deadline(time.Minute), edited), batch.Memory{}, "", "Suspended"},
		"with a cancel":                {followed(suspends, wantsCancel, edited), batch.Memory{}, "Cancel", "Cancelling"},
		"with a cancel that was taken": {followed(suspends, wantsCancel, latched, edited), batch.Memory{}, "Retrieve", "Cancelling"},
		"with a cancel, unset since":   {followed(suspends, latched, edited), batch.Memory{}, "Retrieve", "Cancelling"},
		"with a cancel, before create": {fresh(suspends, wantsCancel), batch.Memory{}, "", "Cancelled"},
		"with a cancel, create lost":   {fresh(held, suspends, wantsCancel, intendedAt(epoch.Add(-time.Hour))), batch.Memory{}, "Probe ForgetIntent", "Cancelled"},
		"after the end":                {withChange(over, suspends, edited), batch.Memory{}, "", "Completed"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, test.memory, epoch)
			if p.did() != test.did || p.reason() != test.reason {
				t.Errorf("did %q: %s: %s", p.did(), p.reason(), p.message())
			}
			if test.reason == v1alpha1.ReasonSuspended && !p.next.IsZero() {
				t.Errorf("looks again after %s, though only an edit can change anything", p.final.After)
			}
		})
	}
}

func TestASuspendedObjectIsDeletedAllTheSame(t *testing.T) {
	p := run(followed(suspends, deletedAt(epoch)), batch.Memory{}, epoch)
	if p.did() != "Cancel" || p.final.Action != batch.Release {
		t.Errorf("did %q, then %s", p.did(), p.final.Action)
	}
	p = run(run(created(), batch.Memory{}, epoch, result{batch: answer(upstream.Completed)}).object, batch.Memory{}, epoch)
	if p = run(withChange(p.object, suspends, ttl(0), edited), batch.Memory{}, epoch); p.final.Action != batch.Delete {
		t.Errorf("%s of a suspended object whose time to live is over", p.final.Action)
	}
}

func TestASuspensionIsToldOnceAndKeepsWhatIsKnown(t *testing.T) {
	p := run(followed(suspends, edited), batch.Memory{}, epoch)
	if len(p.told) != 1 || p.told[0].Reason != v1alpha1.ReasonSuspended || p.told[0].Warning {
		t.Errorf("told %+v", p.told)
	}
	if p.object.Status.Status != "in_progress" || p.object.Status.BatchID != "batch_1" || p.object.Status.FileCounts.Total != 2 {
		t.Errorf("the status is %+v", p.object.Status)
	}
	if again := run(p.object, p.memory, epoch.Add(time.Hour)); len(again.told) != 0 || again.did() != "" {
		t.Errorf("did %q, told %+v an hour later", again.did(), again.told)
	}
}

func TestResumingLooksAtOnce(t *testing.T) {
	resumed := func(b *object) { b.Spec.Suspend = nil }
	for name, test := range map[string]struct {
		b      *object
		did    string
		reason string
	}{
		"before the create": {fresh(suspends), "Create", "InProgress"},
		"lost create":       {fresh(held, suspends, intendedAt(epoch.Add(-time.Hour))), "Probe Create", "InProgress"},
		"in progress":       {followed(suspends, edited), "Retrieve", "InProgress"},
		"past the deadline": {followed(suspends, deadline(time.Minute), edited), "Cancel", "Cancelling"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, batch.Memory{NextCall: epoch.Add(time.Hour), Interval: time.Minute}, epoch)
			if p = run(withChange(p.object, resumed, edited), p.memory, epoch.Add(time.Second)); p.did() != test.did || p.reason() != test.reason {
				t.Errorf("did %q: %s", p.did(), p.reason())
			}
		})
	}
}

// TestSuspensionWaitsForTheFailuresOfACancel: it is the one call that is made then, and it backs
// off as ever.
func TestSuspensionWaitsForTheFailuresOfACancel(t *testing.T) {
	p := run(followed(suspends, wantsCancel, edited), batch.Memory{}, epoch, fails(upstream.Transient))
	if early := run(p.object, p.memory, epoch); early.did() != "" || early.reason() != v1alpha1.ReasonUpstreamUnavailable || early.next.IsZero() {
		t.Errorf("did %q at once: %s", early.did(), early.reason())
	}
	if p = p.again(); p.did() != "Cancel" || p.reason() != v1alpha1.ReasonCancelling {
		t.Fatalf("did %q: %s", p.did(), p.reason())
	}
	if p = p.again(result{batch: answer(upstream.Cancelled)}); p.did() != "Retrieve" || p.reason() != v1alpha1.ReasonCancelled {
		t.Errorf("did %q: %s", p.did(), p.reason())
	}
}
