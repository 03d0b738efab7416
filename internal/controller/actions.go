// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/flowcontrol"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// perform performs one action. An error of the OpenAI API is part of the result. The returned error
// ends the reconciliation.
func (r *Reconciler) perform(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, d lifecycle.Decision) (lifecycle.Result, error) {
	ctx, call, err := r.startCall(ctx, b, d)
	defer call.end()
	result := lifecycle.Result{Admission: call.admission, BackedOffUntil: call.backedOffUntil, CredentialsChangedAt: call.credentialsChangedAt}
	if err != nil || result.Admission != lifecycle.Admitted {
		return r.endCall(ctx, call, b, d, result, err)
	}
	callCtx, stop := within(ctx, d.Timeout)
	defer stop()
	switch d.Action {
	case lifecycle.AddFinalizer:
		err = r.patchMetadata(ctx, b, addFinalizer(b))
	case lifecycle.RecordBatchID:
		err = r.recordBatchID(ctx, b, d.BatchID)
	case lifecycle.ClearCreatePending:
		err = r.endCreatePending(ctx, b, noCreatePending)
	case lifecycle.Create:
		result.Batch, err = r.create(ctx, call, b, d)
	case lifecycle.VerifyCreate:
		result.Attached, err = r.verifyCreate(callCtx, call, b, d.Verify)
	case lifecycle.Poll:
		result.Batch, err = answered(call.Retrieve(callCtx, batch.Ref(b)))
	case lifecycle.Cancel:
		result, err = r.cancel(callCtx, call, b, result)
	case lifecycle.CountFiles:
		result.Listed, err = answered(call.CountFiles(callCtx, batch.Ref(b)))
	case lifecycle.ListFailedFiles:
		result.FailedFiles, err = call.FailedFiles(callCtx, batch.Ref(b), v1alpha1.MaxFailedFilesListed)
	case lifecycle.ReadStore:
		result, err = r.readStore(callCtx, call, b, result)
	case lifecycle.Detach:
		result.Detached, err = r.detach(ctx, call, b, d.Detach)
	case lifecycle.Requeue, lifecycle.Delete, lifecycle.RemoveFinalizer:
		err = fmt.Errorf("%s is terminal and cannot be performed in the middle of a reconciliation", d.Action)
	}
	return r.endCall(ctx, call, b, d, result, err)
}

// within returns a context with a timeout; without one if it is 0.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// cancel cancels the batch of an object. The API can accept that, and return another object.
func (r *Reconciler) cancel(ctx context.Context, client upstream.Client, b *v1alpha1.VectorStoreFileBatch, result lifecycle.Result) (lifecycle.Result, error) {
	answer, err := answered(client.Cancel(ctx, batch.Ref(b)))
	result.At = r.Clock.Now()
	if upstream.IsOtherObject(err) {
		answer, err = nil, nil
	}
	if err == nil {
		result.Batch, result.CancelAccepted = answer, batch.ID(b)
	}
	return result, err
}

// answered returns nil instead of the response if the call failed.
func answered[T any](response T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return &response, nil
}

// apiCall is a call to the OpenAI API. For an action that makes none it is empty.
type apiCall struct {
	upstream.Client
	admission      lifecycle.Admission
	backedOffUntil time.Time
	// credentialsChangedAt is when the Secret got its content, as far as is known.
	credentialsChangedAt time.Time
	// report reports the outcome to flow control. Only the first report counts.
	report func(flowcontrol.Outcome)
	done   func()
}

// startCall prepares the action's call to the OpenAI API, if it makes one, and asks flow control to
// admit it. The context that it returns ends when the call is cut off.
func (r *Reconciler) startCall(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, d lifecycle.Decision) (context.Context, *apiCall, error) {
	call := &apiCall{report: func(flowcontrol.Outcome) {}}
	if !d.Action.CallsAPI() {
		return ctx, call, nil
	}
	if d.Action.ReadsBatch() {
		ctx, call.done = r.inflight.begin(ctx, b.UID)
	}
	session, err := r.clients.Session(ctx, b)
	if err != nil {
		return ctx, call, err
	}
	call.Client, call.credentialsChangedAt = session, session.ChangedAt
	call.admission, call.backedOffUntil = r.throttler.acquire(b, session.Connection, d)
	if call.admission == lifecycle.Admitted {
		call.report = func(outcome flowcontrol.Outcome) { r.throttler.Report(callerOf(b), outcome) }
	}
	if waited := d.State.WaitingSince; call.admission == lifecycle.Admitted && !waited.IsZero() {
		telemetry.RateLimitWait.WithLabelValues(d.Action.String()).Observe(r.Clock.Since(waited).Seconds())
	}
	return ctx, call, nil
}

// endCall classifies the outcome of an action, and reports it to flow control.
func (r *Reconciler) endCall(ctx context.Context, call *apiCall, b *v1alpha1.VectorStoreFileBatch, d lifecycle.Decision, result lifecycle.Result, err error) (lifecycle.Result, error) {
	call.report(outcomeOf(result.Batch, err))
	var apiError *upstream.Error
	switch {
	case result.Admission != lifecycle.Admitted:
		if d.Action == lifecycle.Poll && result.Admission == lifecycle.BackedOff {
			r.collector.observeHold(b.UID, result.BackedOffUntil)
		}
		return result, nil
	case err == nil:
		r.collector.observeCall(b.UID, d.Action)
	case !errors.As(err, &apiError):
		return result, err
	case ctx.Err() != nil && d.Action != lifecycle.Create:
		// A shutdown, a cancel or a deletion cut the call off, which is no answer of the API.
		return result, fmt.Errorf("call cut off: %w", context.Cause(ctx))
	default:
		result.Err = apiError
		log.FromContext(ctx).V(1).Info("The call to the OpenAI API failed", "action", d.Action.String(), "kind", apiError.Kind.String(),
			"requestID", apiError.RequestID, "message", apiError.Message)
	}
	if apiError != nil && (apiError.Kind == upstream.Unauthorized || apiError.Kind == upstream.NotAllowed) {
		r.clients.Invalidate(b)
	}
	if d.Action != lifecycle.Create { // which has recorded them
		r.recordEvents(ctx, b, d.Events)
	}
	return result, nil
}

// end ends the context of the call, even after a panic.
func (c *apiCall) end() {
	if c.done != nil {
		c.done()
	}
}
