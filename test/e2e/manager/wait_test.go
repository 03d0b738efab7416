// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

func TestKubectlWait_Returns(t *testing.T) {
	t.Parallel()
	complete := func(t *testing.T, _ fixture, batchID string) { finish(t, batchID, "completed") }
	cancel := func(t *testing.T, f fixture, _ string) {
		f.patchSpec(t, "handbook", `{"cancel":true}`)
	}
	for name, test := range map[string]struct {
		state   string
		happens func(t *testing.T, f fixture, batchID string)
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
			f := newFixture(t)
			f.Apply(t, f.manifest("handbook", `fileIDs: [file-stuck-w]`))
			f.wantState(t, "handbook", v1alpha1.ReasonInProgress)
			waiting := f.startWait(t, "handbook", test.state)
			if err := waiting.Err(); err != nil {
				t.Fatalf("it returned too early: %v", err)
			}
			test.happens(t, f, onlyBatch(t, f.store).ID)
			wantSuccess(t, waiting)
			// Now it returns at once.
			f.Must(t, "wait", "vsfb/handbook", "--for="+test.state, "--timeout=1s")
		})
	}
}

func TestKubectlWait_TimesOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	admin(t, http.MethodPost, "files", map[string]any{"id": "file-late", "outcome": map[string]bool{"stuck": true}}, nil)
	f.Apply(t, f.manifest("handbook", `fileIDs: [file-fail-w, file-late]`))
	f.wantState(t, "handbook", v1alpha1.ReasonInProgress)
	f.wantTimeout(t, "condition=Finished")
	finished := f.startWait(t, "handbook", "condition=Finished")
	ready := f.startWait(t, "handbook", "condition=Ready")
	admin(t, http.MethodPost, "files", map[string]any{"id": "file-late", "outcome": map[string]bool{}}, nil)
	wantSuccess(t, finished)
	f.wantState(t, "handbook", v1alpha1.ReasonFilesFailed)
	if err := ready.Err(); err != nil {
		t.Errorf("kubectl wait for Ready returned: %v", err)
	}
	for _, what := range []string{"condition=Ready", "condition=Succeeded", "jsonpath={.status.status}=cancelled"} {
		f.wantTimeout(t, what)
	}
	for _, what := range []string{"condition=Ready=False", "condition=Succeeded=False", "condition=Stalled"} {
		f.Must(t, "wait", "vsfb/handbook", "--for="+what, "--timeout=1s")
	}
}

// wantTimeout requires that kubectl wait times out.
func (f fixture) wantTimeout(t *testing.T, state string) {
	t.Helper()
	stdout, stderr, err := f.Try(t.Context(), "", "wait", "vsfb/handbook", "--for="+state, "--timeout=1s")
	if err == nil || !strings.Contains(stderr, "timed out waiting") {
		t.Errorf("kubectl wait --for=%s: %v: %s%s, want a timeout", state, err, stdout, stderr)
	}
}

// startWait starts kubectl wait, and returns once that watches the object.
func (f fixture) startWait(t *testing.T, name, state string) *framework.Process {
	t.Helper()
	// At this verbosity kubectl logs its requests.
	command := f.Cmd(t.Context(), "wait", "vsfb/"+name, "--for="+state, "--timeout="+framework.Timeout.String(), "-v=6")
	p, err := framework.RunCmd(command, framework.Command{Name: "kubectl wait", Log: filepath.Join(t.TempDir(), "wait.log")})
	if err != nil {
		t.Fatal(err)
	}
	p.KillAfter(t)
	p.MustOutput(t, "watch=true")
	return p
}

func wantSuccess(t *testing.T, p *framework.Process) {
	t.Helper()
	if code := p.MustExit(t); code != 0 {
		t.Errorf("%s exited with code %d: %s", p.Name, code, p.Tail())
	}
}
