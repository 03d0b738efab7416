// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDocs_ListEveryBehavior requires that docs/guides/servers.md has a row for each question, in their order.
func TestDocs_ListEveryBehavior(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/guides/servers.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed, asked []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (.*?) \\| ").FindAllStringSubmatch(string(page), -1) {
		listed = append(listed, row[1]+": "+row[2])
	}
	for _, q := range questions {
		if !strings.HasPrefix(q.id, "operator_") {
			asked = append(asked, q.id+": "+q.text)
		}
	}
	if diff := cmp.Diff(asked, listed); diff != "" {
		t.Errorf("questions (-asked +listed):\n%s", diff)
	}
}
