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

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	yes     = metav1.ConditionTrue
	no      = metav1.ConditionFalse
	unknown = metav1.ConditionUnknown
)

// tableRow is a row of the table of conditions in the API reference.
type tableRow struct {
	reasons []string

	ready, reconciling, stalled, finished, succeeded metav1.ConditionStatus

	kstatus status.Status
}

// table is the table of conditions, written by hand: it must not be derived from the code under test.
var table = []tableRow{
	{[]string{"Creating", "CreateOutcomeUnknown", "InProgress", "Cancelling", "Deleting"}, unknown, yes, no, no, unknown, status.InProgressStatus},
	{[]string{"Completed"}, yes, no, no, yes, yes, status.CurrentStatus},
	{[]string{"FilesFailed"}, no, no, yes, yes, no, status.FailedStatus},
	{[]string{"FilesMissing"}, no, no, yes, yes, no, status.FailedStatus},
	{[]string{"BatchFailed"}, no, no, yes, yes, no, status.FailedStatus},
	{[]string{"Cancelled"}, yes, no, no, yes, no, status.CurrentStatus},
	{[]string{"CancelledExternally"}, no, no, yes, yes, no, status.FailedStatus},
	{[]string{"DeadlineExceeded", "CancelFailed"}, no, no, yes, yes, no, status.FailedStatus},
	{[]string{"Suspended"}, unknown, no, no, no, unknown, status.InProgressStatus},
	{[]string{"BatchNotFound"}, no, no, yes, no, unknown, status.FailedStatus},
	{[]string{"Rejected", "InvalidSpec", "EndpointNotAllowed"}, no, no, yes, no, unknown, status.FailedStatus},
	{[]string{"CredentialsRejected"}, no, no, yes, no, unknown, status.FailedStatus},
	{[]string{"CredentialsNotFound"}, unknown, yes, no, no, unknown, status.InProgressStatus},
	{[]string{"RateLimited", "UpstreamUnavailable"}, unknown, yes, no, no, unknown, status.InProgressStatus},
}

// otherRows are the rows of reasons that can have another one than that of the table: a refusal just
// after a change, and creates that are not repeated.
var otherRows = map[string]tableRow{
	"CredentialsRejected":  {nil, unknown, yes, no, no, unknown, status.InProgressStatus},
	"Rejected":             {nil, unknown, yes, no, no, unknown, status.InProgressStatus},
	"BatchNotFound":        {nil, unknown, yes, no, no, unknown, status.InProgressStatus},
	"CreateOutcomeUnknown": {nil, no, no, yes, no, unknown, status.FailedStatus},
}

var rowsByReason = func() map[string]tableRow {
	rows := make(map[string]tableRow)
	for _, row := range table {
		for _, reason := range row.reasons {
			rows[reason] = row
		}
	}
	return rows
}()

func rowOf(reason string) (row tableRow, known bool) {
	row, known = rowsByReason[reason]
	return row, known
}

// conditions returns the conditions of the row.
func (r tableRow) conditions() [5]metav1.Condition {
	return [...]metav1.Condition{
		{Type: "Ready", Status: r.ready},
		{Type: "Reconciling", Status: r.reconciling},
		{Type: "Stalled", Status: r.stalled},
		{Type: "Finished", Status: r.finished},
		{Type: "Succeeded", Status: r.succeeded},
	}
}

// message returns the message of a condition of the row: that of Ready, unless the condition states only its
// own case.
func (r tableRow) message(condition metav1.Condition, ready string) string {
	switch condition.Type + "=" + string(condition.Status) {
	case "Reconciling=False":
		switch {
		case r.finished == yes:
			return "The operator has nothing left to do"
		case r.stalled == yes:
			return "The object makes no progress until a user acts"
		}
		return "The object is suspended"
	case "Stalled=False":
		return "The object does not have to be changed"
	case "Finished=True":
		return "The batch is finished"
	case "Finished=False":
		return "The batch is not finished"
	case "Succeeded=True":
		return "The files are in the vector store"
	case "Succeeded=False":
		return "Not all files were added to the vector store"
	case "Succeeded=Unknown":
		return "The result is known once the batch is finished"
	}
	return ready
}

// kstatusOf returns the status that kstatus, which Flux and kpt use, computes for an object.
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

// examples are reconciliations that end with each reason.
var examples = map[string][]reconciliation{
	// This reason is not written before the outcome of the create, unless a tool removed conditions.
	"Creating": {run(newObject(func(b *object) { b.Status.ObservedGeneration = 1 }), lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Minute)}}, epoch)},
	"CreateOutcomeUnknown": {
		run(newObject(), lifecycle.State{}, epoch, fails(upstream.UnknownOutcome)),
		run(newObject(withFinalizer, pendingSince(epoch)), lifecycle.State{}, epoch),
	},
	"InProgress": {
		run(newObject(), lifecycle.State{}, epoch),
		run(newObject(adopted), lifecycle.State{}, epoch),
		run(created(), lifecycle.State{}, epoch, result{batch: answer(unknownStatus)}),
	},
	"Cancelling": {
		run(created(cancelWanted), lifecycle.State{}, epoch),
		run(created(cancelAccepted), lifecycle.State{}, epoch),
		run(created(cancelWanted), lifecycle.State{}, epoch, fails(upstream.Rejected)),
	},
	"Deleting": {
		run(created(deletedAt(epoch)), lifecycle.State{}, epoch, fails(upstream.Transient)),
		run(newObject(withFinalizer, pendingSince(epoch), deletedAt(epoch)), lifecycle.State{}, epoch),
		run(tracked(deletionPolicy("DetachFiles"), deletedAt(epoch)), lifecycle.State{}, epoch),
		run(tracked(deletionPolicy("DetachFiles"), cancelAccepted, deletedAt(epoch)), lifecycle.State{}, epoch, result{detached: 1, remaining: 1}),
	},
	"Completed": {
		run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)}),
		run(created(maxFailedFiles(1)), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed, failures(1))}),
	},
	"FilesFailed": {run(created(maxFailedFiles(1)), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed, failures(2))})},
	"FilesMissing": {
		run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed, inProgress(0, 1, 2))}),
		run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed, inProgress(0, 0, 0))}),
	},
	"BatchFailed":         {run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Failed)})},
	"Cancelled":           {run(newObject(cancelWanted), lifecycle.State{}, epoch), run(created(cancelAccepted), lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)})},
	"CancelledExternally": {run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)})},
	"DeadlineExceeded": {
		run(tracked(deadline(time.Hour), edited), lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)}),
		run(tracked(deadline(time.Hour), cancelAccepted), lifecycle.State{}, epoch.Add(time.Minute)),
	},
	"CancelFailed": {
		runAt(run(created(cancelWanted), lifecycle.State{}, epoch, fails(upstream.Transient)), epoch.Add(time.Minute), fails(upstream.Transient)),
		runAt(run(newObject(withFinalizer, cancelWanted, pendingSince(epoch)), lifecycle.State{}, epoch), epoch.Add(80*time.Second), fails(upstream.Transient)),
	},
	"Suspended": {
		run(newObject(suspended), lifecycle.State{}, epoch),
		run(tracked(suspended, edited), lifecycle.State{}, epoch),
	},
	"BatchNotFound": {run(tracked(), lifecycle.State{}, epoch, fails(upstream.NotFound)).again(fails(upstream.NotFound))},
	"Rejected": {
		run(newObject(), lifecycle.State{}, epoch, fails(upstream.Rejected)),
		run(newObject(), lifecycle.State{}, epoch, fails(upstream.NotFound)),
	},
	"InvalidSpec":        {run(newObject(func(b *object) { b.Spec.FileIDs = nil }), lifecycle.State{}, epoch)},
	"EndpointNotAllowed": {run(newObject(), lifecycle.State{}, epoch, fails(upstream.NotAllowed))},
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
				t.Errorf("reason %s has no example", reason)
			}
			for i, r := range examples[reason] {
				t.Run(fmt.Sprintf("%s/%d", reason, i), func(t *testing.T) { testTableRow(t, row, reason, r) })
			}
		}
	}
}

func testTableRow(t *testing.T, row tableRow, reason string, r reconciliation) {
	if r.reason() != reason {
		t.Fatalf("after %s the reason is %s: %s", r.actionNames(), r.reason(), r.message())
	}
	if err := checkConditions(r.object.Status); err != nil {
		t.Error(err)
	}
	for _, condition := range r.object.Status.Conditions {
		if want := row.message(condition, r.message()); condition.Message != want && condition.Type != "Suspended" {
			t.Errorf("the message of %s=%s is %q, want %q", condition.Type, condition.Status, condition.Message, want)
		}
	}
	want := row.kstatus
	if !r.object.DeletionTimestamp.IsZero() {
		want = status.TerminatingStatus // regardless of the conditions
	}
	if got := kstatusOf(t, r.object); got != want {
		t.Errorf("kstatus is %s, want %s", got, want)
	}
	r.object.DeletionTimestamp = nil
	if got := kstatusOf(t, r.object); got != row.kstatus {
		t.Errorf("kstatus is %s without the deletion, want %s", got, row.kstatus)
	}
	edited(r.object)
	if got := kstatusOf(t, r.object); got != status.InProgressStatus {
		t.Errorf("kstatus is %s after an edit of the spec, want %s", got, status.InProgressStatus)
	}
}

// otherExamples are reconciliations that end with the other row of a reason.
var otherExamples = map[string]reconciliation{
	"CredentialsRejected":  run(newObject(objectCreatedAt(epoch)), lifecycle.State{}, epoch, refused(upstream.Unauthorized, 401)),
	"Rejected":             run(newObject(objectCreatedAt(epoch)), lifecycle.State{}, epoch, refused(upstream.NotFound, 404)),
	"BatchNotFound":        run(newObject(adopted, objectCreatedAt(epoch)), lifecycle.State{}, epoch, refused(upstream.NotFound, 404)),
	"CreateOutcomeUnknown": run(newObject(withFinalizer, pendingSince(epoch.Add(-time.Hour)), lostBefore(2)), lifecycle.State{}, epoch, result{attached: true}),
}

func TestConditions_MatchOtherRows(t *testing.T) {
	for reason, row := range otherRows {
		t.Run(reason, func(t *testing.T) { testTableRow(t, row, reason, otherExamples[reason]) })
	}
}

func TestConditions_BeforeFirstReconcile(t *testing.T) {
	if got := kstatusOf(t, newObject()); got != status.InProgressStatus {
		t.Errorf("kstatus is %s before the first reconciliation, want %s", got, status.InProgressStatus)
	}
}

func TestCredentialsRejected_NamesTheSecretAndTheRemedy(t *testing.T) {
	named := func(b *object) { b.Spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: "team"} }
	for name, test := range map[string]struct {
		b    *object
		err  upstream.Error
		want string
	}{
		"401": {
			newObject(), upstream.Error{Host: "api.openai.com", StatusCode: 401, Message: "Incorrect API key provided.", RequestID: "req_1"},
			"Key in Secret docs/openai was rejected by api.openai.com. Replace OPENAI_API_KEY: Incorrect API key provided. (HTTP 401, request req_1)",
		},
		"403, a Secret of another name": {
			newObject(named), upstream.Error{Host: "llm.example:8443", StatusCode: 403, Message: "Missing scopes."},
			"Key in Secret docs/team was refused by llm.example:8443. Check its permissions and its project: Missing scopes. (HTTP 403)",
		},
		"an invalid value": {
			created(named), upstream.Error{Message: "OPENAI_BASE_URL is not a valid URL"},
			"Secret docs/team is invalid. Correct it: OPENAI_BASE_URL is not a valid URL",
		},
		"an unknown host": {
			created(), upstream.Error{StatusCode: 401, Message: "no"},
			"Key in Secret docs/openai was rejected by the API. Replace OPENAI_API_KEY: no (HTTP 401)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.err.Kind = upstream.Unauthorized
			r := run(test.b, lifecycle.State{}, epoch, result{err: &test.err})
			if r.reason() != v1alpha1.ReasonCredentialsRejected || r.message() != test.want {
				t.Errorf("%s: %s, want %s", r.reason(), r.message(), test.want)
			}
		})
	}
}
