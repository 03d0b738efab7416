// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// fields returns the names of a type's fields in JSON.
func fields[T any]() []string {
	var names []string
	for field := range reflect.TypeFor[T]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// constants returns the values of the API's constants whose names begin with a prefix.
func constants(t *testing.T, prefix string) []string {
	t.Helper()
	var values []string
	collect := func(node ast.Node) bool {
		spec, isValue := node.(*ast.ValueSpec)
		if !isValue || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
		return true
	}
	for _, name := range []string{"conditions.go", "constants.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), "", read(t, "api/v1alpha1/"+name), 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, collect)
	}
	return values
}

// sources returns the Go files below some folders in one text.
func sources(t *testing.T, folders ...string) string {
	t.Helper()
	var text strings.Builder
	for _, folder := range folders {
		err := filepath.WalkDir(framework.Path(folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") {
				return err
			}
			content, err := os.ReadFile(path)
			text.Write(content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

// firsts returns the first group of each match of a pattern.
func firsts(pattern, text string) []string {
	var found []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	return found
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-code +documented):\n%s", what, diff)
	}
}

func TestTables_NameFieldsAndConditions(t *testing.T) {
	tables := strings.Split(read(t, kindPage), "\n| field | ")
	if len(tables) != 3 {
		t.Fatalf("%s has %d tables of fields, want those of the spec and of the status", kindPage, len(tables)-1)
	}
	secret := strings.Split(strings.ReplaceAll(strings.Join(column(t, kindPage, "key of the Secret"), ", "), "`", ""), ", ")
	same(t, "fields of the spec", fields[v1alpha1.VectorStoreFileBatchSpec](), firstCells(tables[1]))
	same(t, "fields of the status", fields[v1alpha1.VectorStoreFileBatchStatus](), firstCells(tables[2]))
	same(t, "conditions", constants(t, "Condition"), column(t, kindPage, "condition"))
	same(t, "keys of the Secret", constants(t, "SecretKey"), secret)
}

// entry matches the heading of an entry of the runbook.
var entry = regexp.MustCompile(`(?m)^### (\S+)\n`)

// TestRunbook_HasEveryReason requires one entry for each reason of a condition or an Event.
func TestRunbook_HasEveryReason(t *testing.T) {
	text := read(t, runbook)
	same(t, "reasons", constants(t, "Reason"), firsts(entry.String(), text))
	starts := entry.FindAllStringSubmatchIndex(text, -1)
	for i, start := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		name, body := text[start[2]:start[3]], text[start[1]:end]
		for _, part := range []string{"**Means:** ", "**Check:** ", "**Do:** "} {
			if strings.Count(body, "\n"+part) != 1 {
				t.Errorf("the entry of %s needs %q once", name, part)
			}
		}
	}
}

// TestFlags_Documented requires the manager's flags in the reference.
func TestFlags_Documented(t *testing.T) {
	documented := column(t, reference, "flag")
	for _, flag := range firsts(`flags\.\w*Var\(&[\w.]+, "([a-z-]+)"`, sources(t, "cmd/manager")) {
		if !slices.Contains(documented, "--"+flag) {
			t.Errorf("%s has no --%s: run `make docs`", reference, flag)
		}
	}
}

// foreignFlags are flags of other programs that the docs name.
var foreignFlags = strings.Fields("--output --server-side --wait --field-manager --force --help --kubeconfig --timeout --namespace --context --take-ownership --values --reuse-values --from-env-file --custom-resource-state-config-file --concurrent")

// TestFlags_Exist searches for every flag in backquotes.
func TestFlags_Exist(t *testing.T) {
	flags := firsts(`\w*(?:Var|VarP|P|Bool|String|Int|Duration)\((?:[^,()"]+, )?"([a-z][a-z-]+)"`, sources(t, "cmd", "hack", "internal/kubectl", "test"))
	for _, page := range pages(t) {
		for _, text := range quoted(t, page) {
			flag, _, _ := strings.Cut(text, "=")
			flag, _, _ = strings.Cut(flag, " ")
			if !strings.HasPrefix(flag, "--") || strings.HasPrefix(flag, "--zap-") || slices.Contains(foreignFlags, flag) {
				continue
			}
			if !slices.Contains(flags, strings.TrimPrefix(flag, "--")) {
				t.Errorf("%s: no program has a flag %s", page, flag)
			}
		}
	}
}

// camel matches the form of conditions, reasons, Kinds, values of enums, and names of tests.
var camel = regexp.MustCompile(`^(?:(?:Test|Benchmark|Fuzz)\w+|[A-Z][a-z]+(?:[A-Z]+[a-z]*)*)$`)

// foreignNames are names of other programs in that form.
var foreignNames = strings.Fields("True False Kustomization GitRepository Secret Namespace Deployment Unknown CancelHealthCheckOnNewRevision Result Reconcile Rest Release Always IfNotPresent Never RequeueAfter ImagePullBackOff CreateContainerConfigError OOMKilled HelmRelease OCIRepository Recreate Localhost")

// TestNames_Exist searches for every name in backquotes that has the form of a condition, a reason, a Kind or
// a test.
func TestNames_Exist(t *testing.T) {
	known := slices.Concat(constants(t, "Condition"), constants(t, "Reason"), foreignNames, []string{"VectorStoreFileBatch"},
		firsts(`(?m)^\t(?:DeletionPolicy|Chunking)\w+ \w+ = "(\w+)"`, read(t, "api/v1alpha1/vectorstorefilebatch_types.go")),
		firsts(`(?m)^    - alert: (\w+)$`, read(t, "config/prometheus/rules.yaml")),
		firsts(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`, sources(t, ".")))
	for _, page := range pages(t) {
		for _, name := range quoted(t, page) {
			if camel.MatchString(name) && !slices.Contains(known, name) {
				t.Errorf("%s: %s is not a condition, reason, Kind, value of a field or test", page, name)
			}
		}
	}
}

// TestMetrics_Exist searches for every metric of the operator in backquotes.
func TestMetrics_Exist(t *testing.T) {
	code := sources(t, "internal", "cmd/manager")
	// docs/reference/metrics.md is generated from the registry, which composes names.
	code += strings.ReplaceAll(read(t, "docs/reference/metrics.md"), "`", `"`)
	for _, page := range pages(t) {
		for _, name := range quoted(t, page) {
			name, _, _ = strings.Cut(name, "{")
			if regexp.MustCompile(`^vectorstore(filebatch|_operator)?(es)?_\w+$`).MatchString(name) && !strings.Contains(code, strconv.Quote(name)) {
				t.Errorf("%s: the operator has no metric %s", page, name)
			}
		}
	}
}

func TestTargets_Exist(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, page := range pages(t) {
		for _, target := range firsts("(?m)(?:^|`|\\$ )make ([a-z-]+)", read(t, page)) {
			if !strings.Contains(makefile, "\n"+target+":") {
				t.Errorf("%s: the Makefile has no target %s", page, target)
			}
		}
	}
}
