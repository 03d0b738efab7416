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

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

var (
	seedFlag    = flag.Uint64("history-seed", 0, "seed of the random histories; 0 chooses one")
	historyFlag = flag.Uint64("history", 0, "the seed of the one history to run and log; 0 runs many")
)

// TestSimulation runs random histories of one object with edits, faults and crashes, each followed by
// a quiet phase without them. It checks that nothing is forgotten, repeated or misreported.
func TestSimulation(t *testing.T) {
	if *historyFlag != 0 {
		s := newSimulation(*historyFlag)
		s.trace = t.Logf
		if err := s.run(); err != nil {
			t.Fatal(err)
		}
		return
	}
	seed, histories := *seedFlag, 100_000
	switch {
	case testing.Short(): // the same ones each time, as mutation tests require
		seed, histories = max(seed, 1), 2_000
	case seed == 0:
		seed = framework.CommitSeed()
	}
	t.Logf("%d histories from -history-seed=%d", histories, seed)
	results := runHistories(t, seed, histories)
	for _, result := range []string{"gone", "expired", "detached", "Suspended", "DeadlineExceeded", "Completed", "FilesFailed", "BatchFailed", "Cancelled", "CancelledExternally", "BatchNotFound", "Rejected"} {
		if results[result] == 0 {
			t.Errorf("no history ended as %s, so the test does not cover it: %v", result, results)
		}
	}
	t.Logf("results: %v", results)
}

// runHistories runs histories, and counts their results.
func runHistories(t *testing.T, seed uint64, histories int) map[string]int {
	t.Helper()
	const workers = 4
	results := make(map[string]int)
	var mu sync.Mutex
	var failed atomic.Int64
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			seeds, own := rand.New(rand.NewPCG(seed, uint64(worker))), make(map[string]int)
			for range histories / workers {
				historySeed := seeds.Uint64()
				s := newSimulation(historySeed)
				if err := s.run(); err != nil && failed.Add(1) <= 10 {
					t.Errorf("%v\n\tgo test ./internal/lifecycle -run TestSimulation -v -history=%d", err, historySeed)
				}
				own[s.result()]++
			}
			mu.Lock()
			defer mu.Unlock()
			for result, n := range own {
				results[result] += n
			}
		})
	}
	group.Wait()
	return results
}

// result returns how the history ended.
func (s *simulation) result() string {
	switch {
	case s.gone && s.expired:
		return "expired"
	case s.gone && s.detached:
		return "detached"
	case s.gone:
		return "gone"
	}
	return reasonOf(s.b.Status)
}

// run runs one history. It returns an error for a violated invariant.
func (s *simulation) run() error {
	for range 4 + s.random.IntN(12) {
		if s.gone {
			return nil
		}
		s.advance()
		s.process()
		if s.chance(5) {
			s.interfere()
		}
		if s.chance(40) {
			s.logf("crash between reconciliations")
			s.crash()
		}
		due := !s.nextReconcile.IsZero() && !s.now.Before(s.nextReconcile)
		if s.gone || !due && !s.chance(4) {
			continue
		}
		if err := s.reconcile(); err != nil {
			return err
		}
	}
	s.quiet = true
	s.logf("quiet from now on")
	return s.settle()
}

// advance advances the clock, most often until the next reconciliation is due.
func (s *simulation) advance() {
	switch s.random.IntN(6) {
	case 0:
		s.now = s.now.Add(s.between(0, 3*time.Second))
	case 1:
		s.now = s.now.Add(s.between(0, 15*time.Minute))
	default:
		if s.nextReconcile.After(s.now) {
			s.now = s.nextReconcile
		}
	}
}

// maxQuietReconciles is more than any object needs once no more faults occur.
const maxQuietReconciles = 150

// longestDeletion bounds the duration of a deletion.
const longestDeletion = 10*time.Minute + 30*time.Second

// settle reconciles as scheduled, without faults, until the object is settled or gone.
func (s *simulation) settle() error {
	quietSince, firstCall := s.now, later(s.now, s.state.NextCall)
	if s.state == (lifecycle.State{}) { // a process is about to start
		firstCall = later(s.now, s.nextReconcile)
	}
	for range maxQuietReconciles {
		if s.gone || s.settled() {
			return s.checkSettled(firstCall)
		}
		if s.nextReconcile.IsZero() {
			return fmt.Errorf("nothing is scheduled in state %s", s.result())
		}
		if s.nextReconcile.After(s.now) {
			s.now = s.nextReconcile
		}
		s.process()
		if err := s.reconcile(); err != nil {
			return err
		}
		if deleted := s.b.DeletionTimestamp; !deleted.IsZero() && s.now.Sub(later(deleted.Time, quietSince)) > longestDeletion {
			return fmt.Errorf("an object that was deleted at %s still exists after %s without a fault", deleted, s.now.Sub(quietSince))
		}
	}
	return fmt.Errorf("not settled after %d reconciliations without a fault, but %s", maxQuietReconciles, s.result())
}

// settled reports whether the object cannot change any more.
func (s *simulation) settled() bool {
	if !s.b.DeletionTimestamp.IsZero() || s.b.Generation != s.b.Status.ObservedGeneration {
		return false
	}
	reason := reasonOf(s.b.Status)
	if batch.Finished(s.b) {
		return s.b.Spec.TTLSecondsAfterFinished == nil && batch.HasFinalizer(s.b) == finalizerNeeded(s.b, s.b.Status)
	}
	ready := meta.FindStatusCondition(s.b.Status.Conditions, v1alpha1.ConditionReady)
	stopped := batch.LostCreates(s.b) > 0 && ready != nil && ready.Status == no && (reason == v1alpha1.ReasonRejected || reason == v1alpha1.ReasonCreateOutcomeUnknown)
	if stopped && !batch.CancelWanted(s.b) {
		return true // no more batches are created
	}
	return reason == v1alpha1.ReasonSuspended || s.storeDeleted && (reason == v1alpha1.ReasonBatchNotFound || reason == v1alpha1.ReasonRejected)
}

// checkSettled checks that the result is one that the spec requested. The first call of the quiet
// phase was scheduled before it.
func (s *simulation) checkSettled(firstCall time.Time) error {
	if s.gone || !batch.Finished(s.b) {
		return nil
	}
	if batch.ID(s.b) == "" {
		return nil
	}
	r := s.find(s.b)
	gaveUp := s.result() == v1alpha1.ReasonDeadlineExceeded || s.result() == v1alpha1.ReasonCancelFailed || s.result() == v1alpha1.ReasonCancelled
	if r != nil && r.status == upstream.InProgress && !gaveUp && !s.unread(r) {
		return fmt.Errorf("%s, though batch %s is in progress", s.result(), r.id)
	}
	return s.checkInTime(firstCall)
}

// checkInTime checks that the deadline finished the object in time: within a minute of the cancel,
// which a failure before the quiet phase may have delayed.
func (s *simulation) checkInTime(firstCall time.Time) error {
	at, known := deadlineOf(input{b: s.unfinished, now: s.now}) // the end overwrites when the first status was
	latest := later(at, firstCall).Add(time.Minute + 2*time.Second)
	if known && s.finishesByDeadline() && s.b.Status.CompletionTime.After(latest) {
		return fmt.Errorf("%s %s after the deadline", s.result(), s.b.Status.CompletionTime.Sub(at))
	}
	return nil
}
