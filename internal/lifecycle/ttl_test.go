// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// runCompleted returns the reconciliation that observes the completion of a batch.
func runCompleted(changes ...change) reconciliation {
	return run(created(changes...), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)}).withoutFinalizer(epoch)
}

// withoutFinalizer returns the reconciliation after the finalizer of a finished object is removed, if it is
// not needed, with the Events of all.
func (r reconciliation) withoutFinalizer(now time.Time) reconciliation {
	if !batch.HasFinalizer(r.object) || batch.NeedsFinalizer(r.object) {
		return r
	}
	removed := run(r.object, r.state, now)
	last := run(removed.object, removed.state, now)
	last.events = append(append(r.events, removed.events...), last.events...)
	return last
}

func TestTTL_PersistsResultBeforeDelete(t *testing.T) {
	for name, r := range map[string]reconciliation{
		"completed, DetachFiles":  run(created(detachFiles, ttl(0)), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)}),
		"completed, adopted":      run(newObject(adopted, ttl(0)), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)}),
		"cancelled before create": run(newObject(cancelWanted, ttl(0)), lifecycle.State{}, epoch),
		"stuck":                   run(tracked(deletionPolicy("Orphan"), withoutFinalizers, deadline(time.Hour), cancelAccepted, ttl(0)), lifecycle.State{}, epoch.Add(time.Minute)),
	} {
		t.Run(name, func(t *testing.T) {
			if r.final.Action != lifecycle.Requeue || !batch.Finished(r.object) || len(r.events) != 1 || r.final.RequeueAfter > time.Second {
				t.Fatalf("%s: %s, requeued after %s; Events %+v", r.final.Action, r.reason(), r.final.RequeueAfter, r.events)
			}
			expired := r.again()
			if expired.actionNames() != "" || expired.final.Action != lifecycle.Delete || !cmp.Equal(expired.final.Status, r.object.Status) {
				t.Fatalf("performed %q, then %s", expired.actionNames(), expired.final.Action)
			}
			if len(expired.events) != 1 || expired.events[0].Warning || expired.events[0].Reason != v1alpha1.ReasonTTLExpired || !strings.Contains(expired.events[0].Message, "0s after") {
				t.Errorf("Events %+v", expired.events)
			}
		})
	}
}

func TestTTL_NoJitter(t *testing.T) {
	for _, jitter := range []float64{-0.2, 0.2} {
		observed := lifecycle.Observed{Actions: []lifecycle.Action{lifecycle.Poll}, Batch: answer(upstream.Completed), Jitter: jitter}
		if d := config.Decide(created(ttl(time.Hour), withoutFinalizers), observed, epoch); d.RequeueAfter != time.Hour {
			t.Fatalf("with jitter %v: requeued after %s", jitter, d.RequeueAfter)
		}
	}
	r := runCompleted(ttl(time.Hour))
	early := run(r.object, r.state, epoch.Add(time.Hour-time.Second))
	if early.final.Action != lifecycle.Requeue || early.final.RequeueAfter != time.Second || len(early.events) != 0 {
		t.Errorf("a second before: %s, requeued after %s", early.final.Action, early.final.RequeueAfter)
	}
	if r = r.again(); r.final.Action != lifecycle.Delete || !strings.Contains(r.events[0].Message, "1h0m0s after") {
		t.Errorf("%s; Events %+v", r.final.Action, r.events)
	}
	if r = runCompleted(ttl(time.Hour), deadline(time.Hour+time.Minute)); r.final.RequeueAfter != time.Hour {
		t.Errorf("with a deadline after the TTL: requeued after %s", r.final.RequeueAfter)
	}
}

func TestTTL_EditedAfterFinish(t *testing.T) {
	now := epoch.Add(10 * time.Minute)
	for name, test := range map[string]struct {
		edit   change
		action lifecycle.Action
		after  time.Duration
	}{
		"shortened, expired": {ttl(time.Minute), lifecycle.Delete, 0},
		"shortened":          {ttl(15 * time.Minute), lifecycle.Requeue, 5 * time.Minute},
		"lengthened":         {ttl(24 * time.Hour), lifecycle.Requeue, 24*time.Hour - 10*time.Minute},
		"unset":              {func(b *object) { b.Spec.TTLSecondsAfterFinished = nil }, lifecycle.Requeue, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := runCompleted(ttl(time.Hour))
			r = run(withChange(r.object, test.edit, edited), r.state, now)
			if r.actionNames() != "" || r.final.Action != test.action || r.final.RequeueAfter != test.after {
				t.Errorf("performed %q, then %s, requeued after %s", r.actionNames(), r.final.Action, r.final.RequeueAfter)
			}
		})
	}
}

func TestTTL_OnlyFinishedObjects(t *testing.T) {
	for name, b := range map[string]*object{
		"new":                      newObject(ttl(0)),
		"in progress":              tracked(ttl(0)),
		"suspended":                tracked(ttl(0), suspended),
		"rejected":                 newObject(ttl(0), func(b *object) { b.Spec.FileIDs = nil }),
		"batch not found":          run(tracked(ttl(0)), lifecycle.State{Backoff: lifecycle.Backoff{NotFound: 5}}, epoch, fails(upstream.NotFound)).object,
		"deleted, other finalizer": withChange(runCompleted(ttl(0)).object, deletedAt(epoch), func(b *object) { b.Finalizers = []string{"example.com/other"} }),
		"deleted":                  withChange(runCompleted(ttl(0)).object, deletedAt(epoch)),
	} {
		if r := run(b, lifecycle.State{}, epoch.Add(time.Hour)); r.final.Action == lifecycle.Delete {
			t.Errorf("%s: deleted; Events %+v", name, r.events)
		}
	}
}
