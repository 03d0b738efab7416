// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// apiBatch is a batch at the simulated API.
type apiBatch struct {
	id        string
	createdAt time.Time
	status    upstream.Status
	counts    upstream.FileCounts
	// cancelRequested is true if the API accepted a cancel while the batch was in progress.
	cancelRequested bool
	// stuck is true if the batch makes no progress and never finishes, not even after a cancel.
	stuck bool
	// files are the IDs of the batch's files, sorted.
	files []string
}

// simulation simulates everything but the decisions: the API server with one object, the
// Reconciler with its state, the OpenAI API, users, and faults. It is determined by a seed.
type simulation struct {
	random *rand.Rand
	now    time.Time
	// quiet is true once no more faults and edits occur.
	quiet bool

	// b is the object as the API server stores it, and gone is true after it is removed.
	b    *object
	gone bool
	// unfinished is the object before the last write of a status to one that was not finished.
	unfinished *object
	// version is the object's resourceVersion.
	version int

	state lifecycle.State
	// nextReconcile is when the object is reconciled next; zero if nothing is scheduled. changed is
	// true if another client changed the object since the last reconciliation started.
	nextReconcile time.Time
	changed       bool

	batches []*apiBatch
	// storeDeleted is true after the vector store was deleted.
	storeDeleted bool
	// attached is true if a create of the object took effect.
	attached bool
	// inStore are the batch's files that are in the vector store.
	inStore map[string]bool
	// otherObject is true if the API returns another object for every batch, and lags if it counts files
	// as in progress that were cancelled.
	otherObject, lags bool
	// listsAttachedOnly is true if the API lists only those files of a batch that are in the store.
	listsAttachedOnly bool
	// byDeadline is true if the cancel in the status was requested by the deadline, and
	// originUnclear if the spec was changed since, so that either origin is right.
	byDeadline, originUnclear bool
	// cancelPersisted is true if a cancel was in the status before. It can be lost there, and return
	// from the operator's state after an edit.
	cancelPersisted bool
	// expired is true if the object was deleted after its TTL, and detached if its files were to be
	// detached.
	expired, detached bool

	// effects counts the creates that took effect, and unknowns those whose outcome the operator
	// cannot learn.
	effects, unknowns int
	// inFlight is true while the operator does not know the outcome of a create.
	inFlight bool
	// recordedID is the ID that was recorded first.
	recordedID string

	// trace logs each step; nil for none.
	trace func(format string, args ...any)
}

func newSimulation(seed uint64) *simulation {
	s := &simulation{random: rand.New(rand.NewPCG(seed, seed)), now: epoch, nextReconcile: epoch}
	s.b = newObject(func(b *object) {
		b.CreationTimestamp = metav1.Time{Time: epoch}
		b.Spec.FileIDs = []string{"file-c", "file-a", "file-b", "file-a", "file-e", "file-d"}
	})
	s.inStore, s.listsAttachedOnly = make(map[string]bool), s.chance(2)
	s.otherObject, s.lags = s.chance(5), s.chance(3)
	if s.chance(5) {
		adopted(s.b)
		s.addBatch("batch_1", epoch.Add(-time.Hour), "file-a", "file-b", "file-c", "file-d")
	}
	if s.chance(8) {
		cancelWanted(s.b)
	}
	if s.chance(3) {
		deadline(s.someDuration())(s.b)
	}
	if s.chance(8) {
		ttl(s.someDuration())(s.b)
	}
	if s.chance(3) {
		deletionPolicy(v1alpha1.DeletionPolicyDetachFiles)(s.b)
	}
	return s
}

// addBatch adds a batch to the API, and its files to the store.
func (s *simulation) addBatch(id string, createdAt time.Time, files ...string) *apiBatch {
	n := int64(len(files))
	r := &apiBatch{id: id, createdAt: createdAt, status: upstream.InProgress, counts: upstream.FileCounts{InProgress: n, Total: n}, files: files, stuck: s.chance(4)}
	s.batches = append(s.batches, r)
	for _, file := range files {
		s.inStore[file] = true
	}
	return r
}

// someDuration returns a random duration for a field of the spec.
func (s *simulation) someDuration() time.Duration {
	return []time.Duration{time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}[s.random.IntN(4)]
}

// chance returns true with a probability of 1/n.
func (s *simulation) chance(n int) bool { return s.random.IntN(n) == 0 }

// between returns a random duration from least to most.
func (s *simulation) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.random.Int64N(int64(most-least)+1))
}

func (s *simulation) logf(format string, args ...any) {
	if s.trace != nil {
		s.trace("%s  "+format, append([]any{s.now.Sub(epoch)}, args...)...)
	}
}

// interruption is why a reconciliation ended early.
type interruption string

func (i interruption) Error() string { return string(i) }

const (
	errCrash       interruption = "the process crashed"
	errConflict    interruption = "another client changed the object"
	errUnavailable interruption = "the API server is unavailable"
)

// reconcile reconciles the object as the Reconciler does. It returns an error for a violated
// invariant.
func (s *simulation) reconcile() error {
	observed := lifecycle.Observed{State: s.state, Jitter: 0.4*s.random.Float64() - 0.2}
	b, version := s.b.DeepCopy(), s.version
	s.nextReconcile, s.changed = time.Time{}, false
	var events []lifecycle.Event
	for {
		in := input{b: b, observed: observed, now: s.now}
		d := config.Decide(b, observed, s.now)
		events = append(events, d.Events...)
		s.logf("%s: %s %s after %s %v", d.Action, reasonOf(d.Status), d.Status.Status, d.RequeueAfter, d.Events)
		if err := checkDecision(in, d); err != nil {
			return err
		}
		if len(observed.Actions) > maxActions {
			return fmt.Errorf("too many actions: %v", observed.Actions)
		}
		if d.Action.Terminal() {
			return s.finish(b, version, d, events)
		}
		interrupted, err := s.perform(b, &version, d, &observed)
		if err != nil {
			return err
		}
		if interrupted != nil {
			s.handleError(interrupted)
			return nil
		}
	}
}

// handleError schedules the reconciliation after one that was interrupted.
func (s *simulation) handleError(interrupted error) {
	s.logf("interrupted: %v", interrupted)
	s.nextReconcile = s.now.Add(50 * time.Millisecond)
	if errors.Is(interrupted, errCrash) {
		s.crash()
	}
}

// crash ends the process. Another one starts soon.
func (s *simulation) crash() {
	s.state = lifecycle.State{}
	s.loseOutcome()
	s.nextReconcile = s.now.Add(s.between(0, 20*time.Second))
}

// loseOutcome counts a create in flight whose outcome the operator can no longer learn.
func (s *simulation) loseOutcome() {
	if s.inFlight {
		s.unknowns++
	}
	s.inFlight = false
}

// crashes reports whether the process crashes here.
func (s *simulation) crashes() bool { return !s.quiet && s.chance(60) }

// patch changes the metadata of the object, unless the API server is unavailable or, for a locked
// patch, another client changed the object.
func (s *simulation) patch(b *object, version *int, locked bool, change func(*object)) error {
	if !s.quiet && s.chance(20) {
		s.interfere()
	}
	switch {
	case s.crashes():
		return errCrash
	case s.gone, !s.quiet && s.chance(60):
		return errUnavailable
	case locked && *version != s.version:
		return errConflict
	}
	s.b = s.b.DeepCopy()
	change(s.b)
	s.version++
	*version = s.version
	b.Annotations, b.Finalizers = s.b.DeepCopy().Annotations, slices.Clone(s.b.Finalizers)
	s.noteID()
	switch {
	case s.crashes():
		return errCrash
	case !s.quiet && s.chance(60):
		return errUnavailable // the patch took effect, and the response was lost
	}
	return nil
}

// noteID remembers the first recorded ID.
func (s *simulation) noteID() {
	if id := batch.ID(s.b); s.recordedID == "" && id != "" {
		s.recordedID = id
		s.inFlight = false
	}
}

// perform performs an action, and records its result. It returns the interruption, if any, and an
// error for a violated invariant.
func (s *simulation) perform(b *object, version *int, d lifecycle.Decision, observed *lifecycle.Observed) (interrupted, err error) {
	if callsAPI(d.Action) && batch.Finished(s.b) && b.DeletionTimestamp.IsZero() && d.Action != lifecycle.ListFailedFiles {
		return nil, fmt.Errorf("%s after the batch finished", d.Action)
	}
	r, interrupted, err := s.execute(b, version, d)
	observed.Record(d.Action, r)
	if observed.State.Unsaved != (lifecycle.Unsaved{}) && !errors.Is(interrupted, errCrash) {
		s.state = observed.State
	}
	if interrupted == nil && err == nil && callsAPI(d.Action) && s.crashes() {
		return errCrash, nil
	}
	return interrupted, err
}

// execute executes an action, and returns its result in addition to what perform returns.
func (s *simulation) execute(b *object, version *int, d lifecycle.Decision) (r lifecycle.Result, interrupted, err error) {
	switch d.Action {
	case lifecycle.AddFinalizer:
		interrupted = s.patch(b, version, true, addFinalizer)
	case lifecycle.RecordBatchID:
		interrupted = s.patch(b, version, false, func(b *object) { recordID(b, d.BatchID) })
	case lifecycle.ClearCreatePending:
		interrupted = s.patch(b, version, true, clearPending)
	case lifecycle.Create:
		return s.create(b, version, d)
	case lifecycle.VerifyCreate:
		r.Err, r.Attached = s.fault(nil), s.attached
	case lifecycle.Poll, lifecycle.Cancel:
		r = s.pollOrCancel(b, d.Action)
	case lifecycle.CountFiles:
		r = s.countFiles(b)
	case lifecycle.ListFailedFiles:
		r.Err = s.fault(s.find(b))
		r.FailedFiles = failedFilesOf(s.find(b))
	case lifecycle.ReadStore:
		r.Err, r.StoreExists = s.fault(nil), !s.storeDeleted
	case lifecycle.Detach:
		var crashed bool
		if r, crashed = s.detach(b); crashed {
			interrupted = errCrash
		}
	case lifecycle.Requeue, lifecycle.Delete, lifecycle.RemoveFinalizer:
		err = fmt.Errorf("%s is a terminal action", d.Action)
	}
	return r, interrupted, err
}

// create marks a create as pending, creates a batch, and records its ID.
func (s *simulation) create(b *object, version *int, d lifecycle.Decision) (r lifecycle.Result, interrupted, err error) {
	if s.recordedID != "" {
		return r, nil, fmt.Errorf("created again, though batch %s is recorded", s.recordedID)
	}
	startedAt, previous := s.now, maps.Clone(b.Annotations)
	if interrupted := s.patch(b, version, true, func(b *object) { markPending(b, d.Recovery, startedAt) }); interrupted != nil {
		return r, interrupted, nil // nothing was sent
	}
	s.inFlight = true
	s.now = s.now.Add(s.between(0, config.RequestTimeout))
	created, failure := s.post()
	if s.effects > 1+s.unknowns {
		return r, nil, fmt.Errorf("%d batches were created, though only %d outcomes were unknown", s.effects, s.unknowns)
	}
	if s.crashes() {
		return r, errCrash, nil
	}
	if r.Err = failure; failure != nil {
		if failure.Kind == upstream.UnknownOutcome {
			s.loseOutcome()
			return r, nil, nil
		}
		if d.Recovery != nil && d.Recovery.Lost > 0 {
			return r, s.patch(b, version, false, func(b *object) { b.Annotations = maps.Clone(previous) }), nil
		}
		s.inFlight = false
		return r, s.patch(b, version, false, clearPending), nil
	}
	r.Batch = created
	return r, s.patch(b, version, false, func(b *object) { recordID(b, created.ID) }), nil
}

// post creates a batch at the API, or fails in one of many ways.
func (s *simulation) post() (*upstream.Batch, *upstream.Error) {
	lost := !s.quiet && s.chance(4)
	if !lost {
		if failure := s.fault(nil); failure != nil {
			return nil, failure
		}
	}
	if s.storeDeleted {
		return nil, &upstream.Error{Kind: upstream.NotFound, StatusCode: 404, Message: "vector store not found"}
	}
	unknown := &upstream.Error{Kind: upstream.UnknownOutcome, Message: "response lost"}
	if s.chance(2) {
		unknown.StatusCode, unknown.RetryAfter = 502, s.retryAfter()
	}
	if s.chance(6) {
		unknown.StatusCode, unknown.RetryAfter, unknown.OtherObject = 200, 0, true
	}
	if lost && s.chance(2) {
		return nil, unknown // before it took effect
	}
	r := s.addBatch(fmt.Sprintf("batch_%d", len(s.batches)+1), s.now.Truncate(time.Second), "file-a", "file-b", "file-c", "file-d", "file-e")
	s.effects++
	s.attached = true
	s.logf("API: created %s", r.id)
	if lost {
		return nil, unknown
	}
	return r.answer(), nil
}

// retryAfter returns a random Retry-After, mostly a short one.
func (s *simulation) retryAfter() time.Duration {
	if s.chance(4) {
		return s.between(0, time.Hour)
	}
	return s.between(0, time.Minute)
}

// fault returns a random error of a call for a batch, which may be nil, or no error.
func (s *simulation) fault(r *apiBatch) *upstream.Error {
	if s.quiet || !s.chance(4) {
		return nil
	}
	failure := &upstream.Error{Message: "the call failed"}
	switch s.random.IntN(6) {
	case 0, 1:
		failure.Kind, failure.StatusCode = upstream.Transient, 503
		failure.RetryAfter = s.between(0, 5*time.Second)
	case 2:
		failure.Kind, failure.StatusCode, failure.RetryAfter = upstream.RateLimited, 429, s.retryAfter()
	case 3:
		failure.Kind, failure.StatusCode = upstream.Unauthorized, 401
	case 4:
		failure.Kind = upstream.NoCredentials
	case 5:
		failure.Kind, failure.StatusCode = upstream.Rejected, 400
		if r != nil && s.now.Sub(r.createdAt) < config.NotFoundGrace {
			failure.Kind, failure.StatusCode = upstream.NotFound, 404
		}
	}
	return failure
}

// find returns the batch of the object; nil if the API has none.
func (s *simulation) find(b *object) *apiBatch {
	for _, r := range s.batches {
		if r.id == batch.ID(b) && !s.storeDeleted {
			return r
		}
	}
	return nil
}

// pollOrCancel polls or cancels the batch.
func (s *simulation) pollOrCancel(b *object, action lifecycle.Action) (result lifecycle.Result) {
	r := s.find(b)
	if r == nil {
		result.Err = &upstream.Error{Kind: upstream.NotFound, StatusCode: 404, Message: "batch not found"}
		return result
	}
	result.Err = s.fault(r)
	if action == lifecycle.Cancel && (result.Err == nil || result.Err.Kind == upstream.Transient && s.chance(2)) {
		r.cancel(s.chance(2))
		s.logf("API: cancel of %s: %s", r.id, r.status)
	}
	if result.Err != nil {
		return result
	}
	if action == lifecycle.Cancel && r.status != upstream.InProgress && !r.cancelRequested && s.chance(2) {
		result.Err = &upstream.Error{Kind: upstream.Rejected, StatusCode: 400, Message: "already finished"} // as some servers do
		return result
	}
	if action == lifecycle.Cancel {
		result.CancelAccepted, result.At = r.id, s.now
	}
	switch {
	case !s.otherObject:
		result.Batch = s.response(r)
	case action == lifecycle.Poll:
		result.Err = &upstream.Error{Kind: upstream.Transient, StatusCode: 200, OtherObject: true, Message: "its ID is that of the vector store"}
	}
	return result
}

// countFiles counts the files of the batch. Some servers list only those that they attached.
func (s *simulation) countFiles(b *object) (result lifecycle.Result) {
	r := s.find(b)
	if r == nil {
		result.Err = &upstream.Error{Kind: upstream.NotFound, StatusCode: 404, Message: "batch not found"}
		return result
	}
	if result.Err = s.fault(r); result.Err != nil {
		return result
	}
	listed := r.counts
	if s.lags && !s.otherObject {
		listed.InProgress, listed.Cancelled = 0, 0
		listed.Total = listed.Completed + listed.Failed
	}
	result.Listed = &listed
	return result
}

// detachLimit is how many files one reconciliation detaches.
const detachLimit = 2

// detach detaches files one by one. A file that the API refuses is tried again later.
func (s *simulation) detach(b *object) (r lifecycle.Result, crashed bool) {
	var left []string
	all := s.filesOf(b)
	for _, file := range all {
		if s.inStore[file] {
			left = append(left, file)
		}
	}
	count := len(all) - len(left)
	var failed *upstream.Error
	for _, file := range left[:min(detachLimit, len(left))] {
		if failure := s.fault(nil); failure != nil {
			failed = failure
			continue
		}
		delete(s.inStore, file)
		s.logf("API: detached %s", file)
		count++
		r.Detached.At = s.now
		if s.crashes() {
			return r, true
		}
	}
	r.Detached.Count, r.Detached.Remaining, r.Detached.Listed = count, len(all)-count, true
	if r.Detached.At.IsZero() {
		r.Err = failed
	}
	return r, false
}

// filesOf returns the files that a deletion detaches: those of the spec, or those that the API
// lists for an adopted batch.
func (s *simulation) filesOf(b *object) []string {
	if !batch.Adopted(b) {
		return slices.Compact(slices.Sorted(slices.Values(b.Spec.FileIDs)))
	}
	r := s.find(b)
	if r == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.files), func(file string) bool { return s.listsAttachedOnly && !s.inStore[file] })
}

// response returns a batch as the API returns it.
func (s *simulation) response(r *apiBatch) *upstream.Batch {
	a := r.answer()
	if s.lags {
		a.FileCounts.InProgress, a.FileCounts.Cancelled = a.FileCounts.InProgress+a.FileCounts.Cancelled, 0
	}
	if !s.quiet && r.status == upstream.InProgress && s.chance(6) {
		a.Status = unknownStatus
	}
	if s.chance(10) {
		a.PollAfter = s.between(0, 20*time.Second)
	}
	return a
}

// cancel cancels a batch that is in progress, now or soon.
func (r *apiBatch) cancel(now bool) {
	if r.status != upstream.InProgress {
		return
	}
	r.cancelRequested = true
	if now {
		r.finish(upstream.Cancelled)
	}
}

// finish finishes a batch with a status.
func (r *apiBatch) finish(status upstream.Status) {
	r.status = status
	if status == upstream.Cancelled {
		r.counts.Cancelled += r.counts.InProgress
	} else {
		r.counts.Completed += r.counts.InProgress
	}
	r.counts.InProgress = 0
}

func (r *apiBatch) answer() *upstream.Batch {
	return &upstream.Batch{ID: r.id, CreatedAt: r.createdAt, Status: r.status, FileCounts: r.counts}
}

func failedFilesOf(r *apiBatch) []upstream.FailedFile {
	if r == nil {
		return nil
	}
	var files []upstream.FailedFile
	for i := range r.counts.Failed {
		files = append(files, upstream.FailedFile{FileID: fmt.Sprintf("file-%d", r.counts.Failed-i), Code: "server_error"})
	}
	return files
}

// process lets the API process its batches.
func (s *simulation) process() {
	for _, r := range s.batches {
		switch {
		case r.status != upstream.InProgress:
		case r.stuck && (!s.quiet || s.finishesByDeadline()):
		case r.cancelRequested:
			if s.quiet || s.chance(2) {
				r.finish(upstream.Cancelled)
			}
		case s.quiet && batch.CancelWanted(s.b):
			// Only the cancel finishes the batch.
		case s.chance(3) && r.counts.InProgress > 0:
			r.counts.InProgress--
			if s.chance(3) {
				r.counts.Failed++
			} else {
				r.counts.Completed++
			}
		case s.chance(4):
			r.finish([]upstream.Status{upstream.Completed, upstream.Completed, upstream.Failed, upstream.Cancelled}[s.random.IntN(4)])
		}
	}
}

// finishesByDeadline reports whether the deadline finishes the object even if the batch does not
// finish.
func (s *simulation) finishesByDeadline() bool {
	_, known := deadlineOf(input{b: s.b, now: s.now})
	return known && !batch.Suspended(s.b)
}

// finish persists the result of a reconciliation, and schedules the next one.
func (s *simulation) finish(b *object, version int, d lifecycle.Decision, events []lifecycle.Event) error {
	if s.crashes() {
		s.handleError(errCrash)
		return nil
	}
	if d.Action == lifecycle.RemoveFinalizer {
		return s.removeFinalizer(b, version, d, events)
	}
	if version != s.version || s.gone {
		s.handleError(errConflict)
		return nil
	}
	if d.Action == lifecycle.Delete {
		return s.deleteExpired(events)
	}
	if d.Status.CancelRequestTime != nil && s.b.Status.CancelRequestTime == nil {
		uncertain := s.b.Status.CreatedAt == nil // the deadline can be later than it seemed
		s.byDeadline, s.originUnclear = !batch.CancelWanted(b), uncertain || s.cancelPersisted && s.originUnclear || !reflect.DeepEqual(b.Spec, s.b.Spec)
		s.cancelPersisted = true
	}
	if err := s.checkReported(b, d.Status); err != nil {
		return err
	}
	if !batch.Finished(s.b) {
		s.unfinished = s.b
	}
	s.b = s.b.DeepCopy()
	s.b.Status = *d.Status.DeepCopy()
	s.version++
	s.noteID()
	if s.recordedID != "" && batch.ID(s.b) != s.recordedID {
		return fmt.Errorf("the ID %s was recorded, and now it is %q", s.recordedID, batch.ID(s.b))
	}
	if s.schedule(d); s.changed {
		s.nextReconcile = s.now
	}
	return nil
}

// schedule schedules the next reconciliation as the Reconciler does.
func (s *simulation) schedule(d lifecycle.Decision) {
	if s.state = d.State; d.RequeueAfter <= 0 {
		s.state = lifecycle.State{}
		s.loseOutcome()
		return
	}
	s.nextReconcile = s.now.Add(d.RequeueAfter)
}

// deleteExpired deletes an object whose time to live has expired.
func (s *simulation) deleteExpired(events []lifecycle.Event) error {
	if !slices.ContainsFunc(events, func(e lifecycle.Event) bool { return e.Reason == v1alpha1.ReasonTTLExpired }) {
		return errors.New("the object was deleted without an Event")
	}
	s.expired = true
	s.state = lifecycle.State{}
	s.b = s.b.DeepCopy()
	deletedAt(s.now.Truncate(time.Second))(s.b)
	s.version++
	s.gone = !batch.HasFinalizer(s.b)
	s.nextReconcile = s.now // by the watch
	return nil
}

// removeFinalizer removes the finalizer, and the object if that is being deleted. It returns an error if its deletionPolicy was neither carried
// out nor given up with a warning.
func (s *simulation) removeFinalizer(b *object, version int, d lifecycle.Decision, events []lifecycle.Event) error {
	if version != s.version {
		s.handleError(errConflict)
		return nil
	}
	if b.DeletionTimestamp.IsZero() {
		s.b = s.b.DeepCopy()
		dropFinalizer(s.b)
		s.version++
		s.schedule(d)
		return nil
	}
	s.gone = true
	r := s.find(b)
	mustCancel := b.Spec.DeletionPolicy == v1alpha1.DeletionPolicyCancel || b.Spec.DeletionPolicy == "" && !batch.Adopted(b) || detaches(b)
	warned := slices.ContainsFunc(events, func(e lifecycle.Event) bool { return e.Warning && strings.Contains(e.Message, "may ") })
	running := r != nil && r.status == upstream.InProgress && !s.unread(r)
	if mustCancel && running && !r.cancelRequested && !warned {
		return fmt.Errorf("finalizer removed without a warning while batch %s is in progress", r.id)
	}
	return s.checkDetached(b, warned)
}

// unread reports whether the operator cannot know that a batch is in progress: it sees only its files.
func (s *simulation) unread(r *apiBatch) bool { return s.otherObject && r.counts.InProgress == 0 }

// checkDetached checks that no file is left in the store that was to be detached. A warning excuses
// that only while faults occur.
func (s *simulation) checkDetached(b *object, warned bool) error {
	if !detaches(b) {
		return nil
	}
	s.detached = true
	if remaining := len(s.inStore); remaining > 0 && !s.storeDeleted && (!warned || s.quiet) {
		return fmt.Errorf("finalizer removed with %d files in the store", remaining)
	}
	return nil
}

// checkReported compares the status of a finished object with the API, and with the spec that the
// reconciliation read: after an unlocked patch it can be unaware of a later edit.
func (s *simulation) checkReported(b *object, status v1alpha1.VectorStoreFileBatchStatus) error {
	if !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionFinished) || batch.Finished(s.b) {
		return nil
	}
	if status.BatchID == "" {
		return s.checkReportedWithoutBatch(status)
	}
	if err := s.checkCancelOrigin(b, status); err != nil {
		return err
	}
	given, excused := endOf(input{b: &object{ObjectMeta: b.ObjectMeta, Spec: b.Spec, Status: status}, now: s.now}, status)
	unreadable := status.CancelRequestTime != nil && !s.now.Before(status.CancelRequestTime.Add(time.Minute))
	switch reasonOf(status) {
	case v1alpha1.ReasonDeadlineExceeded, v1alpha1.ReasonCancelFailed, v1alpha1.ReasonCancelled:
		if excused && !s.now.Before(given) || unreadable || s.storeDeleted {
			return nil // the operator has given up waiting for the batch
		}
	}
	i := slices.IndexFunc(s.batches, func(r *apiBatch) bool { return r.id == status.BatchID })
	if i < 0 {
		return fmt.Errorf("batch %s is reported, and does not exist", status.BatchID)
	}
	return s.checkCounts(s.batches[i], status)
}

// checkCounts compares the result that a status reports with that of the batch. If the API returns another
// object, the operator knows only the files.
func (s *simulation) checkCounts(r *apiBatch, status v1alpha1.VectorStoreFileBatchStatus) error {
	if status.FileCounts == nil {
		return fmt.Errorf("batch %s is %s without file counts", r.id, reasonOf(status))
	}
	finished := r.counts.InProgress == 0 && s.otherObject
	if string(r.status) != status.Status && !finished {
		return fmt.Errorf("batch %s is %s, and reported as %s", r.id, r.status, status.Status)
	}
	got := *status.FileCounts
	exact := upstream.FileCounts{InProgress: int64(got.InProgress), Completed: int64(got.Completed), Failed: int64(got.Failed), Cancelled: int64(got.Cancelled), Total: int64(got.Total)}
	if exact == r.counts || exact.InProgress > 0 && exact.Failed == r.counts.Failed { // the list failed
		return nil
	}
	return fmt.Errorf("%+v is reported of %+v", got, r.counts)
}

// checkReportedWithoutBatch compares the status of a finished object without a batch with the API.
func (s *simulation) checkReportedWithoutBatch(status v1alpha1.VectorStoreFileBatchStatus) error {
	reason := reasonOf(status)
	message := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady).Message
	nothing := reason == v1alpha1.ReasonCancelled || strings.Contains(message, "No batch was created")
	switch {
	case reason != v1alpha1.ReasonCancelled && reason != v1alpha1.ReasonDeadlineExceeded && reason != v1alpha1.ReasonCancelFailed:
		return fmt.Errorf("%s without a batch", reason)
	case nothing && s.attached:
		return errors.New("the status reports that nothing was created, though files are attached")
	case !nothing && !strings.Contains(message, "may still be running"):
		return fmt.Errorf("the status does not report that a batch may be running: %s", message)
	}
	return nil
}

// checkCancelOrigin checks that the reason names the right origin of a cancel.
func (s *simulation) checkCancelOrigin(b *object, status v1alpha1.VectorStoreFileBatchStatus) error {
	reason, accepted := reasonOf(status), status.CancelRequestTime != nil
	requested := batch.CancelWanted(b) || accepted
	if requested && reason == v1alpha1.ReasonCancelledExternally || !requested && reason == v1alpha1.ReasonCancelled {
		return fmt.Errorf("reason %s, though spec.cancel or the operator requested the cancel: %t", reason, requested)
	}
	exceeded := reason == v1alpha1.ReasonDeadlineExceeded
	if at, known := deadlineOf(input{b: &object{ObjectMeta: b.ObjectMeta, Spec: b.Spec, Status: status}, now: s.now}); exceeded && (!known || s.now.Before(at) && s.b.Status.CreatedAt != nil) {
		return fmt.Errorf("reason %s before the deadline", reason)
	}
	if reason == v1alpha1.ReasonCancelFailed && (accepted || !requested) {
		return fmt.Errorf("reason %s, though a cancel was accepted: %t", reason, accepted)
	}
	cancelled := exceeded || reason == v1alpha1.ReasonCancelled
	if cancelled && accepted && !s.originUnclear && s.byDeadline && !exceeded {
		return fmt.Errorf("reason %s, though the deadline requested the cancel", reason)
	}
	return nil
}

// interfere simulates one change by a user or a tool.
func (s *simulation) interfere() {
	if s.gone {
		return
	}
	b := s.b.DeepCopy()
	if s.chance(2) {
		s.edit(b)
	} else {
		s.damage(b)
	}
	if !reflect.DeepEqual(b.Spec, s.b.Spec) {
		b.Generation++
		s.originUnclear = true
	}
	s.logf("changed: cancel %t, suspend %t, deadline %v, TTL %v, policy %q, deleted %v, status of generation %d, annotations %v, store deleted %t",
		batch.CancelWanted(b), batch.Suspended(b), b.Spec.ActiveDeadlineSeconds != nil, b.Spec.TTLSecondsAfterFinished != nil,
		b.Spec.DeletionPolicy, b.DeletionTimestamp, b.Status.ObservedGeneration, b.Annotations, s.storeDeleted)
	s.b = b
	s.version++
	s.gone = !b.DeletionTimestamp.IsZero() && !batch.HasFinalizer(b)
	s.nextReconcile, s.changed = s.now, true // by the watch
}

// edit edits the spec.
func (s *simulation) edit(b *object) {
	switch s.random.IntN(8) {
	case 0:
		b.Spec.Cancel = ptr(true)
	case 1:
		b.Spec.Cancel = []*bool{nil, ptr(false)}[s.random.IntN(2)]
	case 2:
		b.Spec.MaxFailedFiles = ptr(s.random.Int32N(3))
	case 3:
		b.Spec.DeletionPolicy = []v1alpha1.DeletionPolicy{"", "Cancel", "Orphan", "DetachFiles"}[s.random.IntN(4)]
	case 4:
		b.Spec.Suspend = ptr(true)
	case 5:
		b.Spec.Suspend = []*bool{nil, ptr(false)}[s.random.IntN(2)]
	case 6:
		if b.Spec.ActiveDeadlineSeconds = nil; !s.chance(3) {
			deadline(s.someDuration())(b)
		}
	case 7:
		if b.Spec.TTLSecondsAfterFinished = nil; !s.chance(3) {
			ttl(s.someDuration() - time.Second)(b)
		}
	}
}

// damage deletes the object or the store, or removes the status or the annotation. Losing both of the
// latter would lose the ID, so that does not happen here.
func (s *simulation) damage(b *object) {
	switch s.random.IntN(4) {
	case 0:
		if s.chance(2) && b.DeletionTimestamp.IsZero() {
			b.DeletionTimestamp = &metav1.Time{Time: s.now.Truncate(time.Second)}
			b.Generation++
		}
	case 1:
		if b.Status.BatchID == "" || batch.Adopted(b) || b.Annotations[v1alpha1.AnnotationBatchID] == b.Status.BatchID {
			b.Status = v1alpha1.VectorStoreFileBatchStatus{ObservedGeneration: -1}
		}
	case 2:
		if b.Status.BatchID != "" {
			delete(b.Annotations, v1alpha1.AnnotationBatchID)
		}
	case 3:
		s.storeDeleted = s.storeDeleted || s.chance(10)
	}
}
