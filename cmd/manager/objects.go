// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// objects lists and watches the VectorStoreFileBatches in every replica, so that one that becomes the
// leader has them. The controller and its queue exist in the leader only: at the start of its
// leadership it queues what the cache contains then.
type objects struct {
	cache cache.Cache
	// reader reads from the API server, and namespace is one that the manager watches; empty for all.
	reader    client.Reader
	namespace string
	// removed is true if the API server did not know the objects at the last list or watch.
	removed atomic.Bool
	// reason is why the replica was not ready when it was last asked; nil if it was.
	reason atomic.Pointer[string]
}

// errNoCRD is why a replica without the CRD is not ready.
var errNoCRD = errors.New("the CustomResourceDefinition vectorstorefilebatches.vector-store-operator.dev is not installed")

// lacksCRD reports whether an error means that the API server does not serve the CRD. For a moment after
// it was deleted, the API server still announces its group, with nothing in it.
func lacksCRD(err error) bool {
	if discovery, found := errors.AsType[*apiutil.ErrResourceDiscoveryFailed](err); found {
		_, lacking := (*discovery)[v1alpha1.GroupVersion]
		return lacking
	}
	return meta.IsNoMatchError(err)
}

// retryPeriod is how often a replica tries to begin to list the objects.
const retryPeriod = 2 * time.Second

// newObjects returns the objects of a manager that is going to be created, and sets what they need in
// its options.
func newObjects(o *ctrl.Options) *objects {
	w := &objects{}
	for namespace := range o.Cache.DefaultNamespaces {
		w.namespace = namespace
	}
	o.Cache.DefaultWatchErrorHandler = func(ctx context.Context, r *toolscache.Reflector, err error) {
		if apierrors.IsNotFound(err) {
			w.removed.Store(true)
		}
		toolscache.DefaultWatchErrorHandler(ctx, r, err)
	}
	return w
}

// addTo adds the objects and their readiness check to a manager.
func (w *objects) addTo(mgr ctrl.Manager) error {
	w.cache, w.reader = mgr.GetCache(), mgr.GetAPIReader()
	if err := mgr.Add(w); err != nil {
		return fmt.Errorf("adding the cache of objects: %w", err)
	}
	if err := mgr.AddReadyzCheck("objects", w.check); err != nil {
		return fmt.Errorf("adding the readiness probe: %w", err)
	}
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (w *objects) NeedLeaderElection() bool { return false }

// Start starts to list and watch the objects.
func (w *objects) Start(ctx context.Context) error {
	_ = wait.PollUntilContextCancel(ctx, retryPeriod, true, func(ctx context.Context) (bool, error) {
		_, err := w.informer(ctx)
		return err == nil, nil // the readiness check reports the error
	})
	<-ctx.Done()
	return nil
}

func (w *objects) informer(ctx context.Context) (cache.Informer, error) {
	informer, err := w.cache.GetInformer(ctx, &v1alpha1.VectorStoreFileBatch{}, cache.BlockUntilSynced(false))
	if lacksCRD(err) {
		return nil, errNoCRD
	}
	if err != nil {
		return nil, fmt.Errorf("getting the informer of VectorStoreFileBatches: %w", err)
	}
	return informer, nil
}

// check is the readiness check. The answer of the probe withholds the reason, so the log has it.
func (w *objects) check(request *http.Request) error {
	err := w.ready(request.Context())
	if err == nil {
		w.reason.Store(nil)
		return nil
	}
	reason := err.Error()
	if before := w.reason.Swap(&reason); before == nil || *before != reason {
		ctrl.Log.Info("This replica is not ready", "reason", reason)
	}
	return err
}

// ready returns nil once the cache contains all objects, and while the CRD is installed.
func (w *objects) ready(ctx context.Context) error {
	informer, err := w.informer(ctx)
	if err != nil {
		return err
	}
	if w.removed.Load() {
		one := []client.ListOption{client.Limit(1), client.InNamespace(w.namespace)}
		if err := w.reader.List(ctx, &v1alpha1.VectorStoreFileBatchList{}, one...); apierrors.IsNotFound(err) {
			return errNoCRD
		}
		w.removed.Store(false)
	}
	if !informer.HasSynced() {
		return errors.New("the cache of VectorStoreFileBatches is not synced yet")
	}
	return nil
}
