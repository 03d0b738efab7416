// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ErrInUse reports that another process has the journal open.
var ErrInUse = errors.New("in use by another process")

// Journal records on disk which files were uploaded and which uploads are pending. It is a file of
// JSON lines. Each method that records something returns after the line is synced to disk, so a crash
// of the process or the machine loses nothing.
type Journal struct {
	file *os.File

	mu sync.Mutex
	// uploads is the state after all lines, read and written.
	uploads map[content]upload
	// current is the snapshot of the latest run.
	current snapshot

	synced *sync.Cond
	buffer []byte
	// appended and written count the lines that were added to the buffer, and those on disk.
	appended, written int
	writing           bool
	err               error
}

// content identifies a file by its path and content.
type content struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// upload is the state of the upload of a content.
type upload struct {
	// fileID is the ID in the API; empty while the outcome is unknown.
	fileID string
	// snapshot was taken before the upload.
	snapshot snapshot
}

// snapshot separates files that the API had at a point in time from later ones. It depends on the
// clock of the API only.
type snapshot struct {
	// Since is the creation time of the newest file, in seconds. Zero if there was no file.
	Since time.Time `json:"since"`
	// Known are the IDs of the files created in that second.
	Known []string `json:"known,omitempty"`
}

// record is a line of the journal.
type record struct {
	// Op is opRun, with a Snapshot, or another operation, with a File.
	Op       string    `json:"op"`
	File     *content  `json:"file,omitempty"`
	FileID   string    `json:"fileID,omitempty"`
	Snapshot *snapshot `json:"snapshot,omitempty"`
}

const (
	opRun   = "run"   // a run starts
	opBegin = "begin" // an upload is about to start
	opDone  = "done"  // the API has the file
	opVoid  = "void"  // the file is not uploaded
)

// OpenJournal opens the journal at path and creates it if it does not exist. It returns ErrInUse if
// another process has the journal open.
func OpenJournal(path string) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("creating the directory of the journal: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	j := &Journal{file: file, uploads: map[content]upload{}}
	j.synced = sync.NewCond(&j.mu)
	if err := j.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("journal %s: %w", path, err), file.Close())
	}
	return j, nil
}

// Close closes the journal, so that another process can open it.
func (j *Journal) Close() error { return j.file.Close() }

func (j *Journal) load() error {
	// The operating system releases the lock of a process that dies.
	if err := lock(j.file); err != nil {
		return err
	}
	text, err := io.ReadAll(j.file)
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	// No run relied on an incomplete last line: write did not return for it.
	complete := text[:bytes.LastIndexByte(text, '\n')+1]
	for i, line := range bytes.Split(bytes.TrimSuffix(complete, []byte("\n")), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil || !r.valid() {
			return fmt.Errorf("line %d is not a valid record: fix it, or move the journal away and check for files that are uploaded twice", i+1)
		}
		j.apply(r)
	}
	if err := j.file.Truncate(int64(len(complete))); err != nil {
		return fmt.Errorf("truncating the incomplete line: %w", err)
	}
	if _, err := j.file.Seek(int64(len(complete)), io.SeekStart); err != nil {
		return fmt.Errorf("seeking: %w", err)
	}
	return nil
}

func (r record) valid() bool {
	if r.Op == opRun {
		return r.Snapshot != nil
	}
	return r.File != nil && r.File.Path != "" && r.File.SHA256 != "" && (r.Op != opDone || r.FileID != "")
}

func (j *Journal) apply(r record) {
	switch r.Op {
	case opRun:
		j.current = *r.Snapshot
	case opBegin:
		j.uploads[*r.File] = upload{snapshot: j.current}
	case opDone:
		j.uploads[*r.File] = upload{fileID: r.FileID}
	case opVoid:
		delete(j.uploads, *r.File)
	}
}

// fileID returns the ID of an uploaded file, or "" if it is not known to be uploaded.
func (j *Journal) fileID(c content) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.uploads[c].fileID
}

// pending returns the uploads whose outcome is unknown.
func (j *Journal) pending() map[content]upload {
	j.mu.Lock()
	defer j.mu.Unlock()
	pending := map[content]upload{}
	for c, u := range j.uploads {
		if u.fileID == "" {
			pending[c] = u
		}
	}
	return pending
}

// claimed returns the IDs of the files that belong to an upload.
func (j *Journal) claimed() map[string]bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	claimed := map[string]bool{}
	for _, u := range j.uploads {
		if u.fileID != "" {
			claimed[u.fileID] = true
		}
	}
	return claimed
}

// startRun records the snapshot that precedes the uploads of a run.
func (j *Journal) startRun(s snapshot) error { return j.write(record{Op: opRun, Snapshot: &s}) }

func (j *Journal) begin(c content) error { return j.write(record{Op: opBegin, File: &c}) }

func (j *Journal) done(c content, fileID string) error {
	return j.write(record{Op: opDone, File: &c, FileID: fileID})
}

func (j *Journal) void(c content) error { return j.write(record{Op: opVoid, File: &c}) }

// write appends a record and returns after it is synced to disk. Concurrent records share one sync,
// because the sync takes most of the time.
func (j *Journal) write(r record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding a record of the journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.apply(r)
	j.buffer = append(append(j.buffer, line...), '\n')
	j.appended++
	number := j.appended
	for j.written < number && j.err == nil {
		if j.writing {
			j.synced.Wait()
			continue
		}
		j.flush()
	}
	return j.err
}

// flush writes the buffer to disk. It releases the lock meanwhile.
func (j *Journal) flush() {
	lines, last := j.buffer, j.appended
	j.buffer, j.writing = nil, true
	j.mu.Unlock()
	_, err := j.file.Write(lines)
	if err == nil {
		err = j.file.Sync()
	}
	j.mu.Lock()
	j.writing, j.written = false, last
	if err != nil {
		j.err = fmt.Errorf("writing the journal %s: %w", j.file.Name(), err)
	}
	j.synced.Broadcast()
}
