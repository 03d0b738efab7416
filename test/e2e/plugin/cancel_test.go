// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/ssa"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl"
)

// slow is a pace at which no batch finishes during a test.
var slow = emulator.Options{Settings: emulator.Settings{Pace: time.Hour}}

func TestCancel_KeptByApply(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, slow)
	text := manifest("handbook", []string{"file-a", "file-b"})
	w.apply("kustomize-controller", text)
	w.await("handbook", v1alpha1.ReasonInProgress)
	if output := w.vsfb("cancel", "handbook", "--wait", "--timeout=1m"); output != "vectorstorefilebatch.vector-store-operator.dev/handbook cancel requested\n" {
		t.Errorf("it printed %s", output)
	}
	w.apply("kustomize-controller", text)
	w.apply("kustomize-controller", text, "--force-conflicts")
	w.apply("another-manager", text)
	b := w.Get(w.T, "handbook")
	if b.Spec.Cancel == nil || !*b.Spec.Cancel {
		t.Errorf("spec.cancel is %v after another manager applied the manifest without it", b.Spec.Cancel)
	}
}

// TestCancel_KeptByFlux runs Flux's own code, which takes over the fields of kubectl before each apply.
func TestCancel_KeptByFlux(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, slow)
	w.apply("kustomize-controller", manifest("handbook", []string{"file-a"}))
	w.vsfb("cancel", "handbook")
	w.kubectl("label", "vsfb", "handbook", "by-hand=yes")
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON([]byte(w.kubectl("get", "vsfb", "handbook", "--show-managed-fields", "-o", "json"))); err != nil {
		t.Fatal(err)
	}
	patches, err := ssa.PatchReplaceFieldsManagers(object, []ssa.FieldManager{
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
		{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
	}, "kustomize-controller")
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(patches)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), `"kubectl-label"`) || len(patches) == 0 {
		t.Errorf("Flux does not take over the field of kubectl label: %s", text)
	}
	if !strings.Contains(string(text), kubectl.CancelManager) {
		t.Errorf("Flux takes the cancel over: %s", text)
	}
}

func TestCancel_OwnsOneField(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, slow)
	w.apply("git", manifest("handbook", []string{"file-a"}, "  cancel: false"))
	w.vsfb("cancel", "handbook")
	text := w.kubectl("get", "vsfb", "handbook", "--show-managed-fields", "-o", `jsonpath={.metadata.managedFields[?(@.manager=="vsfb-cancel")].fieldsV1}`)
	if text != `{"f:spec":{"f:cancel":{}}}` {
		t.Errorf("%s owns %s", kubectl.CancelManager, text)
	}
	operation := w.kubectl("get", "vsfb", "handbook", "--show-managed-fields", "-o", `jsonpath={.metadata.managedFields[?(@.manager=="vsfb-cancel")].operation}`)
	if operation != string(metav1.ManagedFieldsOperationApply) {
		t.Errorf("the operation is %q", operation)
	}
	if b := w.Get(w.T, "handbook"); b.Spec.Cancel == nil || !*b.Spec.Cancel {
		t.Error("the cancel did not override spec.cancel: false")
	}
}

func TestCancel_Selector(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.apply("git", manifest("done", []string{"file-a"}))
	w.await("done", v1alpha1.ReasonCompleted)
	w.Emulator.Configure(func(s *emulator.Settings) { s.Pace = time.Hour })
	w.apply("git", manifest("one", []string{"file-b"}))
	w.apply("git", manifest("two", []string{"file-c"}))
	w.apply("git", strings.Replace(manifest("other", []string{"file-d"}), "team: docs", "team: legal", 1))
	for _, name := range []string{"one", "two", "other"} {
		w.await(name, v1alpha1.ReasonInProgress)
	}
	if output := w.vsfb("cancel", "-l", "team=docs", "--dry-run=server", "-o", "name"); strings.Count(output, "\n") != 2 {
		t.Errorf("the dry run printed\n%s", output)
	}
	w.vsfb("cancel", "-l", "team=docs", "--wait", "--timeout=1m")
	got := map[string]string{}
	for _, name := range []string{"done", "one", "two", "other"} {
		b := w.Get(w.T, name)
		got[name] = b.Status.Status
		if (b.Spec.Cancel != nil) != (name == "one" || name == "two") {
			t.Errorf("spec.cancel of %s is %v", name, b.Spec.Cancel)
		}
	}
	want := map[string]string{"done": "completed", "one": "cancelled", "two": "cancelled", "other": "in_progress"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if output := w.vsfb("cancel", "done"); output != "vectorstorefilebatch.vector-store-operator.dev/done already finished\n" {
		t.Errorf("it printed %s", output)
	}
	if b := w.Get(w.T, "done"); b.Spec.Cancel != nil {
		t.Errorf("spec.cancel of a finished batch is %v", *b.Spec.Cancel)
	}
}

// TestCancel_WaitReportsCancelFailed requires an error for a batch that may still be running.
func TestCancel_WaitReportsCancelFailed(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, slow)
	w.Emulator.AddFault(emulator.Fault{Operation: emulator.Cancel, Status: http.StatusMethodNotAllowed})
	w.apply("git", manifest("handbook", []string{"file-a"}))
	w.await("handbook", v1alpha1.ReasonInProgress)
	if complaint := w.refused("cancel", "handbook", "--wait", "--timeout=2m"); !strings.Contains(complaint, "handbook was not cancelled: The API did not accept the cancellation") {
		t.Errorf("it prints %s", complaint)
	}
}

func TestCancel_WaitTimesOut(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{Settings: emulator.Settings{Pace: time.Hour, CancelDelay: time.Hour}})
	w.apply("git", manifest("handbook", []string{"file-a"}))
	w.await("handbook", v1alpha1.ReasonInProgress)
	if complaint := w.refused("cancel", "handbook", "--wait", "--timeout=2s"); !strings.Contains(complaint, "handbook is not finished after 2s") {
		t.Errorf("it prints %s", complaint)
	}
}

func TestCancel_RejectsArguments(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	for want, args := range map[string][]string{
		"no batches selected":       {},
		"mutually exclusive":        {"a", "-l", "team=docs"},
		"--timeout requires --wait": {"a", "--timeout=1s"},
		`"missing" not found`:       {"missing"},
	} {
		if complaint := w.refused(append([]string{"cancel"}, args...)...); !strings.Contains(complaint, want) {
			t.Errorf("%q: it prints %s, want %q in it", args, complaint, want)
		}
	}
	if there := w.kubectl("get", "vsfb"); there != "" {
		t.Errorf("cancelling a missing object created\n%s", there)
	}
}
