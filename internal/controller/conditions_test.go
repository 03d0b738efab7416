// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

type spec = v1alpha1.VectorStoreFileBatchSpec

// row is a row of the table of conditions, and the status that kstatus computes from it.
type row struct {
	ready, reconciling, stalled, finished, succeeded metav1.ConditionStatus
	kstatus                                          status.Status
}

var (
	progressing = row{"Unknown", "True", "False", "False", "Unknown", status.InProgressStatus}
	stalled     = row{"False", "False", "True", "False", "Unknown", status.FailedStatus}
	succeeded   = row{"True", "False", "False", "True", "True", status.CurrentStatus}
	failed      = row{"False", "False", "True", "True", "False", status.FailedStatus}
	cancelled   = row{"True", "False", "False", "True", "False", status.CurrentStatus}
)

// rejectCreate returns a fault that answers creates with an HTTP status.
func rejectCreate(code int, body string) emulator.Fault {
	return emulator.Fault{Operation: emulator.Create, Status: code, Body: body}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		reason string
		row    row
		spec   spec
		// arrange runs before the object is created, and then runs after that.
		arrange func(*fixture)
		then    func(*fixture, *v1alpha1.VectorStoreFileBatch)
	}{
		{name: "in progress", reason: "InProgress", row: progressing, arrange: func(f *fixture) { f.setPace(slow) }},
		{
			name: "cancelling", reason: "Cancelling", row: progressing, spec: spec{Cancel: ptr.To(true), BatchID: "adopt"},
			arrange: func(f *fixture) {
				f.setPace(slow)
				f.emulator.Configure(func(s *emulator.Settings) { s.CancelDelay = slow })
			},
		},
		{name: "completed", reason: "Completed", row: succeeded},
		{
			name: "completed, allowed failures", reason: "Completed", row: succeeded,
			spec: spec{FileIDs: []string{"file-a", "file-fail-1"}, MaxFailedFiles: ptr.To[int32](1)},
		},
		{
			name: "completed, too many failures", reason: "FilesFailed", row: failed,
			spec: spec{FileIDs: []string{"file-a", "file-fail-1", "file-fail-2"}, MaxFailedFiles: ptr.To[int32](1)},
		},
		{
			name: "batch failed", reason: "BatchFailed", row: failed, arrange: func(f *fixture) { f.setPace(slow) },
			then: func(f *fixture, b *v1alpha1.VectorStoreFileBatch) { f.setBatchStatus(b, "failed") },
		},
		{
			name: "cancelled as requested", reason: "Cancelled", row: cancelled, arrange: func(f *fixture) { f.setPace(slow) },
			then: func(f *fixture, b *v1alpha1.VectorStoreFileBatch) {
				f.await(b, "the batch", hasBatch)
				f.patch(b, `{"spec":{"cancel":true}}`)
			},
		},
		{name: "cancelled before anything was created", reason: "Cancelled", row: cancelled, spec: spec{Cancel: ptr.To(true)}},
		{
			name: "cancelled externally", reason: "CancelledExternally", row: failed, arrange: func(f *fixture) { f.setPace(slow) },
			then: func(f *fixture, b *v1alpha1.VectorStoreFileBatch) { f.setBatchStatus(b, "cancelled") },
		},
		{
			name: "store deleted", reason: "BatchNotFound", row: stalled, arrange: func(f *fixture) { f.setPace(slow) },
			then: func(f *fixture, b *v1alpha1.VectorStoreFileBatch) {
				f.await(b, "the batch", hasBatch)
				f.emulator.DeleteStore(store)
			},
		},
		{name: "adopted batch not found", reason: "BatchNotFound", row: stalled, spec: spec{BatchID: "vsfb_none"}},
		{name: "adopted batch with an invalid ID", reason: "Rejected", row: stalled, spec: spec{BatchID: "vs_none"}},
		{name: "rejected with 400", reason: "Rejected", row: stalled, arrange: func(f *fixture) { f.fault(rejectCreate(400, `{"error":{"message":"no such model"}}`)) }},
		{name: "rejected with 404", reason: "Rejected", row: stalled, arrange: func(f *fixture) { f.emulator.DeleteStore(store) }},
		{name: "rejected with 422", reason: "Rejected", row: stalled, arrange: func(f *fixture) { f.fault(rejectCreate(422, `{"error":"unprocessable"}`)) }},
		{
			name: "invalid spec without admission policy", reason: "InvalidSpec", row: stalled,
			spec: spec{FileIDs: []string{"file-a"}, Attributes: v1alpha1.Attributes{"list": {Raw: []byte(`[1]`)}}},
		},
		{name: "rejected with 401", reason: "CredentialsRejected", row: stalled, arrange: func(f *fixture) { f.fault(rejectCreate(401, "")) }},
		{name: "rejected with 403", reason: "CredentialsRejected", row: stalled, arrange: func(f *fixture) { f.fault(rejectCreate(403, "")) }},
		{
			name: "rate limited", reason: "RateLimited", row: progressing,
			arrange: func(f *fixture) {
				f.fault(emulator.Fault{Operation: emulator.Create, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "3600"}})
			},
		},
		{
			name: "API unavailable", reason: "UpstreamUnavailable", row: progressing, arrange: func(f *fixture) {
				f.setPace(slow)
				f.fault(emulator.Fault{Operation: emulator.Retrieve, Status: http.StatusBadGateway, Body: "<html>bad gateway</html>"})
			},
		},
		{
			name: "response to the create lost", reason: "CreateOutcomeUnknown", row: progressing,
			arrange: func(f *fixture) { f.fault(emulator.Fault{Operation: emulator.Create, Action: emulator.Drop}) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			if test.arrange != nil {
				test.arrange(f)
			}
			if test.spec.BatchID == "adopt" {
				test.spec.BatchID = f.createBatch()
			}
			b := f.create(test.spec)
			if test.then != nil {
				test.then(f, b)
			}
			f.awaitConditions(b, test.reason, test.row)
			f.awaitEvent(b, test.reason, "")
		})
	}
}

func TestConditions_Credentials(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		secret map[string]string
		reason string
		row    row
	}{
		{name: "no Secret", reason: "CredentialsNotFound", row: progressing},
		{name: "no key", secret: map[string]string{v1alpha1.SecretKeyAPIKey: ""}, reason: "CredentialsNotFound", row: progressing},
		{name: "wrong key", secret: map[string]string{v1alpha1.SecretKeyAPIKey: "sk-wrong"}, reason: "CredentialsRejected", row: stalled},
		{name: "invalid base URL", secret: map[string]string{v1alpha1.SecretKeyBaseURL: "ftp://127.0.0.1/v1"}, reason: "CredentialsRejected", row: stalled},
		{name: "invalid CA bundle", secret: map[string]string{v1alpha1.SecretKeyCABundle: "no certificate"}, reason: "CredentialsRejected", row: stalled},
		{name: "connection refused", secret: map[string]string{v1alpha1.SecretKeyBaseURL: "http://127.0.0.1:9/v1"}, reason: "UpstreamUnavailable", row: progressing},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixtureWithoutSecret(t)
			if test.secret != nil {
				f.createSecret(test.secret)
			}
			f.awaitConditions(f.create(spec{}), test.reason, test.row)
			if n := f.emulator.CreateCount(); n != 0 {
				t.Errorf("%d batches were created", n)
			}
		})
	}
}

func TestConditions_BeforeFirstReconcile(t *testing.T) {
	f := newFixture(t)
	b := f.create(spec{})
	if b.Status.ObservedGeneration != -1 {
		t.Errorf("observedGeneration is %d, want the schema's default -1", b.Status.ObservedGeneration)
	}
	if got := kstatusOf(t, b); got != status.InProgressStatus {
		t.Errorf("kstatus is %s", got)
	}
}

// awaitConditions waits until Ready has a reason, checks the conditions against a row, and returns the
// object.
func (f *fixture) awaitConditions(b *v1alpha1.VectorStoreFileBatch, reason string, want row) *v1alpha1.VectorStoreFileBatch {
	f.Helper()
	current := f.await(b, reason, func(b *v1alpha1.VectorStoreFileBatch) bool {
		// A refusal is not final at first.
		early := want == stalled && meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionReconciling)
		return framework.ReadyReason(b) == reason && b.Status.ObservedGeneration == b.Generation && !early
	})
	of := func(conditionType string) metav1.ConditionStatus {
		return meta.FindStatusCondition(current.Status.Conditions, conditionType).Status
	}
	got := row{of("Ready"), of("Reconciling"), of("Stalled"), of("Finished"), of("Succeeded"), kstatusOf(f.T, current)}
	if got != want {
		f.Errorf("conditions of %s: got %v, want %v", reason, got, want)
	}
	for _, condition := range current.Status.Conditions {
		if condition.Message == "" {
			f.Errorf("condition %s has no message", condition.Type)
		}
	}
	return current
}

func hasBatch(b *v1alpha1.VectorStoreFileBatch) bool { return b.Status.BatchID != "" }

// setBatchStatus waits for the batch of an object, and sets its status in the emulator.
func (f *fixture) setBatchStatus(b *v1alpha1.VectorStoreFileBatch, status string) {
	f.Helper()
	current := f.await(b, "the batch", hasBatch)
	if err := f.emulator.SetBatchStatus(current.Status.BatchID, status); err != nil {
		f.Fatal(err)
	}
}

// awaitQuiet waits until no call was made for a while, and returns the number of calls.
func (f *fixture) awaitQuiet(quiet time.Duration) int {
	f.Helper()
	calls, since := f.calls(), time.Now()
	framework.Eventually(f, "the calls to stop", func() bool {
		if n := f.calls(); n != calls {
			calls, since = n, time.Now()
		}
		return time.Since(since) >= quiet
	})
	return calls
}
