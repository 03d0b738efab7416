// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lifecycle decides what to do next for a VectorStoreFileBatch, and what its status
// reports. Decisions are pure functions of the object, of what was observed, and of the time: the
// package uses no client, context, logger, or clock.
package lifecycle

import (
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// Config holds the timings that decisions depend on.
type Config struct {
	// PollMin and PollMax bound the interval between two polls of a batch in progress.
	PollMin, PollMax time.Duration
	// RequestTimeout bounds one call to the API. No call lasts longer.
	RequestTimeout time.Duration
	// NotFoundGrace is how long after its creation a 404 for a batch is not believed, and how long
	// after a change of an object or its Secret a refusal that can be temporary is not final.
	NotFoundGrace time.Duration
	// FinalizeTimeout is how long a deletion is retried without progress before the finalizer is
	// removed anyway. Each file that is detached counts as progress.
	FinalizeTimeout time.Duration
}

// DefaultConfig returns the timings that the manager uses by default.
func DefaultConfig() Config {
	return Config{
		PollMin:         2 * time.Second,
		PollMax:         time.Minute,
		RequestTimeout:  30 * time.Second,
		NotFoundGrace:   30 * time.Second,
		FinalizeTimeout: 10 * time.Minute,
	}
}

// Decision is the next step for an object. The action decides which of the other fields count.
type Decision struct {
	Action Action

	// Recovery is what is known before a Create of an earlier one whose response was lost; nil if
	// there was none. The request is built from the whole object, whose files decisions do not need.
	Recovery *Recovery
	// Verify is the argument of VerifyCreate.
	Verify Verification
	// BatchID is the ID that RecordBatchID records.
	BatchID string
	// Detach is the argument of Detach.
	Detach DetachRange
	// Cost is what the action's API call takes from the rate limits.
	Cost Cost
	// Timeout bounds the action's API call if it is shorter than the request timeout; 0 if it is not.
	Timeout time.Duration

	// Status is the status that the object gets. It is set if the action is terminal.
	Status v1alpha1.VectorStoreFileBatchStatus
	// Events are recorded once the action has succeeded and the status is persisted.
	Events []Event
	// Throttled is true if the object keeps its position in the queue of the rate limits.
	Throttled bool
	// State is what the process remembers until the next reconciliation.
	State State
	// RequeueAfter is when the next reconciliation is due. Zero means that none is needed, and
	// that no State has to be remembered.
	RequeueAfter time.Duration
}

// Recovery is what a VerifyCreate found out about an earlier create request.
type Recovery struct {
	// Attached is true if the request attached files: then a batch exists whose ID is lost.
	Attached bool
	// Lost is how many batches in a row were created whose IDs are lost, including that one.
	Lost int
}

// Verification asks whether one of the first Files files of the object was attached to the vector
// store at Since or later.
type Verification struct {
	Files int
	Since time.Time
}

// DetachRange is what a Detach does: at most Limit requests. A process that does not know which files are
// left begins with those after the first Skip files, in the order of their IDs, and continues with these.
type DetachRange struct {
	Skip  int
	Limit int
}

// Cost is what an API call takes from the rate limits.
type Cost struct {
	// Requests is the number of requests, at least 1.
	Requests int
	// VectorStoreID is the store that a create counts against, and Files how many it attaches.
	VectorStoreID string
	Files         int
	// Urgent is true for the calls that a cancel or a deletion waits for.
	Urgent bool
}

// Event is a Kubernetes Event about the object.
type Event struct {
	Warning bool
	Reason  string
	Message string
}

// Decide returns the next step for an object. The caller performs it, records the result in
// observed, and calls Decide again, until the action is terminal.
func (c Config) Decide(b *v1alpha1.VectorStoreFileBatch, observed Observed, now time.Time) Decision {
	s := scope{Config: c, b: b, observed: observed, now: now}
	s.observed.Batch = s.reading()
	switch {
	case observed.Admission != Admitted && !s.mustEnd():
		return s.throttled()
	case observed.Gone:
		return s.unchanged()
	case s.finalizerUnneeded():
		return s.dropFinalizer()
	case !b.DeletionTimestamp.IsZero():
		return s.beforeFinalizeTimeout(s.delete())
	case batch.Finished(b):
		return s.finished()
	case batch.ID(b) == "":
		return s.inTime(s.create())
	default:
		return s.withCancelIrrevocable(s.inTime(s.poll()))
	}
}

// scope is everything that one decision depends on.
type scope struct {
	Config

	b        *v1alpha1.VectorStoreFileBatch
	observed Observed
	now      time.Time
	// statuses replace the row of the table of conditions, if they are set.
	statuses row
}

// as returns a scope whose conditions have other statuses than those of the table.
func (s scope) as(statuses row) scope {
	s.statuses = statuses
	return s
}

// due reports whether an action may be taken now. A changed spec and a requested reconciliation are
// handled at once. A cancel is delayed only by its own failures, not by polls or their errors.
func (s scope) due(action Action) bool {
	state := s.observed.State
	if !s.now.Before(state.NextCall) || s.edited() || s.finalAttempt() {
		return true
	}
	return action == Cancel && (state.Failed != Cancel || state.Failures == 0)
}

// act returns the decision to take an action before anything else is decided.
func (s scope) act(action Action) Decision {
	return Decision{Action: action, State: s.observed.State, Cost: s.cost(action), Timeout: s.timeout(action)}
}

// recordBatchID returns the decision to record the batch's ID in the annotation: that of a batch
// which was created but not recorded, or the one in the status.
func (s scope) recordBatchID() Decision {
	d := s.act(RecordBatchID)
	if d.BatchID = s.observed.State.CreatedID; d.BatchID == "" {
		d.BatchID = batch.ID(s.b)
	}
	return d
}

// requeue ends the reconciliation in a condition. The next call is due after a wait, which jitter
// changes, but never before notBefore.
func (s scope) requeue(c condition, state State, after, notBefore time.Duration) Decision {
	d := s.describe(c)
	d.State = state
	after = max(after, notBefore)
	d.RequeueAfter = max(time.Duration(float64(after)*(1+s.observed.Jitter)), notBefore)
	d.State.NextCall = s.now.Add(d.RequeueAfter)
	return d
}

// unchanged ends a reconciliation that has nothing to do.
func (s scope) unchanged() Decision { return Decision{Action: Requeue, Status: s.b.Status} }

// waitUntilDue ends a reconciliation that came before the next call is due.
func (s scope) waitUntilDue() Decision {
	d := s.unjudged().describe(s.currentCondition())
	d.State = s.observed.State
	d.RequeueAfter = d.State.NextCall.Sub(s.now)
	return d
}
