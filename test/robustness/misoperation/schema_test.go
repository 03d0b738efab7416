// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package misoperation_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// schema is the part of an OpenAPI schema that determines the values of a field.
type schema struct {
	Type          string            `json:"type"`
	Format        string            `json:"format"`
	Properties    map[string]schema `json:"properties"`
	Required      []string          `json:"required"`
	Items         *schema           `json:"items"`
	Enum          []string          `json:"enum"`
	Pattern       string            `json:"pattern"`
	Minimum       *float64          `json:"minimum"`
	Maximum       *float64          `json:"maximum"`
	MinLength     int               `json:"minLength"`
	MaxLength     *int              `json:"maxLength"`
	MinItems      int               `json:"minItems"`
	MaxItems      *int              `json:"maxItems"`
	MaxProperties *int              `json:"maxProperties"`
	// Rules are the CEL validation rules.
	Rules []struct {
		Rule string `json:"rule"`
	} `json:"x-kubernetes-validations"`
	// AnyFields means that it is a map without a schema for its values.
	AnyFields bool `json:"x-kubernetes-preserve-unknown-fields"`
}

// specSchema reads the schema of a spec from the CRD.
func specSchema(t *testing.T) schema {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(framework.Root(), "config", "crd", "bases", "*.yaml"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the CRDs are %v, %v, want one", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema schema `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	if len(spec.Properties) == 0 {
		t.Fatal("the CRD has no schema for spec")
	}
	return spec
}

// generator generates values from schemas; the same seed yields the same values.
type generator struct{ *rand.Rand }

func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

// names returns the names of the properties in a stable order.
func (s schema) names() []string {
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// valid returns a value that the schema accepts, often one at its bounds.
func (g generator) valid(s schema) any {
	switch {
	case len(s.Enum) > 0:
		return pick(g, s.Enum...)
	case s.Type == "boolean":
		return g.chance(50)
	case s.Type == "integer":
		low, high := s.bounds()
		return pick(g, low, high, low+1, low+g.Int64N(high-low))
	case s.Type == "string":
		return g.text(s, pick(g, max(s.MinLength, 1), s.longest(), max(s.MinLength, 1)+g.IntN(20)))
	case s.Type == "array":
		items := make([]any, max(s.MinItems, pick(g, 1, 2, 3)))
		for i := range items {
			items[i] = g.valid(*s.Items)
		}
		return items
	case s.AnyFields:
		return g.attributes(s)
	}
	fields := map[string]any{}
	for _, name := range s.names() {
		if slices.Contains(s.Required, name) || g.chance(40) {
			fields[name] = g.valid(s.Properties[name])
		}
	}
	return fields
}

// bounds returns the smallest and the largest number that the schema accepts.
func (s schema) bounds() (low, high int64) {
	low, high = math.MinInt32, math.MaxInt32
	if s.Minimum != nil {
		low = int64(*s.Minimum)
	}
	if s.Maximum != nil {
		high = int64(*s.Maximum)
	}
	return low, high
}

func (s schema) longest() int {
	if s.MaxLength == nil {
		return 300
	}
	return *s.MaxLength
}

// takes reports whether a string matches the pattern, and the rule for names if there is one. All other
// rules concern several fields.
func (s schema) takes(text string) bool {
	for _, rule := range s.Rules {
		if strings.Contains(rule.Rule, "dns1123Subdomain") && len(validation.IsDNS1123Subdomain(text)) > 0 {
			return false
		}
	}
	return regexp.MustCompile(s.Pattern).MatchString(text)
}

// text returns a string of a length, which the schema accepts.
func (g generator) text(s schema, length int) string {
	for _, alphabet := range []string{"abcXYZ019_-.:", "abcXYZ019_-", "abc019"} {
		for range 20 {
			if text := g.letters(alphabet, length); s.takes(text) {
				return text
			}
		}
	}
	panic(fmt.Sprintf("no string matches %q and %v", s.Pattern, s.Rules))
}

func (g generator) letters(alphabet string, length int) string {
	var text strings.Builder
	for range length {
		text.WriteByte(alphabet[g.IntN(len(alphabet))])
	}
	return text.String()
}

// The limits of attributes, which no schema can express.
const longestKey, longestValue = 64, 512

// attributes returns a valid spec.attributes.
func (g generator) attributes(s schema) map[string]any {
	fields := map[string]any{}
	for range pick(g, 1, 3, *s.MaxProperties) {
		key := g.letters("abcdefghij", pick(g, 1, 8, longestKey))
		fields[key] = pick[any](g, g.chance(50), g.Int64N(1000), 0.5+float64(g.IntN(9)), "", g.letters("abc é"[:4], longestValue))
	}
	return fields
}
