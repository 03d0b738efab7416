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

// option is one value of a dimension. It changes the object and the state.
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
	return option{name, func(_ *object, s *lifecycle.State) { *s = state }}
}

// withUnsavedCancel is a cancel that the API accepted and that is not persisted. A finished object
// has none, because its status was persisted.
func withUnsavedCancel(name, id string) option {
	return option{name, func(b *object, s *lifecycle.State) {
		if !batch.Finished(b) {
			*s = lifecycle.State{Unsaved: lifecycle.Unsaved{CancelledID: id, CancelledAt: epoch.Add(-5 * time.Second)}}
		}
	}}
}

// withStatus is a status that an earlier reconciliation persisted: a status of the API, and the
// conditions.
func withStatus(batchStatus, reason string, failed int32) option {
	return opt(batchStatus+"/"+reason, func(b *object) {
		b.Status.ObservedGeneration = b.Generation
		b.Status.Status = batchStatus
		if batchStatus != "" {
			b.Status.FileCounts = &v1alpha1.FileCounts{Failed: failed, Total: 200}
			b.Status.CreatedAt = &metav1.Time{Time: epoch.Add(-time.Hour)}
		}
		row, _ := rowOf(reason)
		for _, condition := range row.conditions() {
			condition.Reason, condition.Message = reason, "unchanged"
			condition.ObservedGeneration = b.Generation
			condition.LastTransitionTime = metav1.Time{Time: epoch.Add(-time.Minute)}
			b.Status.Conditions = append(b.Status.Conditions, condition)
		}
		if row.finished == yes {
			b.Status.CompletionTime = &metav1.Time{Time: epoch.Add(-time.Minute)}
		}
	})
}

func statusID(id string) change { return func(b *object) { b.Status.BatchID = id } }

// dimensions are all inputs of a decision except for the results of actions. Their product is the
// space of objects that the walk samples. TestDecide_EquivalentSpecs shows that fileIDs, and a cancel
// or a suspend that is false, need not be in it.
var dimensions = [][]option{
	{
		opt("files", func(b *object) { b.Spec.FileIDs, b.Spec.Files = nil, []v1alpha1.File{{FileID: "file-a"}} }),
		opt("adopted", adopted),
		opt("invalid", func(b *object) { b.Spec.FileIDs = nil }),
	},
	{opt("cancel unset"), opt("cancel true", cancelWanted)},
	{opt("no policy"), opt("policy Cancel", deletionPolicy("Cancel")), opt("policy Orphan", deletionPolicy("Orphan")), opt("policy DetachFiles", deletionPolicy("DetachFiles"))},
	{opt("not deleted"), opt("deleted", deletedAt(epoch.Add(-time.Minute))), opt("deleted long ago", deletedAt(epoch.Add(-time.Hour)))},
	{opt("no finalizer"), opt("finalizer", withFinalizer)},
	{
		opt("no create pending"),
		opt("create in flight", pendingSince(epoch.Add(-time.Second))),
		opt("create timed out", pendingSince(epoch.Add(-time.Hour))),
		opt("create timed out, 2 lost", pendingSince(epoch.Add(-time.Hour)), lostBefore(2)),
		opt("invalid create time", annotated(v1alpha1.AnnotationCreateStartedAt, "yesterday")),
		opt("future create time", pendingSince(epoch.Add(time.Hour))),
	},
	{
		opt("never reconciled"),
		withStatus("", "CreateOutcomeUnknown", 0),
		withStatus("", "Suspended", 0),
		withStatus("in_progress", "Suspended", 1),
		withStatus("in_progress", "InProgress", 1),
		withStatus("in_progress", "BatchNotFound", 1),
		withStatus("finalizing", "Cancelling", 150),
		withStatus("completed", "UpstreamUnavailable", 1), // the failed files are not listed yet
		withStatus("failed", "CredentialsRejected", 150),
		withStatus("cancelled", "RateLimited", 1),
		withStatus("completed", "Completed", 0),
		withStatus("completed", "FilesFailed", 5),
		withStatus("completed", "FilesMissing", 0),
		withStatus("", "Rejected", 0),
		withStatus("failed", "BatchFailed", 1),
		withStatus("cancelled", "Cancelled", 0),
		withStatus("cancelled", "CancelledExternally", 0),
		withStatus("cancelled", "DeadlineExceeded", 0),
		withStatus("in_progress", "DeadlineExceeded", 1), // the batch is stuck
	},
	{
		opt("no ID"),
		opt("annotated ID", annotated(v1alpha1.AnnotationBatchID, "batch_1")),
		opt("status ID", statusID("batch_1")),
		opt("both IDs", annotated(v1alpha1.AnnotationBatchID, "batch_1"), statusID("batch_1")),
		opt("conflicting IDs", annotated(v1alpha1.AnnotationBatchID, "batch_2"), statusID("batch_1")),
		opt("unusable ID", annotated(v1alpha1.AnnotationBatchID, "../batch_1")),
		opt("copied annotations", func(b *object) {
			metav1.SetMetaDataAnnotation(&b.ObjectMeta, v1alpha1.AnnotationBatchID, "batch_9")
			metav1.SetMetaDataAnnotation(&b.ObjectMeta, v1alpha1.AnnotationRecordedFor, "another object")
		}),
	},
	{opt("not suspended"), opt("suspended", suspended)},
	{opt("no deadline"), opt("deadline in 30s", deadline(time.Hour+30*time.Second)), opt("deadline 30m ago", deadline(30*time.Minute))},
	{
		opt("no cancel accepted"),
		opt("cancel accepted 45m ago", cancelAcceptedAt(epoch.Add(-45*time.Minute))),
		opt("cancel accepted 10m ago", cancelAcceptedAt(epoch.Add(-10*time.Minute))),
		opt("cancel accepted 10s ago", cancelAcceptedAt(epoch.Add(-10*time.Second))),
	},
	{opt("no TTL"), opt("TTL 0", ttl(0)), opt("TTL expired", ttl(30*time.Second)), opt("TTL not expired", ttl(time.Hour))},
	{opt("nothing detached"), opt("1 detached", func(b *object) { b.Status.DetachedFileCount = 1 })},
	{opt("generation observed"), opt("edited", func(b *object) { b.Generation++ })},
	{
		withState("no state", lifecycle.State{}),
		withState("due, after failures", lifecycle.State{Backoff: lifecycle.Backoff{Failed: lifecycle.Poll, Failures: 7, NotFound: 1, PollInterval: time.Minute}}),
		withState("poll not due", lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Minute), PollInterval: time.Minute}}),
		withState("cancel not due", lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Minute), Failed: lifecycle.Cancel, Failures: 3}}),
		withState("listing failed", lifecycle.State{Backoff: lifecycle.Backoff{Failed: lifecycle.ListFailedFiles, Failures: 9}}),
		withState("create untracked", lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Minute), Failed: lifecycle.Create, Failures: 2}, Unsaved: lifecycle.Unsaved{CreateUntracked: true}}),
		withState("other objects", lifecycle.State{Backoff: lifecycle.Backoff{OtherObjects: 1, PollInterval: time.Minute}}),
		withState("unsettled for long", lifecycle.State{Backoff: lifecycle.Backoff{OtherObjects: 3, UnsettledSince: epoch.Add(-time.Hour)}}),
		withState("spec changed", lifecycle.State{Backoff: lifecycle.Backoff{SpecChangedAt: epoch.Add(-time.Second)}}),
		option{"created ID unsaved", func(b *object, s *lifecycle.State) {
			if _, err := batch.CreateRequest(b); err == nil { // no batch is created of an invalid spec
				s.CreatedID = "batch_1"
			}
		}},
		withUnsavedCancel("cancel unsaved", "batch_1"),
		withUnsavedCancel("cancel of another batch unsaved", "batch_9"),
		withState("detached recently", lifecycle.State{DetachProgress: lifecycle.DetachProgress{Located: true, Listed: true, DetachedAt: epoch.Add(-5 * time.Second)}}),
		withState("detach not due", lifecycle.State{Backoff: lifecycle.Backoff{NextCall: epoch.Add(time.Minute), Failed: lifecycle.Detach, Failures: 3}, DetachProgress: lifecycle.DetachProgress{Located: true}}),
		withState("batch gone", lifecycle.State{DetachProgress: lifecycle.DetachProgress{Located: true, BatchGone: true}}),
	},
}

// callErrors has one error of each kind, and more if the decision depends on more than the kind.
var callErrors = []*upstream.Error{
	{Kind: upstream.UnknownOutcome, Message: "response lost"},
	{Kind: upstream.UnknownOutcome, Message: "bad gateway", StatusCode: 502, RetryAfter: 20 * time.Minute},
	{Kind: upstream.Transient, Message: "unavailable", StatusCode: 503, RetryAfter: 20 * time.Minute},
	{Kind: upstream.RateLimited, Message: "slow down", StatusCode: 429, RetryAfter: 20 * time.Minute},
	{Kind: upstream.Rejected, Message: strings.Repeat("é", 1024), StatusCode: 400},
	{Kind: upstream.NotFound, Message: "not found", StatusCode: 404},
	{Kind: upstream.NotFound, Message: "File file-a not found", StatusCode: 400},
	{Kind: upstream.Unauthorized, Message: "invalid key", StatusCode: 401},
	{Kind: upstream.Transient, Message: "its ID is that of the vector store", StatusCode: 200, OtherObject: true},
	{Kind: upstream.UnknownOutcome, Message: "it has no ID", StatusCode: 200, OtherObject: true},
	{Kind: upstream.NoCredentials, Message: "Secret openai has no key OPENAI_API_KEY"},
}

func failedCalls() []result {
	results := make([]result, 0, len(callErrors))
	for _, err := range callErrors {
		results = append(results, result{err: err})
	}
	return results
}

// failedDetaches fail at the first file, and after some files.
func failedDetaches() []result {
	results := failedCalls()
	for _, err := range callErrors {
		results = append(results, result{err: err, detached: 2, remaining: 1})
	}
	return results
}

// batchResults return a batch in each status, with numbers of failed files below and above
// maxFailedFiles and the limit of status.failedFiles.
func batchResults(failed ...int64) []result {
	var results []result
	for _, status := range []upstream.Status{upstream.InProgress, unknownStatus, upstream.Completed, upstream.Failed, upstream.Cancelled} {
		for _, n := range failed {
			results = append(results, result{batch: answer(status, failures(n), pollAfter(2*time.Minute))})
		}
	}
	return results
}

// walker explores every reconciliation that is possible from an object.
type walker struct {
	// results are the possible results of each action.
	results map[lifecycle.Action][]result
	// samples is how many of them are explored, 0 for all; index decides which.
	samples, index int
	// paths counts complete reconciliations.
	paths int
}

// sampled returns the results of an action to explore. Consecutive objects together explore all.
func (w *walker) sampled(action lifecycle.Action) []result {
	all := w.results[action]
	if w.samples == 0 || len(all) <= w.samples {
		return all
	}
	var sampled []result
	for range w.samples {
		sampled = append(sampled, all[w.index%len(all)])
		w.index++
	}
	return sampled
}

func newWalker(failed ...int64) *walker {
	none := []result{{}}
	observed := append(failedCalls(), batchResults(failed...)...)
	lagging := []result{
		{batch: answer(upstream.Completed, inProgress(1, 1, 2))}, {batch: answer(upstream.Cancelled, inProgress(2, 0, 2))},
		{batch: answer(upstream.Completed, inProgress(0, 0, 0))}, {batch: answer(upstream.Failed, inProgress(1, 0, 1))},
	}
	observed = append(observed, lagging...)
	return &walker{results: map[lifecycle.Action][]result{
		lifecycle.Requeue: nil, lifecycle.Delete: nil, lifecycle.RemoveFinalizer: nil,
		lifecycle.AddFinalizer: none, lifecycle.RecordBatchID: none, lifecycle.ClearCreatePending: none,
		lifecycle.Create: observed, lifecycle.Poll: observed, lifecycle.Cancel: append(slices.Clone(observed), result{}),
		lifecycle.CountFiles: append(failedCalls(), result{listed: &upstream.FileCounts{}}, result{listed: &upstream.FileCounts{InProgress: 1, Total: 1}},
			result{listed: &upstream.FileCounts{Completed: 1, Total: 1}}, result{listed: &upstream.FileCounts{Completed: 1, Failed: 1, Cancelled: 1, Total: 3}}),
		lifecycle.VerifyCreate:    append(failedCalls(), result{}, result{attached: true}),
		lifecycle.ListFailedFiles: append(failedCalls(), result{}, result{files: someFailedFiles()}),
		lifecycle.ReadStore:       append(failedCalls(), result{store: true}, result{store: true, gone: true}),
		lifecycle.Detach:          append(failedDetaches(), result{}, result{detached: 2}, result{detached: 2, remaining: 1}),
	}}
}

// someFailedFiles are unsorted, one has no ID, and one exceeds the bounds of a status.
func someFailedFiles() []upstream.FailedFile {
	return []upstream.FailedFile{
		{FileID: "file-z", Code: "server_error"},
		{Code: "no ID"},
		{FileID: "file-a\xff", Code: strings.Repeat("c", 200), Message: strings.Repeat("é", 2000)},
	}
}

// maxActions is how many actions a reconciliation performs at most.
const maxActions = 5

// explore follows every possible continuation of a reconciliation.
func (w *walker) explore(in input) error {
	d := config.Decide(in.b, in.observed, in.now)
	if err := checkDecision(in, d); err != nil {
		return fmt.Errorf("%s: %w", describe(in.observed), err)
	}
	if d.Action.Terminal() {
		w.paths++
		if again := config.Decide(in.b, in.observed, in.now); w.paths%8 == 0 && !reflect.DeepEqual(d, again) {
			return fmt.Errorf("after %v: two decisions for the same input", in.observed.Actions)
		}
		return w.exploreEarly(in, d)
	}
	if len(in.observed.Actions) == maxActions {
		return fmt.Errorf("after %v: not terminal, but %s", in.observed.Actions, d.Action)
	}
	for _, r := range w.sampled(d.Action) {
		next := in
		next.b, next.observed = apply(in.b, in.observed, d, r, in.now)
		if err := w.explore(next); err != nil {
			return err
		}
	}
	return nil
}

// describe describes the reconciliation so far.
func describe(observed lifecycle.Observed) string {
	if observed.Err == nil {
		return fmt.Sprintf("after %v", observed.Actions)
	}
	return fmt.Sprintf("after %v, with error %q", observed.Actions, observed.Err.Error())
}

// exploreEarly runs the reconciliation that the write of the status triggers. Nothing is due then, so
// it must neither change nor report anything.
func (w *walker) exploreEarly(in input, d lifecycle.Decision) error {
	if d.Action != lifecycle.Requeue || 0 < d.RequeueAfter && d.RequeueAfter < time.Second {
		return nil
	}
	early := input{b: withOwnMetadata(in.b), observed: lifecycle.Observed{State: d.State, Jitter: in.observed.Jitter}, now: in.now}
	early.b.Status = d.Status
	e := config.Decide(early.b, early.observed, early.now)
	switch {
	case canFollowImmediately(in, early, e):
		return nil
	case e.Action != lifecycle.Requeue:
		return fmt.Errorf("%s: %s immediately, not after %s", describe(in.observed), e.Action, d.RequeueAfter)
	case len(e.Events) > 0 || !reflect.DeepEqual(e.Status, d.Status):
		return fmt.Errorf("%s: %s becomes %s immediately: %+v", describe(in.observed), reasonOf(d.Status), reasonOf(e.Status), e.Events)
	case e.RequeueAfter != d.RequeueAfter:
		return fmt.Errorf("%s: requeued after %s, and immediately afterwards after %s", describe(in.observed), d.RequeueAfter, e.RequeueAfter)
	}
	return nil
}

// canFollowImmediately reports whether a decision need not wait until something is due.
func canFollowImmediately(in, early input, e lifecycle.Decision) bool {
	switch {
	case e.Action == lifecycle.RecordBatchID, e.Action == lifecycle.AddFinalizer, e.Action == lifecycle.Cancel:
		return true // calls of the API wait, except for a first cancel
	case batch.CancelWanted(early.b) && batch.ID(early.b) == "" && reasonOf(e.Status) == v1alpha1.ReasonCancelled:
		return true // there is nothing to cancel
	}
	exceeded := reasonOf(e.Status) == v1alpha1.ReasonDeadlineExceeded
	return exceeded && in.b.Status.CancelRequestTime != nil && firstObservation(in) // the deadline was not known
}

// firstObservation reports whether the reconciliation observed a batch that the status does not show.
func firstObservation(in input) bool {
	return slices.Contains(in.observed.Actions, lifecycle.Create) || in.b.Status.FileCounts == nil && in.observed.Batch != nil
}

// combination is an object of the space, with one option of each dimension.
type combination []option

// combinationAt returns the combination with an index.
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
	in := input{b: newObject(), now: epoch}
	for _, chosen := range c {
		chosen.apply(in.b, &in.observed.State)
	}
	return in
}

// stride is a prime that divides the size of no space. Steps of it reach every object, and any number
// of steps meets the options of each dimension, and their combinations, equally often.
const stride = 2_147_483_647

// walk explores a number of objects spread over a space, with several walkers in parallel.
func walk(t *testing.T, space [][]option, objects, samples int, failed ...int64) {
	t.Helper()
	const walkers = 4
	var paths, failures atomic.Int64
	var group sync.WaitGroup
	for first := range walkers {
		group.Go(func() {
			w := newWalker(failed...)
			w.samples, w.index = samples, first
			for i := first; i < objects && failures.Load() < 10; i += walkers {
				c := combinationAt(space, i*stride%sizeOf(space))
				in := c.input()
				in.observed.Jitter = 0.2 * float64(i%3-1)
				err := w.explore(in)
				if err == nil && i%5 == 0 && !reflect.DeepEqual(in.b, c.input().b) {
					err = fmt.Errorf("Decide changed the object")
				}
				if err != nil {
					failures.Add(1)
					t.Errorf("%s: %v", c, err)
				}
			}
			paths.Add(int64(w.paths))
		})
	}
	group.Wait()
	t.Logf("%d of %d objects, %d reconciliations", objects, sizeOf(space), paths.Load())
}

// TestWalk_Objects explores objects of the whole space with two of the results of each action.
func TestWalk_Objects(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; TestWalk_Results covers a part of it")
	}
	walk(t, dimensions, 700_000, 2, 0, 5)
}

// TestWalk_Results explores all results of each action, for the objects on which the results depend.
func TestWalk_Results(t *testing.T) {
	if testing.Short() {
		walk(t, narrowed(), 300, 0, 2)
		return
	}
	walk(t, narrowed(), 10_000, 0, 0, 1, 2, 150)
}

// narrowed returns a part of the space, without the options that have no influence on the decision
// after a result.
func narrowed() [][]option {
	space := append([][]option{}, dimensions...)
	space[0] = space[0][:2] // files, adopted
	space[2] = []option{
		opt("maxFailedFiles 1", maxFailedFiles(1)),
		opt("maxFailedFiles 1, policy DetachFiles", maxFailedFiles(1), deletionPolicy("DetachFiles")),
	}
	space[4] = space[4][1:]                       // finalizer
	space[5] = []option{space[5][0], space[5][2]} // no create pending, and one that timed out
	space[7] = space[7][:2]                       // no ID, and an annotated one
	space[12] = space[12][:1]                     // nothing detached
	space[13] = space[13][:1]                     // generation observed
	return space
}

// TestDecide_EquivalentSpecs shows that specs which are not in dimensions have the same decisions.
func TestDecide_EquivalentSpecs(t *testing.T) {
	space := append([][]option{}, dimensions...)
	space[0] = space[0][:1] // files
	for i := range sizeOf(space) {
		c := combinationAt(space, i*stride%sizeOf(space))
		in := c.input()
		want := config.Decide(in.b, in.observed, in.now)
		in.b.Spec.FileIDs, in.b.Spec.Files = []string{"file-a"}, nil
		if digest := in.b.Annotations[v1alpha1.AnnotationRecordedFor]; digest != "" && digest != "another object" {
			recordedFor(in.b)
		}
		if !batch.CancelWanted(in.b) {
			in.b.Spec.Cancel = ptr(false)
		}
		if !batch.Suspended(in.b) {
			in.b.Spec.Suspend = ptr(false)
		}
		got := config.Decide(in.b, in.observed, in.now)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: with fileIDs, and cancel and suspend false:\n%+v, want\n%+v", c, got, want)
		}
		if i == 50_000 {
			return
		}
	}
}

// TestDecide_WithoutFiles shows that decisions do not need the files, which the cache does not hold.
func TestDecide_WithoutFiles(t *testing.T) {
	for i := range min(50_000, sizeOf(dimensions)) {
		c := combinationAt(dimensions, i*stride%sizeOf(dimensions))
		in := c.input()
		want := config.Decide(in.b, in.observed, in.now)
		batch.DropFiles(in.b)
		if got := config.Decide(in.b, in.observed, in.now); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: without files:\n%+v, want\n%+v", c, got, want)
		}
	}
}
