// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// option is one value of a dimension: a way to change an object, and what is remembered of it.
type option struct {
	name  string
	apply func(*object, *lifecycle.State)
}

func opt(name string, changes ...change) option {
	return option{name, func(b *object, _ *lifecycle.State) {
		for _, apply := range changes {
			apply(b)
		}
	}}
}

func withState(name string, state lifecycle.State) option {
	return option{name, func(_ *object, m *lifecycle.State) { *m = state }}
}

// rememberingCancel is that the upstream took a cancel, which could not be stored. Nobody
// remembers that of an object that is over, as its status was stored.
func withCancelAccepted(name, id string) option {
	return option{name, func(b *object, m *lifecycle.State) {
		if !batch.Finished(b) {
			*m = lifecycle.State{Unsaved: lifecycle.Unsaved{CancelledID: id, CancelledAt: epoch.Add(-5 * time.Second)}}
		}
	}}
}

// mirroring is a status that an earlier pass left: the upstream's word, and the conditions.
func withStatus(word, reason string, failed int32) option {
	return opt(word+"/"+reason, func(b *object) {
		b.Status.ObservedGeneration = b.Generation
		b.Status.Status = word
		if word != "" {
			b.Status.FileCounts = &v1alpha1.FileCounts{Failed: failed, Total: 200}
			b.Status.CreatedAt = &metav1.Time{Time: epoch.Add(-time.Hour)}
		}
		row, _ := rowOf(reason)
		for _, condition := range row.conditions() {
			condition.Reason, condition.Message = reason, "as before"
			condition.ObservedGeneration = b.Generation
			condition.LastTransitionTime = metav1.Time{Time: epoch.Add(-time.Minute)}
			b.Status.Conditions = append(b.Status.Conditions, condition)
		}
		if row.finished == yes {
			b.Status.FinishedAt = &metav1.Time{Time: epoch.Add(-time.Minute)}
		}
	})
}

func statusID(id string) change { return func(b *object) { b.Status.BatchID = id } }

// dimensions are all that a decision depends on, but for what a pass sees. Their product is
// the space of objects that the walk takes from. TestDecide_EquivalentSpecs says why fileIDs,
// and a cancel or a suspend that is false, are not in it.
var dimensions = [][]option{
	{
		opt("files", func(b *object) { b.Spec.FileIDs, b.Spec.Files = nil, []v1alpha1.File{{FileID: "file-a"}} }),
		opt("adopted", adopted),
		opt("invalid", func(b *object) { b.Spec.FileIDs = nil }),
	},
	{opt("cancel unset"), opt("cancel true", wantsCancel)},
	{opt("no policy"), opt("policy Cancel", policy("Cancel")), opt("policy Orphan", policy("Orphan")), opt("policy DetachFiles", policy("DetachFiles"))},
	{opt("kept"), opt("deleted", deletedAt(epoch.Add(-time.Minute))), opt("deleted long ago", deletedAt(epoch.Add(-time.Hour)))},
	{opt("not held"), opt("held", hasFinalizer)},
	{
		opt("no intent"),
		opt("fresh intent", pendingSince(epoch.Add(-time.Second))),
		opt("settled intent", pendingSince(epoch.Add(-time.Hour))),
		opt("garbage intent", annotated(v1alpha1.AnnotationCreateStartedAt, "yesterday")),
		opt("future intent", pendingSince(epoch.Add(time.Hour))),
	},
	{
		opt("not visited"),
		withStatus("", "CreateOutcomeUnknown", 0),
		withStatus("", "Suspended", 0),
		withStatus("in_progress", "Suspended", 1),
		withStatus("in_progress", "InProgress", 1),
		withStatus("in_progress", "BatchNotFound", 1),
		withStatus("finalizing", "Cancelling", 150),
		withStatus("completed", "UpstreamUnavailable", 1), // the failed files could not be read yet
		withStatus("failed", "CredentialsRejected", 150),
		withStatus("cancelled", "RateLimited", 1),
		withStatus("completed", "Completed", 0),
		withStatus("completed", "FilesFailed", 5),
		withStatus("failed", "BatchFailed", 1),
		withStatus("cancelled", "Cancelled", 0),
		withStatus("cancelled", "CancelledExternally", 0),
		withStatus("cancelled", "DeadlineExceeded", 0),
		withStatus("in_progress", "DeadlineExceeded", 1), // it was stuck
	},
	{
		opt("no ID"),
		opt("annotated ID", annotated(v1alpha1.AnnotationBatchID, "batch_1")),
		opt("status ID", statusID("batch_1")),
		opt("both IDs", annotated(v1alpha1.AnnotationBatchID, "batch_1"), statusID("batch_1")),
		opt("conflicting IDs", annotated(v1alpha1.AnnotationBatchID, "batch_2"), statusID("batch_1")),
		opt("unusable ID", annotated(v1alpha1.AnnotationBatchID, "../batch_1")),
	},
	{opt("not suspended"), opt("suspended", suspends)},
	{opt("no deadline"), opt("deadline in 30s", deadline(time.Hour+30*time.Second)), opt("deadline 30m ago", deadline(30*time.Minute))},
	{
		opt("no latch"),
		opt("latch 45m ago", cancelAcceptedAt(epoch.Add(-45*time.Minute))),
		opt("latch 10m ago", cancelAcceptedAt(epoch.Add(-10*time.Minute))),
		opt("latch 10s ago", cancelAcceptedAt(epoch.Add(-10*time.Second))),
	},
	{opt("no TTL"), opt("TTL 0", ttl(0)), opt("TTL over", ttl(30*time.Second)), opt("TTL not over", ttl(time.Hour))},
	{opt("nothing detached"), opt("1 detached", func(b *object) { b.Status.DetachedFiles = 1 })},
	{opt("observed"), opt("edited", func(b *object) { b.Generation++ })},
	{
		withState("remembers nothing", lifecycle.State{}),
		withState("due after failures", lifecycle.State{Backoff: lifecycle.Backoff{Failed: lifecycle.Poll, Failures: 7, NotFound: 1, PollInterval: time.Minute}}),
		withState("polls later", lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Minute), PollInterval: time.Minute}}),
		withState("cancels later", lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Minute), Failed: lifecycle.Cancel, Failures: 3}}),
		withState("listing failed", lifecycle.State{Backoff: lifecycle.Backoff{Failed: lifecycle.ListFailedFiles, Failures: 9}}),
		withState("create answered", lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Minute), Failed: lifecycle.Create, Failures: 2}, Unsaved: lifecycle.Unsaved{CreateAnswered: true}}),
		withState("created", lifecycle.State{Unsaved: lifecycle.Unsaved{CreatedID: "batch_1"}}),
		withCancelAccepted("cancel taken", "batch_1"),
		withCancelAccepted("cancel taken of another", "batch_9"),
		withState("detached lately", lifecycle.State{DetachProgress: lifecycle.DetachProgress{LastDetached: "file-001", DetachedAt: epoch.Add(-5 * time.Second)}}),
		withState("detaches later", lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Minute), Failed: lifecycle.Detach, Failures: 3}, DetachProgress: lifecycle.DetachProgress{LastDetached: "file-001"}}),
	},
}

// errorsOfCalls are one error of each kind, and more where what follows depends on more.
var errorsOfCalls = []*upstream.Error{
	{Kind: upstream.UnknownOutcome, Message: "lost"},
	{Kind: upstream.UnknownOutcome, Message: "bad gateway", StatusCode: 502, RetryAfter: 20 * time.Minute},
	{Kind: upstream.Transient, Message: "unavailable", StatusCode: 503, RetryAfter: 20 * time.Minute},
	{Kind: upstream.RateLimited, Message: "slow down", StatusCode: 429, RetryAfter: 20 * time.Minute},
	{Kind: upstream.Rejected, Message: strings.Repeat("é", 1024), StatusCode: 400},
	{Kind: upstream.NotFound, Message: "not found", StatusCode: 404},
	{Kind: upstream.Unauthorized, Message: "no", StatusCode: 401},
	{Kind: upstream.NoCredentials, Message: "Secret openai has no key OPENAI_API_KEY"},
}

func failedCalls() []result {
	results := make([]result, 0, len(errorsOfCalls))
	for _, err := range errorsOfCalls {
		results = append(results, result{err: err})
	}
	return results
}

// failedDetaches fail at once, and after some files.
func failedDetaches() []result {
	results := failedCalls()
	for _, err := range errorsOfCalls {
		results = append(results, result{err: err, detached: 2, left: 1})
	}
	return results
}

// batches are answers about a batch in every state, with failures below and above what
// maxFailedFiles allows and the status lists.
func batches(failed ...int64) []result {
	var results []result
	for _, status := range []upstream.Status{upstream.InProgress, wrongStatus, upstream.Completed, upstream.Failed, upstream.Cancelled} {
		for _, n := range failed {
			results = append(results, result{batch: answer(status, failures(n), pollAfter(2*time.Minute))})
		}
	}
	return results
}

// walker makes every pass that is possible from an object.
type walker struct {
	// results are what can come of each action.
	results map[lifecycle.Action][]result
	// picks is how many of them are followed, all where it is 0; index decides which.
	picks, index int
	// paths counts passes that came to their end.
	paths int
}

// picked are the results of an action that are followed. Over neighbouring objects, all are.
func (w *walker) picked(action lifecycle.Action) []result {
	all := w.results[action]
	if w.picks == 0 || len(all) <= w.picks {
		return all
	}
	var some []result
	for range w.picks {
		some = append(some, all[w.index%len(all)])
		w.index++
	}
	return some
}

func newWalker(failed ...int64) *walker {
	none := []result{{}}
	observed := append(failedCalls(), batches(failed...)...)
	return &walker{results: map[lifecycle.Action][]result{
		lifecycle.Requeue: nil, lifecycle.Delete: nil, lifecycle.RemoveFinalizer: nil,
		lifecycle.AddFinalizer: none, lifecycle.RecordBatchID: none, lifecycle.ClearCreatePending: none,
		lifecycle.Create: observed, lifecycle.Poll: observed, lifecycle.Cancel: observed,
		lifecycle.VerifyCreate:    append(failedCalls(), result{}, result{attached: true}),
		lifecycle.ListFailedFiles: append(failedCalls(), result{}, result{files: someFailedFiles()}),
		lifecycle.Detach:          append(failedDetaches(), result{}, result{detached: 2}, result{detached: 2, left: 1}),
	}}
}

// someFailedFiles are in no order, and one of them is larger than a status takes.
func someFailedFiles() []upstream.FailedFile {
	return []upstream.FailedFile{
		{FileID: "file-z", Code: "server_error"},
		{Code: "no ID"},
		{FileID: "file-a\xff", Code: strings.Repeat("c", 200), Message: strings.Repeat("é", 2000)},
	}
}

// mostActions is how many actions a pass takes at most.
const mostActions = 5

// visit follows every way that a pass can go from here.
func (w *walker) explore(q input) error {
	d := config.Decide(q.b, q.observed, q.now)
	if err := checkDecision(q, d); err != nil {
		return fmt.Errorf("%s: %w", describe(q.observed), err)
	}
	if d.Action.Terminal() {
		w.paths++
		if again := config.Decide(q.b, q.observed, q.now); w.paths%8 == 0 && !reflect.DeepEqual(d, again) {
			return fmt.Errorf("after %v: two answers to one question", q.observed.Actions)
		}
		return w.exploreEarly(q, d)
	}
	if len(q.observed.Actions) == mostActions {
		return fmt.Errorf("after %v: no end, but %s", q.observed.Actions, d.Action)
	}
	for _, r := range w.picked(d.Action) {
		next := q
		next.b, next.observed = apply(q.b, q.observed, d, r, q.now)
		if err := w.explore(next); err != nil {
			return err
		}
	}
	return nil
}

// story tells what a pass did so far.
func describe(observed lifecycle.Observed) string {
	if observed.Err == nil {
		return fmt.Sprintf("after %v", observed.Actions)
	}
	return fmt.Sprintf("after %v, with error %q", observed.Actions, observed.Err.Error())
}

// visitEarly makes the pass that the write of the status brings about: it comes before
// anything is due, so it must change nothing, and tell nothing.
func (w *walker) exploreEarly(q input, d lifecycle.Decision) error {
	if d.Action != lifecycle.Requeue || 0 < d.RequeueAfter && d.RequeueAfter < time.Second {
		return nil
	}
	early := input{b: withOwnMetadata(q.b), observed: lifecycle.Observed{State: d.State}, now: q.now}
	early.b.Status = d.Status
	e := config.Decide(early.b, early.observed, early.now)
	switch {
	case canFollowAtOnce(q, early, e):
		return nil
	case e.Action != lifecycle.Requeue:
		return fmt.Errorf("%s: %s at once, not after %s", describe(q.observed), e.Action, d.RequeueAfter)
	case len(e.Events) > 0 || !reflect.DeepEqual(e.Status, d.Status):
		return fmt.Errorf("%s: state %s becomes %s at once: %+v", describe(q.observed), reasonOf(d.Status), reasonOf(e.Status), e.Events)
	case e.RequeueAfter != d.RequeueAfter:
		return fmt.Errorf("%s: requeued after %s, and at once after %s", describe(q.observed), d.RequeueAfter, e.RequeueAfter)
	}
	return nil
}

// mayFollowAtOnce reports whether a decision need not wait until something is due.
func canFollowAtOnce(q, early input, e lifecycle.Decision) bool {
	switch {
	case e.Action == lifecycle.RecordBatchID, e.Action == lifecycle.AddFinalizer, e.Action == lifecycle.Cancel:
		return true // what concerns the upstream waits, but for a first cancel
	case batch.CancelWanted(early.b) && batch.ID(early.b) == "" && reasonOf(e.Status) == v1alpha1.ReasonCancelled:
		return true // nor does a cancel wait that concerns nothing
	}
	exceeded := reasonOf(e.Status) == v1alpha1.ReasonDeadlineExceeded
	return exceeded && q.b.Status.CancelRequestedAt != nil && firstObserved(q) // the deadline was not known
}

// firstSeen reports whether a pass saw a batch of which the status told nothing.
func firstObserved(q input) bool {
	return slices.Contains(q.observed.Actions, lifecycle.Create) || q.b.Status.FileCounts == nil && q.observed.Batch != nil
}

// combination is an object of the space: one option of each dimension.
type combination []option

// combinationAt numbers the space of objects.
func combinationAt(space [][]option, index int) combination {
	chosen := make(combination, len(space))
	for i, options := range space {
		chosen[i], index = options[index%len(options)], index/len(options)
	}
	return chosen
}

func sizeOf(space [][]option) int {
	size := 1
	for _, options := range space {
		size *= len(options)
	}
	return size
}

func (c combination) String() string {
	names := make([]string, len(c))
	for i, chosen := range c {
		names[i] = chosen.name
	}
	return strings.Join(names, ", ")
}

func (c combination) input() input {
	q := input{b: newObject(), now: epoch}
	for _, chosen := range c {
		chosen.apply(q.b, &q.observed.State)
	}
	return q
}

// stride is a prime that divides the size of no space: steps of it come by every object, and
// any number of them meets the options of each dimension, and of any few, equally often.
const stride = 2_147_483_647

// walk makes every pass from a number of objects spread over a space, by several walkers at
// once.
func walk(t *testing.T, space [][]option, objects, picks int, failed ...int64) {
	t.Helper()
	const walkers = 4
	var paths, broken atomic.Int64
	var group sync.WaitGroup
	for first := range walkers {
		group.Go(func() {
			w := newWalker(failed...)
			w.picks, w.index = picks, first
			for i := first; i < objects && broken.Load() < 10; i += walkers {
				c := combinationAt(space, i*stride%sizeOf(space))
				q := c.input()
				q.observed.Jitter = 0.2 * float64(i%3-1)
				err := w.explore(q)
				if err == nil && i%5 == 0 && !reflect.DeepEqual(q.b, c.input().b) {
					err = fmt.Errorf("the object was changed by the rules")
				}
				if err != nil {
					broken.Add(1)
					t.Errorf("%s: %v", c, err)
				}
			}
			paths.Add(int64(w.paths))
		})
	}
	group.Wait()
	t.Logf("%d of %d objects, %d passes", objects, sizeOf(space), paths.Load())
}

// TestWalk_Objects begins at objects in which all options meet, and follows two
// of the answers to each call.
func TestWalk_Objects(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while; TestWalk_Answers covers a part of it")
	}
	walk(t, dimensions, 700_000, 2, 0, 5)
}

// TestWalk_Answers follows every answer to every call, from the objects for which
// that makes a difference.
func TestWalk_Answers(t *testing.T) {
	if testing.Short() {
		walk(t, narrowed(), 10_000, 0, 2)
		return
	}
	walk(t, narrowed(), 10_000, 0, 0, 1, 2, 150)
}

// narrowed is a part of the space in which each option occurs, but for those that make no
// difference to what follows upon an answer.
func narrowed() [][]option {
	space := append([][]option{}, dimensions...)
	space[0] = space[0][:2] // files, adopted
	space[2] = []option{
		opt("1 failure allowed", allowed(1)),
		opt("1 failure allowed, policy DetachFiles", allowed(1), policy("DetachFiles")),
	}
	space[4] = space[4][1:]                       // held
	space[5] = []option{space[5][0], space[5][2]} // no intent and a settled one
	space[7] = space[7][:2]                       // no ID and an annotated one
	space[12] = space[12][:1]                     // nothing detached
	space[13] = space[13][:1]                     // observed
	return space
}

// TestDecide_EquivalentSpecs is why the walk leaves some specs out.
func TestDecide_EquivalentSpecs(t *testing.T) {
	space := append([][]option{}, dimensions...)
	space[0] = space[0][:1] // files
	for i := range sizeOf(space) {
		c := combinationAt(space, i*stride%sizeOf(space))
		q := c.input()
		want := config.Decide(q.b, q.observed, q.now)
		want.Create = nil // it differs as the specs do
		q.b.Spec.FileIDs, q.b.Spec.Files = []string{"file-a"}, nil
		if !batch.CancelWanted(q.b) {
			q.b.Spec.Cancel = ptr(false)
		}
		if !batch.Suspended(q.b) {
			q.b.Spec.Suspend = ptr(false)
		}
		got := config.Decide(q.b, q.observed, q.now)
		if got.Create = nil; !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: with fileIDs, and cancel and suspend false:\n%+v, want\n%+v", c, got, want)
		}
		if i == 50_000 {
			return
		}
	}
}
