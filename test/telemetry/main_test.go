// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package telemetry_test tries what the operator shows of its work on those who look at it: a
// real Prometheus, which scrapes the built manager with a real token, promtool, and a receiver
// of traces.
package telemetry_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

// systemNamespace is where the operator runs.
const systemNamespace = "vector-store-operator-system"

var shared *stage.Stage

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Fprintln(os.Stderr, "skipped: it runs real processes")
		return
	}
	if err := flag.Set("test.parallel", "16"); err != nil { // nearly all of a test is waiting
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	code := 1
	var err error
	if shared, err = stage.Open(ctx); err == nil {
		err = shared.Plane.Install(ctx, "default")
	}
	if err == nil {
		code = m.Run()
	}
	if err = errors.Join(err, shared.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// program is the path of a program that make builds; the test is skipped where it has not.
func program(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(controlplane.Root(), "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("there is no bin/%s: `make test-telemetry` builds it", name)
	}
	return path
}

// output is what a command prints.
func output(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	text, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", command.Args, err, text)
	}
	return string(text)
}

// decode reads a YAML file of the repository.
func decode(t *testing.T, into any, path ...string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{controlplane.Root()}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		t.Fatalf("%v: %v", path, err)
	}
}

// write makes a file in a folder of the test's own, and gives its path.
func write(t *testing.T, folder, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}
