// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gitops_test asks the tools that apply manifests from Git what they make of objects
// which the built manager brought into each state: Flux's own code, kstatus and Argo CD's
// health check. It also shows what becomes of a cancel that was set by hand.
package gitops_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

var (
	shared *stage.Stage
	update = flag.Bool("update", false, "write what the operator produced into the test data of config/argocd")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	code := 1
	var err error
	if shared, err = stage.Open(ctx); err == nil {
		code = m.Run()
	}
	if err = errors.Join(err, shared.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
