// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"os"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

var (
	sampleSize = flag.Int("failpoints.sample", 30, "number of runs of TestFailpoints_Sample")
	sampleSeed = flag.Uint64("failpoints.seed", framework.CommitSeed(), "seed of the sample; derived from the commit by default")
)

func TestFailpoints_Sample(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the built manager for minutes")
	}
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("KUBEBUILDER_ASSETS is not set: run make test")
	}
	report, err := perform(t.Context(), options{
		out: t.Output(), folder: t.TempDir(), sample: *sampleSize, seed: *sampleSeed, parallel: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := *sampleSize + len(scenarios); len(report.results) != want {
		t.Errorf("got %d runs, want %d", len(report.results), want)
	}
	if failed := report.failed(); len(failed) > 0 {
		t.Errorf("%d of %d runs failed", len(failed), len(report.results))
	}
}

func TestMutations_ApplyToSource(t *testing.T) {
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			if _, err := m.overlay(t.TempDir()); err != nil {
				t.Error(err)
			}
		})
	}
}
