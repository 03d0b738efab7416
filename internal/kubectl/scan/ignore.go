// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// maxIgnoreFile is the maximum size of an IgnoreFile, in bytes.
const maxIgnoreFile = 1 << 20

// rule is a pattern of .gitignore. Libraries for them differ from Git for patterns such as a/** and
// [!a], so the pattern is rewritten for doublestar; a test compares the result with Git.
type rule struct {
	// dir is the folder that the pattern applies to; "" is the root.
	dir string
	// pattern is a pattern of doublestar, relative to dir.
	pattern string
	// keep is true for a pattern that begins with !, which overrides earlier ones.
	keep bool
	// dirOnly is true for a pattern that ends with a slash.
	dirOnly bool
}

// parseRules parses the lines of an IgnoreFile in the folder dir.
func parseRules(dir string, lines []string) ([]rule, error) {
	var rules []rule
	for _, line := range lines {
		r, isRule := parseRule(line)
		if !isRule {
			continue
		}
		if !doublestar.ValidatePattern(r.pattern) {
			return nil, fmt.Errorf("%q is not a valid pattern", line)
		}
		r.dir = dir
		rules = append(rules, r)
	}
	return rules, nil
}

// parseRule parses a line; isRule is false for an empty line and a comment.
func parseRule(line string) (r rule, isRule bool) {
	line = trimSpaces(strings.TrimSuffix(line, "\r"))
	if line == "" || strings.HasPrefix(line, "#") {
		return rule{}, false
	}
	line, r.keep = strings.CutPrefix(line, "!")
	line, r.dirOnly = strings.CutSuffix(line, "/")
	// A pattern with a slash, except at its end, is relative to the folder. Others match at any depth.
	anchored := strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	if line == "" {
		return rule{}, false
	}
	// Braces have no meaning in .gitignore.
	line = strings.NewReplacer(`\{`, `\{`, `\}`, `\}`, `\\`, `\\`, "{", `\{`, "}", `\}`).Replace(line)
	if !anchored {
		line = "**/" + line
	}
	// doublestar matches a with a/**, and Git only what is below a.
	if inside, found := strings.CutSuffix(line, "/**"); found {
		line = inside + "/**/*"
	}
	r.pattern = line
	return r, true
}

// trimSpaces removes spaces at the end, except one that a backslash escapes.
func trimSpaces(line string) string {
	trimmed := strings.TrimRight(line, " ")
	backslashes := len(trimmed) - len(strings.TrimRight(trimmed, `\`))
	if backslashes%2 == 1 && len(trimmed) < len(line) {
		return trimmed + " "
	}
	return trimmed
}

func (r rule) matches(name string, isDir bool) bool {
	if r.dirOnly && !isDir {
		return false
	}
	if r.dir != "" {
		inside, below := strings.CutPrefix(name, r.dir+"/")
		if !below {
			return false
		}
		name = inside
	}
	return doublestar.MatchUnvalidated(r.pattern, name)
}

// excludes reports whether rules leave out a path: the last one that matches decides.
func excludes(rules []rule, name string, isDir bool) bool {
	for _, r := range slices.Backward(rules) {
		if r.matches(name, isDir) {
			return !r.keep
		}
	}
	return false
}

// matchesAny reports whether rules select a file, or a folder that it is in.
func matchesAny(rules []rule, name string) bool {
	for isDir := false; name != "."; name, isDir = path.Dir(name), true {
		for _, r := range slices.Backward(rules) {
			if r.matches(name, isDir) {
				return !r.keep
			}
		}
	}
	return false
}

// ignoreRules returns the rules of the IgnoreFile of a folder.
func (w *walk) ignoreRules(dir string) ([]rule, error) {
	if rules, known := w.ignored[dir]; known {
		return rules, nil
	}
	rules, err := w.readIgnoreFile(dir)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", path.Join(dir, IgnoreFile), err)
	}
	w.ignored[dir] = rules
	return rules, nil
}

func (w *walk) readIgnoreFile(dir string) ([]rule, error) {
	file := File{Path: path.Join(dir, IgnoreFile), root: w.result.root}
	// An unreadable folder has no IgnoreFile that matters, and is left out.
	if _, err := w.result.root.Lstat(file.Path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	opened, err := file.Open()
	if err != nil {
		return nil, errors.New(reasonOf(err))
	}
	defer func() { _ = opened.Close() }() // opened for reading only
	content, err := io.ReadAll(io.LimitReader(opened, maxIgnoreFile+1))
	switch {
	case err != nil:
		return nil, errors.New(reasonOf(err))
	case len(content) > maxIgnoreFile:
		return nil, fmt.Errorf("it has more than %d bytes", maxIgnoreFile)
	}
	return parseRules(dir, strings.Split(strings.TrimPrefix(string(content), "\ufeff"), "\n"))
}

// globMatches reports whether Options.Glob matches a file, or can match one in a folder.
func (w *walk) globMatches(name string, isDir bool) bool {
	glob := w.options.Glob
	if glob == "" {
		return true
	}
	if !isDir {
		return doublestar.MatchUnvalidated(glob, name)
	}
	patterns, elements := strings.Split(glob, "/"), strings.Split(name, "/")
	for i, element := range elements {
		switch {
		case i >= len(patterns):
			return false
		case strings.Contains(patterns[i], "**"), strings.Count(patterns[i], "{") != strings.Count(patterns[i], "}"):
			return true // the rest, or alternatives that contain a slash, can match anything
		case !doublestar.MatchUnvalidated(patterns[i], element):
			return false
		}
	}
	return len(elements) < len(patterns)
}
