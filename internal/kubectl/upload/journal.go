// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// ErrInUse reports that another process has the journal open.
var ErrInUse = errors.New("in use by another process")

var (
	errNotRegular = errors.New("not a regular file")
	errForeign    = errors.New("not a journal of kubectl vsfb")
)

// header is the first line of a journal. A file without it is not a journal, and is not touched.
const header = `{"journal":"kubectl-vsfb uploads","version":1}` + "\n"

// Journal records on disk which files were uploaded and which uploads are pending. It is a file of
// JSON lines. Each method that records something returns after the line is synced to disk, so a crash
// of the process or the machine loses nothing.
//
// The records of an upload belong to an account: the key that was used. Keys are rotated, so the files of
// other accounts count too if the API has them.
type Journal struct {
	file    *os.File
	account string

	mu sync.Mutex
	// uploads is the state after all lines, read and written, by account.
	uploads map[string]map[content]upload
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
	Path   string
	Size   int64
	SHA256 string
}

// contentRecord is a content in JSON. A path that is not UTF-8 is in PathBytes.
type contentRecord struct {
	Path      string `json:"path,omitempty"`
	PathBytes []byte `json:"pathBytes,omitempty"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`
}

// MarshalJSON implements json.Marshaler.
func (c content) MarshalJSON() ([]byte, error) {
	r := contentRecord{Path: c.Path, Size: c.Size, SHA256: c.SHA256}
	if !utf8.ValidString(c.Path) {
		r.Path, r.PathBytes = "", []byte(c.Path)
	}
	return json.Marshal(r)
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *content) UnmarshalJSON(text []byte) error {
	var r contentRecord
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	*c = content{Path: cmp.Or(r.Path, string(r.PathBytes)), Size: r.Size, SHA256: r.SHA256}
	return nil
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
	Account  string    `json:"account,omitempty"`
}

const (
	opRun   = "run"   // a run starts
	opBegin = "begin" // an upload is about to start
	opDone  = "done"  // the API has the file
	opVoid  = "void"  // the file is not uploaded
)

// OpenJournal opens the journal at path for an account, and creates it if it does not exist. It returns
// ErrInUse if another process has the journal open. It does not touch a file that is not a journal.
func OpenJournal(path, account string) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("creating the directory of the journal: %w", err)
	}
	file, err := openJournal(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("opening the journal %s: %w", path, err)
	}
	j := &Journal{file: file, account: account, uploads: map[string]map[content]upload{}}
	j.synced = sync.NewCond(&j.mu)
	if err := j.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("journal %s: %w", path, err), file.Close())
	}
	return j, nil
}

// PathsIn returns the paths of the uploaded files by their IDs, as recorded in the journal at path. A
// journal that does not exist has none. Another process may use the journal.
func PathsIn(path string) (map[string]string, error) {
	file, err := openJournal(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the journal %s: %w", path, err)
	}
	defer func() { _ = file.Close() }() // opened for reading only
	j := &Journal{file: file, uploads: map[string]map[content]upload{}}
	if _, err := j.read(); err != nil {
		return nil, fmt.Errorf("journal %s: %w", path, err)
	}
	paths := map[string]string{}
	for _, uploads := range j.uploads {
		for c, u := range uploads {
			if u.fileID != "" {
				paths[u.fileID] = c.Path
			}
		}
	}
	return paths, nil
}

// Close closes the journal, so that another process can open it.
func (j *Journal) Close() error { return j.file.Close() }

func (j *Journal) load() error {
	// The operating system releases the lock of a process that dies.
	if err := lock(j.file); err != nil {
		return err
	}
	length, err := j.read()
	if err != nil {
		return err
	}
	if err := j.file.Truncate(length); err != nil {
		return fmt.Errorf("truncating the incomplete line: %w", err)
	}
	if _, err := j.file.Seek(length, io.SeekStart); err != nil {
		return fmt.Errorf("seeking: %w", err)
	}
	if length == 0 {
		if _, err := j.file.WriteString(header); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
	return nil
}

// read applies the records of the file, and returns the length of its complete lines.
func (j *Journal) read() (int64, error) {
	if info, err := j.file.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, cmp.Or(err, errNotRegular)
	}
	// Compare the beginning first: a foreign file can be large.
	beginning := make([]byte, len(header))
	n, err := io.ReadFull(j.file, beginning)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, fmt.Errorf("reading: %w", err)
	}
	if !strings.HasPrefix(header, string(beginning[:n])) {
		return 0, errForeign
	}
	if n < len(header) {
		return 0, nil // a new file, or one whose first write was interrupted
	}
	text, err := io.ReadAll(j.file)
	if err != nil {
		return 0, fmt.Errorf("reading: %w", err)
	}
	// No run relied on an incomplete last line: write did not return for it.
	complete := text[:bytes.LastIndexByte(text, '\n')+1]
	for i, line := range bytes.Split(bytes.TrimSuffix(complete, []byte("\n")), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil || !r.valid() {
			return 0, fmt.Errorf("line %d is not a valid record: fix it, or move the journal away and check for files that are uploaded twice", i+2)
		}
		j.apply(r)
	}
	return int64(len(header) + len(complete)), nil
}

func (r record) valid() bool {
	if r.Op == opRun {
		return r.Snapshot != nil
	}
	return r.File != nil && r.File.Path != "" && r.File.SHA256 != "" && (r.Op != opDone || r.FileID != "")
}

func (j *Journal) apply(r record) {
	if r.Op == opRun {
		j.current = *r.Snapshot
		return
	}
	uploads := j.uploads[r.Account]
	if uploads == nil {
		uploads = map[content]upload{}
		j.uploads[r.Account] = uploads
	}
	switch r.Op {
	case opBegin:
		before := j.current
		if r.Snapshot != nil {
			before = *r.Snapshot
		}
		uploads[*r.File] = upload{snapshot: before}
	case opDone:
		uploads[*r.File] = upload{fileID: r.FileID}
	case opVoid:
		delete(uploads, *r.File)
	}
}

// fileID returns the ID of an uploaded file, or "" if it is not known to be uploaded.
func (j *Journal) fileID(c content) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.uploads[j.account][c].fileID
}

// pending returns the uploads whose outcome is unknown.
func (j *Journal) pending() map[content]upload {
	j.mu.Lock()
	defer j.mu.Unlock()
	pending := map[content]upload{}
	for c, u := range j.uploads[j.account] {
		if u.fileID == "" {
			pending[c] = u
		}
	}
	return pending
}

// ofOthers returns the uploads of a content by other accounts, if this account has none.
func (j *Journal) ofOthers(c content) []upload {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, exists := j.uploads[j.account][c]; exists {
		return nil
	}
	var others []upload
	for _, account := range slices.Sorted(maps.Keys(j.uploads)) {
		if u, exists := j.uploads[account][c]; exists {
			others = append(others, u)
		}
	}
	return others
}

// claimed returns the IDs of the files that belong to an upload.
func (j *Journal) claimed() map[string]bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	claimed := map[string]bool{}
	for _, uploads := range j.uploads {
		for _, u := range uploads {
			if u.fileID != "" {
				claimed[u.fileID] = true
			}
		}
	}
	return claimed
}

// startRun records the snapshot that precedes the uploads of a run.
func (j *Journal) startRun(s snapshot) error { return j.write(record{Op: opRun, Snapshot: &s}) }

func (j *Journal) begin(c content) error { return j.write(record{Op: opBegin, File: &c}) }

// takeOver records the pending upload of another account.
func (j *Journal) takeOver(c content, before snapshot) error {
	return j.write(record{Op: opBegin, File: &c, Snapshot: &before})
}

func (j *Journal) done(c content, fileID string) error {
	return j.write(record{Op: opDone, File: &c, FileID: fileID})
}

func (j *Journal) void(c content) error { return j.write(record{Op: opVoid, File: &c}) }

// write appends a record and returns after it is synced to disk. Concurrent records share one sync,
// because the sync takes most of the time.
func (j *Journal) write(r record) error {
	if r.Op != opRun {
		r.Account = j.account
	}
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
