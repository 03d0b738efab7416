// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// cluster is reached with kubectl, whatever command that is: a cluster may have a network that
// the test is not in.
type cluster struct{ kubectl []string }

// pod is what the test reads of a Pod.
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

// container is the ID that the container runtime gave.
func (p pod) container(t *testing.T) string {
	t.Helper()
	_, id, found := strings.Cut(p.status().ContainerID, "://")
	if !found {
		t.Fatalf("the container of %s has the ID %q", p.Metadata.Name, p.status().ContainerID)
	}
	return id
}

// managers are the manager's Pods that are not about to end.
func (c cluster) managers(t *testing.T) []pod {
	t.Helper()
	var list struct {
		Items []pod `json:"items"`
	}
	c.read(t, &list, "get", "pods", "-n", system, "-l", "app.kubernetes.io/component=manager", "-o", "json")
	pods := slices.DeleteFunc(list.Items, func(p pod) bool { return p.Metadata.DeletionTimestamp != "" })
	slices.SortFunc(pods, func(a, b pod) int { return cmp.Compare(a.Metadata.Name, b.Metadata.Name) })
	return pods
}

// try runs kubectl, and gives all that it prints.
func (c cluster) try(ctx context.Context, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience+time.Minute)
	defer cancel()
	all := append(slices.Clone(c.kubectl), args...)
	command := exec.CommandContext(ctx, all[0], all[1:]...)
	command.Stdin = strings.NewReader(stdin)
	var output, complaints bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaints
	if err := command.Run(); err != nil {
		return output.String() + complaints.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, complaints.String())
	}
	return output.String(), nil
}

// run is try where it must succeed.
func (c cluster) run(t *testing.T, args ...string) string {
	t.Helper()
	output, err := c.try(t.Context(), "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(output)
}

func (c cluster) read(t *testing.T, into any, args ...string) {
	t.Helper()
	output := c.run(t, args...)
	if err := json.Unmarshal([]byte(output), into); err != nil {
		t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, output)
	}
}

func (c cluster) apply(t *testing.T, manifest string) {
	t.Helper()
	if output, err := c.try(t.Context(), manifest, "apply", "-f", "-"); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

// command runs something that is not kubectl.
func (c cluster) command(t *testing.T, words []string) {
	t.Helper()
	if output, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(words, " "), err, output)
	}
}

// eventually waits for a state.
func (c cluster) eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, patience, true,
		func(context.Context) (bool, error) { return condition(), nil })
	if err != nil {
		t.Fatalf("waiting for %s: %v\n%s", what, err, c.state())
	}
}

// state is what helps to see why something does not happen.
func (c cluster) state() string {
	var text strings.Builder
	for _, args := range [][]string{
		{"get", "pods", "-A", "-o", "wide"},
		{"get", "events", "-n", system},
		{"logs", "-n", system, deployment, "--all-pods", "--tail=30"},
	} {
		output, _ := c.try(context.Background(), "", args...)
		fmt.Fprintf(&text, "kubectl %s:\n%s\n", strings.Join(args, " "), output)
	}
	return text.String()
}

// uninstall takes everything away again, the objects first: their finalizers need the manager.
func (c cluster) uninstall(t *testing.T) {
	for _, args := range [][]string{
		{"delete", "vsfb", "-n", own, "--all", "--timeout=2m"},
		{"delete", "-k", overlay(t), "--ignore-not-found", "--timeout=3m"},
	} {
		if _, err := c.try(context.Background(), "", args...); err != nil {
			t.Error(err)
		}
	}
}

// overlay is a kustomization that takes the images from where the nodes have them. It has to
// lie in the repository: kustomize follows only paths relative to where it lies.
func overlay(t *testing.T) string {
	t.Helper()
	if *registry == "" {
		return filepath.Join(root(t), "test", "node", "overlay")
	}
	folder, err := os.MkdirTemp(filepath.Join(root(t), "bin"), "overlay-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../test/node/overlay]\nimages:\n"
	for _, name := range []string{"vector-store-operator", "vector-store-operator-emulator"} {
		text += fmt.Sprintf("- {name: %s, newName: %s%s}\n", name, *registry, name)
	}
	if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}
