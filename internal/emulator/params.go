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

// object is a JSON object of a request, with its path for error messages.
type object struct {
	path   string
	fields map[string]any
}

// parseObject reads a body, which has to be one JSON object with no other fields than known.
func parseObject(body []byte, known ...string) (object, *apiError) {
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
	o := object{fields: fields}
	return o, o.only(known...)
}

// only refuses fields that are not known.
func (o object) only(known ...string) *apiError {
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		if !slices.Contains(known, name) {
			return badRequest(o.at(name), "unknown_parameter", "Unknown parameter: '%s'.", o.at(name))
		}
	}
	return nil
}

// at is the path of a field: files[0].file_id.
func (o object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

// has takes null for absence.
func (o object) has(name string) bool { return o.fields[name] != nil }

func (o object) object(name string) (object, *apiError) {
	fields, ok := o.fields[name].(map[string]any)
	if !ok {
		return object{}, wrongType(o.at(name), "an object", o.fields[name])
	}
	return object{path: o.at(name), fields: fields}, nil
}

// array is a list of 1 to limit items.
func (o object) array(name string, limit int) ([]any, *apiError) {
	items, ok := o.fields[name].([]any)
	if !ok {
		return nil, wrongType(o.at(name), "an array", o.fields[name])
	}
	if len(items) == 0 {
		return nil, badRequest(o.at(name), "empty_array",
			"Invalid '%s': empty array. Expected an array with minimum length 1, but got an empty array instead.", o.at(name))
	}
	if len(items) > limit {
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
	n, err := strconv.Atoi(number.String())
	if err != nil {
		return 0, wrongType(o.at(name), "an integer", o.fields[name])
	}
	if n < low {
		return 0, belowMinimum(o.at(name), low, n)
	}
	if n > high {
		return 0, aboveMaximum(o.at(name), high, n)
	}
	return n, nil
}

// chunking reads chunking_strategy; leaving it out means auto.
func (o object) chunking() (chunking, *apiError) {
	auto := chunking{Type: "static", Static: staticChunking{MaxTokens: autoChunkTokens, OverlapTokens: autoOverlapTokens}}
	if !o.has("chunking_strategy") {
		return auto, nil
	}
	strategy, bad := o.object("chunking_strategy")
	if bad != nil {
		return chunking{}, bad
	}
	kind, bad := strategy.text("type")
	if bad != nil {
		return chunking{}, bad
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
	if bad := o.only("type", "static"); bad != nil {
		return chunking{}, bad
	}
	if !o.has("static") {
		return chunking{}, missing(o.at("static"))
	}
	static, bad := o.object("static")
	if bad != nil {
		return chunking{}, bad
	}
	if bad := static.only("max_chunk_size_tokens", "chunk_overlap_tokens"); bad != nil {
		return chunking{}, bad
	}
	size, bad := static.integer("max_chunk_size_tokens", minChunkTokens, maxChunkTokens)
	if bad != nil {
		return chunking{}, bad
	}
	overlap, bad := static.integer("chunk_overlap_tokens", 0, maxChunkTokens)
	if bad != nil {
		return chunking{}, bad
	}
	if 2*overlap > size {
		return chunking{}, badRequest(static.at("chunk_overlap_tokens"), "invalid_value",
			"Invalid '%s': %d is more than half of max_chunk_size_tokens, which is %d.",
			static.at("chunk_overlap_tokens"), overlap, size)
	}
	return chunking{Type: "static", Static: staticChunking{MaxTokens: size, OverlapTokens: overlap}}, nil
}

// attributes reads what may be attached to a file: strings, numbers and booleans.
func (o object) attributes() (map[string]any, *apiError) {
	return o.pairs("attributes", func(path string, value any) *apiError {
		switch v := value.(type) {
		case json.Number, bool:
			return nil
		case string:
			return shortEnough(path, v)
		}
		return wrongType(path, "a string, a number or a boolean", value)
	})
}

// metadata reads what may be attached to a vector store: strings only.
func (o object) metadata() (map[string]any, *apiError) {
	return o.pairs("metadata", func(path string, value any) *apiError {
		s, ok := value.(string)
		if !ok {
			return wrongType(path, "a string", value)
		}
		return shortEnough(path, s)
	})
}

func (o object) pairs(name string, check func(path string, value any) *apiError) (map[string]any, *apiError) {
	if !o.has(name) {
		return map[string]any{}, nil
	}
	pairs, bad := o.object(name)
	if bad != nil {
		return nil, bad
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
		if bad := check(pairs.at(key), pairs.fields[key]); bad != nil {
			return nil, bad
		}
	}
	return pairs.fields, nil
}

func shortEnough(path, s string) *apiError {
	if n := utf8.RuneCountInString(s); n > maxAttributeValue {
		return tooLong(path, "string", "string_above_max_length", maxAttributeValue, n)
	}
	return nil
}

func (o object) expiryDays() (int, *apiError) {
	if !o.has("expires_after") {
		return 0, nil
	}
	after, bad := o.object("expires_after")
	if bad != nil {
		return 0, bad
	}
	if bad := after.only("anchor", "days"); bad != nil {
		return 0, bad
	}
	anchor, bad := after.text("anchor")
	if bad != nil {
		return 0, bad
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
