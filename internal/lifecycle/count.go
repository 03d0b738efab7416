// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// otherObjects is how often in a row the API returns another object for the batch before the list of the
// batch's files is read instead.
const otherObjects = 2

// settleTimeout is how long a batch that is completed and has files in progress is polled, as long as
// its numbers do not change, before it is judged.
const settleTimeout = 10 * time.Minute

// otherObject decides after the API returned another object for the batch. OpenAI has returned the
// vector store, on every call for days, while the list of the batch's files worked.
func (s scope) otherObject() Decision {
	if s.observed.State.OtherObjects >= otherObjects {
		return s.act(CountFiles)
	}
	state := s.withFailure(s.failedAction())
	if s.observed.performed(Cancel) {
		return s.requeue(s.undisturbed(), state, s.PollMin, 0)
	}
	return s.unjudged().requeue(s.currentCondition(), state, s.PollMin, 0)
}

// countFailed decides after the batch's files could not be counted. If only the counts of a finished batch
// were to be corrected, those that the API returned remain.
func (s scope) countFailed(err *upstream.Error) Decision {
	read := s.observed.Batch
	switch {
	case read == nil && err.Kind == upstream.NotFound:
		return s.notFound()
	case read != nil && (upstream.IsRefused(err) || s.withFailure(CountFiles).Failures >= countAttempts):
		return s.settle(*read)
	default:
		return s.failed(s.failedAction(), err)
	}
}

// countsWanted reports whether the batch is finished, though its counts have files in progress. Some
// servers leave them behind.
func (s scope) countsWanted() bool {
	answer := s.observed.Batch
	return answer != nil && s.observed.Listed == nil && answer.Status.Terminal() && answer.FileCounts.InProgress > 0 &&
		!s.observed.performed(CountFiles) && !s.unsettled(*answer)
}

// reading returns the batch as this reconciliation has read it: as the API returned it, with the counts
// of its files if these were counted, or derived from them if the API returned another object.
func (s scope) reading() *upstream.Batch {
	answer, listed := s.observed.Batch, s.observed.Listed
	if listed == nil {
		return answer
	}
	var read upstream.Batch
	if answer == nil {
		read = s.derived(*listed)
	} else {
		read = *answer
		read.FileCounts = corrected(*answer, *listed)
	}
	return &read
}

// corrected returns the counts of a finished batch whose files were counted. Some servers list only the
// files that they attached. A cancelled batch attaches no others.
func corrected(answer upstream.Batch, listed upstream.FileCounts) upstream.FileCounts {
	counts := answer.FileCounts
	counts.Completed = max(counts.Completed, listed.Completed)
	counts.Failed = max(counts.Failed, listed.Failed)
	counts.Cancelled = max(counts.Cancelled, listed.Cancelled)
	rest := max(counts.Total-counts.Completed-counts.Failed-counts.Cancelled, 0)
	counts.InProgress = rest
	if answer.Status == upstream.Cancelled {
		counts.InProgress = min(rest, listed.InProgress)
		counts.Cancelled += rest - counts.InProgress
	}
	counts.Total = counts.InProgress + counts.Completed + counts.Failed + counts.Cancelled
	return counts
}

// derived returns the batch that a list of its files describes. Files that are not listed are in
// progress, unless nothing has changed for a long time.
func (s scope) derived(listed upstream.FileCounts) upstream.Batch {
	counts, unlisted := listed, max(int64(s.files(countsOf(s.b.Status)))-listed.Total, 0)
	counts.InProgress += unlisted
	counts.Total += unlisted
	read := upstream.Batch{ID: batch.ID(s.b), Status: upstream.InProgress, FileCounts: counts}
	over := counts.InProgress == 0 && counts.Total > 0 || listed.Total > 0 && listed.InProgress == 0 && s.settleTimedOut()
	accepted := s.b.Status.CancelRequestTime != nil || s.cancelAccepted()
	switch {
	case !over:
	case counts.Cancelled > 0 || accepted && counts.InProgress > 0:
		read.Status = upstream.Cancelled
		read.FileCounts.Cancelled += counts.InProgress
		read.FileCounts.InProgress = 0
	default:
		read.Status = upstream.Completed
	}
	return read
}

// unsettled reports whether a completed batch has files in progress, and may report them later.
func (s scope) unsettled(answer upstream.Batch) bool {
	return answer.Status == upstream.Completed && answer.FileCounts.InProgress > 0 &&
		!s.observed.performed(CountFiles) && !s.settleTimedOut() && !s.mustEnd()
}

// settleTimedOut reports whether the numbers of a batch have not changed for too long.
func (s scope) settleTimedOut() bool {
	since := s.observed.State.UnsettledSince
	return !since.IsZero() && s.now.Sub(since) >= settleTimeout
}

// unsettledSince returns since when the batch has had these numbers, if they are those of one that is
// completed, but has files in progress.
func (s scope) unsettledSince(answer upstream.Batch) time.Time {
	listed, since := s.observed.Listed, s.observed.State.UnsettledSince
	allListed := listed != nil && listed.Total > 0 && listed.InProgress == 0
	switch {
	case answer.Status != upstream.Completed && !allListed:
		return time.Time{}
	case since.IsZero() || s.b.Status.FileCounts == nil || *s.b.Status.FileCounts != *counts(answer.FileCounts):
		return s.now
	default:
		return since
	}
}

// readFromList is the part of messages about a batch whose own object the API does not return.
const readFromList = ". The API returns another object for the batch, so its state is read from the list of its files"

// source returns the part of a message on how the batch is read. A finished batch keeps it.
func (s scope) source() string {
	ready := s.ready()
	finished := batch.Finished(s.b) && ready != nil && strings.HasSuffix(ready.Message, readFromList)
	if s.observed.State.OtherObjects >= otherObjects || finished {
		return readFromList
	}
	return ""
}
