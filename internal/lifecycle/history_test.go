// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

var (
	seedFlag    = flag.Uint64("history-seed", 0, "seed of the random histories; 0 chooses one")
	historyFlag = flag.Uint64("history", 0, "the one history to tell; 0 tries many")
)

// TestSimulation lets people, faults and crashes loose on an object, then lets all come to
// rest, and looks whether anything was forgotten, done twice or told wrongly.
func TestSimulation(t *testing.T) {
	if *historyFlag != 0 {
		w := newSimulation(*historyFlag)
		w.trace = t.Logf
		if err := w.history(); err != nil {
			t.Fatal(err)
		}
		return
	}
	seed, histories := *seedFlag, 100_000
	if seed == 0 {
		seed = rand.Uint64()
	}
	if testing.Short() {
		histories = 5_000
	}
	t.Logf("%d histories from -history-seed=%d", histories, seed)
	ends := tryHistories(t, seed, histories)
	for _, end := range []string{"gone", "expired", "detached", "Suspended", "DeadlineExceeded", "Completed", "FilesFailed", "BatchFailed", "Cancelled", "CancelledExternally", "BatchNotFound", "Rejected"} {
		if ends[end] == 0 {
			t.Errorf("no history ended %s, so this test does not see what it should: %v", end, ends)
		}
	}
	t.Logf("ends: %v", ends)
}

// tryHistories counts how histories ended.
func tryHistories(t *testing.T, seed uint64, histories int) map[string]int {
	t.Helper()
	const workers = 4
	ends := make(map[string]int)
	var lock sync.Mutex
	var broken atomic.Int64
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			seeds, own := rand.New(rand.NewPCG(seed, uint64(worker))), make(map[string]int)
			for range histories / workers {
				number := seeds.Uint64()
				w := newSimulation(number)
				if err := w.history(); err != nil && broken.Add(1) <= 10 {
					t.Errorf("%v\n\tgo test ./internal/lifecycle -run TestSimulation -v -history=%d", err, number)
				}
				own[w.end()]++
			}
			lock.Lock()
			defer lock.Unlock()
			for end, n := range own {
				ends[end] += n
			}
		})
	}
	group.Wait()
	return ends
}

// end names how a history ended.
func (w *simulation) end() string {
	switch {
	case w.gone && w.expired:
		return "expired"
	case w.gone && w.detached:
		return "detached"
	case w.gone:
		return "gone"
	}
	return reasonOf(w.b.Status)
}

// history is one history of an object, and what was wrong in it.
func (w *simulation) history() error {
	for range 4 + w.random.IntN(12) {
		if w.gone {
			return nil
		}
		w.letTimePass()
		w.process()
		if w.chance(5) {
			w.interfere()
		}
		if w.chance(40) {
			w.logf("crash between passes")
			w.crash()
		}
		due := !w.nextReconcile.IsZero() && !w.now.Before(w.nextReconcile)
		if w.gone || !due && !w.chance(4) {
			continue
		}
		if err := w.reconciliation(); err != nil {
			return err
		}
	}
	w.quiet = true
	w.logf("calm from here on")
	return w.comeToRest()
}

// letTimePass waits a while, most often until the next pass is due.
func (w *simulation) letTimePass() {
	switch w.random.IntN(6) {
	case 0:
		w.now = w.now.Add(w.between(0, 3*time.Second))
	case 1:
		w.now = w.now.Add(w.between(0, 15*time.Minute))
	default:
		if w.nextReconcile.After(w.now) {
			w.now = w.nextReconcile
		}
	}
}

// mostCalmPasses is more than any object needs once nothing goes wrong any more.
const mostCalmPasses = 60

// longestDeletion is what a deletion takes at most.
const longestDeletion = 10*time.Minute + 30*time.Second

// comeToRest makes passes as planned, without faults, until the object is over or gone.
func (w *simulation) comeToRest() error {
	calmSince, firstCall := w.now, later(w.now, w.state.NextCall)
	if w.state == (lifecycle.State{}) { // a process is about to begin
		firstCall = later(w.now, w.nextReconcile)
	}
	for range mostCalmPasses {
		if w.gone || w.rests() {
			return w.checkRest(firstCall)
		}
		if w.nextReconcile.IsZero() {
			return fmt.Errorf("forgotten in state %s", w.end())
		}
		if w.nextReconcile.After(w.now) {
			w.now = w.nextReconcile
		}
		w.process()
		if err := w.reconciliation(); err != nil {
			return err
		}
		if deleted := w.b.DeletionTimestamp; !deleted.IsZero() && w.now.Sub(later(deleted.Time, calmSince)) > longestDeletion {
			return fmt.Errorf("an object that was deleted at %s was still held after %s of calm", deleted, w.now.Sub(calmSince))
		}
	}
	return fmt.Errorf("no end after %d passes without a fault, but %s", mostCalmPasses, w.end())
}

// rests reports whether nothing more is to be expected.
func (w *simulation) rests() bool {
	if !w.b.DeletionTimestamp.IsZero() || w.b.Generation != w.b.Status.ObservedGeneration {
		return false
	}
	reason := reasonOf(w.b.Status)
	if batch.Finished(w.b) {
		return w.b.Spec.TTLSecondsAfterFinished == nil
	}
	return reason == v1alpha1.ReasonSuspended || w.vanished && (reason == v1alpha1.ReasonBatchNotFound || reason == v1alpha1.ReasonRejected)
}

// checkRest says whether the end is one that the people asked for. The first call of the calm
// was due at a time that was set before.
func (w *simulation) checkRest(firstCall time.Time) error {
	if w.gone || !batch.Finished(w.b) {
		return nil
	}
	if batch.ID(w.b) == "" {
		if !batch.CancelWanted(w.b) && reasonOf(w.b.Status) != v1alpha1.ReasonCancelled {
			return fmt.Errorf("%s without a batch", w.end())
		}
		return nil
	}
	r := w.find(w.b)
	gaveUp := w.end() == v1alpha1.ReasonDeadlineExceeded && r != nil && r.cancelAsked
	if r != nil && r.status == upstream.InProgress && !gaveUp {
		return fmt.Errorf("%s, though batch %s runs on", w.end(), r.id)
	}
	return w.checkInTime(firstCall)
}

// checkInTime says whether a batch with a deadline went on for too long: for more than the
// minute that it has after the cancel, which may have been put off before the calm.
func (w *simulation) checkInTime(firstCall time.Time) error {
	at, known := deadlineOf(input{b: w.b})
	latest := later(at, firstCall).Add(time.Minute + 2*time.Second)
	if known && w.endsByDeadline() && w.b.Status.FinishedAt.After(latest) {
		return fmt.Errorf("%s %s after the deadline", w.end(), w.b.Status.FinishedAt.Sub(at))
	}
	return nil
}
