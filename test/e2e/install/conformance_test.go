// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/discovery"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// testConformance validates the rendered chart with kubeconform against the schemas of the API server,
// which drops unknown fields without an error.
func (r *releases) testConformance(t *testing.T) {
	for _, kind := range []string{"servicemonitors", "prometheusrules"} {
		file := "example/prometheus-operator-crd/monitoring.coreos.com_" + kind + ".yaml"
		crd := framework.FromModule(t, "github.com/prometheus-operator/prometheus-operator@v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=", file)
		r.kubectl(t, "apply", "--server-side", "-f", framework.WriteFile(t, t.TempDir(), "crd.yaml", string(crd)))
		if err := r.WaitForCRD(t.Context(), kind+".monitoring.coreos.com"); err != nil {
			t.Fatal(err)
		}
	}
	// An API server publishes the schema of a CRD some time after it serves the CRD's objects.
	framework.Eventually(t, "the schemas of the Prometheus Operator", func() bool {
		published := string(r.openAPI(t)["apis/monitoring.coreos.com/v1"])
		return strings.Contains(published, `"ServiceMonitor"`) && strings.Contains(published, `"PrometheusRule"`)
	})
	schemas := t.TempDir()
	for _, document := range r.openAPI(t) {
		writeSchemas(t, schemas, document)
	}
	manifests := map[string]string{
		"by default":      "",
		"with everything": everything,
		"with little":     "{replicaCount: 1, leaderElection: {enabled: false}, metrics: {enabled: false}, crds: {enabled: false}, resources: null}",
	}
	text, err := yaml.Marshal(nulls(t))
	if err != nil {
		t.Fatal(err)
	}
	manifests["with null"] = string(text)
	for _, path := range framework.Glob(t, "test/e2e/install/testdata/setups/*.yaml") {
		manifests[path] = framework.ReadFile(t, path)
	}
	for name, values := range manifests {
		t.Run(name, func(t *testing.T) {
			manifest := r.helm.template(t, values)
			output, err := r.kubeconform(t, schemas, manifest)
			if err != nil {
				t.Errorf("kubeconform: %v: %s", err, output)
			}
			if objects := len(parse(t, manifest)); !strings.Contains(output, "Skipped: 0") || objects < 5 {
				t.Errorf("some of %d objects were not validated: %s", objects, output)
			}
		})
	}
	t.Run("a field that does not exist", func(t *testing.T) {
		manifest := r.helm.template(t, "")
		wrong := strings.Replace(manifest, "terminationGracePeriodSeconds:", "terminationGracePeriod:", 1)
		if output, err := r.kubeconform(t, schemas, wrong); err == nil || wrong == manifest {
			t.Errorf("kubeconform reports no error: %s", output)
		}
	})
}

func (r *releases) kubeconform(t *testing.T, schemas, manifest string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), framework.Timeout)
	defer cancel()
	command := exec.CommandContext(ctx, framework.Tool(t, "kubeconform"), "-strict", "-summary",
		"-schema-location", filepath.Join(schemas, "{{ .Group }}-{{ .ResourceAPIVersion }}-{{ .ResourceKind }}.json"), "-")
	command.Stdin = strings.NewReader(manifest)
	output, err := command.CombinedOutput()
	return string(output), err
}

// openAPI returns the schemas that the API server publishes, by the path of their group and version.
func (r *releases) openAPI(t *testing.T) map[string][]byte {
	t.Helper()
	found, err := discovery.NewDiscoveryClientForConfig(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := found.OpenAPIV3().Paths()
	if err != nil {
		t.Fatal(err)
	}
	documents := map[string][]byte{}
	for path, groupVersion := range paths {
		if documents[path], err = groupVersion.Schema("application/json"); err != nil {
			t.Fatalf("reading the schema of %s: %v", path, err)
		}
	}
	return documents
}

// writeSchemas writes a JSON schema for every kind of one group and version. Each file has all types,
// which refer to each other.
func writeSchemas(t *testing.T, folder string, document []byte) {
	t.Helper()
	var openAPI struct {
		Components struct {
			Schemas map[string]map[string]any `json:"schemas"`
		} `json:"components"`
	}
	text := strings.ReplaceAll(string(document), "#/components/schemas/", "#/definitions/")
	if err := json.Unmarshal([]byte(text), &openAPI); err != nil {
		t.Fatal(err)
	}
	for _, schema := range openAPI.Components.Schemas {
		forbidUnknown(schema)
	}
	for name, schema := range openAPI.Components.Schemas {
		kinds, _ := schema["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 {
			continue // a part of an object, or a type of all groups
		}
		kind := kinds[0].(map[string]any)
		file, err := json.Marshal(map[string]any{"$ref": "#/definitions/" + name, "definitions": openAPI.Components.Schemas})
		if err != nil {
			t.Fatal(err)
		}
		group, version := kind["group"].(string), kind["version"].(string)
		if group == "" {
			group = version // kubeconform reads the first part of apiVersion
		}
		path := strings.ToLower(group + "-" + version + "-" + kind["kind"].(string) + ".json")
		framework.WriteFile(t, folder, path, string(file))
	}
}

// forbidUnknown makes a schema reject unknown fields.
func forbidUnknown(schema map[string]any) {
	properties, named := schema["properties"].(map[string]any)
	if _, open := schema["additionalProperties"]; named && !open && schema["x-kubernetes-preserve-unknown-fields"] != true {
		schema["additionalProperties"] = false
	}
	for _, property := range properties {
		forbidUnknown(property.(map[string]any))
	}
	for _, below := range []string{"items", "additionalProperties"} {
		if below, isSchema := schema[below].(map[string]any); isSchema {
			forbidUnknown(below)
		}
	}
}
