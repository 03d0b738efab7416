// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxLinks is the number of symbolic links that a path can contain, as on Linux.
const maxLinks = 40

var (
	errOutside = errors.New("the link leaves the folder")
	errBroken  = errors.New("the link has no target")
)

// isLocal reports whether a path cannot leave the working directory, except by symbolic links.
func isLocal(name string) bool { return filepath.IsLocal(filepath.Clean(name)) }

// checkLink returns the reason for which a symbolic link is left out; "" if its target can be uploaded.
// An error is one of reading an IgnoreFile.
func (w *walk) checkLink(name string) (reason Reason, detail string, err error) {
	target, isDir, err := resolve(w.result.root, name)
	switch {
	case errors.Is(err, errOutside):
		return LinkOutside, "", nil
	case errors.Is(err, errBroken):
		return BrokenLink, "", nil
	case err != nil:
		return Unreadable, reasonOf(err), nil
	case isHidden(target):
		return LinkToHidden, target, nil
	}
	excluded, err := w.excluded(target, isDir)
	switch {
	case err != nil:
		return "", "", err
	case excluded:
		return Excluded, "link to " + target, nil
	case isDir:
		return LinkToFolder, target, nil
	}
	return "", "", nil
}

// isHidden reports whether the name of a file or of a folder of its path begins with a dot. Two dots do
// not hide it: the files of a mounted ConfigMap are links into the folder ..data.
func isHidden(name string) bool {
	return slices.ContainsFunc(strings.Split(name, "/"), func(element string) bool {
		return strings.HasPrefix(element, ".") && !strings.HasPrefix(element, "..") && element != "."
	})
}

// excluded reports whether the patterns leave out a path, or a folder that it is in.
func (w *walk) excluded(name string, isDir bool) (bool, error) {
	var rules []rule
	elements := strings.Split(name, "/")
	for i := range elements {
		own, err := w.ignoreRules(path.Join(elements[:i]...))
		if err != nil {
			return false, err
		}
		rules = append(rules, own...)
		above := i < len(elements)-1
		if excludes(slices.Concat(rules, w.exclude), path.Join(elements[:i+1]...), above || isDir) {
			return true, nil
		}
	}
	return false, nil
}

// resolve returns the path below root that the symbolic links in a path lead to. The result decides what
// is reported. What is read is determined by root, which refuses to leave the folder at any time.
func resolve(root *os.Root, name string) (target string, isDir bool, err error) {
	var resolved []string
	links := 0
	for remaining := strings.Split(name, "/"); len(remaining) > 0; {
		element := remaining[0]
		remaining = remaining[1:]
		switch element {
		case "", ".":
			continue
		case "..":
			if len(resolved) == 0 {
				return "", false, errOutside
			}
			resolved = resolved[:len(resolved)-1]
			isDir = true
			continue
		}
		full := strings.Join(append(resolved, element), "/")
		info, err := root.Lstat(full)
		if errors.Is(err, fs.ErrNotExist) {
			return "", false, errBroken
		}
		if err != nil {
			return "", false, err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			resolved, isDir = append(resolved, element), info.IsDir()
			continue
		}
		if links++; links > maxLinks {
			return "", false, errBroken
		}
		link, err := root.Readlink(full)
		if err != nil {
			return "", false, err
		}
		if link = filepath.ToSlash(link); path.IsAbs(link) || filepath.VolumeName(link) != "" {
			return "", false, errOutside
		}
		remaining = slices.Concat(strings.Split(link, "/"), remaining)
	}
	if len(resolved) == 0 {
		return ".", true, nil
	}
	return strings.Join(resolved, "/"), isDir, nil
}
