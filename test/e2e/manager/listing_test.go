// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// age matches the age of an object in a table of kubectl.
var age = regexp.MustCompile(`^\d+[smhd](\d+[smhd])?$`)

// gap matches what separates two columns of kubectl get.
var gap = regexp.MustCompile(`\s{2,}`)

// table splits the output of kubectl get into cells.
func table(output string) [][]string {
	var rows [][]string
	for line := range strings.Lines(output) {
		cells := gap.Split(strings.TrimSpace(line), -1)
		for i, cell := range cells {
			if age.MatchString(cell) {
				cells[i] = "<age>"
			}
		}
		rows = append(rows, cells)
	}
	return rows
}

func TestKubectlGet(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	otherStore := f.store + "_other"
	addStore(t, otherStore)
	f.Apply(t, f.manifest("done", `fileIDs: [file-l1, file-fail-l2, file-l3]`))
	f.Apply(t, fixture{store: otherStore}.manifest("running", `fileIDs: [file-stuck-l]`))
	f.wantState(t, "done", v1alpha1.ReasonFilesFailed)
	f.wantState(t, "running", v1alpha1.ReasonInProgress)
	batch, other := onlyBatch(t, f.store).ID, onlyBatch(t, otherStore).ID

	header := []string{"NAME", "STATUS", "REASON", "COMPLETED", "FAILED", "TOTAL", "AGE"}
	done := []string{"done", "completed", "FilesFailed", "2", "1", "3", "<age>"}
	running := []string{"running", "in_progress", "InProgress", "0", "0", "1", "<age>"}
	wide := func(row []string, more ...string) []string { return append(row[:len(row):len(row)], more...) }

	for command, want := range map[string][][]string{
		"get vsfb":                   {header, done, running},
		"get vectorstorefilebatch":   {header, done, running},
		"get vectorstorefilebatches": {header, done, running},
		"get openai":                 {header, done, running},
		"get vsfb -o wide": {
			wide(header, "STORE", "BATCH", "MESSAGE"),
			wide(done, f.store, batch, "1 of 3 files failed (allowed: 0); see status.failedFiles"),
			wide(running, otherStore, other, "The API is processing the files of batch "+other),
		},
		"get vsfb --field-selector=spec.vectorStoreID=" + f.store:                                 {header, done},
		"get vsfb --field-selector=spec.vectorStoreID!=" + f.store:                                {header, running},
		"get vsfb --field-selector=status.status=in_progress":                                     {header, running},
		"get vsfb --field-selector=spec.vectorStoreID=" + f.store + ",status.status=completed":    {header, done},
		"get vsfb --field-selector=spec.vectorStoreID=" + otherStore + ",status.status=completed": nil,
	} {
		t.Run(command, func(t *testing.T) {
			if diff := cmp.Diff(want, table(f.Must(t, strings.Fields(command)...))); diff != "" {
				t.Errorf("kubectl %s (-want +got):\n%s", command, diff)
			}
		})
	}

	t.Run("describe shows the conditions and the Events", func(t *testing.T) {
		output := f.Must(t, "describe", "vsfb", "done")
		for _, want := range []string{"Vector Store ID:", "Failed Files:", "FilesFailed", "Last Transition Time:", "Events:", "Warning"} {
			if !strings.Contains(output, want) {
				t.Errorf("kubectl describe does not show %q:\n%s", want, output)
			}
		}
	})
}

// TestKubectlExplain compares the output of kubectl explain with every field of the types.
func TestKubectlExplain(t *testing.T) {
	t.Parallel()
	for path, kind := range map[string]reflect.Type{
		"vsfb":                              reflect.TypeFor[v1alpha1.VectorStoreFileBatch](),
		"vsfb.spec":                         reflect.TypeFor[v1alpha1.VectorStoreFileBatchSpec](),
		"vsfb.spec.files":                   reflect.TypeFor[v1alpha1.File](),
		"vsfb.spec.chunkingStrategy":        reflect.TypeFor[v1alpha1.ChunkingStrategy](),
		"vsfb.spec.chunkingStrategy.static": reflect.TypeFor[v1alpha1.StaticChunking](),
		"vsfb.spec.credentialsRef":          reflect.TypeFor[v1alpha1.CredentialsReference](),
		"vsfb.status":                       reflect.TypeFor[v1alpha1.VectorStoreFileBatchStatus](),
		"vsfb.status.fileCounts":            reflect.TypeFor[v1alpha1.FileCounts](),
		"vsfb.status.failedFiles":           reflect.TypeFor[v1alpha1.FailedFile](),
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			output := env.Kubectl.Must(t, "explain", path)
			described := descriptions(output)
			for _, field := range jsonNames(kind) {
				text, found := described[field]
				// The standard fields have their standard texts.
				if own := field != "metadata" && field != "apiVersion" && field != "kind"; !found || own && !strings.HasPrefix(text, field+" ") {
					t.Errorf("kubectl explain %s: %s has the description %q, want a sentence that begins with its name:\n%s", path, field, text, output)
				}
			}
			for _, remnant := range []string{"TODO", "+kubebuilder", "+optional", "<no description>"} {
				if strings.Contains(output, remnant) && path != "vsfb" {
					t.Errorf("kubectl explain %s shows %q:\n%s", path, remnant, output)
				}
			}
		})
	}
}

// fieldLine matches the first line of a field in kubectl explain: its name, a tab, its type.
var fieldLine = regexp.MustCompile(`^ {2}(\w+)\t<`)

// descriptions returns the texts of kubectl explain by field.
func descriptions(output string) map[string]string {
	texts := map[string]string{}
	field := ""
	for line := range strings.Lines(output) {
		if match := fieldLine.FindStringSubmatch(line); match != nil {
			field = match[1]
			texts[field] = ""
		} else if text := strings.TrimSpace(line); field != "" && text != "" && !strings.HasPrefix(text, "enum: ") {
			texts[field] = strings.TrimSpace(texts[field] + " " + text)
		}
	}
	return texts
}

// jsonNames returns the names of a struct's fields in JSON.
func jsonNames(kind reflect.Type) []string {
	var names []string
	for field := range kind.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if options == "inline" {
			names = append(names, "apiVersion", "kind")
		} else {
			names = append(names, name)
		}
	}
	return names
}
