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

// settled is a time after any request that was sent at the epoch has ended.
var settled = epoch.Add(config.RequestTimeout + batch.ClockSkew)

func TestCreate_FirstReconcile(t *testing.T) {
	p := run(newObject(), lifecycle.State{}, epoch)
	if p.performed() != "Create" || p.reason() != v1alpha1.ReasonInProgress || p.object.Status.BatchID != "batch_1" {
		t.Fatalf("did %q: %s, batch %q", p.performed(), p.reason(), p.object.Status.BatchID)
	}
	if p = p.again(); p.performed() != "Poll" {
		t.Errorf("did %q thereafter", p.performed())
	}
}

func TestCreate_AdoptedBatch(t *testing.T) {
	p := run(newObject(adopted), lifecycle.State{}, epoch)
	if p.performed() != "Poll" || p.object.Status.BatchID != "batch_1" || batch.HasFinalizer(p.object) {
		t.Errorf("did %q, batch %q, held %t", p.performed(), p.object.Status.BatchID, batch.HasFinalizer(p.object))
	}
	if p = run(newObject(adopted, policy("Cancel")), lifecycle.State{}, epoch); p.performed() != "AddFinalizer Poll" || !batch.HasFinalizer(p.object) {
		t.Errorf("did %q with deletionPolicy Cancel", p.performed())
	}
}

func TestCreate_InvalidSpec(t *testing.T) {
	p := run(newObject(func(b *object) { b.Spec.Attributes = v1alpha1.Attributes{"k": {Raw: []byte("[]")}} }), lifecycle.State{}, epoch)
	if p.performed() != "" || p.reason() != v1alpha1.ReasonRejected || !strings.Contains(p.message(), "spec.attributes[k]") || p.final.RequeueAfter != 0 {
		t.Fatalf("did %q: %s: %s, looks again after %s", p.performed(), p.reason(), p.message(), p.final.RequeueAfter)
	}
	p.object.Spec.Attributes = nil
	edited(p.object)
	if p = run(p.object, p.state, epoch); p.performed() != "Create" {
		t.Errorf("did %q once it was edited", p.performed())
	}
}

func TestCreate_Rejected(t *testing.T) {
	p := run(newObject(), lifecycle.State{}, epoch, fails(upstream.Rejected))
	if early := run(p.object, p.state, epoch.Add(time.Second)); early.performed() != "" || early.reason() != v1alpha1.ReasonRejected {
		t.Errorf("did %q before its time: %s", early.performed(), early.reason())
	}
	if p = p.again(); p.performed() != "Create" || p.reason() != v1alpha1.ReasonInProgress {
		t.Errorf("did %q: %s", p.performed(), p.reason())
	}
}

func TestCreate_UnknownOutcome(t *testing.T) {
	lost := run(newObject(), lifecycle.State{}, epoch, fails(upstream.UnknownOutcome))
	if lost.reason() != v1alpha1.ReasonCreateOutcomeUnknown || lost.state.NextCall.Before(settled) {
		t.Fatalf("%s until %s", lost.reason(), lost.state.NextCall.Sub(epoch))
	}
	for name, test := range map[string]struct {
		p         reconciliation
		performed string
		reason    string
		warning   string
	}{
		"too early":         {run(lost.object, lost.state, settled.Add(-time.Second)), "", "CreateOutcomeUnknown", ""},
		"after a restart":   {run(lost.object, lifecycle.State{}, settled.Add(-time.Second)), "", "CreateOutcomeUnknown", ""},
		"nothing attached":  {run(lost.object, lost.state, settled), "VerifyCreate Create", "InProgress", "had no effect"},
		"restart, settled":  {run(lost.object, lifecycle.State{}, settled), "VerifyCreate Create", "InProgress", "had no effect"},
		"attached":          {run(lost.object, lost.state, settled, result{attached: true}), "VerifyCreate Create", "InProgress", "ID is lost"},
		"no store":          {run(lost.object, lost.state, settled, fails(upstream.NotFound), fails(upstream.NotFound)), "VerifyCreate Create", "Rejected", "had no effect"},
		"probe failed":      {run(lost.object, lost.state, settled, fails(upstream.Transient)), "VerifyCreate", "UpstreamUnavailable", ""},
		"lost again":        {run(lost.object, lost.state, settled, result{}, fails(upstream.UnknownOutcome)), "VerifyCreate Create", "CreateOutcomeUnknown", "had no effect"},
		"unreadable intent": {run(newObject(hasFinalizer, annotated(v1alpha1.AnnotationCreateStartedAt, "?")), lifecycle.State{}, epoch), "VerifyCreate Create", "InProgress", "had no effect"},
		"future intent":     {run(newObject(hasFinalizer, pendingSince(epoch.Add(time.Hour))), lifecycle.State{}, epoch), "VerifyCreate Create", "InProgress", "had no effect"},
		"cancelled, nothing attached": {
			run(withChange(lost.object, wantsCancel, edited), lost.state, settled), "VerifyCreate ClearCreatePending", "Cancelled", "",
		},
		"cancelled too early": {
			run(withChange(lost.object, wantsCancel, edited), lost.state, epoch), "", "CreateOutcomeUnknown", "",
		},
		"cancelled, attached": {
			run(withChange(lost.object, wantsCancel, edited), lost.state, settled, result{attached: true}), "VerifyCreate Create", "Cancelling", "ID is lost",
		},
		"ID known after all": {
			run(lost.object, lifecycle.State{Unsaved: lifecycle.Unsaved{CreatedID: "batch_1"}}, epoch), "RecordBatchID Poll", "InProgress", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.p.performed() != test.performed || test.p.reason() != test.reason {
				t.Errorf("did %q: %s: %s", test.p.performed(), test.p.reason(), test.p.message())
			}
			warning := ""
			for _, event := range test.p.events {
				if event.Warning && (strings.Contains(event.Message, "had no effect") || strings.Contains(event.Message, "ID is lost")) {
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

func TestCreate_UnknownOutcomeAnswered(t *testing.T) {
	answered := result{err: &upstream.Error{Kind: upstream.UnknownOutcome, StatusCode: 502, Message: "bad gateway"}}
	p := run(newObject(), lifecycle.State{}, epoch, answered)
	if p.final.RequeueAfter != config.PollMin || !strings.Contains(p.message(), "bad gateway") {
		t.Fatalf("waits %s: %s", p.final.RequeueAfter, p.message())
	}
	if early := run(p.object, p.state, epoch.Add(time.Second)); early.performed() != "" || early.message() != p.message() {
		t.Errorf("did %q before its time: %s", early.performed(), early.message())
	}
	if p = p.again(result{}, answered); p.performed() != "VerifyCreate Create" || p.final.RequeueAfter != 2*config.PollMin {
		t.Errorf("did %q, and waits %s the second time", p.performed(), p.final.RequeueAfter)
	}
}

func TestCreate_ThenCancelAtOnce(t *testing.T) {
	b := newObject(hasFinalizer, pendingSince(epoch.Add(-time.Hour)), wantsCancel)
	p := run(b, lifecycle.State{}, epoch, result{attached: true}, result{batch: answer(upstream.InProgress, failures(1), pollAfter(time.Hour))})
	if p.performed() != "VerifyCreate Create" || p.final.RequeueAfter > time.Second {
		t.Fatalf("did %q, and waits %s", p.performed(), p.final.RequeueAfter)
	}
	if p = p.again(); p.performed() != "Cancel" {
		t.Errorf("did %q", p.performed())
	}
}

func TestBatchID_RestoredFromStatusOrAnnotation(t *testing.T) {
	for name, test := range map[string]struct {
		b         *object
		performed string
	}{
		"annotation only":        {created(), "Poll"},
		"status only":            {newObject(hasFinalizer, statusID("batch_1")), "RecordBatchID Poll"},
		"conflict":               {newObject(hasFinalizer, statusID("batch_1"), annotated(v1alpha1.AnnotationBatchID, "batch_2")), "RecordBatchID Poll"},
		"tampered annotation":    {newObject(hasFinalizer, statusID("batch_1"), annotated(v1alpha1.AnnotationBatchID, "../../files")), "RecordBatchID Poll"},
		"restored from a backup": {newObject(annotated(v1alpha1.AnnotationBatchID, "batch_1")), "AddFinalizer Poll"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, lifecycle.State{}, epoch)
			if p.performed() != test.performed || p.object.Status.BatchID != "batch_1" || p.object.Annotations[v1alpha1.AnnotationBatchID] != "batch_1" {
				t.Errorf("did %q; status %q, annotations %v", p.performed(), p.object.Status.BatchID, p.object.Annotations)
			}
		})
	}
}
