// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"math"
	"slices"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// TestSchema_NumbersAreBounded requires a minimum and a maximum of its own for each number. Older API
// servers do not enforce the format of an integer: they would accept a number that the manager cannot
// decode, and one such object fails the list and the watch of all others.
func TestSchema_NumbersAreBounded(t *testing.T) {
	numbers := 0
	walkSchema(t, func(path string, schema apiextensionsv1.JSONSchemaProps) {
		// metav1.Condition has no maximum of its own; a rule of the list bounds it.
		if (schema.Type == "integer" || schema.Type == "number" || schema.XIntOrString) && path != ".status.conditions[].observedGeneration" {
			numbers++
			checkBounds(t, path, schema)
		}
	})
	if numbers < 10 {
		t.Errorf("found %d numbers only", numbers)
	}
}

// walkSchema calls visit for each field, element and value of the schema.
func walkSchema(t *testing.T, visit func(path string, schema apiextensionsv1.JSONSchemaProps)) {
	t.Helper()
	var crd apiextensionsv1.CustomResourceDefinition
	framework.ReadYAML(t, &crd, "config", "crd", "bases", "vector-store-operator.dev_vectorstorefilebatches.yaml")
	var walk func(path string, schema apiextensionsv1.JSONSchemaProps)
	walk = func(path string, schema apiextensionsv1.JSONSchemaProps) {
		visit(path, schema)
		for name, property := range schema.Properties {
			walk(path+"."+name, property)
		}
		if schema.Items != nil {
			walk(path+"[]", *schema.Items.Schema)
		}
		if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
			walk(path+".*", *schema.AdditionalProperties.Schema)
		}
	}
	for _, version := range crd.Spec.Versions {
		walk("", *version.Schema.OpenAPIV3Schema)
	}
}

// checkBounds requires bounds, and the rule that fails for what is an integer to the API server only: its
// comparison is inexact.
func checkBounds(t *testing.T, path string, schema apiextensionsv1.JSONSchemaProps) {
	t.Helper()
	limit := float64(math.MaxInt32)
	if schema.Format == "int64" {
		limit = 1 << 53 // JSON tools lose precision above
	}
	if schema.Minimum == nil || *schema.Minimum < -limit {
		t.Errorf("%s has no minimum that fits %s", path, schema.Format)
	}
	if schema.Maximum == nil || *schema.Maximum > limit {
		t.Errorf("%s has no maximum that fits %s", path, schema.Format)
	}
	if !slices.ContainsFunc(schema.XValidations, func(r apiextensionsv1.ValidationRule) bool { return r.Rule == "int(self) == self" }) {
		t.Errorf("%s has no rule that it is an integer", path)
	}
}
