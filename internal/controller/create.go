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
	if ctx.Err() != nil {
		return nil, fmt.Errorf("create cut off: %w", context.Cause(ctx))
	}
	before, startedAt := b.Annotations[v1alpha1.AnnotationCreateStartedAt], r.Clock.Now()
	ctx = context.WithoutCancel(ctx)
	if err := r.markCreatePending(ctx, b, startedAt); err != nil {
		return nil, err
	}
	if d.Recovery != nil {
		telemetry.CreateOutcomeUnknown.WithLabelValues(strconv.FormatBool(d.Recovery.Attached)).Inc()
	}
	answer, err := answered(call.Create(ctx, *d.Create))
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

// markCreatePending adds the finalizer, if the object needs it, and the annotation that a create is
// pending.
func (r *Reconciler) markCreatePending(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, startedAt time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, CreatePendingTimeout)
	defer cancel()
	if err := r.patchMetadata(ctx, b, createPending(b, startedAt)); err != nil {
		return err
	}
	if took := r.Clock.Since(startedAt); took >= CreatePendingTimeout {
		return fmt.Errorf("marking the create as pending took %s, too long to send the request now", took)
	}
	return nil
}

// attachedSince reports whether one of the files was attached to the store since the given time.
func attachedSince(ctx context.Context, client upstream.Client, store string, v lifecycle.Verification) (bool, error) {
	for _, id := range v.FileIDs {
		file, err := client.File(ctx, store, id)
		switch {
		case upstream.IsNotFound(err):
		case err != nil:
			return false, err
		case file.CreatedAt.After(v.Since):
			return true, nil
		}
	}
	return false, nil
}
