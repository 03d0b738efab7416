// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	yes     = metav1.ConditionTrue
	no      = metav1.ConditionFalse
	unknown = metav1.ConditionUnknown
)

// tableLine is a line of the table of conditions in the design of the API.
type tableLine struct {
	reasons []string

	ready, reconciling, stalled, finished, succeeded metav1.ConditionStatus

	kstatus status.Status
}

// table is the table of conditions, copied by hand: it must not follow from the rules.
var table = []tableLine{
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

var linesByReason = func() map[string]tableLine {
	lines := make(map[string]tableLine)
	for _, line := range table {
		for _, reason := range line.reasons {
			lines[reason] = line
		}
	}
	return lines
}()

func lineOf(reason string) (line tableLine, known bool) {
	line, known = linesByReason[reason]
	return line, known
}

// conditions are the statuses that the line asks for.
func (l tableLine) conditions() [5]metav1.Condition {
	return [...]metav1.Condition{
		{Type: "Ready", Status: l.ready},
		{Type: "Reconciling", Status: l.reconciling},
		{Type: "Stalled", Status: l.stalled},
		{Type: "Finished", Status: l.finished},
		{Type: "Succeeded", Status: l.succeeded},
	}
}

// judged is what kstatus, which Flux and kpt use, makes of an object.
func judged(t *testing.T, b *object) status.Status {
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
var reached = map[string][]pass{
	// The state is not written before the create's outcome, unless a tool removed conditions.
	"Creating": {run(fresh(func(b *object) { b.Status.ObservedGeneration = 1 }), batch.Memory{NextCall: epoch.Add(time.Minute)}, epoch)},
	"CreateOutcomeUnknown": {
		run(fresh(), batch.Memory{}, epoch, fails(upstream.UnknownOutcome)),
		run(fresh(held, intendedAt(epoch)), batch.Memory{}, epoch),
	},
	"InProgress": {
		run(fresh(), batch.Memory{}, epoch),
		run(fresh(adopted), batch.Memory{}, epoch),
		run(created(), batch.Memory{}, epoch, result{batch: answer(wrongStatus)}),
	},
	"Cancelling": {
		run(created(wantsCancel), batch.Memory{}, epoch),
		run(created(latched), batch.Memory{}, epoch),
		run(created(wantsCancel), batch.Memory{}, epoch, fails(upstream.Rejected)),
	},
	"Deleting": {
		run(created(deletedAt(epoch)), batch.Memory{}, epoch, fails(upstream.Transient)),
		run(fresh(held, intendedAt(epoch), deletedAt(epoch)), batch.Memory{}, epoch),
		run(followed(policy("DetachFiles"), deletedAt(epoch)), batch.Memory{}, epoch),
		run(followed(policy("DetachFiles"), latched, deletedAt(epoch)), batch.Memory{}, epoch, result{detached: 1, left: 1}),
	},
	"Completed": {
		run(created(), batch.Memory{}, epoch, result{batch: answer(upstream.Completed)}),
		run(created(allowed(1)), batch.Memory{}, epoch, result{batch: answer(upstream.Completed, failures(1))}),
	},
	"FilesFailed":         {run(created(allowed(1)), batch.Memory{}, epoch, result{batch: answer(upstream.Completed, failures(2))})},
	"BatchFailed":         {run(created(), batch.Memory{}, epoch, result{batch: answer(upstream.Failed)})},
	"Cancelled":           {run(fresh(wantsCancel), batch.Memory{}, epoch), run(created(latched), batch.Memory{}, epoch, result{batch: answer(upstream.Cancelled)})},
	"CancelledExternally": {run(created(), batch.Memory{}, epoch, result{batch: answer(upstream.Cancelled)})},
	"DeadlineExceeded": {
		run(followed(deadline(time.Hour), edited), batch.Memory{}, epoch, result{batch: answer(upstream.Cancelled)}),
		run(followed(deadline(time.Hour), latched), batch.Memory{}, epoch.Add(time.Minute)),
	},
	"Suspended": {
		run(fresh(suspends), batch.Memory{}, epoch),
		run(followed(suspends, edited), batch.Memory{}, epoch),
	},
	"BatchNotFound": {run(created(), batch.Memory{}, epoch, fails(upstream.NotFound)).again(fails(upstream.NotFound))},
	"Rejected": {
		run(fresh(), batch.Memory{}, epoch, fails(upstream.Rejected)),
		run(fresh(), batch.Memory{}, epoch, fails(upstream.NotFound)),
		run(fresh(func(b *object) { b.Spec.FileIDs = nil }), batch.Memory{}, epoch),
	},
	"CredentialsRejected": {
		run(fresh(), batch.Memory{}, epoch, fails(upstream.Unauthorized)),
		run(created(), batch.Memory{}, epoch, fails(upstream.Unauthorized)),
	},
	"CredentialsNotFound": {run(fresh(), batch.Memory{}, epoch, fails(upstream.NoCredentials))},
	"RateLimited":         {run(fresh(), batch.Memory{}, epoch, fails(upstream.RateLimited))},
	"UpstreamUnavailable": {
		run(fresh(), batch.Memory{}, epoch, fails(upstream.Transient)),
		run(created(), batch.Memory{}, epoch, fails(upstream.UnknownOutcome)),
	},
}

func TestConditionsAreThoseOfTheTable(t *testing.T) {
	for _, line := range table {
		for _, reason := range line.reasons {
			if len(reached[reason]) == 0 {
				t.Errorf("no way into state %s is tried", reason)
			}
			for i, p := range reached[reason] {
				t.Run(fmt.Sprintf("%s/%d", reason, i), func(t *testing.T) { testLine(t, line, reason, p) })
			}
		}
	}
}

func testLine(t *testing.T, line tableLine, reason string, p pass) {
	if p.reason() != reason {
		t.Fatalf("after %s the state is %s: %s", p.did(), p.reason(), p.message())
	}
	if err := checkConditions(p.object.Status); err != nil {
		t.Error(err)
	}
	want := line.kstatus
	if !p.object.DeletionTimestamp.IsZero() {
		want = status.TerminatingStatus // whatever the conditions say
	}
	if got := judged(t, p.object); got != want {
		t.Errorf("kstatus says %s, want %s", got, want)
	}
	p.object.DeletionTimestamp = nil
	if got := judged(t, p.object); got != line.kstatus {
		t.Errorf("kstatus says %s of the conditions, want %s", got, line.kstatus)
	}
	edited(p.object)
	if got := judged(t, p.object); got != status.InProgressStatus {
		t.Errorf("kstatus says %s once the spec was edited, want %s", got, status.InProgressStatus)
	}
}

func TestGenericToolsWaitForTheFirstVisit(t *testing.T) {
	if got := judged(t, fresh()); got != status.InProgressStatus {
		t.Errorf("kstatus says %s of an object that nobody looked at, want %s", got, status.InProgressStatus)
	}
}
