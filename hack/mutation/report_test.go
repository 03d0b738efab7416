// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadReport_OmitsWhatDoesNotBuild(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("internal/a/a.go", "package a\n\tif x > y {\n")
	write("out.json", `{"files":[{"file_name":"a.go","mutations":[
		{"type":"T","status":"LIVED","line":2,"column":7},{"type":"T","status":"NOT COVERED","line":2,"column":7},
		{"type":"T","status":"KILLED","line":2,"column":7},{"type":"T","status":"TIMED OUT","line":2,"column":7},
		{"type":"T","status":"NOT VIABLE","line":2,"column":7}]}]}`)
	r, err := readReport(filepath.Join(dir, "out.json"), dir, "internal/a")
	if err != nil {
		t.Fatal(err)
	}
	lived := mutant{file: "internal/a/a.go", kind: "T", at: "if x ▸> y {", line: 2, survived: true}
	killed := lived
	killed.survived = false
	if diff := cmp.Diff([]mutant{lived, lived, killed, killed}, r.mutants, cmp.AllowUnexported(mutant{})); diff != "" {
		t.Errorf("mutants (-want +got):\n%s", diff)
	}
}

func TestJudge(t *testing.T) {
	listed := survivor{File: "internal/a/a.go", Mutation: "T", At: "x ▸> y", Reason: "equal"}
	lived := mutant{file: listed.File, kind: listed.Mutation, at: listed.At, survived: true}
	other := lived
	other.at = "x ▸< y"
	killed := make([]mutant, 38)
	for name, test := range map[string]struct {
		mutants []mutant
		listed  []survivor
		valid   bool
	}{
		"all killed":            {killed, nil, true},
		"a listed survivor":     {append([]mutant{lived}, killed...), []survivor{listed}, true},
		"an unlisted survivor":  {append([]mutant{other}, killed...), []survivor{listed}, false},
		"one more than listed":  {append([]mutant{lived, lived}, killed...), []survivor{listed}, false},
		"a listed one is dead":  {killed, []survivor{listed}, false},
		"another folder's":      {killed, []survivor{{File: "internal/ab/a.go", Reason: "equal"}}, true},
		"95 percent":            {append([]mutant{lived, lived}, killed...), []survivor{listed, listed}, true},
		"less than 95 percent":  {append([]mutant{lived, lived}, killed[1:]...), []survivor{listed, listed}, false},
		"nothing else survives": {[]mutant{lived}, []survivor{listed}, false},
	} {
		if err := judge(report{name: "internal/a", mutants: test.mutants}, test.listed, 95); (err == nil) != test.valid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadSurvivors_RequiresReasons(t *testing.T) {
	if _, err := readSurvivors("survivors.yaml"); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "survivors.yaml")
	if err := os.WriteFile(file, []byte("- file: a.go\n  mutation: T\n  at: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSurvivors(file); err == nil {
		t.Error("a survivor without a reason was accepted")
	}
}
