// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestEachThreatNamesTestsThatExist reads the table of docs/security.md.
func TestEachThreatNamesTestsThatExist(t *testing.T) {
	_, rest, found := strings.Cut(read(t, "docs", "security.md"), "\n| threat | ")
	if !found {
		t.Fatal("docs/security.md has no table of threats")
	}
	tests := testNames(t)
	threats := firstCells(rest)
	if len(threats) < 10 {
		t.Errorf("the table has %d threats, want those that were considered", len(threats))
	}
	rows := strings.Split(rest, "\n")[2:]
	for i, threat := range threats {
		names := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(rows[i], -1)
		if len(names) == 0 {
			t.Errorf("%s: no test is named", threat)
		}
		for _, name := range names {
			if !tests[name[1]] {
				t.Errorf("%s: there is no test %s", threat, name[1])
			}
		}
	}
}

// TestPagesNameWhatThereIs looks for the targets and flags that the pages about the image and
// about security name.
func TestPagesNameWhatThereIs(t *testing.T) {
	makefile, flags := read(t, "Makefile"), read(t, "cmd", "manager", "options.go")
	for _, page := range []string{"image.md", "security.md"} {
		text := read(t, "docs", page)
		for _, match := range regexp.MustCompile("(?m)(?:^|`)make ([a-z-]+)").FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+match[1]+":") {
				t.Errorf("%s: the Makefile has no target %s", page, match[1])
			}
		}
		for _, match := range regexp.MustCompile("`--([a-z-]+)`").FindAllStringSubmatch(text, -1) {
			if !strings.Contains(flags, `"`+match[1]+`"`) {
				t.Errorf("%s: the manager has no flag --%s", page, match[1])
			}
		}
	}
}
