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
)

type spec = v1alpha1.VectorStoreFileBatchSpec

// row is a line of the table of conditions, with what kstatus makes of it.
type row struct {
	ready, reconciling, stalled, finished, succeeded metav1.ConditionStatus
	judged                                           status.Status
}

var (
	progressing = row{"Unknown", "True", "False", "False", "Unknown", status.InProgressStatus}
	stalled     = row{"False", "False", "True", "False", "Unknown", status.FailedStatus}
	succeeded   = row{"True", "False", "False", "True", "True", status.CurrentStatus}
	failed      = row{"False", "False", "True", "True", "False", status.FailedStatus}
	cancelled   = row{"True", "False", "False", "True", "False", status.CurrentStatus}
)

func answer(code int, body string) emulator.Fault {
	return emulator.Fault{Operation: emulator.Create, Status: code, Body: body}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		reason string
		row    row
		spec   spec
		// arrange prepares the upstream, and then happens what comes after the creation.
		arrange func(*world)
		then    func(*world, *v1alpha1.VectorStoreFileBatch)
	}{
		{name: "in progress", reason: "InProgress", row: progressing, arrange: func(w *world) { w.pace(slow) }},
		{
			name: "cancelling", reason: "Cancelling", row: progressing, spec: spec{Cancel: ptr.To(true), BatchID: "adopt"},
			arrange: func(w *world) {
				w.pace(slow)
				w.upstream.Configure(func(s *emulator.Settings) { s.CancelDelay = slow })
			},
		},
		{name: "completed", reason: "Completed", row: succeeded},
		{
			name: "completed, with as many failed files as are allowed", reason: "Completed", row: succeeded,
			spec: spec{FileIDs: []string{"file-a", "file-fail-1"}, MaxFailedFiles: ptr.To[int32](1)},
		},
		{
			name: "completed, with more failed files", reason: "FilesFailed", row: failed,
			spec: spec{FileIDs: []string{"file-a", "file-fail-1", "file-fail-2"}, MaxFailedFiles: ptr.To[int32](1)},
		},
		{
			name: "failed upstream", reason: "BatchFailed", row: failed, arrange: func(w *world) { w.pace(slow) },
			then: func(w *world, b *v1alpha1.VectorStoreFileBatch) { w.setUpstreamStatus(b, "failed") },
		},
		{
			name: "cancelled as asked", reason: "Cancelled", row: cancelled, arrange: func(w *world) { w.pace(slow) },
			then: func(w *world, b *v1alpha1.VectorStoreFileBatch) {
				w.eventually(b, "for the batch", hasBatch)
				w.patch(b, `{"spec":{"cancel":true}}`)
			},
		},
		{name: "cancelled before anything was created", reason: "Cancelled", row: cancelled, spec: spec{Cancel: ptr.To(true)}},
		{
			name: "cancelled by somebody else", reason: "CancelledExternally", row: failed, arrange: func(w *world) { w.pace(slow) },
			then: func(w *world, b *v1alpha1.VectorStoreFileBatch) { w.setUpstreamStatus(b, "cancelled") },
		},
		{
			name: "store gone", reason: "BatchNotFound", row: stalled, arrange: func(w *world) { w.pace(slow) },
			then: func(w *world, b *v1alpha1.VectorStoreFileBatch) {
				w.eventually(b, "for the batch", hasBatch)
				w.upstream.DeleteStore(store)
			},
		},
		{name: "a batch to adopt that is not there", reason: "BatchNotFound", row: stalled, spec: spec{BatchID: "vsfb_none"}},
		{name: "a batch to adopt that cannot be one", reason: "Rejected", row: stalled, spec: spec{BatchID: "vs_none"}},
		{name: "refused with 400", reason: "Rejected", row: stalled, arrange: func(w *world) { w.fault(answer(400, `{"error":{"message":"no such model"}}`)) }},
		{name: "refused with 404", reason: "Rejected", row: stalled, arrange: func(w *world) { w.upstream.DeleteStore(store) }},
		{name: "refused with 422", reason: "Rejected", row: stalled, arrange: func(w *world) { w.fault(answer(422, `{"error":"unprocessable"}`)) }},
		{
			name: "a spec that admission should have refused", reason: "Rejected", row: stalled,
			spec: spec{FileIDs: []string{"file-a"}, Attributes: v1alpha1.Attributes{"list": {Raw: []byte(`[1]`)}}},
		},
		{name: "refused with 401", reason: "CredentialsRejected", row: stalled, arrange: func(w *world) { w.fault(answer(401, "")) }},
		{name: "refused with 403", reason: "CredentialsRejected", row: stalled, arrange: func(w *world) { w.fault(answer(403, "")) }},
		{
			name: "slowed down", reason: "RateLimited", row: progressing,
			arrange: func(w *world) {
				w.fault(emulator.Fault{Operation: emulator.Create, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "3600"}})
			},
		},
		{
			name: "upstream failing", reason: "UpstreamUnavailable", row: progressing, arrange: func(w *world) {
				w.pace(slow)
				w.fault(emulator.Fault{Operation: emulator.Retrieve, Status: http.StatusBadGateway, Body: "<html>bad gateway</html>"})
			},
		},
		{
			name: "answer to the create lost", reason: "CreateOutcomeUnknown", row: progressing,
			arrange: func(w *world) { w.fault(emulator.Fault{Operation: emulator.Create, Action: emulator.Drop}) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			if test.arrange != nil {
				test.arrange(w)
			}
			if test.spec.BatchID == "adopt" {
				test.spec.BatchID = w.foreignBatch()
			}
			b := w.create(test.spec)
			if test.then != nil {
				test.then(w, b)
			}
			w.eventuallyRow(b, test.reason, test.row)
			w.eventuallyEvent(b, test.reason)
		})
	}
}

func TestConditionsWithoutUsableCredentials(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		secret map[string]string
		reason string
		row    row
	}{
		{name: "no Secret", reason: "CredentialsNotFound", row: progressing},
		{name: "no key in it", secret: map[string]string{v1alpha1.SecretKeyAPIKey: ""}, reason: "CredentialsNotFound", row: progressing},
		{name: "wrong key", secret: map[string]string{v1alpha1.SecretKeyAPIKey: "sk-wrong"}, reason: "CredentialsRejected", row: stalled},
		{name: "endpoint that cannot be one", secret: map[string]string{v1alpha1.SecretKeyBaseURL: "ftp://127.0.0.1/v1"}, reason: "CredentialsRejected", row: stalled},
		{name: "unreadable CA", secret: map[string]string{v1alpha1.SecretKeyCABundle: "no certificate"}, reason: "CredentialsRejected", row: stalled},
		{name: "nobody listens", secret: map[string]string{v1alpha1.SecretKeyBaseURL: "http://127.0.0.1:9/v1"}, reason: "UpstreamUnavailable", row: progressing},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := worldWithoutSecret(t)
			if test.secret != nil {
				w.createSecret(test.secret)
			}
			w.eventuallyRow(w.create(spec{}), test.reason, test.row)
			if n := w.upstream.CreateCount(); n != 0 {
				t.Errorf("%d batches were created", n)
			}
		})
	}
}

func TestAnObjectThatWasNotVisitedYetIsInProgressToKstatus(t *testing.T) {
	w := newWorld(t)
	b := w.create(spec{})
	if b.Status.ObservedGeneration != -1 {
		t.Errorf("observedGeneration is %d, want -1 from the schema's default", b.Status.ObservedGeneration)
	}
	if got := judgement(t, b); got != status.InProgressStatus {
		t.Errorf("kstatus says %s", got)
	}
}

func TestAnEditedObjectIsInProgressToKstatusUntilItIsVisited(t *testing.T) {
	w := newWorld(t)
	b := w.create(spec{})
	finished := w.eventuallyRow(b, "Completed", succeeded)
	finished.Generation++
	if got := judgement(t, finished); got != status.InProgressStatus {
		t.Errorf("kstatus says %s", got)
	}
}

// eventuallyRow waits until Ready has a reason, and holds the conditions against a row.
func (w *world) eventuallyRow(b *v1alpha1.VectorStoreFileBatch, reason string, want row) *v1alpha1.VectorStoreFileBatch {
	w.Helper()
	current := w.eventually(b, "for "+reason, func(b *v1alpha1.VectorStoreFileBatch) bool {
		ready := meta.FindStatusCondition(b.Status.Conditions, "Ready")
		return ready != nil && ready.Reason == reason && b.Status.ObservedGeneration == b.Generation
	})
	is := func(kind string) metav1.ConditionStatus {
		return meta.FindStatusCondition(current.Status.Conditions, kind).Status
	}
	got := row{is("Ready"), is("Reconciling"), is("Stalled"), is("Finished"), is("Succeeded"), judgement(w.T, current)}
	if got != want {
		w.Errorf("conditions of %s: got %v, want %v", reason, got, want)
	}
	for _, condition := range current.Status.Conditions {
		if condition.Message == "" {
			w.Errorf("condition %s has no message", condition.Type)
		}
	}
	return current
}

func hasBatch(b *v1alpha1.VectorStoreFileBatch) bool { return b.Status.BatchID != "" }

// setUpstreamStatus makes a batch end upstream, once it is there.
func (w *world) setUpstreamStatus(b *v1alpha1.VectorStoreFileBatch, status string) {
	w.Helper()
	current := w.eventually(b, "for the batch", hasBatch)
	if err := w.upstream.SetBatchStatus(current.Status.BatchID, status); err != nil {
		w.Fatal(err)
	}
}

// settle waits until nothing has been asked of the upstream for a while, and gives the calls.
func (w *world) settle(quiet time.Duration) int {
	w.Helper()
	last, since := w.calls(), time.Now()
	w.poll(func() bool {
		if n := w.calls(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) >= quiet
	}, func() string { return "for the calls to end" })
	return last
}
