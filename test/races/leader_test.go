// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package races_test

import (
	"slices"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

const leads = "Successfully acquired lease"

// A leader that is frozen at a step of a create, for longer than its lease, believes to be the
// leader when it thaws: its next step is one behind the new leader's back.
func TestFrozenLeader(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		op       stage.Op
		answered bool
		// batches is how many the upstream has in the end, at most.
		batches int
		// refused says that the step comes to nothing when it is taken too late.
		refused bool
	}{
		"before the intent":                     {op: stage.Intent, batches: 1, refused: true},
		"between the intent and the POST":       {op: stage.Intent, answered: true, batches: 1},
		"before the POST takes effect":          {op: stage.Create, batches: 2},
		"between the POST's effect and answer":  {op: stage.Create, answered: true, batches: 2},
		"between the answer and the ID's write": {op: stage.Keep, batches: 2, refused: true},
		"between the ID's write and its answer": {op: stage.Keep, answered: true, batches: 1},
		"before the first write of the status":  {op: stage.Status, batches: 1, refused: true},
		"after the first write of the status":   {op: stage.Status, answered: true, batches: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := shared.NewTenant(t, emulator.Options{})
			gate := stage.NewGate(t)
			n.At(func(r stage.Request) int {
				if r.Op == test.op && (r.Status != 0) == test.answered && r.Manager != "new" {
					gate.Wait()
				}
				return 0
			})
			old := n.Start(t, "old", stage.Setup{Flags: n.Elected()})
			old.WaitLog(t, leads)
			next := n.Start(t, "new", stage.Setup{Flags: n.Elected()})
			n.MustCreate(t, n.Object("a", files("a")))

			gate.WaitReached(t)
			old.Freeze(t)
			next.WaitLog(t, leads)
			kept := n.WaitReason(t, "a", v1alpha1.ReasonCompleted).Status.BatchID
			gate.Open()
			old.Thaw(t)
			if code := old.WaitEnd(t); code == 0 {
				t.Error("the old leader ended with code 0, want a failure: its lease was lost")
			}

			wantID(t, n, "a", kept)
			if b := n.Read(t, "a"); stage.Reason(b) != v1alpha1.ReasonCompleted {
				t.Errorf("in the end it is %s", stage.Reason(b))
			}
			if batches := batchesOf(n, "a"); len(batches) > test.batches || !slices.Contains(batches, kept) {
				t.Errorf("the upstream has the batches %v, want %d at most, and %s among them", batches, test.batches, kept)
			}
			wantNoStaleWrites(t, n, test.op, test.refused)
		})
	}
}

// wantNoStaleWrites demands that the old leader changed nothing after the new one began.
func wantNoStaleWrites(t *testing.T, n *stage.Tenant, op stage.Op, refused bool) {
	t.Helper()
	overtaken := false
	for _, r := range n.SeenAll() {
		overtaken = overtaken || r.Manager == "new" && r.Object == "a"
		switch {
		case !overtaken || r.Manager != "old" || r.Object != "a" || r.Op == stage.Other || r.Refused():
		case r.Op == op && !refused:
		default:
			t.Errorf("the old leader wrote behind the new one's back: %s: HTTP %d: %s", r.Op, r.Status, r.Body)
		}
	}
}
