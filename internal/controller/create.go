// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// CreatePendingTimeout is the maximum age of the pending annotation when the request is sent. Another
// manager takes over from one that is frozen or slow once the request must have ended, so this is a
// part of batch.ClockSkew.
const CreatePendingTimeout = batch.ClockSkew / 2

// create creates the batch, once. The create is marked as pending first, under optimistic locking:
// only the reconciliation whose patch succeeded sends the request. From then on a shutdown does not
// cut it off, until the ID is recorded.
func (r *Reconciler) create(ctx context.Context, call *apiCall, b *v1alpha1.VectorStoreFileBatch, d lifecycle.Decision) (*upstream.Batch, error) {
	encoded, err := r.reserve(ctx, b)
	if err != nil {
		return nil, err
	}
	defer encoded()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("create cut off: %w", context.Cause(ctx))
	}
	recovery := d.Recovery
	if recovery == nil {
		recovery = &lifecycle.Recovery{}
	}
	before := pendingAnnotations(b)
	ctx = context.WithoutCancel(ctx)
	request, err := r.markCreatePending(ctx, b, recovery.Lost)
	if err != nil {
		return nil, err
	}
	// They report a further batch, so they must not be lost if the process ends after it was created.
	r.recordEvents(ctx, b, d.Events)
	answer, err := lifecycle.CheckCreated(answered(request.send(whenEncoded(ctx, encoded), call)))
	encoded()
	if err == nil {
		r.state.saveCreated(b, answer.ID)
	}
	call.report(outcomeOf(answer, err))
	if d.Recovery != nil && (err == nil || upstream.IsUnknownOutcome(err)) {
		// A refused request is repeated, and the one whose response was lost is counted once.
		telemetry.CreateOutcomeUnknown.WithLabelValues(strconv.FormatBool(recovery.Attached)).Inc()
	}
	if upstream.IsUnknownOutcome(err) {
		return nil, upstream.AsError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, PersistTimeout)
	defer cancel()
	switch {
	case err != nil && recovery.Lost > 0:
		// This request had no effect, but the one whose response was lost had.
		return nil, errors.Join(err, r.endCreatePending(ctx, b, before))
	case err != nil:
		return nil, errors.Join(err, r.endCreatePending(ctx, b, noCreatePending))
	}
	log.FromContext(ctx).Info("Created the batch", "batchID", answer.ID, "vectorStoreID", b.Spec.VectorStoreID, "files", answer.FileCounts.Total)
	return answer, r.recordBatchID(ctx, b, answer.ID)
}

// createRequest is a create request, or why none can be built from the object.
type createRequest struct {
	upstream.CreateRequest
	invalid error
}

// send sends the request.
func (c createRequest) send(ctx context.Context, client upstream.Client) (upstream.Batch, error) {
	if c.invalid != nil {
		return upstream.Batch{}, &upstream.Error{Kind: upstream.Rejected, Message: c.invalid.Error()}
	}
	return client.Create(ctx, c.CreateRequest)
}

// markCreatePending adds the finalizer, if the object needs it, and the annotation that a create is
// pending. The API server answers with the whole object, from which it builds the request.
func (r *Reconciler) markCreatePending(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, lost int) (createRequest, error) {
	ctx, cancel := context.WithTimeout(ctx, CreatePendingTimeout)
	defer cancel()
	startedAt := r.Clock.Now()
	var request createRequest
	err := r.patchReserved(ctx, b, createPending(b, startedAt, lost), func(whole *v1alpha1.VectorStoreFileBatch) {
		request.CreateRequest, request.invalid = batch.CreateRequest(whole)
	})
	if err != nil {
		return createRequest{}, err
	}
	if took := elapsed(startedAt, r.Clock.Now()); took >= CreatePendingTimeout {
		return createRequest{}, fmt.Errorf("marking the create as pending took %s, too long to send the request now", took)
	}
	return request, nil
}

// elapsed returns the time between two readings of the clock. While a virtual machine is paused, the
// monotonic clock can stop, and the wall clock can be set back: it returns the longer time of the two.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// verifyCreate reports whether one of the object's first files was attached to its store since the
// given time.
func (r *Reconciler) verifyCreate(ctx context.Context, call *apiCall, b *v1alpha1.VectorStoreFileBatch, v lifecycle.Verification) (bool, error) {
	files, err := r.specFiles(ctx, b)
	if err != nil {
		return false, err
	}
	return attachedSince(ctx, call, b.Spec.VectorStoreID, files[:min(v.Files, len(files))], v.Since)
}

// attachedSince reports whether one of the files was attached to the store since the given time. If the
// server refuses to show a file, or shows another object, the list of the store's files decides.
func attachedSince(ctx context.Context, client upstream.Client, store string, files []string, since time.Time) (bool, error) {
	for _, id := range files {
		file, err := client.File(ctx, store, id)
		switch {
		case upstream.IsNotFound(err):
		case upstream.IsRefused(err), upstream.IsOtherObject(err):
			newest, err := client.NewestFiles(ctx, store, since)
			return slices.ContainsFunc(newest, func(f upstream.File) bool { return slices.Contains(files, f.ID) }), err
		case err != nil:
			return false, err
		case file.CreatedAt.After(since):
			return true, nil
		}
	}
	return false, nil
}
