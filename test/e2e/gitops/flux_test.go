// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/polling/engine"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/cli-utils/pkg/object"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/fluxcd/pkg/ssa"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// waiting returns the Kustomization of config/flux that waits for its documents.
func waiting(t *testing.T) (spec struct {
	Wait                   bool
	Timeout, RetryInterval metav1.Duration
	HealthCheckExprs       []kustomize.CustomHealthCheck
},
) {
	t.Helper()
	for _, document := range strings.Split(framework.ReadFile(t, "config", "flux", "documents.yaml"), "\n---\n") {
		var kustomization struct{ Spec json.RawMessage }
		if err := yaml.Unmarshal([]byte(document), &kustomization); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(kustomization.Spec, &spec); err != nil {
			t.Fatal(err)
		}
		if spec.Wait {
			return spec
		}
	}
	t.Fatal("no Kustomization of config/flux/documents.yaml waits")
	return spec
}

// expressions returns the healthCheckExprs of config/flux, compiled as Flux does.
func expressions(t *testing.T) *cel.StatusEvaluator {
	t.Helper()
	checks := waiting(t).HealthCheckExprs
	if len(checks) != 1 {
		t.Fatalf("config/flux/documents.yaml has %d healthCheckExprs, want 1", len(checks))
	}
	evaluator, err := cel.NewStatusEvaluator(&checks[0].HealthCheckExpressions)
	if err != nil {
		t.Fatal(err)
	}
	return evaluator
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

// controller is the field manager of Flux.
const controller = "kustomize-controller"

// resourceManager returns the library of Flux's kustomize-controller, with the health check of config/flux.
func (f *fixture) resourceManager() *ssa.ResourceManager {
	f.t.Helper()
	reader, err := cel.NewStatusReader(waiting(f.t).HealthCheckExprs)
	f.must(err)
	mapper := f.Client.RESTMapper()
	poller := polling.NewStatusPoller(f.Client, mapper, polling.Options{CustomStatusReaders: []engine.StatusReader{reader(mapper)}})
	return ssa.NewResourceManager(f.Client, poller, ssa.Owner{Field: controller, Group: "kustomize.toolkit.fluxcd.io"})
}

// applyOptions are those of kustomize-controller: it removes the fields that kubectl set.
func applyOptions() ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: controller, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
	}
	return options
}

// manifest returns the manifest of an object, with only the fields of its spec that are set.
func (f *fixture) manifest(object *v1alpha1.VectorStoreFileBatch) *unstructured.Unstructured {
	f.t.Helper()
	spec, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&object.Spec)
	f.must(err)
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "VectorStoreFileBatch",
		"metadata": map[string]any{"namespace": object.Namespace, "name": object.Name},
		"spec":     spec,
	}}
}

// flux applies an object as Flux does.
func (f *fixture) flux(object *v1alpha1.VectorStoreFileBatch) {
	f.t.Helper()
	_, err := f.resourceManager().Apply(f.t.Context(), f.manifest(object), applyOptions())
	f.must(err)
}

// byHand lists ways to set a field of the spec to true, each with whether Flux keeps it.
var byHand = map[string]struct {
	set     func(f *fixture, field string)
	remains bool
}{
	"kubectl patch": {
		func(f *fixture, field string) { f.patchByHand(field) }, false,
	},
	"kubectl patch with a field manager": {
		func(f *fixture, field string) { f.patchByHand(field, "--field-manager=oncall") }, true,
	},
	"kubectl apply of the field alone": {
		func(f *fixture, field string) { f.Kubectl.Apply(f.t, alone(field)) }, false,
	},
	"kubectl apply of the field alone with a field manager": {
		func(f *fixture, field string) { f.Kubectl.Apply(f.t, alone(field), "--field-manager=oncall") }, true,
	},
}

func (f *fixture) patchByHand(field string, flags ...string) {
	f.t.Helper()
	f.Kubectl.Must(f.t, append([]string{"patch", "vsfb", "documents", "--type=merge", "-p", `{"spec":{"` + field + `":true}}`}, flags...)...)
}

// alone returns a manifest with no field but one.
func alone(field string) string {
	return `{"apiVersion":"vector-store-operator.dev/v1alpha1","kind":"VectorStoreFileBatch","metadata":{"name":"documents"},"spec":{"` + field + `":true}}`
}

// TestFlux_FieldsSetByHand sets a field that the manifest does not have, and lets Flux apply the manifest again. The API
// fails, so that a cancel has not taken effect by then.
func TestFlux_FieldsSetByHand(t *testing.T) {
	for _, field := range []string{"cancel", "suspend"} {
		for name, test := range byHand {
			t.Run(field+"/"+name, func(t *testing.T) {
				f := newFixture(t)
				f.StartManager(t, "flux", framework.Setup{})
				object := f.Batch("documents", stuck)
				f.flux(object)
				f.WaitForReason(t, "documents", "InProgress")
				f.Emulator.AddFault(emulator.Fault{Operation: emulator.Cancel, Status: 503})
				test.set(f, field)
				f.flux(object)
				value, _, err := unstructured.NestedBool(f.raw("documents").Object, "spec", field)
				if err != nil || value != test.remains {
					t.Errorf("after Flux applied the manifest again, spec.%s is %t, want %t (%v)", field, value, test.remains, err)
				}
			})
		}
	}
}

// TestFlux_Waits waits for a batch as kustomize-controller does: in turns that time out, until the batch is finished.
// Its errors name no reason of the object.
func TestFlux_Waits(t *testing.T) {
	f := newFixture(t)
	f.StartManager(t, "flux", framework.Setup{})
	manager := f.resourceManager()
	wait := func(spec v1alpha1.VectorStoreFileBatchSpec, name string, timeout time.Duration) error {
		change, err := manager.Apply(t.Context(), f.manifest(f.Batch(name, spec)), applyOptions())
		f.must(err)
		options := ssa.WaitOptions{Interval: 100 * time.Millisecond, Timeout: timeout, FailFast: true}
		return manager.WaitForSet(object.ObjMetadataSet{change.ObjMetadata}, options)
	}
	contains := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Flux returns %v, want %q", err, want)
		}
	}
	contains(wait(stuck, "documents", time.Second), "timeout waiting for: [VectorStoreFileBatch/"+f.Namespace+"/documents status: 'InProgress']")
	f.setStatus(f.WaitForReason(t, "documents", "InProgress"), "completed")
	f.must(wait(stuck, "documents", framework.Timeout))

	failing := spec{FileIDs: []string{"file-fail-invalid-one"}}
	err := wait(failing, "failing", framework.Timeout)
	contains(err, "failed early due to stalled resources: [VectorStoreFileBatch/"+f.Namespace+"/failing status: 'Failed']")
	cells := strings.Join(strings.Fields(f.Kubectl.Must(t, "get", "vsfb", "failing")), " ")
	if !strings.Contains(cells, "completed FilesFailed") || strings.Contains(fmt.Sprint(err), "FilesFailed") {
		t.Errorf("Flux returns %v, and kubectl prints %s", err, cells)
	}
}

// TestFlux_ExampleReleasesItsWorker: a Kustomization that waits occupies a worker of kustomize-controller until its timeout.
func TestFlux_ExampleReleasesItsWorker(t *testing.T) {
	if spec := waiting(t); spec.Timeout.Duration > 5*time.Minute || spec.RetryInterval.Duration == 0 || spec.RetryInterval.Duration > time.Minute {
		t.Errorf("config/flux/documents.yaml waits %s and retries after %s, want at most 5m and 1m", spec.Timeout.Duration, spec.RetryInterval.Duration)
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
	f.patchByHand("cancel")
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
