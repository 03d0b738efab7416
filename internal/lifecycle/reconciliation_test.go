// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// epoch is the time at which the tests begin. It is a whole second, as times in a status are.
var epoch = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

var config = lifecycle.DefaultConfig()

type object = v1alpha1.VectorStoreFileBatch

// change is one way in which the object of a test differs from the plain one.
type change func(*object)

// fresh is an object that nobody has looked at yet, changed as a test needs it. It is older
// than the time for which a 404 is not believed.
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

// created is an object whose batch batch_1 exists, with the finalizer and the ID's annotation.
func created(changes ...change) *object {
	return newObject(append([]change{hasFinalizer, annotated(v1alpha1.AnnotationBatchID, "batch_1")}, changes...)...)
}

// followed is an object whose batch was seen in progress, and which is stored as it is then.
func tracked(changes ...change) *object {
	b := created()
	observed := lifecycle.Observed{Actions: []lifecycle.Action{lifecycle.Poll}, Batch: answer(upstream.InProgress)}
	b.Status = config.Decide(b, observed, epoch).Status
	for _, apply := range changes {
		apply(b)
	}
	return b
}

func hasFinalizer(b *object) { b.Finalizers = append(b.Finalizers, v1alpha1.Finalizer) }

func adopted(b *object) { b.Spec.FileIDs, b.Spec.BatchID = nil, "batch_1" }

func wantsCancel(b *object) { b.Spec.Cancel = ptr(true) }

func edited(b *object) { b.Generation++ }

func suspends(b *object) { b.Spec.Suspend = ptr(true) }

// deadline gives the batch a time in progress. The objects and batches of these tests begin an
// hour before the epoch.
func deadline(after time.Duration) change {
	return func(b *object) { b.Spec.ActiveDeadlineSeconds = ptr(int64(after / time.Second)) }
}

func ttl(after time.Duration) change {
	return func(b *object) { b.Spec.TTLSecondsAfterFinished = ptr(int32(after / time.Second)) }
}

func cancelAccepted(b *object) { cancelAcceptedAt(epoch)(b) }

func cancelAcceptedAt(at time.Time) change {
	return func(b *object) { b.Status.CancelRequestedAt = &metav1.Time{Time: at} }
}

func deletedAt(at time.Time) change {
	return func(b *object) {
		b.DeletionTimestamp = &metav1.Time{Time: at}
		b.Generation++ // as the API server does
	}
}

func annotated(key, value string) change {
	return func(b *object) { metav1.SetMetaDataAnnotation(&b.ObjectMeta, key, value) }
}

func pendingSince(at time.Time) change {
	return annotated(v1alpha1.AnnotationCreateStartedAt, at.Format(time.RFC3339Nano))
}

func policy(p v1alpha1.DeletionPolicy) change {
	return func(b *object) { b.Spec.DeletionPolicy = p }
}

func allowed(failures int32) change {
	return func(b *object) { b.Spec.MaxFailedFiles = &failures }
}

func ptr[T any](value T) *T { return &value }

// answer is the upstream's answer about batch_1, of two files.
func answer(status upstream.Status, changes ...func(*upstream.Batch)) *upstream.Batch {
	a := &upstream.Batch{ID: "batch_1", CreatedAt: epoch.Add(-time.Hour), Status: status, FileCounts: upstream.FileCounts{Total: 2}}
	switch status {
	case upstream.Completed:
		a.FileCounts.Completed = 2
	case upstream.Cancelled:
		a.FileCounts.Cancelled = 2
	case upstream.InProgress, upstream.Failed:
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

func pollAfter(d time.Duration) func(*upstream.Batch) {
	return func(a *upstream.Batch) { a.PollAfter = d }
}

// result is what comes of an action: an error, or what the other fields say.
type result struct {
	err      *upstream.Error
	batch    *upstream.Batch
	files    []upstream.FailedFile
	attached bool
	// detached and left count files after a Detach.
	detached, left int
}

func fails(kind upstream.ErrorKind) result {
	return result{err: &upstream.Error{Kind: kind, Message: "it went wrong"}}
}

// apply changes the object as the Reconciler does when it takes an action with this result, and
// records the result. It leaves its arguments alone.
func apply(b *object, observed lifecycle.Observed, d lifecycle.Decision, r result, now time.Time) (*object, lifecycle.Observed) {
	b = withOwnMetadata(b)
	recorded := lifecycle.Result{Err: r.err}
	switch d.Action {
	case lifecycle.AddFinalizer:
		addFinalizer(b)
	case lifecycle.RecordBatchID:
		recordID(b, d.BatchID)
	case lifecycle.ClearCreatePending:
		clearPending(b)
	case lifecycle.Create:
		addFinalizer(b)
		pendingSince(now)(b)
		switch {
		case r.err == nil:
			recordID(b, r.batch.ID)
			recorded.Batch = r.batch
		case r.err.Kind != upstream.UnknownOutcome:
			clearPending(b)
		}
	case lifecycle.VerifyCreate:
		recorded.Attached = r.attached
	case lifecycle.Poll, lifecycle.Cancel:
		if r.err == nil {
			recorded.Batch = r.batch
		}
		if r.err == nil && d.Action == lifecycle.Cancel {
			recorded.CancelAccepted, recorded.At = batch.ID(b), now
		}
	case lifecycle.ListFailedFiles:
		recorded.FailedFiles = r.files
	case lifecycle.Detach:
		recorded.Detached = lifecycle.Detached{Count: r.detached, Remaining: r.left}
		if r.detached > int(b.Status.DetachedFiles) {
			recorded.Detached.LastFile, recorded.Detached.At = fmt.Sprintf("file-%03d", r.detached), now
		}
	case lifecycle.Requeue, lifecycle.Delete, lifecycle.RemoveFinalizer:
		panic("not an action to take in the middle of a reconciliation: " + d.Action.String())
	}
	observed.Record(d.Action, recorded)
	return b, observed
}

// withOwnMetadata copies an object as far as apply changes it.
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
		hasFinalizer(b)
	}
}

func recordID(b *object, id string) {
	metav1.SetMetaDataAnnotation(&b.ObjectMeta, v1alpha1.AnnotationBatchID, id)
	clearPending(b)
}

func clearPending(b *object) { delete(b.Annotations, v1alpha1.AnnotationCreateStartedAt) }

// pass is one pass over an object: what was done, and what it came to.
type reconciliation struct {
	actions []lifecycle.Action
	// told are all Events, those of decisions to act too.
	events []lifecycle.Event
	final  lifecycle.Decision
	// object is as it is stored after the pass.
	object *object
	// memory is what the next pass remembers, and next is when it comes; zero where none is
	// planned.
	state lifecycle.State
	next  time.Time
}

// run makes a pass at a time. The results are for the actions, in their order; an action
// without one succeeds, with the batch still in progress.
func run(b *object, state lifecycle.State, now time.Time, results ...result) reconciliation {
	observed := lifecycle.Observed{State: state}
	var events []lifecycle.Event
	for {
		d := config.Decide(b, observed, now)
		events = append(events, d.Events...)
		if d.Action.Terminal() {
			return persisted(reconciliation{actions: observed.Actions, events: events, final: d, object: b.DeepCopy()}, now)
		}
		if len(observed.Actions) == mostActions {
			panic("a pass without an end: " + reconciliation{actions: observed.Actions}.performed())
		}
		r := result{batch: answer(upstream.InProgress)}
		if len(results) > 0 && d.Action != lifecycle.AddFinalizer && d.Action != lifecycle.RecordBatchID && d.Action != lifecycle.ClearCreatePending {
			r, results = results[0], results[1:]
		}
		b, observed = apply(b, observed, d, r, now)
	}
}

// concluded stores what a pass came to.
func persisted(p reconciliation, now time.Time) reconciliation {
	if p.final.Action == lifecycle.Requeue {
		p.object.Status = p.final.Status
	}
	if p.final.RequeueAfter > 0 {
		p.state = p.final.State
		p.next = now.Add(p.final.RequeueAfter)
	}
	return p
}

// again makes the pass that follows when it is due.
func (p reconciliation) again(results ...result) reconciliation {
	if p.next.IsZero() {
		panic("no pass follows upon " + p.reason())
	}
	return run(p.object, p.state, p.next, results...)
}

func (p reconciliation) performed() string {
	names := make([]string, 0, len(p.actions))
	for _, action := range p.actions {
		names = append(names, action.String())
	}
	return strings.Join(names, " ")
}

func (p reconciliation) reason() string { return reasonOf(p.object.Status) }

func (p reconciliation) message() string {
	if ready := meta.FindStatusCondition(p.object.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
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

// warned gives the message of the Warning with a reason; empty where there was none.
func (p reconciliation) warned(reason string) string {
	for _, event := range p.events {
		if event.Warning && event.Reason == reason {
			return event.Message
		}
	}
	return ""
}
