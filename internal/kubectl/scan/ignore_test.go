// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package scan

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path"
	"strings"
	"testing"
)

// excludedByRules reports whether the lines of an IgnoreFile leave out a file, or a folder that it is in.
func excludedByRules(t *testing.T, lines []string, name string) bool {
	t.Helper()
	rules, err := parseRules("", lines)
	if err != nil {
		t.Fatal(err)
	}
	elements := strings.Split(name, "/")
	for i := range elements {
		if excludes(rules, path.Join(elements[:i+1]...), i < len(elements)-1) {
			return true
		}
	}
	return false
}

func TestRules(t *testing.T) {
	for _, test := range []struct {
		lines     string
		out, kept []string
	}{
		{"*.md", []string{"a.md", "a/b.md"}, []string{"a.mdx", "a.MD"}},
		{"/a.md", []string{"a.md"}, []string{"b/a.md"}},
		{"a/b", []string{"a/b", "a/b/c"}, []string{"c/a/b"}},
		{"a/", []string{"a/b", "c/a/b"}, []string{"a", "b/a"}},
		{"**/a/b", []string{"a/b", "a/a/b", "c/a/b/d"}, []string{"a/c/b"}},
		{"a/**", []string{"a/b", "a/b/c"}, []string{"a", "b/a/c"}},
		{"a/**/b", []string{"a/b", "a/c/d/b"}, []string{"a/bb"}},
		{"a/**\n!a/keep", []string{"a/b"}, []string{"a/keep"}},
		{"a\n!a/keep", []string{"a/keep"}, nil},
		{"*\n!*.md", []string{"a.txt"}, []string{"a.md"}},
		{"[!a].md", []string{"b.md"}, []string{"a.md"}},
		{"{a,b}.md", []string{"{a,b}.md"}, []string{"a.md"}},
		{`\#a` + "\n" + `\!b` + "\n# c", []string{"#a", "!b"}, []string{"a", "b", "# c"}},
		{"a \nb\\ ", []string{"a", "b "}, []string{"a ", "b"}},
		{"a\r\n\r\n", []string{"a"}, []string{"b"}},
		{"a?c", []string{"abc"}, []string{"a/c", "ac"}},
		{"a**c", []string{"abbc", "ac"}, []string{"a/c"}},
		{"/\n//", nil, []string{"a"}},
	} {
		for want, names := range map[bool][]string{true: test.out, false: test.kept} {
			for _, name := range names {
				if got := excludedByRules(t, strings.Split(test.lines, "\n"), name); got != want {
					t.Errorf("%q excludes %q: %t, want %t", test.lines, name, got, want)
				}
			}
		}
	}
}

// TestRules_AsGit compares random patterns with Git.
func TestRules_AsGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from string, n int) string {
		var text strings.Builder
		for range 1 + random.IntN(n) {
			text.WriteByte(from[random.IntN(len(from))])
		}
		return text.String()
	}
	elements := []string{"a", "b", "ab", "*", "?", "**", "a*", "[ab]", "[!a]", "[^a]b", `\*`, "{a,b}", "*b*"}
	for range 60 {
		var lines []string
		for range 1 + random.IntN(4) {
			line := []string{"", "", "", "!", "/", "!/", "**/"}[random.IntN(7)]
			for i := range 1 + random.IntN(3) {
				if i > 0 {
					line += "/"
				}
				line += elements[random.IntN(len(elements))]
			}
			lines = append(lines, line+[]string{"", "", "/", " ", "/**"}[random.IntN(5)])
		}
		var names []string
		for range 40 {
			name := pick("ab", 2)
			for range random.IntN(3) {
				name += "/" + pick("ab", 2)
			}
			names = append(names, name)
		}
		for i, want := range gitIgnores(t, git, lines, names) {
			if got := excludedByRules(t, lines, names[i]); got != want {
				t.Errorf("%q excludes %q: %t, Git: %t", lines, names[i], got, want)
			}
		}
	}
}

// gitIgnores reports for each name whether Git ignores it.
func gitIgnores(t *testing.T, git string, lines, names []string) []bool {
	t.Helper()
	folder := t.TempDir()
	create(t, folder, map[string]string{".gitignore": strings.Join(lines, "\n") + "\n"})
	if output, err := exec.CommandContext(t.Context(), git, "-C", folder, "init", "-q").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	command := exec.CommandContext(t.Context(), git, "-C", folder, "check-ignore", "--no-index", "-v", "-n", "--stdin", "-z")
	command.Stdin = strings.NewReader(strings.Join(names, "\x00") + "\x00")
	output, err := command.Output()
	if err != nil && command.ProcessState.ExitCode() != 1 { // 1: none is ignored
		t.Fatal(err)
	}
	fields := bytes.Split(bytes.TrimSuffix(output, []byte{0}), []byte{0})
	if len(fields) != 4*len(names) {
		t.Fatal(fmt.Errorf("%d fields for %d names", len(fields), len(names)))
	}
	ignored := make([]bool, len(names))
	for i := range names {
		pattern := string(fields[4*i+2])
		ignored[i] = pattern != "" && !strings.HasPrefix(pattern, "!")
	}
	return ignored
}
