// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/flowcontrol"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// callerOf returns what identifies an object in flow control.
func callerOf(b *v1alpha1.VectorStoreFileBatch) flowcontrol.Caller {
	return flowcontrol.Caller{NamespacedName: client.ObjectKeyFromObject(b), UID: b.UID}
}

// throttler asks flow control to admit the calls of objects. An object that has to wait keeps its
// position there, and returns to the work queue when its call is admitted.
type throttler struct {
	*flowcontrol.Limiters

	mu    sync.Mutex
	queue queue
}

func newThrottler(limits flowcontrol.Limits, c clock.WithDelayedExecution) *throttler {
	t := &throttler{}
	t.Limiters = flowcontrol.New(limits, c, t.wake)
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
func (t *throttler) wake(who flowcontrol.Caller, class flowcontrol.Class) {
	t.mu.Lock()
	q := t.queue
	t.mu.Unlock()
	if q != nil {
		add(q, reconcile.Request{NamespacedName: who.NamespacedName}, priorities[class])
	}
}

// priorities are those of admitted calls in the work queue.
var priorities = map[flowcontrol.Class]int{
	flowcontrol.Urgent: priorityUrgent,
	flowcontrol.Create: priorityCreate,
	flowcontrol.Detach: priorityCreate,
	flowcontrol.Read:   priorityPoll,
}

// acquire asks to admit an object's call. The time is when a back-off ends.
func (t *throttler) acquire(b *v1alpha1.VectorStoreFileBatch, connection upstream.Connection, d lifecycle.Decision) (lifecycle.Admission, time.Time) {
	request := flowcontrol.Request{Class: classOf(d), Requests: d.Cost.Requests, VectorStoreID: d.Cost.VectorStoreID, Files: d.Cost.Files}
	admission, until := t.Acquire(callerOf(b), connection, request)
	return admissions[admission], until
}

// classOf returns the class of an action's call.
func classOf(d lifecycle.Decision) flowcontrol.Class {
	switch {
	case d.Cost.Urgent:
		return flowcontrol.Urgent
	case d.Action == lifecycle.Create:
		return flowcontrol.Create
	case d.Action == lifecycle.Detach:
		return flowcontrol.Detach
	default:
		return flowcontrol.Read
	}
}

// admissions maps the answers of flow control to those that package lifecycle knows.
var admissions = map[flowcontrol.Admission]lifecycle.Admission{
	flowcontrol.Admitted:    lifecycle.Admitted,
	flowcontrol.Saturated:   lifecycle.Saturated,
	flowcontrol.RateLimited: lifecycle.RateLimited,
	flowcontrol.BackedOff:   lifecycle.BackedOff,
}

// outcomeOf returns what flow control learns from the outcome of a call.
func outcomeOf(answer *upstream.Batch, err error) flowcontrol.Outcome {
	if err == nil {
		if answer == nil {
			return flowcontrol.Outcome{}
		}
		return flowcontrol.Outcome{Organization: answer.Organization}
	}
	var e *upstream.Error
	if !errors.As(err, &e) {
		return flowcontrol.Outcome{Unsent: true}
	}
	answered := e.StatusCode != 0
	return flowcontrol.Outcome{
		Unsent:          !answered && e.Kind != upstream.UnknownOutcome && e.Kind != upstream.Transient,
		Unanswered:      !answered || e.StatusCode >= http.StatusInternalServerError,
		Refused:         answered && e.StatusCode < http.StatusInternalServerError && e.Kind != upstream.UnknownOutcome,
		TooManyRequests: e.Kind == upstream.RateLimited,
		RetryAfter:      e.RetryAfter,
	}
}
