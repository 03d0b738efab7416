// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package races_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

// restarted is the API server that this process started itself; nil as long as it is still the
// control plane's own.
var restarted *exec.Cmd

// endRestarted ends it: the control plane knows only the one that it started.
func endRestarted() error {
	if restarted == nil {
		return nil
	}
	if err := restarted.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("ending the API server: %w", err)
	}
	if err := restarted.Wait(); err != nil {
		return fmt.Errorf("ending the API server: %w", err)
	}
	restarted = nil
	return nil
}

// It runs alone, as it takes the API server from all tests.
func TestAPIServerRestarts(t *testing.T) {
	process, arguments := apiServer(t)
	n := shared.NewTenant(t, emulator.Options{})
	slowCreates(n)
	manager := n.Start(t, "m", stage.Setup{Flags: []string{"--concurrency=6", longTimeout}})
	names := objects(0, 12)
	createAll(t, n, names)
	waitCreating(t, n, 6)

	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The answers of the creates come, and cannot be stored.
	stage.Eventually(t, "the creates to be answered", func() bool { return n.Emulator.CreateCount() >= 6 })
	startAPIServer(t, arguments)
	wantAllOnce(t, n, names)
	wantNoUnknownOutcome(t, manager)
	for _, name := range names {
		patch(t, n, name, `{"spec":{"maxFailedFiles":1}}`)
	}
	stage.Eventually(t, "the last change to be seen", func() bool {
		b := n.Read(t, names[0])
		return b.Status.ObservedGeneration == b.Generation && stage.Reason(b) == v1alpha1.ReasonCompleted
	})
}

// apiServer finds the API server among the processes that this one started.
func apiServer(t *testing.T) (*os.Process, []string) {
	t.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(commands) == 0 {
		t.Skip("there is no /proc here to find the API server's process in")
	}
	for _, path := range commands {
		folder := filepath.Dir(path)
		line, lineErr := os.ReadFile(path)
		status, statusErr := os.ReadFile(filepath.Join(folder, "status"))
		arguments := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		ours := bytes.Contains(status, fmt.Appendf(nil, "\nPPid:\t%d\n", os.Getpid()))
		if errors.Join(lineErr, statusErr) != nil || !ours || filepath.Base(arguments[0]) != "kube-apiserver" {
			continue
		}
		id, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			t.Fatal(err)
		}
		process, err := os.FindProcess(id)
		if err != nil {
			t.Fatal(err)
		}
		return process, arguments
	}
	t.Fatal("there is no API server among the processes that this one started")
	return nil, nil
}

// startAPIServer starts it again as it was, with the same etcd and on the same port.
func startAPIServer(t *testing.T, arguments []string) {
	t.Helper()
	stage.Eventually(t, "the port to be free", func() bool {
		restarted = exec.Command(arguments[0], arguments[1:]...)
		restarted.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return restarted.Start() == nil
	})
	stage.Eventually(t, "the API server to be ready", func() bool {
		return shared.Ready(t.Context())
	})
}
