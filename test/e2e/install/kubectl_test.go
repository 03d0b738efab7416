// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// programs is where the manager is built.
var programs string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "vsfb-install-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := os.RemoveAll(programs); err != nil {
		fmt.Fprintln(os.Stderr, errors.Join(errors.New("tidying up"), err))
		return 1
	}
	return code
}

// TestKubectlInstalls installs with one command, and does the main job.
func TestKubectlInstalls(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{
		"from one file":         {"--filename=dist/install.yaml"},
		"from a kustomize tree": {"--kustomize=config/default"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.kubectl(t, append([]string{"apply"}, flags...)...)
			c.kubectl(t, "--namespace="+systemNamespace, "rollout", "status", "deployment/vector-store-operator-manager", "--timeout="+patience.String())
			c.mainJob(t, "user", "first", c.user(t, "user"))
			// Applying it again, as an upgrade to the same version does, changes nothing.
			generation := c.generation(t)
			c.kubectl(t, append([]string{"apply"}, flags...)...)
			if again := c.generation(t); again != generation {
				t.Errorf("the Deployment's generation went from %s to %s", generation, again)
			}
		})
	}
}

// TestHelmTakesOver installs with kubectl, and then the chart over it, while a batch is in progress.
func TestHelmTakesOver(t *testing.T) {
	t.Parallel()
	tool(t, "helm")
	c := newCluster(t)
	c.kubectl(t, "apply", "--filename=dist/install.yaml")
	store := c.user(t, "user")
	c.apply(t, "user", batchOf("under-way", store, "file-stuck-takeover"))
	c.wantReason(t, "user", "under-way", v1alpha1.ReasonInProgress)

	h := newHelm(t, c.plane.Kubeconfig)
	install := []string{"install", release, chart, "--namespace", systemNamespace, "--wait", "--timeout", patience.String()}
	if _, complaint, err := h.try(t.Context(), install...); err == nil || !strings.Contains(complaint, "invalid ownership metadata") {
		t.Errorf("without being told to, helm takes over: %v: %s", err, complaint)
	}
	h.run(t, "uninstall", release, "--namespace", systemNamespace, "--ignore-not-found")
	h.run(t, append(install, "--take-ownership", "--force-conflicts")...)

	for _, b := range c.batches(store) {
		if err := c.emulator.SetBatchStatus(b.ID, "completed"); err != nil {
			t.Fatal(err)
		}
	}
	c.wantFinished(t, "user", "under-way")
	if made := len(c.batches(store)); made != 1 {
		t.Errorf("there are %d batches for the object that was in progress, want 1", made)
	}
}

func (c *cluster) generation(t *testing.T) string {
	t.Helper()
	return c.kubectl(t, "--namespace="+systemNamespace, "get", "deployment", "vector-store-operator-manager", "-o", "jsonpath={.metadata.generation}")
}
