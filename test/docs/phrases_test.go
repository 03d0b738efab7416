// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// mannered matches phrases that readers stumble over, each followed by a plain word for it.
var mannered = map[*regexp.Regexp]string{
	phrase(`somebody|nobody|whoever`):                          "name the actor",
	phrase(`who (?:may|has to|have to)`):                       "users who can, callers that must",
	phrase(`(?:the|an) upstream(?:'s)?`):                       "the OpenAI API, the API",
	phrase(`lets? (?:it|them|the object|an object) go|let go`): "remove the finalizer",
	phrase(`(?:is|are|was|were) over`):                         "finished",
	phrase(`as asked`):                                         "as requested",
	phrase(`mend(?:s|ed|ing)?`):                                "fix",
	phrase(`(?:looks?|looked|looking) at|a look`):              "poll, get, check",
	phrase(`tells?|told`):                                      "report",
	phrase(`stands? in|stand-in for`):                          "is in, emulator",
	phrase(`(?:what )?(?:came|became) of`):                     "the outcome",
	phrase(`the other way round|all the same`):                 "delete it",
	phrase(`in the way(?: of)?`):                               "blocking",
	phrase(`(?:takes?|took|taken|taking) out`):                 "detach, remove",
	phrase(`(?:gets|got|getting) on`):                          "make progress",
	phrase(`also where`):                                       "even if",
}

func phrase(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?i)\b(?:` + pattern + `)\b`) }

// TestPhrases_Plain searches for mannered phrases in the pages, in the chart, in the descriptions of the API, and
// in the texts of the programs: help, messages, metrics.
func TestPhrases_Plain(t *testing.T) {
	for _, page := range framework.Glob(t, "*.md", "docs/*.md", "docs/*/*.md", "hack/*/README.md", "charts/*/README.md") {
		if page != "CHANGELOG.md" {
			wantPlain(t, page, prose(t, page))
		}
	}
	for _, file := range framework.Glob(t, "charts/*/*.yaml", "charts/*/values.schema.json", "charts/*/templates/NOTES.txt", "config/crd/bases/*.yaml", "config/prometheus/*") {
		wantPlain(t, file, read(t, file))
	}
	for _, folder := range []string{"cmd", "internal"} {
		for file, text := range literals(t, folder) {
			wantPlain(t, file, text)
		}
	}
}

func wantPlain(t *testing.T, name, text string) {
	t.Helper()
	text = regexp.MustCompile(`\s+`).ReplaceAllString(text, " ")
	for pattern, instead := range mannered {
		for _, at := range pattern.FindAllStringIndex(text, -1) {
			t.Errorf("%s: …%s…: %s", name, text[max(0, at[0]-30):min(len(text), at[1]+30)], instead)
		}
	}
}

// literals returns the strings in the Go files below a folder, by file.
func literals(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(framework.Path(folder), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		var text strings.Builder
		ast.Inspect(file, func(node ast.Node) bool {
			literal, isLiteral := node.(*ast.BasicLit)
			if isLiteral && literal.Kind == token.STRING {
				if value, err := strconv.Unquote(literal.Value); err == nil {
					text.WriteString(value + " | ")
				}
			}
			_, isImport := node.(*ast.ImportSpec)
			return !isImport
		})
		found[strings.TrimPrefix(path, framework.Root()+string(filepath.Separator))] = text.String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestPromise_IsWhatTheSuiteChecks requires the promise on creates word for word as the fault suite has it.
func TestPromise_IsWhatTheSuiteChecks(t *testing.T) {
	promise := strings.TrimSpace(read(t, "test/robustness/failpoints/promise.txt"))
	if promise == "" {
		t.Fatal("the fault suite has no promise")
	}
	for _, page := range []string{readme, "docs/concepts/reliability.md"} {
		if !strings.Contains(read(t, page), promise) {
			t.Errorf("%s does not contain the promise of the fault suite: %s", page, promise)
		}
	}
}
