// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package upload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/scan"
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
	createFiles(t, "docs/a.md", "docs/b.txt", "docs/deep/er/c.MD", "docs/.git/config", "docs/.hidden.md", "docs/empty.md", "docs/logo.png", "top.md", "odd[1].md")
	for target, path := range map[string]string{"../top.md": "docs/link.md", "..": "docs/cycle", "a.md": "docs/alias.md", "/etc/hostname": "host.md"} {
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{"docs/a.md", "docs/alias.md", "docs/b.txt", "docs/deep/er/c.MD"}
	allLeftOut := []string{
		"docs/.git/: hidden", "docs/.hidden.md: hidden", "docs/cycle: link leaves the folder", "docs/empty.md: empty",
		"docs/link.md: link leaves the folder", "docs/logo.png: unsupported extension (.png)",
	}
	for name, test := range map[string]struct{ paths, want, leftOut []string }{
		"folder":             {[]string{"docs"}, all, allLeftOut},
		"folder and file":    {[]string{"docs/", "docs/a.md", "./docs/../docs/b.txt"}, all, allLeftOut},
		"hidden, named":      {[]string{"docs/deep", "docs/.hidden.md"}, []string{"docs/.hidden.md", "docs/deep/er/c.MD"}, nil},
		"file":               {[]string{"top.md"}, []string{"top.md"}, nil},
		"unsupported file":   {[]string{"docs/logo.png"}, nil, []string{"docs/logo.png: unsupported extension (.png)"}},
		"link outside":       {[]string{"host.md"}, nil, []string{"host.md: link leaves the folder"}},
		"glob":               {[]string{"docs/*.txt"}, []string{"docs/b.txt"}, nil},
		"deep glob":          {[]string{"docs/deep/**/*.MD"}, []string{"docs/deep/er/c.MD"}, nil},
		"glob with links":    {[]string{"**/*.md"}, []string{"docs/a.md", "docs/alias.md", "docs/link.md", "odd[1].md", "top.md"}, []string{"docs/.git/: hidden", "docs/.hidden.md: hidden", "docs/empty.md: empty", "host.md: link leaves the folder"}},
		"alternatives":       {[]string{"{top,other}.md"}, []string{"top.md"}, nil},
		"name with brackets": {[]string{"odd[1].md"}, []string{"odd[1].md"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := Find(t.Context(), test.paths, scan.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = found.Close() }()
			var got, leftOut []string
			for _, file := range found.Files {
				got = append(got, file.Name)
				if !filepath.IsAbs(file.Path) || file.Size != 1 {
					t.Errorf("%+v", file)
				}
			}
			for _, l := range found.LeftOut {
				leftOut = append(leftOut, l.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.leftOut, leftOut); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFind_InvalidPath(t *testing.T) {
	createFiles(t, "a.md")
	for path, want := range map[string]string{
		"missing.md":   "PATH missing.md does not exist",
		"*.pdf":        "PATH *.pdf matches no files",
		"missing/*.md": "PATH missing/*.md matches no files",
		"[":            "as a glob",
		os.DevNull:     "is not a file",
		"a.md/inside":  "PATH a.md/inside",
		"\x1b[31m.md":  `PATH \x1b[31m.md`,
	} {
		if _, err := Find(t.Context(), []string{"a.md", path}, scan.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error = %v, want it to contain %q", path, err, want)
		}
	}
}

func TestFind_Limits(t *testing.T) {
	createFiles(t, "docs/large.md", "docs/long-name.md", "docs/a.md")
	if err := os.Truncate("docs/large.md", scan.MaxSize+1); err != nil {
		t.Fatal(err)
	}
	found, err := Find(t.Context(), []string{"docs"}, scan.Options{MaxKeyLength: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	want := []string{"docs/large.md: too large (536870913 bytes, maximum 536870912)", "docs/long-name.md: path too long (maximum 16 characters)"}
	var got []string
	for _, l := range found.LeftOut {
		got = append(got, l.String())
	}
	if diff := cmp.Diff(want, got); diff != "" || len(found.Files) != 1 {
		t.Errorf("%d files, left out (-want +got):\n%s", len(found.Files), diff)
	}
}
