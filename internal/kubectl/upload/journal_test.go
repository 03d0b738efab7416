// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package upload

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func mustOpen(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := OpenJournal(path, "a")
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func mustClose(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

func testContent(i int) content {
	return content{Path: fmt.Sprintf("/%d.md", i), Size: 1, SHA256: "abc"}
}

func TestJournal_Reopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	before := snapshot{Since: time.Unix(1700000000, 0).UTC(), Known: []string{"file-old"}}
	j := mustOpen(t, path)
	if err := j.startRun(before); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for i := range 100 {
		writers.Go(func() {
			if err := errors.Join(j.begin(testContent(i)), j.done(testContent(i), fmt.Sprintf("file-%d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	if err := errors.Join(j.begin(testContent(100)), j.begin(testContent(101)), j.void(testContent(101)), j.Close()); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, path)
	defer mustClose(t, j)
	for i := range 100 {
		if got, want := j.fileID(testContent(i)), fmt.Sprintf("file-%d", i); got != want {
			t.Errorf("fileID of content %d = %q, want %q", i, got, want)
		}
	}
	pending := j.pending()
	if u, exists := pending[testContent(100)]; len(pending) != 1 || !exists || !u.snapshot.Since.Equal(before.Since) || u.snapshot.Known[0] != "file-old" {
		t.Errorf("pending = %+v, want content 100 with the snapshot of the run", pending)
	}
	if len(j.claimed()) != 100 {
		t.Errorf("%d files are claimed, want 100", len(j.claimed()))
	}
}

func TestJournal_IncompleteLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, path)
	if err := errors.Join(j.done(testContent(1), "file-1"), j.done(testContent(2), "file-2"), j.Close()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, path)
	if err := errors.Join(j.done(testContent(3), "file-3"), j.Close()); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, path)
	defer mustClose(t, j)
	for i, want := range map[int]bool{1: true, 2: false, 3: true} {
		if got := j.fileID(testContent(i)) != ""; got != want {
			t.Errorf("content %d is recorded: %t, want %t", i, got, want)
		}
	}
}

func TestJournal_InUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := mustOpen(t, path)
	if _, err := OpenJournal(path, "a"); !errors.Is(err, ErrInUse) {
		t.Errorf("second OpenJournal: error = %v, want ErrInUse", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, path).Close(); err != nil {
		t.Error(err)
	}
}

func TestJournal_InvalidRecord(t *testing.T) {
	for _, line := range []string{"hello", `{"op":"done"}`, `{"op":"run"}`, `{"op":"done","file":{"path":"/a","sha256":"b"}}`} {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, []byte(header+line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenJournal(path, "a"); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: error = %v, want the line number", line, err)
		}
	}
}

func TestJournal_ForeignFile(t *testing.T) {
	for name, content := range map[string]string{
		"text": "hello\n", "without a newline": "hello", "JSON": `{"op":"done"}` + "\n", "other version": strings.Replace(header, "1", "2", 1), "half": header[:9] + "x",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenJournal(path, "a"); err == nil || !strings.Contains(err.Error(), "not a journal") {
				t.Errorf("error = %v, want that it is not a journal", err)
			}
			if _, err := PathsIn(path); err == nil {
				t.Error("PathsIn reads it")
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != content {
				t.Errorf("the file is now %q", got)
			}
		})
	}
}

func TestJournal_NotARegularFile(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{"link": target, "dangling": filepath.Join(dir, "missing"), "device": os.DevNull}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "link"), filepath.Join(dir, "dangling"), filepath.Join(dir, "device"), pipe, os.DevNull, dir} {
		if j, err := OpenJournal(path, "a"); err == nil {
			t.Errorf("%s was opened", path)
			mustClose(t, j)
		}
	}
	if content, err := os.ReadFile(target); err != nil || string(content) != "hello" {
		t.Errorf("the target of the link is now %q", content)
	}
	if _, err := os.Lstat(filepath.Join(dir, "missing")); err == nil {
		t.Error("the target of the dangling link was created")
	}
}

func TestJournal_InterruptedFirstWrite(t *testing.T) {
	for _, content := range []string{"", header[:1], header[:20], header} {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		j := mustOpen(t, path)
		if err := errors.Join(j.done(testContent(1), "file-1"), j.Close()); err != nil {
			t.Fatal(err)
		}
		if paths, err := PathsIn(path); err != nil || paths["file-1"] != "/1.md" {
			t.Errorf("%q: paths = %v, %v", content, paths, err)
		}
	}
}

func TestJournal_PathOfAnyBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	names := []string{"/caf\xe9.md", "/caf\xff.md", "/caf\ufffd.md", "/\x00\x1b<>.md"}
	j := mustOpen(t, path)
	for i, name := range names {
		if err := j.done(content{Path: name, Size: 1, SHA256: "abc"}, fmt.Sprint("file-", i)); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, j)
	j = mustOpen(t, path)
	defer mustClose(t, j)
	for i, name := range names {
		if got, want := j.fileID(content{Path: name, Size: 1, SHA256: "abc"}), fmt.Sprint("file-", i); got != want {
			t.Errorf("fileID of %q = %q, want %q", name, got, want)
		}
	}
}
