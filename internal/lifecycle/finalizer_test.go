// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// TestFinalizer_RemovedOnceNothingIsLeftToDo: each of these objects has the finalizer, and a deletion
// would have nothing to do.
func TestFinalizer_RemovedOnceNothingIsLeftToDo(t *testing.T) {
	completed := func(changes ...change) *object {
		return run(created(changes...), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)}).object
	}
	for name, b := range map[string]*object{
		"completed":                completed(),
		"failed":                   run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Failed)}).object,
		"cancelled":                run(created(cancelWanted, cancelAccepted), lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)}).object,
		"cancelled before create":  run(newObject(withFinalizer, cancelWanted), lifecycle.State{}, epoch).object,
		"stuck after the deadline": run(tracked(deadline(time.Hour), cancelAccepted), lifecycle.State{}, epoch.Add(time.Minute)).object,
		"adopted, policy Cancel":   run(newObject(withFinalizer, adopted, deletionPolicy("Cancel")), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)}).object,
		"expired":                  completed(ttl(0)),
		"edited":                   withChange(completed(), maxFailedFiles(1), edited),
		"policy was DetachFiles":   withChange(runCompleted(detachFiles).object, deletionPolicy("Cancel"), edited),
		"DetachFiles, no batch":    run(newObject(withFinalizer, detachFiles, cancelWanted), lifecycle.State{}, epoch).object,
		"Orphan, in progress":      tracked(deletionPolicy("Orphan"), edited),
		"Orphan, create pending":   newObject(withFinalizer, deletionPolicy("Orphan"), pendingSince(epoch)),
		"Orphan, suspended":        tracked(deletionPolicy("Orphan"), suspended),
		"adopted, policy unset":    newObject(withFinalizer, adopted),
	} {
		t.Run(name, func(t *testing.T) {
			state := lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Hour)}}
			r := run(b, state, epoch.Add(time.Second)) // of this process or, after a crash, of another
			if r.actionNames() != "" || r.final.Action != lifecycle.RemoveFinalizer || len(r.events) > 0 || r.state != state {
				t.Fatalf("performed %q, then %s; Events %+v", r.actionNames(), r.final.Action, r.events)
			}
			if again := r.again(); again.final.Action == lifecycle.RemoveFinalizer || batch.HasFinalizer(again.object) {
				t.Errorf("performed %q, then %s", again.actionNames(), again.final.Action)
			}
		})
	}
}

// TestFinalizer_KeptWhileDeletionHasWork: the deletion of these objects calls the API.
func TestFinalizer_KeptWhileDeletionHasWork(t *testing.T) {
	for name, b := range map[string]*object{
		"in progress":            tracked(),
		"in progress, adopted":   newObject(withFinalizer, adopted, deletionPolicy("Cancel")),
		"create pending":         newObject(withFinalizer, pendingSince(epoch)),
		"cancel accepted":        tracked(cancelWanted, cancelAccepted),
		"batch not found":        run(tracked(), lifecycle.State{Backoff: lifecycle.Backoff{NotFound: 5}}, epoch, fails(upstream.NotFound)).object,
		"credentials rejected":   run(tracked(), lifecycle.State{}, epoch, fails(upstream.Unauthorized)).object,
		"finished, DetachFiles":  runCompleted(detachFiles).object,
		"expired in an hour":     runCompleted(detachFiles, ttl(time.Hour)).object,
		"cancelled, DetachFiles": run(created(detachFiles, cancelWanted, cancelAccepted), lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)}).object,
	} {
		r := run(b, lifecycle.State{}, epoch.Add(time.Second))
		if r.final.Action != lifecycle.Requeue || !batch.HasFinalizer(r.object) {
			t.Errorf("%s: performed %q, then %s: %s", name, r.actionNames(), r.final.Action, r.reason())
		}
	}
}

func TestFinalizer_AddedForALostCreate(t *testing.T) {
	r := run(newObject(pendingSince(epoch)), lifecycle.State{}, epoch)
	if r.actionNames() != "AddFinalizer" || r.reason() != v1alpha1.ReasonCreateOutcomeUnknown {
		t.Errorf("performed %q: %s", r.actionNames(), r.reason())
	}
}

// TestDelete_FinishedObjectNeedsNoWrite: a finished object is gone as soon as a client deletes it.
func TestDelete_FinishedObjectNeedsNoWrite(t *testing.T) {
	for name, b := range map[string]*object{
		"finished": runCompleted().object,
		"expired":  runCompleted(ttl(time.Hour)).object,
		"orphaned": run(newObject(deletionPolicy("Orphan")), lifecycle.State{}, epoch).object,
	} {
		if batch.HasFinalizer(b) {
			t.Errorf("%s: the object has the finalizer", name)
		}
	}
}
