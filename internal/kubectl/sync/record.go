// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sync

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/fileset"
)

// record is what the runs on this machine know of the files that they uploaded or detach, beyond what the
// vector store lists. It is a file of JSON lines, of which the last one for a file holds. Without it, a
// run that follows an interrupted one can leave uploaded files behind, and nothing else.
type record struct {
	path  string
	file  *os.File // nil if the record is not written
	files map[string]recorded
	// common is true if the server ignores the settings of single files.
	common bool
}

// recorded is a line of a record.
type recorded struct {
	FileID  string `json:"file,omitempty"`
	Path    string `json:"path,omitempty"`
	Version string `json:"version,omitempty"`
	// AttachedAt is when a request to attach the file was about to be sent.
	AttachedAt *time.Time `json:"attachedAt,omitempty"`
	// BatchID is the batch that attaches the file.
	BatchID string `json:"batch,omitempty"`
	Seen    bool   `json:"seen,omitempty"`
	Leaving bool   `json:"leaving,omitempty"`
	// Gone is true in the last line of a file.
	Gone bool `json:"gone,omitempty"`
	// Common is set in a line without a file.
	Common bool `json:"common,omitempty"`
}

func (r recorded) upload() fileset.Upload {
	return fileset.Upload{FileID: r.FileID, Path: r.Path, Version: r.Version, Attached: r.AttachedAt != nil, Seen: r.Seen, Leaving: r.Leaving}
}

// openRecord reads a record, and opens it unless readOnly is set. The caller must hold a lock.
func openRecord(path string, readOnly bool) (*record, error) {
	r := &record{path: path, files: map[string]recorded{}}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the record of the vector store's files: %w", err)
	}
	// No run relied on an incomplete last line: put did not return for it.
	lines := bytes.Split(text[:bytes.LastIndexByte(text, '\n')+1], []byte("\n"))
	for i, line := range lines {
		if len(line) == 0 {
			continue
		}
		var f recorded
		if err := json.Unmarshal(line, &f); err != nil {
			return nil, fmt.Errorf("line %d of %s is not a valid record: move the file away", i+1, path)
		}
		r.apply(f)
	}
	if readOnly {
		return r, nil
	}
	return r, r.rewrite()
}

func (r *record) apply(f recorded) {
	switch {
	case f.FileID == "":
		r.common = f.Common
	case f.Gone:
		delete(r.files, f.FileID)
	default:
		r.files[f.FileID] = f
	}
}

// rewrite replaces the file by one without obsolete lines, and opens it.
func (r *record) rewrite() error {
	if err := os.MkdirAll(filepath.Dir(r.path), 0o700); err != nil {
		return fmt.Errorf("creating the directory of the record: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(r.path), filepath.Base(r.path)+".*")
	if err != nil {
		return fmt.Errorf("creating the record: %w", err)
	}
	r.file = file
	lines := []recorded{{Common: r.common}}
	for _, id := range slices.Sorted(maps.Keys(r.files)) {
		lines = append(lines, r.files[id])
	}
	// Windows does not rename a file that is open.
	if err := errors.Join(r.write(lines), file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), r.path); err != nil {
		return errors.Join(fmt.Errorf("replacing the record: %w", err), os.Remove(file.Name()))
	}
	if r.file, err = os.OpenFile(r.path, os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("opening the record: %w", err)
	}
	return nil
}

// put records the new state of files. It returns after it is synced to disk.
func (r *record) put(files ...recorded) error {
	if len(files) == 0 {
		return nil
	}
	for _, f := range files {
		r.apply(f)
	}
	return r.write(files)
}

func (r *record) write(files []recorded) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	for _, f := range files {
		if err := encoder.Encode(f); err != nil {
			return fmt.Errorf("encoding the record: %w", err)
		}
	}
	_, err := r.file.Write(text.Bytes())
	if err == nil {
		err = r.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("writing the record %s: %w", r.path, err)
	}
	return nil
}

func (r *record) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
