// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func closed(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

func named(i int) content { return content{Path: fmt.Sprintf("/%d.md", i), Size: 1, SHA256: "abc"} }

func TestJournalRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	before := snapshot{Since: time.Unix(1700000000, 0).UTC(), Known: []string{"file-old"}}
	j := open(t, path)
	if err := j.run(before); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if err := errors.Join(j.begin(named(i)), j.done(named(i), fmt.Sprintf("file-%d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := errors.Join(j.begin(named(100)), j.begin(named(101)), j.void(named(101)), j.Close()); err != nil {
		t.Fatal(err)
	}
	j = open(t, path)
	defer closed(t, j)
	for i := range 100 {
		if u, known := j.find(named(i)); !known || u.fileID != fmt.Sprintf("file-%d", i) {
			t.Errorf("%d is %+v, %t", i, u, known)
		}
	}
	open := j.open()
	if u, is := open[named(100)]; len(open) != 1 || !is || !u.snapshot.Since.Equal(before.Since) || u.snapshot.Known[0] != "file-old" {
		t.Errorf("open are %+v", open)
	}
	if len(j.claimed()) != 100 {
		t.Errorf("%d files are claimed", len(j.claimed()))
	}
}

func TestJournalForgetsALineThatWasCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	if err := errors.Join(j.done(named(1), "file-1"), j.done(named(2), "file-2"), j.Close()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	j = open(t, path)
	if err := errors.Join(j.done(named(3), "file-3"), j.Close()); err != nil {
		t.Fatal(err)
	}
	j = open(t, path)
	defer closed(t, j)
	for i, want := range map[int]bool{1: true, 2: false, 3: true} {
		if _, known := j.find(named(i)); known != want {
			t.Errorf("%d is known: %t, want %t", i, known, want)
		}
	}
}

func TestJournalIsForOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	if _, err := OpenJournal(path); !errors.Is(err, ErrInUse) {
		t.Errorf("the second one gets %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Close(); err != nil {
		t.Error(err)
	}
}

func TestJournalThatSomethingElseWroteIsRefused(t *testing.T) {
	for _, line := range []string{"hello", `{"op":"done"}`, `{"op":"run"}`, `{"op":"done","file":{"path":"/a","sha256":"b"}}`} {
		path := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(path, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenJournal(path); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%s: error is %v", line, err)
		}
	}
}
