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

// ended is a pass that saw the end of a batch.
func completedAtOnce(changes ...change) reconciliation {
	return run(created(changes...), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)})
}

func TestTTL_EndIsPersistedBeforeDelete(t *testing.T) {
	for name, p := range map[string]reconciliation{
		"completed":                 completedAtOnce(ttl(0)),
		"cancelled before a create": run(newObject(wantsCancel, ttl(0)), lifecycle.State{}, epoch),
		"given up":                  run(tracked(deadline(time.Hour), cancelAccepted, ttl(0)), lifecycle.State{}, epoch.Add(time.Minute)),
	} {
		t.Run(name, func(t *testing.T) {
			if p.final.Action != lifecycle.Requeue || !batch.Finished(p.object) || len(p.events) != 1 || p.final.RequeueAfter > time.Second {
				t.Fatalf("%s, %s for %s; told %+v", p.final.Action, p.reason(), p.final.RequeueAfter, p.events)
			}
			end := p.again()
			if end.performed() != "" || end.final.Action != lifecycle.Delete || !cmp.Equal(end.final.Status, p.object.Status) {
				t.Fatalf("did %q, then %s", end.performed(), end.final.Action)
			}
			if len(end.events) != 1 || end.events[0].Warning || end.events[0].Reason != v1alpha1.ReasonTTLExpired || !strings.Contains(end.events[0].Message, "0s after") {
				t.Errorf("told %+v", end.events)
			}
		})
	}
}

func TestTTL_NoJitter(t *testing.T) {
	for _, jitter := range []float64{-0.2, 0.2} {
		observed := lifecycle.Observed{Actions: []lifecycle.Action{lifecycle.Poll}, Batch: answer(upstream.Completed), Jitter: jitter}
		if d := config.Decide(created(ttl(time.Hour)), observed, epoch); d.RequeueAfter != time.Hour {
			t.Fatalf("with jitter %v: requeued after %s", jitter, d.RequeueAfter)
		}
	}
	p := completedAtOnce(ttl(time.Hour))
	early := run(p.object, p.state, epoch.Add(time.Hour-time.Second))
	if early.final.Action != lifecycle.Requeue || early.final.RequeueAfter != time.Second || len(early.events) != 0 {
		t.Errorf("a second early: %s, requeued after %s", early.final.Action, early.final.RequeueAfter)
	}
	if p = p.again(); p.final.Action != lifecycle.Delete || !strings.Contains(p.events[0].Message, "1h0m0s after") {
		t.Errorf("%s; told %+v", p.final.Action, p.events)
	}
	if p = completedAtOnce(ttl(time.Hour), deadline(time.Hour+time.Minute)); p.final.RequeueAfter != time.Hour {
		t.Errorf("with a deadline that no longer matters: requeued after %s", p.final.RequeueAfter)
	}
}

func TestTTL_EditedAfterEnd(t *testing.T) {
	now := epoch.Add(10 * time.Minute)
	for name, test := range map[string]struct {
		edit   change
		action lifecycle.Action
		by     time.Duration
	}{
		"shortened, and over": {ttl(time.Minute), lifecycle.Delete, 0},
		"shortened":           {ttl(15 * time.Minute), lifecycle.Requeue, 5 * time.Minute},
		"lengthened":          {ttl(24 * time.Hour), lifecycle.Requeue, 24*time.Hour - 10*time.Minute},
		"unset":               {func(b *object) { b.Spec.TTLSecondsAfterFinished = nil }, lifecycle.Requeue, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := completedAtOnce(ttl(time.Hour))
			p = run(withChange(p.object, test.edit, edited), p.state, now)
			if p.performed() != "" || p.final.Action != test.action || p.final.RequeueAfter != test.by {
				t.Errorf("did %q, then %s, requeued after %s", p.performed(), p.final.Action, p.final.RequeueAfter)
			}
		})
	}
}

func TestTTL_OnlyFinishedObjects(t *testing.T) {
	for name, b := range map[string]*object{
		"new":                  newObject(ttl(0)),
		"in progress":          tracked(ttl(0)),
		"suspended":            tracked(ttl(0), suspends),
		"rejected":             newObject(ttl(0), func(b *object) { b.Spec.FileIDs = nil }),
		"gone":                 run(tracked(ttl(0)), lifecycle.State{Backoff: lifecycle.Backoff{NotFound: 5}}, epoch, fails(upstream.NotFound)).object,
		"deleted, others hold": withChange(completedAtOnce(ttl(0)).object, deletedAt(epoch), func(b *object) { b.Finalizers = []string{"example.com/other"} }),
		"deleted":              withChange(completedAtOnce(ttl(0)).object, deletedAt(epoch)),
	} {
		if p := run(b, lifecycle.State{}, epoch.Add(time.Hour)); p.final.Action == lifecycle.Delete {
			t.Errorf("%s: deleted; told %+v", name, p.events)
		}
	}
}
