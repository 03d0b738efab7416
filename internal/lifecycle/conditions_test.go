// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	yes     = metav1.ConditionTrue
	no      = metav1.ConditionFalse
	unknown = metav1.ConditionUnknown
)

// tableLine is a line of the table of conditions in the design of the API.
type tableRow struct {
	reasons []string

	ready, reconciling, stalled, finished, succeeded metav1.ConditionStatus

	kstatus status.Status
}

// table is the table of conditions, copied by hand: it must not follow from the config.
var table = []tableRow{
	{[]string{"Creating", "CreateOutcomeUnknown", "InProgress", "Cancelling", "Deleting"}, unknown, yes, no, no, unknown, status.InProgressStatus},
	{[]string{"Completed"}, yes, no, no, yes, yes, status.CurrentStatus},
	{[]string{"FilesFailed"}, no, no, yes, yes, no, status.FailedStatus},
	{[]string{"BatchFailed"}, no, no, yes, yes, no, status.FailedStatus},
	{[]string{"Cancelled"}, yes, no, no, yes, no, status.CurrentStatus},
	{[]string{"CancelledExternally"}, no, no, yes, yes, no, status.FailedStatus},
	{[]string{"DeadlineExceeded"}, no, no, yes, yes, no, status.FailedStatus},
	{[]string{"Suspended"}, unknown, no, no, no, unknown, status.InProgressStatus},
	{[]string{"BatchNotFound"}, no, no, yes, no, unknown, status.FailedStatus},
	{[]string{"Rejected"}, no, no, yes, no, unknown, status.FailedStatus},
	{[]string{"CredentialsRejected"}, no, no, yes, no, unknown, status.FailedStatus},
	{[]string{"CredentialsNotFound"}, unknown, yes, no, no, unknown, status.InProgressStatus},
	{[]string{"RateLimited", "UpstreamUnavailable"}, unknown, yes, no, no, unknown, status.InProgressStatus},
}

var rowsByReason = func() map[string]tableRow {
	lines := make(map[string]tableRow)
	for _, row := range table {
		for _, reason := range row.reasons {
			lines[reason] = row
		}
	}
	return lines
}()

func rowOf(reason string) (row tableRow, known bool) {
	row, known = rowsByReason[reason]
	return row, known
}

// conditions are the statuses that the line asks for.
func (l tableRow) conditions() [5]metav1.Condition {
	return [...]metav1.Condition{
		{Type: "Ready", Status: l.ready},
		{Type: "Reconciling", Status: l.reconciling},
		{Type: "Stalled", Status: l.stalled},
		{Type: "Finished", Status: l.finished},
		{Type: "Succeeded", Status: l.succeeded},
	}
}

// judged is what kstatus, which Flux and kpt use, makes of an object.
func kstatusOf(t *testing.T, b *object) status.Status {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(b)
	if err != nil {
		t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

// reached are ways into each state: a pass that ends in it.
var examples = map[string][]reconciliation{
	// The state is not written before the create's outcome, unless a tool removed conditions.
	"Creating": {run(newObject(func(b *object) { b.Status.ObservedGeneration = 1 }), lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Minute)}}, epoch)},
	"CreateOutcomeUnknown": {
		run(newObject(), lifecycle.State{}, epoch, fails(upstream.UnknownOutcome)),
		run(newObject(hasFinalizer, pendingSince(epoch)), lifecycle.State{}, epoch),
	},
	"InProgress": {
		run(newObject(), lifecycle.State{}, epoch),
		run(newObject(adopted), lifecycle.State{}, epoch),
		run(created(), lifecycle.State{}, epoch, result{batch: answer(wrongStatus)}),
	},
	"Cancelling": {
		run(created(wantsCancel), lifecycle.State{}, epoch),
		run(created(cancelAccepted), lifecycle.State{}, epoch),
		run(created(wantsCancel), lifecycle.State{}, epoch, fails(upstream.Rejected)),
	},
	"Deleting": {
		run(created(deletedAt(epoch)), lifecycle.State{}, epoch, fails(upstream.Transient)),
		run(newObject(hasFinalizer, pendingSince(epoch), deletedAt(epoch)), lifecycle.State{}, epoch),
		run(tracked(policy("DetachFiles"), deletedAt(epoch)), lifecycle.State{}, epoch),
		run(tracked(policy("DetachFiles"), cancelAccepted, deletedAt(epoch)), lifecycle.State{}, epoch, result{detached: 1, left: 1}),
	},
	"Completed": {
		run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)}),
		run(created(allowed(1)), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed, failures(1))}),
	},
	"FilesFailed":         {run(created(allowed(1)), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed, failures(2))})},
	"BatchFailed":         {run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Failed)})},
	"Cancelled":           {run(newObject(wantsCancel), lifecycle.State{}, epoch), run(created(cancelAccepted), lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)})},
	"CancelledExternally": {run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)})},
	"DeadlineExceeded": {
		run(tracked(deadline(time.Hour), edited), lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)}),
		run(tracked(deadline(time.Hour), cancelAccepted), lifecycle.State{}, epoch.Add(time.Minute)),
	},
	"Suspended": {
		run(newObject(suspends), lifecycle.State{}, epoch),
		run(tracked(suspends, edited), lifecycle.State{}, epoch),
	},
	"BatchNotFound": {run(created(), lifecycle.State{}, epoch, fails(upstream.NotFound)).again(fails(upstream.NotFound))},
	"Rejected": {
		run(newObject(), lifecycle.State{}, epoch, fails(upstream.Rejected)),
		run(newObject(), lifecycle.State{}, epoch, fails(upstream.NotFound)),
		run(newObject(func(b *object) { b.Spec.FileIDs = nil }), lifecycle.State{}, epoch),
	},
	"CredentialsRejected": {
		run(newObject(), lifecycle.State{}, epoch, fails(upstream.Unauthorized)),
		run(created(), lifecycle.State{}, epoch, fails(upstream.Unauthorized)),
	},
	"CredentialsNotFound": {run(newObject(), lifecycle.State{}, epoch, fails(upstream.NoCredentials))},
	"RateLimited":         {run(newObject(), lifecycle.State{}, epoch, fails(upstream.RateLimited))},
	"UpstreamUnavailable": {
		run(newObject(), lifecycle.State{}, epoch, fails(upstream.Transient)),
		run(created(), lifecycle.State{}, epoch, fails(upstream.UnknownOutcome)),
	},
}

func TestConditions_MatchTable(t *testing.T) {
	for _, row := range table {
		for _, reason := range row.reasons {
			if len(examples[reason]) == 0 {
				t.Errorf("no way into state %s is tried", reason)
			}
			for i, p := range examples[reason] {
				t.Run(fmt.Sprintf("%s/%d", reason, i), func(t *testing.T) { testLine(t, row, reason, p) })
			}
		}
	}
}

func testLine(t *testing.T, row tableRow, reason string, p reconciliation) {
	if p.reason() != reason {
		t.Fatalf("after %s the state is %s: %s", p.performed(), p.reason(), p.message())
	}
	if err := checkConditions(p.object.Status); err != nil {
		t.Error(err)
	}
	want := row.kstatus
	if !p.object.DeletionTimestamp.IsZero() {
		want = status.TerminatingStatus // whatever the conditions say
	}
	if got := kstatusOf(t, p.object); got != want {
		t.Errorf("kstatus says %s, want %s", got, want)
	}
	p.object.DeletionTimestamp = nil
	if got := kstatusOf(t, p.object); got != row.kstatus {
		t.Errorf("kstatus says %s of the conditions, want %s", got, row.kstatus)
	}
	edited(p.object)
	if got := kstatusOf(t, p.object); got != status.InProgressStatus {
		t.Errorf("kstatus says %s once the spec was edited, want %s", got, status.InProgressStatus)
	}
}

func TestConditions_BeforeFirstReconcile(t *testing.T) {
	if got := kstatusOf(t, newObject()); got != status.InProgressStatus {
		t.Errorf("kstatus says %s of an object that nobody looked at, want %s", got, status.InProgressStatus)
	}
}
