// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"os"
	"path/filepath"
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
	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

// expressions are the healthCheckExprs of config/flux, compiled as Flux does.
func expressions(t *testing.T) *cel.StatusEvaluator {
	t.Helper()
	for _, document := range strings.Split(read(t, filepath.Join(controlplane.Root(), "config", "flux", "documents.yaml")), "\n---\n") {
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

// wantFlux is what the healthCheckExprs have to make of a state: what kstatus does, but that a
// batch whose files are not in the store has failed.
func wantFlux(state state) status.Status {
	switch {
	case strings.HasPrefix(state.name, "cancelled"):
		return status.FailedStatus
	case state.kstatus == status.TerminatingStatus:
		return status.InProgressStatus // Flux looks at the object's end before it asks the expressions
	default:
		return state.kstatus
	}
}

// flux applies an object as Flux's kustomize-controller does, by its own library: server-side,
// and taking away what kubectl set.
func (s *scene) flux(object *v1alpha1.VectorStoreFileBatch) {
	s.t.Helper()
	const name = "kustomize-controller"
	manager := ssa.NewResourceManager(s.Client, nil, ssa.Owner{Field: name, Group: "kustomize.toolkit.fluxcd.io"})
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
	s.must(err)
	var manifest unstructured.Unstructured
	s.must(yaml.Unmarshal(text, &manifest.Object))
	_, err = manager.Apply(s.t.Context(), &manifest, options)
	s.must(err)
}

func (s *scene) kubectl(args ...string) {
	s.t.Helper()
	_, err := s.Plane.Run(s.t.Context(), append([]string{"--namespace", s.Namespace}, args...)...)
	s.must(err)
}

// cancelAlone is a manifest with nothing but what has to be said to cancel.
const cancelAlone = `{"apiVersion":"vector-store-operator.dev/v1alpha1","kind":"VectorStoreFileBatch","metadata":{"name":"documents"},"spec":{"cancel":true}}`

// byHand are ways of cancelling, each with whether spec.cancel outlives Flux.
var byHand = map[string]struct {
	cancel  func(s *scene)
	remains bool
}{
	"kubectl patch": {
		func(s *scene) {
			s.kubectl("patch", "vsfb", "documents", "--type=merge", "-p", `{"spec":{"cancel":true}}`)
		}, false,
	},
	"kubectl patch with a field manager": {
		func(s *scene) {
			s.kubectl("patch", "vsfb", "documents", "--type=merge", "--field-manager=oncall", "-p", `{"spec":{"cancel":true}}`)
		}, true,
	},
	"kubectl apply of cancel alone with a field manager": {
		func(s *scene) {
			command := s.Plane.Kubectl(s.t.Context(), "--namespace", s.Namespace, "apply", "--server-side", "--field-manager=oncall", "-f", "-")
			command.Stdin = strings.NewReader(cancelAlone)
			output, err := command.CombinedOutput()
			if err != nil {
				s.t.Fatalf("%v: %s", err, output)
			}
		}, true,
	},
}

// TestFluxAndACancelByHand cancels an object of Flux by hand while the upstream is away, so
// that the cancel has not got through by the time that Flux applies the manifest again.
func TestFluxAndACancelByHand(t *testing.T) {
	for name, test := range byHand {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.Start(t, "flux", stage.Setup{})
			object := s.Object("documents", stuck)
			s.flux(object)
			s.WaitReason(t, "documents", "InProgress")
			s.Emulator.AddFault(emulator.Fault{Operation: emulator.Cancel, Status: 503})
			test.cancel(s)
			s.flux(object)
			cancel := s.Read(t, "documents").Spec.Cancel
			if remains := cancel != nil && *cancel; remains != test.remains {
				t.Errorf("after Flux applied the manifest again, spec.cancel stands: %t, want %t", remains, test.remains)
			}
		})
	}
}

// TestKubectlApplyLetsACancelStand applies a manifest again that does not name spec.cancel, as
// kubectl does, and Argo CD with kubectl's code.
func TestKubectlApplyLetsACancelStand(t *testing.T) {
	for name, flags := range map[string][]string{
		"client-side": nil,
		"server-side": {"--server-side", "--force-conflicts", "--field-manager=argocd-controller"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			manifest := filepath.Join(t.TempDir(), "documents.yaml")
			text, err := yaml.Marshal(s.Object("documents", stuck))
			s.must(err)
			s.must(os.WriteFile(manifest, text, 0o600))
			apply := append([]string{"apply", "-f", manifest}, flags...)
			s.kubectl(apply...)
			s.kubectl("patch", "vsfb", "documents", "--type=merge", "-p", `{"spec":{"cancel":true}}`)
			s.kubectl(apply...)
			if cancel := s.Read(t, "documents").Spec.Cancel; cancel == nil || !*cancel {
				t.Error("spec.cancel does not stand")
			}
		})
	}
}

// TestACancelThatGotThroughOutlivesFlux takes spec.cancel away after the upstream took the
// cancel, as Flux does with one that kubectl set.
func TestACancelThatGotThroughOutlivesFlux(t *testing.T) {
	s := newScene(t)
	s.Start(t, "flux", stage.Setup{})
	object := s.Object("documents", stuck)
	s.flux(object)
	s.WaitReason(t, "documents", "InProgress")
	s.kubectl("patch", "vsfb", "documents", "--type=merge", "-p", `{"spec":{"cancel":true}}`)
	s.WaitReason(t, "documents", "Cancelled")
	s.flux(object)
	stage.Eventually(t, "the operator to look at the manifest without cancel", func() bool {
		b := s.Read(t, "documents")
		return b.Spec.Cancel == nil && b.Status.ObservedGeneration == b.Generation
	})
	b := s.Read(t, "documents")
	if stage.Reason(b) != "Cancelled" || b.Status.CancelRequestedAt == nil {
		t.Errorf("after Flux took spec.cancel away it is %s, with a cancel at %v, want Cancelled still", stage.Reason(b), b.Status.CancelRequestedAt)
	}
}
