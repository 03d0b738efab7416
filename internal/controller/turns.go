// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/budget"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// caller is an object as it stands in a line of the budget.
type caller struct {
	types.NamespacedName
	uid types.UID
}

func callerFor(b *v1alpha1.VectorStoreFileBatch) caller {
	return caller{client.ObjectKeyFromObject(b), b.UID}
}

// turns are the objects that wait for their turn to call the upstream. They wait in a line of
// the budget, and come back into the work queue when it calls them.
type turns struct {
	budgets *budget.Budgets[caller]

	mu    sync.Mutex
	queue queue
	// waiting is where each stands. The credentials of an object may change meanwhile.
	waiting map[caller]*budget.Budget[caller]
}

// start says into which queue those come whose turn it is. It is a source of the controller.
func (t *turns) start(_ context.Context, q queue) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = q
	return nil
}

// wake brings an object back whose turn has come.
func (t *turns) wake(who caller, class budget.Class) {
	t.mu.Lock()
	q := t.queue
	t.mu.Unlock()
	request, priority := reconcile.Request{NamespacedName: who.NamespacedName}, priorityPoll
	if class == budget.Change {
		priority = priorityCreate
	}
	if prioritized, able := q.(priorityqueue.PriorityQueue[reconcile.Request]); able {
		prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, request)
	} else if q != nil {
		q.Add(request)
	}
}

// turn is a call that may be made now.
type turn struct {
	budget *budget.Budget[caller]
	who    caller
	asked  bool
	over   bool
}

// end says what became of the call. What is said later does not count.
func (t *turn) end(outcome budget.Outcome) {
	switch {
	case t.over:
	case t.asked:
		t.budget.Done(t.who, outcome)
	default:
		t.budget.Report(outcome)
	}
	t.over = true
}

// take gives an object its turn on a connection. It is nil where the object has to wait for it,
// and the verdict says what for.
func (t *turns) take(b *v1alpha1.VectorStoreFileBatch, connection upstream.Connection, call budget.Call, waits bool) (*turn, budget.Verdict) {
	who, pace := callerFor(b), t.budgets.Of(connection)
	if !waits {
		pace.Spend(call.Requests)
		return &turn{budget: pace, who: who}, budget.Granted
	}
	t.mu.Lock()
	before := t.waiting[who]
	t.waiting[who] = pace
	t.mu.Unlock()
	if before != nil && before != pace {
		before.Leave(who)
	}
	if verdict := pace.Ask(who, call); verdict != budget.Granted {
		return nil, verdict
	}
	return &turn{budget: pace, who: who, asked: true}, budget.Granted
}

// leave takes an object out of the line that it stands in, if any.
func (t *turns) leave(who caller) {
	t.mu.Lock()
	pace := t.waiting[who]
	delete(t.waiting, who)
	t.mu.Unlock()
	if pace != nil {
		pace.Leave(who)
	}
}

// outcomeOf tells the budget what came of a call.
func outcomeOf(ctx context.Context, err error) budget.Outcome {
	if err == nil {
		return budget.Outcome{}
	}
	var known *upstream.Error
	if !errors.As(err, &known) {
		return budget.Outcome{Unsent: true}
	}
	return budget.Outcome{
		// A call that was cut off says nothing about the upstream.
		Unanswered:  known.StatusCode == 0 && (known.Kind == upstream.Transient || known.Kind == upstream.UnknownOutcome) && ctx.Err() == nil,
		RateLimited: known.Kind == upstream.RateLimited,
		RetryAfter:  known.RetryAfter,
	}
}

// toll is what an action takes from the budget, and whether it waits for it. What is urgent does
// not, nor what goes on with what this pass began.
func (r *Reconciler) toll(b *v1alpha1.VectorStoreFileBatch, action batch.Action, files int, seen *batch.Observation) (call budget.Call, waits bool) {
	begun := slices.ContainsFunc(seen.Took[:len(seen.Took)-1], batch.Action.Calls)
	switch action {
	case batch.Create:
		return budget.Call{Class: budget.Change, Requests: 1, VectorStoreID: b.Spec.VectorStoreID, Files: files}, true
	case batch.Detach:
		givenUp := b.DeletionTimestamp != nil && !r.Clock.Now().Before(b.DeletionTimestamp.Add(r.Rules.FinalizeTimeout))
		return budget.Call{Class: budget.Change, Requests: detaches(b)}, !givenUp
	case batch.Probe:
		return budget.Call{Class: budget.Look, Requests: min(probedFiles, max(1, len(b.Spec.FileIDs)+len(b.Spec.Files)))}, !begun && !batch.Urgent(b)
	case batch.Cancel:
		return budget.Call{Requests: 1}, false
	case batch.Rest, batch.Hold, batch.KeepID, batch.ForgetIntent, batch.Retrieve, batch.ListFailedFiles, batch.Delete, batch.Release:
	}
	return budget.Call{Class: budget.Look, Requests: 1}, !begun && !batch.Urgent(b)
}
