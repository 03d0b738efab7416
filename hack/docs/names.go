// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// constant is a name of the API, with what its doc comment says.
type constant struct{ name, value, doc string }

// names writes the conditions, the reasons and the other names of the API.
func (p *page) names(folder string) error {
	var constants []constant
	for _, file := range []string{"conditions.go", "constants.go"} {
		found, err := constantsOf(filepath.Join(folder, file))
		if err != nil {
			return err
		}
		constants = append(constants, found...)
	}
	for _, section := range []struct {
		title, prefix, header string
		link                  bool
	}{
		{"Conditions", "Condition", "condition", false},
		{"Reasons", "Reason", "reason", true},
		{"Annotations", "Annotation", "annotation", false},
		{"Finalizer", "Finalizer", "finalizer", false},
		{"Keys of the Secret", "SecretKey", "key", false},
	} {
		p.heading(2, section.title)
		var rows [][]string
		for _, c := range constants {
			if !strings.HasPrefix(c.name, section.prefix) {
				continue
			}
			name := code(c.value)
			if section.link {
				name = fmt.Sprintf("[%s](runbook.md#%s)", name, strings.ToLower(c.value))
			}
			rows = append(rows, []string{name, c.doc})
		}
		p.table([]string{section.header, "meaning"}, rows)
	}
	return nil
}

// constantsOf are the constants of a file that are texts, in the order in which they stand.
func constantsOf(path string) ([]constant, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("reading the names of the API: %w", err)
	}
	var constants []constant
	for _, declaration := range file.Decls {
		group, isGroup := declaration.(*ast.GenDecl)
		if !isGroup || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			if c, isText := constantOf(group, spec); isText {
				constants = append(constants, c)
			}
		}
	}
	return constants, nil
}

func constantOf(group *ast.GenDecl, spec ast.Spec) (constant, bool) {
	declared, isValue := spec.(*ast.ValueSpec)
	if !isValue || len(declared.Values) != 1 {
		return constant{}, false
	}
	literal, isLiteral := declared.Values[0].(*ast.BasicLit)
	if !isLiteral || literal.Kind != token.STRING {
		return constant{}, false
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		return constant{}, false
	}
	doc := declared.Doc
	if doc == nil && len(group.Specs) == 1 {
		doc = group.Doc
	}
	return constant{name: declared.Names[0].Name, value: value, doc: sentence(declared.Names[0].Name, doc.Text())}, true
}

// sentence is a doc comment without the constant's name before it.
func sentence(name, doc string) string {
	doc = strings.Join(strings.Fields(doc), " ")
	for _, lead := range []string{name + ": ", name + " is ", name + " means that ", name + " "} {
		if rest, found := strings.CutPrefix(doc, lead); found {
			return rest
		}
	}
	return doc
}
