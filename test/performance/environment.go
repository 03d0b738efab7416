// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// environment returns the variables that programs inherit: the settings of Go's runtime and of client-go.
// Any other variable could direct a program to another cluster or key.
func environment(all []string) (kept []string) {
	for _, variable := range all {
		name, _, _ := strings.Cut(variable, "=")
		if slices.Contains([]string{"GOGC", "GOMEMLIMIT", "GOMAXPROCS"}, name) || strings.HasPrefix(name, "KUBE_FEATURE_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

const (
	// shortInterval is the poll interval for cheap conditions, longInterval for expensive ones.
	shortInterval, longInterval = 20 * time.Millisecond, 250 * time.Millisecond
	// timeout bounds each wait.
	timeout = 15 * time.Minute
)

// poll polls until a condition holds, at most for the timeout.
func poll(ctx context.Context, interval time.Duration, what string, condition func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return framework.PollEvery(ctx, interval, what, condition)
}
