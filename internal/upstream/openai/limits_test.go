// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestAttributesField_Limits(t *testing.T) {
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprintf(`"key-%02d":%d`, i, i)
	}
	long := strings.Repeat("x", 4096)
	for name, test := range map[string]struct {
		body string
		keys int
		want map[string]any // some of them
	}{
		"types":          {`{"text":"a","flag":true,"number":1.5,"null":null,"list":[1,{"a":2}],"object":{"a":1}}`, 3, map[string]any{"text": "a", "flag": true, "number": 1.5}},
		"long name":      {`{"` + long + `":1}`, 1, map[string]any{long: 1.0}},
		"too long name":  {`{"` + long + `x":1,"a":2}`, 1, map[string]any{"a": 2.0}},
		"long text":      {`{"a":"` + long + `"}`, 1, map[string]any{"a": long}},
		"too long text":  {`{"a":"` + long + `x","b":1}`, 1, map[string]any{"b": 1.0}},
		"64 attributes":  {"{" + strings.Join(many[:64], ",") + "}", 64, map[string]any{"key-63": 63.0}},
		"65 attributes":  {"{" + strings.Join(many, ",") + "}", 64, map[string]any{"key-63": 63.0}},
		"not attributes": {`"text"`, 0, nil},
	} {
		var attributes attributesField
		if err := attributes.read(newScanner(strings.NewReader(test.body), 1000)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(attributes.values) != test.keys {
			t.Errorf("%s: %d attributes, want %d", name, len(attributes.values), test.keys)
		}
		for key, want := range test.want {
			if got := attributes.values[key]; got != want {
				t.Errorf("%s: %.20s is %v, want %v", name, key, got, want)
			}
		}
	}
}

// TestReadPassage_Limits requires that the texts of a result are joined as long as they are shorter than 64 KiB.
func TestReadPassage_Limits(t *testing.T) {
	text := func(length int) string { return strings.Repeat("x", length) }
	for name, test := range map[string]struct {
		texts []string
		want  string
	}{
		"none":         {nil, ""},
		"two":          {[]string{"a", "b"}, "a\nb"},
		"an empty one": {[]string{"", "a", "", "b"}, "a\nb"},
		"the longest":  {[]string{text(40_000), text(25_535)}, text(40_000) + "\n" + text(25_535)},
		"too long":     {[]string{text(40_000), text(25_536), "a"}, text(40_000) + "\na"},
	} {
		var content []map[string]any
		for _, text := range test.texts {
			content = append(content, map[string]any{"type": "text", "text": text})
		}
		body, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := readPassage(newScanner(strings.NewReader(string(body)), 1000), &got); err != nil || got != test.want {
			t.Errorf("%s: %d characters, want %d; error %v", name, len(got), len(test.want), err)
		}
	}
}

func TestDecodeUpload_Limits(t *testing.T) {
	client := testClient()
	for name, test := range map[string]struct {
		fileID, body string
		valid        bool
		size         int64
	}{
		"a new file":      {"", `{"id":"file-1","filename":"a.md","bytes":5}`, true, 5},
		"the file":        {"file-1", `{"id":"file-1","filename":"a.md","bytes":0}`, true, 0},
		"another file":    {"file-2", `{"id":"file-1","filename":"a.md"}`, false, 0},
		"a long name":     {"", `{"id":"file-1","filename":"` + strings.Repeat("x", 4096) + `"}`, true, 0},
		"too long a name": {"", `{"id":"file-1","filename":"` + strings.Repeat("x", 4097) + `"}`, false, 0},
		"a negative size": {"", `{"id":"file-1","bytes":-1}`, true, 0},
		"a huge size":     {"", `{"id":"file-1","bytes":1e300}`, true, 1 << 53},
	} {
		file, err := client.decodeUpload(newScanner(strings.NewReader(test.body), 1000), test.fileID)
		if (err == nil) != test.valid || file.Size != test.size {
			t.Errorf("%s: %d bytes, error %v", name, file.Size, err)
		}
	}
}
