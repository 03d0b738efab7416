// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docs_test holds the README and the docs to what is there: their manifests, their
// commands, their links, and every name in them.
package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

const (
	readme    = "README.md"
	kindPage  = "docs/vectorstorefilebatch.md"
	gitops    = "docs/gitops.md"
	runbook   = "docs/runbook.md"
	reference = "docs/reference.md"
)

// read is a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(controlplane.Root(), path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// glob are the files of the repository that fit one of the patterns.
func glob(t *testing.T, patterns ...string) []string {
	t.Helper()
	var found []string
	for _, pattern := range patterns {
		paths, err := filepath.Glob(filepath.Join(controlplane.Root(), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			relative, err := filepath.Rel(controlplane.Root(), path)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, filepath.ToSlash(relative))
		}
	}
	if len(found) == 0 {
		t.Fatalf("no file is like %v", patterns)
	}
	return found
}

// pages are all pages that are written for people.
func pages(t *testing.T) []string {
	t.Helper()
	return glob(t, "*.md", "docs/*.md", "docs/adr/*.md", "hack/*/README.md", "charts/*/README.md")
}

// blocks are the fenced blocks of a page in a language.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	var found []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(read(t, page), -1) {
		found = append(found, match[1])
	}
	return found
}

// prose is a page without its fenced blocks.
func prose(t *testing.T, page string) string {
	t.Helper()
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(read(t, page), "")
}

// quoted are the texts in backquotes of a page, each once.
func quoted(t *testing.T, page string) []string {
	t.Helper()
	var found []string
	for _, match := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(prose(t, page), -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// column is the first column of a page's table that begins with a header, without backquotes.
func column(t *testing.T, page, header string) []string {
	t.Helper()
	_, rest, found := strings.Cut(read(t, page), "\n| "+header+" | ")
	if !found {
		t.Fatalf("%s has no table of a %s", page, header)
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
