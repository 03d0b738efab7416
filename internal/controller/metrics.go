// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// createOutcomeUnknown counts batches that were created again since the answer to an earlier
// request was lost. Where files were attached, the upstream has a batch that nobody follows.
var createOutcomeUnknown = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "vectorstorefilebatch_create_outcome_unknown_total",
	Help: "Batches that were created again since the answer to an earlier request was lost, by whether that request had attached files.",
}, []string{"attached"})

func init() { metrics.Registry.MustRegister(createOutcomeUnknown) }
