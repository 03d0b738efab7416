// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

const documents = "examples/documents"

// TestExampleDocuments renders the example with sets of files: the names follow the files, and no object has more
// files than a batch can have.
func TestExampleDocuments(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	render := func(files []string, values string) objects {
		return parse(t, h.run(t, "template", "handbook", documents, "--namespace", "docs", "--values",
			valuesFile(t, "vectorStoreID: vs_x\nfiles: ["+strings.Join(files, ",")+"]\n"+values)))
	}
	var many []string
	for i := range 4001 {
		many = append(many, fmt.Sprintf("file-%04d", i))
	}
	keys := func(o objects) []string { return slices.Sorted(maps.Keys(o)) }
	for count, wanted := range map[int]int{0: 0, 1: 1, 2000: 1, 2001: 2, 4000: 2, 4001: 3} {
		rendered := render(many[:count], "")
		if len(rendered) != wanted {
			t.Errorf("%d files are %d objects, want %d", count, len(rendered), wanted)
		}
		var got []string
		for _, object := range rendered {
			for _, id := range at(t, object, "spec", "fileIDs").([]any) {
				got = append(got, id.(string))
			}
		}
		if slices.Sort(got); !slices.Equal(got, many[:count]) {
			t.Errorf("%d files: the objects have %d", count, len(got))
		}
	}
	same, other := keys(render(many[:3], "secret: another")), keys(render(many[:4], ""))
	if first := keys(render(many[:3], "")); !slices.Equal(first, same) || slices.Equal(first, other) {
		t.Errorf("the names are %v, %v for another Secret, %v for other files", first, same, other)
	}
	if first := keys(render(many[:3], "attributes: {year: 2026}")); slices.Equal(first, same) {
		t.Errorf("the name %v does not follow the attributes, which are immutable", first)
	}
}
