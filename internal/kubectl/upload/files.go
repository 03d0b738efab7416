// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package upload brings files to the upstream, each of them once: also where a run is killed at
// any moment, and run again.
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

// MaxSize is how large a file may be that the upstream takes, in bytes.
const MaxSize = 512 << 20

// File is a file on disk.
type File struct {
	// Path is absolute: it is the file's name in the journal.
	Path string
	// Name is the path as a person would write it: relative to the working directory, where the
	// file is below that.
	Name string
	// Size is in bytes.
	Size int64
}

// Find gives the files of paths, sorted by their names, each once. A path is a file, a folder,
// whose files it stands for at any depth, or a glob, in which ** stands for any number of
// folders. In folders and globs, what begins with a dot is left out. Files without content are
// left out too, as nothing can be found in them; skipped names them.
func Find(paths []string) (files []File, skipped []string, err error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, nil, fmt.Errorf("finding the working directory: %w", err)
	}
	found := map[string]File{}
	for _, path := range paths {
		matches, err := expand(path)
		if err != nil {
			return nil, nil, err
		}
		for _, match := range matches {
			file, err := describe(here, match)
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

// expand gives the files that a path stands for.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return filesBelow(path)
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
		return nil, fmt.Errorf("PATH %s matches no file", path)
	}
	return matches, nil
}

func filesBelow(folder string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := path != folder && strings.HasPrefix(entry.Name(), ".")
		switch {
		case hidden && entry.IsDir():
			return fs.SkipDir
		case hidden || entry.IsDir():
			return nil
		}
		// A link to a file is as good as the file. One to a folder is not followed, as it may
		// lead in a circle.
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
		return nil, fmt.Errorf("reading folder %s: %w", folder, err)
	}
	return files, nil
}

func describe(here, path string) (File, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return File{}, fmt.Errorf("finding PATH %s: %w", path, err)
	}
	info, err := os.Stat(absolute)
	if err != nil {
		return File{}, fmt.Errorf("reading PATH %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return File{}, fmt.Errorf("PATH %s is not a file, a folder or a glob", path)
	}
	if info.Size() > MaxSize {
		return File{}, fmt.Errorf("%s has %d bytes, and the upstream takes at most %d: split it, or leave it out", path, info.Size(), MaxSize)
	}
	name := absolute
	if relative, err := filepath.Rel(here, absolute); err == nil && filepath.IsLocal(relative) {
		name = relative
	}
	return File{Path: absolute, Name: filepath.ToSlash(name), Size: info.Size()}, nil
}
