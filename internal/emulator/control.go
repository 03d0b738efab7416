// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Batch is the emulator's view of a file batch.
type Batch struct {
	ID            string     `json:"id"`
	VectorStoreID string     `json:"vector_store_id"`
	CreatedAt     time.Time  `json:"created_at"`
	Status        string     `json:"status"`
	FileCounts    FileCounts `json:"file_counts"`
	FileIDs       []string   `json:"file_ids"`
	// Retrieves and Cancels count the requests that retrieved and cancelled the batch.
	Retrieves int `json:"retrieves"`
	Cancels   int `json:"cancels"`
}

// FileSet groups the batches that attach the same files to the same vector store. More than one
// batch means that a create was repeated.
type FileSet struct {
	VectorStoreID string   `json:"vector_store_id"`
	FileIDs       []string `json:"file_ids"`
	// BatchIDs are the batches of exactly these files, in the order of their creation.
	BatchIDs []string `json:"batch_ids"`
}

// AttachedFile is a file in a vector store.
type AttachedFile struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	// BatchID is the last batch that attached the file; empty if it was attached individually.
	BatchID string `json:"batch_id,omitempty"`
	// Attaches counts the requests that attached the file. The store contains it once.
	Attaches int `json:"attaches"`
}

// Configure changes settings. A new pace applies from now on, including to batches in progress.
func (s *Server) Configure(change func(*Settings)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.configure(change)
}

func (s *Server) configure(change func(*Settings)) {
	now := s.now()
	for _, v := range s.stores {
		v.advance(now, s.settings)
	}
	before := s.settings
	change(&s.settings)
	s.settings = s.settings.withDefaults()
	if s.settings.Pace == before.Pace && s.settings.Parallel == before.Parallel {
		return
	}
	for _, v := range s.stores {
		for b := range v.running {
			b.restartSchedule(now)
		}
	}
}

// Settings returns the current settings.
func (s *Server) Settings() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// Advance moves the emulator's clock forward by d, relative to Options.Clock.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clockOffset += d
}

func (s *Server) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// AddStore creates an empty vector store. It does nothing if the ID exists.
func (s *Server) AddStore(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stores[id] != nil {
		return
	}
	v := newStore(id, s.now())
	v.name = id
	s.insertStore(v)
}

// DeleteStore deletes a vector store and reports whether it existed.
func (s *Server) DeleteStore(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.stores[id]
	delete(s.stores, id)
	return ok
}

// ExpireStore expires a vector store and reports whether it exists.
func (s *Server) ExpireStore(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.stores[id]
	if v != nil {
		v.expired = true
	}
	return v != nil
}

// SetOutcome sets the outcome of a file, and creates the file if the ID does not exist. It has no
// effect on batches that already processed the file, except that a stuck file gets the outcome.
func (s *Server) SetOutcome(fileID string, o Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[fileID]
	if f == nil {
		f = s.synthesizeFile(fileID)
		s.addFiles([]*file{f})
	}
	f.outcome = o
}

// SetBatchStatus overrides the status of a batch. The statuses completed, cancelled and failed
// also finish its files in progress accordingly. Any other status is reported verbatim,
// independently of the files, until an empty one removes the override. It returns an error if the
// batch does not exist.
func (s *Server) SetBatchStatus(id, status string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.batches[id]
	if b == nil {
		return fmt.Errorf("batch %q not found", id)
	}
	b.advance(s.now(), s.settings)
	b.forced = status
	switch status {
	case statusCompleted:
		b.finishRemaining(func(a *attachment) { a.setStatus(statusCompleted) })
	case statusCancelled:
		b.finishRemaining(func(a *attachment) { a.setStatus(statusCancelled) })
	case statusFailed:
		b.finishRemaining(func(a *attachment) { a.applyOutcome(failedOutcome(ServerError)) })
	}
	return nil
}

// Batches returns all batches in the order of their creation.
func (s *Server) Batches() []Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	batches := make([]Batch, 0, len(s.batchOrder))
	for _, id := range s.batchOrder {
		batches = append(batches, s.describe(s.batches[id]))
	}
	return batches
}

// Batch returns the batch with the given ID, and whether it exists.
func (s *Server) Batch(id string) (Batch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.batches[id]
	if b == nil {
		return Batch{}, false
	}
	return s.describe(b), true
}

func (s *Server) describe(b *batch) Batch {
	b.advance(s.now(), s.settings)
	return Batch{
		ID: b.id, VectorStoreID: b.store.id, CreatedAt: b.createdAt, Status: b.status(s.settings),
		FileCounts: b.counts, FileIDs: b.fileIDs(), Retrieves: b.retrieves, Cancels: b.cancels,
	}
}

func (b *batch) fileIDs() []string {
	ids := make([]string, 0, len(b.files))
	for _, a := range b.files {
		ids = append(ids, a.file.id)
	}
	return ids
}

// CreateCount returns the number of batches created. Rejected requests do not count.
func (s *Server) CreateCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.batchOrder)
}

// FileSets returns the distinct sets of files of all batches, in the order of their first batch.
func (s *Server) FileSets() []FileSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	sets := make([]FileSet, 0, len(s.fileSetOrder))
	for _, key := range s.fileSetOrder {
		set := *s.fileSets[key]
		set.BatchIDs = slices.Clone(set.BatchIDs)
		sets = append(sets, set)
	}
	return sets
}

// BatchesOf returns the IDs of the batches of exactly these files, whatever their order.
func (s *Server) BatchesOf(storeID string, fileIDs ...string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.fileSets[fileSetKey(storeID, fileIDs)]
	if set == nil {
		return nil
	}
	return slices.Clone(set.BatchIDs)
}

func (s *Server) recordFileSet(b *batch) {
	ids := b.fileIDs()
	key := fileSetKey(b.store.id, ids)
	set := s.fileSets[key]
	if set == nil {
		set = &FileSet{VectorStoreID: b.store.id, FileIDs: ids}
		s.fileSets[key] = set
		s.fileSetOrder = append(s.fileSetOrder, key)
	}
	set.BatchIDs = append(set.BatchIDs, b.id)
}

// StoreIDs returns the IDs of the vector stores in the order of their creation.
func (s *Server) StoreIDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	stores := slices.SortedFunc(maps.Values(s.stores), func(a, b *store) int { return cmp.Compare(a.seq, b.seq) })
	ids := make([]string, 0, len(stores))
	for _, v := range stores {
		ids = append(ids, v.id)
	}
	return ids
}

// AttachedFiles returns the files of a vector store, in the order in which they were last
// attached. It returns nil if the store does not exist.
func (s *Server) AttachedFiles(storeID string) []AttachedFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.stores[storeID]
	if v == nil {
		return nil
	}
	v.advance(s.now(), s.settings)
	attached := make([]AttachedFile, 0, len(v.files))
	for _, a := range slices.SortedFunc(maps.Values(v.files), func(a, b *attachment) int { return cmp.Compare(a.seq, b.seq) }) {
		attached = append(attached, AttachedFile{ID: a.file.id, Status: a.status, BatchID: a.batch.id, Attaches: a.attaches})
	}
	return attached
}

// AttachedFileIDs returns the IDs of AttachedFiles.
func (s *Server) AttachedFileIDs(storeID string) []string {
	var ids []string
	for _, f := range s.AttachedFiles(storeID) {
		ids = append(ids, f.ID)
	}
	return ids
}
