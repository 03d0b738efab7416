// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// epoch is the time at which the tests begin. It is a whole second, as times in a status are.
var epoch = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

var rules = batch.DefaultRules()

type object = v1alpha1.VectorStoreFileBatch

// change is one way in which the object of a test differs from the plain one.
type change func(*object)

// fresh is an object that nobody has looked at yet, changed as a test needs it. It is older
// than the time for which a 404 is not believed.
func fresh(changes ...change) *object {
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
	return fresh(append([]change{held, annotated(v1alpha1.AnnotationBatchID, "batch_1")}, changes...)...)
}

// followed is an object whose batch was seen in progress, and which is stored as it is then.
func followed(changes ...change) *object {
	b := created()
	seen := batch.Observation{Took: []batch.Action{batch.Retrieve}, Batch: answer(upstream.InProgress)}
	b.Status = rules.Decide(b, seen, epoch).Status
	for _, apply := range changes {
		apply(b)
	}
	return b
}

func held(b *object) { b.Finalizers = append(b.Finalizers, v1alpha1.Finalizer) }

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

func latched(b *object) { latchedAt(epoch)(b) }

func latchedAt(at time.Time) change {
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

func intendedAt(at time.Time) change {
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

// apply does to the object and to the observation what the loop does when it takes an action
// that has this result. It leaves its arguments alone.
func apply(b *object, seen batch.Observation, action batch.Action, r result, now time.Time) (*object, batch.Observation) {
	b = withOwnMetadata(b)
	seen.Took = append(append([]batch.Action{}, seen.Took...), action)
	seen.Err = r.err
	switch action {
	case batch.Hold:
		hold(b)
	case batch.KeepID:
		keep(b, idToKeep(b, seen))
	case batch.ForgetIntent:
		delete(b.Annotations, v1alpha1.AnnotationCreateStartedAt)
	case batch.Create:
		hold(b)
		intendedAt(now)(b)
		switch {
		case r.err == nil:
			keep(b, r.batch.ID)
			seen.Batch, seen.Memory.CreatedID = r.batch, r.batch.ID
		case r.err.Kind != upstream.UnknownOutcome:
			delete(b.Annotations, v1alpha1.AnnotationCreateStartedAt)
		}
	case batch.Probe:
		seen.Attached = r.attached
	case batch.Retrieve, batch.Cancel:
		if r.err == nil {
			seen.Batch = r.batch
			if action == batch.Cancel {
				seen.Memory.CancelledID, seen.Memory.CancelledAt = batch.ID(b), now
			}
		}
	case batch.ListFailedFiles:
		seen.FailedFiles = r.files
	case batch.Detach:
		seen.Detached, seen.Left = r.detached, r.left
		if upTo := fmt.Sprintf("file-%03d", r.detached); r.detached > int(b.Status.DetachedFiles) {
			seen.Memory.DetachedUpTo, seen.Memory.DetachedAt = upTo, now
		}
	case batch.Rest, batch.Delete, batch.Release:
		panic("not an action to take in the middle of a pass: " + action.String())
	}
	return b, seen
}

// idToKeep is the ID that KeepID writes.
func idToKeep(b *object, seen batch.Observation) string {
	if seen.Memory.CreatedID != "" {
		return seen.Memory.CreatedID
	}
	return batch.ID(b)
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

func hold(b *object) {
	if !batch.Held(b) {
		held(b)
	}
}

func keep(b *object, id string) {
	metav1.SetMetaDataAnnotation(&b.ObjectMeta, v1alpha1.AnnotationBatchID, id)
	delete(b.Annotations, v1alpha1.AnnotationCreateStartedAt)
}

// pass is one pass over an object: what was done, and what it came to.
type pass struct {
	took []batch.Action
	// told are all Events, those of decisions to act too.
	told  []batch.Event
	final batch.Decision
	// object is as it is stored after the pass.
	object *object
	// memory is what the next pass remembers, and next is when it comes; zero where none is
	// planned.
	memory batch.Memory
	next   time.Time
}

// run makes a pass at a time. The results are for the actions, in their order; an action
// without one succeeds, with the batch still in progress.
func run(b *object, memory batch.Memory, now time.Time, results ...result) pass {
	seen := batch.Observation{Memory: memory}
	var told []batch.Event
	for {
		d := rules.Decide(b, seen, now)
		told = append(told, d.Events...)
		if d.Action.Ends() {
			return concluded(pass{took: seen.Took, told: told, final: d, object: b.DeepCopy()}, now)
		}
		if len(seen.Took) == mostActions {
			panic("a pass without an end: " + pass{took: seen.Took}.did())
		}
		r := result{batch: answer(upstream.InProgress)}
		if len(results) > 0 && d.Action != batch.Hold && d.Action != batch.KeepID && d.Action != batch.ForgetIntent {
			r, results = results[0], results[1:]
		}
		b, seen = apply(b, seen, d.Action, r, now)
	}
}

// concluded stores what a pass came to.
func concluded(p pass, now time.Time) pass {
	if p.final.Action == batch.Rest {
		p.object.Status = p.final.Status
	}
	if p.final.After > 0 {
		p.memory = p.final.Memory
		if p.final.Reset {
			p.memory.NextCall = now.Add(p.final.After)
		}
		p.next = now.Add(wait(p.final))
	}
	return p
}

// wait is how long it is, at most, until the pass that follows.
func wait(d batch.Decision) time.Duration {
	if d.By > 0 {
		return min(d.After, d.By)
	}
	return d.After
}

// again makes the pass that follows when it is due.
func (p pass) again(results ...result) pass {
	if p.next.IsZero() {
		panic("no pass follows upon " + p.reason())
	}
	return run(p.object, p.memory, p.next, results...)
}

func (p pass) did() string {
	names := make([]string, 0, len(p.took))
	for _, action := range p.took {
		names = append(names, action.String())
	}
	return strings.Join(names, " ")
}

func (p pass) reason() string { return reasonOf(p.object.Status) }

func (p pass) message() string {
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
func (p pass) warned(reason string) string {
	for _, event := range p.told {
		if event.Warning && event.Reason == reason {
			return event.Message
		}
	}
	return ""
}
