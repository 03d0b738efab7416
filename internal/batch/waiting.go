// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

const (
	// askAgain is how long an object waits that is not told of its turn.
	askAgain = time.Minute
	// waitingIsShown is how long a create waits for limits before the status says so. Most wait for
	// less, and every write of a status costs something.
	waitingIsShown = 2 * time.Second
)

// waitingForTurn ends a pass whose call has to wait for its turn. All stays as it is, but for a
// create that has waited for a while.
func (v view) waitingForTurn() Decision {
	memory := v.seen.Memory
	if memory.WaitingSince.IsZero() {
		memory.WaitingSince = v.now
	}
	d := Decision{Action: Rest, Status: v.b.Status, Memory: memory, After: askAgain}
	_, intent := CreateStartedAt(v.b, v.now)
	switch early := waitingIsShown - v.now.Sub(memory.WaitingSince); {
	case !v.b.DeletionTimestamp.IsZero():
		return v.beforeGivingUp(d)
	case v.seen.last() != Create || intent || !v.seen.Paced && !v.seen.Held:
		return v.beforeDeadline(d)
	case early > 0:
		d.After = early
		return d
	}
	shown := v.describe(v.waitingState())
	shown.Memory, shown.After = memory, askAgain
	return shown
}

// waitingState has no words of the upstream's in it: they may differ from answer to answer, and
// every object that waits would be written anew.
func (v view) waitingState() state {
	if v.seen.Held {
		return state{v1alpha1.ReasonRateLimited, "the upstream asked all who use these credentials to slow down, or their quota is used up; the batch is created after that"}
	}
	return state{v1alpha1.ReasonWaiting, "the batch is created as soon as the upstream's limits allow it; all objects with the same credentials share them"}
}
