// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gitops_test brings objects into each state with the built manager, and compares how GitOps
// tools assess them: Flux's own code, kstatus, and Argo CD's health check. It also tests whether a
// cancel that a user sets by hand survives those tools.
package gitops_test

import (
	"flag"
	"os"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

var (
	env    *framework.Env
	update = flag.Bool("update", false, "write the objects that the operator produced into the test data of config/argocd")
)

func TestMain(m *testing.M) {
	os.Exit(framework.Suite{Options: framework.Options{Install: []string{"crd", "policy"}, Build: []string{"manager"}}}.Run(m, &env))
}
