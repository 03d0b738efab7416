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

// ErrInUse says that another process has the journal.
var ErrInUse = errors.New("another run has it")

// Journal remembers on disk what was uploaded, and what was about to be. It is a file with a line
// of JSON for each. A line counts once it is on the disk, so nothing is forgotten when the
// process is killed, or the machine.
type Journal struct {
	file *os.File

	mu sync.Mutex
	// uploads is what was read, and what was added since, by the file's content.
	uploads map[content]upload
	// current is the snapshot of the newest run.
	current snapshot

	flushed *sync.Cond
	waiting []byte
	// taken and written count the lines that were asked for, and those that are on the disk.
	taken, written int
	writing        bool
	err            error
}

// content names a file on disk with what is in it.
type content struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// upload is what is known of the upload of a content.
type upload struct {
	// fileID is the upstream's; empty while the outcome is not known.
	fileID string
	// snapshot is of the upstream before the upload began.
	snapshot snapshot
}

// snapshot tells the files that the upstream had at a time from those that came later. It goes
// by the upstream's clock alone.
type snapshot struct {
	// Since is when the newest file was made, to a second. Zero where there was none.
	Since time.Time `json:"since"`
	// Known are the IDs of the files that were made in that second.
	Known []string `json:"known,omitempty"`
}

// record is a line of the journal.
type record struct {
	// Op is run, with a Snapshot, or, of a File, begin, done or void: that it is about to be
	// sent, that the upstream has it, or that it was not sent after all.
	Op       string    `json:"op"`
	File     *content  `json:"file,omitempty"`
	FileID   string    `json:"fileID,omitempty"`
	Snapshot *snapshot `json:"snapshot,omitempty"`
}

const (
	opRun   = "run"
	opBegin = "begin"
	opDone  = "done"
	opVoid  = "void"
)

// OpenJournal opens a journal, and makes it where there is none. Only one process can have it; the
// error is ErrInUse for any other.
func OpenJournal(path string) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the journal's folder: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	j := &Journal{file: file, uploads: map[content]upload{}}
	j.flushed = sync.NewCond(&j.mu)
	if err := j.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("journal %s: %w", path, err), file.Close())
	}
	return j, nil
}

// Close lets another process have the journal.
func (j *Journal) Close() error { return j.file.Close() }

func (j *Journal) load() error {
	// The system takes the lock away from a process that dies.
	if err := lock(j.file); err != nil {
		return err
	}
	text, err := io.ReadAll(j.file)
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	// A line that the process did not come to end was not counted on by anybody.
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	for number, line := range bytes.Split(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil || !r.complete() {
			return fmt.Errorf("line %d is none that this program writes, so something else has changed it: "+
				"mend it, or move the journal away and check for files that are uploaded twice", number+1)
		}
		j.keep(r)
	}
	if err := j.file.Truncate(int64(len(whole))); err != nil {
		return fmt.Errorf("cutting off the unfinished line: %w", err)
	}
	if _, err := j.file.Seek(int64(len(whole)), io.SeekStart); err != nil {
		return fmt.Errorf("seeking: %w", err)
	}
	return nil
}

func (r record) complete() bool {
	if r.Op == opRun {
		return r.Snapshot != nil
	}
	return r.File != nil && r.File.Path != "" && r.File.SHA256 != "" && (r.Op != opDone || r.FileID != "")
}

func (j *Journal) keep(r record) {
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

// find gives what is known of a content's upload.
func (j *Journal) find(c content) (upload, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	u, known := j.uploads[c]
	return u, known
}

// open are the uploads whose outcome is not known.
func (j *Journal) open() map[content]upload {
	j.mu.Lock()
	defer j.mu.Unlock()
	open := map[content]upload{}
	for c, u := range j.uploads {
		if u.fileID == "" {
			open[c] = u
		}
	}
	return open
}

// claimed are the upstream's files that belong to a content.
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

// run begins a run; the uploads that begin after it came after its snapshot.
func (j *Journal) run(s snapshot) error { return j.write(record{Op: opRun, Snapshot: &s}) }

func (j *Journal) begin(c content) error { return j.write(record{Op: opBegin, File: &c}) }

func (j *Journal) done(c content, fileID string) error {
	return j.write(record{Op: opDone, File: &c, FileID: fileID})
}

func (j *Journal) void(c content) error { return j.write(record{Op: opVoid, File: &c}) }

// write returns when the record is on the disk. Those that come at the same time go there
// together, since waiting for the disk is what takes the time.
func (j *Journal) write(r record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding a line of the journal: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.keep(r)
	j.waiting = append(append(j.waiting, line...), '\n')
	j.taken++
	mine := j.taken
	for j.written < mine && j.err == nil {
		if j.writing {
			j.flushed.Wait()
			continue
		}
		j.flush()
	}
	return j.err
}

// flush writes what waits, with the lock given up meanwhile.
func (j *Journal) flush() {
	lines, last := j.waiting, j.taken
	j.waiting, j.writing = nil, true
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
	j.flushed.Broadcast()
}
