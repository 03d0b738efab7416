// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// Priorities in the work queue: cancels come before creates, creates before what else deletions have
// to do, that before polls, and finished objects last. Within each, a namespace with a long backlog
// comes later.
const (
	priorityUrgent   = 100
	priorityCreate   = 0
	priorityDelete   = -50
	priorityPoll     = -100
	priorityFinished = -200
)

// priorityOf returns the priority of an object.
func priorityOf(b *v1alpha1.VectorStoreFileBatch) int {
	switch {
	case batch.Urgent(b):
		return priorityUrgent
	case !b.DeletionTimestamp.IsZero():
		return priorityDelete
	case batch.Finished(b) && batch.HasFinalizer(b) != batch.NeedsFinalizer(b):
		return priorityPoll
	case batch.Finished(b):
		return priorityFinished
	case batch.ID(b) == "":
		return priorityCreate
	default:
		return priorityPoll
	}
}

// queue is the controller's work queue. It is a priorityqueue.PriorityQueue unless the manager disables
// that.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// add adds an object to the queue with a priority.
func add(q queue, request reconcile.Request, priority int) {
	if prioritized, ok := q.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
		prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, request)
		return
	}
	q.Add(request)
}

// eventHandler enqueues objects by priority. It does not filter changes of the status: reconciling an
// unchanged object makes no call and no write, and repairs a status that was lost.
type eventHandler struct {
	state     *stateStore
	inflight  *inflightPolls
	throttler *throttler
	collector *stateCollector
	backlog   *backlog
}

var _ handler.EventHandler = eventHandler{}

// Create enqueues an object that is new to this process.
func (h eventHandler) Create(ctx context.Context, e event.CreateEvent, q queue) {
	h.Update(ctx, event.UpdateEvent{ObjectNew: e.Object}, q)
}

// Update enqueues an object that has changed. A cancel or a deletion cuts off a poll in flight.
func (h eventHandler) Update(_ context.Context, e event.UpdateEvent, q queue) {
	before, after := asBatch(e.ObjectOld), asBatch(e.ObjectNew)
	h.collector.ObserveUpdate(before, after)
	if before != nil && before.UID != after.UID {
		h.forget(before) // it was replaced while the watch was interrupted
	}
	name := client.ObjectKeyFromObject(after)
	add(q, reconcile.Request{NamespacedName: name}, priorityOf(after)-h.backlog.add(name))
	deletionStarted := before != nil && before.DeletionTimestamp.IsZero() && !after.DeletionTimestamp.IsZero()
	if before != nil && batch.Urgent(after) || deletionStarted {
		h.inflight.preempt(after.UID)
	}
}

// Delete drops what the process remembers of an object that is gone.
func (h eventHandler) Delete(_ context.Context, e event.DeleteEvent, _ queue) {
	b := asBatch(e.Object)
	h.collector.ObserveUpdate(b, nil)
	h.forget(b)
}

func (h eventHandler) forget(b *v1alpha1.VectorStoreFileBatch) {
	h.state.forget(b)
	h.throttler.Forget(callerOf(b))
}

// Generic implements handler.EventHandler. No source of this controller sends generic events.
func (h eventHandler) Generic(context.Context, event.GenericEvent, queue) {}

// asBatch returns a watched object as what it is; nil for nil.
func asBatch(object client.Object) *v1alpha1.VectorStoreFileBatch {
	b, _ := object.(*v1alpha1.VectorStoreFileBatch)
	return b
}
