// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// cluster is a real cluster.
type cluster struct{ framework.Kubectl }

// pod has the fields of a Pod that the tests read.
type pod struct {
	Metadata struct {
		Name              string `json:"name"`
		DeletionTimestamp string `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		NodeName string `json:"nodeName"`
	} `json:"spec"`
	Status struct {
		PodIP             string            `json:"podIP"`
		ContainerStatuses []containerStatus `json:"containerStatuses"`
	} `json:"status"`
}

type containerStatus struct {
	ContainerID  string `json:"containerID"`
	Ready        bool   `json:"ready"`
	RestartCount int    `json:"restartCount"`
	LastState    struct {
		Terminated termination `json:"terminated"`
	} `json:"lastState"`
}

type termination struct {
	Reason   string `json:"reason"`
	ExitCode int    `json:"exitCode"`
}

func (p pod) status() containerStatus {
	if len(p.Status.ContainerStatuses) == 0 {
		return containerStatus{}
	}
	return p.Status.ContainerStatuses[0]
}

func (p pod) ready() bool       { return p.status().Ready }
func (p pod) restarts() int     { return p.status().RestartCount }
func (p pod) last() termination { return p.status().LastState.Terminated }

// container returns the ID of the container in the container runtime.
func (p pod) container(t *testing.T) string {
	t.Helper()
	_, id, found := strings.Cut(p.status().ContainerID, "://")
	if !found {
		t.Fatalf("the container of %s has the ID %q", p.Metadata.Name, p.status().ContainerID)
	}
	return id
}

// managers returns the Pods of the manager that are not terminating.
func (c cluster) managers(t *testing.T) []pod {
	t.Helper()
	var list struct {
		Items []pod `json:"items"`
	}
	c.In(systemNamespace).Decode(t, &list, "get", "pods", "-l", "app.kubernetes.io/component=manager", "-o", "json")
	pods := slices.DeleteFunc(list.Items, func(p pod) bool { return p.Metadata.DeletionTimestamp != "" })
	slices.SortFunc(pods, func(a, b pod) int { return cmp.Compare(a.Metadata.Name, b.Metadata.Name) })
	return pods
}

// run runs kubectl in a namespace, and returns its trimmed output.
func (c cluster) run(t *testing.T, namespace string, args ...string) string {
	t.Helper()
	return strings.TrimSpace(c.In(namespace).Must(t, args...))
}

// command runs another program.
func (c cluster) command(t *testing.T, words []string) {
	t.Helper()
	if output, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(words, " "), err, output)
	}
}

// eventually polls until a condition holds. It shows the Pods, Events and logs if the test fails.
func (c cluster) eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := framework.Poll(ctx, what, func() (bool, error) { return condition(), nil }); err != nil {
		t.Fatalf("%v\n%s", err, c.state())
	}
}

// state returns the Pods, and the Events and logs of the operator.
func (c cluster) state() string {
	var text strings.Builder
	for _, args := range [][]string{
		{"get", "pods", "-A", "-o", "wide"},
		{"get", "events", "-n", systemNamespace},
		{"logs", "-n", systemNamespace, deployment, "--all-pods", "--tail=30"},
	} {
		output, _ := c.Run(context.Background(), args...)
		fmt.Fprintf(&text, "kubectl %s:\n%s\n", strings.Join(args, " "), output)
	}
	return text.String()
}

// uninstall deletes everything, first the objects, whose finalizers need the manager.
func (c cluster) uninstall(t *testing.T) {
	for _, args := range [][]string{
		{"delete", "vsfb", "-n", testNamespace, "--all", "--timeout=2m"},
		{"delete", "-k", overlay(t), "--ignore-not-found", "--timeout=3m"},
	} {
		if _, err := c.Run(context.Background(), args...); err != nil {
			t.Error(err)
		}
	}
}

// overlay returns the folder of a kustomization with the images of the registry. It is in the repository,
// because kustomize follows relative paths only.
func overlay(t *testing.T) string {
	t.Helper()
	if *registry == defaultRegistry {
		return framework.Path("test", "e2e", "node", "overlay")
	}
	folder, err := os.MkdirTemp(framework.Path("bin"), "overlay-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../test/e2e/node/overlay]\nimages:\n"
	for _, name := range []string{"vector-store-operator", "vector-store-operator-emulator"} {
		text += fmt.Sprintf("- {name: %s%s, newName: %s%s}\n", defaultRegistry, name, *registry, name)
	}
	framework.WriteFile(t, folder, "kustomization.yaml", text)
	return folder
}
