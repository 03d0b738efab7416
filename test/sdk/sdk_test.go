// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sdk_test runs OpenAI's own clients against the emulator: what they take for the API,
// the operator may take for it, too.
package sdk_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const apiKey = "sk-sdk-check"

// refusal is how a client reports an error of the API.
type refusal struct {
	Class   string `json:"class"`
	Status  int    `json:"status"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// sight is what a script saw through its client.
type sight struct {
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
	NotFound         refusal     `json:"notFound"`
	Rejected         refusal     `json:"rejected"`
	Unauthorized     refusal     `json:"unauthorized"`
}

// wanted is what every client has to see, given the ID of the vector store that it made.
func wanted(store string) sight {
	return sight{
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
		NotFound:         refusal{"NotFoundError", 404, "", "404 No file batch found with id 'vsfb_none' in vector store '" + store + "'."},
		Rejected: refusal{"BadRequestError", 400, "empty_array",
			"400 Invalid 'file_ids': empty array. Expected an array with minimum length 1, but got an empty array instead."},
		Unauthorized: refusal{"AuthenticationError", 401, "invalid_api_key", "401 Incorrect API key provided."},
	}
}

func TestNodeClient(t *testing.T) {
	require(t, "node", "npm")
	dir := copyTo(t, ".npmrc", "package.json", "package-lock.json", "check.mjs")
	command(t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	check(t, dir, "node", "check.mjs")
}

func TestPythonClient(t *testing.T) {
	require(t, "python3")
	dir := copyTo(t, "requirements.txt", "check.py")
	if out, err := exec.CommandContext(t.Context(), "python3", "-m", "venv", filepath.Join(dir, "venv")).CombinedOutput(); err != nil {
		t.Skipf("python3 has no venv, so its client can't be installed: %v: %s", err, out)
	}
	python := filepath.Join(dir, "venv", "bin", "python")
	command(t, dir, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps", "-r", "requirements.txt")
	check(t, dir, python, "check.py")
}

// require skips the test where it can't or shouldn't run.
func require(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getenv("VSFB_SKIP_SDK") != "" {
		t.Skip("VSFB_SKIP_SDK is set")
	}
	if testing.Short() {
		t.Skip("it installs a client, which is not short")
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

// check runs the emulator and a script against it, and compares what the script saw.
func check(t *testing.T, dir, program, script string) {
	t.Helper()
	url := startEmulator(t)
	c := exec.CommandContext(t.Context(), program, script)
	c.Dir = dir
	c.Env = append(os.Environ(), "OPENAI_BASE_URL="+url+"/v1", "OPENAI_API_KEY="+apiKey)
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", c, err, stderr.String())
	}
	var got sight
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.HasPrefix(got.Store, "vs_") {
		t.Errorf("the vector store made is %q", got.Store)
	}
	if diff := cmp.Diff(wanted(got.Store), got); diff != "" {
		t.Errorf("seen through the client (-want +got):\n%s", diff)
	}
}

// startEmulator builds the program and runs it until the test ends. It returns the URL.
func startEmulator(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "emulator")
	command(t, "../..", "go", "build", "-o", program, "./cmd/emulator")
	c := exec.Command(program, "--addr", "127.0.0.1:0", "--api-key", apiKey, "--pace", "1ms", "--cancel-delay", "50ms")
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines, drained := bufio.NewReader(stdout), make(chan struct{})
	t.Cleanup(func() {
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-drained
		if err := c.Wait(); err != nil {
			t.Errorf("the emulator did not end cleanly: %v", err)
		}
	})
	first, err := lines.ReadString('\n')
	// The program must never wait for somebody to read what it prints.
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		close(drained)
	}()
	if err != nil {
		t.Fatal(err)
	}
	var url string
	if _, err := fmt.Sscanf(first, "listening on %s", &url); err != nil {
		t.Fatalf("%v: %q", err, first)
	}
	return url
}
