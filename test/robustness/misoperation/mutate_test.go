// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package misoperation_test

import (
	"slices"
	"strings"
)

// wrong is a value that its schema rejects.
type wrong struct {
	value any
	// below are the field names on the path from the value to the invalid part; empty if it is the value.
	below []string
}

// invalid returns values that the schema rejects, each for one reason.
func (g generator) invalid(s schema, value any) []wrong {
	at := func(values ...any) []wrong {
		var all []wrong
		for _, value := range values {
			all = append(all, wrong{value: value})
		}
		return all
	}
	switch {
	case len(s.Enum) > 0:
		return at("Bogus", 7, strings.ToLower(s.Enum[0]))
	case s.Type == "boolean":
		return at("yes", 1)
	case s.Type == "integer":
		low, high := s.bounds()
		all := at("1", true, 1.5, map[string]any{})
		if s.Minimum != nil {
			all = append(all, at(low-1)...)
		}
		if s.Maximum != nil || s.Format == "int32" {
			all = append(all, at(high+1)...)
		}
		return all
	case s.Type == "string":
		return at(g.invalidTexts(s)...)
	case s.Type == "array":
		return append(at(g.invalidArrays(s)...), g.inItem(s, value)...)
	case s.AnyFields:
		return at(g.invalidAttributes(s)...)
	}
	return append(at("text", 7, []any{}), g.inFields(s, value)...)
}

func (g generator) invalidTexts(s schema) []any {
	all := []any{12, true, []any{"a"}}
	if s.MinLength > 0 {
		all = append(all, g.letters("a", s.MinLength-1))
	}
	if s.MaxLength != nil {
		all = append(all, g.letters("ab", *s.MaxLength+1))
	}
	if s.Pattern != "" || len(s.Rules) > 0 {
		all = append(all, "a b", "../a", "a/b", "é", "a\n", "%2e")
	}
	return all
}

func (g generator) invalidArrays(s schema) []any {
	all := []any{"text", map[string]any{}}
	if s.MinItems > 0 {
		all = append(all, []any{})
	}
	if s.MaxItems != nil && g.chance(10) { // they are large
		items := make([]any, *s.MaxItems+1)
		for i := range items {
			items[i] = g.valid(*s.Items)
		}
		all = append(all, items)
	}
	return all
}

// inItem returns the array with one invalid item.
func (g generator) inItem(s schema, value any) []wrong {
	items, some := value.([]any)
	if !some || len(items) == 0 {
		return nil
	}
	place := g.IntN(len(items))
	var all []wrong
	for _, spoilt := range g.invalid(*s.Items, items[place]) {
		spoilt.value = slices.Replace(slices.Clone(items), place, place+1, spoilt.value)
		all = append(all, spoilt)
	}
	return all
}

func (g generator) invalidAttributes(s schema) []any {
	tooMany := map[string]any{}
	for len(tooMany) <= *s.MaxProperties {
		tooMany[g.letters("abcdefgh", 9)] = 1
	}
	return []any{
		"text", []any{}, tooMany, map[string]any{"": 1}, map[string]any{"a": map[string]any{}}, map[string]any{"a": []any{1}},
		map[string]any{g.letters("ab", longestKey+1): 1}, map[string]any{"a": g.letters("ab", longestValue+1)},
	}
}

// inFields returns the object without a required field, with an unknown one, or with an invalid one.
func (g generator) inFields(s schema, value any) []wrong {
	fields, some := value.(map[string]any)
	if !some {
		return nil
	}
	all := []wrong{{with(fields, "bogus", 1), []string{"bogus"}}}
	for _, name := range s.Required {
		all = append(all, wrong{with(fields, name, nil), []string{name}})
	}
	for _, name := range s.names() {
		if fields[name] == nil {
			continue
		}
		for _, spoilt := range g.invalid(s.Properties[name], fields[name]) {
			all = append(all, wrong{with(fields, name, spoilt.value), append([]string{name}, spoilt.below...)})
		}
	}
	return all
}

// with returns a copy of an object with one field changed, or removed if the value is nil.
func with(fields map[string]any, name string, value any) map[string]any {
	changed := make(map[string]any, len(fields)+1)
	for key, old := range fields {
		changed[key] = old
	}
	changed[name] = value
	if value == nil {
		delete(changed, name)
	}
	return changed
}

// breakRule violates one of the rules outside the schema. It returns field names of which the message
// must contain one.
func (g generator) breakRule(spec schema, fields map[string]any) wrong {
	static := map[string]any{"maxChunkSizeTokens": 100, "chunkOverlapTokens": 51}
	strategy := pick(g,
		map[string]any{"type": "Static"}, map[string]any{"type": "Auto", "static": with(static, "chunkOverlapTokens", 0)},
		map[string]any{"type": "Static", "static": static})
	sourceless := with(with(with(with(with(fields, "fileIDs", nil), "files", nil), "batchID", nil), "attributes", nil), "chunkingStrategy", nil)
	adopting := with(sourceless, "batchID", "vsfb_1")
	return pick(g,
		wrong{sourceless, []string{"fileIDs"}},
		wrong{with(with(sourceless, "fileIDs", g.valid(spec.Properties["fileIDs"])), "batchID", "vsfb_1"), []string{"batchID"}},
		wrong{with(adopting, "attributes", map[string]any{"a": 1}), []string{"attributes"}},
		wrong{with(adopting, "chunkingStrategy", map[string]any{"type": "Auto"}), []string{"chunkingStrategy"}},
		wrong{with(with(sourceless, "fileIDs", []any{"file-1"}), "chunkingStrategy", strategy), []string{"chunkingStrategy"}},
		wrong{with(sourceless, "files", []any{map[string]any{"fileID": "file-1", "chunkingStrategy": strategy}}), []string{"files", "chunkingStrategy"}},
	)
}
