// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code    = regexp.MustCompile("`[^`\n]+`")
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	// dropped matches the characters that GitHub omits from the anchor of a heading.
	dropped = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors returns the anchors of the headings of a page on GitHub.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(prose(t, page), -1) {
		text := link.ReplaceAllString(match[1], "")
		slug := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(text), ""), " ", "-")
		unique := slug
		for n := 1; found[unique]; n++ {
			unique = fmt.Sprintf("%s-%d", slug, n)
		}
		found[unique] = true
	}
	return found
}

// TestLinks_Resolve follows every link inside the repository, to its heading.
func TestLinks_Resolve(t *testing.T) {
	for _, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(prose(t, page), ""), -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			target = path.Join(path.Dir(page), target)
			if match[1][0] == '#' {
				target = page
			}
			if _, err := os.Stat(framework.Path(target)); err != nil {
				t.Errorf("%s: broken link %s: %v", page, match[1], err)
				continue
			}
			if anchor != "" && !anchors(t, target)[anchor] {
				t.Errorf("%s: the link %s has no heading", page, match[1])
			}
		}
	}
	for _, match := range link.FindAllStringSubmatch(read(t, "llms.txt"), -1) {
		if _, err := os.Stat(framework.Path(match[1])); err != nil {
			t.Errorf("llms.txt: broken link %s: %v", match[1], err)
		}
	}
	for _, folder := range column(t, contributing, "folder") {
		if _, err := os.Stat(framework.Path(folder)); err != nil {
			t.Error(err)
		}
	}
}

// TestLinks_ReachEveryPage requires that the index of the docs links to every page in its sections, and the
// README to the index and the other pages.
func TestLinks_ReachEveryPage(t *testing.T) {
	for from, to := range map[string][]string{
		readme: framework.Glob(t, "*.md", "docs/README.md"),
		index:  framework.Glob(t, "docs/*.md", "docs/*/*.md"),
	} {
		text := read(t, from)
		for _, page := range to {
			target, err := filepath.Rel(filepath.Dir(from), page)
			if err != nil {
				t.Fatal(err)
			}
			if page != from && !strings.Contains(text, "]("+target+")") {
				t.Errorf("%s does not link to %s", from, page)
			}
		}
	}
}

// TestDecisions_Numbered requires consecutive numbers, also in the titles.
func TestDecisions_Numbered(t *testing.T) {
	for i, page := range framework.Glob(t, "docs/internals/adr/*.md") {
		if number := fmt.Sprintf("%04d-", i+1); !strings.HasPrefix(path.Base(page), number) {
			t.Errorf("%s must begin with %s", page, number)
		}
		if title := fmt.Sprintf("# %d. ", i+1); !strings.HasPrefix(read(t, page), title) {
			t.Errorf("%s must begin with %q", page, title)
		}
	}
}
