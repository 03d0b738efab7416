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

// checkInvariants checks an object after a test: its conditions are consistent with each other and
// with kstatus, and neither the object nor the log contains the key.
func (f *fixture) checkInvariants(b *v1alpha1.VectorStoreFileBatch) {
	ctx := context.Background()
	current := &v1alpha1.VectorStoreFileBatch{}
	err := env.Client.Get(ctx, client.ObjectKeyFromObject(b), current)
	if apierrors.IsNotFound(err) {
		return
	}
	if err != nil {
		f.Error(err)
		return
	}
	if len(current.Status.Conditions) > 0 {
		checkConditions(f.T, current)
	}
	text, err := json.Marshal(current)
	if err != nil {
		f.Error(err)
	}
	if strings.Contains(string(text), apiKey) || strings.Contains(logged.String(), apiKey) {
		f.Errorf("the key is in the object or the log: %s", text)
	}
}

func checkConditions(t *testing.T, b *v1alpha1.VectorStoreFileBatch) {
	t.Helper()
	of := func(conditionType string) metav1.ConditionStatus {
		condition := meta.FindStatusCondition(b.Status.Conditions, conditionType)
		if condition == nil {
			t.Fatalf("condition %s is missing", conditionType)
		}
		if condition.ObservedGeneration != b.Status.ObservedGeneration {
			t.Errorf("condition %s has observedGeneration %d, and the status %d", conditionType, condition.ObservedGeneration, b.Status.ObservedGeneration)
		}
		return condition.Status
	}
	ready, reconciling, stalled := of("Ready"), of("Reconciling"), of("Stalled")
	finished, succeeded := of("Finished"), of("Succeeded")
	if reconciling == "True" && stalled == "True" {
		t.Error("Reconciling and Stalled are both True")
	}
	if (finished == "True") != (succeeded != "Unknown") {
		t.Errorf("Finished is %s, and Succeeded %s", finished, succeeded)
	}
	if (finished == "True") != (b.Status.CompletionTime != nil) {
		t.Errorf("Finished is %s, and completionTime %v", finished, b.Status.CompletionTime)
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
	if got := kstatusOf(t, b); got != want {
		t.Errorf("kstatus is %s, want %s, for %+v", got, want, b.Status.Conditions)
	}
}

// kstatusOf returns the status that kstatus computes for an object.
func kstatusOf(t *testing.T, b *v1alpha1.VectorStoreFileBatch) status.Status {
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
