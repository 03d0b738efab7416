// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
)

// stateStore holds what this process remembers of objects between reconciliations. If it is lost,
// each batch is polled early once.
type stateStore struct {
	mu    sync.Mutex
	byUID map[types.UID]lifecycle.State
	// finalized are the deleted objects whose finalizer this process has removed, until the watch
	// reports that they are gone. Before that, the cache can still show the finalizer.
	finalized sets.Set[types.UID]
}

func newStateStore() *stateStore {
	return &stateStore{byUID: make(map[types.UID]lifecycle.State), finalized: sets.New[types.UID]()}
}

// load returns the state of an object, and whether its finalizer was removed.
func (s *stateStore) load(uid types.UID) (state lifecycle.State, finalized bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byUID[uid], s.finalized.Has(uid)
}

// save stores the state that a decision asks to remember.
func (s *stateStore) save(uid types.UID, d lifecycle.Decision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.RequeueAfter <= 0 {
		delete(s.byUID, uid)
		return
	}
	s.byUID[uid] = d.State
}

// saveUnsaved stores the facts that an interrupted reconciliation could not persist.
func (s *stateStore) saveUnsaved(uid types.UID, state lifecycle.State) {
	if state.Unsaved == (lifecycle.Unsaved{}) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byUID[uid] = state
}

// expectDeletion records that the finalizer of an object is being removed, and withdrawExpectation
// that this has failed.
func (s *stateStore) expectDeletion(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finalized.Insert(uid)
}

func (s *stateStore) withdrawExpectation(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finalized.Delete(uid)
}

// forget drops everything about an object that is gone.
func (s *stateStore) forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byUID, uid)
	s.finalized.Delete(uid)
}
