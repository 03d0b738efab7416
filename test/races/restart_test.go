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

const (
	apiServer = "kube-apiserver"
	etcd      = "etcd"
)

// restarted are the programs of the control plane that this process started itself, by name. The
// control plane knows only those that it started.
var restarted = map[string]*exec.Cmd{}

// endRestarted ends a program, if it was restarted.
func endRestarted(name string) error {
	command := restarted[name]
	if command == nil {
		return nil
	}
	delete(restarted, name)
	if err := command.Process.Kill(); err != nil {
		return fmt.Errorf("ending %s: %w", name, err)
	}
	_ = command.Wait() // says that it was killed
	return nil
}

// It runs alone, as it takes the control plane from all tests.
func TestControlPlaneRestarts(t *testing.T) {
	for _, killed := range [][]string{{apiServer}, {etcd}, {etcd, apiServer}} {
		t.Run(strings.Join(killed, " and "), func(t *testing.T) {
			n := shared.NewTenant(t, emulator.Options{})
			slowCreates(n)
			manager := n.Start(t, "m", stage.Setup{Flags: []string{"--concurrency=6", longTimeout}})
			names := objects(0, 12)
			createAll(t, n, names)
			waitCreating(t, n, 6)

			arguments := map[string][]string{}
			for _, name := range killed {
				arguments[name] = kill(t, name)
			}
			// The answers of the creates come, and cannot be stored.
			stage.Eventually(t, "the creates to be answered", func() bool { return n.Emulator.CreateCount() >= 6 })
			for _, name := range killed {
				restart(t, name, arguments[name])
			}
			stage.Eventually(t, "the API server to be ready", func() bool { return shared.Ready(t.Context()) })
			wantAllOnce(t, n, names)
			wantNoUnknownOutcome(t, manager)
			for _, name := range names {
				patch(t, n, name, `{"spec":{"maxFailedFiles":1}}`)
			}
			stage.Eventually(t, "the last change to be seen", func() bool {
				b := n.Read(t, names[0])
				return b.Status.ObservedGeneration == b.Generation && stage.Reason(b) == v1alpha1.ReasonCompleted
			})
			manager.Kill(t)
		})
	}
}

// kill ends a program of the control plane at once, and gives what it was started with.
func kill(t *testing.T, name string) []string {
	t.Helper()
	process, arguments := find(t, name)
	if command := restarted[name]; command != nil {
		if err := endRestarted(name); err != nil {
			t.Fatal(err)
		}
		return command.Args
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	return arguments
}

// find finds a program among the processes that this one started.
func find(t *testing.T, name string) (*os.Process, []string) {
	t.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(commands) == 0 {
		t.Skipf("there is no /proc here to find the process of %s in", name)
	}
	for _, path := range commands {
		folder := filepath.Dir(path)
		line, lineErr := os.ReadFile(path)
		status, statusErr := os.ReadFile(filepath.Join(folder, "status"))
		arguments := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		ours := bytes.Contains(status, fmt.Appendf(nil, "\nPPid:\t%d\n", os.Getpid()))
		if errors.Join(lineErr, statusErr) != nil || !ours || filepath.Base(arguments[0]) != name {
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
	t.Fatalf("there is no %s among the processes that this one started", name)
	return nil, nil
}

// restart starts a program again as it was, with the same data and on the same port.
func restart(t *testing.T, name string, arguments []string) {
	t.Helper()
	stage.Eventually(t, name+" to start", func() bool {
		command := exec.Command(arguments[0], arguments[1:]...)
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := command.Start(); err != nil {
			return false
		}
		restarted[name] = command
		return true
	})
}
