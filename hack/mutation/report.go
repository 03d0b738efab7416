// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// survivor is a mutant that no test can notice, or that is not worth a test.
type survivor struct {
	// File is the path of the file.
	File string `json:"file"`
	// Mutation is the type of the mutant, as gremlins names it.
	Mutation string `json:"mutation"`
	// At is the line of the source, with ▸ before the operator that is changed.
	At string `json:"at"`
	// Reason says why it survives.
	Reason string `json:"reason"`
}

func (s survivor) is(m mutant) bool { return s.File == m.file && s.Mutation == m.kind && s.At == m.at }

// readList reads a list from a YAML file.
func readList[T any](name string) ([]T, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var list []T
	if err := yaml.UnmarshalStrict(content, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

func readSurvivors(name string) ([]survivor, error) {
	survivors, err := readList[survivor](name)
	if err != nil {
		return nil, err
	}
	for _, s := range survivors {
		if s.Reason == "" {
			return nil, fmt.Errorf("%s: %s in %s has no reason", name, s.Mutation, s.File)
		}
	}
	return survivors, nil
}

// mutant is a changed operator.
type mutant struct {
	file, kind, at string
	line           int
	survived       bool
}

// report is the result of a folder or a file.
type report struct {
	name    string
	mutants []mutant
}

func (r report) survivors() []mutant {
	return slices.DeleteFunc(slices.Clone(r.mutants), func(m mutant) bool { return !m.survived })
}

// readReport reads the output of gremlins. It omits mutants that do not build.
func readReport(name, source, folder string) (report, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return report{}, err
	}
	var output struct {
		Files []struct {
			FileName  string `json:"file_name"`
			Mutations []struct {
				Type   string `json:"type"`
				Status string `json:"status"`
				Line   int    `json:"line"`
				Column int    `json:"column"`
			} `json:"mutations"`
		} `json:"files"`
	}
	if err := json.Unmarshal(content, &output); err != nil {
		return report{}, err
	}
	r := report{name: folder}
	for _, file := range output.Files {
		text, err := os.ReadFile(filepath.Join(source, folder, file.FileName))
		if err != nil {
			return report{}, err
		}
		lines := strings.Split(string(text), "\n")
		for _, m := range file.Mutations {
			if m.Status == "NOT VIABLE" {
				continue
			}
			line := lines[m.Line-1]
			r.mutants = append(r.mutants, mutant{
				file: path.Join(folder, file.FileName), kind: m.Type, line: m.Line,
				at:       strings.TrimSpace(line[:m.Column-1] + "▸" + line[m.Column-1:]),
				survived: m.Status != "KILLED" && m.Status != "TIMED OUT",
			})
		}
	}
	if len(r.mutants) == 0 {
		return report{}, errors.New("gremlins found no mutants")
	}
	return r, nil
}
