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

// constant is a string constant of the API with its doc comment.
type constant struct{ name, value, doc string }

// constants writes the conditions, the reasons, and the other string constants of the API.
func (p *page) constants(dir string) error {
	constants, err := parseConstants(dir)
	if err != nil {
		return err
	}
	for _, section := range []struct {
		title, prefix, header string
		link                  bool
	}{
		{"Conditions", "Condition", "condition", false},
		{"Reasons", "Reason", "reason", true},
		{"Annotations", "Annotation", "annotation", false},
		{"Finalizer", "Finalizer", "finalizer", false},
		{"Secret keys", "SecretKey", "key", false},
	} {
		p.heading(2, section.title)
		var rows [][]string
		for _, c := range constants {
			if !strings.HasPrefix(c.name, section.prefix) {
				continue
			}
			name := code(c.value)
			if section.link {
				name = fmt.Sprintf("[%s](../operations/runbook.md#%s)", name, strings.ToLower(c.value))
			}
			rows = append(rows, []string{name, c.doc})
		}
		p.table([]string{section.header, "description"}, rows)
	}
	return nil
}

// parseConstants returns the string constants of a package, in the order of the source.
func parseConstants(dir string) ([]constant, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	var constants []constant
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("parsing the API: %w", err)
		}
		constants = append(constants, constantsOf(file)...)
	}
	return constants, nil
}

func constantsOf(file *ast.File) []constant {
	var constants []constant
	for _, declaration := range file.Decls {
		group, isGroup := declaration.(*ast.GenDecl)
		if !isGroup || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			if c, isString := constantOf(group, spec); isString {
				constants = append(constants, c)
			}
		}
	}
	return constants
}

// constantOf returns the constant of a spec, and whether its value is a string literal.
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

// sentence returns a doc comment without the name of the constant.
func sentence(name, doc string) string {
	doc = strings.Join(strings.Fields(doc), " ")
	for _, lead := range []string{name + ": ", name + " is ", name + " means that ", name + " means ", name + " "} {
		if rest, found := strings.CutPrefix(doc, lead); found {
			return rest
		}
	}
	return doc
}
