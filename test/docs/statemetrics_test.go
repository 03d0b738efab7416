// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// TestStateMetrics_PathsExist requires that each path in the configuration of kube-state-metrics is a field of the
// CRD: kube-state-metrics ignores one that is not.
func TestStateMetrics_PathsExist(t *testing.T) {
	type gauge struct {
		Path           []string
		ValueFrom      []string
		LabelsFromPath map[string][]string
	}
	var config struct {
		Spec struct {
			Resources []struct {
				GroupVersionKind struct{ Group, Version, Kind string }
				LabelsFromPath   map[string][]string
				Metrics          []struct {
					Name string
					Each struct{ Gauge gauge }
				}
			}
		}
	}
	framework.ReadYAML(t, &config, "config", "prometheus", "kube-state-metrics.yaml")
	var crd apiextensionsv1.CustomResourceDefinition
	framework.ReadYAML(t, &crd, "config", "crd", "bases", "vector-store-operator.dev_vectorstorefilebatches.yaml")
	if len(config.Spec.Resources) != 1 || config.Spec.Resources[0].GroupVersionKind.Kind != crd.Spec.Names.Kind ||
		config.Spec.Resources[0].GroupVersionKind.Group != crd.Spec.Group || config.Spec.Resources[0].GroupVersionKind.Version != crd.Spec.Versions[0].Name {
		t.Fatalf("the configuration is for %+v", config.Spec.Resources)
	}
	for _, metric := range config.Spec.Resources[0].Metrics {
		g := metric.Each.Gauge
		schema := property(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, g.Path)
		if schema == nil {
			t.Errorf("%s: the CRD has no field %s", metric.Name, strings.Join(g.Path, "."))
			continue
		}
		if schema.Items != nil {
			schema = schema.Items.Schema
		}
		for label, path := range g.LabelsFromPath {
			if property(schema, path) == nil {
				t.Errorf("%s: the label %s has no field %v", metric.Name, label, path)
			}
		}
		value := property(schema, g.ValueFrom)
		if value == nil || !slices.Contains([]string{"integer", "string"}, value.Type) {
			t.Errorf("%s: the value %v is %+v", metric.Name, g.ValueFrom, value)
		}
	}
}

// property returns the schema of a field, or nil.
func property(schema *apiextensionsv1.JSONSchemaProps, path []string) *apiextensionsv1.JSONSchemaProps {
	for _, name := range path {
		next, exists := schema.Properties[name]
		if !exists {
			return nil
		}
		schema = &next
	}
	return schema
}
