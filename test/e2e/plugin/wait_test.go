// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

func TestWait_ExitCodes(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.apply("git", manifest("fine", fileIDs("file-", 3)))
	w.apply("git", manifest("failing", fileIDs("file-fail-", 2)))
	w.apply("git", manifest("tolerant", fileIDs("file-fail-", 2), "  maxFailedFiles: 2"))
	w.apply("git", manifest("stuck", fileIDs("file-stuck-", 2)))
	w.apply("git", manifest("stalled", fileIDs("file-", 1), "  credentialsRef: {name: missing}"))
	w.await("stalled", v1alpha1.ReasonCredentialsNotFound)
	w.await("stuck", v1alpha1.ReasonInProgress)
	for _, test := range []struct {
		code int
		args []string
		want []string
	}{
		{0, []string{"fine", "tolerant"}, []string{"fine finished: Completed (3/3 completed, 0 failed, 0 cancelled)", "tolerant finished: Completed (0/2 completed, 2 failed"}},
		{1, []string{"fine", "failing"}, []string{"fine finished", "failing finished: FilesFailed", "error: failing did not succeed: FilesFailed: 2 of 2 files failed"}},
		{2, []string{"stuck", "--timeout=2s"}, []string{"error: stuck is not finished after 2s: 0/2 files completed, 0 failed"}},
		{2, []string{"stalled", "--timeout=2s"}, []string{"stalled is waiting: CredentialsNotFound", "error: stalled is not finished after 2s"}},
		{2, []string{"--all", "--timeout=2s"}, []string{"is not finished after 2s"}},
		{1, []string{"missing"}, []string{`"missing" not found`}},
		{1, []string{}, []string{"no batches selected"}},
		{0, []string{"-l", "team=none"}, []string{"No batches found"}},
	} {
		_, complaint := w.wantExit(test.code, append([]string{"wait"}, test.args...)...)
		for _, want := range test.want {
			if !strings.Contains(complaint, want) {
				t.Errorf("wait %q prints %s, want %q in it", test.args, complaint, want)
			}
		}
	}
}

func TestWait_UntilFinished(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{Settings: emulator.Settings{Pace: time.Hour}})
	w.apply("git", manifest("deleted", fileIDs("file-a", 1)))
	w.apply("git", manifest("cancelled", fileIDs("file-b", 1)))
	w.await("deleted", v1alpha1.ReasonInProgress)
	w.await("cancelled", v1alpha1.ReasonInProgress)
	var complaint strings.Builder
	var commands []*exec.Cmd
	for _, name := range []string{"deleted", "cancelled"} {
		command := w.Kubectl.Cmd(t.Context(), "vsfb", "wait", name)
		commands = append(commands, command)
		if name == "deleted" {
			command.Stderr = &complaint
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
	}
	w.kubectl("delete", "vsfb", "deleted")
	w.vsfb("cancel", "cancelled")
	for _, command := range commands {
		if err := command.Wait(); command.ProcessState.ExitCode() != 1 {
			t.Errorf("%q exited with %v, want 1", command.Args, err)
		}
	}
	// The command may start after the deletion.
	if !strings.Contains(complaint.String(), "deleted was deleted") && !strings.Contains(complaint.String(), "not found") {
		t.Errorf("it prints %s", complaint.String())
	}
}
