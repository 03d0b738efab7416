// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package install_test installs the operator in each documented way, with kubectl and with Helm, on a real
// API server. Simulated nodes run the built manager as its Deployment specifies, so that the installation
// must work, and not only be accepted.
package install_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	chart = "charts/vector-store-operator"
	// With this release in this namespace, the names of the chart are those of kustomize.
	release         = "vector-store-operator"
	systemNamespace = framework.SystemNamespace
)

// helm runs helm in the root of the repository.
type helm struct {
	program string
	// kubeconfig is an administrator's. Without it, helm finds no cluster.
	kubeconfig string
	home       string
}

func newHelm(t *testing.T, kubeconfig string) helm {
	t.Helper()
	return helm{program: framework.Tool(t, "helm"), kubeconfig: kubeconfig, home: t.TempDir()}
}

func (h helm) try(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	command := exec.CommandContext(ctx, h.program, args...)
	command.Dir = framework.Root()
	command.Env = []string{"KUBECONFIG=" + h.kubeconfig, "HOME=" + h.home, "PATH=" + os.Getenv("PATH")}
	var out, errOut bytes.Buffer
	command.Stdout, command.Stderr = &out, &errOut
	err = command.Run()
	return out.String(), errOut.String(), err
}

func (h helm) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*framework.Timeout)
	defer cancel()
	output, complaint, err := h.try(ctx, args...)
	if err != nil {
		t.Fatalf("helm %s: %v: %s%s", strings.Join(args, " "), err, output, complaint)
	}
	return output
}

// template renders the chart with values in YAML.
func (h helm) template(t *testing.T, values string, args ...string) string {
	t.Helper()
	return h.run(t, append([]string{"template", release, chart, "--namespace", systemNamespace, "--values", valuesFile(t, values)}, args...)...)
}

func valuesFile(t *testing.T, values string) string {
	t.Helper()
	return framework.WriteFile(t, t.TempDir(), "values.yaml", values)
}

// objects are by kind, namespace and name.
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
			t.Fatalf("the manifest contains %s twice", key)
		}
		all[key] = object
	}
	return all
}

func keyOf(object *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
}

// find returns an object, which must exist.
func (o objects) find(t *testing.T, kind, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	object := o[fmt.Sprintf("%s %s/%s", kind, namespace, name)]
	if object == nil {
		t.Fatalf("%s %s/%s is not among the %d objects", kind, namespace, name, len(o))
	}
	return object
}
