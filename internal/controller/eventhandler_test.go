// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/flowcontrol"
)

// newHandler returns the event handler of a reconciler.
func newHandler(r *Reconciler) eventHandler {
	return eventHandler{r.state, r.inflight, r.throttler, r.collector, r.backlog}
}

// named returns an object of newBatch with a name and changes.
func named(name, status, reason string, changes ...func(*v1alpha1.VectorStoreFileBatch)) *v1alpha1.VectorStoreFileBatch {
	b := newBatch(types.UID(name), status, reason)
	b.Namespace, b.Name = "default", name
	if status != "" {
		b.Status.BatchID = "batch_" + name
	}
	for _, change := range changes {
		change(b)
	}
	return b
}

func deleted(b *v1alpha1.VectorStoreFileBatch) {
	b.DeletionTimestamp = &metav1.Time{Time: time.Unix(1000, 0)}
}

func withPolicy(policy v1alpha1.DeletionPolicy) func(*v1alpha1.VectorStoreFileBatch) {
	return func(b *v1alpha1.VectorStoreFileBatch) { b.Spec.DeletionPolicy = policy }
}

func cancelWanted(b *v1alpha1.VectorStoreFileBatch) { b.Spec.Cancel = ptr.To(true) }

// TestQueue_CancelsBeforeBulkDeletions deletes thousands of objects whose deletion has nothing to stop,
// and then cancels one batch. The work queue is the real one.
func TestQueue_CancelsBeforeBulkDeletions(t *testing.T) {
	const each = 2_000
	q := priorityqueue.New[reconcile.Request]("test")
	defer q.ShutDown()
	h := newHandler(New(Options{Clock: clocktesting.NewFakeClock(time.Unix(1000, 0)), Limits: flowcontrol.DefaultLimits(), Concurrency: 1}))
	add := func(b *v1alpha1.VectorStoreFileBatch) {
		h.Create(t.Context(), event.CreateEvent{Object: b}, q)
	}
	for i := range each {
		name := func(kind string) string { return fmt.Sprintf("%s-%d", kind, i) }
		add(named(name("finished"), "completed", v1alpha1.ReasonCompleted, deleted))
		add(named(name("finalizer"), "completed", v1alpha1.ReasonCompleted))
		add(named(name("orphaned"), inProgress, v1alpha1.ReasonInProgress, withPolicy(v1alpha1.DeletionPolicyOrphan), deleted))
		add(named(name("detaching"), "completed", v1alpha1.ReasonCompleted, withPolicy(v1alpha1.DeletionPolicyDetachFiles), deleted))
		add(named(name("uncreated"), "", "", deleted))
	}
	add(named("polled", inProgress, v1alpha1.ReasonInProgress))
	add(named("new", "", ""))
	add(named("deleted", inProgress, v1alpha1.ReasonInProgress, deleted))
	add(named("cancelled", inProgress, v1alpha1.ReasonInProgress, cancelWanted))
	if n, want := q.Len(), 5*each+4; n != want {
		t.Fatalf("%d objects are queued, want %d", n, want)
	}
	for _, want := range []string{"deleted", "cancelled", "new"} {
		if request, _ := q.Get(); request.Name != want {
			t.Errorf("%s comes before %s", request.Name, want)
		}
	}
}

// TestQueue_PriorityOf orders the kinds of objects.
func TestQueue_PriorityOf(t *testing.T) {
	order := []*v1alpha1.VectorStoreFileBatch{
		named("cancel", inProgress, v1alpha1.ReasonInProgress, cancelWanted),
		named("create", "", ""),
		named("deletion", "completed", v1alpha1.ReasonCompleted, withPolicy(v1alpha1.DeletionPolicyDetachFiles), deleted),
		named("poll", inProgress, v1alpha1.ReasonInProgress),
		named("finished", "completed", v1alpha1.ReasonCompleted, func(b *v1alpha1.VectorStoreFileBatch) { b.Finalizers = nil }),
	}
	for i := range order[1:] {
		if priorityOf(order[i]) <= priorityOf(order[i+1]) {
			t.Errorf("%s does not come before %s", order[i].Name, order[i+1].Name)
		}
	}
	// Removing the finalizer of a finished object is not starved by polls.
	finalizer := named("b", "completed", v1alpha1.ReasonCompleted)
	if priorityOf(finalizer) != priorityPoll {
		t.Errorf("a finished object with a finalizer to remove has priority %d", priorityOf(finalizer))
	}
}

// TestQueue_FewBeforeMany floods the queue with the objects of one namespace. Those of another one come
// first, whatever else the flood is changed to; the order of priorities stays.
func TestQueue_FewBeforeMany(t *testing.T) {
	const flood = 2_000
	r := New(Options{Clock: clocktesting.NewFakeClock(time.Unix(1000, 0)), Limits: flowcontrol.DefaultLimits(), Concurrency: 1})
	h := newHandler(r)
	q := priorityqueue.New[reconcile.Request]("test")
	defer q.ShutDown()
	add := func(b *v1alpha1.VectorStoreFileBatch, namespace string) {
		b.Namespace = namespace
		h.Create(t.Context(), event.CreateEvent{Object: b}, q)
	}
	for range 2 { // the second event of an object changes nothing
		for i := range flood {
			add(named(fmt.Sprint("new-", i), "", ""), "flood")
			add(named(fmt.Sprint("polled-", i), inProgress, v1alpha1.ReasonInProgress), "flood")
		}
	}
	add(named("polled", inProgress, v1alpha1.ReasonInProgress), "stranger")
	add(named("new", "", ""), "stranger")
	position := map[string]int{}
	for i := range q.Len() {
		request, _ := q.Get()
		r.backlog.remove(request.NamespacedName)
		if request.Namespace == "stranger" {
			position[request.Name] = i
		}
	}
	if position["new"] > 1 || position["polled"] < flood || position["polled"] > flood+2 {
		t.Errorf("the positions of the stranger's objects are %v, after %d creates and %d polls", position, flood, flood)
	}
	if n := len(r.backlog.queued); n > 0 {
		t.Errorf("%d namespaces are left in the backlog", n)
	}
}
