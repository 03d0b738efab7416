// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// verdict is what the conditions say in a state, in the order of the conditions below, and
// what kstatus makes of them.
type verdict struct {
	conditions [5]metav1.ConditionStatus
	kstatus    status.Status
	event      string
}

var conditionTypes = [5]string{
	v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled,
	v1alpha1.ConditionFinished, v1alpha1.ConditionSucceeded,
}

const (
	yes     = metav1.ConditionTrue
	no      = metav1.ConditionFalse
	unknown = metav1.ConditionUnknown
)

var (
	ongoing   = [5]metav1.ConditionStatus{unknown, yes, no, no, unknown}
	stalled   = [5]metav1.ConditionStatus{no, no, yes, no, unknown}
	succeeded = [5]metav1.ConditionStatus{yes, no, no, yes, yes}
	failed    = [5]metav1.ConditionStatus{no, no, yes, yes, no}
	suspended = [5]metav1.ConditionStatus{unknown, no, no, no, unknown}
	cancelled = [5]metav1.ConditionStatus{yes, no, no, yes, no}
)

// verdicts are the promises of the API, by the reason of Ready.
var verdicts = map[string]verdict{
	v1alpha1.ReasonInProgress:          {ongoing, status.InProgressStatus, corev1.EventTypeNormal},
	v1alpha1.ReasonCancelling:          {ongoing, status.InProgressStatus, corev1.EventTypeNormal},
	v1alpha1.ReasonCredentialsNotFound: {ongoing, status.InProgressStatus, corev1.EventTypeWarning},
	v1alpha1.ReasonRateLimited:         {ongoing, status.InProgressStatus, corev1.EventTypeWarning},
	v1alpha1.ReasonUpstreamUnavailable: {ongoing, status.InProgressStatus, corev1.EventTypeWarning},
	v1alpha1.ReasonCompleted:           {succeeded, status.CurrentStatus, corev1.EventTypeNormal},
	v1alpha1.ReasonFilesFailed:         {failed, status.FailedStatus, corev1.EventTypeWarning},
	v1alpha1.ReasonBatchFailed:         {failed, status.FailedStatus, corev1.EventTypeWarning},
	v1alpha1.ReasonCancelled:           {cancelled, status.CurrentStatus, corev1.EventTypeNormal},
	v1alpha1.ReasonCancelledExternally: {failed, status.FailedStatus, corev1.EventTypeWarning},
	v1alpha1.ReasonDeadlineExceeded:    {failed, status.FailedStatus, corev1.EventTypeWarning},
	v1alpha1.ReasonSuspended:           {suspended, status.InProgressStatus, corev1.EventTypeNormal},
	v1alpha1.ReasonBatchNotFound:       {stalled, status.FailedStatus, corev1.EventTypeWarning},
	v1alpha1.ReasonRejected:            {stalled, status.FailedStatus, corev1.EventTypeWarning},
	v1alpha1.ReasonCredentialsRejected: {stalled, status.FailedStatus, corev1.EventTypeWarning},
}

// wantState waits for a state, which is named by the reason of Ready, and demands all that
// goes with it: the five conditions, kstatus, and an Event with the same reason.
func (n tenant) wantState(t *testing.T, name, reason string) *v1alpha1.VectorStoreFileBatch {
	t.Helper()
	want, known := verdicts[reason]
	if !known {
		t.Fatalf("there are no promises for %s", reason)
	}
	n.wait(t, name, `jsonpath={.status.conditions[?(@.type=="Ready")].reason}=`+reason)
	text := []byte(n.kubectl(t, "get", "vsfb", name, "--output=json"))
	b, raw := &v1alpha1.VectorStoreFileBatch{}, &unstructured.Unstructured{}
	if err := json.Unmarshal(text, b); err != nil {
		t.Fatal(err)
	}
	if err := raw.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	wantConditions(t, b, reason, want)
	result, err := status.Compute(raw)
	if err != nil {
		t.Fatal(err)
	}
	if result.Status != want.kstatus {
		t.Errorf("%s: kstatus is %s (%s), want %s", reason, result.Status, result.Message, want.kstatus)
	}
	if got := b.Status.FinishedAt != nil; got != (want.conditions[3] == yes) {
		t.Errorf("%s: finishedAt is %v, Finished is %s", reason, b.Status.FinishedAt, want.conditions[3])
	}
	n.wantEvent(t, name, reason, want.event)
	return b
}

func wantConditions(t *testing.T, b *v1alpha1.VectorStoreFileBatch, reason string, want verdict) {
	t.Helper()
	wantAll := map[string]metav1.ConditionStatus{}
	for i, kind := range conditionTypes {
		wantAll[kind] = want.conditions[i]
	}
	got := map[string]metav1.ConditionStatus{}
	for _, c := range b.Status.Conditions {
		got[c.Type] = c.Status
		if c.ObservedGeneration != b.Generation || c.Reason == "" || c.Message == "" || c.LastTransitionTime.IsZero() {
			t.Errorf("%s: the condition is incomplete, or of another generation than %d: %+v", reason, b.Generation, c)
		}
	}
	if diff := cmp.Diff(wantAll, got); diff != "" {
		t.Errorf("%s: conditions (-want +got):\n%s", reason, diff)
	}
	if b.Status.ObservedGeneration != b.Generation {
		t.Errorf("%s: observedGeneration = %d, generation = %d", reason, b.Status.ObservedGeneration, b.Generation)
	}
}

// wantEvent waits for an Event about an object, in what kubectl events shows.
func (n tenant) wantEvent(t *testing.T, name, reason, kind string) {
	t.Helper()
	var shown string
	there := eventually(t, func() bool {
		var events corev1.EventList
		shown = n.kubectl(t, "events", "--for=vectorstorefilebatch/"+name, "--output=json")
		if err := json.Unmarshal([]byte(shown), &events); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(events.Items, func(event corev1.Event) bool {
			return event.Reason == reason && event.Type == kind && event.Message != ""
		})
	})
	if !there {
		t.Errorf("there is no %s Event with reason %s:\n%s", kind, reason, shown)
	}
}

// eventually reports whether a condition comes to hold.
func eventually(t *testing.T, condition func() bool) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return until(ctx, "a condition", func(context.Context) (bool, error) { return condition(), nil }) == nil
}
