// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

// put creates a file in the working folder.
func (w *workspace) put(name, content string) {
	w.Helper()
	path := filepath.Join(w.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.Fatal(err)
	}
}

// files returns the uploaded files, sorted by name.
func (w *workspace) files() []upstream.UploadedFile {
	w.Helper()
	client, err := openai.Dial(upstream.Connection{BaseURL: w.BaseURL, APIKey: apiKey},
		openai.Options{Endpoints: upstream.EndpointPolicy{AllowInsecure: true}, Addresses: upstream.AnyAddress()})
	if err != nil {
		w.Fatal(err)
	}
	defer client.Close()
	files, err := client.Uploads(w.Context(), time.Time{})
	if err != nil {
		w.Fatal(err)
	}
	slices.SortFunc(files, func(a, b upstream.UploadedFile) int { return strings.Compare(a.Name, b.Name) })
	return files
}

func (w *workspace) wantFiles(want ...string) {
	w.Helper()
	var got []string
	for _, file := range w.files() {
		got = append(got, file.Name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("uploaded files (-want +got):\n%s", diff)
	}
}

func TestCreate_RefusedUpload(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(10)
	w.put("docs/refused.vsfb", "x")
	args := w.creating("handbook", "docs", "--allow-extension=vsfb")
	_, complaint := w.wantExit(2, args...)
	if output, _ := w.wantExit(2, args...); !strings.Contains(output, "unchanged") || len(w.uploads()) != 10 {
		t.Errorf("after the second run there are %d uploads; it printed %s", len(w.uploads()), output)
	}
	if !strings.Contains(complaint, "Leaving out docs/refused.vsfb: Invalid extension vsfb") || !strings.Contains(complaint, "Uploading: 10 of 10 files") {
		t.Errorf("it prints %s", complaint)
	}
	if ids := w.Get(t, "handbook").Spec.FileIDs; len(ids) != 10 {
		t.Errorf("the object has %d files, want 10", len(ids))
	}
	w.await("handbook", v1alpha1.ReasonCompleted)
}

func TestCreate_Expiry(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{Settings: emulator.Settings{Behaviors: emulator.Behaviors{FileQuota: 3, ErrorBody: "azure"}}})
	w.write(5)
	if complaint := w.refused(w.creating("handbook", "docs")...); !strings.Contains(complaint, "or set --expires-after") || !strings.Contains(complaint, "3 of 5 files uploaded") {
		t.Errorf("it prints %s", complaint)
	}
	w.wantExit(0, w.creating("handbook", "docs", "--expires-after=720h")...)
	expiring := 0
	for _, file := range w.files() {
		var object struct {
			CreatedAt int64 `json:"created_at"`
			ExpiresAt int64 `json:"expires_at"`
		}
		if err := w.EmulatorClient().Call(t.Context(), "GET", "/v1/files/"+file.ID, nil, &object); err != nil {
			t.Fatal(err)
		}
		if object.ExpiresAt == object.CreatedAt+720*3600 {
			expiring++
		}
	}
	if expiring != 2 {
		t.Errorf("%d files expire, want the 2 of the second run", expiring)
	}
}

func TestCreate_ServerWithLongIDs(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{Settings: emulator.Settings{Behaviors: emulator.Behaviors{FileIDLength: 400, AnyIDs: true, MaxBatchFiles: 100}}})
	w.write(150)
	w.wantExit(0, w.creating("handbook", "docs", "--files-per-batch=100")...)
	if ids := w.Get(t, "handbook-1").Spec.FileIDs; len(ids) != 100 || len(ids[0]) != 400 {
		t.Errorf("the first object has %d files, with IDs such as %s", len(ids), ids[0])
	}
	w.await("handbook-1", v1alpha1.ReasonCompleted)
	w.await("handbook-2", v1alpha1.ReasonCompleted)
}

// TestCreate_SameJournal uses the same account under another key, and with another spelling of its URL.
func TestCreate_SameJournal(t *testing.T) {
	t.Parallel()
	w := newWorkspaceWithoutSecret(t, emulator.Options{APIKeys: []string{"sk-first", "sk-second"}})
	w.write(3)
	w.setenv("OPENAI_API_KEY=sk-first", "OPENAI_BASE_URL="+w.BaseURL)
	args := w.creating("handbook", "docs", "--from-env", "--upload-only", "--attempts=1")
	before := w.vsfb(args...)
	w.setenv("OPENAI_API_KEY=sk-second", "OPENAI_BASE_URL="+w.BaseURL+"/")
	if after := w.vsfb(args...); after != before || len(w.uploads()) != 3 {
		t.Errorf("%d uploads; the manifest was\n%sand is now\n%s", len(w.uploads()), before, after)
	}
}

func TestCreate_ForeignJournal(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(1)
	w.put("notes", "no newline")
	if err := os.Symlink("notes", filepath.Join(w.folder, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"notes", "link"} {
		if complaint := w.refused(w.creating("handbook", "docs", "--journal="+path)...); !strings.Contains(complaint, "set --journal") {
			t.Errorf("it prints %s", complaint)
		}
	}
	if content, err := os.ReadFile(filepath.Join(w.folder, "notes")); err != nil || string(content) != "no newline" || len(w.uploads()) != 0 {
		t.Errorf("the file is now %q", content)
	}
}

func TestCreate_AsksForTheEndpoint(t *testing.T) {
	t.Parallel()
	for answer, code := range map[string]int{"y\r": 0, "n\r": 1, "\r": 1, "\x03": 130} {
		w := newWorkspace(t, emulator.Options{})
		w.write(1)
		s := w.open(80, 24, "create", "handbook", "--vector-store", store, "docs")
		w.until("a question", func() bool {
			return slices.ContainsFunc(s.now(), func(line string) bool { return strings.Contains(line, "[y/N]") })
		})
		if !strings.Contains(strings.Join(s.now(), ""), "Send 1 file to "+strings.TrimPrefix(w.URL, "http://")) || len(w.AllRequests()) != 0 {
			t.Errorf("the screen is %q", s.now())
		}
		s.press(answer)
		s.wantExit(code)
		if uploaded := len(w.uploads()) == 1; uploaded != (code == 0) {
			t.Errorf("%q: uploaded: %t", answer, uploaded)
		}
	}
}

func TestFailures_ShowsNames(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{Settings: emulator.Settings{Behaviors: emulator.Behaviors{FailingContent: []string{"blank"}}}})
	w.put("docs/fine.md", "x")
	w.put("docs/deep/blank.md", " ")
	w.put("docs/deep/\x1b[31mred.md", "  ")
	w.wantExit(0, w.creating("handbook", "docs")...)
	w.await("handbook", v1alpha1.ReasonFilesFailed)
	// The list fails at first, as it was recorded of OpenAI's API.
	w.Emulator.AddFault(emulator.Fault{Operation: emulator.ListFiles, Times: 1, Status: 500})
	output, complaint := w.wantExit(0, "failures", "handbook")
	if !strings.Contains(output, "docs/deep/blank.md") || !strings.Contains(output, `docs/deep/\x1b[31mred.md`) || strings.Contains(output, "\x1b") {
		t.Errorf("it prints %q %q", output, complaint)
	}
	// Another machine has no journal.
	w.setenv("XDG_STATE_HOME=" + w.home)
	if output, complaint = w.wantExit(0, "failures", "handbook"); !strings.Contains(output, " blank.md") || !strings.Contains(output, " _[31mred.md") {
		t.Errorf("it prints %q %q", output, complaint)
	}
	w.Emulator.AddFault(emulator.Fault{Operation: emulator.RetrieveUpload, Times: 100, Status: 403})
	if output, complaint = w.wantExit(0, "failures", "handbook"); strings.Contains(output, "blank.md") || !strings.Contains(complaint, "Could not get the names") {
		t.Errorf("it prints %q %q", output, complaint)
	}
}
