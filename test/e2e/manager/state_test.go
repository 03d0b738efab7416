// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// promise is what the API promises for a state: the conditions, in the order of conditionTypes, and the
// type of the Event. Package gitops tests what kstatus returns.
type promise struct {
	conditions [5]metav1.ConditionStatus
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

// promises are by the reason of Ready.
var promises = map[string]promise{
	v1alpha1.ReasonInProgress:          {ongoing, corev1.EventTypeNormal},
	v1alpha1.ReasonCancelling:          {ongoing, corev1.EventTypeNormal},
	v1alpha1.ReasonCredentialsNotFound: {ongoing, corev1.EventTypeWarning},
	v1alpha1.ReasonRateLimited:         {ongoing, corev1.EventTypeWarning},
	v1alpha1.ReasonUpstreamUnavailable: {ongoing, corev1.EventTypeWarning},
	v1alpha1.ReasonCompleted:           {succeeded, corev1.EventTypeNormal},
	v1alpha1.ReasonFilesFailed:         {failed, corev1.EventTypeWarning},
	v1alpha1.ReasonFilesMissing:        {failed, corev1.EventTypeWarning},
	v1alpha1.ReasonBatchFailed:         {failed, corev1.EventTypeWarning},
	v1alpha1.ReasonCancelled:           {cancelled, corev1.EventTypeNormal},
	v1alpha1.ReasonCancelledExternally: {failed, corev1.EventTypeWarning},
	v1alpha1.ReasonDeadlineExceeded:    {failed, corev1.EventTypeWarning},
	v1alpha1.ReasonCancelFailed:        {failed, corev1.EventTypeWarning},
	v1alpha1.ReasonSuspended:           {suspended, corev1.EventTypeNormal},
	v1alpha1.ReasonBatchNotFound:       {stalled, corev1.EventTypeWarning},
	v1alpha1.ReasonInvalidSpec:         {stalled, corev1.EventTypeWarning},
	v1alpha1.ReasonRejected:            {stalled, corev1.EventTypeWarning},
	v1alpha1.ReasonEndpointNotAllowed:  {stalled, corev1.EventTypeWarning},
	v1alpha1.ReasonCredentialsRejected: {stalled, corev1.EventTypeWarning},
}

// wantState waits for a state, which has the name of the reason of Ready, and requires its five
// conditions and an Event with the same reason.
func (f fixture) wantState(t *testing.T, name, reason string) *v1alpha1.VectorStoreFileBatch {
	t.Helper()
	want, known := promises[reason]
	if !known {
		t.Fatalf("the API promises nothing for %s", reason)
	}
	f.WaitForReason(t, name, reason)
	b := f.Batch(t, name)
	wantConditions(t, b, reason, want)
	if got := b.Status.CompletionTime != nil; got != (want.conditions[3] == yes) {
		t.Errorf("%s: completionTime is %v, Finished is %s", reason, b.Status.CompletionTime, want.conditions[3])
	}
	f.wantEvent(t, name, reason, want.event)
	return b
}

func wantConditions(t *testing.T, b *v1alpha1.VectorStoreFileBatch, reason string, want promise) {
	t.Helper()
	wantAll := map[string]metav1.ConditionStatus{}
	for i, kind := range conditionTypes {
		wantAll[kind] = want.conditions[i]
	}
	got := map[string]metav1.ConditionStatus{}
	for _, c := range b.Status.Conditions {
		if c.Type != v1alpha1.ConditionSuspended { // only of objects that are or were suspended
			got[c.Type] = c.Status
		}
		if c.ObservedGeneration != b.Generation || c.Reason == "" || c.Message == "" || c.LastTransitionTime.IsZero() {
			t.Errorf("%s: the condition is incomplete, or not of generation %d: %+v", reason, b.Generation, c)
		}
	}
	if diff := cmp.Diff(wantAll, got); diff != "" {
		t.Errorf("%s: conditions (-want +got):\n%s", reason, diff)
	}
	if b.Status.ObservedGeneration != b.Generation {
		t.Errorf("%s: observedGeneration = %d, generation = %d", reason, b.Status.ObservedGeneration, b.Generation)
	}
}

// wantEvent waits for an Event about an object in the output of kubectl events.
func (f fixture) wantEvent(t *testing.T, name, reason, kind string) {
	t.Helper()
	framework.Await(t, "a "+kind+" Event with reason "+reason, func() (events corev1.EventList) {
		f.Decode(t, &events, "events", "--for=vectorstorefilebatch/"+name, "--output=json")
		return events
	}, func(events corev1.EventList) bool {
		return slices.ContainsFunc(events.Items, func(event corev1.Event) bool {
			return event.Reason == reason && event.Type == kind && event.Message != ""
		})
	})
}
