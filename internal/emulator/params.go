// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// object is a JSON object of a request. Error messages contain its path.
type object struct {
	path   string
	fields map[string]any
	// rules are the server's.
	rules *Behaviors
}

// parseObject parses a body, which must be one JSON object with no fields except the known ones, unless the rules ignore them.
func parseObject(rules *Behaviors, body []byte, known ...string) (object, *apiError) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return object{}, badRequest("", "", "The body of the request is not valid JSON.")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return object{}, badRequest("", "", "The body of the request is not valid JSON: something follows its end.")
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return object{}, badRequest("", "invalid_type", "The body of the request has to be a JSON object.")
	}
	o := object{fields: fields, rules: rules}
	return o, o.only(known...)
}

// only rejects unknown fields.
func (o object) only(known ...string) *apiError {
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		if !o.rules.UnknownFields && !slices.Contains(known, name) {
			return badRequest(o.at(name), "unknown_parameter", "Unknown parameter: '%s'.", o.at(name))
		}
	}
	return nil
}

// at returns the path of a field, such as files[0].file_id.
func (o object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

// has reports whether a field is set; null counts as absent.
func (o object) has(name string) bool { return o.fields[name] != nil }

func (o object) object(name string) (object, *apiError) {
	fields, ok := o.fields[name].(map[string]any)
	if !ok {
		return object{}, wrongType(o.at(name), "an object", o.fields[name])
	}
	return object{path: o.at(name), fields: fields, rules: o.rules}, nil
}

// empty reports whether a field is absent or an empty list.
func (o object) empty(name string) bool {
	items, isList := o.fields[name].([]any)
	return !o.has(name) || isList && len(items) == 0
}

// array returns a list of 1 to limit items.
func (o object) array(name string, limit int) ([]any, *apiError) {
	items, ok := o.fields[name].([]any)
	if !ok {
		return nil, wrongType(o.at(name), "an array", o.fields[name])
	}
	if len(items) == 0 {
		return nil, badRequest(o.at(name), "empty_array",
			"Invalid '%s': empty array. Expected an array with minimum length 1, but got an empty array instead.", o.at(name))
	}
	if limit >= 0 && len(items) > limit {
		return nil, tooLong(o.at(name), "array", "array_above_max_length", limit, len(items))
	}
	return items, nil
}

func (o object) text(name string) (string, *apiError) {
	if !o.has(name) {
		return "", missing(o.at(name))
	}
	s, ok := o.fields[name].(string)
	if !ok {
		return "", wrongType(o.at(name), "a string", o.fields[name])
	}
	return s, nil
}

func (o object) integer(name string, low, high int) (int, *apiError) {
	if !o.has(name) {
		return 0, missing(o.at(name))
	}
	number, ok := o.fields[name].(json.Number)
	if !ok {
		return 0, wrongType(o.at(name), "an integer", o.fields[name])
	}
	return parseInteger(o.at(name), number, low, high)
}

// parseInteger parses a parameter of a body, a query or a form.
func parseInteger[T ~string](param string, value T, low, high int) (int, *apiError) {
	n, err := strconv.Atoi(string(value))
	switch {
	case err != nil:
		return 0, wrongType(param, "an integer", value)
	case n < low:
		return 0, belowMinimum(param, low, n)
	case n > high:
		return 0, aboveMaximum(param, high, n)
	}
	return n, nil
}

func autoChunking() chunking {
	return chunking{Type: "static", Static: &staticChunking{MaxTokens: autoChunkTokens, OverlapTokens: autoOverlapTokens}, auto: true}
}

// chunking parses chunking_strategy; auto is the default.
func (o object) chunking() (chunking, *apiError) {
	auto := autoChunking()
	if !o.has("chunking_strategy") {
		return auto, nil
	}
	strategy, apiErr := o.object("chunking_strategy")
	if apiErr != nil {
		return chunking{}, apiErr
	}
	kind, apiErr := strategy.text("type")
	if apiErr != nil {
		return chunking{}, apiErr
	}
	switch kind {
	case "auto":
		return auto, strategy.only("type")
	case "static":
		return strategy.static()
	}
	return chunking{}, badRequest(strategy.at("type"), "invalid_value",
		"Invalid value: '%s'. Supported values are: 'auto' and 'static'.", kind)
}

func (o object) static() (chunking, *apiError) {
	if apiErr := o.only("type", "static"); apiErr != nil {
		return chunking{}, apiErr
	}
	if !o.has("static") {
		return chunking{}, missing(o.at("static"))
	}
	static, apiErr := o.object("static")
	if apiErr != nil {
		return chunking{}, apiErr
	}
	if apiErr := static.only("max_chunk_size_tokens", "chunk_overlap_tokens"); apiErr != nil {
		return chunking{}, apiErr
	}
	size, apiErr := static.integer("max_chunk_size_tokens", minChunkTokens, maxChunkTokens)
	if apiErr != nil {
		return chunking{}, apiErr
	}
	overlap, apiErr := static.integer("chunk_overlap_tokens", 0, maxChunkTokens)
	if apiErr != nil {
		return chunking{}, apiErr
	}
	if 2*overlap > size && !o.rules.UnknownFields {
		return chunking{}, badRequest(static.at("chunk_overlap_tokens"), "invalid_value",
			"Invalid '%s': %d is more than half of max_chunk_size_tokens, which is %d.",
			static.at("chunk_overlap_tokens"), overlap, size)
	}
	return chunking{Type: "static", Static: &staticChunking{MaxTokens: size, OverlapTokens: overlap}}, nil
}

// attributes parses the attributes of a file: strings, numbers and booleans.
func (o object) attributes() (map[string]any, *apiError) {
	return o.pairs("attributes", func(path string, value any) *apiError {
		switch v := value.(type) {
		case json.Number, bool:
			return nil
		case string:
			return checkLength(path, v)
		}
		return wrongType(path, "a string, a number or a boolean", value)
	})
}

// metadata parses the metadata of a vector store: strings only.
func (o object) metadata() (map[string]any, *apiError) {
	return o.pairs("metadata", func(path string, value any) *apiError {
		s, ok := value.(string)
		if !ok {
			return wrongType(path, "a string", value)
		}
		return checkLength(path, s)
	})
}

func (o object) pairs(name string, check func(path string, value any) *apiError) (map[string]any, *apiError) {
	if !o.has(name) {
		return map[string]any{}, nil
	}
	pairs, apiErr := o.object(name)
	if apiErr != nil {
		return nil, apiErr
	}
	if n := len(pairs.fields); n > maxAttributes {
		return nil, badRequest(pairs.path, "object_above_max_properties",
			"Invalid '%s': too many properties. Expected an object with at most %d properties, but got an object with %d properties instead.",
			pairs.path, maxAttributes, n)
	}
	for _, key := range slices.Sorted(maps.Keys(pairs.fields)) {
		if n := utf8.RuneCountInString(key); n > maxAttributeKey {
			return nil, tooLong(pairs.path, "key", "string_above_max_length", maxAttributeKey, n)
		}
		if apiErr := check(pairs.at(key), pairs.fields[key]); apiErr != nil {
			return nil, apiErr
		}
	}
	return pairs.fields, nil
}

func checkLength(path, s string) *apiError {
	if n := utf8.RuneCountInString(s); n > maxAttributeValue {
		return tooLong(path, "string", "string_above_max_length", maxAttributeValue, n)
	}
	return nil
}

func (o object) expiryDays() (int, *apiError) {
	if !o.has("expires_after") {
		return 0, nil
	}
	after, apiErr := o.object("expires_after")
	if apiErr != nil {
		return 0, apiErr
	}
	if apiErr := after.only("anchor", "days"); apiErr != nil {
		return 0, apiErr
	}
	anchor, apiErr := after.text("anchor")
	if apiErr != nil {
		return 0, apiErr
	}
	if anchor != "last_active_at" {
		return 0, badRequest(after.at("anchor"), "invalid_value",
			"Invalid value: '%s'. Supported values are: 'last_active_at'.", anchor)
	}
	return after.integer("days", 1, 365)
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("%T", v)
}
