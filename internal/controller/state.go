// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
)

// stateStore holds what this process remembers of objects between reconciliations. If it is lost,
// each batch is polled early once.
//
// Its key is the object's name, because the work queue knows objects by their name: an object that is
// gone is reconciled once more if it is queued, and forgotten then. So the store holds no more than
// one entry for each object that exists or is queued, whatever the order of events was.
type stateStore struct {
	mu     sync.Mutex
	byName map[types.NamespacedName]remembered
}

// remembered is the state of one object.
type remembered struct {
	uid   types.UID
	state lifecycle.State
	// gone is true if this process has completed the object's deletion. Until the watch reports that,
	// the cache can still show the object.
	gone bool
	// conflicts is how many reconciliations in a row ended with a conflict.
	conflicts int
}

func newStateStore() *stateStore {
	return &stateStore{byName: make(map[types.NamespacedName]remembered)}
}

// load returns the state of an object, and whether this process has completed its deletion. From then
// on the object has an entry, until save or forget removes it.
func (s *stateStore) load(b *v1alpha1.VectorStoreFileBatch) (state lifecycle.State, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.entry(b)
	s.byName[client.ObjectKeyFromObject(b)] = entry
	return entry.state, entry.gone
}

// entry returns the entry of an object; an empty one if there is none, or only that of an earlier
// object with its name.
func (s *stateStore) entry(b *v1alpha1.VectorStoreFileBatch) remembered {
	if entry := s.byName[client.ObjectKeyFromObject(b)]; entry.uid == b.UID {
		return entry
	}
	return remembered{uid: b.UID}
}

// save stores the state that a decision asks to remember.
func (s *stateStore) save(b *v1alpha1.VectorStoreFileBatch, d lifecycle.Decision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.entry(b)
	entry.state, entry.conflicts = d.State, 0
	switch {
	case d.RequeueAfter <= 0 && !entry.gone, entry == remembered{uid: b.UID}:
		delete(s.byName, client.ObjectKeyFromObject(b))
	default:
		s.byName[client.ObjectKeyFromObject(b)] = entry
	}
}

// saveUnsaved stores the facts that an interrupted reconciliation could not persist.
func (s *stateStore) saveUnsaved(b *v1alpha1.VectorStoreFileBatch, state lifecycle.State) {
	if state.Unsaved == (lifecycle.Unsaved{}) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.entry(b)
	entry.state = state
	s.byName[client.ObjectKeyFromObject(b)] = entry
}

// saveCreated stores the ID of a batch that was created, before anything else can fail.
func (s *stateStore) saveCreated(b *v1alpha1.VectorStoreFileBatch, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.entry(b)
	entry.state.CreatedID = id
	s.byName[client.ObjectKeyFromObject(b)] = entry
}

// conflict counts a reconciliation that ended with a conflict, and returns how many did in a row.
func (s *stateStore) conflict(b *v1alpha1.VectorStoreFileBatch) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.entry(b)
	entry.conflicts++
	s.byName[client.ObjectKeyFromObject(b)] = entry
	return entry.conflicts
}

// expectDeletion records whether a write is about to complete the deletion of an object.
func (s *stateStore) expectDeletion(b *v1alpha1.VectorStoreFileBatch, gone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.entry(b)
	entry.gone = gone
	s.byName[client.ObjectKeyFromObject(b)] = entry
}

// forget drops everything about an object that is gone.
func (s *stateStore) forget(b *v1alpha1.VectorStoreFileBatch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entry(b) == s.byName[client.ObjectKeyFromObject(b)] {
		delete(s.byName, client.ObjectKeyFromObject(b))
	}
}

// forgetName drops everything about the object that had a name, and returns its UID; empty if there is
// no entry.
func (s *stateStore) forgetName(name types.NamespacedName) types.UID {
	s.mu.Lock()
	defer s.mu.Unlock()
	uid := s.byName[name].uid
	delete(s.byName, name)
	return uid
}
