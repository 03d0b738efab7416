// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sync

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRecord_Reopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "record")
	now := time.Unix(1700000000, 0).UTC()
	attached := recorded{FileID: "file-a", Path: "a.md", Version: "1", AttachedAt: &now, BatchID: "vsfb_1"}
	r, err := openRecord(path, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range [][]recorded{{{FileID: "file-a", Path: "a.md", Version: "1"}, {FileID: "file-b", Path: "b.md"}}, {attached, {FileID: "file-b", Gone: true}}, {{Common: true}}} {
		if err := r.put(files...); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	// The last line is incomplete after a crash.
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"file":"file-c"`); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{true, false, true} {
		r, err := openRecord(path, readOnly)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]recorded{"file-a": attached}, r.files); diff != "" || !r.common {
			t.Errorf("files (-want +got), common %t:\n%s", r.common, diff)
		}
		if err := r.close(); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") != 2 {
		t.Errorf("after it was opened, the record is %q, %v; want no obsolete lines", text, err)
	}
}

func TestRecord_Invalid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	if err := os.WriteFile(path, []byte("{}\nhello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openRecord(path, false); err == nil || !strings.Contains(err.Error(), "line 2 of "+path) {
		t.Errorf("error = %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "{}\nhello\n" {
		t.Errorf("the file became %q, %v", text, err)
	}
}

func TestJournalPath(t *testing.T) {
	version, path, ok := parseJournalPath(journalPath("abc", "docs/a/b.md"))
	if version != "abc" || path != "docs/a/b.md" || !ok {
		t.Errorf("parseJournalPath = %q, %q, %t", version, path, ok)
	}
	if _, _, ok := parseJournalPath("/home/me/docs/a.md"); ok {
		t.Error("the path of another upload is accepted")
	}
}

func TestIsDocument(t *testing.T) {
	hash := strings.Repeat("a1", 32)
	for path, want := range map[string]bool{
		journalPath(hash, "docs/a.md"): true, "/sync/docs/a.md": false, "/sync/" + hash: false, "/home/me/a.md": false, "/sync/" + hash[2:] + "/a.md": false,
	} {
		if got := IsDocument(path); got != want {
			t.Errorf("IsDocument(%s) = %t, want %t", path, got, want)
		}
	}
}
