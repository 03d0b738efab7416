// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controller is the loop: it observes an object and its batch, asks the rules what
// follows, does it, and stores what came of it.
package controller

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/budget"
)

// Permissions. On Secrets there is get and nothing more: the operator cannot look for them,
// only read the one that an object names.
//
// +kubebuilder:rbac:groups=vector-store-operator.dev,resources=vectorstorefilebatches,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups=vector-store-operator.dev,resources=vectorstorefilebatches/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler brings an object's batch about, and its status up to date.
type Reconciler struct {
	// Client reads objects from a cache that has seen every write of this client.
	Client client.Client
	// Reader reads objects as they stand, from no cache.
	Reader client.Reader
	// Connections gives the way to the upstream that an object's Secret names.
	Connections *Connections
	// Rules decide.
	Rules batch.Rules
	// Events are told after what they tell of was done, or stored.
	Events events.EventRecorder
	// Clock is the time.
	Clock clock.WithDelayedExecution
	// Limits pace the calls on each connection.
	Limits budget.Limits

	memories memories
	reads    reads
	turns    turns
	census   *census
}

// StoreTimeout bounds a write to the API server that a shutdown must not cut off.
const StoreTimeout = 15 * time.Second

// soon is when to look again after somebody else wrote the object in the middle of a pass.
const soon = 50 * time.Millisecond

// Reconcile makes one pass over an object: it acts until the rules say that it may rest, and
// stores what the object looks like then.
func (r *Reconciler) Reconcile(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) (ctrl.Result, error) {
	seen := batch.Observation{Memory: r.memories.recall(b.UID)}
	decision := r.Rules.Decide(b, seen, r.Clock.Now())
	for !decision.Action.Ends() {
		err := r.act(ctx, b, decision.Action, &seen)
		if err == nil && !seen.Waiting || seen.Memory.CreatedID != "" {
			// What was done is told at once: somebody else's write may end the pass before its status
			// is stored, and the next one would not know of it.
			r.tell(ctx, b, decision.Events)
		}
		if err != nil {
			return r.interrupted(ctx, b, err)
		}
		decision = r.Rules.Decide(b, seen, r.Clock.Now())
	}
	if !seen.Waiting {
		r.turns.leave(callerFor(b))
	}
	return r.conclude(ctx, b, decision)
}

// conclude stores what a pass came to, then tells of it, and says when to look again. A
// shutdown does not cut it off: what was done upstream is to be seen in the object.
func (r *Reconciler) conclude(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, decision batch.Decision) (ctrl.Result, error) {
	storing, cancel := context.WithTimeout(context.WithoutCancel(ctx), StoreTimeout)
	defer cancel()
	before := b.Status
	if err := r.store(storing, b, decision); err != nil {
		return r.interrupted(ctx, b, err)
	}
	measure(b, before, decision)
	r.tell(ctx, b, decision.Events)
	return r.nextPass(b, decision), nil
}

// store writes what a pass came to.
func (r *Reconciler) store(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, decision batch.Decision) error {
	if decision.Action == batch.Release {
		return r.release(ctx, b)
	}
	if decision.Action != batch.Delete {
		return r.storeStatus(ctx, b, decision.Status)
	}
	// The object as it was judged, and no other: somebody may have given it a longer life.
	judged := client.Preconditions{UID: &b.UID, ResourceVersion: &b.ResourceVersion}
	if err := r.Client.Delete(ctx, b, judged); err != nil {
		return fmt.Errorf("deleting the object: %w", err)
	}
	return nil
}

// release lets a deleted object go.
func (r *Reconciler) release(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) error {
	r.memories.keep(b.UID, r.memories.recall(b.UID))
	if err := r.patchMetadata(ctx, b, released(b)); err != nil {
		return err
	}
	r.memories.release(b.UID)
	return nil
}

// nextPass remembers what the next pass has to know, and says when it is due.
func (r *Reconciler) nextPass(b *v1alpha1.VectorStoreFileBatch, decision batch.Decision) ctrl.Result {
	priority := queuePriority(b)
	if decision.After <= 0 {
		if decision.Action != batch.Release && !decision.Memory.Released {
			r.memories.forget(b.UID)
		}
		return ctrl.Result{Priority: &priority}
	}
	after := decision.After
	if decision.Reset {
		after = max(jitter(after), decision.NotBefore)
		decision.Memory.NextCall = r.Clock.Now().Add(after)
	}
	r.memories.keep(b.UID, decision.Memory)
	if decision.By > 0 {
		after = min(after, decision.By)
	}
	return ctrl.Result{RequeueAfter: after, Priority: &priority}
}

// interrupted ends a pass that could not be brought to its end. That somebody else changed or
// removed the object meanwhile is no error.
func (r *Reconciler) interrupted(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, err error) (ctrl.Result, error) {
	priority := queuePriority(b)
	switch {
	case apierrors.IsNotFound(err):
		r.turns.leave(callerFor(b))
		r.memories.forget(b.UID)
		return ctrl.Result{}, nil
	case apierrors.IsConflict(err):
		log.FromContext(ctx).V(1).Info("The object was changed in the middle of a pass, looking again")
		return ctrl.Result{RequeueAfter: soon, Priority: &priority}, nil
	case errors.Is(err, errOvertaken):
		urgent := priorityUrgent
		return ctrl.Result{RequeueAfter: time.Millisecond, Priority: &urgent}, nil
	default:
		return ctrl.Result{Priority: &priority}, err
	}
}

// jitter spreads a waiting time by a fifth either way, so that objects that were made together
// do not stay together.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // nothing secret depends on it
}
