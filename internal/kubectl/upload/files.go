// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package upload uploads files to the OpenAI API. It uploads each file once, even if a run is killed
// at any time and started again.
package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/scan"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
)

// File is a file to upload.
type File struct {
	// Path is the absolute path. It identifies the file in the journal, and can contain any bytes.
	Path string
	// Key is the path relative to the working directory, if the file is below it. It is valid UTF-8.
	Key string
	// Name is Key in a form that can be shown on a terminal.
	Name string
	// UploadName is the name that is sent to the API.
	UploadName string
	// Size is in bytes.
	Size int64
	// Open opens the file.
	Open func() (*os.File, error)
}

// NewFile returns a file that was found below a folder. Its key is relative to workingDir.
func NewFile(workingDir, folder string, f scan.File) (File, error) {
	absolute, key, err := locate(workingDir, folder, f.Path)
	if err != nil {
		return File{}, err
	}
	return File{
		Path: absolute, Key: key, Name: terminal.Escape(key), UploadName: f.UploadName(), Size: f.Size, Open: f.Open,
	}, nil
}

// locate returns the absolute path of a path below a folder, and its key.
func locate(workingDir, folder, name string) (absolute, key string, err error) {
	if absolute, err = filepath.Abs(filepath.Join(folder, filepath.FromSlash(name))); err != nil {
		return "", "", fmt.Errorf("resolving %s: %w", terminal.Escape(folder), err)
	}
	return absolute, Key(workingDir, absolute), nil
}

// Key returns the key of a file: its absolute path, or the path relative to workingDir if the file is
// below it, with slashes.
func Key(workingDir, absolute string) string {
	if relative, err := filepath.Rel(workingDir, absolute); err == nil && filepath.IsLocal(relative) {
		absolute = relative
	}
	return scan.KeyOf(filepath.ToSlash(absolute))
}

// LeftOut is a file or a folder that is not to be uploaded.
type LeftOut struct {
	// Name and Detail can be shown on a terminal.
	Name   string
	Dir    bool
	Reason scan.Reason
	Detail string
}

// String returns a description of what was left out, and why.
func (l LeftOut) String() string {
	name := l.Name
	if l.Dir {
		name += "/"
	}
	if l.Detail == "" {
		return name + ": " + string(l.Reason)
	}
	return fmt.Sprintf("%s: %s (%s)", name, l.Reason, l.Detail)
}

// Found are the files that paths match. Both lists are sorted by name, without duplicates.
type Found struct {
	Files   []File
	LeftOut []LeftOut

	results []*scan.Result
}

// Close releases the files. They cannot be opened afterwards.
func (f *Found) Close() error {
	var errs []error
	for _, result := range f.results {
		errs = append(errs, result.Close())
	}
	return errors.Join(errs...)
}

// Find returns the files that paths match. A path is a file, a folder, which matches the files at any
// depth, or a glob, in which ** matches any number of folders. o.MaxKeyLength applies to File.Key.
func Find(ctx context.Context, paths []string, o scan.Options) (*Found, error) {
	workingDir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("getting the working directory: %w", err)
	}
	maxKeyLength := o.MaxKeyLength
	o.MaxKeyLength = 0
	found := &Found{}
	s := search{found: found, workingDir: workingDir, files: map[string]File{}, leftOut: map[string]LeftOut{}}
	for _, path := range paths {
		if err := s.path(ctx, path, o); err != nil {
			return nil, errors.Join(err, found.Close())
		}
	}
	s.finish(maxKeyLength)
	return found, nil
}

// search collects what several paths match, by absolute path.
type search struct {
	found      *Found
	workingDir string
	files      map[string]File
	leftOut    map[string]LeftOut
}

func (s *search) path(ctx context.Context, path string, o scan.Options) error {
	info, err := os.Stat(path)
	_, linkErr := os.Lstat(path)
	switch {
	case err == nil && info.IsDir():
		return s.add(path, path)(scan.Folder(ctx, path, o))
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("PATH %s is not a file, folder or glob", terminal.Escape(path))
	case linkErr == nil:
		folder, name := filepath.Split(filepath.Clean(path))
		folder = cmp.Or(folder, ".")
		return s.add(path, folder)(scan.Files(ctx, folder, []string{name}, o))
	case !errors.Is(linkErr, fs.ErrNotExist):
		return fmt.Errorf("reading PATH %s: %w", terminal.Escape(path), err)
	case !strings.ContainsAny(path, "*?[{"):
		return fmt.Errorf("PATH %s does not exist", terminal.Escape(path))
	}
	return s.glob(ctx, path, o)
}

func (s *search) glob(ctx context.Context, pattern string, o scan.Options) error {
	if !doublestar.ValidatePattern(filepath.ToSlash(pattern)) {
		return fmt.Errorf("PATH %s does not exist, and is not valid as a glob", terminal.Escape(pattern))
	}
	folder, glob := doublestar.SplitPattern(path.Clean(filepath.ToSlash(pattern)))
	o.Glob = glob
	before := len(s.files) + len(s.leftOut)
	result, err := scan.Folder(ctx, filepath.FromSlash(folder), o)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		err = s.add(pattern, folder)(result, err)
	}
	if err == nil && result != nil && len(result.Files)+len(result.LeftOut) > 0 {
		return nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		if len(s.files)+len(s.leftOut) == before {
			return fmt.Errorf("PATH %s matches no files", terminal.Escape(pattern))
		}
		return nil
	}
	return err
}

// add returns a function that adds the result of a scan of folder.
func (s *search) add(path, folder string) func(*scan.Result, error) error {
	return func(result *scan.Result, err error) error {
		if err != nil {
			return fmt.Errorf("reading PATH %s: %w", terminal.Escape(path), err)
		}
		s.found.results = append(s.found.results, result)
		for _, f := range result.Files {
			file, err := NewFile(s.workingDir, folder, f)
			if err != nil {
				return err
			}
			s.files[file.Path] = file
		}
		for _, l := range result.LeftOut {
			absolute, key, err := locate(s.workingDir, folder, l.Path)
			if err != nil {
				return err
			}
			s.leftOut[absolute] = LeftOut{Name: terminal.Escape(key), Dir: l.Dir, Reason: l.Reason, Detail: terminal.Escape(l.Detail)}
		}
		return nil
	}
}

func (s *search) finish(maxKeyLength int) {
	for absolute, file := range s.files {
		delete(s.leftOut, absolute) // another path matches it
		if maxKeyLength > 0 && utf8.RuneCountInString(file.Key) > maxKeyLength {
			s.leftOut[absolute] = LeftOut{Name: file.Name, Reason: scan.PathTooLong, Detail: fmt.Sprintf("maximum %d characters", maxKeyLength)}
			continue
		}
		s.found.Files = append(s.found.Files, file)
	}
	for _, l := range s.leftOut {
		s.found.LeftOut = append(s.found.LeftOut, l)
	}
	slices.SortFunc(s.found.Files, func(a, b File) int { return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Path, b.Path)) })
	slices.SortFunc(s.found.LeftOut, func(a, b LeftOut) int { return strings.Compare(a.Name, b.Name) })
}
