// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package races_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	apiServer = "kube-apiserver"
	etcd      = "etcd"
)

// restarted are the programs of the control plane that a test restarted, by name. The Env knows only
// those that it started.
var restarted = map[string]*framework.Process{}

// Not parallel: it stops the control plane of all tests.
func TestControlPlaneRestart_DuringCreates(t *testing.T) {
	for _, killed := range [][]string{{apiServer}, {etcd}, {etcd, apiServer}} {
		t.Run(strings.Join(killed, " and "), func(t *testing.T) {
			f := env.NewFixture(t, emulator.Options{})
			slowCreates(f)
			manager := f.StartManager(t, "m", framework.Setup{Flags: []string{"--concurrency=6", longTimeout}})
			names := objects(0, 12)
			createAll(t, f, names)
			waitCreating(t, f, 6)

			arguments := map[string][]string{}
			for _, name := range killed {
				arguments[name] = kill(t, name)
			}
			// The creates return, and their IDs cannot be recorded.
			framework.Eventually(t, "the responses of the creates", func() bool { return f.Emulator.CreateCount() >= 6 })
			for _, name := range killed {
				restart(t, name, arguments[name])
			}
			framework.Eventually(t, "the API server to be ready", func() bool { return apiServerReady(t) })
			wantAllOnce(t, f, names)
			wantNoUnknownOutcome(t, manager)
			for _, name := range names {
				f.Patch(t, name, `{"spec":{"maxFailedFiles":1}}`)
			}
			framework.Eventually(t, "the last change to be observed", func() bool {
				b := f.Get(t, names[0])
				return b.Status.ObservedGeneration == b.Generation && framework.ReadyReason(b) == v1alpha1.ReasonCompleted
			})
			manager.Kill()
		})
	}
}

// kill kills a program of the control plane, and returns its command line.
func kill(t *testing.T, name string) []string {
	t.Helper()
	process, arguments := find(t, name)
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	restarted[name].Kill() // waits for its exit
	return arguments
}

// find finds a program among the child processes.
func find(t *testing.T, name string) (*os.Process, []string) {
	t.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(commands) == 0 {
		t.Skipf("no /proc to find the process of %s in", name)
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
	t.Fatalf("%s is not a child process", name)
	return nil, nil
}

// restart starts a program again, with the same data and port.
func restart(t *testing.T, name string, arguments []string) {
	t.Helper()
	process, err := framework.Run(framework.Command{Path: arguments[0], Args: arguments[1:], Name: name, Log: filepath.Join(env.Dir, name+".log")})
	if err != nil {
		t.Fatal(err)
	}
	restarted[name] = process
}

func apiServerReady(t *testing.T) bool {
	t.Helper()
	status, _, err := framework.Fetch(t.Context(), env.HTTPClient, strings.TrimSuffix(env.Config.Host, "/")+"/readyz", "")
	return err == nil && status == http.StatusOK
}
