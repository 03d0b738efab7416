// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

func TestKubectlWaitReturns(t *testing.T) {
	t.Parallel()
	complete := func(t *testing.T, _ tenant, batchID string) { end(t, batchID, "completed") }
	cancel := func(t *testing.T, n tenant, _ string) {
		n.kubectl(t, "patch", "vsfb", "handbook", "--type=merge", `--patch={"spec":{"cancel":true}}`)
	}
	for name, test := range map[string]struct {
		what    string
		happens func(t *testing.T, n tenant, batchID string)
	}{
		"for Finished":            {"condition=Finished", complete},
		"for Ready":               {"condition=Ready", complete},
		"for Succeeded":           {"condition=Succeeded", complete},
		"for the status":          {"jsonpath={.status.status}=cancelled", cancel},
		"for Finished, cancelled": {"condition=Finished", cancel},
		"for Ready, cancelled":    {"condition=Ready", cancel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newUser(t)
			n.apply(t, n.manifest("handbook", `fileIDs: [file-stuck-w]`))
			n.wantState(t, "handbook", v1alpha1.ReasonInProgress)
			waiting := n.waiting(t, "handbook", test.what)
			if err := waiting.died(); err != nil {
				t.Fatalf("it returned before anything happened: %v", err)
			}
			test.happens(t, n, onlyBatch(t, n.store).ID)
			waiting.wantEnd(t)
			// Afterwards it returns at once.
			n.kubectl(t, "wait", "vsfb/handbook", "--for="+test.what, "--timeout=1s")
		})
	}
}

func TestKubectlWaitDoesNotReturnForWhatIsNot(t *testing.T) {
	t.Parallel()
	n := newUser(t)
	admin(t, http.MethodPost, "files", `{"id":"file-late","outcome":{"stuck":true}}`, nil)
	n.apply(t, n.manifest("handbook", `fileIDs: [file-fail-w, file-late]`))
	n.wantState(t, "handbook", v1alpha1.ReasonInProgress)
	n.wantTimeout(t, "condition=Finished")
	finished := n.waiting(t, "handbook", "condition=Finished")
	ready := n.waiting(t, "handbook", "condition=Ready")
	admin(t, http.MethodPost, "files", `{"id":"file-late","outcome":{}}`, nil)
	finished.wantEnd(t)
	n.wantState(t, "handbook", v1alpha1.ReasonFilesFailed)
	if err := ready.died(); err != nil {
		t.Errorf("kubectl wait for Ready returned: %v", err)
	}
	for _, what := range []string{"condition=Ready", "condition=Succeeded", "jsonpath={.status.status}=cancelled"} {
		n.wantTimeout(t, what)
	}
	for _, what := range []string{"condition=Ready=False", "condition=Succeeded=False", "condition=Stalled"} {
		n.kubectl(t, "wait", "vsfb/handbook", "--for="+what, "--timeout=1s")
	}
}

// wantTimeout demands that kubectl wait gives up.
func (n tenant) wantTimeout(t *testing.T, what string) {
	t.Helper()
	output, complaint, err := n.try(t, "", "wait", "vsfb/handbook", "--for="+what, "--timeout=1s")
	if err == nil || !strings.Contains(complaint, "timed out waiting") {
		t.Errorf("kubectl wait --for=%s: %v: %s%s, want it to time out", what, err, output, complaint)
	}
}
