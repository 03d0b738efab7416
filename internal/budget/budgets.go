// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// sweepInterval is how often budgets are looked through for those that nobody needs.
	sweepInterval = time.Minute
	// idleLifetime is how long a budget is kept that nobody asks for.
	idleLifetime = 10 * time.Minute
)

// Budgets are the budgets of all connections. A budget goes when nobody has asked for it in a
// while, and none of its limits has anything left to remember.
type Budgets[K comparable] struct {
	limits Limits
	clock  clock.WithDelayedExecution
	wake   func(K, Class)
	places [classes]places

	mu       sync.Mutex
	byName   map[upstream.Connection]*kept[K]
	sweeping bool
}

// kept is a budget, and when it was asked for last.
type kept[K comparable] struct {
	budget *Budget[K]
	usedAt time.Time
}

// New makes Budgets. Somebody whose turn has come is woken by wake, which must not call back.
func New[K comparable](limits Limits, c clock.WithDelayedExecution, wake func(K, Class)) *Budgets[K] {
	b := &Budgets[K]{limits: limits, clock: c, wake: wake, byName: make(map[upstream.Connection]*kept[K])}
	b.places[Look].free, b.places[Change].free = limits.Looks, limits.Changes
	return b
}

// Of gives the budget of a connection: the same one for all who use it.
func (b *Budgets[K]) Of(connection upstream.Connection) *Budget[K] {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := connection.Identity()
	found := b.byName[name]
	if found == nil {
		found = &kept[K]{budget: newBudget(b.limits, b.clock, &b.places, b.wake)}
		b.byName[name] = found
	}
	found.usedAt = b.clock.Now()
	b.sweepLater()
	return found.budget
}

// Len is how many budgets there are.
func (b *Budgets[K]) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.byName)
}

func (b *Budgets[K]) sweepLater() {
	if !b.sweeping {
		b.sweeping = true
		b.clock.AfterFunc(sweepInterval, b.sweep)
	}
}

// sweep drops the budgets that nobody needs, and comes again as long as there are any.
func (b *Budgets[K]) sweep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	for name, kept := range b.byName {
		if kept.budget.idle() && now.Sub(kept.usedAt) >= idleLifetime {
			delete(b.byName, name)
		}
	}
	b.sweeping = false
	if len(b.byName) > 0 {
		b.sweepLater()
	}
}
