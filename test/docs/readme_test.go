// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docs_test holds README.md to what is there: its manifests, its commands, and every
// name in it.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

// read is a file of the repository.
func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{controlplane.Root()}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// blocks are the fenced blocks of the README in a language.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	var found []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(read(t, "README.md"), -1) {
		found = append(found, match[1])
	}
	if len(found) == 0 {
		t.Fatalf("the README has no %s", language)
	}
	return found
}

// named are what a pattern finds in the README, each once.
func named(t *testing.T, pattern string) []string {
	t.Helper()
	var found []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(read(t, "README.md"), -1) {
		found = append(found, match[1])
	}
	if len(found) == 0 {
		t.Fatalf("the README has nothing like %s", pattern)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// column is the first column of the table that begins with a header, without the backquotes.
func column(t *testing.T, header string) []string {
	t.Helper()
	_, rest, found := strings.Cut(read(t, "README.md"), "\n| "+header+" | ")
	if !found {
		t.Fatalf("the README has no table of a %s", header)
	}
	return firstCells(rest)
}

func firstCells(table string) []string {
	var cells []string
	for _, line := range strings.Split(table, "\n")[2:] {
		cell, _, isRow := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if !isRow {
			break
		}
		cells = append(cells, strings.Trim(cell, "`"))
	}
	return cells
}

// fields are the names of a type's fields in JSON.
func fields[T any]() []string {
	var names []string
	for field := range reflect.TypeFor[T]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// constants are the values of the API's constants whose names begin with a prefix.
func constants(t *testing.T, prefix string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", read(t, "api", "v1alpha1", "names.go"), 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(node ast.Node) bool {
		spec, isValue := node.(*ast.ValueSpec)
		if !isValue || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
		return true
	})
	return values
}

func TestTablesNameWhatThereIs(t *testing.T) {
	tables := strings.Split(read(t, "README.md"), "\n| field | ")
	if len(tables) != 3 {
		t.Fatalf("the README has %d tables of fields, want those of the spec and of the status", len(tables)-1)
	}
	secret := strings.Split(strings.ReplaceAll(strings.Join(column(t, "key of the Secret"), ", "), "`", ""), ", ")
	for name, table := range map[string]struct{ want, got []string }{
		"fields of the spec":   {fields[v1alpha1.VectorStoreFileBatchSpec](), firstCells(tables[1])},
		"fields of the status": {fields[v1alpha1.VectorStoreFileBatchStatus](), firstCells(tables[2])},
		"conditions":           {constants(t, "Condition"), column(t, "condition")},
		"reasons":              {constants(t, "Reason"), column(t, "reason")},
		"keys of the Secret":   {constants(t, "SecretKey"), secret},
	} {
		slices.Sort(table.want)
		slices.Sort(table.got)
		if diff := cmp.Diff(table.want, table.got); diff != "" {
			t.Errorf("%s (-there +README):\n%s", name, diff)
		}
	}
}

func TestTargetsExist(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, target := range named(t, "(?m)(?:^|`)make ([a-z-]+)") {
		if !strings.Contains(makefile, "\n"+target+":") {
			t.Errorf("the Makefile has no target %s", target)
		}
	}
}

func TestFlagsExist(t *testing.T) {
	flags := read(t, "cmd", "manager", "options.go")
	for _, flag := range named(t, "`--([a-z-]+)`") {
		if !strings.Contains(flags, strconv.Quote(flag)) {
			t.Errorf("the manager has no flag --%s", flag)
		}
	}
}

// testNames are the tests and fuzz tests of every module.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	tests := map[string]bool{}
	err := filepath.WalkDir(controlplane.Root(), func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, match := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(content), -1) {
			tests[match[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

func TestTestsExist(t *testing.T) {
	tests := testNames(t)
	for _, name := range named(t, "`(Test[A-Za-z0-9]+)`") {
		if !tests[name] {
			t.Errorf("there is no test %s", name)
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	for _, path := range append(named(t, `\]\(([^)#:]+)\)`), foldersOfTheTable(t)...) {
		if _, err := os.Stat(filepath.Join(controlplane.Root(), path)); err != nil {
			t.Error(err)
		}
	}
}

func foldersOfTheTable(t *testing.T) []string {
	t.Helper()
	return column(t, "folder")
}

// TestManifestsAreTheSamples holds the README's manifests to the files that the demo uses,
// without the comment at their head.
func TestManifestsAreTheSamples(t *testing.T) {
	samples := map[string]string{}
	for _, path := range sampleFiles(t) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		samples[regexp.MustCompile(`\A(#.*\n)+`).ReplaceAllString(string(content), "")] = path
	}
	for _, manifest := range blocks(t, "yaml") {
		if samples[manifest] == "" {
			t.Errorf("no file in config/samples is like this:\n%s", manifest)
		}
	}
}

func sampleFiles(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(controlplane.Root(), "config", "samples", "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("found %d samples: %v", len(paths), err)
	}
	return paths
}
