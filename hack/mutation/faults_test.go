// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFaults_Apply requires that each change applies to the source, and that the tests exist, so that
// nobody finds out hours later.
func TestFaults_Apply(t *testing.T) {
	root := filepath.Join("..", "..")
	faults, err := readList[fault]("faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, f := range faults {
		t.Run(f.Name, func(t *testing.T) {
			if f.Name == "" || f.Fault == "" || names[f.Name] || len(f.Changes) == 0 || len(f.Tests) == 0 {
				t.Error("it needs a name of its own, a description, changes, and tests")
			}
			names[f.Name] = true
			for _, c := range f.Changes {
				content, err := os.ReadFile(filepath.Join(root, c.File))
				if err == nil {
					_, err = c.applyTo(content)
				}
				if err != nil {
					t.Error(err)
				}
			}
			for _, test := range f.Tests {
				if !exists(t, filepath.Join(root, test.Package), test.Test) {
					t.Errorf("there is no test %s", test)
				}
			}
		})
	}
}

func exists(t *testing.T, folder, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "\nfunc "+test+"(t *testing.T) {") {
			return true
		}
	}
	return false
}

// module is a module with a function and its tests.
func module(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":      "module example.com/m\n\ngo 1.24\n",
		"m.go":        "package m\n\nfunc max2(a, b int) int { return max(a, b) }\n",
		"m_test.go":   "package m\n\nimport \"testing\"\n\nfunc TestMax(t *testing.T) {\n\tif max2(1, 2) != 2 {\n\t\tt.Error()\n\t}\n}\n",
		"bad_test.go": "package m\n\nimport \"testing\"\n\nfunc TestFails(t *testing.T) { t.Error() }\nfunc TestSkipped(t *testing.T) { t.Skip() }\nfunc TestNothing(t *testing.T) {}\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestReintroduce(t *testing.T) {
	minimum := []change{{"m.go", "max(a, b) }", "min(a, b) }"}}
	tests := func(names ...string) (tests []goTest) {
		for _, name := range names {
			tests = append(tests, goTest{".", name})
		}
		return tests
	}
	for name, test := range map[string]struct {
		changes []change
		tests   []goTest
		want    string // in the error; empty for none
	}{
		"detected":               {minimum, tests("TestMax"), ""},
		"not detected":           {minimum, tests("TestNothing"), "TestNothing does not detect it"},
		"detected by one of two": {minimum, tests("TestMax", "TestNothing"), "TestNothing does not detect it"},
		"fails without it":       {minimum, tests("TestFails"), "TestFails fails without the fault"},
		"skipped":                {minimum, tests("TestSkipped"), "it was skipped"},
		"no such test":           {minimum, tests("TestM"), "there is no such test"},
		"does not build":         {[]change{{"m.go", "max(a, b) }", "}"}}, tests("TestMax"), "TestMax did not run"},
		"does not apply":         {[]change{{"m.go", "min(", "max("}}, tests("TestMax"), "0 times"},
		"applies twice":          {[]change{{"m.go", "a, b", "b, a"}}, tests("TestMax"), "2 times"},
		"no file":                {[]change{{"n.go", "a", "b"}}, tests("TestMax"), "no such file"},
		"the second change":      {append(minimum, change{"m.go", "none", ""}), tests("TestMax"), "0 times"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := module(t)
			before, err := os.ReadFile(filepath.Join(source, "m.go"))
			if err != nil {
				t.Fatal(err)
			}
			err = reintroduce(t.Context(), io.Discard, source, []fault{{Name: "f", Changes: test.changes, Tests: test.tests}})
			if got := err == nil; got != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if after, err := os.ReadFile(filepath.Join(source, "m.go")); err != nil || string(after) != string(before) {
				t.Errorf("the source was not restored: %s, %v", after, err)
			}
		})
	}
}

func TestSelectFaults(t *testing.T) {
	faults := []fault{{Name: "a"}, {Name: "b"}}
	if selected, err := selectFaults(faults, nil); err != nil || len(selected) != 2 {
		t.Errorf("all: %v, %v", selected, err)
	}
	if selected, err := selectFaults(faults, []string{"b"}); err != nil || len(selected) != 1 || selected[0].Name != "b" {
		t.Errorf("one: %v, %v", selected, err)
	}
	if _, err := selectFaults(faults, []string{"c"}); err == nil || !strings.Contains(err.Error(), `no fault "c"`) {
		t.Errorf("an unknown one: %v", err)
	}
}
