// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package servers_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// TestInstall_WithoutPython runs the script with a PATH that has no Python, and then an old one.
func TestInstall_WithoutPython(t *testing.T) {
	programs := t.TempDir()
	for _, program := range []string{"bash", "dirname"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(programs, program)); err != nil {
			t.Fatal(err)
		}
	}
	install := func(env ...string) (stdout, stderr string, err error) {
		var output, errors strings.Builder
		command := exec.CommandContext(t.Context(), framework.Path("hack", "ogx", "install.sh"))
		command.Env = append([]string{"PATH=" + programs, "HOME=" + t.TempDir()}, env...)
		command.Stdout, command.Stderr = &output, &errors
		err = command.Run()
		return output.String(), errors.String(), err
	}
	wantSkipped := func() {
		t.Helper()
		stdout, stderr, err := install()
		if err != nil || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "SKIPPED: CPython 3.12 or newer is missing") {
			t.Errorf("%v, stdout %q, stderr %q; want one line that names what is missing", err, stdout, stderr)
		}
		if stdout, stderr, err = install("OGX=required"); err == nil || stdout != "" {
			t.Errorf("with OGX=required: %v, stdout %q, stderr %q; want an error", err, stdout, stderr)
		}
	}
	wantSkipped()
	old := framework.WriteFile(t, programs, "python3", "#!/usr/bin/env bash\nexit 1\n")
	if err := os.Chmod(old, 0o700); err != nil {
		t.Fatal(err)
	}
	wantSkipped()
}
