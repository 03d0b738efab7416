// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gitops_test asks the tools that apply manifests from Git what they make of objects
// which the built manager brought into each state: Flux's own code, kstatus and Argo CD's
// health check. It also shows what becomes of a cancel that was set by hand.
package gitops_test

import (
	"flag"
	"os"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

var (
	shared *stage.Stage
	update = flag.Bool("update", false, "write what the operator produced into the test data of config/argocd")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(stage.Main(m, &shared))
}
