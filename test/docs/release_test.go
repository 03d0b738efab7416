// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package release_test holds what makes a release to what it promises: it releases only what
// was tagged, and with actions that nobody can change afterwards.
package release_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

// TestOnlyWhatWasTaggedIsReleased tries it with a repository of its own, which has the script
// and a Makefile that generates a file from another.
func TestOnlyWhatWasTaggedIsReleased(t *testing.T) {
	for name, test := range map[string]struct {
		tag string
		// change is what is done after the commit was tagged v1.2.3.
		change string
		// refused is what the refusal has to say; empty where there is none.
		refused string
	}{
		"as it was tagged":      {tag: "v1.2.3"},
		"no version":            {tag: "latest", change: "git tag latest", refused: "is not a version"},
		"no such tag":           {tag: "v9.9.9", refused: "there is no tag v9.9.9"},
		"a later commit":        {tag: "v1.2.3", change: "git commit --allow-empty -qm more", refused: "HEAD is not the commit of v1.2.3"},
		"a branch of its own":   {tag: "v1.2.4", change: "git switch -qc aside && git commit --allow-empty -qm aside && git tag v1.2.4", refused: "v1.2.4 is not on main"},
		"a changed file":        {tag: "v1.2.3", change: "echo changed >>source", refused: "the tree differs from v1.2.3"},
		"an untracked file":     {tag: "v1.2.3", change: "echo more >more", refused: "the tree differs from v1.2.3"},
		"something is outdated": {tag: "v1.2.4", change: "echo new >source && git commit -qam new && git tag v1.2.4", refused: "the generated files of v1.2.4 are outdated"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			script, err := os.ReadFile(filepath.Join(controlplane.Root(), "hack", "release.sh"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(folder, "hack"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, "hack", "release.sh"), script, 0o755); err != nil {
				t.Fatal(err)
			}
			setUp := `git init -q -b main . && echo old >source && cp source generated &&
				printf 'generate build-installer:\n\tcp source generated\n' >Makefile &&
				git add . && git commit -qm first && git tag v1.2.3`
			for _, step := range []string{setUp, test.change} {
				if output, err := shell(t, folder, step); err != nil {
					t.Fatalf("%v: %s", err, output)
				}
			}
			output, err := shell(t, folder, "hack/release.sh check "+test.tag)
			if test.refused == "" && err != nil {
				t.Errorf("refused: %s", output)
			}
			if test.refused != "" && (err == nil || !strings.Contains(output, test.refused)) {
				t.Errorf("got %v and %q, want a refusal that says %q", err, output, test.refused)
			}
		})
	}
}

func shell(t *testing.T, folder, command string) (string, error) {
	t.Helper()
	run := exec.CommandContext(t.Context(), "bash", "-c", command)
	run.Dir = folder
	run.Env = append(os.Environ(), "MAIN=main", "HOME="+folder, "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Test", "GIT_AUTHOR_EMAIL=test@example.com", "GIT_COMMITTER_NAME=Test", "GIT_COMMITTER_EMAIL=test@example.com")
	output, err := run.CombinedOutput()
	return string(output), err
}

// TestActionsCannotBeExchanged looks at every action of the workflows: a tag of one can be moved,
// and a commit cannot.
func TestActionsCannotBeExchanged(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(controlplane.Root(), ".github", "workflows", "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("found %d workflows: %v", len(paths), err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		uses := regexp.MustCompile(`(?m)uses:\s*(.*)$`).FindAllStringSubmatch(string(content), -1)
		if len(uses) == 0 {
			t.Errorf("%s uses no action", path)
		}
		for _, use := range uses {
			if !regexp.MustCompile(`^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`).MatchString(use[1]) {
				t.Errorf("%s: %q is not a commit with its version", filepath.Base(path), use[1])
			}
		}
		if !strings.Contains(string(content), "\npermissions: {}\n") {
			t.Errorf("%s gives every job rights that it does not ask for", filepath.Base(path))
		}
	}
}
