// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package scan

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"

// create creates files with content in a folder.
func create(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// scanned returns the paths of the files, and of what was left out with the reason.
func scanned(t *testing.T, result *Result, err error) (files []string, leftOut map[string]Reason) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = result.Close() })
	leftOut = map[string]Reason{}
	for _, f := range result.Files {
		files = append(files, f.Path)
	}
	for _, l := range result.LeftOut {
		leftOut[l.Path] = l.Reason
	}
	return files, leftOut
}

func TestFolder_NamesWhatItLeavesOut(t *testing.T) {
	outside := t.TempDir()
	create(t, outside, map[string]string{"credentials.md": "secret"})
	folder := t.TempDir()
	create(t, folder, map[string]string{
		"a.md": "x", "deep/er/b.txt": "x", "UPPER.PDF": "x", "odd[1] {2}.md": "x", "logo.png": "x", "Makefile": "x", "trailing.": "x",
		"empty.md": "", ".env.md": "x", ".git/config.md": "x", "model.json": pointer, "about-lfs.md": "version https://git-lfs.github.com/spec/v1 is a line",
		"large.txt": "123456789",
		// As the kubelet mounts a ConfigMap.
		"..2026/mounted.md": "x",
	})
	link(t, "a.md", filepath.Join(folder, "inside.md"))
	link(t, "deep/../inside.md", filepath.Join(folder, "twice.md"))
	link(t, "../../"+filepath.Base(outside)+"/credentials.md", filepath.Join(folder, "deep", "relative.md"))
	link(t, filepath.Join(outside, "credentials.md"), filepath.Join(folder, "absolute.md"))
	link(t, outside, filepath.Join(folder, "outside"))
	link(t, "outside/credentials.md", filepath.Join(folder, "through.md"))
	link(t, ".env.md", filepath.Join(folder, "hidden-file.md"))
	link(t, ".git/config.md", filepath.Join(folder, "hidden-folder.md"))
	link(t, "missing.md", filepath.Join(folder, "dangling.md"))
	link(t, "loop.md", filepath.Join(folder, "loop.md"))
	link(t, ".", filepath.Join(folder, "cycle"))
	link(t, "deep", filepath.Join(folder, "shallow"))
	link(t, "..2026", filepath.Join(folder, "..data"))
	link(t, "..data/mounted.md", filepath.Join(folder, "mounted.md"))
	if err := syscall.Mkfifo(filepath.Join(folder, "pipe.md"), 0o600); err != nil {
		t.Fatal(err)
	}
	result, err := Folder(t.Context(), folder, Options{MaxSize: 130})
	files, leftOut := scanned(t, result, err)
	want := []string{"UPPER.PDF", "a.md", "about-lfs.md", "deep/er/b.txt", "inside.md", "large.txt", "mounted.md", "odd[1] {2}.md", "twice.md"}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	wantLeftOut := map[string]Reason{
		"logo.png": Unsupported, "Makefile": Unsupported, "trailing.": Unsupported, "empty.md": Empty, ".env.md": Hidden, ".git": Hidden,
		"model.json": LFSPointer, "deep/relative.md": LinkOutside, "absolute.md": LinkOutside, "outside": LinkOutside, "through.md": LinkOutside,
		"hidden-file.md": LinkToHidden, "hidden-folder.md": LinkToHidden, "dangling.md": BrokenLink, "loop.md": BrokenLink,
		"cycle": LinkToFolder, "shallow": LinkToFolder, "pipe.md": NotRegular, "..2026": Hidden, "..data": Hidden,
	}
	if diff := cmp.Diff(wantLeftOut, leftOut); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
}

func TestFolder_Unreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root can read everything")
	}
	folder := t.TempDir()
	create(t, folder, map[string]string{"a.md": "x", "closed/b.md": "x", "secret.md": "x"})
	for name, mode := range map[string]os.FileMode{"closed": 0, "secret.md": 0} {
		if err := os.Chmod(filepath.Join(folder, name), mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(filepath.Join(folder, name), 0o700) })
	}
	result, err := Folder(t.Context(), folder, Options{})
	files, leftOut := scanned(t, result, err)
	if diff := cmp.Diff([]string{"a.md"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]Reason{"closed": Unreadable, "secret.md": Unreadable}, leftOut); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
}

func TestFolder_Limits(t *testing.T) {
	folder := t.TempDir()
	create(t, folder, map[string]string{"123.md": "1234", "1234.md": "1234", "12.md": "12345", "é.md": "1", "1.csv": "1", "none": "1"})
	result, err := Folder(t.Context(), folder, Options{MaxSize: 4, MaxKeyLength: 6, Extensions: []string{".md", ".csv"}})
	files, leftOut := scanned(t, result, err)
	if diff := cmp.Diff([]string{"1.csv", "123.md", "é.md"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]Reason{"12.md": TooLarge, "1234.md": PathTooLong, "none": Unsupported}, leftOut); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	result, err = Folder(t.Context(), folder, Options{Extensions: []string{AnyExtension}})
	if files, _ = scanned(t, result, err); len(files) != 6 {
		t.Errorf("with any extension, the files are %q", files)
	}
}

func TestFolder_AnyBytes(t *testing.T) {
	folder := t.TempDir()
	create(t, folder, map[string]string{"caf\xe9.MD": "1", "caf%E9.MD": "2", "dir\xff/a\x1b[31m.md": "3", "zwei Wörter.md": "4", "bad\xff1.md": "5", "bad\xfe1.md": "6"})
	result, err := Folder(t.Context(), folder, Options{})
	_, leftOut := scanned(t, result, err)
	if diff := cmp.Diff(map[string]Reason{"caf\xe9.MD": DuplicateKey}, leftOut); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	got := map[string]string{}
	for _, f := range result.Files {
		sum, size, err := f.SHA256(t.Context())
		if err != nil {
			t.Error(err)
		}
		content, err := os.ReadFile(filepath.Join(folder, f.Path))
		if want := fmt.Sprintf("%x", sha256.Sum256(content)); err != nil || sum != want || size != 1 || f.Size != 1 {
			t.Errorf("%q: SHA256() = %s, %d, want %s, 1", f.Path, sum, size, want)
		}
		got[f.Key] = f.UploadName()
	}
	want := map[string]string{"caf%E9.MD": "caf%E9.md", "dir%FF/a\x1b[31m.md": "a_[31m.md", "zwei Wörter.md": "zwei Wörter.md", "bad%FF1.md": "bad_1.md", "bad%FE1.md": "bad_1.md"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("upload names by key (-want +got):\n%s", diff)
	}
}

func TestFolder_Patterns(t *testing.T) {
	folder := t.TempDir()
	create(t, folder, map[string]string{
		IgnoreFile: "# drafts\n\ndraft*\n!draft-final.md\nbuild/\n", "a/" + IgnoreFile: "/own.md\n!draft-2.md\n",
		"index.md": "x", "draft-1.md": "x", "draft-final.md": "x", "build/x.md": "x", "a/build.md": "x", "a/own.md": "x", "a/b/own.md": "x", "a/draft-2.md": "x",
	})
	link(t, "draft-1.md", filepath.Join(folder, "alias.md"))
	link(t, "../build/x.md", filepath.Join(folder, "a", "built.md"))
	for name, test := range map[string]struct {
		options Options
		want    []string
	}{
		"ignore file":           {Options{}, []string{"a/b/own.md", "a/build.md", "a/draft-2.md", "draft-final.md", "index.md"}},
		"exclude":               {Options{Exclude: []string{"index.*", "a/b"}}, []string{"a/build.md", "a/draft-2.md", "draft-final.md"}},
		"exclude overrides":     {Options{Exclude: []string{"!draft-1.md"}}, []string{"a/b/own.md", "a/build.md", "a/draft-2.md", "alias.md", "draft-1.md", "draft-final.md", "index.md"}},
		"include":               {Options{Include: []string{"own.md", "/index.md"}}, []string{"a/b/own.md", "index.md"}},
		"include a folder":      {Options{Include: []string{"b/"}}, []string{"a/b/own.md"}},
		"include, then exclude": {Options{Include: []string{"a/"}, Exclude: []string{"b"}}, []string{"a/build.md", "a/draft-2.md"}},
		"glob":                  {Options{Glob: "*.md"}, []string{"draft-final.md", "index.md"}},
		"deep glob":             {Options{Glob: "a/**/o*.md"}, []string{"a/b/own.md"}},
		"glob of alternatives":  {Options{Glob: "{index,a/build}.md"}, []string{"a/build.md", "index.md"}},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := Folder(t.Context(), folder, test.options)
			files, leftOut := scanned(t, result, err)
			if diff := cmp.Diff(test.want, files); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			for path, reason := range leftOut {
				if reason != Excluded {
					t.Errorf("%s is left out as %s", path, reason)
				}
			}
		})
	}
}

func TestFolder_Errors(t *testing.T) {
	folder := t.TempDir()
	create(t, folder, map[string]string{"a.md": "x", "b/" + IgnoreFile + "/x": "x"})
	if _, err := Folder(t.Context(), folder, Options{}); err == nil || !strings.Contains(err.Error(), IgnoreFile) {
		t.Errorf("with an unreadable %s, the error is %v", IgnoreFile, err)
	}
	if _, err := Folder(t.Context(), filepath.Join(folder, "missing"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("for a missing folder, the error is %v", err)
	}
	if _, err := Folder(t.Context(), folder, Options{Exclude: []string{"[a"}}); err == nil || !strings.Contains(err.Error(), "[a") {
		t.Errorf("for an invalid pattern, the error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Folder(ctx, folder, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancellation, the error is %v", err)
	}
}

func TestFolder_LocalFolderStaysInWorkingDirectory(t *testing.T) {
	outside, working := t.TempDir(), t.TempDir()
	create(t, outside, map[string]string{"credentials.md": "secret"})
	create(t, working, map[string]string{"real/a.md": "x"})
	link(t, outside, filepath.Join(working, "docs"))
	link(t, "real", filepath.Join(working, "alias"))
	t.Chdir(working)
	for _, path := range []string{"docs", "./docs/", "real/../docs"} {
		if result, err := Folder(t.Context(), path, Options{}); err == nil {
			t.Errorf("%s: the files are %+v", path, result.Files)
		}
	}
	if result, err := Files(t.Context(), "docs", []string{"credentials.md"}, Options{}); err == nil {
		t.Errorf("the files are %+v", result.Files)
	}
	for _, path := range []string{"alias", outside} {
		result, err := Folder(t.Context(), path, Options{})
		if files, _ := scanned(t, result, err); len(files) != 1 {
			t.Errorf("%s: the files are %q", path, files)
		}
	}
}

func TestFiles(t *testing.T) {
	folder := t.TempDir()
	create(t, folder, map[string]string{".hidden.md": "x", "a.md": "x", "logo.png": "x", IgnoreFile: "a.md"})
	link(t, "/etc/hostname", filepath.Join(folder, "link.md"))
	link(t, ".hidden.md", filepath.Join(folder, "shown.md"))
	result, err := Files(t.Context(), folder, []string{"a.md", ".hidden.md", "logo.png", "link.md", "shown.md"}, Options{})
	files, leftOut := scanned(t, result, err)
	if diff := cmp.Diff([]string{".hidden.md", "a.md"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]Reason{"logo.png": Unsupported, "link.md": LinkOutside, "shown.md": LinkToHidden}, leftOut); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	if _, err := Files(t.Context(), folder, []string{"missing.md"}, Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("for a missing file, the error is %v", err)
	}
}

// TestFile_ReplacedByLink checks that a file that becomes a link after the scan is not read.
func TestFile_ReplacedByLink(t *testing.T) {
	outside, folder := t.TempDir(), t.TempDir()
	create(t, outside, map[string]string{"credentials.md": "secret"})
	create(t, folder, map[string]string{"a.md": "x"})
	result, err := Folder(t.Context(), folder, Options{})
	scanned(t, result, err)
	path := filepath.Join(folder, "a.md")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	link(t, filepath.Join(outside, "credentials.md"), path)
	if _, _, err := result.Files[0].SHA256(t.Context()); err == nil {
		t.Error("a file outside the folder was read")
	}
}
