// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package expiring provides a map that drops entries which are no longer used.
package expiring

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Map creates its values on demand, and drops those that are not loaded for a lifetime.
// It is safe for concurrent use.
type Map[K comparable, V any] struct {
	hooks    Hooks[V]
	clock    clock.WithDelayedExecution
	lifetime time.Duration

	mu       sync.Mutex
	entries  map[K]*entry[V]
	sweeping bool
}

// Hooks are the functions of a Map.
type Hooks[V any] struct {
	// New returns the value of a key that has none. It is called with the Map locked.
	New func() V
	// InUse reports whether an entry must stay. It is called with the Map locked. Optional.
	InUse func(V) bool
	// Dropped is called, without the lock, with each value that was dropped. Optional.
	Dropped func(V)
}

type entry[V any] struct {
	value  V
	usedAt time.Time
}

// New returns an empty Map.
func New[K comparable, V any](c clock.WithDelayedExecution, lifetime time.Duration, hooks Hooks[V]) *Map[K, V] {
	return &Map[K, V]{hooks: hooks, clock: c, lifetime: lifetime, entries: make(map[K]*entry[V])}
}

// Load returns the value of a key.
func (m *Map[K, V]) Load(key K) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[key]
	if e == nil {
		e = &entry[V]{value: m.hooks.New()}
		m.entries[key] = e
	}
	e.usedAt = m.clock.Now()
	m.scheduleSweep()
	return e.value
}

// Len returns the number of entries.
func (m *Map[K, V]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}

// scheduleSweep schedules a sweep as long as there are entries: without one, an idle process would
// keep the last of them.
func (m *Map[K, V]) scheduleSweep() {
	if !m.sweeping && len(m.entries) > 0 {
		m.sweeping = true
		m.clock.AfterFunc(m.lifetime/10, m.sweep)
	}
}

func (m *Map[K, V]) sweep() {
	for _, value := range m.dropExpired() {
		if m.hooks.Dropped != nil {
			m.hooks.Dropped(value)
		}
	}
}

func (m *Map[K, V]) dropExpired() []V {
	m.mu.Lock()
	defer m.mu.Unlock()
	var dropped []V
	now := m.clock.Now()
	for key, e := range m.entries {
		inUse := m.hooks.InUse != nil && m.hooks.InUse(e.value)
		if !inUse && now.Sub(e.usedAt) >= m.lifetime {
			delete(m.entries, key)
			dropped = append(dropped, e.value)
		}
	}
	m.sweeping = false
	m.scheduleSweep()
	return dropped
}
