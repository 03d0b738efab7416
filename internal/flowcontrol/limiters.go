// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package flowcontrol

import (
	"time"

	"k8s.io/utils/clock"

	"github.com/vector-store-operator/vector-store-operator/internal/expiring"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// idleLifetime is how long an unused Limiter is kept.
const idleLifetime = 10 * time.Minute

// Limiters holds one Limiter for each set of credentials. A Limiter is dropped when it was not
// used for 10 minutes and none of its limits counts anything.
type Limiters[K comparable] struct {
	seats    [classes]seats
	limiters *expiring.Map[upstream.Connection, *Limiter[K]]
}

// New returns Limiters. A caller whose request is admitted later is woken by wake, which must not
// call back.
func New[K comparable](limits Limits, c clock.WithDelayedExecution, wake func(K, Class)) *Limiters[K] {
	l := &Limiters[K]{}
	l.seats[Read].free, l.seats[Write].free = limits.Reads, limits.Writes
	l.limiters = expiring.New[upstream.Connection](c, idleLifetime, expiring.Hooks[*Limiter[K]]{
		New:   func() *Limiter[K] { return newLimiter(limits, c, &l.seats, wake) },
		InUse: func(l *Limiter[K]) bool { return !l.idle() },
	})
	return l
}

// For returns the Limiter of a connection, which all its callers share.
func (l *Limiters[K]) For(connection upstream.Connection) *Limiter[K] {
	return l.limiters.Load(connection.Identity())
}

// Len returns the number of Limiters.
func (l *Limiters[K]) Len() int { return l.limiters.Len() }
