// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
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
	before, startedAt := b.Annotations[v1alpha1.AnnotationCreateStartedAt], r.Clock.Now()
	ctx = context.WithoutCancel(ctx)
	request, err := r.markCreatePending(ctx, b, startedAt)
	if err != nil {
		return nil, err
	}
	// They report a further batch, so they must not be lost if the process ends after it was created.
	r.recordEvents(ctx, b, d.Events)
	if d.Recovery != nil {
		telemetry.CreateOutcomeUnknown.WithLabelValues(strconv.FormatBool(d.Recovery.Attached)).Inc()
	}
	answer, err := answered(request.send(whenEncoded(ctx, encoded), call))
	encoded()
	if err == nil && batch.UsableID(answer.ID) {
		r.state.saveCreated(b, answer.ID)
	}
	call.report(outcomeOf(answer, err))
	if apiError := upstream.AsError(err); apiError != nil && apiError.Kind == upstream.UnknownOutcome {
		return nil, apiError
	}
	if err == nil && !batch.UsableID(answer.ID) {
		err = &upstream.Error{Kind: upstream.Rejected, Message: fmt.Sprintf("the API returned a batch ID that cannot be used in a URL: %.64q", answer.ID)}
	}
	ctx, cancel := context.WithTimeout(ctx, PersistTimeout)
	defer cancel()
	switch {
	case err != nil && d.Recovery != nil && d.Recovery.Attached:
		// This request had no effect, but the one whose response was lost had.
		return nil, errors.Join(err, r.endCreatePending(ctx, b, &before))
	case err != nil:
		return nil, errors.Join(err, r.endCreatePending(ctx, b, nil))
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
func (r *Reconciler) markCreatePending(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, startedAt time.Time) (createRequest, error) {
	ctx, cancel := context.WithTimeout(ctx, CreatePendingTimeout)
	defer cancel()
	var request createRequest
	err := r.patchReserved(ctx, b, createPending(b, startedAt), func(whole *v1alpha1.VectorStoreFileBatch) {
		request.CreateRequest, request.invalid = batch.CreateRequest(whole)
	})
	if err != nil {
		return createRequest{}, err
	}
	if took := r.Clock.Since(startedAt); took >= CreatePendingTimeout {
		return createRequest{}, fmt.Errorf("marking the create as pending took %s, too long to send the request now", took)
	}
	return request, nil
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

// attachedSince reports whether one of the files was attached to the store since the given time.
func attachedSince(ctx context.Context, client upstream.Client, store string, files []string, since time.Time) (bool, error) {
	for _, id := range files {
		file, err := client.File(ctx, store, id)
		switch {
		case upstream.IsNotFound(err):
		case err != nil:
			return false, err
		case file.CreatedAt.After(since):
			return true, nil
		}
	}
	return false, nil
}
