// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/flowcontrol"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// caller identifies an object in flow control.
type caller struct {
	types.NamespacedName
	uid types.UID
}

func callerOf(b *v1alpha1.VectorStoreFileBatch) caller {
	return caller{client.ObjectKeyFromObject(b), b.UID}
}

// throttler asks flow control to admit the calls of objects. An object that has to wait keeps its
// position there, and returns to the work queue when its call is admitted.
type throttler struct {
	limiters *flowcontrol.Limiters[caller]

	mu    sync.Mutex
	queue queue
	// waiting maps each waiting object to its Limiter. The credentials can change meanwhile.
	waiting map[caller]*flowcontrol.Limiter[caller]
}

func newThrottler(limits flowcontrol.Limits, c clock.WithDelayedExecution) *throttler {
	t := &throttler{waiting: make(map[caller]*flowcontrol.Limiter[caller])}
	t.limiters = flowcontrol.New(limits, c, t.wake)
	return t
}

// start sets the queue that admitted objects return to. It is a source of the controller.
func (t *throttler) start(_ context.Context, q queue) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = q
	return nil
}

// wake enqueues an object whose call was admitted.
func (t *throttler) wake(who caller, class flowcontrol.Class) {
	t.mu.Lock()
	q := t.queue
	t.mu.Unlock()
	priority := priorityPoll
	if class == flowcontrol.Write {
		priority = priorityCreate
	}
	if q != nil {
		add(q, reconcile.Request{NamespacedName: who.NamespacedName}, priority)
	}
}

// permit is the permission for one call. A nil permit is valid and holds nothing.
type permit struct {
	limiter  *flowcontrol.Limiter[caller]
	caller   caller
	acquired bool
	released bool
}

// release reports the outcome of the call. Only the first release counts.
func (p *permit) release(outcome flowcontrol.Outcome) {
	switch {
	case p == nil || p.released:
		return
	case p.acquired:
		p.limiter.Release(p.caller, outcome)
	default:
		p.limiter.Observe(outcome)
	}
	p.released = true
}

// acquire returns the permit for an object's call, or nil and the reason why the call has to wait.
func (t *throttler) acquire(b *v1alpha1.VectorStoreFileBatch, connection upstream.Connection, cost lifecycle.Cost) (*permit, lifecycle.Admission) {
	who, limiter := callerOf(b), t.limiters.For(connection)
	if cost.Bypass {
		limiter.Take(cost.Requests)
		return &permit{limiter: limiter, caller: who}, lifecycle.Admitted
	}
	t.mu.Lock()
	before := t.waiting[who]
	t.waiting[who] = limiter
	t.mu.Unlock()
	if before != nil && before != limiter {
		before.Forget(who)
	}
	request := flowcontrol.Request{Class: flowcontrol.Read, Requests: cost.Requests, VectorStoreID: cost.VectorStoreID, Files: cost.Files}
	if cost.Write {
		request.Class = flowcontrol.Write
	}
	admission := limiter.Acquire(who, request)
	if admission != flowcontrol.Admitted {
		return nil, admissions[admission]
	}
	return &permit{limiter: limiter, caller: who, acquired: true}, lifecycle.Admitted
}

// admissions maps the answers of flow control to those that package lifecycle knows.
var admissions = map[flowcontrol.Admission]lifecycle.Admission{
	flowcontrol.Admitted:    lifecycle.Admitted,
	flowcontrol.Saturated:   lifecycle.Saturated,
	flowcontrol.RateLimited: lifecycle.RateLimited,
	flowcontrol.BackedOff:   lifecycle.BackedOff,
}

// forget removes an object from the queue that it waits in, if any.
func (t *throttler) forget(who caller) {
	t.mu.Lock()
	limiter := t.waiting[who]
	delete(t.waiting, who)
	t.mu.Unlock()
	if limiter != nil {
		limiter.Forget(who)
	}
}

// outcomeOf returns what flow control learns from the outcome of a call.
func outcomeOf(ctx context.Context, err error) flowcontrol.Outcome {
	if err == nil {
		return flowcontrol.Outcome{}
	}
	var apiError *upstream.Error
	if !errors.As(err, &apiError) {
		return flowcontrol.Outcome{Unsent: true}
	}
	return flowcontrol.Outcome{
		// A call that was cut off is no evidence about the server.
		Unanswered:      apiError.StatusCode == 0 && (apiError.Kind == upstream.Transient || apiError.Kind == upstream.UnknownOutcome) && ctx.Err() == nil,
		TooManyRequests: upstream.IsRateLimited(err),
		RetryAfter:      apiError.RetryAfter,
	}
}
