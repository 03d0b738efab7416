// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// faultyFolder is what the folder docs of a workspace contains.
type faultyFolder struct {
	// uploaded are the paths below docs of the files that can be uploaded, with the names that the API gets.
	uploaded map[string]string
	// leftOut are the reasons for which the others are left out, by the form of their paths in a terminal.
	leftOut map[string]string
	// expected are those that are not a failure.
	expected map[string]string
}

const lfsPointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 1\n"

// writeFaultyFolder creates a folder with everything that cannot be uploaded, and with names that are hard to
// handle.
func (w *workspace) writeFaultyFolder() faultyFolder {
	w.Helper()
	long := strings.Repeat("long-", 50) // 250 bytes
	f := faultyFolder{
		uploaded: map[string]string{
			"a.md": "a.md", "A.md": "A.md", "readme.MD": "readme.md", "b.PDF": "b.pdf", "deep/zwei Wörter.txt": "zwei Wörter.txt", "deep/日本語.md": "日本語.md",
			"caf\xe9.md": "caf_.md", "e\x1b[31m.md": "e_[31m.md", "line\nbreak\r.md": "line_break_.md", "quote\"'\\.md": "quote\"'\\.md", "\u202egnp.md": "\u202egnp.md",
			"-rf.md": "-rf.md", " space .md": " space .md", "100%25.md": "100%25.md", "#1 [a]{b}*?.md": "#1 [a]{b}*?.md", long + ".md": long + ".md",
			"e\u0301.md": "e\u0301.md", "\u00e9.md": "\u00e9.md", "folder.md/in.md": "in.md", "shortcut.md": "shortcut.md", "about-lfs.md": "about-lfs.md",
		},
		leftOut: map[string]string{
			"logo.png": "unsupported extension (.png)", "table.csv": "unsupported extension (.csv)", "header.h": "unsupported extension (.h)", "archive.tar.gz": "unsupported extension (.gz)",
			"Makefile": "unsupported extension (no extension)", "trailing.": "unsupported extension (.)", "a.md~": "unsupported extension (.md~)",
			"empty.md": "empty", `\x1b]0;owned\a.png`: "unsupported extension (.png)", "model.json": "Git LFS pointer (run git lfs pull)",
			"link.md": "link leaves the folder", "absolute.md": "link leaves the folder", "etc": "link leaves the folder", "through.md": "link leaves the folder",
			"dangling.md": "broken link", "loop.md": "broken link", "env.md": "link to a hidden file (.env)",
			"huge.txt": "too large (536870913 bytes, maximum 536870912)", "pipe.md": "not a regular file (p---------)", "socket.md": "not a regular file (S---------)", "to-pipe.md": "not a regular file (p---------)",
			strings.Repeat("d", 200) + "/" + strings.Repeat("e", 200) + "/" + strings.Repeat("f", 200) + ".md": "path too long (maximum 512 characters)",
		},
		expected: map[string]string{".env": "hidden", ".git/": "hidden", "alias": "link to a folder (deep)"},
	}
	for name := range f.uploaded {
		if name != "shortcut.md" {
			w.put("docs/"+name, "The document "+name)
		}
	}
	for name, content := range map[string]string{
		"logo.png": "x", "table.csv": "x", "header.h": "x", "archive.tar.gz": "x", "Makefile": "x", "trailing.": "x", "a.md~": "x", "empty.md": "", "\x1b]0;owned\a.png": "x",
		"model.json": lfsPointer, "about-lfs.md": "version https://git-lfs.github.com/spec/v1 is a line.", ".env": "x", ".git/config.md": "x", "drafts/d.md": "x", ".vsfbignore": "drafts/\n",
		strings.Repeat("d", 200) + "/" + strings.Repeat("e", 200) + "/" + strings.Repeat("f", 200) + ".md": "x", "../secret.md": "secret",
	} {
		w.put("docs/"+name, content)
	}
	for name, target := range map[string]string{
		"shortcut.md": "a.md", "link.md": "../secret.md", "absolute.md": "/etc/hostname", "etc": "/etc", "through.md": "etc/hostname", "dangling.md": "missing", "loop.md": "loop.md",
		"env.md": ".env", "alias": "deep", "to-pipe.md": "pipe.md",
	} {
		if err := os.Symlink(target, filepath.Join(w.folder, "docs", name)); err != nil {
			w.Fatal(err)
		}
	}
	w.writeSpecialFiles(&f)
	return f
}

// writeSpecialFiles creates what is not a file with content, and what cannot be read.
func (w *workspace) writeSpecialFiles(f *faultyFolder) {
	w.Helper()
	docs := filepath.Join(w.folder, "docs")
	w.put("docs/huge.txt", "x")
	if err := os.Truncate(filepath.Join(docs, "huge.txt"), 512<<20+1); err != nil {
		w.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(docs, "pipe.md"), 0o600); err != nil {
		w.Fatal(err)
	}
	// The path of a socket must be short.
	folder, err := os.MkdirTemp("", "s")
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = os.RemoveAll(folder) })
	socket, err := new(net.ListenConfig).Listen(w.Context(), "unix", filepath.Join(folder, "s"))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = socket.Close() })
	if err := os.Rename(filepath.Join(folder, "s"), filepath.Join(docs, "socket.md")); err != nil {
		w.Fatal(err)
	}
	const null = 1<<8 | 3
	if err := syscall.Mknod(filepath.Join(docs, "device.md"), syscall.S_IFCHR|0o600, null); err == nil {
		f.leftOut["device.md"] = "not a regular file (Dc---------)"
	} else if !errors.Is(err, syscall.EPERM) {
		w.Fatal(err)
	}
	if os.Getuid() != 0 { // root can read everything
		w.put("docs/closed.md", "x")
		w.put("docs/closed/in.md", "x")
		for _, name := range []string{"closed.md", "closed"} {
			path := filepath.Join(docs, name)
			if err := os.Chmod(path, 0); err != nil {
				w.Fatal(err)
			}
			w.Cleanup(func() { _ = os.Chmod(path, 0o700) })
		}
		f.leftOut["closed.md"], f.leftOut["closed/"] = "unreadable (permission denied)", "unreadable (permission denied)"
	}
}

// names returns the names that the API gets, sorted.
func (f faultyFolder) names() []string { return slices.Sorted(maps.Values(f.uploaded)) }

// wantNamed requires that an output names what is left out, and cannot control a terminal.
func (w *workspace) wantNamed(output, format string, leftOut map[string]string) {
	w.Helper()
	lines := strings.Split(output, "\n")
	for path, reason := range leftOut {
		if want := fmt.Sprintf(format, path, reason); !slices.Contains(lines, want) {
			w.Errorf("it prints\n%s\nwithout %q", output, want)
		}
	}
	if strings.ContainsAny(output, "\x1b\a\r\u202e") || !utf8.ValidString(output) {
		w.Errorf("it prints characters that control a terminal: %q", output)
	}
}

func TestFaultyFolder_Sync(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	f := w.writeFaultyFolder()
	plan, _ := w.wantExit(4, w.syncArgs("--dry-run")...)
	w.wantNamed(plan, "! %s  left out: %s", f.leftOut)
	w.wantNamed(plan, ". %s  left out: %s", f.expected)
	if want := fmt.Sprintf("%d added, %d left out (dry run", len(f.uploaded), len(f.leftOut)); !strings.Contains(plan, want) || len(w.uploads()) != 0 {
		t.Errorf("after %d uploads it prints\n%s\nwithout %q", len(w.uploads()), plan, want)
	}
	w.wantPlan(f)
	for range 2 {
		output, complaint := w.wantExit(2, w.syncArgs()...)
		w.wantNamed(output, "! %s  left out: %s", f.leftOut)
		if !strings.Contains(complaint, fmt.Sprintf("%d documents failed or left out", len(f.leftOut))) {
			t.Errorf("it prints\n%s", complaint)
		}
		w.wantFiles(f.names()...)
		if listed := slices.Sorted(maps.Keys(w.listed())); len(listed) != len(f.uploaded) || !slices.Contains(listed, "caf%E9.md") || !slices.Contains(listed, "line\nbreak\r.md") {
			t.Errorf("the vector store has %q", listed)
		}
	}
	if uploads := len(w.uploads()); uploads != len(f.uploaded) {
		t.Errorf("%d files were uploaded, want %d: nothing twice", uploads, len(f.uploaded))
	}
}

// wantPlan requires that the plan in JSON has the same.
func (w *workspace) wantPlan(f faultyFolder) {
	w.Helper()
	text, _ := w.wantExit(4, w.syncArgs("--dry-run", "-o", "json")...)
	var plan struct {
		LeftOut []struct {
			Path, Reason string
			Expected     bool
		}
	}
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		w.Fatal(err)
	}
	got := map[bool]map[string]string{true: {}, false: {}}
	for _, l := range plan.LeftOut {
		got[l.Expected][strings.NewReplacer("\x1b", `\x1b`, "\a", `\a`).Replace(l.Path)] = l.Reason
	}
	expected := maps.Clone(f.expected)
	expected["drafts/"] = "excluded"
	if diff := cmp.Diff(map[bool]map[string]string{true: expected, false: f.leftOut}, got); diff != "" {
		w.Errorf("left out (-want +got):\n%s", diff)
	}
}

func TestFaultyFolder_Create(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	f := w.writeFaultyFolder()
	args := w.creating("handbook", "docs", "--path-attribute=path")
	_, complaint := w.wantExit(2, append(args, "--dry-run=client")...)
	w.wantNamed(complaint, "Leaving out docs/%s: %s", f.leftOut)
	w.wantNamed(complaint, "Leaving out docs/%s: %s", f.expected)
	if len(w.uploads()) != 0 {
		t.Errorf("a dry run uploaded %d files", len(w.uploads()))
	}
	for range 2 {
		_, complaint = w.wantExit(2, args...)
		w.wantNamed(complaint, "Leaving out docs/%s: %s", f.leftOut)
		if !strings.Contains(complaint, fmt.Sprintf("error: %d files or folders were left out", len(f.leftOut))) ||
			!strings.Contains(complaint, "1 file or folder that patterns exclude") {
			t.Errorf("it prints\n%s", complaint)
		}
		w.wantFiles(f.names()...)
	}
	if uploads := len(w.uploads()); uploads != len(f.uploaded) {
		t.Errorf("%d files were uploaded, want %d: nothing twice", uploads, len(f.uploaded))
	}
	var paths []string
	for _, file := range w.Get(t, "handbook").Spec.Files {
		var path string
		if err := json.Unmarshal(file.Attributes["path"].Raw, &path); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	var want []string
	for name := range f.uploaded {
		want = append(want, "docs/"+strings.ReplaceAll(name, "\xe9", "%E9"))
	}
	slices.Sort(want)
	slices.Sort(paths)
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	w.await("handbook", v1alpha1.ReasonCompleted)
	// What the user leaves out is not a failure.
	w.wantExit(0, w.creating("markdown", "docs", "--include=deep/")...)
}
