// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package servers_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// ogx is a server whose state is in one directory. It can be killed and started again.
type ogx struct {
	framework.EmulatorClient
	process *framework.Process

	dir, address, embeddings string
}

// newOGX returns a server that keeps its state in a directory, and has not started yet.
func newOGX(dir, embeddings string) (*ogx, error) {
	address, err := framework.FreeAddress()
	if err != nil {
		return nil, err
	}
	// OGX closes connections without announcing it, which a client of the operator bears, but not
	// one of a test.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return &ogx{
		EmulatorClient: framework.EmulatorClient{URL: "http://" + address, Key: framework.APIKey, HTTP: client},
		dir:            dir, address: address, embeddings: embeddings,
	}, nil
}

// start starts the server, and waits until it answers.
func (o *ogx) start(ctx context.Context) error {
	home := os.Getenv("OGX_DIR")
	_, port, err := net.SplitHostPort(o.address)
	if err != nil {
		return fmt.Errorf("parsing the address of OGX: %w", err)
	}
	data, temporary := filepath.Join(o.dir, "data"), filepath.Join(o.dir, "tmp")
	if err := errors.Join(os.MkdirAll(data, 0o700), os.MkdirAll(temporary, 0o700)); err != nil {
		return fmt.Errorf("creating the directories of OGX: %w", err)
	}
	o.process, err = framework.Run(framework.Command{
		// Not bin/ogx, whose first line would have to be short.
		Path: filepath.Join(home, "venv", "bin", "python"), Name: "ogx", Log: filepath.Join(o.dir, "log"),
		Args: []string{
			filepath.Join(home, "venv", "bin", "ogx"), "run", framework.Path("test", "servers", "testdata", "ogx.yaml"),
			"--port", port, "--insecure",
		},
		Env: []string{
			"HOME=" + o.dir, "TMPDIR=" + temporary, "OGX_CONFIG_DIR=" + data, "OGX_DATA=" + data,
			"EMBEDDINGS_URL=" + o.embeddings + "/v1", "API_KEY=" + o.Key,
			// Without a network; see hack/ogx.
			"HF_HUB_OFFLINE=1", "TIKTOKEN_CACHE_DIR=" + filepath.Join(home, "vocabulary"),
			// The default log prints tracebacks in color, which takes seconds of the event loop each.
			"OGX_LOG_FORMAT=json", "OGX_LOGGING=all=critical",
		},
	})
	if err != nil {
		return err
	}
	return framework.Poll(ctx, "OGX to answer", func() (bool, error) {
		status, _, err := framework.Fetch(ctx, o.HTTP, o.URL+"/v1/health", "")
		return err == nil && status == http.StatusOK, o.process.Err()
	})
}

// startOGX starts a server that is killed at the end of the test.
func startOGX(t *testing.T) *ogx {
	t.Helper()
	o, err := newOGX(t.TempDir(), vectors.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.process.Kill() })
	o.mustStart(t)
	return o
}

func (o *ogx) mustStart(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), framework.Timeout)
	defer cancel()
	if err := o.start(ctx); err != nil {
		t.Fatal(err)
	}
}
