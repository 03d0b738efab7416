// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
)

func planFiles(count, keyLength int) []upload.File {
	files := make([]upload.File, count)
	for i := range files {
		files[i].Key = fmt.Sprintf("%0*d", keyLength, i)
		files[i].Name = files[i].Key
	}
	return files
}

// TestPlan_SizeOfObjects checks the size of the objects with the longest IDs, and that no object is
// smaller than necessary.
func TestPlan_SizeOfObjects(t *testing.T) {
	many := v1alpha1.Attributes{}
	for i := range 15 {
		// JSON escapes the characters of the values.
		many[fmt.Sprintf("%064d", i)] = stringValue(strings.Repeat("<", 512))
	}
	for name, test := range map[string]struct {
		plan    plan
		files   []upload.File
		objects int
	}{
		"one":                   {plan{filesPerBatch: 500}, planFiles(1, 1), 1},
		"one batch":             {plan{filesPerBatch: 500}, planFiles(500, 1), 1},
		"one more":              {plan{filesPerBatch: 500}, planFiles(501, 1), 2},
		"largest batch of IDs":  {plan{filesPerBatch: 2000}, planFiles(2000, 1), 1},
		"common attributes":     {plan{filesPerBatch: 2000, attributes: many}, planFiles(2000, 1), 2},
		"paths":                 {plan{filesPerBatch: 2000, pathAttribute: "path"}, planFiles(2000, 512), 3},
		"attributes of files":   {plan{filesPerBatch: 2000, pathAttribute: "path", attributes: many}, planFiles(100, 512), 5},
		"paths to escape twice": {plan{filesPerBatch: 2000, pathAttribute: "path"}, []upload.File{{Key: strings.Repeat("\x01", 512)}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := test.plan
			p.name, p.namespace, p.vectorStore = "handbook", "demo", "vs_abc"
			if err := p.assign(test.files); err != nil {
				t.Fatal(err)
			}
			objects := p.objects(p.placeholders(func(i int, _ upload.File) string { return fmt.Sprintf("%0512d", i) }))
			if len(objects) != test.objects {
				t.Errorf("%d objects, want %d", len(objects), test.objects)
			}
			files := 0
			for i, b := range objects {
				text, err := json.Marshal(b)
				if err != nil {
					t.Fatal(err)
				}
				count := len(b.Spec.FileIDs) + len(b.Spec.Files)
				files += count
				full := count == p.filesPerBatch || len(text)+len(text)/count > maxObject-1024
				if len(text) > maxObject || count > p.filesPerBatch || i < len(objects)-1 && !full {
					t.Errorf("%s has %d files and %d bytes", b.Name, count, len(text))
				}
			}
			if files != len(test.files) {
				t.Errorf("the objects have %d files, want %d", files, len(test.files))
			}
		})
	}
}

func TestPlan_OmitsRefusedFiles(t *testing.T) {
	p := plan{name: "handbook", filesPerBatch: 2}
	if err := p.assign(planFiles(6, 1)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range p.objects([]string{"a", "", "", "", "e", "f"}) {
		got = append(got, b.Name+" "+strings.Join(b.Spec.FileIDs, ","))
	}
	if want := []string{"handbook-1 a", "handbook-3 e,f"}; !slices.Equal(got, want) {
		t.Errorf("objects = %q, want %q", got, want)
	}
}

func TestExitCode(t *testing.T) {
	partial, failed := leftOutError(1), errors.New("failed")
	for name, test := range map[string]struct {
		err  error
		want int
	}{
		"none":               {nil, 0},
		"failed":             {failed, exitFailed},
		"partial":            {partial, exitPartial},
		"wrapped":            {fmt.Errorf("creating: %w", partial), exitPartial},
		"joined":             {errors.Join(nil, partial), exitPartial},
		"failed and partial": {errors.Join(partial, failed), exitFailed},
		"partial and failed": {errors.Join(failed, partial), exitFailed},
	} {
		var out strings.Builder
		if got := Report(&out, test.err); got != test.want {
			t.Errorf("%s: the exit code is %d, want %d", name, got, test.want)
		}
	}
}

func TestNames_OfNewObjects(t *testing.T) {
	for id, want := range map[string]string{
		"vsfb_ibj_0aF": "vsfb-ibj-0af", "batch_0-1": "batch-0-1", "a=.b:c": "a-b-c", "==": "", "a..-b": "a-b", strings.Repeat("a", 300): strings.Repeat("a", 253),
	} {
		if got := nameFor(id); got != want {
			t.Errorf("nameFor(%q) = %q, want %q", id, got, want)
		}
	}
	for name, want := range map[string]string{"a": "a-retry-1", "a-retry-9": "a-retry-10", "a-retry-": "a-retry--retry-1", "retry-1": "retry-1-retry-1"} {
		if got := retryName(name); got != want {
			t.Errorf("retryName(%q) = %q, want %q", name, got, want)
		}
	}
}
