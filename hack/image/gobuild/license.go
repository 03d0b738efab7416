// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gobuild

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licenses that a linked module can have. Apart from attribution they have no
// conditions that matter for a binary.
var allowed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"}

// minCoverage is the minimum share of known text in a license, in percent of its words. The rest is
// names, years and copyright lines.
const minCoverage = 75

var (
	// legal matches the files that must be distributed with the program.
	legal = regexp.MustCompile(`(?i)^(licen[cs]es?|copying|notice|patents)([-._].*)?$`)
	// license matches those of them that contain a license.
	license = regexp.MustCompile(`(?i)^(licen[cs]es?|copying)`)
	// code matches source files whose name begins like that of a license, such as license.go.
	code = regexp.MustCompile(`(?i)\.(go|s|c|h|py|sh|tmpl)$`)
)

// readLicenses reads the license files of a module and identifies the licenses.
func (s source) readLicenses() (Module, error) {
	m := s.module
	var errs []error
	for _, dir := range s.dirs() {
		texts, err := legalFiles(s.root, dir)
		errs = append(errs, err)
		m.Texts = append(m.Texts, texts...)
	}
	licensed := false
	for _, text := range m.Texts {
		if !license.MatchString(path.Base(text.Path)) {
			continue
		}
		ids, err := identify(text.Content)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", m, text.Path, err))
		}
		licensed = true
		m.Licenses = append(m.Licenses, ids...)
	}
	if !licensed {
		errs = append(errs, fmt.Errorf("%s: no license in %s", m, s.root))
	}
	slices.Sort(m.Licenses)
	m.Licenses = slices.Compact(m.Licenses)
	return m, errors.Join(errs...)
}

// dirs returns the directory of the module, those of its linked packages, and those between them.
func (s source) dirs() []string {
	dirs := []string{"."}
	for _, dir := range s.packages {
		relative, err := filepath.Rel(s.root, dir)
		if err != nil || !filepath.IsLocal(relative) {
			continue
		}
		for ; relative != "."; relative = filepath.Dir(relative) {
			dirs = append(dirs, relative)
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

func legalFiles(root, dir string) ([]Text, error) {
	entries, err := os.ReadDir(filepath.Join(root, dir))
	if err != nil {
		return nil, fmt.Errorf("listing licenses: %w", err)
	}
	var texts []Text
	for _, entry := range entries {
		if !isLegal(entry) {
			continue
		}
		name := filepath.Join(dir, entry.Name())
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, fmt.Errorf("reading a license: %w", err)
		}
		texts = append(texts, Text{Path: filepath.ToSlash(name), Content: content})
	}
	slices.SortFunc(texts, func(a, b Text) int { return cmp.Compare(a.Path, b.Path) })
	return texts, nil
}

func isLegal(entry fs.DirEntry) bool {
	return entry.Type().IsRegular() && legal.MatchString(entry.Name()) && !code.MatchString(entry.Name())
}

// identify returns the SPDX identifiers of a license. It rejects a text with too many unknown words,
// because they could be a condition.
func identify(text []byte) ([]string, error) {
	scan := licensecheck.Scan(text)
	var ids []string
	for _, match := range scan.Match {
		if !match.IsURL && !slices.Contains(ids, match.ID) {
			ids = append(ids, match.ID)
		}
	}
	if len(ids) == 0 || scan.Percent < minCoverage {
		return ids, fmt.Errorf("%.0f%% of the text is a known license (%s), want at least %d%%", scan.Percent, cmp.Or(strings.Join(ids, ", "), "none"), minCoverage)
	}
	for _, id := range ids {
		if !slices.Contains(allowed, id) {
			return ids, fmt.Errorf("license %s is not one of %s", id, strings.Join(allowed, ", "))
		}
	}
	return ids, nil
}
