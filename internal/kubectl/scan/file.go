// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// File is a file to upload.
type File struct {
	// Path is relative to the folder, with slashes. It can contain any bytes.
	Path string
	// Key is Path with each byte that is not UTF-8 as %XX. No two files of a Result have the same.
	Key string
	// Size is in bytes.
	Size int64

	root *os.Root
}

// Open opens the file. It fails if the file is no longer a regular file inside the folder.
func (f File) Open() (*os.File, error) {
	opened, err := f.root.OpenFile(f.Path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	info, err := opened.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: f.Path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return opened, nil
}

// SHA256 reads the file and returns the hash of its content in hexadecimal digits, and its size, which
// can differ from f.Size if the file has changed.
func (f File) SHA256(ctx context.Context) (sum string, size int64, err error) {
	opened, err := f.Open()
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = opened.Close() }() // opened for reading only
	hash := sha256.New()
	size, err = io.Copy(hash, contextReader{ctx, opened})
	if err != nil {
		return "", 0, fmt.Errorf("reading %q: %w", f.Path, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), size, nil
}

// contextReader stops reading when its context is done.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// UploadName returns the name to upload the file under: that of the file without its folder, with the
// extension in lower case, because the API refuses .PDF, and with _ for each control character and each
// byte that is not UTF-8.
func (f File) UploadName() string {
	name := path.Base(f.Path)
	extension := path.Ext(name)
	name = strings.TrimSuffix(name, extension) + strings.ToLower(extension)
	var clean strings.Builder
	for i, r := range name {
		_, width := utf8.DecodeRuneInString(name[i:])
		if unicode.IsControl(r) || r == utf8.RuneError && width == 1 {
			r = '_'
		}
		clean.WriteRune(r)
	}
	return clean.String()
}

// KeyOf returns a path with each byte that is not UTF-8 as %XX.
func KeyOf(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	var key strings.Builder
	for i, r := range name {
		if _, width := utf8.DecodeRuneInString(name[i:]); r == utf8.RuneError && width == 1 {
			fmt.Fprintf(&key, "%%%02X", name[i])
			continue
		}
		key.WriteRune(r)
	}
	return key.String()
}

// maxPointer is the maximum size of a pointer of Git LFS, exclusive.
const maxPointer = 1024

// inspect returns what is known of a file, and the content of a small one.
func (f File) inspect() (fs.FileInfo, []byte, error) {
	// Opening a device can have effects.
	info, err := f.root.Stat(f.Path)
	if err != nil || !info.Mode().IsRegular() {
		return info, nil, err
	}
	opened, err := f.Open()
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = opened.Close() }() // opened for reading only
	if info, err = opened.Stat(); err != nil || info.Size() >= maxPointer {
		return info, nil, err
	}
	content, err := io.ReadAll(io.LimitReader(opened, maxPointer))
	return info, content, err
}

// isLFSPointer reports whether content is a pointer of Git LFS, which stands for the content of a file.
func isLFSPointer(content []byte) bool {
	return bytes.HasPrefix(content, []byte("version https://git-lfs.github.com/spec/")) &&
		bytes.Contains(content, []byte("\noid ")) && bytes.Contains(content, []byte("\nsize "))
}
