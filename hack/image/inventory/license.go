// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory

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

// allowed are the licences under which anything may be linked. They ask for little more than
// that their text comes along.
var allowed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"}

// coverage is how much of a licence, in per cent of its words, must be known text. The rest are
// names, years and what a copyright line adds.
const coverage = 75

var (
	// legal are the files that have to come along.
	legal = regexp.MustCompile(`(?i)^(licen[cs]es?|copying|notice|patents)([-._].*)?$`)
	// licence are those of them that say under what.
	licence = regexp.MustCompile(`(?i)^(licen[cs]es?|copying)`)
	// code is named like a licence now and then, as license.go is.
	code = regexp.MustCompile(`(?i)\.(go|s|c|h|py|sh|tmpl)$`)
)

// read finds the texts of a module, and what they say.
func (s source) read() (Module, error) {
	m := s.module
	var errs []error
	for _, folder := range s.folders() {
		texts, err := legalFiles(s.root, folder)
		errs = append(errs, err)
		m.Texts = append(m.Texts, texts...)
	}
	licensed := false
	for _, text := range m.Texts {
		if !licence.MatchString(path.Base(text.Path)) {
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
		errs = append(errs, fmt.Errorf("%s: there is no licence in %s", m, s.root))
	}
	slices.Sort(m.Licenses)
	m.Licenses = slices.Compact(m.Licenses)
	return m, errors.Join(errs...)
}

// folders are those of the packages, and all between them and the module's.
func (s source) folders() []string {
	folders := []string{"."}
	for _, dir := range s.packages {
		relative, err := filepath.Rel(s.root, dir)
		if err != nil || !filepath.IsLocal(relative) {
			continue
		}
		for ; relative != "."; relative = filepath.Dir(relative) {
			folders = append(folders, relative)
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

func legalFiles(root, folder string) ([]Text, error) {
	entries, err := os.ReadDir(filepath.Join(root, folder))
	if err != nil {
		return nil, fmt.Errorf("looking for licences: %w", err)
	}
	var texts []Text
	for _, entry := range entries {
		if !isLegal(entry) {
			continue
		}
		name := filepath.Join(folder, entry.Name())
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, fmt.Errorf("reading a licence: %w", err)
		}
		texts = append(texts, Text{Path: filepath.ToSlash(name), Content: content})
	}
	slices.SortFunc(texts, func(a, b Text) int { return cmp.Compare(a.Path, b.Path) })
	return texts, nil
}

func isLegal(entry fs.DirEntry) bool {
	return entry.Type().IsRegular() && legal.MatchString(entry.Name()) && !code.MatchString(entry.Name())
}

// identify reads a licence. What is not known text must not be much, as a condition could stand
// in it.
func identify(text []byte) ([]string, error) {
	scan := licensecheck.Scan(text)
	var ids []string
	for _, match := range scan.Match {
		if !match.IsURL && !slices.Contains(ids, match.ID) {
			ids = append(ids, match.ID)
		}
	}
	if len(ids) == 0 || scan.Percent < coverage {
		return ids, fmt.Errorf("%.0f%% of it is a known licence (%s), want at least %d%%", scan.Percent, cmp.Or(strings.Join(ids, ", "), "none"), coverage)
	}
	for _, id := range ids {
		if !slices.Contains(allowed, id) {
			return ids, fmt.Errorf("the licence %s is not one of %s", id, strings.Join(allowed, ", "))
		}
	}
	return ids, nil
}
