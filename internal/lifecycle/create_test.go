// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// settled is a time at which any request that was sent at the epoch has timed out.
var settled = epoch.Add(config.RequestTimeout + batch.ClockSkew + config.NotFoundGrace)

func refused(kind upstream.ErrorKind, status int) result {
	return result{err: &upstream.Error{Kind: kind, StatusCode: status, Message: "refused"}}
}

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

// TestCreate_GatewayErrorIsInFlight: a gateway's error does not mean that the server behind it has ended
// the request, and its Retry-After does not delay a cancel.
func TestCreate_GatewayErrorIsInFlight(t *testing.T) {
	for _, status := range []int{408, 500, 502, 503, 504} {
		answered := result{err: &upstream.Error{Kind: upstream.UnknownOutcome, StatusCode: status, Message: "bad gateway", RetryAfter: time.Hour}}
		r := run(newObject(), lifecycle.State{}, epoch, answered)
		if r.final.RequeueAfter != 5*time.Minute || !strings.Contains(r.message(), "bad gateway") {
			t.Errorf("%d: requeued after %s: %s", status, r.final.RequeueAfter, r.message())
		}
		cancelled := run(withChange(r.object, cancelWanted, edited), r.state, epoch.Add(2*time.Second))
		if cancelled.actionNames() != "" || cancelled.reason() != v1alpha1.ReasonCreateOutcomeUnknown {
			t.Errorf("%d: performed %q 2 s after the create: %s", status, cancelled.actionNames(), cancelled.reason())
		}
		if cancelled = cancelled.again(); cancelled.actionNames() != "VerifyCreate ClearCreatePending" || cancelled.reason() != v1alpha1.ReasonCancelled || cancelled.object.Status.CompletionTime.After(settled) {
			t.Errorf("%d: performed %q: %s at %s", status, cancelled.actionNames(), cancelled.reason(), cancelled.object.Status.CompletionTime)
		}
		if first := run(newObject(cancelWanted), lifecycle.State{}, epoch); first.reason() != v1alpha1.ReasonCancelled {
			t.Errorf("nothing was created, and the object is %s", first.reason())
		}
	}
}

// TestCreate_VerifiedAfterGracePeriod: a file can be missing just after it was attached.
func TestCreate_VerifiedAfterGracePeriod(t *testing.T) {
	b := newObject(withFinalizer, pendingSince(epoch))
	for _, test := range (offsets{{-1, ""}, {0, "VerifyCreate Create"}}) {
		if r := run(b, lifecycle.State{}, settled.Add(test.offset)); r.actionNames() != test.want {
			t.Errorf("%s after the grace period: performed %q, want %q", test.offset, r.actionNames(), test.want)
		}
	}
}

// TestCreate_LastVerification: the last moment to finish an object can be the first at which its create can be
// verified.
func TestCreate_LastVerification(t *testing.T) {
	b := newObject(withFinalizer, cancelWanted, pendingSince(epoch), func(b *object) {
		b.Status.CancelStartTime = &metav1.Time{Time: settled.Add(-110 * time.Second)}
	})
	for _, test := range (offsets{{-1, ""}, {0, "VerifyCreate ClearCreatePending"}}) {
		if r := run(b, lifecycle.State{}, settled.Add(test.offset)); r.actionNames() != test.want {
			t.Errorf("%s after the grace period: performed %q: %s, want %q", test.offset, r.actionNames(), r.reason(), test.want)
		}
	}
}

// TestCreate_RefusedVerification: a server that refuses to show the files has none of them, unless the
// refusal is about the key or a limit.
func TestCreate_RefusedVerification(t *testing.T) {
	for name, test := range map[string]struct {
		result result
		create bool
	}{
		"400":               {refused(upstream.Rejected, 400), true},
		"400, not found":    {refused(upstream.NotFound, 400), true},
		"404":               {refused(upstream.NotFound, 404), true},
		"405":               {refused(upstream.Rejected, 405), true},
		"409":               {refused(upstream.Transient, 409), true},
		"422":               {refused(upstream.Rejected, 422), true},
		"401":               {refused(upstream.Unauthorized, 401), false},
		"403":               {refused(upstream.Unauthorized, 403), false},
		"408":               {refused(upstream.Transient, 408), false},
		"429":               {refused(upstream.RateLimited, 429), false},
		"503":               {refused(upstream.Transient, 503), false},
		"connection failed": {fails(upstream.Transient), false},
		"no Secret":         {fails(upstream.NoCredentials), false},
	} {
		r := run(newObject(withFinalizer, pendingSince(epoch)), lifecycle.State{}, settled, test.result)
		if created := r.actionNames() == "VerifyCreate Create"; created != test.create {
			t.Errorf("%s: performed %q: %s", name, r.actionNames(), r.reason())
		}
	}
}

// TestCreate_StopsAfterLostCreates: creates whose responses are lost, though they take effect, end. A
// restart between any two of them does not begin again.
func TestCreate_StopsAfterLostCreates(t *testing.T) {
	lost, attached := fails(upstream.UnknownOutcome), result{attached: true}
	for name, restart := range map[string]bool{"same process": false, "restarts": true} {
		r := run(newObject(), lifecycle.State{}, epoch, lost)
		creates := 1
		for range 10 {
			if restart {
				r.state = lifecycle.State{}
			}
			r = r.again(attached, lost)
			creates += strings.Count(r.actionNames(), " Create")
		}
		if creates != 3 || r.reason() != v1alpha1.ReasonCreateOutcomeUnknown || kstatusOf(t, r.object) != status.FailedStatus {
			t.Errorf("%s: %d creates: %s: %s", name, creates, r.reason(), r.message())
		}
		if !strings.Contains(r.message(), "3 create requests") || !strings.Contains(r.message(), "delete the object and create it again") {
			t.Errorf("%s: %s", name, r.message())
		}
		cancelled := run(withChange(r.object, cancelWanted, edited), r.state, r.next, attached)
		if cancelled.reason() != v1alpha1.ReasonCancelFailed || !strings.Contains(cancelled.message(), "created (3) are lost") {
			t.Errorf("%s: performed %q after a cancel: %s: %s", name, cancelled.actionNames(), cancelled.reason(), cancelled.message())
		}
	}
}

// TestCreate_LostCreatesInARow: a create that had no effect ends the row.
func TestCreate_LostCreatesInARow(t *testing.T) {
	lost := fails(upstream.UnknownOutcome)
	r := run(newObject(), lifecycle.State{}, epoch, lost)
	for i := range 12 {
		r = r.again(result{attached: i%3 != 2}, lost)
		if !strings.HasSuffix(r.actionNames(), " Create") || kstatusOf(t, r.object) != status.InProgressStatus {
			t.Fatalf("create %d: performed %q: %s", i, r.actionNames(), r.message())
		}
	}
	refusedAgain := r.again(result{attached: true}, fails(upstream.Rejected))
	if _, pending := batch.CreatePending(refusedAgain.object, epoch); !pending || batch.ID(refusedAgain.object) != "" {
		t.Error("the create that took effect is forgotten after a refused one")
	}
}

// TestCreate_CancelAfterLostCreates requires that a cancel is not reported as done while batches whose IDs
// are lost may be running, though the last create had no effect.
func TestCreate_CancelAfterLostCreates(t *testing.T) {
	lost := fails(upstream.UnknownOutcome)
	r := run(newObject(), lifecycle.State{}, epoch, lost).again(result{attached: true}, lost)
	for name, state := range map[string]lifecycle.State{"same process": r.state, "after a restart": {}} {
		cancelled := run(withChange(r.object, cancelWanted, edited), state, r.next, result{})
		if cancelled.reason() != v1alpha1.ReasonCancelFailed || !strings.Contains(cancelled.message(), "created (1) are lost") {
			t.Errorf("%s: performed %q: %s: %s", name, cancelled.actionNames(), cancelled.reason(), cancelled.message())
		}
	}
}

// TestCreate_Untracked: a server that answers each create with a batch that cannot be tracked gets two.
func TestCreate_Untracked(t *testing.T) {
	untracked := result{err: &upstream.Error{Kind: upstream.UnknownOutcome, StatusCode: 200, OtherObject: true, Message: "batch vsfb_1 belongs to another vector store, vs_origin, and not to vs_1"}}
	for name, verified := range map[string]result{"attached": {attached: true}, "not attached": {}} {
		r := run(newObject(), lifecycle.State{}, epoch, untracked)
		if r.reason() != v1alpha1.ReasonCreateOutcomeUnknown {
			t.Fatalf("%s: %s: %s", name, r.reason(), r.message())
		}
		r = r.again(verified, untracked)
		if r.actionNames() != "VerifyCreate Create" || r.warning(v1alpha1.ReasonBatchRecreated) == "" {
			t.Fatalf("%s: performed %q; %+v", name, r.actionNames(), r.events)
		}
		for i := range 5 {
			if r.reason() != v1alpha1.ReasonRejected || !strings.Contains(r.message(), "vs_origin") || !strings.Contains(r.message(), "vsfb_1") || kstatusOf(t, r.object) != status.FailedStatus {
				t.Fatalf("%s: %s: %s", name, r.reason(), r.message())
			}
			if i == 2 {
				r.state = lifecycle.State{} // a restart
			}
			if r = r.again(verified, untracked); strings.Contains(r.actionNames(), "Create") {
				t.Fatalf("%s: performed %q", name, r.actionNames())
			}
		}
		cancelled := run(withChange(r.object, cancelWanted, edited), r.state, r.next)
		if cancelled.reason() != v1alpha1.ReasonCancelFailed || !strings.Contains(cancelled.message(), "created (2) are lost") {
			t.Errorf("%s: %s after a cancel: %s", name, cancelled.reason(), cancelled.message())
		}
	}
}

// TestCreate_UntrackedAgain: what follows a create that returned a batch that cannot be tracked, or no response.
func TestCreate_UntrackedAgain(t *testing.T) {
	const idsLost = "The IDs of the batches that were created (2) are lost"
	for name, test := range map[string]struct {
		other, cancel bool
		lost          int
		reason, part  string
	}{
		"untracked":                    {true, false, 0, v1alpha1.ReasonCreateOutcomeUnknown, ""},
		"untracked, cancelled":         {true, true, 0, v1alpha1.ReasonCreateOutcomeUnknown, ""},
		"untracked again":              {true, false, 1, v1alpha1.ReasonRejected, "again. No more are created"},
		"untracked again, cancelled":   {true, true, 1, v1alpha1.ReasonCancelFailed, idsLost},
		"no response again":            {false, false, 1, v1alpha1.ReasonCreateOutcomeUnknown, ""},
		"no response again, cancelled": {false, true, 1, v1alpha1.ReasonCreateOutcomeUnknown, ""},
	} {
		b := newObject(withFinalizer, pendingSince(epoch))
		if test.lost > 0 {
			lostBefore(test.lost)(b)
		}
		if test.cancel {
			cancelWanted(b)
		}
		observed := lifecycle.Observed{}
		observed.Record(lifecycle.Create, lifecycle.Result{Err: &upstream.Error{Kind: upstream.UnknownOutcome, OtherObject: test.other, Message: "lost"}})
		b.Status = config.Decide(b, observed, epoch).Status
		if message := (reconciliation{object: b}).message(); reasonOf(b.Status) != test.reason || !strings.Contains(message, test.part) {
			t.Errorf("%s: %s: %s", name, reasonOf(b.Status), message)
		}
	}
}

func TestCheckCreated(t *testing.T) {
	for id, usable := range map[string]bool{"batch_1": true, "": false, "../files": false, "a b": false, strings.Repeat("x", 513): false} {
		got, err := lifecycle.CheckCreated(&upstream.Batch{ID: id}, nil)
		if (err == nil) != usable || (got != nil) != usable || !usable && (!upstream.IsUnknownOutcome(err) || !upstream.IsOtherObject(err)) {
			t.Errorf("%q: %+v, %v", id, got, err)
		}
	}
	failure := &upstream.Error{Kind: upstream.Rejected}
	if _, err := lifecycle.CheckCreated(nil, failure); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
}

// TestCreate_IgnoresCopiedAnnotations: a copy of an object makes a batch of its own, whatever differs, and
// touches no other batch. A restored object finds its own.
func TestCreate_IgnoresCopiedAnnotations(t *testing.T) {
	original := created(pendingSince(epoch.Add(-time.Hour)))
	for name, test := range map[string]struct {
		change change
		copied bool
	}{
		"restored":          {func(*object) {}, false},
		"another name":      {func(b *object) { b.Name = "manual" }, true},
		"another namespace": {func(b *object) { b.Namespace = "other" }, true},
		"another store":     {func(b *object) { b.Spec.VectorStoreID = "vs_2" }, true},
		"other files":       {func(b *object) { b.Spec.FileIDs = []string{"file-a", "file-c"} }, true},
		"more files":        {func(b *object) { b.Spec.FileIDs = append(b.Spec.FileIDs, "file-c") }, true},
		"files with settings": {func(b *object) {
			b.Spec.FileIDs, b.Spec.Files = nil, []v1alpha1.File{{FileID: "file-a"}, {FileID: "file-b"}}
		}, true},
		"other attributes": {func(b *object) { b.Spec.Attributes = v1alpha1.Attributes{"k": {Raw: []byte("1")}} }, true},
		"no digest":        {func(b *object) { delete(b.Annotations, v1alpha1.AnnotationRecordedFor) }, true},
		"repeated files":   {func(b *object) { b.Spec.FileIDs = []string{"file-a", "file-b", "file-a"} }, false},
		"edited":           {maxFailedFiles(3), false},
	} {
		for _, dropped := range []bool{false, true} {
			b := withChange(original, test.change)
			if dropped {
				batch.DropFiles(b)
			}
			if got := batch.ID(b); got != "" && test.copied || got != "batch_1" && !test.copied {
				t.Errorf("%s: the ID is %q, files dropped: %t", name, got, dropped)
			}
			deletion := run(withChange(b, deletedAt(epoch)), lifecycle.State{}, epoch)
			if test.copied == strings.Contains(deletion.actionNames(), "Cancel") {
				t.Errorf("%s: the deletion performed %q", name, deletion.actionNames())
			}
			if dropped {
				continue // a create reads the files again
			}
			r := run(b, lifecycle.State{}, epoch, result{batch: answer(upstream.InProgress, func(a *upstream.Batch) { a.ID = "batch_2" })})
			warning := r.warning(v1alpha1.ReasonAnnotationIgnored)
			if test.copied && (r.actionNames() != "Create" || batch.ID(r.object) != "batch_2" || !strings.Contains(warning, "batch_1")) {
				t.Errorf("%s: performed %q, tracks %q, warned %q", name, r.actionNames(), batch.ID(r.object), warning)
			}
			if !test.copied && warning != "" {
				t.Errorf("%s: warned %q", name, warning)
			}
		}
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
