// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// Kubectl runs kubectl in the root of the repository, against one cluster.
type Kubectl struct {
	// Command is the program and its first arguments. By default it is the kubectl in the folder that
	// KUBEBUILDER_ASSETS names.
	Command []string
	// Kubeconfig is a file. Without it, kubectl finds the cluster as it does for its user.
	Kubeconfig string
	// Namespace is that of the commands, if it is set.
	Namespace string
	// Dir is the working directory, by default the root of the repository.
	Dir string
	// Env is the environment; nil inherits the one of this process.
	Env []string
}

// In returns a Kubectl for a namespace.
func (k Kubectl) In(namespace string) Kubectl {
	k.Namespace = namespace
	return k
}

// As returns a Kubectl that uses another kubeconfig.
func (k Kubectl) As(kubeconfig string) Kubectl {
	k.Kubeconfig = kubeconfig
	return k
}

// Cmd returns a command that runs kubectl. kubectl caches what it discovers of an API server beside
// the kubeconfig: in the home folder the cache would outlive the API server, and be used for
// another one on the same port.
func (k Kubectl) Cmd(ctx context.Context, args ...string) *exec.Cmd {
	all := slices.Clone(k.Command)
	if len(all) == 0 {
		all = []string{filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")}
	}
	all = append(all, args...)
	var flags []string
	if k.Kubeconfig != "" {
		flags = append(flags, "--kubeconfig="+k.Kubeconfig, "--cache-dir="+filepath.Join(filepath.Dir(k.Kubeconfig), "kubectl-cache"))
	}
	if k.Namespace != "" {
		flags = append(flags, "--namespace="+k.Namespace)
	}
	// The flags come before a "--". For a plugin they come last, because kubectl takes the first
	// arguments for its name.
	if end := slices.Index(all, "--"); end >= 0 {
		all = slices.Insert(all, end, flags...)
	} else {
		all = append(all, flags...)
	}
	command := exec.CommandContext(ctx, all[0], all[1:]...)
	command.Dir, command.Env = k.Dir, k.Env
	if k.Dir == "" {
		command.Dir = Root()
	}
	return command
}

// Try runs kubectl with an input, and returns what it wrote to each of its outputs.
func (k Kubectl) Try(ctx context.Context, stdin string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*Timeout)
	defer cancel()
	var out, errOut bytes.Buffer
	command := k.Cmd(ctx, args...)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &out, &errOut
	err = command.Run()
	return out.String(), errOut.String(), err
}

// Run runs kubectl and returns its output. An error quotes what kubectl wrote to stderr.
func (k Kubectl) Run(ctx context.Context, args ...string) (string, error) {
	return k.RunWithInput(ctx, "", args...)
}

// RunWithInput is Run for a command that reads its standard input.
func (k Kubectl) RunWithInput(ctx context.Context, stdin string, args ...string) (string, error) {
	stdout, stderr, err := k.Try(ctx, stdin, args...)
	if err != nil {
		return stdout, fmt.Errorf("kubectl %s: %w: %s%s", strings.Join(args, " "), err, stdout, strings.TrimSpace(stderr))
	}
	return stdout, nil
}

// Must runs kubectl and returns its output. The test ends if kubectl fails.
func (k Kubectl) Must(t testing.TB, args ...string) string {
	t.Helper()
	output, err := k.Run(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// Apply applies a manifest, server-side, with further flags.
func (k Kubectl) Apply(t testing.TB, manifest string, flags ...string) {
	t.Helper()
	args := append([]string{"apply", "--server-side", "--filename=-"}, flags...)
	if _, err := k.RunWithInput(t.Context(), manifest, args...); err != nil {
		t.Fatal(err)
	}
}

// ApplyObject is Apply for an object that encodes to JSON.
func (k Kubectl) ApplyObject(t testing.TB, object any, flags ...string) {
	t.Helper()
	manifest, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	k.Apply(t, string(manifest), flags...)
}

// Decode runs kubectl, which must print JSON, and decodes its output.
func (k Kubectl) Decode(t testing.TB, into any, args ...string) {
	t.Helper()
	output := k.Must(t, args...)
	if err := json.Unmarshal([]byte(output), into); err != nil {
		t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, output)
	}
}

// Batch reads a VectorStoreFileBatch.
func (k Kubectl) Batch(t testing.TB, name string) *v1alpha1.VectorStoreFileBatch {
	t.Helper()
	b := &v1alpha1.VectorStoreFileBatch{}
	k.Decode(t, b, "get", "vsfb", name, "--output=json")
	return b
}

// WaitFor runs kubectl wait on a VectorStoreFileBatch.
func (k Kubectl) WaitFor(t testing.TB, name, state string) {
	t.Helper()
	k.Must(t, "wait", "vsfb/"+name, "--for="+state, "--timeout="+Timeout.String())
}

// WaitForReason waits until the condition Ready of a VectorStoreFileBatch has a reason. A refusal just
// after a change does not count: the operator repeats the request before the object is stalled.
func (k Kubectl) WaitForReason(t testing.TB, name, reason string) {
	t.Helper()
	k.WaitFor(t, name, `jsonpath={.status.conditions[?(@.type=="Ready")].reason}=`+reason)
	switch reason {
	case v1alpha1.ReasonBatchNotFound, v1alpha1.ReasonRejected, v1alpha1.ReasonCredentialsRejected:
		k.WaitFor(t, name, "condition="+v1alpha1.ConditionStalled)
	}
}
