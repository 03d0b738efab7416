// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"fmt"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// RegisterBuildInfo registers a collector of BuildInfo for the given version of the operator.
func RegisterBuildInfo(version string) error {
	if err := metrics.Registry.Register(buildInfo(version)); err != nil {
		return fmt.Errorf("registering the build info metric: %w", err)
	}
	return nil
}

// buildInfo is a collector of BuildInfo. Its value is the version of the operator.
type buildInfo string

// Describe implements prometheus.Collector.
func (buildInfo) Describe(ch chan<- *prometheus.Desc) { ch <- BuildInfo }

// Collect implements prometheus.Collector.
func (b buildInfo) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(BuildInfo, prometheus.GaugeValue, 1, string(b), runtime.Version())
}
