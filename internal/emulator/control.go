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

// Batch is a file batch as the emulator knows it.
type Batch struct {
	ID            string     `json:"id"`
	VectorStoreID string     `json:"vector_store_id"`
	CreatedAt     time.Time  `json:"created_at"`
	Status        string     `json:"status"`
	FileCounts    FileCounts `json:"file_counts"`
	FileIDs       []string   `json:"file_ids"`
	// Retrieves and Cancels are how often it was retrieved and cancelled over the API.
	Retrieves int `json:"retrieves"`
	Cancels   int `json:"cancels"`
}

// FileSet is the files of one or more batches in the same vector store, and so tells whether
// the same files were attached more than once.
type FileSet struct {
	VectorStoreID string   `json:"vector_store_id"`
	FileIDs       []string `json:"file_ids"`
	// BatchIDs are the batches made of exactly these files, in the order they were made.
	BatchIDs []string `json:"batch_ids"`
}

// AttachedFile is a file in a vector store.
type AttachedFile struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	// BatchID is the batch that attached it last; empty where it was attached by itself.
	BatchID string `json:"batch_id,omitempty"`
	// Attaches is how often it was attached. It stands in the store once all the same.
	Attaches int `json:"attaches"`
}

// Configure changes settings. A new pace counts from now on, also for batches in progress.
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
			b.repace(now)
		}
	}
}

// Settings are those in force.
func (s *Server) Settings() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// Advance moves the emulator's clock ahead of Options.Clock by d more.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew += d
}

func (s *Server) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// AddStore makes an empty vector store with the given ID. One that exists stays as it is.
func (s *Server) AddStore(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stores[id] != nil {
		return
	}
	v := newStore(id, s.now())
	v.name = id
	s.keepStore(v)
}

// DeleteStore deletes a vector store, and says whether it was there.
func (s *Server) DeleteStore(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.stores[id]
	delete(s.stores, id)
	return ok
}

// ExpireStore makes a vector store expire, and says whether it was there.
func (s *Server) ExpireStore(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.stores[id]
	if v != nil {
		v.expired = true
	}
	return v != nil
}

// SetOutcome says what will become of a file, which is made where there is none with that ID.
// What became of it already stays, except that a stuck one is let go by an outcome that isn't.
func (s *Server) SetOutcome(fileID string, o Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[fileID]
	if f == nil {
		f = s.madeUp(fileID)
		s.adopt([]*file{f})
	}
	f.outcome = o
}

// SetBatchStatus ends a batch from outside, or gives it a status of any name.
// completed, cancelled and failed end the files that are in progress accordingly. Any other
// status is reported verbatim, whatever its files do, until an empty one takes it back. It is
// an error where there is no such batch.
func (s *Server) SetBatchStatus(id, status string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.batches[id]
	if b == nil {
		return fmt.Errorf("there is no batch %q", id)
	}
	b.advance(s.now(), s.settings)
	b.forced = status
	switch status {
	case statusCompleted:
		b.settle(func(a *attachment) { a.become(statusCompleted) })
	case statusCancelled:
		b.settle(func(a *attachment) { a.become(statusCancelled) })
	case statusFailed:
		b.settle(func(a *attachment) { a.finish(failure(ServerError)) })
	}
	return nil
}

// Batches are all batches, in the order they were made.
func (s *Server) Batches() []Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	batches := make([]Batch, 0, len(s.order))
	for _, id := range s.order {
		batches = append(batches, s.describe(s.batches[id]))
	}
	return batches
}

// Batch is the one with the given ID.
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

// CreateCount is how many batches were made. A create that was refused made none.
func (s *Server) CreateCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.order)
}

// FileSets are the sets of files that batches were made of, in the order they were first seen.
func (s *Server) FileSets() []FileSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	sets := make([]FileSet, 0, len(s.setOrder))
	for _, key := range s.setOrder {
		set := *s.fileSets[key]
		set.BatchIDs = slices.Clone(set.BatchIDs)
		sets = append(sets, set)
	}
	return sets
}

// BatchesOf are the IDs of the batches made of exactly these files, in any order.
func (s *Server) BatchesOf(storeID string, fileIDs ...string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.fileSets[fileSetKey(storeID, fileIDs)]
	if set == nil {
		return nil
	}
	return slices.Clone(set.BatchIDs)
}

func (s *Server) countFileSet(b *batch) {
	ids := b.fileIDs()
	key := fileSetKey(b.store.id, ids)
	set := s.fileSets[key]
	if set == nil {
		set = &FileSet{VectorStoreID: b.store.id, FileIDs: ids}
		s.fileSets[key] = set
		s.setOrder = append(s.setOrder, key)
	}
	set.BatchIDs = append(set.BatchIDs, b.id)
}

// StoreIDs are the vector stores, in the order they were made.
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

// AttachedFiles are the files in a vector store, in the order they were attached last; nil
// where there is no such store.
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

// AttachedFileIDs are the IDs of AttachedFiles.
func (s *Server) AttachedFileIDs(storeID string) []string {
	var ids []string
	for _, f := range s.AttachedFiles(storeID) {
		ids = append(ids, f.ID)
	}
	return ids
}
