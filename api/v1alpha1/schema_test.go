// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"math"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// TestSchema_IntegersDecode requires bounds for each integer. Older API servers do not enforce the
// format of an integer: they would accept a number that the manager cannot decode, and one such object
// fails the list and the watch of all others.
func TestSchema_IntegersDecode(t *testing.T) {
	var crd apiextensionsv1.CustomResourceDefinition
	framework.ReadYAML(t, &crd, "config", "crd", "bases", "vector-store-operator.dev_vectorstorefilebatches.yaml")
	integers := 0
	var check func(path string, schema apiextensionsv1.JSONSchemaProps)
	check = func(path string, schema apiextensionsv1.JSONSchemaProps) {
		if schema.Type == "integer" {
			integers++
			checkBounds(t, path, schema)
		}
		for name, property := range schema.Properties {
			check(path+"."+name, property)
		}
		if schema.Items != nil && path != ".status.conditions" { // metav1.Condition has bounds of its own
			check(path+"[]", *schema.Items.Schema)
		}
	}
	check("", *crd.Spec.Versions[0].Schema.OpenAPIV3Schema)
	if integers < 10 {
		t.Errorf("found %d integers only", integers)
	}
}

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
}
