// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// checkInvariants looks at what a test left: the conditions agree with each other and with
// kstatus, and the key is nowhere.
func (w *world) checkInvariants(b *v1alpha1.VectorStoreFileBatch) {
	ctx := context.Background()
	current := &v1alpha1.VectorStoreFileBatch{}
	err := k8s.Get(ctx, client.ObjectKeyFromObject(b), current)
	if apierrors.IsNotFound(err) {
		return
	}
	if err != nil {
		w.Error(err)
		return
	}
	if len(current.Status.Conditions) > 0 {
		checkConditions(w.T, current)
	}
	text, err := json.Marshal(current)
	if err != nil {
		w.Error(err)
	}
	if strings.Contains(string(text), apiKey) || strings.Contains(logged.String(), apiKey) {
		w.Errorf("the key stands in the object or the log: %s", text)
	}
}

func checkConditions(t *testing.T, b *v1alpha1.VectorStoreFileBatch) {
	t.Helper()
	is := func(kind string) metav1.ConditionStatus {
		condition := meta.FindStatusCondition(b.Status.Conditions, kind)
		if condition == nil {
			t.Fatalf("condition %s is missing", kind)
		}
		if condition.ObservedGeneration != b.Status.ObservedGeneration {
			t.Errorf("condition %s is of generation %d, and the status of %d", kind, condition.ObservedGeneration, b.Status.ObservedGeneration)
		}
		return condition.Status
	}
	ready, reconciling, stalled := is("Ready"), is("Reconciling"), is("Stalled")
	finished, succeeded := is("Finished"), is("Succeeded")
	if reconciling == "True" && stalled == "True" {
		t.Error("Reconciling and Stalled are both True")
	}
	if (finished == "True") != (succeeded != "Unknown") {
		t.Errorf("Finished is %s, and Succeeded %s", finished, succeeded)
	}
	if (finished == "True") != (b.Status.FinishedAt != nil) {
		t.Errorf("Finished is %s, and finishedAt %v", finished, b.Status.FinishedAt)
	}
	if b.Status.ObservedGeneration != b.Generation {
		return
	}
	want := status.InProgressStatus
	switch {
	case ready == "True":
		want = status.CurrentStatus
	case stalled == "True":
		want = status.FailedStatus
	}
	if got := judgement(t, b); got != want {
		t.Errorf("kstatus says %s, want %s, of %+v", got, want, b.Status.Conditions)
	}
}

// judgement is what kstatus makes of an object.
func judgement(t *testing.T, b *v1alpha1.VectorStoreFileBatch) status.Status {
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
