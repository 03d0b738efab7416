// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package observability_test tests the operator's metrics, alerts, dashboard and traces with their
// consumers: a real Prometheus, which scrapes the built manager with a real token, promtool, and an OTLP
// receiver.
package observability_test

import (
	"os"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

var env *framework.Env

func TestMain(m *testing.M) {
	os.Exit(framework.Suite{
		Options:   framework.Options{Install: []string{"default"}, Build: []string{"manager"}},
		Parallel:  16,
		SkipShort: true,
	}.Run(m, &env))
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := framework.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
