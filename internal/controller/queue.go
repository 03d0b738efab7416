// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/budget"
)

// Priorities in the work queue: cancels and deletions overtake creations, and creations
// overtake looks at batches in progress. What is over comes last.
const (
	priorityUrgent = 100
	priorityCreate = 0
	priorityPoll   = -100
	priorityOver   = -200
)

// queuePriority is the priority of an object as it stands.
func queuePriority(b *v1alpha1.VectorStoreFileBatch) int {
	switch {
	case batch.Urgent(b):
		return priorityUrgent
	case batch.Finished(b):
		return priorityOver
	case batch.ID(b) == "":
		return priorityCreate
	default:
		return priorityPoll
	}
}

// SetupWithManager makes the manager run the reconciler, with so many passes at a time. Most
// of a pass is waiting for the upstream, so they may be many more than there are processors.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, concurrency int) error {
	r.census = newCensus(r.Clock)
	if err := r.census.setUp(mgr); err != nil {
		return err
	}
	r.turns.waiting = make(map[caller]*budget.Budget[caller])
	r.turns.budgets = budget.New(r.Limits.ForWorkers(concurrency), r.Clock, r.turns.wake)
	err := ctrl.NewControllerManagedBy(mgr).
		Named("vectorstorefilebatch").
		Watches(&v1alpha1.VectorStoreFileBatch{}, enqueue{&r.memories, &r.reads, &r.turns, r.census}).
		WatchesRawSource(source.Func(r.turns.start)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: concurrency,
			// For failures of the API server only: those of the upstream are the rules' business.
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](100*time.Millisecond, 10*time.Second),
		}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), observed{r}))
	if err != nil {
		return fmt.Errorf("setting up the controller: %w", err)
	}
	return nil
}

// enqueue puts objects into the work queue by their priority. Changes of a status come too:
// a pass that has nothing to do costs no call and no write, and one that was lost is mended.
type enqueue struct {
	memories *memories
	reads    *reads
	turns    *turns
	census   *census
}

var _ handler.EventHandler = enqueue{}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Create enqueues an object that is new to this process.
func (e enqueue) Create(_ context.Context, event event.CreateEvent, q queue) {
	e.census.saw(nil, ours(event.Object))
	e.add(event.Object, q)
}

// Update enqueues an object that has changed. A cancel and a deletion do not wait for a look at
// the batch that is under way.
func (e enqueue) Update(_ context.Context, event event.UpdateEvent, q queue) {
	after := ours(event.ObjectNew)
	e.census.saw(ours(event.ObjectOld), after)
	e.add(event.ObjectNew, q)
	if after != nil && batch.Urgent(after) {
		e.reads.overtake(after.UID)
	}
}

// Delete forgets an object that is gone.
func (e enqueue) Delete(_ context.Context, event event.DeleteEvent, _ queue) {
	e.census.saw(ours(event.Object), nil)
	e.memories.forget(event.Object.GetUID())
	e.turns.leave(caller{client.ObjectKeyFromObject(event.Object), event.Object.GetUID()})
}

// Generic enqueues an object that something else points to.
func (e enqueue) Generic(_ context.Context, event event.GenericEvent, q queue) {
	e.add(event.Object, q)
}

// ours gives an object as one of our kind, of which all are that are watched.
func ours(object client.Object) *v1alpha1.VectorStoreFileBatch {
	b, _ := object.(*v1alpha1.VectorStoreFileBatch)
	return b
}

func (e enqueue) add(object client.Object, q queue) {
	request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)}
	b := ours(object)
	prioritized, able := q.(priorityqueue.PriorityQueue[reconcile.Request])
	if b == nil || !able {
		q.Add(request)
		return
	}
	priority := queuePriority(b)
	prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, request)
}
