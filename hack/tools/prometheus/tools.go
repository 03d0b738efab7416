// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package prometheus pins Prometheus and promtool.
package prometheus

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
