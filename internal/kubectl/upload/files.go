// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package upload uploads files to the OpenAI API. It uploads each file once, even if a run is killed
// at any time and started again.
package upload

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// MaxSize is the maximum size of a file that the API accepts, in bytes.
const MaxSize = 512 << 20

// File is a file on disk.
type File struct {
	// Path is the absolute path. It identifies the file in the journal.
	Path string
	// Name is the path to display: relative to the working directory if the file is below it.
	Name string
	// Size is in bytes.
	Size int64
}

// Find returns the files that paths match, without duplicates, sorted by name. A path is a file, a
// directory, which matches the files at any depth, or a glob, in which ** matches any number of
// directories. Directories and globs do not match names that begin with a dot. Find skips empty
// files, because the API cannot index them, and returns their names in skipped.
func Find(paths []string) (files []File, skipped []string, err error) {
	workingDir, err := os.Getwd()
	if err != nil {
		return nil, nil, fmt.Errorf("getting the working directory: %w", err)
	}
	found := map[string]File{}
	for _, path := range paths {
		matches, err := expand(path)
		if err != nil {
			return nil, nil, err
		}
		for _, match := range matches {
			file, err := newFile(workingDir, match)
			if err != nil {
				return nil, nil, err
			}
			found[file.Path] = file
		}
	}
	for _, file := range found {
		if file.Size == 0 {
			skipped = append(skipped, file.Name)
			continue
		}
		files = append(files, file)
	}
	slices.Sort(skipped)
	slices.SortFunc(files, func(a, b File) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Path, b.Path)) })
	return files, skipped, nil
}

// expand returns the files that a path matches.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return walk(path)
	case err == nil:
		return []string{path}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading PATH %s: %w", path, err)
	case !strings.ContainsAny(path, "*?[{"):
		return nil, fmt.Errorf("PATH %s does not exist", path)
	}
	matches, err := doublestar.FilepathGlob(path, doublestar.WithFilesOnly(), doublestar.WithNoHidden(), doublestar.WithFailOnIOErrors())
	if err != nil {
		return nil, fmt.Errorf("reading PATH %s as a glob: %w", path, err)
	}
	if len(matches) == 0 {
		return nil, fmt.Errorf("PATH %s matches no files", path)
	}
	return matches, nil
}

func walk(directory string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := path != directory && strings.HasPrefix(entry.Name(), ".")
		switch {
		case hidden && entry.IsDir():
			return fs.SkipDir
		case hidden || entry.IsDir():
			return nil
		}
		// Stat follows symbolic links to files. WalkDir does not follow those to directories, which
		// can form a cycle.
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading directory %s: %w", directory, err)
	}
	return files, nil
}

func newFile(workingDir, path string) (File, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return File{}, fmt.Errorf("resolving PATH %s: %w", path, err)
	}
	info, err := os.Stat(absolute)
	if err != nil {
		return File{}, fmt.Errorf("reading PATH %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return File{}, fmt.Errorf("PATH %s is not a file, directory or glob", path)
	}
	if info.Size() > MaxSize {
		return File{}, fmt.Errorf("%s has %d bytes, but the API accepts at most %d: split or exclude it", path, info.Size(), MaxSize)
	}
	name := absolute
	if relative, err := filepath.Rel(workingDir, absolute); err == nil && filepath.IsLocal(relative) {
		name = relative
	}
	return File{Path: absolute, Name: filepath.ToSlash(name), Size: info.Size()}, nil
}
