// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Working is the text that a manager logs when it starts to reconcile.
const Working = "Starting workers"

// AllowLoopback is the flag that lets a manager connect to servers on this machine.
const AllowLoopback = "--allowed-addresses=127.0.0.0/8,::1"

// ManagerOptions describe a manager process.
type ManagerOptions struct {
	// Name names the process and its log. The default is "manager".
	Name string
	// Program is the manager. The default is the one that Options.Build built.
	Program string
	// Kubeconfig is a file. The default has an administrator's rights.
	Kubeconfig string
	// Log is a file. The default is in Env.Dir.
	Log string
	// Env is added to the environment.
	Env []string
	// Flags are added to those that ManagerFlags returns.
	Flags []string
}

// Manager is a manager that runs.
type Manager struct {
	*Process
	// Metrics and Probes are the addresses on which it serves them.
	Metrics, Probes string
}

// ManagerFlags returns the flags that a manager has in most tests: it polls several times a second,
// allows http endpoints on this machine, and serves neither metrics nor probes. A later flag overrides an earlier one.
func ManagerFlags(kubeconfig string, more ...string) []string {
	return append([]string{
		"--kubeconfig=" + kubeconfig, "--allow-insecure-endpoints", AllowLoopback, "--zap-log-level=debug",
		"--metrics-bind-address=0", "--health-probe-bind-address=0",
		"--poll-interval-min=200ms", "--poll-interval-max=1s", "--not-found-grace=2s",
	}, more...)
}

// StartManager starts a manager that serves metrics and probes on free addresses. Callers must Stop
// or Kill it.
func (e *Env) StartManager(o ManagerOptions) (*Manager, error) {
	m := &Manager{}
	for _, address := range []*string{&m.Metrics, &m.Probes} {
		var err error
		if *address, err = FreeAddress(); err != nil {
			return nil, err
		}
	}
	for option, value := range map[*string]string{&o.Name: "manager", &o.Program: e.Program("manager"), &o.Kubeconfig: e.Kubeconfig} {
		if *option == "" {
			*option = value
		}
	}
	if o.Log == "" {
		o.Log = filepath.Join(e.Dir, o.Name+".log")
	}
	flags := slices.Concat([]string{"--metrics-bind-address=" + m.Metrics, "--health-probe-bind-address=" + m.Probes}, o.Flags)
	var err error
	m.Process, err = Run(Command{Name: o.Name, Path: o.Program, Log: o.Log, Env: o.Env, Args: ManagerFlags(o.Kubeconfig, flags...)})
	return m, err
}

// WaitUntilReady waits until the manager answers its readiness probe.
func (m *Manager) WaitUntilReady(ctx context.Context) error {
	return Poll(ctx, m.Name+" to be ready", func() (bool, error) {
		code, _, err := Fetch(ctx, http.DefaultClient, fmt.Sprintf("http://%s/readyz", m.Probes), "")
		if err != nil {
			return false, m.Err() // it may not listen yet
		}
		return code == http.StatusOK, nil
	})
}

// StartControllerManager starts kube-controller-manager with some of its controllers until the end of
// the test. It skips the test if the program was not built.
func (e *Env) StartControllerManager(t testing.TB, controllers string) {
	t.Helper()
	const name = "kube-controller-manager"
	program := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), name)
	if _, err := os.Stat(program); err != nil {
		t.Skipf("%s is missing: `make test` builds it", name)
	}
	p, err := Run(Command{
		Path: program, Log: filepath.Join(t.TempDir(), name+".log"),
		Args: []string{"--kubeconfig=" + e.Kubeconfig, "--controllers=" + controllers, "--leader-elect=false", "--secure-port=0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.KillAfter(t)
}
