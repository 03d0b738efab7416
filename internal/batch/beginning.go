// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// beginning decides for an object without a batch: create it, once.
func (v view) beginning() Decision {
	if v.seen.last() == Create && v.seen.Err != nil {
		return v.createFailed()
	}
	if v.seen.Memory.CreatedID != "" {
		return v.do(KeepID)
	}
	if Suspended(v.b) && !CancelWanted(v.b) {
		return v.suspended()
	}
	_, invalid := Request(v.b)
	if startedAt, intent := CreateStartedAt(v.b, v.now); intent && invalid == nil {
		return v.recovering(startedAt)
	}
	if CancelWanted(v.b) {
		return v.cancelledUnborn()
	}
	if invalid != nil {
		return v.rest(state{v1alpha1.ReasonRejected, invalid.Error()}, Memory{}, 0, 0)
	}
	if !v.due(Create) {
		return v.wait()
	}
	return v.do(Create)
}

// createFailed decides after a create that gave no batch. The intent still stands where the
// outcome is unknown.
func (v view) createFailed() Decision {
	err := v.seen.Err
	if err.Kind != upstream.UnknownOutcome {
		return v.failedWith(Create, err)
	}
	memory := v.failureMemory(Create)
	memory.CreateAnswered = err.StatusCode != 0
	s := state{v1alpha1.ReasonCreateOutcomeUnknown, "the answer to the request that creates the batch was lost, so it may or may not have been created: " + err.Error()}
	return v.rest(s, memory, v.settling(memory), err.RetryAfter)
}

// recovering decides for an object whose create was started, and whose outcome nobody knows:
// wait until that request must have ended, look whether it took effect, and create again. A
// second batch does no harm to the files, as a file is attached once however often it is
// attached; and it gives back a handle on them.
func (v view) recovering(startedAt time.Time) Decision {
	if wait := v.unsettled(startedAt); wait > 0 {
		if !v.due(Probe) {
			return v.wait()
		}
		s := state{v1alpha1.ReasonCreateOutcomeUnknown, "the answer to the request that creates the batch was lost; waiting until it must have ended"}
		return v.rest(s, v.seen.Memory, wait, wait)
	}
	if !v.seen.took(Probe) {
		if !v.due(Probe) {
			return v.wait()
		}
		return v.do(Probe)
	}
	if v.seen.last() == Probe && v.seen.Err != nil && v.seen.Err.Kind != upstream.NotFound {
		return v.failedWith(Probe, v.seen.Err)
	}
	if CancelWanted(v.b) && !v.seen.Attached {
		if !v.seen.took(ForgetIntent) {
			return v.do(ForgetIntent)
		}
		return v.cancelledUnborn()
	}
	d := v.do(Create)
	d.Events = []Event{v.recovered()}
	return d
}

// recovered tells that a batch is created again, and what is known of the first.
func (v view) recovered() Event {
	message := "none of its files were attached since, so the earlier request did not take effect; creating the batch again"
	if v.seen.Attached {
		message = "its files were attached since, so the upstream has a batch whose ID is lost; creating another one, which attaches no file twice"
	}
	return Event{Warning: true, Reason: v1alpha1.ReasonCreateOutcomeUnknown, Message: message}
}

// unsettled is how long a create that was started may still be under way.
func (v view) unsettled(startedAt time.Time) time.Duration {
	if v.seen.Memory.CreateAnswered {
		return v.seen.Memory.NextCall.Sub(v.now)
	}
	return startedAt.Add(v.RequestTimeout + ClockSkew).Sub(v.now)
}

// settling is how long to wait after a create whose outcome is unknown.
func (v view) settling(memory Memory) time.Duration {
	wait := backoff(v.PollMin, maxBackoff, memory.Failures)
	if memory.CreateAnswered {
		return wait
	}
	startedAt, _ := CreateStartedAt(v.b, v.now)
	return max(wait, startedAt.Add(v.RequestTimeout+ClockSkew).Sub(v.now))
}

// cancelledUnborn finishes an object that was cancelled before anything was created.
func (v view) cancelledUnborn() Decision {
	v.b = v.b.DeepCopy()
	v.b.Status.Status = string(upstream.Cancelled)
	return v.end(v.cancelled(v.b.Status, v1alpha1.FileCounts{}))
}
