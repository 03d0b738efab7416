// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	isc = `ISC License

Copyright (c) 2026 Somebody

Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted, provided that the above
copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM
LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR
OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR
PERFORMANCE OF THIS SOFTWARE.
`
	gpl = `This program is free software: you can redistribute it and/or modify it
under the terms of the GNU General Public License as published by the Free
Software Foundation, either version 3 of the License, or (at your option) any
later version.
`
	mine = "You may use this on Thursdays, if you ask first.\n"
)

func TestLicenses(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		// refused is what the error has to say; empty where there is none.
		refused string
		texts   []string
	}{
		"one that is allowed":           {files: map[string]string{"LICENSE": isc}, texts: []string{"LICENSE"}},
		"spelled otherwise":             {files: map[string]string{"Licence.txt": isc, "license.go": "package x"}, texts: []string{"Licence.txt"}},
		"a notice comes along":          {files: map[string]string{"LICENSE": isc, "NOTICE": mine, "README.md": "x"}, texts: []string{"LICENSE", "NOTICE"}},
		"of a package that is linked":   {files: map[string]string{"LICENSE": isc, "used/COPYING": isc}, texts: []string{"LICENSE", "used/COPYING"}},
		"of one that is not":            {files: map[string]string{"LICENSE": isc, "unused/LICENSE": gpl}, texts: []string{"LICENSE"}},
		"none":                          {files: map[string]string{"README": isc}, refused: "there is no licence"},
		"one that is not allowed":       {files: map[string]string{"LICENSE": gpl}, refused: "the licence GPL-3.0-or-later is not one of"},
		"not allowed, of a package":     {files: map[string]string{"LICENSE": isc, "used/LICENSE": gpl}, refused: "used/LICENSE"},
		"one that nobody knows":         {files: map[string]string{"LICENSE": mine}, refused: "0% of it is a known licence (none)"},
		"with conditions of their own":  {files: map[string]string{"LICENSE": isc + strings.Repeat(mine, 10)}, refused: "is a known licence (ISC)"},
		"allowed and not in the same":   {files: map[string]string{"LICENSE": isc + gpl}, refused: "GPL-3.0-or-later"},
		"a notice alone is not enough":  {files: map[string]string{"NOTICE": isc}, refused: "there is no licence"},
		"two files, one is not allowed": {files: map[string]string{"LICENSE": isc, "LICENSE-OTHER": gpl}, refused: "LICENSE-OTHER"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for file, content := range test.files {
				path := filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			used := filepath.Join(root, "used")
			if err := os.MkdirAll(used, 0o755); err != nil {
				t.Fatal(err)
			}
			module, err := source{module: Module{Path: "example.com/m", Version: "v1.0.0"}, root: root, packages: []string{used}}.read()
			if test.refused != "" {
				if err == nil || !strings.Contains(err.Error(), test.refused) || !strings.Contains(err.Error(), "example.com/m@v1.0.0") {
					t.Errorf("got the error %v, want one that names the module and says %q", err, test.refused)
				}
				return
			}
			var texts []string
			for _, text := range module.Texts {
				texts = append(texts, text.Path)
			}
			if err != nil || !slices.Equal(module.Licenses, []string{"ISC"}) || !slices.Equal(texts, test.texts) {
				t.Errorf("got %v with the licences %v (%v), want %v", texts, module.Licenses, err, test.texts)
			}
		})
	}
}
