// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"slices"
	"time"
)

// The statuses that the API documents for files and batches.
const (
	statusInProgress = "in_progress"
	statusCompleted  = "completed"
	statusFailed     = "failed"
	statusCancelled  = "cancelled"
)

// file is an uploaded file, or one that was synthesized when it was first attached.
type file struct {
	seq       int
	id        string
	name      string
	purpose   string
	size      int
	content   []byte
	createdAt time.Time
	expiresAt time.Time
	outcome   Outcome
	// uploaded is false for a file that was synthesized, and missing is true for one that attaching
	// must not create.
	uploaded, missing bool
}

// store is a vector store.
type store struct {
	seq          int
	id           string
	name         string
	metadata     map[string]any
	createdAt    time.Time
	lastActiveAt time.Time
	expiryDays   int
	expired      bool
	// files are the attached files by ID. A file that was attached twice has its last attachment.
	files  map[string]*attachment
	counts FileCounts
	usage  int
	// lingering are the detached files that are still shown, by ID.
	lingering map[string]lingering
	// running are the batches with files in progress, the only ones that advance has to visit.
	running  map[*batch]struct{}
	requests window
}

// lingering is a detached file until the detach is visible.
type lingering struct {
	*attachment
	until time.Time
}

// attachment is one file within one batch.
type attachment struct {
	seq        int
	file       *file
	batch      *batch
	createdAt  time.Time
	status     string
	lastError  *fileError
	chunking   chunking
	attributes map[string]any
	attaches   int
	// kept is the attachment whose state this one takes, because the file was in the store already.
	kept *attachment
	// ineffectiveDetaches counts for Behaviors.IneffectiveDetaches.
	ineffectiveDetaches int
}

// batch is a set of files attached together. A file attached individually is a batch without an ID.
type batch struct {
	id        string
	store     *store
	createdAt time.Time
	files     []*attachment
	counts    FileCounts
	// A change of the pace restarts the schedule of processing, with the file at index base at the
	// time since. next is the index of the first file that was not due yet.
	since time.Time
	base  int
	next  int
	stuck []*attachment
	// cancelAt is the time at which a requested cancel takes effect; zero if none was requested.
	cancelAt  time.Time
	cancelled bool
	// forced overrides the status; see Server.SetBatchStatus.
	forced string

	retrieves int
	cancels   int
}

// FileCounts is the number of files by status.
type FileCounts struct {
	InProgress int `json:"in_progress"`
	Completed  int `json:"completed"`
	Failed     int `json:"failed"`
	Cancelled  int `json:"cancelled"`
	Total      int `json:"total"`
}

func (c *FileCounts) add(status string, n int) {
	c.Total += n
	switch status {
	case statusInProgress:
		c.InProgress += n
	case statusCompleted:
		c.Completed += n
	case statusFailed:
		c.Failed += n
	case statusCancelled:
		c.Cancelled += n
	}
}

func newStore(id string, now time.Time) *store {
	return &store{
		id: id, createdAt: now, lastActiveAt: now, metadata: map[string]any{},
		files: map[string]*attachment{}, running: map[*batch]struct{}{}, lingering: map[string]lingering{},
	}
}

func (v *store) expiresAt() time.Time {
	if v.expiryDays == 0 {
		return time.Time{}
	}
	return v.lastActiveAt.Add(time.Duration(v.expiryDays) * 24 * time.Hour)
}

func (v *store) status(now time.Time) string {
	at := v.expiresAt()
	switch {
	case v.expired, !at.IsZero() && !now.Before(at):
		return "expired"
	case v.counts.InProgress > 0:
		return statusInProgress
	}
	return statusCompleted
}

// attach adds an attachment and replaces the previous one of the same file.
func (v *store) attach(a *attachment) {
	a.attaches = 1
	if old := v.files[a.file.id]; old != nil {
		a.attaches += old.attaches
		v.detach(old)
	}
	v.files[a.file.id] = a
	v.counts.add(a.status, 1)
	v.usage += a.usage()
}

// keeps makes the attachment take the state of an earlier one of the same file.
func (a *attachment) keeps(old *attachment) {
	a.kept, a.chunking, a.attributes = old, old.chunking, old.attributes
	old.attaches++
}

func (v *store) detach(a *attachment) {
	delete(v.files, a.file.id)
	v.counts.add(a.status, -1)
	v.usage -= a.usage()
}

// advance advances every running batch to now.
func (v *store) advance(now time.Time, s Settings) {
	for b := range v.running {
		b.advance(now, s)
	}
}

func (a *attachment) usage() int {
	if a.status != statusCompleted {
		return 0
	}
	return a.file.size
}

// setStatus sets the status and updates the counts of the batch and the store.
func (a *attachment) setStatus(status string) {
	v := a.batch.store
	a.batch.counts.add(a.status, -1)
	a.batch.counts.add(status, 1)
	current := v.files[a.file.id] == a
	if current {
		v.counts.add(a.status, -1)
		v.usage -= a.usage()
	}
	a.status = status
	if current {
		v.counts.add(status, 1)
		v.usage += a.usage()
	}
}

func (a *attachment) applyOutcome(o Outcome) {
	if o.Code == "" {
		a.setStatus(statusCompleted)
		return
	}
	message := o.Message
	if message == "" {
		message = failureMessage(o.Code)
	}
	a.lastError = &fileError{Code: o.Code, Message: message}
	a.setStatus(statusFailed)
}

// advance computes the state of the batch at now. It visits each file once, so its cost is
// amortized over the requests.
func (b *batch) advance(now time.Time, s Settings) {
	if b.counts.InProgress == 0 {
		return
	}
	until := now
	if !b.cancelAt.IsZero() && b.cancelAt.Before(now) {
		until = b.cancelAt
	}
	b.processUntil(until, s)
	if !b.cancelAt.IsZero() && !now.Before(b.cancelAt) && b.counts.InProgress > 0 {
		b.cancelled = true
		b.finishRemaining(func(a *attachment) { a.setStatus(statusCancelled) })
	}
	if b.counts.InProgress == 0 {
		delete(b.store.running, b)
	}
}

func (b *batch) processUntil(until time.Time, s Settings) {
	due := len(b.files)
	if s.Pace > 0 {
		rounds := max(int64(until.Sub(b.since)/s.Pace), 0)
		due = b.base + int(min(rounds*int64(s.Parallel), int64(len(b.files))))
	}
	due = max(min(due, len(b.files)), b.next)
	// The outcome of a stuck file can change, so stuck files are due every time.
	candidates := slices.Concat(b.stuck, b.files[b.next:due])
	b.next, b.stuck = due, nil
	for _, a := range candidates {
		switch {
		case a.status != statusInProgress:
		case a.kept != nil:
			a.lastError = a.kept.lastError
			a.setStatus(a.kept.status)
		case a.file.outcome.Stuck:
			b.stuck = append(b.stuck, a)
		default:
			a.applyOutcome(a.file.outcome)
		}
	}
}

// restartSchedule applies a new pace from now on to the files that are not processed yet.
func (b *batch) restartSchedule(now time.Time) {
	b.since, b.base = now, b.next
}

// finishRemaining finishes every file that is in progress.
func (b *batch) finishRemaining(finish func(*attachment)) {
	for _, a := range b.files {
		if a.status == statusInProgress {
			finish(a)
		}
	}
	b.stuck = nil
	delete(b.store.running, b)
}

// reportedCounts returns the counts as the server reports them.
func (b *batch) reportedCounts(s Settings) FileCounts {
	counts := b.counts
	if s.CountsStep > 0 && (!b.finished() || b.cancelled) {
		counts = FileCounts{InProgress: b.counts.Total, Total: b.counts.Total}
		processed := slices.IndexFunc(b.files, func(a *attachment) bool {
			return a.status != statusCompleted && a.status != statusFailed
		})
		if processed < 0 {
			processed = len(b.files)
		}
		for _, a := range b.files[:processed-processed%s.CountsStep] {
			counts.add(a.status, 1)
			counts.add(statusInProgress, -1)
		}
	}
	if s.CancelledUncounted {
		counts.InProgress, counts.Cancelled = counts.InProgress+counts.Cancelled, 0
	}
	return counts
}

func (b *batch) finished() bool { return b.counts.InProgress == 0 }

func (b *batch) status(s Settings) string {
	switch {
	case b.forced != "":
		return b.forced
	case !b.finished() && !b.cancelAt.IsZero():
		return s.CancellingStatus
	case !b.finished():
		return statusInProgress
	case b.cancelled:
		return statusCancelled
	}
	return statusCompleted
}
