// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// Observed is what one reconciliation knows. It grows with each action.
type Observed struct {
	// State is what earlier reconciliations remembered.
	State State
	// Gone is true if this process has completed the deletion of the object: the cache may still show
	// it.
	Gone bool
	// StartedAt is when this reconciliation started.
	StartedAt time.Time
	// Jitter is the share by which waits are lengthened, such as -0.2 to 0.2, so that objects
	// created together do not stay in step.
	Jitter float64

	// Actions are the actions of this reconciliation so far, in order.
	Actions []Action
	// Err is the error of the last action; nil if it succeeded.
	Err *upstream.Error
	// Admission is Admitted unless the last action's call has to wait, and BackedOffUntil is when a
	// back-off ends.
	Admission      Admission
	BackedOffUntil time.Time
	// Batch is the batch as the API returned it last; nil if it did not.
	Batch *upstream.Batch
	// Listed is the result of CountFiles; nil if there is none.
	Listed *upstream.FileCounts
	// CredentialsChangedAt is when the Secret of the last call got its content, as far as is known.
	CredentialsChangedAt time.Time
	// FailedFiles is the result of ListFailedFiles.
	FailedFiles []upstream.FailedFile
	// Attached is true if VerifyCreate found files that were attached since the create began.
	Attached bool
	// StoreExists is the result of ReadStore.
	StoreExists bool
	// Detached is the result of Detach.
	Detached Detached
}

// Admission is flow control's response to a call.
type Admission int

const (
	// Admitted means that the call was made.
	Admitted Admission = iota
	// Saturated means that the call waits for a seat.
	Saturated
	// RateLimited means that the call waits for the rate limits.
	RateLimited
	// BackedOff means that the call waits because the API asked to slow down.
	BackedOff
)

// Result is the outcome of one action. Fields that do not apply to the action are zero.
type Result struct {
	// Err is the API's error. Errors of the Kubernetes API are not part of a Result: they end the
	// reconciliation.
	Err            *upstream.Error
	Admission      Admission
	BackedOffUntil time.Time
	Batch          *upstream.Batch
	Listed         *upstream.FileCounts
	FailedFiles    []upstream.FailedFile
	Attached       bool
	StoreExists    bool
	// CredentialsChangedAt is when the Secret of the call got its content, as far as is known.
	CredentialsChangedAt time.Time
	Detached             Detached
	// CancelAccepted is the ID of the batch whose cancel the API accepted, and At when the API answered a
	// cancel.
	CancelAccepted string
	At             time.Time
}

// Detached is the progress of a Detach.
type Detached struct {
	// Count is how many files are detached, Remaining how many are not, and Spared how many must not be,
	// because other objects attach them too, of the whole batch.
	Count, Remaining, Spared int
	// At is when this action detached the last file; zero if it detached none.
	At time.Time
	// Left names some of the remaining files.
	Left string
	// Listed is true if the files are known, so that the next Detach need not list them.
	Listed bool
}

// State is what the process remembers of an object between two reconciliations. It can be lost at
// any time, at the cost of an early poll or a repeated cancel.
type State struct {
	Backoff
	Unsaved
	DetachProgress
	// CancelSentAt is when the API answered the last cancel.
	CancelSentAt time.Time
}

// Backoff is when and how often calls are made.
type Backoff struct {
	// NextCall is when the next call to the API is due. Zero means now.
	NextCall time.Time
	// PollInterval is the interval between the last two polls.
	PollInterval time.Duration
	// Failed is the action that failed last, and Failures how often it did in a row.
	Failed   Action
	Failures int
	// FailingSince is when the first call failed after the last success; zero if it succeeded.
	FailingSince time.Time
	// NotFound is how often in a row the API did not know the batch.
	NotFound int
	// OtherObjects is how often in a row the API returned another object for the batch.
	OtherObjects int
	// UnsettledSince is since when the API has reported that a completed batch has files in progress,
	// with the same numbers.
	UnsettledSince time.Time
	// SpecChangedAt is when the first failure after a change of the spec was.
	SpecChangedAt time.Time
	// WaitingSince is when a call began to wait for admission; zero if none waits.
	WaitingSince time.Time
}

// Unsaved are facts that are not persisted yet.
type Unsaved struct {
	// CreatedID is the ID of the batch that was created, until it is recorded.
	CreatedID string
	// CancelledID is the ID of the batch whose cancel the API accepted, and CancelledAt when.
	CancelledID string
	CancelledAt time.Time
	// CreateUntracked is true if the last create returned a batch that cannot be tracked: without a
	// usable ID, or of another vector store.
	CreateUntracked bool
}

// DetachProgress is the progress of detaching an object's files.
type DetachProgress struct {
	// Located is true if the API knows the batch or its store.
	Located bool
	// BatchGone is true if the API knows the store, but not the batch.
	BatchGone bool
	// Listed is true if this process knows which files are left.
	Listed bool
	// DetachedAt is when the last file was detached.
	DetachedAt time.Time
}

// Record adds the result of an action.
func (o *Observed) Record(action Action, r Result) {
	o.recordLocation(action, r)
	o.Actions = append(slices.Clip(o.Actions), action)
	o.Err, o.Admission, o.BackedOffUntil = r.Err, r.Admission, r.BackedOffUntil
	if r.Admission != Admitted {
		return
	}
	if action.CallsAPI() {
		o.State.WaitingSince = time.Time{}
	}
	if r.CredentialsChangedAt.After(o.CredentialsChangedAt) {
		o.CredentialsChangedAt = r.CredentialsChangedAt
	}
	o.recordAnswer(action, r)
	if r.Batch != nil {
		o.Batch = r.Batch
		if action == Create {
			o.State.CreatedID = r.Batch.ID
		}
	}
	if r.CancelAccepted != "" {
		o.State.CancelledID, o.State.CancelledAt = r.CancelAccepted, r.At
	}
	if action == Cancel && (r.Err == nil || refused(r.Err)) {
		o.State.CancelSentAt = r.At
	}
	if r.FailedFiles != nil {
		o.FailedFiles = r.FailedFiles
	}
	o.Attached = o.Attached || r.Attached
	if r.Detached != (Detached{}) {
		o.Detached = r.Detached
	}
	if action == Detach {
		o.State.Listed = r.Detached.Listed
	}
	if !r.Detached.At.IsZero() {
		o.State.DetachedAt = r.Detached.At
	}
}

// recordLocation records whether the API knows the batch or its store.
func (o *Observed) recordLocation(action Action, r Result) {
	if r.Err != nil || r.Admission != Admitted {
		return
	}
	switch {
	case action == Cancel || action == Poll:
		o.State.Located = true
	case action == ReadStore && r.StoreExists:
		o.State.Located = true
		o.State.BatchGone = o.lastAction() == Poll && o.Err != nil && o.Err.Kind == upstream.NotFound
	}
	o.StoreExists = o.StoreExists || r.StoreExists
}

// refused reports whether the API answered a call with a refusal that it would repeat.
func refused(err *upstream.Error) bool {
	return err.Kind == upstream.Rejected || err.Kind == upstream.NotFound
}

// startedAt returns when the reconciliation started; now if that is not known.
func (o *Observed) startedAt(now time.Time) time.Time {
	if o.StartedAt.IsZero() {
		return now
	}
	return o.StartedAt
}

// recordAnswer records whether the API returned the batch.
func (o *Observed) recordAnswer(action Action, r Result) {
	other := r.Err != nil && r.Err.OtherObject
	switch {
	case action == Create:
		o.State.CreateUntracked = other
	case action == Poll && other:
		o.State.OtherObjects++
	case action == Poll && r.Err == nil:
		o.State.OtherObjects = 0
	case action == CountFiles && r.Err == nil:
		o.Listed = r.Listed
	}
}

// performed reports whether this reconciliation has taken an action. No action is taken twice.
func (o *Observed) performed(action Action) bool { return slices.Contains(o.Actions, action) }

// lastAction returns the action whose error Err is.
func (o *Observed) lastAction() Action {
	if len(o.Actions) == 0 {
		return Requeue
	}
	return o.Actions[len(o.Actions)-1]
}
