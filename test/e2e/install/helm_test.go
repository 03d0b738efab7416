// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package install_test installs the operator in every way that there is, with kubectl and with
// Helm, against a real API server. A stand-in for the nodes runs the built manager as the
// Deployment says, so that what is installed has to work, and not only to be accepted.
package install_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

const (
	chart = "charts/vector-store-operator"
	// release and systemNamespace are those with which the chart's names are kustomize's.
	release         = "vector-store-operator"
	systemNamespace = "vector-store-operator-system"

	// patience is how long anything may take that is bound to happen. It is only ever used up
	// by a test that fails.
	patience = 90 * time.Second
)

// helm runs helm in the repository's root, and gives what it printed and what it complained of.
type helm struct {
	program string
	// kubeconfig is an administrator's; without one, helm finds no cluster.
	kubeconfig string
	home       string
}

func newHelm(t *testing.T, kubeconfig string) helm {
	t.Helper()
	return helm{program: tool(t, "helm"), kubeconfig: kubeconfig, home: t.TempDir()}
}

// tool is a program that the Makefile builds for these tests.
func tool(t *testing.T, name string) string {
	t.Helper()
	program := filepath.Join(controlplane.Root(), "bin", name)
	if _, err := os.Stat(program); err != nil {
		t.Skipf("%v: `make bin/%s` builds it", err, name)
	}
	return program
}

func (h helm) try(ctx context.Context, args ...string) (output, complaint string, err error) {
	command := exec.CommandContext(ctx, h.program, args...)
	command.Dir = controlplane.Root()
	command.Env = []string{"KUBECONFIG=" + h.kubeconfig, "HOME=" + h.home, "PATH=" + os.Getenv("PATH")}
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	err = command.Run()
	return out.String(), complaints.String(), err
}

func (h helm) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	output, complaint, err := h.try(ctx, args...)
	if err != nil {
		t.Fatalf("helm %s: %v: %s%s", strings.Join(args, " "), err, output, complaint)
	}
	return output
}

// template renders the chart with values in YAML, as the release that is named like kustomize's
// objects.
func (h helm) template(t *testing.T, values string, args ...string) string {
	t.Helper()
	return h.run(t, append([]string{"template", release, chart, "--namespace", systemNamespace, "--values", valuesFile(t, values)}, args...)...)
}

func valuesFile(t *testing.T, values string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// objects are the objects of a manifest by kind, namespace and name.
type objects map[string]*unstructured.Unstructured

func parse(t *testing.T, manifest string) objects {
	t.Helper()
	all := objects{}
	for _, document := range strings.Split("\n"+manifest, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(object.Object) == 0 {
			continue
		}
		key := keyOf(object)
		if all[key] != nil {
			t.Fatalf("there are two of %s", key)
		}
		all[key] = object
	}
	return all
}

func keyOf(object *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
}

// find is the object of a kind and a name, which has to be there.
func (o objects) find(t *testing.T, kind, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	object := o[fmt.Sprintf("%s %s/%s", kind, namespace, name)]
	if object == nil {
		t.Fatalf("there is no %s %s/%s among %d objects", kind, namespace, name, len(o))
	}
	return object
}

// inRoot is a file of the repository.
func inRoot(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(controlplane.Root(), path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
