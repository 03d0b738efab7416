// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import "github.com/vector-store-operator/vector-store-operator/internal/batch"

// Action is a step of a reconciliation.
type Action int

const (
	// Requeue persists the status and ends the reconciliation.
	Requeue Action = iota
	// AddFinalizer adds the finalizer.
	AddFinalizer
	// RecordBatchID records the batch's ID in its annotation.
	RecordBatchID
	// ClearCreatePending removes the annotation of a create that is known not to have happened.
	ClearCreatePending
	// Create marks a create as pending, creates the batch, and records its ID.
	Create
	// VerifyCreate finds out whether a create whose response was lost took effect.
	VerifyCreate
	// Poll reads the batch.
	Poll
	// Cancel requests the cancellation of the batch.
	Cancel
	// ListFailedFiles reads which files failed, and why.
	ListFailedFiles
	// CountFiles counts the batch's files by their status, from the list of them.
	CountFiles
	// ReadStore finds out whether the API knows the vector store.
	ReadStore
	// Detach detaches some of the batch's files from the vector store.
	Detach
	// Delete deletes the object because its time to live has expired.
	Delete
	// RemoveFinalizer removes the finalizer: it completes a deletion, or prepares for one that has
	// nothing to do.
	RemoveFinalizer
)

// CallsAPI reports whether an action calls the OpenAI API.
func (a Action) CallsAPI() bool {
	switch a {
	case Create, VerifyCreate, Poll, Cancel, ListFailedFiles, CountFiles, ReadStore, Detach:
		return true
	case Requeue, AddFinalizer, RecordBatchID, ClearCreatePending, Delete, RemoveFinalizer:
	}
	return false
}

// ReadsBatch reports whether an action only reads from the OpenAI API, so that it can be cut off
// at any time.
func (a Action) ReadsBatch() bool {
	return a == VerifyCreate || a == Poll || a == ListFailedFiles || a == CountFiles || a == ReadStore
}

// Terminal reports whether an action ends the reconciliation.
func (a Action) Terminal() bool { return a == Requeue || a == RemoveFinalizer || a == Delete }

// String returns the name of the action as logs and metrics show it.
func (a Action) String() string {
	switch a {
	case Requeue:
		return "Requeue"
	case AddFinalizer:
		return "AddFinalizer"
	case RecordBatchID:
		return "RecordBatchID"
	case ClearCreatePending:
		return "ClearCreatePending"
	case Create:
		return "Create"
	case VerifyCreate:
		return "VerifyCreate"
	case Poll:
		return "Poll"
	case Cancel:
		return "Cancel"
	case ListFailedFiles:
		return "ListFailedFiles"
	case CountFiles:
		return "CountFiles"
	case ReadStore:
		return "ReadStore"
	case Detach:
		return "Detach"
	case Delete:
		return "Delete"
	case RemoveFinalizer:
		return "RemoveFinalizer"
	}
	return "Action(?)"
}

// verifiedFiles is how many of a batch's files VerifyCreate reads. One would do, but it may have
// been removed since.
const verifiedFiles = 3

// cost returns what an action's call takes from the rate limits. Detaching the files of a deleted
// object is no urgent call: there can be thousands.
func (s scope) cost(action Action) Cost {
	switch action {
	case Create:
		return Cost{Requests: 1, VectorStoreID: s.b.Spec.VectorStoreID}
	case VerifyCreate:
		files, _ := batch.Files(s.b) // Decide has refused an invalid spec
		return Cost{Requests: min(verifiedFiles, max(1, files)), Urgent: batch.Urgent(s.b)}
	case Cancel:
		return Cost{Requests: 1, Urgent: true}
	case Detach:
		return Cost{Requests: s.requestsToDetach()}
	case CountFiles:
		files := s.files(countsOf(s.b.Status))
		return Cost{Requests: int(max(1, (files+filesPerPage-1)/filesPerPage)), Urgent: batch.Urgent(s.b)}
	case Poll, ListFailedFiles, ReadStore:
		return Cost{Requests: 1, Urgent: batch.Urgent(s.b)}
	case Requeue, AddFinalizer, RecordBatchID, ClearCreatePending, Delete, RemoveFinalizer:
	}
	return Cost{}
}
