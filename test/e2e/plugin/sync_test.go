// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// syncArgs are the arguments of a run of sync.
func (w *workspace) syncArgs(args ...string) []string {
	return append([]string{"sync", "docs", "--vector-store", store, "--owner", "prod/Handbook", "--endpoint", w.BaseURL, "--settle-time=1s", "--timeout=2m"}, args...)
}

// listed returns the paths in the vector store, with the version that the plugin prints.
func (w *workspace) listed() map[string]string {
	w.Helper()
	var files []struct{ Path, Status, Version, Owner string }
	if err := json.Unmarshal([]byte(w.vsfb("files", "--vector-store", store, "-o", "json")), &files); err != nil {
		w.Fatal(err)
	}
	versions := map[string]string{}
	for _, f := range files {
		if f.Status != "completed" || f.Owner != "prod/Handbook" {
			w.Errorf("%+v", f)
		}
		versions[f.Path] = f.Version
	}
	return versions
}

// objects returns the objects of sync by their names.
func (w *workspace) objects() []v1alpha1.VectorStoreFileBatch {
	w.Helper()
	var list v1alpha1.VectorStoreFileBatchList
	if err := json.Unmarshal([]byte(w.kubectl("get", "vsfb", "-l", "vector-store-operator.dev/sync", "-o", "json")), &list); err != nil {
		w.Fatal(err)
	}
	return list.Items
}

func TestSync_WithOperator(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(5)
	output := w.vsfb(w.syncArgs("--files-per-batch=2", "--attribute", "team=docs", "--chunk-size=400", "--chunk-overlap=100")...)
	if !strings.Contains(output, "In step: 5 added;") {
		t.Errorf("it printed\n%s", output)
	}
	before := w.listed()
	if len(before) != 5 || before["part-0/page-0004.md"] == "" {
		t.Errorf("the vector store has %v", before)
	}
	w.wantSyncObjects()
	args := w.syncArgs("--attribute", "team=docs", "--chunk-size=400", "--chunk-overlap=100", "--prune", "--max-prune=50%")
	if again := w.vsfb(args...); !strings.Contains(again, "In step: 5 unchanged; 0 B uploaded") || len(w.objects()) != 3 {
		t.Errorf("the second run printed\n%s", again)
	}
	w.changeDocuments(before, args)
	if found := w.vsfb("search", "--vector-store", store, "Changed"); !strings.HasPrefix(found, "part-0/page-0000.md  1.000\n  Changed.") {
		t.Errorf("a search found\n%s", found)
	}
	if found := w.vsfb("search", "--vector-store", store, "page", "--filter", "path=part-0/page-0004.md", "--filter", "team=docs"); strings.Count(found, "part-0/") != 1 {
		t.Errorf("a search with a filter found\n%s", found)
	}
}

// wantSyncObjects requires the objects of a first run.
func (w *workspace) wantSyncObjects() {
	w.Helper()
	objects := w.objects()
	if len(objects) != 3 {
		w.Fatalf("there are %d objects, want 3", len(objects))
	}
	for _, b := range objects {
		if !strings.HasPrefix(b.Name, "sync-prod-handbook-") || b.Spec.DeletionPolicy != v1alpha1.DeletionPolicyOrphan ||
			b.Spec.TTLSecondsAfterFinished == nil || b.Annotations["vector-store-operator.dev/sync-owner"] != "prod/Handbook" {
			w.Errorf("%s: %+v", b.Name, b)
		}
		for _, f := range b.Spec.Files {
			if string(f.Attributes["team"].Raw) != `"docs"` || f.ChunkingStrategy.Static.MaxChunkSizeTokens != 400 {
				w.Errorf("%s: %+v", b.Name, f)
			}
		}
	}
}

// changeDocuments changes, adds and removes a document, and runs sync.
func (w *workspace) changeDocuments(before map[string]string, args []string) {
	w.Helper()
	// A change, an added document and a removed one.
	for name, content := range map[string]string{"page-0000.md": "Changed.", "new.md": "New."} {
		if err := os.WriteFile(filepath.Join(w.folder, "docs", "part-0", name), []byte(content), 0o600); err != nil {
			w.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(w.folder, "docs", "part-0", "page-0002.md")); err != nil {
		w.Fatal(err)
	}
	output := w.vsfb(args...)
	for _, line := range []string{"~ part-0/page-0000.md  updated, 8 B\n", "+ part-0/new.md  added, 4 B\n", "- part-0/page-0002.md  removed: ", "In step: 1 added, 1 updated, 1 removed, 3 unchanged; 12 B uploaded"} {
		if !strings.Contains(output, line) {
			w.Errorf("without %q it printed\n%s", line, output)
		}
	}
	after := w.listed()
	if len(after) != 5 || after["part-0/page-0000.md"] == before["part-0/page-0000.md"] || after["part-0/page-0002.md"] != "" {
		w.Errorf("the vector store has %v", after)
	}
}

// TestSync_FilesIgnored shows a server that ignores the settings of single files.
func TestSync_FilesIgnored(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{Profile: emulator.ProfileOGX})
	w.write(5)
	w.vsfb(w.syncArgs()...)
	if listed := w.listed(); len(listed) != 5 {
		t.Errorf("the vector store has %v", listed)
	}
	w.Emulator.ClearCalls()
	w.vsfb(w.syncArgs()...)
	for _, call := range w.Emulator.Calls(emulator.AnyOperation) {
		if !slices.Contains([]emulator.Operation{emulator.RetrieveStore, emulator.ListStoreFiles, emulator.Retrieve}, call.Operation) {
			t.Errorf("the second run made the call %s", call.Operation)
		}
	}
}

// TestSync_KilledBesideOperator kills runs while their objects are created and processed.
func TestSync_KilledBesideOperator(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{Settings: emulator.Settings{Pace: 10 * time.Millisecond}})
	w.write(40)
	args := append([]string{"vsfb"}, w.syncArgs("--files-per-batch=20")...)
	for _, moment := range []struct {
		what    string
		reached func() bool
	}{
		{"an upload", func() bool { return len(w.uploads()) > 0 }},
		{"an object", func() bool { return len(w.objects()) > 0 }},
		{"a batch", func() bool { return len(w.Emulator.Calls(emulator.Create)) > 0 }},
	} {
		command := w.Kubectl.Cmd(t.Context(), args...)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		w.until(moment.what, moment.reached)
		// kubectl replaces its process with the plugin.
		_ = command.Process.Signal(syscall.SIGKILL)
		_ = command.Wait()
	}
	// A run that was just killed can have left its lock for a moment.
	w.until("a complete run", func() bool {
		_, complaint, err := w.try(args[1:]...)
		t.Log(complaint)
		return err == nil
	})
	if listed := w.listed(); len(listed) != 40 {
		t.Errorf("the vector store has %v", listed)
	}
	if uploads := w.uploads(); len(uploads) != 40 {
		t.Errorf("the plugin uploaded %d files, want 40", len(uploads))
	}
	files := map[string]int{}
	for _, b := range w.objects() {
		for _, f := range b.Spec.Files {
			files[f.FileID]++
		}
	}
	if diff := cmp.Diff(40, len(files)); diff != "" {
		t.Errorf("files of objects (-want +got):\n%s", diff)
	}
	for id, count := range files {
		if count != 1 {
			t.Errorf("file %s is in %d objects", id, count)
		}
	}
}

func TestSync_WithoutSecretOrCluster(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	w.write(2)
	w.withKey()
	w.setenv("KUBECONFIG=" + filepath.Join(w.home, "none"))
	for _, args := range [][]string{w.syncArgs("--from-env", "--without-operator"), {"files", "--vector-store", store, "--from-env"}, {"search", "--vector-store", store, "--from-env", "page"}} {
		stdout, stderr, err := w.try(args...)
		if err != nil || stdout == "" {
			t.Errorf("%v: %v: %s%s", args, err, stdout, stderr)
		}
	}
	if complaint := w.refused(w.syncArgs("--from-env")...); !strings.Contains(complaint, "--without-operator") {
		t.Errorf("without a cluster it printed\n%s", complaint)
	}
}
