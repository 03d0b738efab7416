// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestThreats_HaveTests requires existing tests for each threat of docs/concepts/security.md.
func TestThreats_HaveTests(t *testing.T) {
	_, rest, found := strings.Cut(read(t, "docs/concepts/security.md"), "\n| threat | ")
	if !found {
		t.Fatal("docs/concepts/security.md has no table of threats")
	}
	tests := firsts(`(?m)^func ((?:Test|Fuzz)\w+)\(`, sources(t, "."))
	threats := firstCells(rest)
	if len(threats) < 10 {
		t.Errorf("the table has %d threats, want at least 10", len(threats))
	}
	rows := strings.Split(rest, "\n")[2:]
	for i, threat := range threats {
		names := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(rows[i], -1)
		if len(names) == 0 {
			t.Errorf("%s: no test", threat)
		}
		for _, name := range names {
			if !slices.Contains(tests, name[1]) {
				t.Errorf("%s: no test has the name %s", threat, name[1])
			}
		}
	}
}
