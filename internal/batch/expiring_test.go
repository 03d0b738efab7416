// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// ended is a pass that saw the end of a batch.
func ended(changes ...change) pass {
	return run(created(changes...), batch.Memory{}, epoch, result{batch: answer(upstream.Completed)})
}

func TestTheEndIsToldBeforeTheObjectGoes(t *testing.T) {
	for name, p := range map[string]pass{
		"completed":                 ended(ttl(0)),
		"cancelled before a create": run(fresh(wantsCancel, ttl(0)), batch.Memory{}, epoch),
		"given up":                  run(followed(deadline(time.Hour), latched, ttl(0)), batch.Memory{}, epoch.Add(time.Minute)),
	} {
		t.Run(name, func(t *testing.T) {
			if p.final.Action != batch.Rest || !batch.Finished(p.object) || len(p.told) != 1 || p.final.After > time.Second {
				t.Fatalf("%s, %s for %s; told %+v", p.final.Action, p.reason(), p.final.After, p.told)
			}
			end := p.again()
			if end.did() != "" || end.final.Action != batch.Delete || !cmp.Equal(end.final.Status, p.object.Status) {
				t.Fatalf("did %q, then %s", end.did(), end.final.Action)
			}
			if len(end.told) != 1 || end.told[0].Warning || end.told[0].Reason != v1alpha1.ReasonTTLExpired || !strings.Contains(end.told[0].Message, "0s after") {
				t.Errorf("told %+v", end.told)
			}
		})
	}
}

func TestTheTimeToLiveIsNotStretched(t *testing.T) {
	p := ended(ttl(time.Hour))
	if p.final.After != time.Hour || p.final.NotBefore != time.Hour || p.final.By != time.Hour {
		t.Fatalf("looks again after %s, not before %s, by %s", p.final.After, p.final.NotBefore, p.final.By)
	}
	early := run(p.object, p.memory, epoch.Add(time.Hour-time.Second))
	if early.final.Action != batch.Rest || early.final.By != time.Second || len(early.told) != 0 {
		t.Errorf("a second early: %s, by %s", early.final.Action, early.final.By)
	}
	if p = p.again(); p.final.Action != batch.Delete || !strings.Contains(p.told[0].Message, "1h0m0s after") {
		t.Errorf("%s; told %+v", p.final.Action, p.told)
	}
	if p = ended(ttl(time.Hour), deadline(time.Hour+time.Minute)); p.final.By != time.Hour {
		t.Errorf("with a deadline that came to nothing: by %s", p.final.By)
	}
}

func TestTheTimeToLiveCanBeEditedAfterTheEnd(t *testing.T) {
	now := epoch.Add(10 * time.Minute)
	for name, test := range map[string]struct {
		edit   change
		action batch.Action
		by     time.Duration
	}{
		"shortened, and over": {ttl(time.Minute), batch.Delete, 0},
		"shortened":           {ttl(15 * time.Minute), batch.Rest, 5 * time.Minute},
		"lengthened":          {ttl(24 * time.Hour), batch.Rest, 24*time.Hour - 10*time.Minute},
		"unset":               {func(b *object) { b.Spec.TTLSecondsAfterFinished = nil }, batch.Rest, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := ended(ttl(time.Hour))
			p = run(withChange(p.object, test.edit, edited), p.memory, now)
			if p.did() != "" || p.final.Action != test.action || p.final.By != test.by || p.final.After != test.by {
				t.Errorf("did %q, then %s by %s", p.did(), p.final.Action, p.final.By)
			}
		})
	}
}

func TestOnlyWhatIsOverExpires(t *testing.T) {
	for name, b := range map[string]*object{
		"new":                  fresh(ttl(0)),
		"in progress":          followed(ttl(0)),
		"suspended":            followed(ttl(0), suspends),
		"rejected":             fresh(ttl(0), func(b *object) { b.Spec.FileIDs = nil }),
		"gone":                 run(followed(ttl(0)), batch.Memory{NotFound: 5}, epoch, fails(upstream.NotFound)).object,
		"deleted, others hold": withChange(ended(ttl(0)).object, deletedAt(epoch), func(b *object) { b.Finalizers = []string{"example.com/other"} }),
		"deleted":              withChange(ended(ttl(0)).object, deletedAt(epoch)),
	} {
		if p := run(b, batch.Memory{}, epoch.Add(time.Hour)); p.final.Action == batch.Delete {
			t.Errorf("%s: deleted; told %+v", name, p.told)
		}
	}
}
