// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package conformance_test runs OpenAI's own clients with the emulator: if they accept it as the OpenAI
// API, so may the operator.
package conformance_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// apiError is an error of the API as a client reports it.
type apiError struct {
	Class   string `json:"class"`
	Status  int    `json:"status"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// observation is what a script observed through its client.
type observation struct {
	Store            string      `json:"store"`
	Created          [2]any      `json:"created"`
	Polled           [3]any      `json:"polled"`
	Retrieved        bool        `json:"retrieved"`
	Cancelling       string      `json:"cancelling"`
	Cancelled        string      `json:"cancelled"`
	CancelledTooLate string      `json:"cancelledTooLate"`
	Listed           [2]int      `json:"listed"`
	Failed           [][2]string `json:"failed"`
	Attached         [2]any      `json:"attached"`
	Detached         bool        `json:"detached"`
	NotFound         apiError    `json:"notFound"`
	Rejected         apiError    `json:"rejected"`
	Unauthorized     apiError    `json:"unauthorized"`
}

// expected returns what every client must observe, with the ID of the vector store that it created.
func expected(store string) observation {
	return observation{
		Store:            store,
		Created:          [2]any{"in_progress", 3.0},
		Polled:           [3]any{"completed", 1.0, 1.0},
		Retrieved:        true,
		Cancelling:       "in_progress",
		Cancelled:        "cancelled",
		CancelledTooLate: "completed",
		Listed:           [2]int{120, 120},
		Failed:           [][2]string{{"file-fail-unsupported-b", "unsupported_file"}},
		Attached:         [2]any{"completed", 4.0},
		Detached:         true,
		NotFound:         apiError{"NotFoundError", 404, "", "404 No file batch found with id 'vsfb_none' in vector store '" + store + "'."},
		Rejected: apiError{"BadRequestError", 400, "empty_array",
			"400 Invalid 'file_ids': empty array. Expected an array with minimum length 1, but got an empty array instead."},
		Unauthorized: apiError{"AuthenticationError", 401, "invalid_api_key", "401 Incorrect API key provided."},
	}
}

func TestSDK_Node(t *testing.T) {
	require(t, "node", "npm")
	dir := copyTo(t, ".npmrc", "package.json", "package-lock.json", "check.mjs")
	command(t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	check(t, dir, "node", "check.mjs")
}

func TestSDK_Python(t *testing.T) {
	require(t, "python3")
	dir := copyTo(t, "requirements.txt", "check.py")
	if out, err := exec.CommandContext(t.Context(), "python3", "-m", "venv", filepath.Join(dir, "venv")).CombinedOutput(); err != nil {
		t.Skipf("python3 has no venv to install the client in: %v: %s", err, out)
	}
	python := filepath.Join(dir, "venv", "bin", "python")
	command(t, dir, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps", "-r", "requirements.txt")
	check(t, dir, python, "check.py")
}

// require skips the test if it cannot or should not run.
func require(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getenv("VSFB_SKIP_SDK") != "" {
		t.Skip("VSFB_SKIP_SDK is set")
	}
	if testing.Short() {
		t.Skip("installs a client from a package registry")
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed: %v", program, err)
		}
	}
}

func copyTo(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func command(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", c, err, out)
	}
}

// check runs a script with the emulator, and compares what it observed.
func check(t *testing.T, dir, program, script string) {
	t.Helper()
	e := startEmulator(t)
	c := exec.CommandContext(t.Context(), program, script)
	c.Dir = dir
	c.Env = append(os.Environ(), "OPENAI_BASE_URL="+e.BaseURL(), "OPENAI_API_KEY="+e.Key)
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", c, err, stderr.String())
	}
	var got observation
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.HasPrefix(got.Store, "vs_") {
		t.Errorf("the ID of the vector store is %q", got.Store)
	}
	if diff := cmp.Diff(expected(got.Store), got); diff != "" {
		t.Errorf("observed through the client (-want +got):\n%s", diff)
	}
}

// startEmulator builds the emulator and runs it until the end of the test.
func startEmulator(t *testing.T) *framework.Emulator {
	t.Helper()
	dir := t.TempDir()
	if err := framework.Build(t.Context(), dir, nil, "emulator"); err != nil {
		t.Fatal(err)
	}
	e, err := framework.StartEmulator(t.Context(), filepath.Join(dir, "emulator"), filepath.Join(dir, "log"), "--pace=1ms", "--cancel-delay=50ms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), framework.Timeout)
		defer cancel()
		if err := e.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return e
}
