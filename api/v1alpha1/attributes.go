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

// Attributes are key-value pairs that are stored with a file. A file search can filter by them. At
// most 16, with keys of at most 64 characters.
type Attributes map[string]AttributeValue

// AttributeValue is a string of at most 512 characters, a number or a boolean. It keeps the JSON
// that it was decoded from, because a float64 cannot represent every number.
type AttributeValue struct {
	// Raw is the value in JSON.
	Raw json.RawMessage `json:"-"`
}

// MarshalJSON implements json.Marshaler.
func (v AttributeValue) MarshalJSON() ([]byte, error) {
	if len(v.Raw) == 0 {
		return []byte("null"), nil
	}
	return v.Raw, nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (v *AttributeValue) UnmarshalJSON(data []byte) error {
	v.Raw = bytes.Clone(data)
	return nil
}

// Scalar returns the value as a string, a bool or a json.Number, which keeps every digit. It returns
// an error if an attribute cannot have the value.
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
