// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/fluxcd/pkg/ssa"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// expressions returns the healthCheckExprs of config/flux, compiled as Flux does.
func expressions(t *testing.T) *cel.StatusEvaluator {
	t.Helper()
	for _, document := range strings.Split(framework.ReadFile(t, "config", "flux", "documents.yaml"), "\n---\n") {
		var kustomization struct {
			Spec struct {
				HealthCheckExprs []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
			} `json:"spec"`
		}
		if err := yaml.Unmarshal([]byte(document), &kustomization); err != nil {
			t.Fatal(err)
		}
		if checks := kustomization.Spec.HealthCheckExprs; len(checks) > 0 {
			evaluator, err := cel.NewStatusEvaluator(&checks[0].HealthCheckExpressions)
			if err != nil {
				t.Fatal(err)
			}
			return evaluator
		}
	}
	t.Fatal("config/flux/documents.yaml has no healthCheckExprs")
	return nil
}

// wantFlux returns the result that the healthCheckExprs must have for a state: that of kstatus, except
// that a batch whose files are not in the store has failed.
func wantFlux(state state) status.Status {
	switch {
	case strings.HasPrefix(state.name, "cancelled"):
		return status.FailedStatus
	case state.kstatus == status.TerminatingStatus:
		return status.InProgressStatus // Flux checks the deletion before it evaluates the expressions
	default:
		return state.kstatus
	}
}

// flux applies an object with the library of Flux's kustomize-controller: server-side, and removing
// the fields that kubectl set.
func (f *fixture) flux(object *v1alpha1.VectorStoreFileBatch) {
	f.t.Helper()
	const name = "kustomize-controller"
	manager := ssa.NewResourceManager(f.Client, nil, ssa.Owner{Field: name, Group: "kustomize.toolkit.fluxcd.io"})
	options := ssa.DefaultApplyOptions()
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: name, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
	}
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "VectorStoreFileBatch",
		"metadata": map[string]any{"namespace": object.Namespace, "name": object.Name},
		"spec":     map[string]any{"vectorStoreID": object.Spec.VectorStoreID, "fileIDs": object.Spec.FileIDs},
	})
	f.must(err)
	var manifest unstructured.Unstructured
	f.must(yaml.Unmarshal(text, &manifest.Object))
	_, err = manager.Apply(f.t.Context(), &manifest, options)
	f.must(err)
}

// cancelAlone is a manifest with no field but the one that cancels.
const cancelAlone = `{"apiVersion":"vector-store-operator.dev/v1alpha1","kind":"VectorStoreFileBatch","metadata":{"name":"documents"},"spec":{"cancel":true}}`

// byHand lists ways to cancel, each with whether Flux keeps spec.cancel.
var byHand = map[string]struct {
	cancel  func(f *fixture)
	remains bool
}{
	"kubectl patch": {
		func(f *fixture) {
			f.Kubectl.Must(f.t, "patch", "vsfb", "documents", "--type=merge", "-p", `{"spec":{"cancel":true}}`)
		}, false,
	},
	"kubectl patch with a field manager": {
		func(f *fixture) {
			f.Kubectl.Must(f.t, "patch", "vsfb", "documents", "--type=merge", "--field-manager=oncall", "-p", `{"spec":{"cancel":true}}`)
		}, true,
	},
	"kubectl apply of cancel alone with a field manager": {
		func(f *fixture) {
			f.Kubectl.Apply(f.t, cancelAlone, "--field-manager=oncall")
		}, true,
	},
}

// TestFlux_CancelByHandBeforeItTakesEffect cancels an object of Flux by hand while the API fails, so
// that the batch is not cancelled yet when Flux applies the manifest again.
func TestFlux_CancelByHandBeforeItTakesEffect(t *testing.T) {
	for name, test := range byHand {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.StartManager(t, "flux", framework.Setup{})
			object := f.Batch("documents", stuck)
			f.flux(object)
			f.WaitForReason(t, "documents", "InProgress")
			f.Emulator.AddFault(emulator.Fault{Operation: emulator.Cancel, Status: 503})
			test.cancel(f)
			f.flux(object)
			cancel := f.Get(t, "documents").Spec.Cancel
			if remains := cancel != nil && *cancel; remains != test.remains {
				t.Errorf("after Flux applied the manifest again, spec.cancel is set: %t, want %t", remains, test.remains)
			}
		})
	}
}

// TestApply_KeepsACancelByHand applies a manifest without spec.cancel again, as kubectl does, and as
// Argo CD does with kubectl's code.
func TestApply_KeepsACancelByHand(t *testing.T) {
	for name, flags := range map[string][]string{
		"client-side": nil,
		"server-side": {"--server-side", "--force-conflicts", "--field-manager=argocd-controller"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			text, err := yaml.Marshal(f.Batch("documents", stuck))
			f.must(err)
			manifest := framework.WriteFile(t, t.TempDir(), "documents.yaml", string(text))
			apply := append([]string{"apply", "-f", manifest}, flags...)
			f.Kubectl.Must(t, apply...)
			f.Kubectl.Must(f.t, "patch", "vsfb", "documents", "--type=merge", "-p", `{"spec":{"cancel":true}}`)
			f.Kubectl.Must(t, apply...)
			if cancel := f.Get(t, "documents").Spec.Cancel; cancel == nil || !*cancel {
				t.Error("spec.cancel is not set")
			}
		})
	}
}

// TestFlux_CancelByHandAfterItTookEffect removes spec.cancel after the batch was cancelled, as Flux
// does with the field of kubectl.
func TestFlux_CancelByHandAfterItTookEffect(t *testing.T) {
	f := newFixture(t)
	f.StartManager(t, "flux", framework.Setup{})
	object := f.Batch("documents", stuck)
	f.flux(object)
	f.WaitForReason(t, "documents", "InProgress")
	f.Kubectl.Must(f.t, "patch", "vsfb", "documents", "--type=merge", "-p", `{"spec":{"cancel":true}}`)
	f.WaitForReason(t, "documents", "Cancelled")
	f.flux(object)
	framework.Eventually(t, "the operator to observe the manifest without cancel", func() bool {
		b := f.Get(t, "documents")
		return b.Spec.Cancel == nil && b.Status.ObservedGeneration == b.Generation
	})
	b := f.Get(t, "documents")
	if framework.ReadyReason(b) != "Cancelled" || b.Status.CancelRequestTime == nil {
		t.Errorf("after Flux removed spec.cancel it is %s, with a cancel at %v, want Cancelled still", framework.ReadyReason(b), b.Status.CancelRequestTime)
	}
}
