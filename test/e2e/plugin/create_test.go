// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// write creates files in the working folder.
func (w *workspace) write(count int) {
	w.Helper()
	for i := range count {
		folder := filepath.Join(w.folder, "docs", fmt.Sprintf("part-%d", i/500))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			w.Fatal(err)
		}
		// Every second file has the size and the name of other files.
		name, text := fmt.Sprintf("page-%04d.md", i), fmt.Sprintf("This is page %d.\n", i)
		if i%2 == 1 {
			name = fmt.Sprintf("page-%04d.md", i%500)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			w.Fatal(err)
		}
	}
}

// uploads returns the IDs of the uploaded files.
func (w *workspace) uploads() []string {
	var ids []string
	for _, call := range w.Emulator.Calls(emulator.Upload) {
		if call.FileID != "" {
			ids = append(ids, call.FileID)
		}
	}
	return ids
}

const thousands = 2500

// wantTwoObjects requires that two objects name all the files, each of them once.
func (w *workspace) wantTwoObjects() {
	w.Helper()
	uploads := w.uploads()
	if len(uploads) != thousands {
		w.Errorf("the plugin uploaded %d files, want %d", len(uploads), thousands)
	}
	var attached []string
	for name, want := range map[string]int{"handbook-1": 2000, "handbook-2": 500} {
		ids := w.Get(w.T, name).Spec.FileIDs
		if len(ids) != want {
			w.Errorf("%s has %d files, want %d", name, len(ids), want)
		}
		attached = append(attached, ids...)
	}
	slices.Sort(uploads)
	slices.Sort(attached)
	if diff := cmp.Diff(uploads, attached); diff != "" {
		w.Errorf("files (-uploaded +attached):\n%s", diff)
	}
	if names := w.kubectl("get", "vsfb", "-o", "name"); strings.Count(names, "\n") != 2 {
		w.Errorf("the objects are\n%s", names)
	}
}

func TestCreate_SplitsThousandsOfFiles(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(thousands)
	output, complaint, err := w.try("create", "handbook", "--vector-store", store, "docs")
	if err != nil {
		t.Fatal(err, complaint)
	}
	want := "vectorstorefilebatch.vector-store-operator.dev/handbook-1 created\n" +
		"vectorstorefilebatch.vector-store-operator.dev/handbook-2 created\n"
	if output != want {
		t.Errorf("it printed\n%s", output)
	}
	if !strings.Contains(complaint, "Uploaded 2500 of 2500 files") || strings.ContainsAny(complaint, "\x1b\r") {
		t.Errorf("without a terminal it prints\n%q", complaint)
	}
	w.wantTwoObjects()
	// A second run changes nothing.
	if again := w.vsfb("create", "handbook", "--vector-store", store, "docs"); again != strings.ReplaceAll(want, "created", "unchanged") {
		t.Errorf("the second run printed\n%s", again)
	}
	w.wantTwoObjects()
	w.await("handbook-1", v1alpha1.ReasonCompleted)
	w.await("handbook-2", v1alpha1.ReasonCompleted)
}

func TestCreate_ResumesAfterKill(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(thousands)
	args := []string{"vsfb", "create", "handbook", "--vector-store", store, "docs", "--settle-time=5s"}
	for _, at := range []int{1, 300, 1700} {
		command := w.Kubectl.Cmd(t.Context(), args...)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		w.until(fmt.Sprintf("%d uploads", at), func() bool { return len(w.uploads()) >= at })
		// kubectl replaces its process with the plugin.
		if err := command.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := command.Wait(); err == nil || command.ProcessState.Exited() {
			t.Fatalf("it was not killed: %v", command.ProcessState)
		}
		if uploads := len(w.uploads()); uploads >= thousands {
			t.Fatalf("the kill at %d came too late, at %d", at, uploads)
		}
	}
	if _, complaint, err := w.Kubectl.Try(w.Context(), "", args...); err != nil {
		t.Fatal(err, complaint)
	}
	w.wantTwoObjects()
}

func TestCreate_Interrupted(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(1000)
	var complaints strings.Builder
	command := w.Kubectl.Cmd(t.Context(), "vsfb", "create", "handbook", "--vector-store", store, "docs")
	command.Stderr = &complaints
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	w.until("10 uploads", func() bool { return len(w.uploads()) >= 10 })
	if err := command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err == nil || command.ProcessState.ExitCode() != 130 {
		t.Errorf("it exited with %v", command.ProcessState)
	}
	if said := complaints.String(); !strings.Contains(said, "error: interrupted\n") || !strings.Contains(said, "of 1000 files uploaded; run the same command again to continue") {
		t.Errorf("it printed\n%s", said)
	}
	w.vsfb("create", "handbook", "--vector-store", store, "docs")
	if uploads := len(w.uploads()); uploads != 1000 {
		t.Errorf("the plugin uploaded %d files, want 1000", uploads)
	}
}

func TestCreate_ManifestForGit(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(3)
	text := w.vsfb("create", "handbook", "--vector-store", store, "docs/**/*.md", "--dry-run=client", "-o", "yaml",
		"--attribute", "team=docs", "--attribute", "year=2026", "--attribute", "draft=false", "--attribute", `version="5"`, "--path-attribute=path")
	var b v1alpha1.VectorStoreFileBatch
	if err := yaml.UnmarshalStrict([]byte(text), &b); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if got := len(w.uploads()); got != 3 || len(b.Spec.Files) != 3 {
		t.Errorf("%d uploads, %d files: %s", got, len(b.Spec.Files), text)
	}
	var got []string
	for key, value := range b.Spec.Files[0].Attributes {
		got = append(got, key+"="+string(value.Raw))
	}
	slices.Sort(got)
	want := []string{"draft=false", `path="docs/part-0/page-0000.md"`, `team="docs"`, `version="5"`, "year=2026"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if strings.Contains(text, "status") || strings.Contains(text, "creationTimestamp") {
		t.Errorf("the manifest has fields that do not belong into Git:\n%s", text)
	}
	if there := w.kubectl("get", "vsfb"); there != "" {
		t.Errorf("a dry run created\n%s", there)
	}
	w.apply("git", text, "--validate=strict")
	w.await("handbook", v1alpha1.ReasonCompleted)
}

func TestCreate_WithoutCluster(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	w.write(2)
	w.setenv("KUBECONFIG=" + filepath.Join(w.home, "missing"))
	w.withKey()
	args := []string{"create", "handbook", "--vector-store", store, "docs", "--from-env", "--dry-run=client", "-o", "name"}
	if output := w.vsfb(args...); output != "vectorstorefilebatch.vector-store-operator.dev/handbook\n" {
		t.Errorf("it printed %s", output)
	}
	if got := len(w.uploads()); got != 2 {
		t.Errorf("%d uploads", got)
	}
}

func TestCreate_ReportsTheKeyInUse(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	w.write(1)
	args := []string{"create", "handbook", "--vector-store", store, "docs"}
	if complaint := w.refused(args...); !strings.Contains(complaint, "reading Secret "+w.Namespace+"/openai") ||
		!strings.Contains(complaint, "or export OPENAI_API_KEY") {
		t.Errorf("without a key it prints %s", complaint)
	}
	w.withKey()
	_, complaint, err := w.try(args...)
	if err != nil || !strings.Contains(complaint, "Using OPENAI_API_KEY from the environment: reading Secret "+w.Namespace+"/openai") {
		t.Errorf("%v: %s", err, complaint)
	}
	if strings.Contains(complaint, apiKey) {
		t.Errorf("it shows the key: %s", complaint)
	}
}

func TestCreate_ValidatesBeforeUpload(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(1)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"name":      {[]string{"Handbook", "--vector-store", store, "docs"}, `NAME "Handbook"`},
		"store":     {[]string{"handbook", "--vector-store", "vs/1", "docs"}, "spec.vectorStoreID"},
		"no store":  {[]string{"handbook", "docs"}, `"vector-store" not set`},
		"path":      {[]string{"handbook", "--vector-store", store, "missing"}, "PATH missing does not exist"},
		"attribute": {[]string{"handbook", "--vector-store", store, "docs", "--attribute", "team"}, `--attribute "team" is not KEY=VALUE`},
		"dry run":   {[]string{"handbook", "--vector-store", store, "docs", "--dry-run=maybe"}, "--dry-run must be"},
		"secret":    {[]string{"handbook", "--vector-store", store, "docs", "--secret", "other"}, "/other: secrets"},
	} {
		if complaint := w.refused(append([]string{"create"}, test.args...)...); !strings.Contains(complaint, test.want) {
			t.Errorf("%s: it prints %s, want %q in it", name, complaint, test.want)
		}
	}
	w.apply("another-manager", manifest("taken", []string{"file-a"}))
	if got := len(w.uploads()); got != 0 {
		t.Errorf("%d files were uploaded", got)
	}
	if complaint := w.refused("create", "taken", "--vector-store", store, "docs"); !strings.Contains(complaint, "taken already exists with other files") {
		t.Errorf("it prints %s", complaint)
	}
}
