// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expiring_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/vector-store-operator/vector-store-operator/internal/expiring"
)

func TestMap_DropsUnusedEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		created, dropped := 0, []int{}
		m := expiring.New[string](clock.RealClock{}, 10*time.Minute, expiring.Hooks[int]{
			New:     func() int { created++; return created },
			Dropped: func(value int) { dropped = append(dropped, value) },
		})
		if first, again, other := m.Load("a"), m.Load("a"), m.Load("b"); first != 1 || again != 1 || other != 2 || m.Len() != 2 {
			t.Fatalf("loaded %d, %d and %d; %d entries", first, again, other, m.Len())
		}
		for range 3 {
			advance(5 * time.Minute)
			m.Load("a")
		}
		if diff := cmp.Diff([]int{2}, dropped); diff != "" || m.Len() != 1 {
			t.Fatalf("dropped with %d entries left (-want +got):\n%s", m.Len(), diff)
		}
		if value := m.Load("b"); value != 3 {
			t.Errorf("loaded %d after the entry was dropped", value)
		}
		advance(12 * time.Minute)
		slices.Sort(dropped)
		if diff := cmp.Diff([]int{1, 2, 3}, dropped); diff != "" || m.Len() != 0 {
			t.Errorf("dropped with %d entries left (-want +got):\n%s", m.Len(), diff)
		}
	})
}

func TestMap_KeepsEntriesInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inUse atomic.Bool
		inUse.Store(true)
		m := expiring.New[string](clock.RealClock{}, 10*time.Minute, expiring.Hooks[*atomic.Bool]{
			New:   func() *atomic.Bool { return &inUse },
			InUse: func(value *atomic.Bool) bool { return value.Load() },
		})
		m.Load("a")
		advance(time.Hour)
		if m.Len() != 1 {
			t.Fatalf("%d entries while the value is in use", m.Len())
		}
		inUse.Store(false)
		advance(2 * time.Minute)
		if m.Len() != 0 {
			t.Errorf("%d entries after the value is no longer in use", m.Len())
		}
	})
}

// advance advances the clock of the test.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
