// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scan finds the files of a folder that a vector store accepts, and names every other one with
// the reason. It reads nothing outside the folder, whatever the folder contains.
package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxSize is the maximum size of a file that the OpenAI API accepts, in bytes.
const MaxSize = 512 << 20

// IgnoreFile is the name of the files with patterns of what to leave out. Such a file applies to its
// folder and everything below it, and its syntax is that of .gitignore.
const IgnoreFile = ".vsfbignore"

// Extensions returns the extensions that a vector store of OpenAI accepts: those in the documentation
// of file search without .h, which the API has refused since August 2026. One file with another
// extension makes the API refuse a whole batch.
func Extensions() []string {
	return []string{
		".c", ".cpp", ".cs", ".css", ".doc", ".docx", ".go", ".html", ".java", ".js", ".json", ".md", ".pdf",
		".php", ".pptx", ".py", ".rb", ".sh", ".tex", ".ts", ".txt",
	}
}

// AnyExtension in Options.Extensions accepts all files, also those without an extension.
const AnyExtension = "*"

// Options select the files of a folder. The zero value selects all that the OpenAI API accepts.
type Options struct {
	// Include are patterns in the syntax of .gitignore. If there are any, a file must match one.
	Include []string
	// Exclude are patterns in the syntax of .gitignore of what to leave out. They override an IgnoreFile.
	Exclude []string
	// Glob is a pattern that files must match, in which ** matches any number of folders. Files that do
	// not match are not among those left out.
	Glob string
	// Extensions are the accepted extensions in lower case, such as ".md". Defaults to Extensions().
	// The case of a file's extension is irrelevant: File.UploadName has it in lower case.
	Extensions []string
	// MaxSize is the maximum size of a file in bytes. Defaults to MaxSize.
	MaxSize int64
	// MaxKeyLength is the maximum length of File.Key in characters. 0 is no limit.
	MaxKeyLength int
}

// Result is what a folder contains. Both lists are sorted by path.
type Result struct {
	// Files are the files to upload.
	Files []File
	// LeftOut is everything else.
	LeftOut []LeftOut

	root *os.Root
}

// Close releases the folder. Its files cannot be opened afterwards.
func (r *Result) Close() error { return r.root.Close() }

// Reason is why a file or a folder was left out.
type Reason string

// The reasons.
const (
	// Hidden is a name that begins with a dot.
	Hidden Reason = "hidden"
	// Excluded is what a pattern leaves out.
	Excluded Reason = "excluded"
	// LinkToFolder is a symbolic link to a folder inside the folder. The files are found at their own path.
	LinkToFolder Reason = "link to a folder"
	// LinkOutside is a symbolic link that leaves the folder.
	LinkOutside Reason = "link leaves the folder"
	// LinkToHidden is a symbolic link to a file or a folder that is hidden.
	LinkToHidden Reason = "link to a hidden file"
	// BrokenLink is a symbolic link without a target.
	BrokenLink Reason = "broken link"
	// Unreadable is a file or a folder that could not be read.
	Unreadable Reason = "unreadable"
	// NotRegular is a device, a socket or a pipe.
	NotRegular Reason = "not a regular file"
	// Empty is a file without content.
	Empty Reason = "empty"
	// TooLarge is a file of more than Options.MaxSize.
	TooLarge Reason = "too large"
	// LFSPointer is a file of Git LFS whose content was not downloaded.
	LFSPointer Reason = "Git LFS pointer"
	// Unsupported is a file without one of Options.Extensions.
	Unsupported Reason = "unsupported extension"
	// PathTooLong is a file whose key is longer than Options.MaxKeyLength.
	PathTooLong Reason = "path too long"
	// DuplicateKey is a file with the key of another file, because a name is not UTF-8.
	DuplicateKey Reason = "same name as another file"
)

// Expected reports whether leaving out something for this reason is what users expect, so that it is no
// failure: they hid or excluded it, or it is found at another path.
func (r Reason) Expected() bool { return r == Hidden || r == Excluded || r == LinkToFolder }

// LeftOut is a file or a folder that is not to be uploaded.
type LeftOut struct {
	// Path is relative to the folder, with slashes. It can contain any bytes.
	Path string
	// Dir is true for a folder, of which everything was left out, whatever it contains.
	Dir    bool
	Reason Reason
	// Detail describes the reason further. It can be empty, and contain any bytes.
	Detail string
}

// Folder finds the files below a folder. If the path of the folder is local, such as docs or ./docs, its
// symbolic links must not leave the working directory.
//
// What cannot be uploaded does not fail the scan: it is in Result.LeftOut. An IgnoreFile that cannot be
// read does, because files that it excludes could be uploaded.
//
// Close the Result after its files are no longer needed.
func Folder(ctx context.Context, folder string, o Options) (*Result, error) {
	root, err := openRoot(folder)
	if err != nil {
		return nil, err
	}
	w, err := newWalk(root, o)
	if err == nil {
		err = w.folder(ctx, "", nil)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return w.finish(), nil
}

// Files returns the named files of a folder. Their names can begin with a dot, and no pattern applies to
// them. A file that does not exist is an error.
func Files(ctx context.Context, folder string, names []string, o Options) (*Result, error) {
	root, err := openRoot(folder)
	if err != nil {
		return nil, err
	}
	w, err := newWalk(root, Options{Extensions: o.Extensions, MaxSize: o.MaxSize, MaxKeyLength: o.MaxKeyLength})
	for _, name := range names {
		if err == nil {
			err = errors.Join(ctx.Err(), w.named(name))
		}
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return w.finish(), nil
}

// openRoot opens a folder. A local path must not leave the working directory through symbolic links,
// because who can change a file there must not choose what is read.
func openRoot(folder string) (*os.Root, error) {
	if !isLocal(folder) {
		return os.OpenRoot(folder)
	}
	working, err := os.OpenRoot(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = working.Close() }() // opened for reading only
	return working.OpenRoot(folder)
}

// walk is a scan of a folder.
type walk struct {
	options    Options
	extensions map[string]bool
	include    []rule
	exclude    []rule
	// ignored are the rules of the IgnoreFile of each folder.
	ignored map[string][]rule
	result  Result
}

func newWalk(root *os.Root, o Options) (*walk, error) {
	o.MaxSize = cmp.Or(o.MaxSize, MaxSize)
	if len(o.Extensions) == 0 {
		o.Extensions = Extensions()
	}
	w := &walk{options: o, extensions: map[string]bool{}, ignored: map[string][]rule{}, result: Result{root: root}}
	for _, extension := range o.Extensions {
		w.extensions[strings.ToLower(extension)] = true
	}
	var err error
	if w.include, err = parseRules("", o.Include); err != nil {
		return nil, fmt.Errorf("include: %w", err)
	}
	if w.exclude, err = parseRules("", o.Exclude); err != nil {
		return nil, fmt.Errorf("exclude: %w", err)
	}
	return w, nil
}

// folder scans a folder. rules are those of the IgnoreFiles of the folders above it.
func (w *walk) folder(ctx context.Context, dir string, rules []rule) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	own, err := w.ignoreRules(dir)
	if err != nil {
		return err
	}
	rules = slices.Concat(rules, own)
	entries, err := w.readDir(dir)
	if err != nil {
		w.leaveOut(dir, true, Unreadable, reasonOf(err))
		return nil
	}
	for _, entry := range entries {
		if err := w.entry(ctx, path.Join(dir, entry.Name()), entry, rules); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) readDir(dir string) ([]fs.DirEntry, error) {
	// Root.FS rejects names that are not UTF-8.
	opened, err := w.result.root.Open(cmp.Or(dir, "."))
	if err != nil {
		return nil, err
	}
	defer func() { _ = opened.Close() }() // opened for reading only
	return opened.ReadDir(-1)
}

// entry scans an entry of a folder. The path is clean and relative to the root.
func (w *walk) entry(ctx context.Context, name string, entry fs.DirEntry, rules []rule) error {
	isDir := entry.IsDir()
	if !w.globMatches(name, isDir) {
		return nil
	}
	switch {
	case path.Base(name) == IgnoreFile:
		return nil
	case strings.HasPrefix(path.Base(name), "."):
		w.leaveOut(name, isDir, Hidden, "")
		return nil
	case excludes(slices.Concat(rules, w.exclude), name, isDir):
		w.leaveOut(name, isDir, Excluded, "")
		return nil
	case isDir:
		return w.folder(ctx, name, rules)
	case len(w.include) > 0 && !matchesAny(w.include, name):
		w.leaveOut(name, false, Excluded, "")
		return nil
	}
	if entry.Type()&fs.ModeSymlink != 0 {
		reason, detail, err := w.checkLink(name)
		if err != nil {
			return err
		}
		if reason != "" {
			w.leaveOut(name, false, reason, detail)
			return nil
		}
	}
	w.file(name)
	return nil
}

// named scans a file that the user named.
func (w *walk) named(name string) error {
	info, err := w.result.root.Lstat(name)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		reason, detail, err := w.checkLink(name)
		if err != nil {
			return err
		}
		if reason != "" {
			w.leaveOut(name, false, reason, detail)
			return nil
		}
	}
	w.file(name)
	return nil
}

// file adds a file, or the reason for which it is left out, to the result.
func (w *walk) file(name string) {
	f := File{Path: name, Key: KeyOf(name), root: w.result.root}
	info, head, err := f.inspect()
	extension := strings.ToLower(path.Ext(name))
	switch {
	case err != nil:
		w.leaveOut(name, false, Unreadable, reasonOf(err))
	case !info.Mode().IsRegular():
		w.leaveOut(name, false, NotRegular, info.Mode().Type().String())
	case !w.extensions[AnyExtension] && !w.extensions[extension]:
		w.leaveOut(name, false, Unsupported, cmp.Or(extension, "no extension"))
	case info.Size() == 0:
		w.leaveOut(name, false, Empty, "")
	case info.Size() > w.options.MaxSize:
		w.leaveOut(name, false, TooLarge, fmt.Sprintf("%d bytes, maximum %d", info.Size(), w.options.MaxSize))
	case isLFSPointer(head):
		w.leaveOut(name, false, LFSPointer, "run git lfs pull")
	case w.options.MaxKeyLength > 0 && utf8.RuneCountInString(f.Key) > w.options.MaxKeyLength:
		w.leaveOut(name, false, PathTooLong, fmt.Sprintf("maximum %d characters", w.options.MaxKeyLength))
	default:
		f.Size = info.Size()
		w.result.Files = append(w.result.Files, f)
	}
}

func (w *walk) leaveOut(name string, dir bool, reason Reason, detail string) {
	w.result.LeftOut = append(w.result.LeftOut, LeftOut{Path: cmp.Or(name, "."), Dir: dir, Reason: reason, Detail: detail})
}

// finish sorts the result and leaves out files with the key of another one.
func (w *walk) finish() *Result {
	slices.SortFunc(w.result.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	count := map[string]int{}
	for _, f := range w.result.Files {
		count[f.Key]++
	}
	w.result.Files = slices.DeleteFunc(w.result.Files, func(f File) bool {
		// A file that has its key as its name keeps it.
		duplicate := count[f.Key] > 1 && f.Key != f.Path
		if duplicate {
			w.leaveOut(f.Path, false, DuplicateKey, f.Key)
		}
		return duplicate
	})
	slices.SortFunc(w.result.LeftOut, func(a, b LeftOut) int { return strings.Compare(a.Path, b.Path) })
	return &w.result
}

// reasonOf returns an error without the operation and the path, which the caller knows.
func reasonOf(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}
