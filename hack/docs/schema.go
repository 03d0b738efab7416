// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

type schema = apiextensionsv1.JSONSchemaProps

// object writes the fields of the object at a path, its validation rules, and its nested objects.
func (p *page) object(path string, s *schema) {
	p.heading(3, code(path))
	if s.Description != "" {
		p.printf("%s\n", strings.Join(strings.Fields(s.Description), " "))
	}
	var rows [][]string
	names := slices.Sorted(maps.Keys(s.Properties))
	for _, name := range names {
		field := s.Properties[name]
		description := field.Description
		if limits := limitsOf(name, &field, s); limits != "" {
			description += " *" + limits + ".*"
		}
		rows = append(rows, []string{code(name), typeOf(&field), description})
	}
	p.table([]string{"field", "type", "description"}, rows)
	p.rules(s)
	for _, name := range names {
		field := s.Properties[name]
		switch {
		case len(field.Properties) > 0:
			p.object(path+"."+name, &field)
		case field.Items != nil && len(field.Items.Schema.Properties) > 0:
			p.object(path+"."+name+"[]", field.Items.Schema)
		}
	}
}

// rules writes the messages of the validation rules.
func (p *page) rules(s *schema) {
	if len(s.XValidations) == 0 {
		return
	}
	p.printf("\nValidation rules:\n")
	for _, rule := range s.XValidations {
		p.printf("- %s", rule.Message)
	}
}

func typeOf(s *schema) string {
	switch {
	case s.Type == "array":
		return "list of " + typeOf(s.Items.Schema)
	case s.Type == "object" && len(s.Properties) == 0:
		return "map"
	case s.Format == "date-time":
		return "time"
	default:
		return s.Type
	}
}

// limitsOf returns the constraints of a field and its default.
func limitsOf(name string, s, parent *schema) string {
	var limits []string
	add := func(isSet bool, format string, args ...any) {
		if isSet {
			limits = append(limits, fmt.Sprintf(format, args...))
		}
	}
	add(slices.Contains(parent.Required, name), "required")
	add(immutable(s), "immutable")
	add(len(s.Enum) > 0, "one of %s", enumOf(s))
	add(s.Minimum != nil, "at least %.16g", number(s.Minimum))
	add(s.Maximum != nil, "at most %.16g", number(s.Maximum))
	add(s.MinItems != nil || s.MaxItems != nil, "%s items", span(s.MinItems, s.MaxItems))
	add(s.MaxProperties != nil, "%s entries", span(s.MinProperties, s.MaxProperties))
	add(s.MinLength != nil || s.MaxLength != nil, "%s characters", span(s.MinLength, s.MaxLength))
	add(s.Pattern != "", "matches `%s`", s.Pattern)
	if s.Items != nil && s.Items.Schema.Pattern != "" {
		add(true, "each of %s characters that match `%s`", span(s.Items.Schema.MinLength, s.Items.Schema.MaxLength), s.Items.Schema.Pattern)
	}
	if s.Default != nil {
		add(true, "default `%s`", s.Default.Raw)
	}
	return strings.Join(limits, "; ")
}

func immutable(s *schema) bool {
	return slices.ContainsFunc(s.XValidations, func(rule apiextensionsv1.ValidationRule) bool { return rule.Rule == "self == oldSelf" })
}

func enumOf(s *schema) string {
	var words []string
	for _, value := range s.Enum {
		words = append(words, code(strings.Trim(string(value.Raw), `"`)))
	}
	return strings.Join(words, ", ")
}

func number(value *float64) float64 {
	if value == nil {
		return 0
	}
	return *value
}

// span formats a range, such as "1 to 16" or "at most 16".
func span(least, most *int64) string {
	switch {
	case least == nil && most == nil:
		return "any number of"
	case least == nil:
		return fmt.Sprintf("at most %d", *most)
	case most == nil:
		return fmt.Sprintf("at least %d", *least)
	default:
		return fmt.Sprintf("%d to %d", *least, *most)
	}
}
