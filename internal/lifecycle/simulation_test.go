// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"errors"
	"fmt"
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

// remote is a batch as the upstream has it.
type apiBatch struct {
	id        string
	createdAt time.Time
	status    upstream.Status
	counts    upstream.FileCounts
	// cancelAsked tells that a cancel arrived while the batch was in progress.
	cancelAsked bool
	// stuck tells that the batch neither gets on nor ends, not even when it is cancelled.
	stuck bool
	// files are the batch's files, in the order of their IDs.
	files []string
}

// world is all there is beside the rules: an API server with one object, the loop with what it
// remembers, an upstream, and everybody who interferes. All that happens in it follows from a
// seed.
type simulation struct {
	random *rand.Rand
	now    time.Time
	// calm is when faults and people have come to rest.
	quiet bool

	// b is the object as the API server has it, and gone that it was removed.
	b    *object
	gone bool
	// version is the object's resourceVersion.
	version int

	state lifecycle.State
	// nextPass is when the loop looks at the object; zero where nothing is planned. watched
	// tells that somebody changed the object since the last pass began.
	nextReconcile time.Time
	watched       bool

	batches []*apiBatch
	// vanished tells that somebody deleted the vector store.
	vanished bool
	// attached tells that a create of the object took effect.
	attached bool
	// inStore are the batch's files that are in the vector store.
	inStore map[string]bool
	// shrinks tells that the upstream lists only those files of a batch that are in the store.
	shrinks bool
	// byDeadline tells that the cancel in the status was not asked for by spec.cancel, and
	// rethought that people changed something since that makes it a matter of opinion.
	byDeadline, reconsidered bool
	// latched tells that a cancel was in the status before. It can get lost there, and comes back
	// out of the operator's memory, after people have changed something.
	cancelAccepted bool
	// expired and detached tell what the object's end was like.
	expired, detached bool

	// effects counts creates that took effect, and unknowns those whose outcome the loop could
	// not learn.
	effects, unknowns int
	// unsettled tells that a create was started whose outcome the loop has not learned yet.
	inFlight bool
	// kept is the ID that was stored.
	recordedID string

	// trace is told what happens, where it is set.
	trace func(format string, args ...any)
}

func newSimulation(seed uint64) *simulation {
	w := &simulation{random: rand.New(rand.NewPCG(seed, seed)), now: epoch, nextReconcile: epoch}
	w.b = newObject(func(b *object) {
		b.CreationTimestamp = metav1.Time{Time: epoch}
		b.Spec.FileIDs = []string{"file-c", "file-a", "file-b", "file-a", "file-e", "file-d"}
	})
	w.inStore, w.shrinks = make(map[string]bool), w.chance(2)
	if w.chance(5) {
		adopted(w.b)
		w.addBatch("batch_1", epoch.Add(-time.Hour), "file-a", "file-b", "file-c", "file-d")
	}
	if w.chance(8) {
		wantsCancel(w.b)
	}
	if w.chance(3) {
		deadline(w.someDuration())(w.b)
	}
	if w.chance(8) {
		ttl(w.someDuration())(w.b)
	}
	if w.chance(3) {
		policy(v1alpha1.DeletionPolicyDetachFiles)(w.b)
	}
	return w
}

// bring makes a batch, whose files are attached from then on.
func (w *simulation) addBatch(id string, createdAt time.Time, files ...string) *apiBatch {
	n := int64(len(files))
	r := &apiBatch{id: id, createdAt: createdAt, status: upstream.InProgress, counts: upstream.FileCounts{InProgress: n, Total: n}, files: files, stuck: w.chance(4)}
	w.batches = append(w.batches, r)
	for _, file := range files {
		w.inStore[file] = true
	}
	return r
}

// somewhile is a time that a spec may name.
func (w *simulation) someDuration() time.Duration {
	return []time.Duration{time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}[w.random.IntN(4)]
}

// chance is true once in n times.
func (w *simulation) chance(n int) bool { return w.random.IntN(n) == 0 }

// between is a random time from one up to another.
func (w *simulation) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.random.Int64N(int64(most-least)+1))
}

func (w *simulation) logf(format string, args ...any) {
	if w.trace != nil {
		w.trace("%s  "+format, append([]any{w.now.Sub(epoch)}, args...)...)
	}
}

// errCrash, errConflict and errAPI end a pass before its end.
type stopReason string

func (i stopReason) Error() string { return string(i) }

const (
	errCrash    stopReason = "the process died"
	errConflict stopReason = "the object was changed in between"
	errAPI      stopReason = "the API server did not answer"
)

// pass makes one pass as the loop does, and says what was wrong in it.
func (w *simulation) reconciliation() error {
	observed := lifecycle.Observed{State: w.state, Jitter: 0.4*w.random.Float64() - 0.2}
	b, version := w.b.DeepCopy(), w.version
	w.nextReconcile, w.watched = time.Time{}, false
	var events []lifecycle.Event
	for {
		q := input{b: b, observed: observed, now: w.now}
		d := config.Decide(b, observed, w.now)
		events = append(events, d.Events...)
		w.logf("%s: %s %s after %s %v", d.Action, reasonOf(d.Status), d.Status.Status, d.RequeueAfter, d.Events)
		if err := checkDecision(q, d); err != nil {
			return err
		}
		if len(observed.Actions) > mostActions {
			return fmt.Errorf("no end of actions: %v", observed.Actions)
		}
		if d.Action.Terminal() {
			return w.finish(b, version, d, events)
		}
		stopped, err := w.act(b, &version, d, &observed)
		if err != nil {
			return err
		}
		if stopped != nil {
			w.handleError(stopped)
			return nil
		}
	}
}

// interrupted plans the pass after one that was not brought to its end.
func (w *simulation) handleError(why error) {
	w.logf("interrupted: %v", why)
	w.nextReconcile = w.now.Add(50 * time.Millisecond)
	if errors.Is(why, errCrash) {
		w.crash()
	}
}

// crash ends the process; another one begins soon.
func (w *simulation) crash() {
	w.state = lifecycle.State{}
	w.loseOutcome()
	w.nextReconcile = w.now.Add(w.between(0, 20*time.Second))
}

// learnedNothing counts a create whose outcome the loop cannot learn any more, once.
func (w *simulation) loseOutcome() {
	if w.inFlight {
		w.unknowns++
	}
	w.inFlight = false
}

// dies reports whether the process dies here.
func (w *simulation) dies() bool { return !w.quiet && w.chance(60) }

// patch changes the metadata of the object, as far as the API server is there and, for a patch
// with a version, nobody was faster.
func (w *simulation) patch(b *object, version *int, locked bool, change func(*object)) error {
	if !w.quiet && w.chance(20) {
		w.interfere()
	}
	switch {
	case w.dies():
		return errCrash
	case w.gone, !w.quiet && w.chance(60):
		return errAPI
	case locked && *version != w.version:
		return errConflict
	}
	w.b = w.b.DeepCopy()
	change(w.b)
	w.version++
	*version = w.version
	b.Annotations, b.Finalizers = w.b.DeepCopy().Annotations, slices.Clone(w.b.Finalizers)
	w.noteID()
	switch {
	case w.dies():
		return errCrash
	case !w.quiet && w.chance(60):
		return errAPI // it took effect, and the answer was lost
	}
	return nil
}

// lookAfterID notes the ID of a batch once it is stored.
func (w *simulation) noteID() {
	if id := batch.ID(w.b); w.recordedID == "" && id != "" {
		w.recordedID = id
		w.inFlight = false
	}
}

// act takes an action. It returns why the reconciliation ends here, if it does, and what was wrong.
func (w *simulation) act(b *object, version *int, d lifecycle.Decision, observed *lifecycle.Observed) (stopped, err error) {
	if callsAPI(d.Action) && batch.Finished(w.b) && d.Action != lifecycle.Detach {
		return nil, fmt.Errorf("%s after the batch finished", d.Action)
	}
	var r lifecycle.Result
	switch d.Action {
	case lifecycle.AddFinalizer:
		stopped = w.patch(b, version, true, addFinalizer)
	case lifecycle.RecordBatchID:
		stopped = w.patch(b, version, false, func(b *object) { recordID(b, d.BatchID) })
	case lifecycle.ClearCreatePending:
		stopped = w.patch(b, version, true, clearPending)
	case lifecycle.Create:
		r, stopped, err = w.create(b, version, d)
	case lifecycle.VerifyCreate:
		r.Err, r.Attached = w.fault(nil), w.attached
	case lifecycle.Poll, lifecycle.Cancel:
		r = w.ask(b, d.Action)
	case lifecycle.ListFailedFiles:
		r.Err = w.fault(w.find(b))
		r.FailedFiles = failedOf(w.find(b))
	case lifecycle.Detach:
		var died bool
		if r, died = w.detach(b, d.Detach); died {
			return errCrash, nil
		}
	case lifecycle.Requeue, lifecycle.Delete, lifecycle.RemoveFinalizer:
		return nil, fmt.Errorf("%s is not an action to take in the middle of a reconciliation", d.Action)
	}
	observed.Record(d.Action, r)
	if observed.State.Unsaved != (lifecycle.Unsaved{}) && !errors.Is(stopped, errCrash) {
		w.state = observed.State
	}
	if stopped == nil && err == nil && callsAPI(d.Action) && w.dies() {
		return errCrash, nil
	}
	return stopped, err
}

// create marks a create as pending, creates a batch, and records its ID.
func (w *simulation) create(b *object, version *int, d lifecycle.Decision) (r lifecycle.Result, stopped, err error) {
	if w.recordedID != "" {
		return r, nil, fmt.Errorf("created again, with batch %s recorded", w.recordedID)
	}
	startedAt, before := w.now, b.Annotations[v1alpha1.AnnotationCreateStartedAt]
	if stopped := w.patch(b, version, true, func(b *object) { addFinalizer(b); pendingSince(startedAt)(b) }); stopped != nil {
		return r, stopped, nil // nothing was sent
	}
	w.inFlight = true
	w.now = w.now.Add(w.between(0, config.RequestTimeout))
	made, failure := w.post()
	if w.effects > 1+w.unknowns {
		return r, nil, fmt.Errorf("%d batches were created, though the outcome was unknown %d times only", w.effects, w.unknowns)
	}
	if w.dies() {
		return r, errCrash, nil
	}
	if r.Err = failure; failure != nil {
		if failure.Kind == upstream.UnknownOutcome {
			w.loseOutcome()
			return r, nil, nil
		}
		if d.Recovery != nil && d.Recovery.Attached {
			return r, w.patch(b, version, false, func(b *object) { b.Annotations[v1alpha1.AnnotationCreateStartedAt] = before }), nil
		}
		w.inFlight = false
		return r, w.patch(b, version, false, clearPending), nil
	}
	r.Batch = made
	return r, w.patch(b, version, false, func(b *object) { recordID(b, made.ID) }), nil
}

// post creates a batch, or gives one of the many ways in which that can go wrong.
func (w *simulation) post() (*upstream.Batch, *upstream.Error) {
	lost := !w.quiet && w.chance(4)
	if !lost {
		if failure := w.fault(nil); failure != nil {
			return nil, failure
		}
	}
	if w.vanished {
		return nil, &upstream.Error{Kind: upstream.NotFound, StatusCode: 404, Message: "no such store"}
	}
	unknown := &upstream.Error{Kind: upstream.UnknownOutcome, Message: "lost"}
	if w.chance(2) {
		unknown.StatusCode, unknown.RetryAfter = 502, w.retryAfter()
	}
	if lost && w.chance(2) {
		return nil, unknown // before it took effect
	}
	r := w.addBatch(fmt.Sprintf("batch_%d", len(w.batches)+1), w.now.Truncate(time.Second), "file-a", "file-b", "file-c", "file-d", "file-e")
	w.effects++
	w.attached = true
	w.logf("upstream: created %s", r.id)
	if lost {
		return nil, unknown
	}
	return r.answer(), nil
}

// retryAfter is how long the upstream asks to be left alone: short, but for a few times.
func (w *simulation) retryAfter() time.Duration {
	if w.chance(4) {
		return w.between(0, time.Hour)
	}
	return w.between(0, time.Minute)
}

// fault is what goes wrong with a call that asks about a batch, or about nothing in particular.
func (w *simulation) fault(r *apiBatch) *upstream.Error {
	if w.quiet || !w.chance(4) {
		return nil
	}
	failure := &upstream.Error{Message: "it went wrong"}
	switch w.random.IntN(6) {
	case 0, 1:
		failure.Kind, failure.StatusCode = upstream.Transient, 503
		failure.RetryAfter = w.between(0, 5*time.Second)
	case 2:
		failure.Kind, failure.StatusCode, failure.RetryAfter = upstream.RateLimited, 429, w.retryAfter()
	case 3:
		failure.Kind, failure.StatusCode = upstream.Unauthorized, 401
	case 4:
		failure.Kind = upstream.NoCredentials
	case 5:
		failure.Kind, failure.StatusCode = upstream.Rejected, 400
		if r != nil && w.now.Sub(r.createdAt) < config.NotFoundGrace {
			failure.Kind, failure.StatusCode = upstream.NotFound, 404
		}
	}
	return failure
}

// find is the batch that the object stands for; nil where the upstream has none.
func (w *simulation) find(b *object) *apiBatch {
	for _, r := range w.batches {
		if r.id == batch.ID(b) && !w.vanished {
			return r
		}
	}
	return nil
}

// ask reads or cancels the batch.
func (w *simulation) ask(b *object, action lifecycle.Action) (result lifecycle.Result) {
	r := w.find(b)
	if r == nil {
		result.Err = &upstream.Error{Kind: upstream.NotFound, StatusCode: 404, Message: "no such batch"}
		return result
	}
	result.Err = w.fault(r)
	if action == lifecycle.Cancel && (result.Err == nil || result.Err.Kind == upstream.Transient && w.chance(2)) {
		r.cancel(w.chance(2))
		w.logf("API: cancel of %s: %s", r.id, r.status)
	}
	if result.Err != nil {
		return result
	}
	if action == lifecycle.Cancel && r.status != upstream.InProgress && !r.cancelAsked && w.chance(2) {
		result.Err = &upstream.Error{Kind: upstream.Rejected, StatusCode: 400, Message: "already finished"} // as some servers have it
		return result
	}
	if action == lifecycle.Cancel {
		result.CancelAccepted, result.At = r.id, w.now
	}
	result.Batch = w.shown(r)
	return result
}

// detachLimit is how many files one reconciliation detaches.
const detachLimit = 2

// detach detaches files, one after the other, until one fails.
func (w *simulation) detach(b *object, files lifecycle.DetachRange) (r lifecycle.Result, died bool) {
	if r.Err = w.fault(nil); r.Err != nil {
		return r, false
	}
	all, first := w.filesOf(b), files.Skip
	if batch.Adopted(b) {
		first = 0
		for first < len(all) && all[first] <= files.After {
			first++
		}
	}
	r.Detached = lifecycle.Detached{Count: first, Remaining: len(all) - first}
	for _, file := range all[first:min(first+detachLimit, len(all))] {
		if r.Err = w.fault(nil); r.Err != nil {
			return r, false
		}
		delete(w.inStore, file)
		w.logf("API: detached %s", file)
		r.Detached.LastFile, r.Detached.At = file, w.now
		r.Detached.Count, r.Detached.Remaining = r.Detached.Count+1, r.Detached.Remaining-1
		if w.dies() {
			return r, true
		}
	}
	return r, false
}

// filesOf are the files that a deletion takes out of the store: those of the spec, or those
// that the upstream lists of an adopted batch.
func (w *simulation) filesOf(b *object) []string {
	if !batch.Adopted(b) {
		return slices.Compact(slices.Sorted(slices.Values(b.Spec.FileIDs)))
	}
	r := w.find(b)
	if r == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.files), func(file string) bool { return w.shrinks && !w.inStore[file] })
}

// shown is what the upstream answers about a batch.
func (w *simulation) shown(r *apiBatch) *upstream.Batch {
	a := r.answer()
	if !w.quiet && r.status == upstream.InProgress && w.chance(6) {
		a.Status = wrongStatus
	}
	if w.chance(10) {
		a.PollAfter = w.between(0, 20*time.Second)
	}
	return a
}

// cancel stops a batch that is in progress, now or soon.
func (r *apiBatch) cancel(now bool) {
	if r.status != upstream.InProgress {
		return
	}
	r.cancelAsked = true
	if now {
		r.end(upstream.Cancelled)
	}
}

// end brings a batch to its end.
func (r *apiBatch) end(status upstream.Status) {
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

func failedOf(r *apiBatch) []upstream.FailedFile {
	if r == nil {
		return nil
	}
	var files []upstream.FailedFile
	for i := range r.counts.Failed {
		files = append(files, upstream.FailedFile{FileID: fmt.Sprintf("file-%d", r.counts.Failed-i), Code: "server_error"})
	}
	return files
}

// process lets the upstream work on its batches.
func (w *simulation) process() {
	for _, r := range w.batches {
		switch {
		case r.status != upstream.InProgress:
		case r.stuck && (!w.quiet || w.endsByDeadline()):
		case r.cancelAsked:
			if w.quiet || w.chance(2) {
				r.end(upstream.Cancelled)
			}
		case w.quiet && batch.CancelWanted(w.b):
			// It hangs, so that only a cancel ends it.
		case w.chance(3) && r.counts.InProgress > 0:
			r.counts.InProgress--
			if w.chance(3) {
				r.counts.Failed++
			} else {
				r.counts.Completed++
			}
		case w.chance(4):
			r.end([]upstream.Status{upstream.Completed, upstream.Completed, upstream.Failed, upstream.Cancelled}[w.random.IntN(4)])
		}
	}
}

// endsByDeadline reports whether the deadline brings the object to its end, whatever becomes of
// the batch.
func (w *simulation) endsByDeadline() bool {
	at, known := deadlineOf(input{b: w.b})
	acceptedAt := w.b.Status.CancelRequestedAt
	return known && !batch.Suspended(w.b) && !batch.CancelWanted(w.b) && (acceptedAt == nil || !acceptedAt.Time.Before(at))
}

// conclude stores what a pass came to, and plans the next.
func (w *simulation) finish(b *object, version int, d lifecycle.Decision, events []lifecycle.Event) error {
	if w.dies() {
		w.handleError(errCrash)
		return nil
	}
	if d.Action == lifecycle.RemoveFinalizer {
		return w.removeFinalizer(b, version, events)
	}
	if version != w.version || w.gone {
		w.handleError(errConflict)
		return nil
	}
	if d.Action == lifecycle.Delete {
		return w.deleteExpired(events)
	}
	if d.Status.CancelRequestedAt != nil && w.b.Status.CancelRequestedAt == nil {
		w.byDeadline, w.reconsidered = !batch.CancelWanted(b), w.cancelAccepted && w.reconsidered || !reflect.DeepEqual(b.Spec, w.b.Spec)
		w.cancelAccepted = true
	}
	if err := w.checkTruth(b, d.Status); err != nil {
		return err
	}
	w.b = w.b.DeepCopy()
	w.b.Status = *d.Status.DeepCopy()
	w.version++
	w.noteID()
	if w.recordedID != "" && batch.ID(w.b) != w.recordedID {
		return fmt.Errorf("the ID %s was stored, and now it is %q", w.recordedID, batch.ID(w.b))
	}
	if w.plan(d); w.watched {
		w.nextReconcile = w.now
	}
	return nil
}

// plan says when the next pass is, as the loop does.
func (w *simulation) plan(d lifecycle.Decision) {
	if w.state = d.State; d.RequeueAfter <= 0 {
		w.state = lifecycle.State{}
		w.loseOutcome()
		return
	}
	w.nextReconcile = w.now.Add(d.RequeueAfter)
}

// expire deletes an object whose time to live is over, as anybody may.
func (w *simulation) deleteExpired(events []lifecycle.Event) error {
	if !slices.ContainsFunc(events, func(e lifecycle.Event) bool { return e.Reason == v1alpha1.ReasonTTLExpired }) {
		return errors.New("the object was deleted without a word")
	}
	w.expired = true
	w.state = lifecycle.State{}
	w.b = w.b.DeepCopy()
	deletedAt(w.now.Truncate(time.Second))(w.b)
	w.version++
	w.gone = !batch.HasFinalizer(w.b)
	w.nextReconcile = w.now // the watch brings it
	return nil
}

// release lets the object go, if what its deletionPolicy asks for was done or given up aloud.
func (w *simulation) removeFinalizer(b *object, version int, events []lifecycle.Event) error {
	if version != w.version {
		w.handleError(errConflict)
		return nil
	}
	w.gone = true
	r := w.find(b)
	own := b.Spec.DeletionPolicy == v1alpha1.DeletionPolicyCancel || b.Spec.DeletionPolicy == "" && !batch.Adopted(b) || detaches(b)
	warned := slices.ContainsFunc(events, func(e lifecycle.Event) bool { return e.Warning && strings.Contains(e.Message, "may ") })
	if own && r != nil && r.status == upstream.InProgress && !r.cancelAsked && !warned {
		return fmt.Errorf("let go while batch %s runs on, without a word", r.id)
	}
	return w.checkDetached(b, warned)
}

// checkDetached says whether an object was let go with files in the store that were to be taken
// out. Once all is calm, there is no excuse.
func (w *simulation) checkDetached(b *object, warned bool) error {
	if !detaches(b) {
		return nil
	}
	w.detached = true
	if left := len(w.inStore); left > 0 && !w.vanished && (!warned || w.quiet) {
		return fmt.Errorf("let go with %d files in the store", left)
	}
	return nil
}

// checkTruth holds an end that is told against the upstream, and against the spec that the pass
// saw: a patch without a version may hide from it that the spec was edited meanwhile.
func (w *simulation) checkTruth(b *object, status v1alpha1.VectorStoreFileBatchStatus) error {
	if !meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionFinished) || batch.Finished(w.b) {
		return nil
	}
	if status.BatchID == "" {
		if reason := reasonOf(status); reason != v1alpha1.ReasonCancelled {
			return fmt.Errorf("%s without a batch", reason)
		}
		if w.attached {
			return errors.New("it is said that nothing was created, though files are attached")
		}
		return nil
	}
	if err := w.checkCancelOrigin(b, status); err != nil {
		return err
	}
	if acceptedAt := status.CancelRequestedAt; reasonOf(status) == v1alpha1.ReasonDeadlineExceeded && !w.now.Before(acceptedAt.Add(time.Minute)) {
		return nil // the end of the batch was not waited for
	}
	i := slices.IndexFunc(w.batches, func(r *apiBatch) bool { return r.id == status.BatchID })
	if i < 0 || string(w.batches[i].status) != status.Status {
		return fmt.Errorf("batch %s is said to be %s", status.BatchID, status.Status)
	}
	if w.batches[i].counts.Failed != int64(status.FileCounts.Failed) {
		return fmt.Errorf("%d files are said to have failed of %+v", status.FileCounts.Failed, w.batches[i].counts)
	}
	return nil
}

// checkBlame says whether an end is put down to somebody who did not bring it about.
func (w *simulation) checkCancelOrigin(b *object, status v1alpha1.VectorStoreFileBatchStatus) error {
	reason, cancelAccepted := reasonOf(status), status.CancelRequestedAt != nil
	asked := batch.CancelWanted(b) || cancelAccepted
	if asked && reason == v1alpha1.ReasonCancelledExternally || !asked && reason == v1alpha1.ReasonCancelled {
		return fmt.Errorf("%s is told, and that spec.cancel or the operator asked for it is %t", reason, asked)
	}
	exceeded := reason == v1alpha1.ReasonDeadlineExceeded
	if at, known := deadlineOf(input{b: &object{ObjectMeta: b.ObjectMeta, Spec: b.Spec, Status: status}}); exceeded && (!known || !cancelAccepted || status.CancelRequestedAt.Time.Before(at)) {
		return fmt.Errorf("%s is told of a batch that was not cancelled after its deadline", reason)
	}
	cancelled := exceeded || reason == v1alpha1.ReasonCancelled
	if cancelled && cancelAccepted && !w.reconsidered && exceeded != w.byDeadline {
		return fmt.Errorf("%s is told, and that the deadline made the cancel is %t", reason, w.byDeadline)
	}
	return nil
}

// interfere is one thing that people and tools do to the object.
func (w *simulation) interfere() {
	if w.gone {
		return
	}
	b := w.b.DeepCopy()
	if w.chance(2) {
		w.edit(b)
	} else {
		w.damage(b)
	}
	if !reflect.DeepEqual(b.Spec, w.b.Spec) {
		b.Generation++
		w.reconsidered = true
	}
	w.logf("interfered: cancel %t, suspend %t, deadline %v, TTL %v, policy %q, deleted %v, status of generation %d, annotations %v, store gone %t",
		batch.CancelWanted(b), batch.Suspended(b), b.Spec.ActiveDeadlineSeconds != nil, b.Spec.TTLSecondsAfterFinished != nil,
		b.Spec.DeletionPolicy, b.DeletionTimestamp, b.Status.ObservedGeneration, b.Annotations, w.vanished)
	w.b = b
	w.version++
	w.gone = !b.DeletionTimestamp.IsZero() && !batch.HasFinalizer(b)
	w.nextReconcile, w.watched = w.now, true // the watch brings it
}

// edit is one change that people make to a spec.
func (w *simulation) edit(b *object) {
	switch w.random.IntN(8) {
	case 0:
		b.Spec.Cancel = ptr(true)
	case 1:
		b.Spec.Cancel = []*bool{nil, ptr(false)}[w.random.IntN(2)]
	case 2:
		b.Spec.MaxFailedFiles = ptr(w.random.Int32N(3))
	case 3:
		b.Spec.DeletionPolicy = []v1alpha1.DeletionPolicy{"", "Cancel", "Orphan", "DetachFiles"}[w.random.IntN(4)]
	case 4:
		b.Spec.Suspend = ptr(true)
	case 5:
		b.Spec.Suspend = []*bool{nil, ptr(false)}[w.random.IntN(2)]
	case 6:
		if b.Spec.ActiveDeadlineSeconds = nil; !w.chance(3) {
			deadline(w.someDuration())(b)
		}
	case 7:
		if b.Spec.TTLSecondsAfterFinished = nil; !w.chance(3) {
			ttl(w.someDuration() - time.Second)(b)
		}
	}
}

// damage is one thing that is taken away. Losing both the status and the annotation at once
// loses the ID for good, so that does not happen here.
func (w *simulation) damage(b *object) {
	switch w.random.IntN(4) {
	case 0:
		if w.chance(2) && b.DeletionTimestamp.IsZero() {
			b.DeletionTimestamp = &metav1.Time{Time: w.now.Truncate(time.Second)}
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
		w.vanished = w.vanished || w.chance(10)
	}
}
