// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// programs is the folder of the built manager.
var programs string

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "vsfb-install-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(programs) }()
	return m.Run()
}

// TestKubectl_Installs installs with one command, and completes a batch. TestHelm_TakesOwnership installs
// dist/install.yaml, which has the same objects.
func TestKubectl_Installs(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.kubectl(t, "apply", "--kustomize=config/default")
	c.kubectl(t, "--namespace="+systemNamespace, "rollout", "status", "deployment/vector-store-operator-manager", "--timeout="+framework.Timeout.String())
	c.complete(t, "user", "first", c.user(t, "user"))
	// The upgrade to the same version changes nothing.
	generation := c.generation(t)
	c.kubectl(t, "apply", "--kustomize=config/default")
	if again := c.generation(t); again != generation {
		t.Errorf("the Deployment's generation went from %s to %s", generation, again)
	}
}

// TestHelm_TakesOwnership installs with kubectl, and then with the chart, while a batch is in progress.
func TestHelm_TakesOwnership(t *testing.T) {
	t.Parallel()
	framework.Tool(t, "helm")
	c := newCluster(t)
	c.kubectl(t, "apply", "--filename=dist/install.yaml")
	store := c.user(t, "user")
	c.apply(t, "user", batchOf("under-way", store, "file-stuck-takeover"))
	c.wantReason(t, "user", "under-way", v1alpha1.ReasonInProgress)

	h := newHelm(t, c.Kubeconfig)
	install := []string{"install", release, chart, "--namespace", systemNamespace, "--wait", "--timeout", framework.Timeout.String()}
	if _, complaint, err := h.try(t.Context(), install...); err == nil || !strings.Contains(complaint, "invalid ownership metadata") {
		t.Errorf("without --take-ownership, helm does not fail: %v: %s", err, complaint)
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
		t.Errorf("the object in progress has %d batches, want 1", made)
	}
}

func (c *cluster) generation(t *testing.T) string {
	t.Helper()
	return c.kubectl(t, "--namespace="+systemNamespace, "get", "deployment", "vector-store-operator-manager", "-o", "jsonpath={.metadata.generation}")
}
