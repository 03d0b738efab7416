// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Attributes are key-value pairs attached to a file, for filtering a search: at most 16, with
// keys of at most 64 characters. A value is a string of at most 512 characters, a number or a
// boolean.
type Attributes map[string]AttributeValue

// AttributeValue is a string, a number or a boolean, as JSON.
type AttributeValue struct {
	// Raw is the value in JSON, as it was written.
	Raw json.RawMessage `json:"-"`
}

// MarshalJSON writes the value as it was read.
func (v AttributeValue) MarshalJSON() ([]byte, error) {
	if len(v.Raw) == 0 {
		return []byte("null"), nil
	}
	return v.Raw, nil
}

// UnmarshalJSON keeps the value as it is written.
func (v *AttributeValue) UnmarshalJSON(data []byte) error {
	v.Raw = bytes.Clone(data)
	return nil
}

// Scalar gives the value as a string, a bool or a json.Number, which keeps every digit. Its
// errors say what an attribute's value can be.
func (v AttributeValue) Scalar() (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(v.Raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("must be a string, a number or a boolean: %w", err)
	}
	switch value := value.(type) {
	case string:
		if utf8.RuneCountInString(value) > MaxAttributeValueLength {
			return nil, fmt.Errorf("must be at most %d characters long", MaxAttributeValueLength)
		}
		return value, nil
	case bool, json.Number:
		return value, nil
	default:
		return nil, errors.New("must be a string, a number or a boolean")
	}
}
