// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// memories are what this process remembers of objects between passes. Losing them costs an
// early look at each batch, no more. The zero value is ready to use.
type memories struct {
	mu    sync.Mutex
	byUID map[types.UID]batch.Memory
}

func (m *memories) recall(uid types.UID) batch.Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byUID[uid]
}

func (m *memories) keep(uid types.UID, memory batch.Memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byUID == nil {
		m.byUID = make(map[types.UID]batch.Memory)
	}
	m.byUID[uid] = memory
}

// release remembers that an object was let go, until the watch tells that it is gone: before
// that, the cache may show it as it was. Where it told that already, there is nothing to do.
func (m *memories) release(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if memory, known := m.byUID[uid]; known {
		memory.Released = true
		m.byUID[uid] = memory
	}
}

func (m *memories) forget(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byUID, uid)
}
