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

// settled is a time after any request that was sent at the epoch has ended.
var settled = epoch.Add(rules.RequestTimeout + batch.ClockSkew)

func TestTheFirstPassCreatesTheBatch(t *testing.T) {
	p := run(fresh(), batch.Memory{}, epoch)
	if p.did() != "Create" || p.reason() != v1alpha1.ReasonInProgress || p.object.Status.BatchID != "batch_1" {
		t.Fatalf("did %q: %s, batch %q", p.did(), p.reason(), p.object.Status.BatchID)
	}
	if p = p.again(); p.did() != "Retrieve" {
		t.Errorf("did %q thereafter", p.did())
	}
}

func TestAdoptingCreatesNothing(t *testing.T) {
	p := run(fresh(adopted), batch.Memory{}, epoch)
	if p.did() != "Retrieve" || p.object.Status.BatchID != "batch_1" || batch.Held(p.object) {
		t.Errorf("did %q, batch %q, held %t", p.did(), p.object.Status.BatchID, batch.Held(p.object))
	}
	if p = run(fresh(adopted, policy("Cancel")), batch.Memory{}, epoch); p.did() != "Hold Retrieve" || !batch.Held(p.object) {
		t.Errorf("did %q with deletionPolicy Cancel", p.did())
	}
}

func TestAnInvalidSpecIsRejectedUntilItIsEdited(t *testing.T) {
	p := run(fresh(func(b *object) { b.Spec.Attributes = v1alpha1.Attributes{"k": {Raw: []byte("[]")}} }), batch.Memory{}, epoch)
	if p.did() != "" || p.reason() != v1alpha1.ReasonRejected || !strings.Contains(p.message(), "spec.attributes[k]") || p.final.After != 0 {
		t.Fatalf("did %q: %s: %s, looks again after %s", p.did(), p.reason(), p.message(), p.final.After)
	}
	p.object.Spec.Attributes = nil
	edited(p.object)
	if p = run(p.object, p.memory, epoch); p.did() != "Create" {
		t.Errorf("did %q once it was edited", p.did())
	}
}

func TestARefusedCreateIsTriedAgain(t *testing.T) {
	p := run(fresh(), batch.Memory{}, epoch, fails(upstream.Rejected))
	if early := run(p.object, p.memory, epoch.Add(time.Second)); early.did() != "" || early.reason() != v1alpha1.ReasonRejected {
		t.Errorf("did %q before its time: %s", early.did(), early.reason())
	}
	if p = p.again(); p.did() != "Create" || p.reason() != v1alpha1.ReasonInProgress {
		t.Errorf("did %q: %s", p.did(), p.reason())
	}
}

func TestRecoveryFromAnUnknownOutcome(t *testing.T) {
	lost := run(fresh(), batch.Memory{}, epoch, fails(upstream.UnknownOutcome))
	if lost.reason() != v1alpha1.ReasonCreateOutcomeUnknown || lost.memory.NextCall.Before(settled) {
		t.Fatalf("%s until %s", lost.reason(), lost.memory.NextCall.Sub(epoch))
	}
	for name, test := range map[string]struct {
		p       pass
		did     string
		reason  string
		warning string
	}{
		"too early":         {run(lost.object, lost.memory, settled.Add(-time.Second)), "", "CreateOutcomeUnknown", ""},
		"after a restart":   {run(lost.object, batch.Memory{}, settled.Add(-time.Second)), "", "CreateOutcomeUnknown", ""},
		"nothing attached":  {run(lost.object, lost.memory, settled), "Probe Create", "InProgress", "did not take effect"},
		"restart, settled":  {run(lost.object, batch.Memory{}, settled), "Probe Create", "InProgress", "did not take effect"},
		"attached":          {run(lost.object, lost.memory, settled, result{attached: true}), "Probe Create", "InProgress", "ID is lost"},
		"no store":          {run(lost.object, lost.memory, settled, fails(upstream.NotFound), fails(upstream.NotFound)), "Probe Create", "Rejected", "did not take effect"},
		"probe failed":      {run(lost.object, lost.memory, settled, fails(upstream.Transient)), "Probe", "UpstreamUnavailable", ""},
		"lost again":        {run(lost.object, lost.memory, settled, result{}, fails(upstream.UnknownOutcome)), "Probe Create", "CreateOutcomeUnknown", "did not take effect"},
		"unreadable intent": {run(fresh(held, annotated(v1alpha1.AnnotationCreateStartedAt, "?")), batch.Memory{}, epoch), "Probe Create", "InProgress", "did not take effect"},
		"future intent":     {run(fresh(held, intendedAt(epoch.Add(time.Hour))), batch.Memory{}, epoch), "Probe Create", "InProgress", "did not take effect"},
		"cancelled, nothing attached": {
			run(withChange(lost.object, wantsCancel, edited), lost.memory, settled), "Probe ForgetIntent", "Cancelled", "",
		},
		"cancelled too early": {
			run(withChange(lost.object, wantsCancel, edited), lost.memory, epoch), "", "CreateOutcomeUnknown", "",
		},
		"cancelled, attached": {
			run(withChange(lost.object, wantsCancel, edited), lost.memory, settled, result{attached: true}), "Probe Create", "Cancelling", "ID is lost",
		},
		"ID known after all": {
			run(lost.object, batch.Memory{CreatedID: "batch_1"}, epoch), "KeepID Retrieve", "InProgress", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.p.did() != test.did || test.p.reason() != test.reason {
				t.Errorf("did %q: %s: %s", test.p.did(), test.p.reason(), test.p.message())
			}
			warning := ""
			for _, event := range test.p.told {
				if event.Warning && (strings.Contains(event.Message, "take effect") || strings.Contains(event.Message, "ID is lost")) {
					warning = event.Message
				}
			}
			if !strings.Contains(warning, test.warning) || test.warning == "" && warning != "" {
				t.Errorf("warned %q, want %q in it", warning, test.warning)
			}
		})
	}
}

func withChange(b *object, changes ...change) *object {
	b = b.DeepCopy()
	for _, apply := range changes {
		apply(b)
	}
	return b
}

func TestAnAnsweredCreateOfUnknownOutcomeNeedNotSettle(t *testing.T) {
	answered := result{err: &upstream.Error{Kind: upstream.UnknownOutcome, StatusCode: 502, Message: "bad gateway"}}
	p := run(fresh(), batch.Memory{}, epoch, answered)
	if p.final.After != rules.PollMin || !strings.Contains(p.message(), "bad gateway") {
		t.Fatalf("waits %s: %s", p.final.After, p.message())
	}
	if early := run(p.object, p.memory, epoch.Add(time.Second)); early.did() != "" || early.message() != p.message() {
		t.Errorf("did %q before its time: %s", early.did(), early.message())
	}
	if p = p.again(result{}, answered); p.did() != "Probe Create" || p.final.After != 2*rules.PollMin {
		t.Errorf("did %q, and waits %s the second time", p.did(), p.final.After)
	}
}

func TestABatchThatIsCreatedForACancelIsCancelledAtOnce(t *testing.T) {
	b := fresh(held, intendedAt(epoch.Add(-time.Hour)), wantsCancel)
	p := run(b, batch.Memory{}, epoch, result{attached: true}, result{batch: answer(upstream.InProgress, failures(1), pollAfter(time.Hour))})
	if p.did() != "Probe Create" || p.final.After > time.Second {
		t.Fatalf("did %q, and waits %s", p.did(), p.final.After)
	}
	if p = p.again(); p.did() != "Cancel" {
		t.Errorf("did %q", p.did())
	}
}

func TestEitherPlaceRestoresTheID(t *testing.T) {
	for name, test := range map[string]struct {
		b   *object
		did string
	}{
		"annotation only":        {created(), "Retrieve"},
		"status only":            {fresh(held, statusID("batch_1")), "KeepID Retrieve"},
		"conflict":               {fresh(held, statusID("batch_1"), annotated(v1alpha1.AnnotationBatchID, "batch_2")), "KeepID Retrieve"},
		"tampered annotation":    {fresh(held, statusID("batch_1"), annotated(v1alpha1.AnnotationBatchID, "../../files")), "KeepID Retrieve"},
		"restored from a backup": {fresh(annotated(v1alpha1.AnnotationBatchID, "batch_1")), "Hold Retrieve"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, batch.Memory{}, epoch)
			if p.did() != test.did || p.object.Status.BatchID != "batch_1" || p.object.Annotations[v1alpha1.AnnotationBatchID] != "batch_1" {
				t.Errorf("did %q; status %q, annotations %v", p.did(), p.object.Status.BatchID, p.object.Annotations)
			}
		})
	}
}
