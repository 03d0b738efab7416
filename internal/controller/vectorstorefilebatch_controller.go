// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controller reconciles VectorStoreFileBatches: it observes an object and its batch,
// performs what package lifecycle decides, and persists the result.
package controller

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/semaphore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/flowcontrol"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// The operator can get a Secret by name, and can neither list nor watch Secrets.
//
// +kubebuilder:rbac:groups=vector-store-operator.dev,resources=vectorstorefilebatches,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups=vector-store-operator.dev,resources=vectorstorefilebatches/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Options configure a Reconciler. All of them but Namespaces and MetricsByNamespace are required.
type Options struct {
	// Client reads objects from a cache that includes every write of this client.
	Client client.Client
	// Reader reads objects from the API server, without a cache.
	Reader client.Reader
	// Namespaces are the namespaces that are watched; all if it is empty.
	Namespaces []string
	// Dial returns a client of the OpenAI API for a connection.
	Dial func(upstream.Connection) (DialedClient, error)
	// Events records Kubernetes Events.
	Events events.EventRecorder
	Clock  clock.WithDelayedExecution
	// Lifecycle decides.
	Lifecycle lifecycle.Config
	// Limits are the rate limits of each connection.
	Limits flowcontrol.Limits
	// Concurrency is the number of objects reconciled in parallel. Most of a reconciliation is
	// waiting for the API, so it can exceed the number of processors by far.
	Concurrency int
	// MetricsByNamespace exposes the number of objects by namespace, too.
	MetricsByNamespace bool
}

// Reconciler reconciles VectorStoreFileBatches. New returns one.
type Reconciler struct {
	Options

	clients   *ClientPool
	state     *stateStore
	inflight  *inflightPolls
	throttler *throttler
	collector *stateCollector
	backlog   *backlog
	// decoded bounds the memory for whole objects.
	decoded *semaphore.Weighted
	// toDetach are the files of deleted objects.
	toDetach *detachLists
}

// New returns a Reconciler.
func New(o Options) *Reconciler {
	r := &Reconciler{
		Options:   o,
		clients:   NewClientPool(o.Reader, o.Dial, o.Clock),
		state:     newStateStore(),
		inflight:  newInflightPolls(),
		throttler: newThrottler(o.Limits.WithWorkers(o.Concurrency), o.Clock),
		collector: newStateCollector(o.Clock, o.MetricsByNamespace),
		backlog:   newBacklog(),
		decoded:   semaphore.NewWeighted(maxDecoded),
		toDetach:  newDetachLists(),
	}
	r.clients.Rotated, r.clients.GoneLifetime = r.throttler.Rotate, o.Lifecycle.FinalizeTimeout
	return r
}

// SetupWithManager adds the Reconciler to a manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	if err := r.collector.register(mgr); err != nil {
		return err
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("vectorstorefilebatch").
		Watches(&v1alpha1.VectorStoreFileBatch{}, eventHandler{r.state, r.inflight, r.throttler, r.collector, r.backlog}).
		WatchesRawSource(source.Func(r.throttler.start)).
		WithOptions(r.controllerOptions()).
		Complete(byName{r, traced{r}})
	if err != nil {
		return fmt.Errorf("setting up the controller: %w", err)
	}
	return nil
}

func (r *Reconciler) controllerOptions() controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: r.Concurrency,
		// For errors of the Kubernetes API: package lifecycle decides on those of the OpenAI API.
		RateLimiter:           workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](100*time.Millisecond, 10*time.Second),
		CacheSyncTimeout:      cacheSyncTimeout,
		ReconciliationTimeout: r.reconciliationTimeout(),
	}
}

// cacheSyncTimeout is how long the controller waits for the first list of objects. The readiness probe
// reports that it waits, and a restart would only begin again.
const cacheSyncTimeout = time.Hour

// reconciliationTimeout bounds a reconciliation, so that a read of the Kubernetes API that hangs does not
// hold a worker forever. The longest one verifies a create, which takes three requests, creates the
// batch, and records it.
func (r *Reconciler) reconciliationTimeout() time.Duration {
	return 5*r.Lifecycle.RequestTimeout + 4*PersistTimeout
}

// byName reads the objects that the work queue names, and reconciles them.
type byName struct {
	*Reconciler
	next reconcile.ObjectReconciler[*v1alpha1.VectorStoreFileBatch]
}

// Reconcile implements reconcile.Reconciler. An object that is gone is forgotten here, because it may
// have been deleted during its last reconciliation, after which something was remembered of it.
func (n byName) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	n.backlog.remove(request.NamespacedName)
	b := &v1alpha1.VectorStoreFileBatch{}
	err := n.Client.Get(ctx, request.NamespacedName, b)
	switch {
	case apierrors.IsNotFound(err):
		n.throttler.Forget(flowcontrol.Caller{NamespacedName: request.NamespacedName, UID: n.state.forgetName(request.NamespacedName)})
		return ctrl.Result{}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("reading the object from the cache: %w", err)
	}
	return n.next.Reconcile(ctx, b)
}

// Reconcile performs actions until a terminal one is decided, and persists the result.
func (r *Reconciler) Reconcile(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) (ctrl.Result, error) {
	defer r.throttler.Release(callerOf(b))
	observed := r.observe(b)
	decision := r.Lifecycle.Decide(b, observed, r.Clock.Now())
	for !decision.Action.Terminal() {
		result, err := r.perform(ctx, b, decision)
		observed.Record(decision.Action, result)
		r.state.saveUnsaved(b, observed.State)
		if err != nil {
			return r.handleError(ctx, b, err)
		}
		decision = r.Lifecycle.Decide(b, observed, r.Clock.Now())
	}
	return r.finish(ctx, b, decision)
}

// jitter is the largest share by which a wait is lengthened or shortened.
const jitter = 0.2

// observe returns what is known of an object before anything is done.
func (r *Reconciler) observe(b *v1alpha1.VectorStoreFileBatch) lifecycle.Observed {
	state, gone := r.state.load(b)
	return lifecycle.Observed{
		State:     state,
		Gone:      gone,
		StartedAt: r.Clock.Now(),
		Jitter:    jitter * (2*rand.Float64() - 1), //nolint:gosec // nothing secret depends on it
	}
}

// PersistTimeout bounds a write to the API server that a shutdown must not cut off.
const PersistTimeout = 15 * time.Second

// finish performs the terminal action, records its Events and metrics, and requeues the object. A
// shutdown does not cut it off: what was done at the API has to be visible in the object.
func (r *Reconciler) finish(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, d lifecycle.Decision) (ctrl.Result, error) {
	persistCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), PersistTimeout)
	defer cancel()
	if !d.Throttled {
		r.throttler.Forget(callerOf(b))
	}
	before := b.Status
	var err error
	if d.Action == lifecycle.Requeue {
		err = r.patchStatus(persistCtx, b, d.Status)
	}
	if d.Action == lifecycle.Delete {
		err = r.deleteObject(persistCtx, b)
	}
	if d.Action == lifecycle.RemoveFinalizer {
		err = r.removeFinalizer(persistCtx, b)
	}
	if err != nil {
		return r.handleError(ctx, b, err)
	}
	if d.Action == lifecycle.RemoveFinalizer {
		r.toDetach.forget(b.UID)
	}
	recordMetrics(b, before, d)
	r.recordEvents(ctx, b, d.Events)
	r.state.save(b, d)
	result := requeue(b, d.RequeueAfter)
	if d.Throttled {
		// The wake-up brings it back with its own priority. Without one, it is back only to show that it
		// waits, and thousands of objects can do that at the same time.
		result.Priority = ptr.To(priorityFinished)
	}
	return result, nil
}

// conflictBackoff is when an object is reconciled again that another client changed during the
// reconciliation. It doubles with each conflict in a row, up to maxConflictBackoff.
const (
	conflictBackoff    = 50 * time.Millisecond
	maxConflictBackoff = 10 * time.Second
)

// handleError ends a reconciliation that could not be completed. That another client changed or
// removed the object meanwhile is no error.
func (r *Reconciler) handleError(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, err error) (ctrl.Result, error) {
	switch {
	case apierrors.IsNotFound(err):
		r.throttler.Forget(callerOf(b))
		r.state.forget(b)
		r.toDetach.forget(b.UID)
		return ctrl.Result{}, nil
	case apierrors.IsConflict(err):
		log.FromContext(ctx).V(1).Info("The object was changed during the reconciliation, reconciling again")
		return requeue(b, min(conflictBackoff<<min(r.state.conflict(b)-1, 10), maxConflictBackoff)), nil
	case errors.Is(err, errPreempted):
		return requeue(b, time.Millisecond), nil // the event of the change has set a higher priority
	default:
		return requeue(b, 0), err
	}
}

// requeue returns the result that requeues an object with its own priority; never if after is zero.
func requeue(b *v1alpha1.VectorStoreFileBatch, after time.Duration) ctrl.Result {
	priority := priorityOf(b)
	return ctrl.Result{RequeueAfter: max(after, 0), Priority: &priority}
}
