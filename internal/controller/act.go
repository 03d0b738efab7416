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
	"github.com/vector-store-operator/vector-store-operator/internal/budget"
	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// act takes one action, and adds to the observation what came of it. What the upstream answers
// is an observation, be it an error; an error of act itself ends the pass.
func (r *Reconciler) act(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, action batch.Action, seen *batch.Observation) error {
	seen.Took, seen.Err = append(seen.Took, action), nil
	switch action {
	case batch.Hold:
		return r.patchMetadata(ctx, b, held(b))
	case batch.KeepID:
		return r.keepID(ctx, b, seen)
	case batch.ForgetIntent:
		return r.endIntent(ctx, b, forgetIntent(b))
	case batch.Create, batch.Probe, batch.Retrieve, batch.Cancel, batch.ListFailedFiles, batch.Detach:
		return r.call(ctx, b, action, seen)
	case batch.Rest, batch.Delete, batch.Release:
	}
	return fmt.Errorf("%s is not an action to take in the middle of a pass", action)
}

// keepID writes the batch's ID into the annotation: one that was created before and could not
// be written then, or the one that the status tells.
func (r *Reconciler) keepID(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, seen *batch.Observation) error {
	id := seen.Memory.CreatedID
	if id == "" {
		id = batch.ID(b)
	}
	return r.storeID(ctx, b, id)
}

// call makes a call to the upstream.
func (r *Reconciler) call(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, action batch.Action, seen *batch.Observation) error {
	if action == batch.Probe || action == batch.Retrieve || action == batch.ListFailedFiles {
		var done func()
		ctx, done = r.reads.begin(ctx, b.UID)
		defer done()
	}
	line, err := r.Connections.Client(ctx, b)
	if err == nil {
		err = r.callInTurn(ctx, line, b, action, seen)
	}
	var known *upstream.Error
	switch {
	case err == nil:
		if !seen.Waiting {
			r.census.answered(b.UID, action)
		}
		return nil
	case !errors.As(err, &known):
		return err
	case ctx.Err() != nil && action != batch.Create:
		// A shutdown or a cancel cut the call off. That says nothing about the upstream.
		return fmt.Errorf("breaking off: %w", context.Cause(ctx))
	}
	if known.Kind == upstream.Unauthorized {
		r.Connections.Forget(b)
	}
	log.FromContext(ctx).V(1).Info("The call to the upstream failed", "action", action.String(), "kind", known.Kind.String(),
		"requestID", known.RequestID, "message", known.Message)
	seen.Err = known
	return nil
}

// callInTurn makes a call if the budget has its turn come. Otherwise the pass is to end.
func (r *Reconciler) callInTurn(ctx context.Context, line *Line, b *v1alpha1.VectorStoreFileBatch, action batch.Action, seen *batch.Observation) error {
	var request upstream.CreateRequest
	if action == batch.Create {
		var err error
		if request, err = batch.Request(b); err != nil {
			return &upstream.Error{Kind: upstream.Rejected, Message: err.Error()}
		}
	}
	call, waits := r.toll(b, action, batch.FileCount(request), seen)
	turn, verdict := r.turns.take(b, line.Connection, call, waits)
	if turn == nil {
		seen.Waiting, seen.Paced, seen.Held = true, verdict == budget.Paced, verdict == budget.Held
		return nil
	}
	if since := seen.Memory.WaitingSince; !since.IsZero() {
		telemetry.RateLimitWait.WithLabelValues(action.String()).Observe(r.Clock.Since(since).Seconds())
	}
	seen.Memory.WaitingSince = time.Time{}
	// Whatever ends the call, a panic too, the turn is given back.
	defer turn.end(budget.Outcome{Unsent: true})
	if action == batch.Create {
		return r.create(ctx, line, b, request, seen, turn)
	}
	err := r.callWith(ctx, line, b, action, seen)
	turn.end(outcomeOf(ctx, err))
	return err
}

func (r *Reconciler) callWith(ctx context.Context, client upstream.Client, b *v1alpha1.VectorStoreFileBatch, action batch.Action, seen *batch.Observation) error {
	switch action {
	case batch.Probe:
		return r.probe(ctx, client, b, seen)
	case batch.Retrieve:
		answer, err := client.Retrieve(ctx, batch.Ref(b))
		if err != nil {
			return err
		}
		seen.Batch = &answer
		return nil
	case batch.Cancel:
		answer, err := client.Cancel(ctx, batch.Ref(b))
		if err != nil {
			return err
		}
		// Somebody else's write may end the pass before this is stored.
		seen.Batch, seen.Memory.CancelledID, seen.Memory.CancelledAt = &answer, batch.ID(b), r.Clock.Now()
		r.memories.keep(b.UID, seen.Memory)
		return nil
	case batch.ListFailedFiles:
		files, err := client.FailedFiles(ctx, batch.Ref(b), v1alpha1.MaxFailedFilesListed)
		seen.FailedFiles = files
		return err
	case batch.Detach:
		return r.detach(ctx, client, b, seen)
	case batch.Rest, batch.Hold, batch.KeepID, batch.ForgetIntent, batch.Create, batch.Delete, batch.Release:
	}
	return fmt.Errorf("%s is not a call to the upstream", action)
}

// IntentTimeout is how old an intent may be when the request is sent. Whoever finds the intent
// of a process that is frozen, or slow, takes over when the request must have ended, so it is a
// part of ClockSkew.
const IntentTimeout = batch.ClockSkew / 2

// create makes the batch, once. The intent is stored first, and only the pass whose write of
// it succeeded may go on: a stale view of the object loses. From then on a shutdown does not
// interrupt it, until the ID is stored.
func (r *Reconciler) create(ctx context.Context, client upstream.Client, b *v1alpha1.VectorStoreFileBatch, request upstream.CreateRequest, seen *batch.Observation, turn *turn) error {
	if ctx.Err() != nil {
		return fmt.Errorf("breaking off: %w", context.Cause(ctx))
	}
	before, now := b.Annotations[v1alpha1.AnnotationCreateStartedAt], r.Clock.Now()
	ctx = context.WithoutCancel(ctx)
	storing, cancel := context.WithTimeout(ctx, IntentTimeout)
	defer cancel()
	if err := r.patchMetadata(storing, b, intent(b, now)); err != nil {
		return err
	}
	if took := r.Clock.Since(now); took >= IntentTimeout {
		return fmt.Errorf("writing that a create is started took %s, which is too long to send the request now", took)
	}
	if slices.Contains(seen.Took, batch.Probe) {
		telemetry.CreateOutcomeUnknown.WithLabelValues(strconv.FormatBool(seen.Attached)).Inc()
	}
	answer, err := client.Create(ctx, request)
	turn.end(outcomeOf(ctx, err))
	if known := upstream.AsError(err); known != nil && known.Kind == upstream.UnknownOutcome {
		return known
	}
	return r.created(ctx, b, seen, answer, err, before)
}

// created stores what came of a create whose outcome is known: the batch's ID, or that there is
// none. The intent is then what it was before.
func (r *Reconciler) created(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, seen *batch.Observation, answer upstream.Batch, err error, before string) error {
	if err == nil && !batch.UsableID(answer.ID) {
		err = &upstream.Error{Kind: upstream.Rejected, Message: fmt.Sprintf("the upstream gave the batch an ID that cannot be used in a URL: %.64q", answer.ID)}
	}
	ctx, cancel := context.WithTimeout(ctx, StoreTimeout)
	defer cancel()
	switch {
	case err != nil && seen.Attached:
		// This request came to nothing, but the one whose answer was lost did not.
		return errors.Join(err, r.endIntent(ctx, b, startedAt(b, before)))
	case err != nil:
		return errors.Join(err, r.endIntent(ctx, b, forgetIntent(b)))
	}
	// Should the write fail, the next pass makes it again from memory.
	seen.Batch, seen.Memory.CreatedID = &answer, answer.ID
	r.memories.keep(b.UID, seen.Memory)
	log.FromContext(ctx).Info("Created the batch", "batchID", answer.ID, "vectorStoreID", b.Spec.VectorStoreID, "files", answer.FileCounts.Total)
	return r.storeID(ctx, b, answer.ID)
}

// probedFiles is how many of a batch's files are looked for in the store: each of them would
// do, but one may have been removed since.
const probedFiles = 3

// probe looks whether a create whose answer was lost took effect: whether files of the batch
// were attached to the store since it was started.
func (r *Reconciler) probe(ctx context.Context, client upstream.Client, b *v1alpha1.VectorStoreFileBatch, seen *batch.Observation) error {
	request, err := batch.Request(b)
	if err != nil {
		return &upstream.Error{Kind: upstream.Rejected, Message: err.Error()}
	}
	startedAt, _ := batch.CreateStartedAt(b, r.Clock.Now())
	ids := batch.FileIDs(request)
	for _, id := range ids[:min(len(ids), probedFiles)] {
		file, err := client.File(ctx, b.Spec.VectorStoreID, id)
		if notFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		// The upstream counts in whole seconds, by a clock of its own.
		if file.CreatedAt.After(startedAt.Add(-batch.ClockSkew - time.Second)) {
			seen.Attached = true
			return nil
		}
	}
	return nil
}
