// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docs_test checks the README and the docs: their manifests, commands and links, and the names in
// them.
package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	readme       = "README.md"
	contributing = "CONTRIBUTING.md"
	index        = "docs/README.md"
	kindPage     = "docs/concepts/vectorstorefilebatch.md"
	gitops       = "docs/guides/gitops.md"
	runbook      = "docs/operations/runbook.md"
	reference    = "docs/reference/api.md"
)

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	return framework.ReadFile(t, path)
}

// pages returns all pages.
func pages(t *testing.T) []string {
	t.Helper()
	return framework.Glob(t, "*.md", "docs/*.md", "docs/*/*.md", "docs/*/*/*.md", "hack/*/README.md", "charts/*/README.md")
}

// blocks returns the fenced blocks of a page in a language.
func blocks(t *testing.T, page, language string) []string {
	t.Helper()
	var found []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(read(t, page), -1) {
		found = append(found, match[1])
	}
	return found
}

// prose returns a page without its fenced blocks.
func prose(t *testing.T, page string) string {
	t.Helper()
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(read(t, page), "")
}

// quoted returns the texts in backquotes of a page, each once.
func quoted(t *testing.T, page string) []string {
	t.Helper()
	var found []string
	for _, match := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(prose(t, page), -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// column returns the first column of the table with a header, without backquotes.
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
