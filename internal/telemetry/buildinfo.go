// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"fmt"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// ExposeVersion exposes what was built.
func ExposeVersion(version string) error {
	if err := metrics.Registry.Register(buildInfo(version)); err != nil {
		return fmt.Errorf("registering the metric of the version: %w", err)
	}
	return nil
}

// buildInfo is the version.
type buildInfo string

// Describe implements prometheus.Collector.
func (buildInfo) Describe(descs chan<- *prometheus.Desc) { descs <- BuildInfo }

// Collect implements prometheus.Collector.
func (b buildInfo) Collect(values chan<- prometheus.Metric) {
	values <- prometheus.MustNewConstMetric(BuildInfo, prometheus.GaugeValue, 1, string(b), runtime.Version())
}
