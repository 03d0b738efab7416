// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// waitsFor is a pass whose last action has to wait for its turn.
func waitsFor(memory batch.Memory, actions ...batch.Action) batch.Observation {
	return batch.Observation{Memory: memory, Took: actions, Waiting: true}
}

func TestACallThatWaitsForItsTurnChangesNothing(t *testing.T) {
	tests := map[string]struct {
		object *object
		took   []batch.Action
	}{
		"look":                  {followed(), []batch.Action{batch.Retrieve}},
		"look after an edit":    {followed(edited), []batch.Action{batch.Retrieve}},
		"first look":            {fresh(adopted), []batch.Action{batch.Retrieve}},
		"probe":                 {fresh(intendedAt(epoch)), []batch.Action{batch.Probe}},
		"create once more":      {fresh(intendedAt(epoch)), []batch.Action{batch.Probe, batch.Create}},
		"create, a short while": {fresh(), []batch.Action{batch.Create}},
		"create, for others":    {fresh(), []batch.Action{batch.Create}},
		"detach":                {followed(deletedAt(epoch), policy("DetachFiles")), []batch.Action{batch.Detach}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			memory := batch.Memory{Interval: time.Minute, Failed: batch.Create, Failures: 2}
			seen := waitsFor(memory, test.took...)
			seen.Paced = name != "create, for others"
			d := rules.Decide(test.object, seen, epoch)
			if diff := cmp.Diff(test.object.Status, d.Status); diff != "" || len(d.Events) != 0 || d.Action != batch.Rest {
				t.Errorf("%s, %v (-stored +decided):\n%s", d.Action, d.Events, diff)
			}
			memory.WaitingSince = epoch
			if diff := cmp.Diff(memory, d.Memory); diff != "" || d.Reset {
				t.Errorf("the waiting time is reset: %t; memory (-want +got):\n%s", d.Reset, diff)
			}
			if d.After <= 0 || d.After > time.Minute {
				t.Errorf("asks again after %s", d.After)
			}
		})
	}
}

func TestACreateThatWaitsForLongSaysSo(t *testing.T) {
	for reason, held := range map[string]bool{v1alpha1.ReasonWaiting: false, v1alpha1.ReasonRateLimited: true} {
		t.Run(reason, func(t *testing.T) {
			b := fresh()
			seen := waitsFor(batch.Memory{}, batch.Create)
			seen.Held, seen.Paced = held, !held
			d := rules.Decide(b, seen, epoch)
			seen.Memory = d.Memory
			later := epoch.Add(d.After)
			d = rules.Decide(b, seen, later)
			ready := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionReady)
			if ready == nil || ready.Reason != reason || ready.Status != "Unknown" {
				t.Fatalf("after %s, Ready is %+v", later.Sub(epoch), ready)
			}
			if len(d.Events) != 1 || d.Events[0].Reason != reason {
				t.Errorf("the Events are %+v", d.Events)
			}
			// It is said once, however long it takes.
			b.Status = d.Status
			d = rules.Decide(b, seen, later.Add(time.Hour))
			if diff := cmp.Diff(b.Status, d.Status); diff != "" || len(d.Events) != 0 {
				t.Errorf("said again: %+v (-stored +decided):\n%s", d.Events, diff)
			}
		})
	}
}

func TestNoDeadlineIsMissedWhileACallWaitsForItsTurn(t *testing.T) {
	d := rules.Decide(followed(deadline(time.Hour+10*time.Second)), waitsFor(batch.Memory{}, batch.Retrieve), epoch)
	if d.By != 10*time.Second {
		t.Errorf("the next pass comes by %s, and the deadline is in 10s", d.By)
	}
	d = rules.Decide(followed(deletedAt(epoch), policy("DetachFiles")), waitsFor(batch.Memory{}, batch.Detach), epoch)
	if d.By != rules.FinalizeTimeout {
		t.Errorf("the next pass comes by %s, and the deletion is given up after %s", d.By, rules.FinalizeTimeout)
	}
}
