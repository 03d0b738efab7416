// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// started runs create until the emulator has a number of uploads. finish returns the exit code and the
// errors.
func (w *workspace) started(uploads int, args ...string) (command *exec.Cmd, finish func() (int, string)) {
	w.Helper()
	var complaints strings.Builder
	command = w.Kubectl.Cmd(w.Context(), append([]string{"vsfb"}, args...)...)
	command.Stderr = &complaints
	if err := command.Start(); err != nil {
		w.Fatal(err)
	}
	w.until("uploads", func() bool { return len(w.uploads()) >= uploads })
	return command, func() (int, string) {
		_ = command.Wait() // the state has the result
		return command.ProcessState.ExitCode(), complaints.String()
	}
}

// remaining returns the IDs of the files that the API has.
func (w *workspace) remaining() []string {
	w.Helper()
	var ids []string
	for _, file := range w.files() {
		ids = append(ids, file.ID)
	}
	return ids
}

// attach attaches a file to a vector store of its own, as another client does.
func (w *workspace) attach(id string) {
	w.Helper()
	if _, err := w.EmulatorClient().CreateBatch(w.Context(), "vs_other", id); err != nil {
		w.Fatal(err)
	}
}

var otherStore = emulator.Options{VectorStores: []string{"vs_other"}}

// slowUploads makes uploads slow enough to act between them.
func (w *workspace) slowUploads() {
	w.Emulator.AddFault(emulator.Fault{Operation: emulator.Upload, Delay: 300 * time.Millisecond})
}

const remedy = `"kubectl vsfb uploads --delete-unused" deletes the uploads that nothing uses`

func TestCreate_DeletesUnusedUploads_AfterError(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{Settings: emulator.Settings{Behaviors: emulator.Behaviors{FileQuota: 3, ErrorBody: "azure"}}})
	w.write(5)
	if complaint := w.refused(w.creating("handbook", "docs")...); !strings.Contains(complaint, remedy) || len(w.remaining()) != 3 {
		t.Errorf("%d files remain; it prints %s", len(w.remaining()), complaint)
	}
	// The first run uploaded the files, so this one deletes none.
	if complaint := w.refused(w.creating("handbook", "docs", "--delete-unused-uploads")...); !strings.Contains(complaint, "deleted 0 uploads of this run") || len(w.remaining()) != 3 {
		t.Errorf("%d files remain; it prints %s", len(w.remaining()), complaint)
	}
	w.wantExit(0, "uploads", "--delete-unused", "--yes")
	if complaint := w.refused(w.creating("handbook", "docs", "--delete-unused-uploads")...); !strings.Contains(complaint, "deleted 3 uploads of this run that nothing used") ||
		!strings.Contains(complaint, "set --expires-after") || len(w.remaining()) != 0 {
		t.Errorf("%d files remain; it prints %s", len(w.remaining()), complaint)
	}
	// The journal has forgotten them.
	if complaint := w.refused(w.creating("handbook", "docs")...); !strings.Contains(complaint, "3 of 5 files uploaded") || len(w.uploads()) != 9 {
		t.Errorf("after %d uploads it prints %s", len(w.uploads()), complaint)
	}
}

func TestCreate_DeletesUnusedUploads_AfterInterruption(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(40)
	w.slowUploads()
	command, finish := w.started(10, w.creating("handbook", "docs", "--delete-unused-uploads", "--settle-time=2s", "--concurrency=4")...)
	if err := command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	// The files in flight are deleted too.
	if code, complaint := finish(); code != 130 || !strings.Contains(complaint, "error: interrupted\n") || !strings.Contains(complaint, "of this run that nothing used") || len(w.remaining()) != 0 {
		t.Errorf("%d files remain; it exited with %d and printed\n%s", len(w.remaining()), code, complaint)
	}
}

// TestUploads_AfterKill deletes what a killed run uploaded, also the files in flight.
func TestUploads_AfterKill(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(40)
	w.slowUploads()
	command, finish := w.started(10, w.creating("handbook", "docs", "--concurrency=4")...)
	if err := command.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code, complaint := finish(); code != -1 {
		t.Fatalf("it exited with %d and printed\n%s", code, complaint)
	}
	w.wantExit(0, "uploads", "--delete-unused", "--yes")
	if left := w.remaining(); len(left) != 0 {
		t.Errorf("%q remain", left)
	}
}

// TestCreate_DeletesUnusedUploads_KeepsWhatIsUsed shows that a run whose second object is refused keeps the files of
// the first one, and a file that another client attached meanwhile.
func TestCreate_DeletesUnusedUploads_KeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, otherStore)
	w.write(6)
	w.slowUploads()
	_, finish := w.started(1, w.creating("handbook", "docs", "--delete-unused-uploads", "--files-per-batch=2", "--concurrency=1")...)
	w.apply("another-manager", manifest("handbook-2", []string{"file-a"}))
	w.until("all uploads", func() bool { return len(w.uploads()) >= 5 })
	attached := w.uploads()[4]
	w.attach(attached)
	code, complaint := finish()
	if code != 1 || !strings.Contains(complaint, "handbook-2 already exists with other files") || !strings.Contains(complaint, "deleted 3 uploads of this run that nothing used") {
		t.Errorf("it exited with %d and printed\n%s", code, complaint)
	}
	want := append(w.Get(t, "handbook-1").Spec.FileIDs, attached, "file-a")
	got := w.remaining()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the files %q remain, want %q", got, want)
	}
}

// TestCreate_DeletesUnusedUploads_Unknown shows that nothing is deleted if the uses are not known.
func TestCreate_DeletesUnusedUploads_Unknown(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{Settings: emulator.Settings{Behaviors: emulator.Behaviors{FileQuota: 3, ErrorBody: "azure"}}})
	w.write(5)
	w.Emulator.AddFault(emulator.Fault{Operation: emulator.ListStores, Status: http.StatusForbidden})
	complaint := w.refused(w.creating("handbook", "docs", "--delete-unused-uploads")...)
	if !strings.Contains(complaint, "listing the vector stores of") || !strings.Contains(complaint, remedy) || len(w.remaining()) != 3 {
		t.Errorf("%d files remain; it prints %s", len(w.remaining()), complaint)
	}
	if complaint := w.refused("uploads", "--delete-unused", "--yes"); !strings.Contains(complaint, "listing the vector stores of") || len(w.remaining()) != 3 {
		t.Errorf("%d files remain; it prints %s", len(w.remaining()), complaint)
	}
}

// TestCreate_LostUploads shows that a run reports the uploads of which the API can have one more.
func TestCreate_LostUploads(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.put("docs/a\x1b.md", "a")
	w.put("docs/b.md", "b")
	w.Emulator.AddFault(emulator.Fault{Operation: emulator.Upload, Times: 2, Action: emulator.Drop, AfterEffect: true})
	hidden := w.Emulator.AddFault(emulator.Fault{Operation: emulator.ListUploads, Status: http.StatusOK, Body: `{"object":"list","data":[],"has_more":false}`})
	_, complaint := w.wantExit(0, w.creating("handbook", "docs", "--settle-time=0s", "--concurrency=1")...)
	if want := `The response to 2 uploads was lost, and no file was listed for it, so the list of files can have one more for each: docs/a\x1b.md, docs/`; !strings.Contains(complaint, want) {
		t.Errorf("it prints %s, want %q in it", complaint, want)
	}
	w.Emulator.RemoveFault(hidden)
	if got := len(w.remaining()); got != 4 {
		t.Errorf("the API has %d files", got)
	}
}

// upload is a file in the output of uploads.
type upload struct {
	FileID, Path string
	UsedBy       []string
	Deleted      bool
}

func (w *workspace) listUploads(args ...string) map[string]upload {
	w.Helper()
	var listed []upload
	if err := json.Unmarshal([]byte(w.vsfb(append([]string{"uploads", "-o", "json"}, args...)...)), &listed); err != nil {
		w.Fatal(err)
	}
	byPath := map[string]upload{}
	for _, f := range listed {
		byPath[f.Path] = f
	}
	return byPath
}

func TestUploads(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, otherStore)
	for _, name := range []string{"used/a.md", "waiting/b.md", "attached/c.md", "unused/d.md", "unused/e\x1b[31m.md", "unused2/f.md"} {
		w.put(name, name)
	}
	w.wantExit(0, w.creating("used", "used", "--wait")...)
	w.wantExit(0, w.creating("waiting", "waiting", "--suspend")...)
	_, complaint := w.wantExit(0, w.creating("unused", "attached", "unused", "unused2", "--upload-only")...)
	if !strings.Contains(complaint, "4 files are uploaded. They are in no vector store until the manifest is applied.") {
		t.Errorf("--upload-only prints %s", complaint)
	}
	w.attach(w.listUploads()["attached/c.md"].FileID)
	listed := w.listUploads()
	for path, want := range map[string][]string{
		"used/a.md": {store, "vsfb " + w.Namespace + "/used"}, "waiting/b.md": {"vsfb " + w.Namespace + "/waiting"}, "attached/c.md": {"vs_other"},
		"unused/d.md": {}, "unused/e\x1b[31m.md": {}, "unused2/f.md": {},
	} {
		if got := listed[path].UsedBy; !slices.Equal(got, want) {
			t.Errorf("%q is used by %q, want %q", path, got, want)
		}
	}
	if text := w.vsfb("uploads", "unused", "attached/c.md"); strings.Contains(text, "\x1b") || strings.Count(text, "\n") != 4 || !strings.Contains(text, "unused/d.md") || !strings.Contains(text, "vs_other") {
		t.Errorf("it prints %q", text)
	}
	w.wantDeletion()
}

// wantDeletion deletes the unused files of TestUploads.
func (w *workspace) wantDeletion() {
	w.Helper()
	if complaint := w.refused("uploads", "--delete-unused"); !strings.Contains(complaint, "3 files would be deleted: set --yes") || len(w.remaining()) != 6 {
		w.Errorf("without a terminal it prints %s", complaint)
	}
	if complaint := w.refused("uploads", "--yes"); !strings.Contains(complaint, "--yes requires --delete-unused") {
		w.Errorf("it prints %s", complaint)
	}
	if deleted := w.listUploads("--delete-unused", "--yes", "unused"); len(deleted) != 2 || !deleted["unused/d.md"].Deleted {
		w.Errorf("it deleted %+v", deleted)
	}
	for _, try := range []struct {
		answer     string
		code, left int
	}{{"n\r", 1, 4}, {"y\r", 0, 3}} {
		s := w.open(80, 24, "uploads", "--delete-unused")
		w.until("a question", func() bool { return strings.Contains(strings.Join(s.now(), ""), "[y/N]") })
		if screen := strings.Join(s.now(), ""); !strings.Contains(screen, "Delete 1 file (12 B) that nothing uses at ") {
			w.Errorf("the screen is %q", screen)
		}
		s.press(try.answer)
		s.wantExit(try.code)
		if got := len(w.remaining()); got != try.left {
			w.Errorf("%d files remain after %q, want %d", got, try.answer, try.left)
		}
	}
	w.wantExit(0, "uploads", "--delete-unused")
	if left := w.listUploads(); len(left) != 3 {
		w.Errorf("the journal has %+v", left)
	}
}

func TestUploads_WithoutCluster(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{})
	w.write(2)
	w.withKey()
	w.setenv("KUBECONFIG=" + w.home + "/none")
	w.wantExit(0, w.creating("handbook", "docs", "--from-env", "--upload-only")...)
	if complaint := w.refused("uploads", "--from-env", "--delete-unused", "--yes"); !strings.Contains(complaint, "--without-cluster") || len(w.remaining()) != 2 {
		t.Errorf("it prints %s", complaint)
	}
	w.wantExit(0, "uploads", "--from-env", "--delete-unused", "--yes", "--without-cluster")
	if got := w.remaining(); len(got) != 0 {
		t.Errorf("%q remain", got)
	}
}
