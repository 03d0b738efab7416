// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// TestRelease_OnlyTaggedCommits runs the script in a repository of its own, with a Makefile that generates a
// file from another.
func TestRelease_OnlyTaggedCommits(t *testing.T) {
	for name, test := range map[string]struct {
		tag string
		// change is a command that runs after the commit is tagged v1.2.3.
		change string
		// refused is part of the error; empty if the script succeeds.
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
			script, err := os.ReadFile(framework.Path("hack", "release.sh"))
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
				t.Errorf("got %v and %q, want an error with %q", err, output, test.refused)
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

// TestWorkflows_PinActions requires that the workflows, also those of the docs and the examples, name their actions by
// commit: a tag can move.
func TestWorkflows_PinActions(t *testing.T) {
	workflows := map[string]string{}
	for _, path := range framework.Glob(t, ".github/workflows/*.yaml", "examples/*/github-actions.yaml") {
		workflows[path] = read(t, path)
	}
	for _, page := range pages(t) {
		for i, block := range blocks(t, page, "yaml") {
			if strings.HasPrefix(block, "# .github/workflows/") {
				workflows[fmt.Sprintf("%s %d", page, i+1)] = block
			}
		}
	}
	for path, content := range workflows {
		uses := regexp.MustCompile(`(?m)uses:\s*(.*)$`).FindAllStringSubmatch(content, -1)
		if len(uses) == 0 {
			t.Errorf("%s uses no action", path)
		}
		for _, use := range uses {
			if !regexp.MustCompile(`^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`).MatchString(use[1]) {
				t.Errorf("%s: %q is not a commit with its version", path, use[1])
			}
		}
		if !strings.HasPrefix(path, "examples/") && !strings.Contains(content, "\npermissions: {}\n") {
			t.Errorf("%s grants permissions to every job", path)
		}
	}
}

// TestImages_PinnedByDigest requires that the images of other projects that the Dockerfile and the chart use are named by
// digest: a tag can move.
func TestImages_PinnedByDigest(t *testing.T) {
	var images []string
	for _, from := range regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+)`).FindAllStringSubmatch(read(t, "Dockerfile"), -1) {
		if from[1] != "scratch" {
			images = append(images, from[1])
		}
	}
	for _, image := range regexp.MustCompile(`(?m)^\s+image: (\S+)`).FindAllStringSubmatch(read(t, "charts/vector-store-operator/values.yaml"), -1) {
		images = append(images, image[1])
	}
	if len(images) < 2 {
		t.Errorf("found the images %q", images)
	}
	for _, image := range images {
		if !regexp.MustCompile(`^\S+:v?[\d.]+@sha256:[0-9a-f]{64}$`).MatchString(image) {
			t.Errorf("%s has no version with its digest", image)
		}
	}
}

// TestReleaseWorkflow_AttestsEachImage requires that each image that a release builds is published and attested.
func TestReleaseWorkflow_AttestsEachImage(t *testing.T) {
	script, workflow := read(t, "hack/release.sh"), read(t, ".github/workflows/release.yaml")
	images := regexp.MustCompile(`build_image ([a-z-]+) "\$1" >"\$out/([a-z-]+)"`).FindAllStringSubmatch(script, -1)
	if len(images) != 2 {
		t.Fatalf("the script builds the images %q", images)
	}
	for _, image := range images {
		if image[1] != image[2] || !strings.Contains(script, "\tpublish_image "+image[1]+" \"$tag\"\n") {
			t.Errorf("the script does not publish %s", image[1])
		}
		for _, want := range []string{"subject-name: ${{ steps.images.outputs." + image[1] + "-name }}", "subject-digest: ${{ steps.images.outputs." + image[1] + "-digest }}"} {
			if !strings.Contains(workflow, want) {
				t.Errorf("the workflow does not contain %q", want)
			}
		}
	}
}

// TestReleaseWorkflow_SeparatesBuildAndCredentials requires that no job both compiles and can write.
func TestReleaseWorkflow_SeparatesBuildAndCredentials(t *testing.T) {
	var workflow struct {
		Jobs map[string]struct {
			Permissions map[string]string
			Steps       []struct{ Uses, Run string }
		}
	}
	framework.ReadYAML(t, &workflow, ".github", "workflows", "release.yaml")
	builds := regexp.MustCompile(`setup-go|release\.sh (check|build|image|manifests)|\bmake\b|\bgo (run|build|install)\b|\.ci/run`)
	publishing := 0
	for name, job := range workflow.Jobs {
		writes := false
		for _, access := range job.Permissions {
			writes = writes || access == "write"
		}
		for _, step := range job.Steps {
			if writes && builds.MatchString(step.Uses+" "+step.Run) {
				t.Errorf("the job %s has permissions to write, and compiles: %s%s", name, step.Uses, step.Run)
			}
		}
		if writes {
			publishing++
		}
	}
	if publishing != 1 {
		t.Errorf("%d jobs can write, want 1", publishing)
	}
}
