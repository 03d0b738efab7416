// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

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
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// remote is a batch as the upstream has it.
type remote struct {
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
type world struct {
	random *rand.Rand
	now    time.Time
	// calm is when faults and people have come to rest.
	calm bool

	// b is the object as the API server has it, and gone that it was removed.
	b    *object
	gone bool
	// version is the object's resourceVersion.
	version int

	memory batch.Memory
	// nextPass is when the loop looks at the object; zero where nothing is planned. watched
	// tells that somebody changed the object since the last pass began.
	nextPass time.Time
	watched  bool

	remotes []*remote
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
	byDeadline, rethought bool
	// latched tells that a cancel was in the status before. It can get lost there, and comes back
	// out of the operator's memory, after people have changed something.
	latched bool
	// expired and detached tell what the object's end was like.
	expired, detached bool

	// effects counts creates that took effect, and unknowns those whose outcome the loop could
	// not learn.
	effects, unknowns int
	// unsettled tells that a create was started whose outcome the loop has not learned yet.
	unsettled bool
	// kept is the ID that was stored.
	kept string

	// trace is told what happens, where it is set.
	trace func(format string, args ...any)
}

func newWorld(seed uint64) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, seed)), now: epoch, nextPass: epoch}
	w.b = fresh(func(b *object) {
		b.CreationTimestamp = metav1.Time{Time: epoch}
		b.Spec.FileIDs = []string{"file-c", "file-a", "file-b", "file-a", "file-e", "file-d"}
	})
	w.inStore, w.shrinks = make(map[string]bool), w.chance(2)
	if w.chance(5) {
		adopted(w.b)
		w.bring("batch_1", epoch.Add(-time.Hour), "file-a", "file-b", "file-c", "file-d")
	}
	if w.chance(8) {
		wantsCancel(w.b)
	}
	if w.chance(3) {
		deadline(w.somewhile())(w.b)
	}
	if w.chance(8) {
		ttl(w.somewhile())(w.b)
	}
	if w.chance(3) {
		policy(v1alpha1.DeletionPolicyDetachFiles)(w.b)
	}
	return w
}

// bring makes a batch, whose files are attached from then on.
func (w *world) bring(id string, createdAt time.Time, files ...string) *remote {
	n := int64(len(files))
	r := &remote{id: id, createdAt: createdAt, status: upstream.InProgress, counts: upstream.FileCounts{InProgress: n, Total: n}, files: files, stuck: w.chance(4)}
	w.remotes = append(w.remotes, r)
	for _, file := range files {
		w.inStore[file] = true
	}
	return r
}

// somewhile is a time that a spec may name.
func (w *world) somewhile() time.Duration {
	return []time.Duration{time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}[w.random.IntN(4)]
}

// chance is true once in n times.
func (w *world) chance(n int) bool { return w.random.IntN(n) == 0 }

// between is a random time from one up to another.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.random.Int64N(int64(most-least)+1))
}

func (w *world) tell(format string, args ...any) {
	if w.trace != nil {
		w.trace("%s  "+format, append([]any{w.now.Sub(epoch)}, args...)...)
	}
}

// errCrash, errConflict and errAPI end a pass before its end.
type interruption string

func (i interruption) Error() string { return string(i) }

const (
	errCrash    interruption = "the process died"
	errConflict interruption = "the object was changed in between"
	errAPI      interruption = "the API server did not answer"
)

// pass makes one pass as the loop does, and says what was wrong in it.
func (w *world) pass() error {
	seen := batch.Observation{Memory: w.memory}
	b, version := w.b.DeepCopy(), w.version
	w.nextPass, w.watched = time.Time{}, false
	var told []batch.Event
	for {
		q := question{b: b, seen: seen, now: w.now}
		d := rules.Decide(b, seen, w.now)
		told = append(told, d.Events...)
		w.tell("%s: %s %s after %s %v", d.Action, reasonOf(d.Status), d.Status.Status, d.After, d.Events)
		if err := checkDecision(q, d); err != nil {
			return err
		}
		if len(seen.Took) > mostActions {
			return fmt.Errorf("no end of actions: %v", seen.Took)
		}
		if d.Action.Ends() {
			return w.conclude(b, version, d, told)
		}
		stopped, err := w.act(b, &version, d.Action, &seen)
		if err != nil {
			return err
		}
		if stopped != nil {
			w.interrupted(stopped)
			return nil
		}
	}
}

// interrupted plans the pass after one that was not brought to its end.
func (w *world) interrupted(why error) {
	w.tell("interrupted: %v", why)
	w.nextPass = w.now.Add(50 * time.Millisecond)
	if errors.Is(why, errCrash) {
		w.crash()
	}
}

// crash ends the process; another one begins soon.
func (w *world) crash() {
	w.memory = batch.Memory{}
	w.learnedNothing()
	w.nextPass = w.now.Add(w.between(0, 20*time.Second))
}

// learnedNothing counts a create whose outcome the loop cannot learn any more, once.
func (w *world) learnedNothing() {
	if w.unsettled {
		w.unknowns++
	}
	w.unsettled = false
}

// dies reports whether the process dies here.
func (w *world) dies() bool { return !w.calm && w.chance(60) }

// patch changes the metadata of the object, as far as the API server is there and, for a patch
// with a version, nobody was faster.
func (w *world) patch(b *object, version *int, locked bool, change func(*object)) error {
	if !w.calm && w.chance(20) {
		w.interfere()
	}
	switch {
	case w.dies():
		return errCrash
	case w.gone, !w.calm && w.chance(60):
		return errAPI
	case locked && *version != w.version:
		return errConflict
	}
	w.b = w.b.DeepCopy()
	change(w.b)
	w.version++
	*version = w.version
	b.Annotations, b.Finalizers = w.b.DeepCopy().Annotations, slices.Clone(w.b.Finalizers)
	w.lookAfterID()
	switch {
	case w.dies():
		return errCrash
	case !w.calm && w.chance(60):
		return errAPI // it took effect, and the answer was lost
	}
	return nil
}

// lookAfterID notes the ID of a batch once it is stored.
func (w *world) lookAfterID() {
	if id := batch.ID(w.b); w.kept == "" && id != "" {
		w.kept = id
		w.unsettled = false
	}
}

// act takes an action. It says why the pass ends here, if it does, and what was wrong.
func (w *world) act(b *object, version *int, action batch.Action, seen *batch.Observation) (stopped, err error) {
	if asksUpstream(action) && batch.Finished(w.b) && action != batch.Detach {
		return nil, fmt.Errorf("%s after the batch was over", action)
	}
	seen.Took, seen.Err = append(seen.Took, action), nil
	switch action {
	case batch.Hold:
		return w.patch(b, version, true, hold), nil
	case batch.KeepID:
		id := idToKeep(b, *seen)
		return w.patch(b, version, false, func(b *object) { keep(b, id) }), nil
	case batch.ForgetIntent:
		return w.patch(b, version, true, forget), nil
	case batch.Create:
		return w.create(b, version, seen)
	case batch.Probe:
		seen.Err = w.fault(nil)
		seen.Attached = w.attached
	case batch.Retrieve, batch.Cancel:
		w.ask(b, action, seen)
	case batch.ListFailedFiles:
		seen.Err = w.fault(w.find(b))
		seen.FailedFiles = failedOf(w.find(b))
	case batch.Detach:
		if died := w.detach(b, seen); died {
			return errCrash, nil
		}
	case batch.Rest, batch.Delete, batch.Release:
		return nil, fmt.Errorf("%s is not an action to take in the middle of a pass", action)
	}
	if w.dies() {
		return errCrash, nil
	}
	return nil, nil
}

func forget(b *object) { delete(b.Annotations, v1alpha1.AnnotationCreateStartedAt) }

// create stores the intent, creates a batch, and stores its ID.
func (w *world) create(b *object, version *int, seen *batch.Observation) (stopped, err error) {
	if w.kept != "" {
		return nil, fmt.Errorf("created again, with batch %s stored", w.kept)
	}
	startedAt, before := w.now, b.Annotations[v1alpha1.AnnotationCreateStartedAt]
	if stopped := w.patch(b, version, true, func(b *object) { hold(b); intendedAt(startedAt)(b) }); stopped != nil {
		return stopped, nil // nothing was sent
	}
	w.unsettled = true
	w.now = w.now.Add(w.between(0, rules.RequestTimeout))
	made, failure := w.post()
	if w.effects > 1+w.unknowns {
		return nil, fmt.Errorf("%d batches were created, though the outcome was unknown %d times only", w.effects, w.unknowns)
	}
	if w.dies() {
		return errCrash, nil
	}
	if seen.Err = failure; failure != nil {
		if failure.Kind == upstream.UnknownOutcome {
			w.learnedNothing()
			return nil, nil
		}
		if seen.Attached {
			return w.patch(b, version, false, func(b *object) { b.Annotations[v1alpha1.AnnotationCreateStartedAt] = before }), nil
		}
		w.unsettled = false
		return w.patch(b, version, false, forget), nil
	}
	seen.Batch, seen.Memory.CreatedID = made, made.ID
	w.memory = seen.Memory
	return w.patch(b, version, false, func(b *object) { keep(b, made.ID) }), nil
}

// post creates a batch, or gives one of the many ways in which that can go wrong.
func (w *world) post() (*upstream.Batch, *upstream.Error) {
	lost := !w.calm && w.chance(4)
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
	r := w.bring(fmt.Sprintf("batch_%d", len(w.remotes)+1), w.now.Truncate(time.Second), "file-a", "file-b", "file-c", "file-d", "file-e")
	w.effects++
	w.attached = true
	w.tell("upstream: created %s", r.id)
	if lost {
		return nil, unknown
	}
	return r.answer(), nil
}

// retryAfter is how long the upstream asks to be left alone: short, but for a few times.
func (w *world) retryAfter() time.Duration {
	if w.chance(4) {
		return w.between(0, time.Hour)
	}
	return w.between(0, time.Minute)
}

// fault is what goes wrong with a call that asks about a batch, or about nothing in particular.
func (w *world) fault(r *remote) *upstream.Error {
	if w.calm || !w.chance(4) {
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
		if r != nil && w.now.Sub(r.createdAt) < rules.NotFoundGrace {
			failure.Kind, failure.StatusCode = upstream.NotFound, 404
		}
	}
	return failure
}

// find is the batch that the object stands for; nil where the upstream has none.
func (w *world) find(b *object) *remote {
	for _, r := range w.remotes {
		if r.id == batch.ID(b) && !w.vanished {
			return r
		}
	}
	return nil
}

// ask reads or cancels the batch.
func (w *world) ask(b *object, action batch.Action, seen *batch.Observation) {
	r := w.find(b)
	if r == nil {
		seen.Err = &upstream.Error{Kind: upstream.NotFound, StatusCode: 404, Message: "no such batch"}
		return
	}
	seen.Err = w.fault(r)
	if action == batch.Cancel && (seen.Err == nil || seen.Err.Kind == upstream.Transient && w.chance(2)) {
		r.cancel(w.chance(2))
		w.tell("upstream: cancel of %s: %s", r.id, r.status)
	}
	if seen.Err != nil {
		return
	}
	if action == batch.Cancel && r.status != upstream.InProgress && !r.cancelAsked && w.chance(2) {
		seen.Err = &upstream.Error{Kind: upstream.Rejected, StatusCode: 400, Message: "it is over"} // as some servers have it
		return
	}
	if action == batch.Cancel {
		seen.Memory.CancelledID, seen.Memory.CancelledAt = r.id, w.now
		w.memory = seen.Memory
	}
	seen.Batch = w.shown(r)
}

// portion is how many files one pass takes out of the store.
const portion = 2

// detach takes files out of the store, one after the other, until one cannot be taken.
func (w *world) detach(b *object, seen *batch.Observation) (died bool) {
	if seen.Err = w.fault(nil); seen.Err != nil {
		return false
	}
	files, first := w.filesOf(b), int(b.Status.DetachedFiles)
	if batch.Adopted(b) {
		first = 0
		for first < len(files) && files[first] <= seen.Memory.DetachedUpTo {
			first++
		}
	}
	seen.Detached, seen.Left = first, len(files)-first
	for _, file := range files[first:min(first+portion, len(files))] {
		if seen.Err = w.fault(nil); seen.Err != nil {
			return false
		}
		delete(w.inStore, file)
		w.tell("upstream: detached %s", file)
		seen.Memory.DetachedUpTo, seen.Memory.DetachedAt = file, w.now
		seen.Detached, seen.Left = seen.Detached+1, seen.Left-1
		if w.dies() {
			return true
		}
	}
	return false
}

// filesOf are the files that a deletion takes out of the store: those of the spec, or those
// that the upstream lists of an adopted batch.
func (w *world) filesOf(b *object) []string {
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
func (w *world) shown(r *remote) *upstream.Batch {
	a := r.answer()
	if !w.calm && r.status == upstream.InProgress && w.chance(6) {
		a.Status = wrongStatus
	}
	if w.chance(10) {
		a.PollAfter = w.between(0, 20*time.Second)
	}
	return a
}

// cancel stops a batch that is in progress, now or soon.
func (r *remote) cancel(now bool) {
	if r.status != upstream.InProgress {
		return
	}
	r.cancelAsked = true
	if now {
		r.end(upstream.Cancelled)
	}
}

// end brings a batch to its end.
func (r *remote) end(status upstream.Status) {
	r.status = status
	if status == upstream.Cancelled {
		r.counts.Cancelled += r.counts.InProgress
	} else {
		r.counts.Completed += r.counts.InProgress
	}
	r.counts.InProgress = 0
}

func (r *remote) answer() *upstream.Batch {
	return &upstream.Batch{ID: r.id, CreatedAt: r.createdAt, Status: r.status, FileCounts: r.counts}
}

func failedOf(r *remote) []upstream.FailedFile {
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
func (w *world) process() {
	for _, r := range w.remotes {
		switch {
		case r.status != upstream.InProgress:
		case r.stuck && (!w.calm || w.endsByDeadline()):
		case r.cancelAsked:
			if w.calm || w.chance(2) {
				r.end(upstream.Cancelled)
			}
		case w.calm && batch.CancelWanted(w.b):
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
func (w *world) endsByDeadline() bool {
	at, known := deadlineOf(question{b: w.b})
	latch := w.b.Status.CancelRequestedAt
	return known && !batch.Suspended(w.b) && !batch.CancelWanted(w.b) && (latch == nil || !latch.Time.Before(at))
}

// conclude stores what a pass came to, and plans the next.
func (w *world) conclude(b *object, version int, d batch.Decision, told []batch.Event) error {
	if w.dies() {
		w.interrupted(errCrash)
		return nil
	}
	if d.Action == batch.Release {
		return w.release(b, version, told)
	}
	if version != w.version || w.gone {
		w.interrupted(errConflict)
		return nil
	}
	if d.Action == batch.Delete {
		return w.expire(told)
	}
	if d.Status.CancelRequestedAt != nil && w.b.Status.CancelRequestedAt == nil {
		w.byDeadline, w.rethought = !batch.CancelWanted(b), w.latched && w.rethought || !reflect.DeepEqual(b.Spec, w.b.Spec)
		w.latched = true
	}
	if err := w.checkTruth(b, d.Status); err != nil {
		return err
	}
	w.b = w.b.DeepCopy()
	w.b.Status = *d.Status.DeepCopy()
	w.version++
	w.lookAfterID()
	if w.kept != "" && batch.ID(w.b) != w.kept {
		return fmt.Errorf("the ID %s was stored, and now it is %q", w.kept, batch.ID(w.b))
	}
	if w.plan(d); w.watched {
		w.nextPass = w.now
	}
	return nil
}

// plan says when the next pass is, as the loop does.
func (w *world) plan(d batch.Decision) {
	if w.memory = d.Memory; d.After <= 0 {
		w.memory = batch.Memory{}
		w.learnedNothing()
		return
	}
	if d.Reset {
		d.After = max(time.Duration(float64(d.After)*(0.8+0.4*w.random.Float64())), d.NotBefore)
		w.memory.NextCall = w.now.Add(d.After)
	}
	w.nextPass = w.now.Add(wait(d))
}

// expire deletes an object whose time to live is over, as anybody may.
func (w *world) expire(told []batch.Event) error {
	if !slices.ContainsFunc(told, func(e batch.Event) bool { return e.Reason == v1alpha1.ReasonTTLExpired }) {
		return errors.New("the object was deleted without a word")
	}
	w.expired = true
	w.memory = batch.Memory{}
	w.b = w.b.DeepCopy()
	deletedAt(w.now.Truncate(time.Second))(w.b)
	w.version++
	w.gone = !batch.Held(w.b)
	w.nextPass = w.now // the watch brings it
	return nil
}

// release lets the object go, if what its deletionPolicy asks for was done or given up aloud.
func (w *world) release(b *object, version int, told []batch.Event) error {
	if version != w.version {
		w.interrupted(errConflict)
		return nil
	}
	w.gone = true
	r := w.find(b)
	own := b.Spec.DeletionPolicy == v1alpha1.DeletionPolicyCancel || b.Spec.DeletionPolicy == "" && !batch.Adopted(b) || detaches(b)
	warned := slices.ContainsFunc(told, func(e batch.Event) bool { return e.Warning && strings.Contains(e.Message, "may ") })
	if own && r != nil && r.status == upstream.InProgress && !r.cancelAsked && !warned {
		return fmt.Errorf("let go while batch %s runs on, without a word", r.id)
	}
	return w.checkDetached(b, warned)
}

// checkDetached says whether an object was let go with files in the store that were to be taken
// out. Once all is calm, there is no excuse.
func (w *world) checkDetached(b *object, warned bool) error {
	if !detaches(b) {
		return nil
	}
	w.detached = true
	if left := len(w.inStore); left > 0 && !w.vanished && (!warned || w.calm) {
		return fmt.Errorf("let go with %d files in the store", left)
	}
	return nil
}

// checkTruth holds an end that is told against the upstream, and against the spec that the pass
// saw: a patch without a version may hide from it that the spec was edited meanwhile.
func (w *world) checkTruth(b *object, status v1alpha1.VectorStoreFileBatchStatus) error {
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
	if err := w.checkBlame(b, status); err != nil {
		return err
	}
	if latch := status.CancelRequestedAt; reasonOf(status) == v1alpha1.ReasonDeadlineExceeded && !w.now.Before(latch.Add(time.Minute)) {
		return nil // the end of the batch was not waited for
	}
	i := slices.IndexFunc(w.remotes, func(r *remote) bool { return r.id == status.BatchID })
	if i < 0 || string(w.remotes[i].status) != status.Status {
		return fmt.Errorf("batch %s is said to be %s", status.BatchID, status.Status)
	}
	if w.remotes[i].counts.Failed != int64(status.FileCounts.Failed) {
		return fmt.Errorf("%d files are said to have failed of %+v", status.FileCounts.Failed, w.remotes[i].counts)
	}
	return nil
}

// checkBlame says whether an end is put down to somebody who did not bring it about.
func (w *world) checkBlame(b *object, status v1alpha1.VectorStoreFileBatchStatus) error {
	reason, latched := reasonOf(status), status.CancelRequestedAt != nil
	asked := batch.CancelWanted(b) || latched
	if asked && reason == v1alpha1.ReasonCancelledExternally || !asked && reason == v1alpha1.ReasonCancelled {
		return fmt.Errorf("%s is told, and that spec.cancel or the operator asked for it is %t", reason, asked)
	}
	exceeded := reason == v1alpha1.ReasonDeadlineExceeded
	if at, known := deadlineOf(question{b: &object{ObjectMeta: b.ObjectMeta, Spec: b.Spec, Status: status}}); exceeded && (!known || !latched || status.CancelRequestedAt.Time.Before(at)) {
		return fmt.Errorf("%s is told of a batch that was not cancelled after its deadline", reason)
	}
	cancelled := exceeded || reason == v1alpha1.ReasonCancelled
	if cancelled && latched && !w.rethought && exceeded != w.byDeadline {
		return fmt.Errorf("%s is told, and that the deadline made the cancel is %t", reason, w.byDeadline)
	}
	return nil
}

// interfere is one thing that people and tools do to the object.
func (w *world) interfere() {
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
		w.rethought = true
	}
	w.tell("interfered: cancel %t, suspend %t, deadline %v, TTL %v, policy %q, deleted %v, status of generation %d, annotations %v, store gone %t",
		batch.CancelWanted(b), batch.Suspended(b), b.Spec.ActiveDeadlineSeconds != nil, b.Spec.TTLSecondsAfterFinished != nil,
		b.Spec.DeletionPolicy, b.DeletionTimestamp, b.Status.ObservedGeneration, b.Annotations, w.vanished)
	w.b = b
	w.version++
	w.gone = !b.DeletionTimestamp.IsZero() && !batch.Held(b)
	w.nextPass, w.watched = w.now, true // the watch brings it
}

// edit is one change that people make to a spec.
func (w *world) edit(b *object) {
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
			deadline(w.somewhile())(b)
		}
	case 7:
		if b.Spec.TTLSecondsAfterFinished = nil; !w.chance(3) {
			ttl(w.somewhile() - time.Second)(b)
		}
	}
}

// damage is one thing that is taken away. Losing both the status and the annotation at once
// loses the ID for good, so that does not happen here.
func (w *world) damage(b *object) {
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
