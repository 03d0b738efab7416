// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/controller"
	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

// newManager returns a manager with the controller and the probes.
func newManager(restConfig *rest.Config, o *options) (ctrl.Manager, error) {
	managerOptions := managerOptions(o)
	objects := newObjects(&managerOptions)
	mgr, err := ctrl.NewManager(restConfig, managerOptions)
	if lacksCRD(err) {
		return nil, fmt.Errorf("creating the manager: %w: %w", errNoCRD, err)
	}
	if err != nil {
		return nil, fmt.Errorf("creating the manager: %w", err)
	}
	dial := func(connection upstream.Connection) (controller.DialedClient, error) {
		return openai.Dial(connection, openai.Options{
			RequestTimeout: o.lifecycle.RequestTimeout,
			Endpoints:      o.endpoints,
			Addresses:      o.addresses,
			CABundle:       o.caBundle,
			UserAgent:      "vector-store-operator/" + version,
			Observer:       telemetry.ObserveRequest,
		})
	}
	reconciler := controller.New(controller.Options{
		Client:             mgr.GetClient(),
		Reader:             mgr.GetAPIReader(),
		Namespaces:         o.watchNamespaces,
		Dial:               dial,
		Events:             mgr.GetEventRecorder("vector-store-operator"),
		Clock:              clock.RealClock{},
		Lifecycle:          o.lifecycle,
		Limits:             o.limits,
		MetricsByNamespace: o.metricsByNamespace,
		Concurrency:        o.concurrency,
	})
	if err := reconciler.SetupWithManager(mgr); err != nil {
		return nil, err
	}
	// The liveness probe only checks that the process responds: a restart does not fix an OpenAI API or
	// an API server that is unavailable.
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("adding the liveness probe: %w", err)
	}
	if err := objects.addTo(mgr); err != nil {
		return nil, err
	}
	return mgr, nil
}

func managerOptions(o *options) ctrl.Options {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))

	metrics := metricsserver.Options{BindAddress: o.metricsAddress, SecureServing: o.metricsSecure, CertDir: o.metricsCertDir}
	if o.metricsSecure {
		metrics.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	return ctrl.Options{
		Scheme:                 scheme,
		Metrics:                metrics,
		HealthProbeBindAddress: o.probeAddress,
		PprofBindAddress:       o.pprofAddress,
		Cache:                  controller.CacheOptions(o.watchNamespaces, o.watchLabelSelector.Selector),
		// A reconciliation sees the writes of earlier ones, so it never misses a recorded batch ID.
		Client:                        client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              o.leaderElectionID,
		LeaderElectionNamespace:       o.leaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
		// The other replicas poll the Lease at this interval, which is most of the time of a failover
		// after a shutdown.
		RetryPeriod: ptr.To(time.Second),
		// A create request that is in progress at shutdown is completed, and its batch ID recorded.
		GracefulShutdownTimeout: ptr.To(controller.CreatePendingTimeout + o.lifecycle.RequestTimeout + 2*controller.PersistTimeout),
	}
}
