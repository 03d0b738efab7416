// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package servers_test runs the built manager and the built kubectl plugin against a real API server
// and a server of the OpenAI API that is not this project's: OGX. `make test-servers` installs it; without
// its directory in OGX_DIR, the tests that need it are skipped.
package servers_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

var (
	env     *framework.Env
	vectors *embeddings
	// server is the OGX of the tests that do not stop it.
	server *ogx
)

func TestMain(m *testing.M) {
	if os.Getenv("OGX_DIR") == "" {
		flag.Parse()
		os.Exit(m.Run())
	}
	os.Exit(framework.Suite{
		Options:  framework.Options{Install: []string{"crd", "policy"}, Build: []string{"manager", "emulator", "kubectl-vsfb"}},
		Setup:    setup,
		Teardown: teardown,
		Parallel: 6,
	}.Run(m, &env))
}

func setup(ctx context.Context, env *framework.Env) error {
	var err error
	if vectors, err = startEmbeddings(); err != nil {
		return err
	}
	if server, err = newOGX(filepath.Join(env.Dir, "ogx"), vectors.URL); err != nil {
		return err
	}
	if err := server.start(ctx); err != nil {
		return err
	}
	return server.warmUp(ctx)
}

func teardown(context.Context) error {
	if server != nil {
		server.process.Kill()
	}
	if vectors == nil {
		return nil
	}
	return vectors.Close()
}

// requireOGX skips a test without OGX.
func requireOGX(t *testing.T) {
	t.Helper()
	if server == nil {
		t.Skip("OGX_DIR is not set: `make test-servers` installs OGX and sets it")
	}
}
