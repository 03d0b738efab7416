// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

const crdPath = "config/crd/bases/vector-store-operator.dev_vectorstorefilebatches.yaml"

// reference is docs/reference.md.
func reference(root string) (string, error) {
	content, err := os.ReadFile(filepath.Join(root, crdPath))
	if err != nil {
		return "", fmt.Errorf("reading the CRD: %w", err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(content, &crd); err != nil {
		return "", fmt.Errorf("reading %s: %w", crdPath, err)
	}
	p := &page{}
	p.say("<!-- Written by `make docs`: change the doc comments in api/v1alpha1 or the flags in cmd/manager, and run it again. -->")
	p.say("")
	p.say("# Reference")
	p.say("")
	p.say("Every field, condition, reason and flag, from the code. [The page of the Kind](vectorstorefilebatch.md) explains them, with examples.")
	p.kind(&crd)
	if err := p.names(filepath.Join(root, "api", "v1alpha1")); err != nil {
		return "", err
	}
	if err := p.flags(root); err != nil {
		return "", err
	}
	return p.text.String(), nil
}

// page is a page of Markdown that is being written.
type page struct{ text strings.Builder }

func (p *page) say(format string, args ...any) { fmt.Fprintf(&p.text, format+"\n", args...) }

func (p *page) heading(level int, title string) {
	p.say("\n%s %s\n", strings.Repeat("#", level), title)
}

// table writes rows below a header.
func (p *page) table(header []string, rows [][]string) {
	p.say("| %s |", strings.Join(header, " | "))
	p.say("|%s", strings.Repeat(" --- |", len(header)))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = strings.ReplaceAll(strings.Join(strings.Fields(cell), " "), "|", `\|`)
		}
		p.say("| %s |", strings.Join(row, " | "))
	}
}

// code is a text in backquotes; nothing stays nothing.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// kind writes what the CRD says of the Kind.
func (p *page) kind(crd *apiextensionsv1.CustomResourceDefinition) {
	names, version := crd.Spec.Names, crd.Spec.Versions[0]
	p.heading(2, names.Kind)
	p.say("%s\n", strings.Join(strings.Fields(version.Schema.OpenAPIV3Schema.Description), " "))
	p.table([]string{"", ""}, [][]string{
		{"apiVersion", code(crd.Spec.Group + "/" + version.Name)},
		{"scope", string(crd.Spec.Scope)},
		{"names", code(names.Plural) + ", " + code(names.Singular) + ", " + code(strings.Join(names.ShortNames, ", "))},
		{"categories", code(strings.Join(names.Categories, ", "))},
		{"field selectors", selectors(version.SelectableFields)},
	})
	root := version.Schema.OpenAPIV3Schema
	for _, name := range []string{"spec", "status"} {
		property := root.Properties[name]
		p.object(name, &property)
	}
	p.heading(3, "Columns of kubectl get")
	var rows [][]string
	for _, column := range version.AdditionalPrinterColumns {
		wide := ""
		if column.Priority > 0 {
			wide = "with `-o wide`"
		}
		rows = append(rows, []string{column.Name, code(column.JSONPath), column.Description, wide})
	}
	p.table([]string{"column", "from", "meaning", ""}, rows)
}

func selectors(fields []apiextensionsv1.SelectableField) string {
	var words []string
	for _, field := range fields {
		words = append(words, code(strings.TrimPrefix(field.JSONPath, ".")))
	}
	return strings.Join(words, ", ")
}
