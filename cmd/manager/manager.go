// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/controller"
	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

// newManager puts the operator together.
func newManager(restConfig *rest.Config, o *options) (ctrl.Manager, error) {
	mgr, err := ctrl.NewManager(restConfig, managerOptions(o))
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	dial := func(connection upstream.Connection) (controller.DialedClient, error) {
		return openai.Dial(connection, openai.Options{
			RequestTimeout: o.rules.RequestTimeout,
			Endpoints:      o.endpoints,
			CABundle:       o.authorities,
			UserAgent:      "vector-store-operator/" + version,
			Observer:       telemetry.Request,
		})
	}
	reconciler := &controller.Reconciler{
		Client:      mgr.GetClient(),
		Reader:      mgr.GetAPIReader(),
		Connections: controller.NewConnections(mgr.GetAPIReader(), dial, clock.RealClock{}),
		Rules:       o.rules,
		Events:      mgr.GetEventRecorder("vectorstorefilebatch"),
		Clock:       clock.RealClock{},
		Limits:      o.limits,
	}
	if err := reconciler.SetupWithManager(mgr, o.concurrency); err != nil {
		return nil, err
	}
	// It answers as long as the process does. That passes wait for an upstream, or for an API
	// server that is away, is nothing that a restart would mend.
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("adding the liveness probe: %w", err)
	}
	if err := mgr.AddReadyzCheck("objects", objectsAreKnown(mgr.GetCache())); err != nil {
		return nil, fmt.Errorf("adding the readiness probe: %w", err)
	}
	return mgr, nil
}

// objectsAreKnown is ready once the process knows all objects, so that it can look after them,
// or take over from another at once where that one leads.
func objectsAreKnown(objects cache.Cache) healthz.Checker {
	return func(request *http.Request) error {
		informer, err := objects.GetInformer(request.Context(), &v1alpha1.VectorStoreFileBatch{}, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching VectorStoreFileBatches: %w", err)
		}
		if !informer.HasSynced() {
			return errors.New("the VectorStoreFileBatches have not been listed yet")
		}
		return nil
	}
}

func managerOptions(o *options) ctrl.Options {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))

	metrics := metricsserver.Options{BindAddress: o.metricsAddress, SecureServing: o.metricsSecure, CertDir: o.metricsCertDir}
	if o.metricsSecure {
		metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	namespaces := make(map[string]cache.Config, len(o.watchNamespaces))
	for _, namespace := range o.watchNamespaces {
		namespaces[namespace] = cache.Config{}
	}
	return ctrl.Options{
		Scheme:                 scheme,
		Metrics:                metrics,
		HealthProbeBindAddress: o.probeAddress,
		PprofBindAddress:       o.pprofAddress,
		NewCache:               controller.NewCache,
		Cache: cache.Options{
			DefaultNamespaces: namespaces,
			ByObject:          controller.CachedObjects(o.watchLabelSelector.Selector),
		},
		// A pass sees what earlier passes wrote, so an ID that was stored is never missed.
		Client:                        client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
		Controller:                    config.Controller{EnableWarmup: ptr.To(true)},
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              "vector-store-operator.dev",
		LeaderElectionNamespace:       o.leaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
		// Others look so often whether the lease was given back: that is most of what a hand-over takes.
		RetryPeriod: ptr.To(time.Second),
		// A create that is under way when the manager is told to stop is brought to its end.
		GracefulShutdownTimeout: ptr.To(controller.IntentTimeout + o.rules.RequestTimeout + 2*controller.StoreTimeout),
	}
}
