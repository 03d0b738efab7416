// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
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

// endpoint is the flag that permits to send files to the emulator.
func (w *workspace) endpoint() string { return "--endpoint=" + strings.TrimPrefix(w.URL, "http://") }

// creating returns the arguments that create batches from files.
func (w *workspace) creating(name string, args ...string) []string {
	return append([]string{"create", name, "--vector-store", store, w.endpoint()}, args...)
}

// wantExit runs the plugin, which must exit with a code, and returns its outputs.
func (w *workspace) wantExit(code int, args ...string) (stdout, stderr string) {
	w.Helper()
	stdout, stderr, err := w.try(args...)
	got := 0
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		got = failed.ExitCode()
	} else if err != nil {
		w.Fatal(err)
	}
	if got != code {
		w.Fatalf("kubectl vsfb %s exited with %d, want %d: %s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	return stdout, stderr
}

// wantObjects requires that five objects name all the files, each of them once.
func (w *workspace) wantObjects() {
	w.Helper()
	uploads := w.uploads()
	if len(uploads) != thousands {
		w.Errorf("the plugin uploaded %d files, want %d", len(uploads), thousands)
	}
	var attached []string
	for i := range 5 {
		name := fmt.Sprintf("handbook-%d", i+1)
		ids := w.Get(w.T, name).Spec.FileIDs
		if len(ids) != 500 {
			w.Errorf("%s has %d files, want 500", name, len(ids))
		}
		attached = append(attached, ids...)
	}
	slices.Sort(uploads)
	slices.Sort(attached)
	if diff := cmp.Diff(uploads, attached); diff != "" {
		w.Errorf("files (-uploaded +attached):\n%s", diff)
	}
	if names := w.kubectl("get", "vsfb", "-o", "name"); strings.Count(names, "\n") != 5 {
		w.Errorf("the objects are\n%s", names)
	}
}

func TestCreate_SplitsThousandsOfFiles(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(thousands)
	output, complaint := w.wantExit(0, w.creating("handbook", "docs")...)
	want := ""
	for i := range 5 {
		want += fmt.Sprintf("vectorstorefilebatch.vector-store-operator.dev/handbook-%d created\n", i+1)
	}
	if output != want {
		t.Errorf("it printed\n%s", output)
	}
	if !strings.Contains(complaint, "Uploading: 2500 of 2500 files") || strings.ContainsAny(complaint, "\x1b\r") {
		t.Errorf("without a terminal it prints\n%q", complaint)
	}
	w.wantObjects()
	// A second run changes nothing.
	if again := w.vsfb(w.creating("handbook", "docs")...); again != strings.ReplaceAll(want, "created", "unchanged") {
		t.Errorf("the second run printed\n%s", again)
	}
	w.wantObjects()
	w.await("handbook-1", v1alpha1.ReasonCompleted)
	w.await("handbook-5", v1alpha1.ReasonCompleted)
}

func TestCreate_ResumesAfterKill(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(thousands)
	args := append([]string{"vsfb"}, w.creating("handbook", "docs", "--settle-time=5s")...)
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
	w.wantObjects()
}

func TestCreate_Interrupted(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(1000)
	var complaints strings.Builder
	command := w.Kubectl.Cmd(t.Context(), append([]string{"vsfb"}, w.creating("handbook", "docs")...)...)
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
	w.vsfb(w.creating("handbook", "docs")...)
	if uploads := len(w.uploads()); uploads != 1000 {
		t.Errorf("the plugin uploaded %d files, want 1000", uploads)
	}
}

func TestCreate_ManifestForGit(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(3)
	text := w.vsfb(w.creating("handbook", "docs/**/*.md", "--upload-only",
		"--attribute", "team=docs", "--attribute", "year=2026", "--attribute", "draft=false", "--attribute", `version="5"`, "--path-attribute=path")...)
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
		t.Errorf("it created\n%s", there)
	}
	w.apply("git", text, "--validate=strict")
	w.await("handbook", v1alpha1.ReasonCompleted)
}

func TestCreate_FieldsOfTheSpec(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(3)
	flags := []string{"--label=team=docs", "--max-failed-files=1", "--deadline=2h", "--deletion-policy=DetachFiles", "--chunk-size=200", "--chunk-overlap=50"}
	_, complaint := w.wantExit(0, append(w.creating("handbook", "docs", "--wait", "--timeout=5m"), flags...)...)
	if want := "handbook finished: Completed (3/3 completed"; !strings.Contains(complaint, want) {
		t.Errorf("it prints %s, want %q in it", complaint, want)
	}
	b := w.Get(t, "handbook")
	got := []any{b.Labels, *b.Spec.MaxFailedFiles, *b.Spec.ActiveDeadlineSeconds, b.Spec.DeletionPolicy, b.Spec.ChunkingStrategy.Static.MaxChunkSizeTokens}
	if diff := cmp.Diff([]any{map[string]string{"team": "docs"}, int32(1), int64(7200), v1alpha1.DeletionPolicyDetachFiles, int32(200)}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if text := w.vsfb(append(w.creating("handbook", "docs", "--wait"), flags...)...); !strings.Contains(text, "unchanged") {
		t.Errorf("a second run prints %s", text)
	}
	for _, args := range [][]string{{"--wait", "--upload-only"}, {"--wait", "--dry-run=client"}, {"--timeout=1s"}} {
		if complaint := w.refused(append(w.creating("other", "docs"), args...)...); !strings.Contains(complaint, "--wait") {
			t.Errorf("%q: %s", args, complaint)
		}
	}
}

func TestList_Reasons(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.apply("git", manifest("fine", fileIDs("file-", 1)))
	w.apply("git", manifest("failing", fileIDs("file-fail-", 1)))
	w.apply("git", manifest("stalled", fileIDs("file-", 1), "  credentialsRef: {name: missing}"))
	w.await("fine", v1alpha1.ReasonCompleted)
	w.await("failing", v1alpha1.ReasonFilesFailed)
	w.await("stalled", v1alpha1.ReasonCredentialsNotFound)
	kind := "vectorstorefilebatch.vector-store-operator.dev/"
	for reasons, want := range map[string]string{
		"FilesFailed,CredentialsNotFound": kind + "failing\n" + kind + "stalled\n", "Completed": kind + "fine\n", "Cancelled": "",
	} {
		if got := w.vsfb("list", "-o", "name", "--reason", reasons); got != want {
			t.Errorf("--reason %s lists %q, want %q", reasons, got, want)
		}
	}
}

func TestCreate_ClientDryRunHasNoEffect(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(3)
	w.Kubectl.Namespace = "" // that of the kubeconfig
	for _, flags := range [][]string{{}, {"--path-attribute=path", "--from-env", "--files-per-batch=2"}} {
		text := w.vsfb(append([]string{"create", "handbook", "--vector-store", store, "docs", "--dry-run=client", "-o", "yaml"}, flags...)...)
		manifests := strings.Split(text, "---\n")
		if len(manifests) != 1+len(flags)/2 || strings.Contains(text, "namespace:") || !strings.Contains(text, "<docs/part-0/page-0000.md>") {
			t.Errorf("it printed\n%s", text)
		}
		for _, manifest := range manifests {
			if _, err := w.Kubectl.In(w.Namespace).RunWithInput(t.Context(), manifest, "apply", "--server-side", "-f-"); err == nil || !strings.Contains(err.Error(), "should match") {
				t.Errorf("applying the manifest returned %v, want that it is rejected", err)
			}
		}
	}
	if requests := w.AllRequests(); len(requests) > 0 {
		t.Errorf("it sent %v", requests)
	}
	if _, err := os.Stat(filepath.Join(w.home, ".local")); err == nil {
		t.Error("it created a journal")
	}
	server := w.Kubectl.In(w.Namespace).Must(t, "vsfb", "create", "handbook", "--vector-store", store, "docs", "--dry-run=server", "-o", "yaml")
	if requests := w.AllRequests(); len(requests) > 0 || !strings.Contains(server, "<docs/part-0/page-0000.md>") || !strings.Contains(server, "uid:") {
		t.Errorf("a server-side dry run sent %v and printed\n%s", requests, server)
	}
}

func TestCreate_WithoutCluster(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	w.write(3)
	w.setenv("KUBECONFIG=" + filepath.Join(w.home, "missing"))
	w.withKey()
	w.Kubectl.Namespace = ""
	output := w.vsfb(w.creating("handbook", "docs", "--from-env", "--upload-only", "--files-per-batch=2")...)
	if strings.Count(output, "---\n") != 1 || strings.Contains(output, "namespace:") || len(w.uploads()) != 3 {
		t.Errorf("%d uploads; it printed\n%s", len(w.uploads()), output)
	}
}

func TestCreate_ReportsTheKeyInUse(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	w.write(1)
	args := w.creating("handbook", "docs")
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
		"name":       {[]string{"Handbook", "--vector-store", store, "docs"}, `NAME "Handbook"`},
		"store":      {[]string{"handbook", "--vector-store", "vs/1", "docs"}, "spec.vectorStoreID"},
		"unknown":    {[]string{"handbook", "--vector-store", "vs_unknown", w.endpoint(), "docs"}, "vector store vs_unknown not found at"},
		"no store":   {[]string{"handbook", "docs"}, `"vector-store" not set`},
		"path":       {w.creating("handbook", "missing")[1:], "PATH missing does not exist"},
		"attribute":  {w.creating("handbook", "docs", "--attribute", "team")[1:], `--attribute "team" is not KEY=VALUE`},
		"dry run":    {w.creating("handbook", "docs", "--dry-run=maybe")[1:], "--dry-run must be"},
		"secret":     {w.creating("handbook", "docs", "--secret", "other")[1:], "/other: secrets"},
		"batch size": {w.creating("handbook", "docs", "--files-per-batch=2001")[1:], "--files-per-batch must be"},
		"expiry":     {w.creating("handbook", "docs", "--expires-after=59m")[1:], "--expires-after must be"},
		"size":       {w.creating("handbook", "docs", "--max-file-size=0")[1:], "--max-file-size must be"},
		"pattern":    {w.creating("handbook", "docs", "--exclude=[a")[1:], "not a valid pattern"},
		"both":       {w.creating("handbook", "docs", "--upload-only", "--dry-run=server")[1:], "mutually exclusive"},
		"no files":   {w.creating("handbook", "docs", "--include=*.pdf")[1:], "nothing to upload"},
		"no consent": {[]string{"handbook", "--vector-store", store, "docs"}, "set " + w.endpoint() + " to permit it"},
		"other host": {[]string{"handbook", "--vector-store", store, "docs", "--endpoint=api.openai.com"}, "which is not --endpoint api.openai.com"},
	} {
		if complaint := w.refused(append([]string{"create"}, test.args...)...); !strings.Contains(complaint, test.want) {
			t.Errorf("%s: it prints %s, want %q in it", name, complaint, test.want)
		}
	}
	w.apply("another-manager", manifest("taken", []string{"file-a", "file-b"}))
	if complaint := w.refused(w.creating("taken", "docs")...); !strings.Contains(complaint, "taken already exists with other files") {
		t.Errorf("it prints %s", complaint)
	}
	if got := len(w.uploads()); got != 0 {
		t.Errorf("%d files were uploaded", got)
	}
	w.apply("another-manager", manifest("similar", []string{"file-a"}))
	if complaint := w.refused(w.creating("similar", "docs")...); !strings.Contains(complaint, "similar already exists with other files") {
		t.Errorf("it prints %s", complaint)
	}
}
