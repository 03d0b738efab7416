// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// createFiles creates files in a new working directory.
func createFiles(t *testing.T, paths ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, path := range paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		text := "x"
		if strings.Contains(path, "empty") {
			text = ""
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind(t *testing.T) {
	createFiles(t, "docs/a.md", "docs/b.txt", "docs/deep/er/c.md", "docs/.git/config", "docs/.hidden.md", "docs/empty.md", "top.md", "odd[1].md")
	if err := os.Symlink("../top.md", "docs/link.md"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..", "docs/cycle"); err != nil {
		t.Fatal(err)
	}
	all := []string{"docs/a.md", "docs/b.txt", "docs/deep/er/c.md", "docs/link.md"}
	for name, test := range map[string]struct{ paths, want, skipped []string }{
		"directory":          {[]string{"docs"}, all, []string{"docs/empty.md"}},
		"directory and file": {[]string{"docs/", "docs/a.md", "./docs/../docs/b.txt"}, all, []string{"docs/empty.md"}},
		"file":               {[]string{"top.md"}, []string{"top.md"}, nil},
		"hidden file":        {[]string{"docs/.hidden.md"}, []string{"docs/.hidden.md"}, nil},
		"glob":               {[]string{"docs/*.txt"}, []string{"docs/b.txt"}, nil},
		"deep glob":          {[]string{"docs/deep/**/*.md"}, []string{"docs/deep/er/c.md"}, nil},
		"alternatives":       {[]string{"{top,other}.md"}, []string{"top.md"}, nil},
		"name with brackets": {[]string{"odd[1].md"}, []string{"odd[1].md"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			files, skipped, err := Find(test.paths)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, file := range files {
				got = append(got, file.Name)
				if !filepath.IsAbs(file.Path) || file.Size != 1 {
					t.Errorf("%+v", file)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.skipped, skipped); diff != "" {
				t.Errorf("skipped (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFind_InvalidPath(t *testing.T) {
	createFiles(t, "a.md")
	for path, want := range map[string]string{
		"missing.md":  "PATH missing.md does not exist",
		"*.pdf":       "PATH *.pdf matches no files",
		"[":           "as a glob",
		os.DevNull:    "is not a file",
		"a.md/inside": "PATH a.md/inside",
	} {
		if _, _, err := Find([]string{"a.md", path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error = %v, want it to contain %q", path, err, want)
		}
	}
}

func TestFind_FileTooLarge(t *testing.T) {
	createFiles(t, "large.md")
	if err := os.Truncate("large.md", MaxSize+1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Find([]string{"."}); err == nil || !strings.Contains(err.Error(), "large.md has 536870913 bytes") {
		t.Errorf("error = %v, want the size of large.md", err)
	}
}
