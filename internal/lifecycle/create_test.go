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

// settled is a time at which any request that was sent at the epoch has timed out.
var settled = epoch.Add(config.RequestTimeout + batch.ClockSkew)

func TestCreate_FirstReconcile(t *testing.T) {
	r := run(newObject(), lifecycle.State{}, epoch)
	if r.actionNames() != "Create" || r.reason() != v1alpha1.ReasonInProgress || r.object.Status.BatchID != "batch_1" {
		t.Fatalf("performed %q: %s, batch %q", r.actionNames(), r.reason(), r.object.Status.BatchID)
	}
	if r = r.again(); r.actionNames() != "Poll" {
		t.Errorf("performed %q next", r.actionNames())
	}
}

func TestCreate_AdoptedBatch(t *testing.T) {
	r := run(newObject(adopted), lifecycle.State{}, epoch)
	if r.actionNames() != "Poll" || r.object.Status.BatchID != "batch_1" || batch.HasFinalizer(r.object) {
		t.Errorf("performed %q, batch %q, has the finalizer: %t", r.actionNames(), r.object.Status.BatchID, batch.HasFinalizer(r.object))
	}
	if r = run(newObject(adopted, deletionPolicy("Cancel")), lifecycle.State{}, epoch); r.actionNames() != "AddFinalizer Poll" || !batch.HasFinalizer(r.object) {
		t.Errorf("performed %q with deletionPolicy Cancel", r.actionNames())
	}
}

func TestCreate_InvalidSpec(t *testing.T) {
	r := run(newObject(func(b *object) { b.Spec.Attributes = v1alpha1.Attributes{"k": {Raw: []byte("[]")}} }), lifecycle.State{}, epoch)
	if r.actionNames() != "" || r.reason() != v1alpha1.ReasonInvalidSpec || !strings.Contains(r.message(), "spec.attributes[k]") || r.final.RequeueAfter != 0 {
		t.Fatalf("performed %q: %s: %s, requeued after %s", r.actionNames(), r.reason(), r.message(), r.final.RequeueAfter)
	}
	r.object.Spec.Attributes = nil
	edited(r.object)
	if r = run(r.object, r.state, epoch); r.actionNames() != "Create" {
		t.Errorf("performed %q after the edit", r.actionNames())
	}
}

func TestCreate_Rejected(t *testing.T) {
	r := run(newObject(), lifecycle.State{}, epoch, fails(upstream.Rejected))
	if early := run(r.object, r.state, epoch.Add(time.Second)); early.actionNames() != "" || early.reason() != v1alpha1.ReasonRejected {
		t.Errorf("performed %q before the retry is due: %s", early.actionNames(), early.reason())
	}
	if r = r.again(); r.actionNames() != "Create" || r.reason() != v1alpha1.ReasonInProgress {
		t.Errorf("performed %q: %s", r.actionNames(), r.reason())
	}
}

func TestCreate_UnknownOutcome(t *testing.T) {
	lost := run(newObject(), lifecycle.State{}, epoch, fails(upstream.UnknownOutcome))
	if lost.reason() != v1alpha1.ReasonCreateOutcomeUnknown || lost.state.NextCall.Before(settled) {
		t.Fatalf("%s until %s", lost.reason(), lost.state.NextCall.Sub(epoch))
	}
	for name, test := range map[string]struct {
		r           reconciliation
		wantActions string
		reason      string
		warning     string
	}{
		"too early":        {run(lost.object, lost.state, settled.Add(-time.Second)), "", "CreateOutcomeUnknown", ""},
		"after a restart":  {run(lost.object, lifecycle.State{}, settled.Add(-time.Second)), "", "CreateOutcomeUnknown", ""},
		"nothing attached": {run(lost.object, lost.state, settled), "VerifyCreate Create", "InProgress", "had no effect"},
		"restart, settled": {run(lost.object, lifecycle.State{}, settled), "VerifyCreate Create", "InProgress", "had no effect"},
		"attached":         {run(lost.object, lost.state, settled, result{attached: true}), "VerifyCreate Create", "InProgress", "ID is lost"},
		"no store":         {run(lost.object, lost.state, settled, fails(upstream.NotFound), fails(upstream.NotFound)), "VerifyCreate Create", "Rejected", "had no effect"},
		"verify failed":    {run(lost.object, lost.state, settled, fails(upstream.Transient)), "VerifyCreate", "UpstreamUnavailable", ""},
		"lost again":       {run(lost.object, lost.state, settled, result{}, fails(upstream.UnknownOutcome)), "VerifyCreate Create", "CreateOutcomeUnknown", "had no effect"},
		"invalid time":     {run(newObject(withFinalizer, annotated(v1alpha1.AnnotationCreateStartedAt, "?")), lifecycle.State{}, epoch), "VerifyCreate Create", "InProgress", "had no effect"},
		"future time":      {run(newObject(withFinalizer, pendingSince(epoch.Add(time.Hour))), lifecycle.State{}, epoch), "VerifyCreate Create", "InProgress", "had no effect"},
		"cancelled, nothing attached": {
			run(withChange(lost.object, cancelWanted, edited), lost.state, settled), "VerifyCreate ClearCreatePending", "Cancelled", "",
		},
		"cancelled too early": {
			run(withChange(lost.object, cancelWanted, edited), lost.state, epoch), "", "CreateOutcomeUnknown", "",
		},
		"cancelled, attached": {
			run(withChange(lost.object, cancelWanted, edited), lost.state, settled, result{attached: true}), "VerifyCreate Create", "Cancelling", "ID is lost",
		},
		"ID not recorded yet": {
			run(lost.object, lifecycle.State{Unsaved: lifecycle.Unsaved{CreatedID: "batch_1"}}, epoch), "RecordBatchID Poll", "InProgress", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.r.actionNames() != test.wantActions || test.r.reason() != test.reason {
				t.Errorf("performed %q: %s: %s", test.r.actionNames(), test.r.reason(), test.r.message())
			}
			warning := ""
			for _, event := range test.r.events {
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

func TestCreate_UnknownOutcomeAnswered(t *testing.T) {
	answered := result{err: &upstream.Error{Kind: upstream.UnknownOutcome, StatusCode: 502, Message: "bad gateway"}}
	r := run(newObject(), lifecycle.State{}, epoch, answered)
	if r.final.RequeueAfter != config.PollMin || !strings.Contains(r.message(), "bad gateway") {
		t.Fatalf("requeued after %s: %s", r.final.RequeueAfter, r.message())
	}
	if early := run(r.object, r.state, epoch.Add(time.Second)); early.actionNames() != "" || early.message() != r.message() {
		t.Errorf("performed %q before the retry is due: %s", early.actionNames(), early.message())
	}
	if r = r.again(result{}, answered); r.actionNames() != "VerifyCreate Create" || r.final.RequeueAfter != 2*config.PollMin {
		t.Errorf("performed %q, requeued after %s the second time", r.actionNames(), r.final.RequeueAfter)
	}
}

func TestCreate_CancelFollowsImmediately(t *testing.T) {
	b := newObject(withFinalizer, pendingSince(epoch.Add(-time.Hour)), cancelWanted)
	r := run(b, lifecycle.State{}, epoch, result{attached: true}, result{batch: answer(upstream.InProgress, failures(1), pollAfter(time.Hour))})
	if r.actionNames() != "VerifyCreate Create" || r.final.RequeueAfter > time.Second {
		t.Fatalf("performed %q, requeued after %s", r.actionNames(), r.final.RequeueAfter)
	}
	if r = r.again(); r.actionNames() != "Cancel" {
		t.Errorf("performed %q", r.actionNames())
	}
}

func TestBatchID_RestoredFromStatusOrAnnotation(t *testing.T) {
	for name, test := range map[string]struct {
		b           *object
		wantActions string
	}{
		"annotation only":        {created(), "Poll"},
		"status only":            {newObject(withFinalizer, statusID("batch_1")), "RecordBatchID Poll"},
		"conflict":               {newObject(withFinalizer, statusID("batch_1"), annotated(v1alpha1.AnnotationBatchID, "batch_2")), "RecordBatchID Poll"},
		"invalid annotation":     {newObject(withFinalizer, statusID("batch_1"), annotated(v1alpha1.AnnotationBatchID, "../../files")), "RecordBatchID Poll"},
		"restored from a backup": {newObject(annotated(v1alpha1.AnnotationBatchID, "batch_1")), "AddFinalizer Poll"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(test.b, lifecycle.State{}, epoch)
			if r.actionNames() != test.wantActions || r.object.Status.BatchID != "batch_1" || r.object.Annotations[v1alpha1.AnnotationBatchID] != "batch_1" {
				t.Errorf("performed %q; status %q, annotations %v", r.actionNames(), r.object.Status.BatchID, r.object.Annotations)
			}
		})
	}
}
