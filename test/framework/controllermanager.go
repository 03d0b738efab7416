// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"os"
	"path/filepath"
	"testing"
)

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
