// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// epoch is the time at which the tests start. It is a whole second, like the times in a status.
var epoch = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

var config = lifecycle.DefaultConfig()

type object = v1alpha1.VectorStoreFileBatch

// change changes an object. Each is named after the state that results.
type change func(*object)

// newObject returns an object that was never reconciled, with changes. It is older than the grace
// period of a 404.
func newObject(changes ...change) *object {
	b := &object{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind},
		ObjectMeta: metav1.ObjectMeta{
			Name: "handbook", Namespace: "docs", Generation: 1,
			CreationTimestamp: metav1.Time{Time: epoch.Add(-time.Hour)},
		},
		Spec:   v1alpha1.VectorStoreFileBatchSpec{VectorStoreID: "vs_1", FileIDs: []string{"file-a", "file-b"}},
		Status: v1alpha1.VectorStoreFileBatchStatus{ObservedGeneration: -1},
	}
	for _, apply := range changes {
		apply(b)
	}
	return b
}

// created returns an object with the finalizer and the annotation of batch_1, and without a status.
func created(changes ...change) *object {
	return newObject(append([]change{withFinalizer, annotated(v1alpha1.AnnotationBatchID, "batch_1")}, changes...)...)
}

// tracked returns an object whose status shows batch_1 in progress.
func tracked(changes ...change) *object {
	b := created()
	observed := lifecycle.Observed{Actions: []lifecycle.Action{lifecycle.Poll}, Batch: answer(upstream.InProgress)}
	b.Status = config.Decide(b, observed, epoch).Status
	for _, apply := range changes {
		apply(b)
	}
	return b
}

// withChange returns a copy of an object with changes.
func withChange(b *object, changes ...change) *object {
	b = b.DeepCopy()
	for _, apply := range changes {
		apply(b)
	}
	return b
}

func withoutFinalizers(b *object) { b.Finalizers = nil }

func withFinalizer(b *object) { b.Finalizers = append(b.Finalizers, v1alpha1.Finalizer) }

func adopted(b *object) { b.Spec.FileIDs, b.Spec.BatchID = nil, "batch_1" }

func cancelWanted(b *object) { b.Spec.Cancel = ptr(true) }

func edited(b *object) { b.Generation++ }

func suspended(b *object) { b.Spec.Suspend = ptr(true) }

// deadline sets spec.activeDeadlineSeconds. The objects and batches of these tests are created an
// hour before the epoch.
func deadline(after time.Duration) change {
	return func(b *object) { b.Spec.ActiveDeadlineSeconds = ptr(int64(after / time.Second)) }
}

func ttl(after time.Duration) change {
	return func(b *object) { b.Spec.TTLSecondsAfterFinished = ptr(int32(after / time.Second)) }
}

func cancelAccepted(b *object) { cancelAcceptedAt(epoch)(b) }

func cancelAcceptedAt(at time.Time) change {
	return func(b *object) { b.Status.CancelRequestTime = &metav1.Time{Time: at} }
}

func deletedAt(at time.Time) change {
	return func(b *object) {
		b.DeletionTimestamp = &metav1.Time{Time: at}
		b.Generation++ // as the API server does
	}
}

// annotated sets an annotation as the operator does: for this object.
func annotated(key, value string) change {
	return func(b *object) {
		metav1.SetMetaDataAnnotation(&b.ObjectMeta, key, value)
		recordedFor(b)
	}
}

// recordedFor makes the annotations count on the object.
func recordedFor(b *object) {
	metav1.SetMetaDataAnnotation(&b.ObjectMeta, v1alpha1.AnnotationRecordedFor, batch.Digest(b))
}

// lostBefore sets how many batches were lost before the pending create.
func lostBefore(n int) change { return annotated(v1alpha1.AnnotationLostCreates, strconv.Itoa(n)) }

func pendingSince(at time.Time) change {
	return annotated(v1alpha1.AnnotationCreateStartedAt, at.Format(time.RFC3339Nano))
}

func deletionPolicy(policy v1alpha1.DeletionPolicy) change {
	return func(b *object) { b.Spec.DeletionPolicy = policy }
}

func maxFailedFiles(n int32) change {
	return func(b *object) { b.Spec.MaxFailedFiles = &n }
}

func ptr[T any](value T) *T { return &value }

// answer returns batch_1, of two files, as the API returns it.
func answer(status upstream.Status, changes ...func(*upstream.Batch)) *upstream.Batch {
	a := &upstream.Batch{ID: "batch_1", CreatedAt: epoch.Add(-time.Hour), Status: status, FileCounts: upstream.FileCounts{Total: 2}}
	switch status {
	case upstream.Completed:
		a.FileCounts.Completed = 2
	case upstream.Cancelled:
		a.FileCounts.Cancelled = 2
	case upstream.Failed:
	case upstream.InProgress:
		a.FileCounts.InProgress = 2
	}
	for _, apply := range changes {
		apply(a)
	}
	return a
}

func failures(n int64) func(*upstream.Batch) {
	return func(a *upstream.Batch) { a.FileCounts.Failed, a.FileCounts.Total = n, max(n, a.FileCounts.Total) }
}

// inProgress sets the number of files in progress, and how many of the total are completed.
func inProgress(n, completed, total int64) func(*upstream.Batch) {
	return func(a *upstream.Batch) {
		a.FileCounts = upstream.FileCounts{InProgress: n, Completed: completed, Total: total}
	}
}

func pollAfter(d time.Duration) func(*upstream.Batch) {
	return func(a *upstream.Batch) { a.PollAfter = d }
}

// result is the result of an action: an error, or the other fields.
type result struct {
	err      *upstream.Error
	batch    *upstream.Batch
	listed   *upstream.FileCounts
	files    []upstream.FailedFile
	attached bool
	// store is true for a result of ReadStore, and gone if the API knows no such store.
	store, gone bool
	// left names the remaining files after a Detach, and spared counts those of other objects.
	left   string
	spared int
	// admission is Admitted unless the call has to wait.
	admission lifecycle.Admission
	// detached and remaining count the files after a Detach.
	detached, remaining int
}

func fails(kind upstream.ErrorKind) result {
	return result{err: &upstream.Error{Kind: kind, Message: "the call failed"}}
}

// apply changes the object as the Reconciler does for an action with this result, and records the
// result. It does not modify its arguments.
func apply(b *object, observed lifecycle.Observed, d lifecycle.Decision, r result, now time.Time) (*object, lifecycle.Observed) {
	b = withOwnMetadata(b)
	recorded := lifecycle.Result{Err: r.err, Admission: r.admission}
	if r.admission != lifecycle.Admitted {
		observed.Record(d.Action, recorded)
		return b, observed
	}
	switch d.Action {
	case lifecycle.AddFinalizer:
		addFinalizer(b)
	case lifecycle.RecordBatchID:
		recordID(b, d.BatchID)
	case lifecycle.ClearCreatePending:
		clearPending(b)
	case lifecycle.Create:
		recorded.Batch = applyCreate(b, d.Recovery, r, now)
	case lifecycle.VerifyCreate:
		recorded.Attached = r.attached
	case lifecycle.Poll, lifecycle.Cancel:
		if r.err == nil {
			recorded.Batch = r.batch
		}
		if recorded.At = now; r.err == nil && d.Action == lifecycle.Cancel {
			recorded.CancelAccepted = batch.ID(b)
		}
	case lifecycle.CountFiles:
		if recorded.Listed = r.listed; r.err == nil && r.listed == nil {
			recorded.Listed = &upstream.FileCounts{InProgress: 2, Total: 2}
		}
	case lifecycle.ListFailedFiles:
		recorded.FailedFiles = r.files
	case lifecycle.ReadStore:
		recorded.StoreExists = r.err == nil && !r.gone
	case lifecycle.Detach:
		recorded.Detached = lifecycle.Detached{Count: r.detached, Remaining: r.remaining, Left: r.left, Spared: r.spared, Listed: r.err == nil}
		if r.detached > int(b.Status.DetachedFileCount) {
			recorded.Detached.At = now
		}
	case lifecycle.Requeue, lifecycle.Delete, lifecycle.RemoveFinalizer:
		panic("the action is terminal: " + d.Action.String())
	}
	observed.Record(d.Action, recorded)
	return b, observed
}

// applyCreate changes the object as a create with this result does, and returns the batch.
func applyCreate(b *object, recovery *lifecycle.Recovery, r result, now time.Time) *upstream.Batch {
	before := maps.Clone(b.Annotations)
	markPending(b, recovery, now)
	switch {
	case r.err == nil:
		recordID(b, r.batch.ID)
		return r.batch
	case r.err.Kind == upstream.UnknownOutcome:
	case recovery != nil && recovery.Lost > 0:
		b.Annotations = before
	default:
		clearPending(b)
	}
	return nil
}

// withOwnMetadata copies the parts of an object that apply changes.
func withOwnMetadata(b *object) *object {
	own := *b
	own.Annotations = make(map[string]string, len(b.Annotations)+1)
	for key, value := range b.Annotations {
		own.Annotations[key] = value
	}
	own.Finalizers = append([]string(nil), b.Finalizers...)
	return &own
}

func addFinalizer(b *object) {
	if !batch.HasFinalizer(b) {
		withFinalizer(b)
	}
}

func dropFinalizer(b *object) {
	b.Finalizers = slices.DeleteFunc(slices.Clone(b.Finalizers), func(name string) bool { return name == v1alpha1.Finalizer })
}

// markPending changes the object as the write before a create does.
func markPending(b *object, recovery *lifecycle.Recovery, startedAt time.Time) {
	if b.Spec.DeletionPolicy != v1alpha1.DeletionPolicyOrphan {
		addFinalizer(b)
	}
	delete(b.Annotations, v1alpha1.AnnotationBatchID)
	delete(b.Annotations, v1alpha1.AnnotationLostCreates)
	pendingSince(startedAt)(b)
	if recovery != nil && recovery.Lost > 0 {
		lostBefore(recovery.Lost)(b)
	}
}

func recordID(b *object, id string) {
	clearPending(b)
	annotated(v1alpha1.AnnotationBatchID, id)(b)
}

func clearPending(b *object) {
	delete(b.Annotations, v1alpha1.AnnotationCreateStartedAt)
	delete(b.Annotations, v1alpha1.AnnotationLostCreates)
	delete(b.Annotations, v1alpha1.AnnotationRecordedFor)
}

// reconciliation is one reconciliation of an object.
type reconciliation struct {
	actions []lifecycle.Action
	// events are the Events of all its decisions.
	events []lifecycle.Event
	final  lifecycle.Decision
	// object is the object as it is persisted at the end.
	object *object
	// state is the input of the next reconciliation, and next is when that is due; zero if none is
	// scheduled.
	state lifecycle.State
	next  time.Time
}

// run reconciles an object at a time. The results are for the calls of the API, in their order; a
// call without one succeeds, with the batch in progress.
func run(b *object, state lifecycle.State, now time.Time, results ...result) reconciliation {
	observed := lifecycle.Observed{State: state}
	var events []lifecycle.Event
	for {
		d := config.Decide(b, observed, now)
		events = append(events, d.Events...)
		if d.Action.Terminal() {
			return persist(reconciliation{actions: observed.Actions, events: events, final: d, object: b.DeepCopy()}, now)
		}
		if len(observed.Actions) == maxActions {
			panic("no terminal action after " + reconciliation{actions: observed.Actions}.actionNames())
		}
		r := result{batch: answer(upstream.InProgress)}
		if d.Action == lifecycle.ReadStore && (len(results) == 0 || !results[0].store) {
			r = result{} // the store exists
		} else if len(results) > 0 && d.Action != lifecycle.AddFinalizer && d.Action != lifecycle.RecordBatchID && d.Action != lifecycle.ClearCreatePending {
			r, results = results[0], results[1:]
		}
		b, observed = apply(b, observed, d, r, now)
	}
}

// persist persists the result of a reconciliation.
func persist(r reconciliation, now time.Time) reconciliation {
	if r.final.Action == lifecycle.Requeue {
		r.object.Status = r.final.Status
	}
	if r.final.Action == lifecycle.RemoveFinalizer {
		dropFinalizer(r.object)
	}
	if r.final.RequeueAfter > 0 {
		r.state = r.final.State
		r.next = now.Add(r.final.RequeueAfter)
	}
	return r
}

// again runs the next reconciliation when it is due.
func (r reconciliation) again(results ...result) reconciliation {
	if r.next.IsZero() {
		panic("no reconciliation is scheduled after " + r.reason())
	}
	return run(r.object, r.state, r.next, results...)
}

// actionNames returns the names of the performed actions, separated by spaces.
func (r reconciliation) actionNames() string {
	names := make([]string, 0, len(r.actions))
	for _, action := range r.actions {
		names = append(names, action.String())
	}
	return strings.Join(names, " ")
}

func (r reconciliation) reason() string { return reasonOf(r.object.Status) }

func (r reconciliation) message() string {
	if ready := meta.FindStatusCondition(r.object.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Message
	}
	return ""
}

func reasonOf(status v1alpha1.VectorStoreFileBatchStatus) string {
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Reason
	}
	return ""
}

// warning returns the message of the Warning with a reason; empty if there is none.
func (r reconciliation) warning(reason string) string {
	for _, event := range r.events {
		if event.Warning && event.Reason == reason {
			return event.Message
		}
	}
	return ""
}
