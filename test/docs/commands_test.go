// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shellBlock is a block of shell commands of a page.
type shellBlock struct {
	page, text string
	// reason is why the block is not run; empty if it is.
	reason string
}

// notRun matches the comment before a block that no test runs. Readers do not see it.
var notRun = regexp.MustCompile(`<!-- not run: (.+) -->$`)

// shellBlocks returns the blocks of shell commands of a page. Blocks of the language console show a session, with
// its output, and are not meant to be copied.
func shellBlocks(t *testing.T, page string) []shellBlock {
	t.Helper()
	var found []shellBlock
	text := read(t, page)
	for _, at := range regexp.MustCompile("(?ms)^```(?:sh|bash|shell)\n(.*?)^```$").FindAllStringSubmatchIndex(text, -1) {
		block := shellBlock{page: page, text: text[at[2]:at[3]]}
		if mark := notRun.FindStringSubmatch(strings.TrimRight(text[:at[0]], "\n")); mark != nil {
			block.reason = mark[1]
		}
		found = append(found, block)
	}
	return found
}

// TestBlocks_HaveALanguage requires that each block names one, so that none escapes the other tests.
func TestBlocks_HaveALanguage(t *testing.T) {
	known := strings.Fields("sh yaml console json mermaid text lua promql go")
	for _, page := range pages(t) {
		for i, fence := range regexp.MustCompile("(?m)^```(.*)$").FindAllStringSubmatch(read(t, page), -1) {
			if opens := i%2 == 0; opens && !slices.Contains(known, fence[1]) {
				t.Errorf("%s: block %d has the language %q, want one of %v", page, i/2+1, fence[1], known)
			}
		}
	}
}

// TestBlocks_ReasonsAreTrue requires that a test that is named as the one that runs a block exists, and that no
// page is read in vain: each page with commands has some that are run, or reasons for all.
func TestBlocks_ReasonsAreTrue(t *testing.T) {
	tests := firsts(`(?m)^func (Test\w+)\(`, sources(t, "."))
	run, marked := 0, 0
	for _, page := range pages(t) {
		for _, block := range shellBlocks(t, page) {
			if block.reason == "" {
				run++
				continue
			}
			marked++
			for _, name := range regexp.MustCompile(`Test[A-Z]\w+`).FindAllString(block.reason, -1) {
				if !slices.Contains(tests, name) {
					t.Errorf("%s: no test has the name %s", page, name)
				}
			}
		}
	}
	if run < 15 || marked == 0 {
		t.Errorf("%d blocks are run, and %d have a reason", run, marked)
	}
}
