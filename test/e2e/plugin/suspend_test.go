// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// wantSuspended requires the value of spec.suspend.
func (w *workspace) wantSuspended(name, want string) {
	w.Helper()
	got := "unset"
	if suspend := w.Get(w.T, name).Spec.Suspend; suspend != nil {
		got = fmt.Sprint(*suspend)
	}
	if got != want {
		w.Errorf("spec.suspend of %s is %s, want %s", name, got, want)
	}
}

func TestSuspend_KeptByApply(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, slow)
	text := manifest("handbook", fileIDs("file-", 2))
	w.apply("kustomize-controller", text)
	w.await("handbook", v1alpha1.ReasonInProgress)
	if output := w.vsfb("suspend", "handbook", "--dry-run=server"); output != "vectorstorefilebatch.vector-store-operator.dev/handbook suspended (server dry run)\n" {
		t.Errorf("it printed %s", output)
	}
	w.wantSuspended("handbook", "unset")
	if output := w.vsfb("suspend", "handbook"); output != "vectorstorefilebatch.vector-store-operator.dev/handbook suspended\n" {
		t.Errorf("it printed %s", output)
	}
	w.apply("kustomize-controller", text, "--force-conflicts")
	w.apply("another-manager", text)
	w.wantSuspended("handbook", "true")
	w.await("handbook", v1alpha1.ReasonSuspended)
	owned := w.kubectl("get", "vsfb", "handbook", "--show-managed-fields", "-o", `jsonpath={.metadata.managedFields[?(@.manager=="vsfb-suspend")].fieldsV1}`)
	if owned != `{"f:spec":{"f:suspend":{}}}` {
		t.Errorf("the command owns %s", owned)
	}
	if output := w.vsfb("resume", "handbook"); output != "vectorstorefilebatch.vector-store-operator.dev/handbook resumed\n" {
		t.Errorf("it printed %s", output)
	}
	w.wantSuspended("handbook", "unset")
	w.await("handbook", v1alpha1.ReasonInProgress)
	if output := w.vsfb("resume", "handbook"); !strings.HasSuffix(output, "not suspended\n") {
		t.Errorf("it printed %s", output)
	}
}

func TestResume_OverridesOtherManagers(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, slow)
	w.apply("git", manifest("handbook", fileIDs("file-", 2), "  suspend: true"))
	w.await("handbook", v1alpha1.ReasonSuspended)
	w.vsfb("suspend", "handbook")
	w.vsfb("resume", "handbook", "--dry-run=client")
	w.wantSuspended("handbook", "true")
	w.vsfb("resume", "handbook")
	w.wantSuspended("handbook", "false")
	w.await("handbook", v1alpha1.ReasonInProgress)
}

func TestSuspend_Selector(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.apply("git", manifest("done", fileIDs("file-", 1)))
	w.await("done", v1alpha1.ReasonCompleted)
	w.apply("git", manifest("stuck", fileIDs("file-stuck-", 1)))
	w.apply("git", strings.Replace(manifest("other", fileIDs("file-stuck-", 1)), "team: docs", "team: legal", 1))
	_, complaint := w.wantExit(0, "suspend", "-l", "team=docs")
	if !strings.Contains(complaint, "1 batch to suspend; 1 already finished.") {
		t.Errorf("it prints %s", complaint)
	}
	for name, want := range map[string]*bool{"done": nil, "stuck": ptr.To(true), "other": nil} {
		if got := w.Get(t, name).Spec.Suspend; !ptr.Equal(got, want) {
			t.Errorf("spec.suspend of %s is %v, want %v", name, got, want)
		}
	}
	if output := w.vsfb("suspend", "done"); !strings.HasSuffix(output, "already finished\n") {
		t.Errorf("it printed %s", output)
	}
	w.refused("suspend")
	w.refused("resume", "stuck", "--all")
}
