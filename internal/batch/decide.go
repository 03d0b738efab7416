// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package batch holds the rules: what to do next for a VectorStoreFileBatch, and what its
// status says. They are pure functions of the object, of what was observed, and of the time;
// there is no client, no context, no logger and no clock in here.
package batch

import (
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// Rules are the timings that decisions depend on.
type Rules struct {
	// PollMin and PollMax bound the time between two looks at a batch in progress.
	PollMin, PollMax time.Duration
	// RequestTimeout bounds one call to the upstream; no call lasts longer.
	RequestTimeout time.Duration
	// NotFoundGrace is how long after its creation a batch may seem not to exist.
	NotFoundGrace time.Duration
	// FinalizeTimeout is how long a deletion is retried, without getting on, before the object is
	// let go. Files that are taken out of the store are progress.
	FinalizeTimeout time.Duration
}

// DefaultRules are the timings that the manager starts with.
func DefaultRules() Rules {
	return Rules{
		PollMin:         2 * time.Second,
		PollMax:         time.Minute,
		RequestTimeout:  30 * time.Second,
		NotFoundGrace:   30 * time.Second,
		FinalizeTimeout: 10 * time.Minute,
	}
}

// Action is the next thing to do for an object.
type Action int

const (
	// Rest ends the pass: store the status, and look again after Decision.After.
	Rest Action = iota
	// Hold adds the finalizer.
	Hold
	// KeepID writes the batch's ID from the status back into the annotation.
	KeepID
	// ForgetIntent removes the annotation of a create that is known not to have happened.
	ForgetIntent
	// Create stores the intent, creates the batch and keeps its ID.
	Create
	// Probe looks whether a create whose answer was lost took effect.
	Probe
	// Retrieve reads the batch.
	Retrieve
	// Cancel asks the upstream to cancel the batch.
	Cancel
	// ListFailedFiles reads which files failed, and why.
	ListFailedFiles
	// Detach takes some of the batch's files out of the vector store.
	Detach
	// Delete deletes the object, as its time to live is over.
	Delete
	// Release removes the finalizer, which lets a deleted object go.
	Release
)

// Calls reports whether an action calls the upstream.
func (a Action) Calls() bool {
	switch a {
	case Create, Probe, Retrieve, Cancel, ListFailedFiles, Detach:
		return true
	case Rest, Hold, KeepID, ForgetIntent, Delete, Release:
	}
	return false
}

// String names the action as logs do.
func (a Action) String() string {
	switch a {
	case Rest:
		return "Rest"
	case Hold:
		return "Hold"
	case KeepID:
		return "KeepID"
	case ForgetIntent:
		return "ForgetIntent"
	case Create:
		return "Create"
	case Probe:
		return "Probe"
	case Retrieve:
		return "Retrieve"
	case Cancel:
		return "Cancel"
	case ListFailedFiles:
		return "ListFailedFiles"
	case Detach:
		return "Detach"
	case Delete:
		return "Delete"
	case Release:
		return "Release"
	}
	return "Action(?)"
}

// Observation is what a pass has seen so far. It grows with each action that the pass takes.
type Observation struct {
	// Memory is what earlier passes left.
	Memory Memory
	// Took are the actions that this pass has taken, in order.
	Took []Action
	// Err is what came of the last of them; nil where it succeeded.
	Err *upstream.Error
	// Waiting tells that the last action was not taken, since its call has to wait for its turn;
	// Paced, that the upstream's limits are what it waits for; and Held, that all calls on the
	// connection wait, as the upstream asked to slow down.
	Waiting, Paced, Held bool
	// Batch is the newest answer about the batch in this pass; nil where there was none.
	Batch *upstream.Batch
	// FailedFiles are what ListFailedFiles gave.
	FailedFiles []upstream.FailedFile
	// Attached tells whether Probe found files attached since the create was started.
	Attached bool
	// Detached is how many files are out of the store by now, and Left how many are not.
	Detached, Left int
}

// took reports whether this pass has taken an action already: none is taken twice.
func (o Observation) took(action Action) bool {
	for _, taken := range o.Took {
		if taken == action {
			return true
		}
	}
	return false
}

// last is the action that Err speaks of.
func (o Observation) last() Action {
	if len(o.Took) == 0 {
		return Rest
	}
	return o.Took[len(o.Took)-1]
}

// Memory is what the process remembers of an object between two passes. It can be lost at any
// time, and then costs no more than an early look at the batch, or a cancel that is repeated.
type Memory struct {
	// NextCall is when the next call to the upstream is due. Zero means now.
	NextCall time.Time
	// Interval is the time between the last two looks at the batch.
	Interval time.Duration
	// Failed is the action that failed last, and Failures how often it did in a row.
	Failed   Action
	Failures int
	// WaitingSince is since when a call waits for its turn; zero where none does.
	WaitingSince time.Time
	// NotFound is how often in a row the upstream did not know the batch.
	NotFound int
	// CreatedID is the ID of the batch that was created, until it is stored.
	CreatedID string
	// CancelledID is the ID of the batch for which the upstream took a cancel, and CancelledAt
	// when, until that is stored.
	CancelledID string
	CancelledAt time.Time
	// Released tells that a deleted object was let go: what is still seen of it is out of date.
	Released bool
	// DetachedUpTo is the last file, in the order of their IDs, that is out of the store, and
	// DetachedAt when it was taken out.
	DetachedUpTo string
	DetachedAt   time.Time
	// CreateAnswered tells that a create of unknown outcome was answered, if only with an
	// error: no request of it can still be under way.
	CreateAnswered bool
}

// Ends reports whether an action ends the pass.
func (a Action) Ends() bool { return a == Rest || a == Release || a == Delete }

// Decision is what follows from an observation.
type Decision struct {
	// Action is what to do next. Where it ends the pass, the rest of the Decision holds.
	Action Action
	// Status is the status that the object should have.
	Status v1alpha1.VectorStoreFileBatchStatus
	// Events are to be told once the status is stored.
	Events []Event
	// After is when to look again; zero means that there is no need to. It may be stretched or
	// shortened a little, but not below NotBefore.
	After     time.Duration
	NotBefore time.Duration
	// By is when the pass that follows must come at the latest; zero means that any time will
	// do. It goes before NotBefore, but lets no call come before its time.
	By time.Duration
	// Memory is what to remember, but for NextCall, which follows from After where Reset is
	// set, and stays as it is otherwise.
	Memory Memory
	Reset  bool
}

// Event is something to tell the user about the object.
type Event struct {
	Warning bool
	Reason  string
	Message string
}

// Decide says what to do next for an object. It is asked again after each action, with what
// came of it, until it answers with an action that ends the pass.
func (r Rules) Decide(b *v1alpha1.VectorStoreFileBatch, seen Observation, now time.Time) Decision {
	v := view{Rules: r, b: b, seen: seen, now: now}
	switch {
	case seen.Waiting:
		return v.waitingForTurn()
	case !b.DeletionTimestamp.IsZero():
		return v.beforeGivingUp(v.deleting())
	case Finished(b):
		return v.finished()
	case ID(b) == "":
		return v.beginning()
	default:
		return v.beforeDeadline(v.following())
	}
}

// view is one question to the rules: everything that the answer depends on.
type view struct {
	Rules
	b    *v1alpha1.VectorStoreFileBatch
	seen Observation
	now  time.Time
}

// cancelTaken reports whether the upstream took a cancel of the batch that the status may not
// tell of yet.
func (v view) cancelTaken() bool {
	id := ID(v.b)
	return id != "" && v.seen.Memory.CancelledID == id
}

// due reports whether an action may be taken now. A changed spec is always looked at. A cancel
// waits for nothing but its own failures, so that neither polling nor its errors delay it.
func (v view) due(action Action) bool {
	memory := v.seen.Memory
	if !v.now.Before(memory.NextCall) || v.b.Generation != v.b.Status.ObservedGeneration || v.lastTry() {
		return true
	}
	return action == Cancel && (memory.Failed != Cancel || memory.Failures == 0)
}

// do asks for an action before anything else is decided.
func (v view) do(action Action) Decision {
	return Decision{Action: action, Memory: v.seen.Memory}
}

// rest ends the pass in a state, to look again after a time.
func (v view) rest(s state, memory Memory, after, notBefore time.Duration) Decision {
	d := v.describe(s)
	d.Memory, d.After, d.NotBefore, d.Reset = memory, max(after, notBefore), notBefore, true
	return d
}

// wait ends a pass that had nothing to do yet: the state stays, and so does the waiting time.
func (v view) wait() Decision {
	d := v.describe(v.currentState())
	d.Memory = v.seen.Memory
	d.After = v.seen.Memory.NextCall.Sub(v.now)
	d.NotBefore = d.After
	return d
}
