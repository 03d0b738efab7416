// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
)

// backlog counts the objects of each namespace that events have put into the work queue, so that a
// namespace with few comes before one with thousands: the queue itself knows only priorities.
type backlog struct {
	mu     sync.Mutex
	queued map[string]sets.Set[string]
}

func newBacklog() *backlog { return &backlog{queued: make(map[string]sets.Set[string])} }

// maxPenalty is less than the difference between two priorities.
const maxPenalty = 49

// add records that an object is queued, and returns how far its priority is lowered: by the number of
// other objects of its namespace that are queued.
func (b *backlog) add(name types.NamespacedName) (penalty int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := b.queued[name.Namespace]
	if names == nil {
		names = sets.New[string]()
		b.queued[name.Namespace] = names
	}
	names.Delete(name.Name)
	penalty = min(len(names), maxPenalty)
	names.Insert(name.Name)
	return penalty
}

// remove records that a worker has taken an object from the queue.
func (b *backlog) remove(name types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := b.queued[name.Namespace]
	names.Delete(name.Name)
	if len(names) == 0 {
		delete(b.queued, name.Namespace)
	}
}
