// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command chart writes the descriptions of the values into values.schema.json, from the comments in values.yaml
// that begin with "--". helm-docs writes the same descriptions into the README of the chart.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: chart FOLDER")
		os.Exit(2)
	}
	if err := describe(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

// describe rewrites the schema of the chart in a folder.
func describe(folder string) error {
	values, err := read(filepath.Join(folder, "values.yaml"))
	if err != nil {
		return err
	}
	path := filepath.Join(folder, "values.schema.json")
	schema, err := read(path) // JSON is YAML, and a node keeps the order
	if err != nil {
		return err
	}
	if err := annotate("", values, schema); err != nil {
		return err
	}
	var compact, indented bytes.Buffer
	if err := write(&compact, schema); err != nil {
		return err
	}
	if err := json.Indent(&indented, compact.Bytes(), "", "  "); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	indented.WriteByte('\n')
	return os.WriteFile(path, indented.Bytes(), 0o644) //nolint:gosec // it is published
}

func read(path string) (*yaml.Node, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return document.Content[0], nil
}

// description matches the description in the comment above a value.
var description = regexp.MustCompile(`(?m)^# -- (.+)$`)

// annotate describes the properties of a schema as the values are.
func annotate(path string, values, schema *yaml.Node) error {
	properties := field(schema, "properties")
	if properties == nil {
		return nil
	}
	for i := 0; i < len(values.Content); i += 2 {
		key, value := values.Content[i], values.Content[i+1]
		name := strings.TrimPrefix(path+"."+key.Value, ".")
		property := field(properties, key.Value)
		if property == nil {
			return fmt.Errorf("the schema has no property %s", name)
		}
		if match := description.FindStringSubmatch(key.HeadComment); match != nil {
			set(property, "description", match[1])
			continue
		}
		if value.Kind != yaml.MappingNode {
			return fmt.Errorf("values.yaml does not describe %s", name)
		}
		if err := annotate(name, value, property); err != nil {
			return err
		}
	}
	return nil
}

// field returns the value of a key of a mapping, or nil.
func field(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// set sets a key of a mapping to a string.
func set(mapping *yaml.Node, key, value string) {
	if existing := field(mapping, key); existing != nil {
		existing.SetString(value)
		return
	}
	var name, text yaml.Node
	name.SetString(key)
	text.SetString(value)
	mapping.Content = append(mapping.Content, &name, &text)
}

// write writes a node as JSON.
func write(out *bytes.Buffer, node *yaml.Node) error {
	switch node.Kind {
	case yaml.MappingNode:
		out.WriteByte('{')
		for i := 0; i < len(node.Content); i += 2 {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := scalar(out, node.Content[i].Value); err != nil {
				return err
			}
			out.WriteByte(':')
			if err := write(out, node.Content[i+1]); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, element := range node.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := write(out, element); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case yaml.ScalarNode:
		var value any
		if err := node.Decode(&value); err != nil {
			return fmt.Errorf("reading %q: %w", node.Value, err)
		}
		return scalar(out, value)
	case yaml.DocumentNode, yaml.AliasNode:
		return errors.New("the schema has an alias")
	}
	return nil
}

func scalar(out *bytes.Buffer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("writing %v: %w", value, err)
	}
	out.Truncate(out.Len() - 1) // the line break
	return nil
}
