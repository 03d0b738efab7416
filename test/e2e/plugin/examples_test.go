// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// exampleJobs returns the Jobs of the examples, by file name.
func exampleJobs(t *testing.T) map[string]batchv1.JobSpec {
	t.Helper()
	jobs := map[string]batchv1.JobSpec{}
	for _, path := range framework.Glob(t, "examples/sync/*.yaml") {
		for _, document := range strings.Split(framework.ReadFile(t, path), "\n---\n") {
			var kind struct{ Kind string }
			if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			switch kind.Kind {
			case "Job":
				var job batchv1.Job
				if err := yaml.UnmarshalStrict([]byte(document), &job); err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				jobs[path] = job.Spec
			case "CronJob":
				var job batchv1.CronJob
				if err := yaml.UnmarshalStrict([]byte(document), &job); err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				jobs[path] = job.Spec.JobTemplate.Spec
			}
		}
	}
	return jobs
}

// TestSyncExamples_Manifests has the API server validate the manifests, also against the Pod security
// standard "restricted".
func TestSyncExamples_Manifests(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.kubectl("label", "namespace", w.Namespace, "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
	for _, path := range framework.Glob(t, "examples/sync/*.yaml") {
		if strings.HasSuffix(path, "github-actions.yaml") {
			continue
		}
		stdout, stderr, err := w.Kubectl.Try(t.Context(), framework.ReadFile(t, path), "create", "--dry-run=server", "--validate=strict", "-f", "-")
		if err != nil || stderr != "" || !strings.Contains(stdout, "handbook-sync") {
			t.Errorf("%s: %v: %s%s", path, err, stdout, stderr)
		}
	}
}

// TestSyncExamples_Jobs runs the arguments of the Jobs with the permissions of their ServiceAccount.
func TestSyncExamples_Jobs(t *testing.T) {
	t.Parallel()
	jobs := exampleJobs(t)
	if len(jobs) != 3 {
		t.Fatalf("there are %d Jobs, want 3", len(jobs))
	}
	for path, job := range jobs {
		t.Run(filepath.Base(path), func(t *testing.T) {
			w := newWorkspace(t, emulator.Options{})
			w.write(3)
			w.kubectl("apply", "-f", framework.Path("examples/sync/rbac.yaml"))
			container := job.Template.Spec.Containers[0]
			w.setenv("XDG_STATE_HOME=" + t.TempDir())
			args := []string{"--as=system:serviceaccount:" + w.Namespace + ":" + job.Template.Spec.ServiceAccountName, "--endpoint=" + w.BaseURL, "--settle-time=1s"}
			for _, arg := range container.Args {
				switch {
				case arg == container.VolumeMounts[0].MountPath:
					arg = "docs"
				case strings.HasPrefix(arg, "--vector-store="):
					arg = "--vector-store=" + store
				}
				args = append(args, arg)
			}
			// The subcommand is the first argument of a plugin.
			stdout, stderr, err := w.try(append([]string{args[3]}, append(args[4:], args[:3]...)...)...)
			if err != nil || !strings.Contains(stdout, "In step: 3 added") {
				t.Errorf("%v: %s%s", err, stdout, stderr)
			}
		})
	}
}

// TestSyncExamples_GitHubActions runs the scripts of the workflow, with a stand-in for gh.
func TestSyncExamples_GitHubActions(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(3)
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct{ Name, Run string }
		}
	}
	if err := yaml.Unmarshal([]byte(framework.ReadFile(t, "examples/sync/github-actions.yaml")), &workflow); err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	if err := os.WriteFile(filepath.Join(tools, "gh"), []byte("#!/bin/sh\ncp comment.md posted.md\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, step := range workflow.Jobs["sync"].Steps {
		if step.Run == "" {
			continue
		}
		ran++
		script := strings.ReplaceAll(step.Run, "--from-env", "--from-env --endpoint="+w.BaseURL)
		command := exec.CommandContext(t.Context(), "bash", "-eo", "pipefail", "-c", script)
		command.Dir = w.folder
		command.Env = append([]string{"OPENAI_API_KEY=" + apiKey, "OPENAI_BASE_URL=" + w.BaseURL, "VECTOR_STORE=" + store, "PULL_REQUEST=1"}, w.Kubectl.Env...)
		for i, variable := range command.Env {
			if path, isPath := strings.CutPrefix(variable, "PATH="); isPath {
				command.Env[i] = "PATH=" + tools + string(filepath.ListSeparator) + path
			}
		}
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", step.Name, err, output)
		}
	}
	if ran != 2 {
		t.Errorf("%d steps ran, want 2", ran)
	}
	posted, err := os.ReadFile(filepath.Join(w.folder, "posted.md"))
	if err != nil || !strings.Contains(string(posted), "+ part-0/page-0000.md  added") {
		t.Errorf("the comment is %q, %v", posted, err)
	}
	if listed := w.listedFromEnv(); listed != 3 {
		t.Errorf("the vector store has %d files, want 3", listed)
	}
}

// listedFromEnv counts the files of the vector store.
func (w *workspace) listedFromEnv() int {
	return strings.Count(w.vsfb("files", "--vector-store", store), "completed")
}
