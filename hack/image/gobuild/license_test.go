// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gobuild

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	isc = `ISC License

Copyright (c) 2026 Example

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
	unknown = "You may use this on Thursdays, if you ask first.\n"
)

func TestLicenses(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		// wantErr is a substring of the error; empty if there is none.
		wantErr string
		texts   []string
	}{
		"allowed":                       {files: map[string]string{"LICENSE": isc}, texts: []string{"LICENSE"}},
		"British spelling":              {files: map[string]string{"Licence.txt": isc, "license.go": "package x"}, texts: []string{"Licence.txt"}},
		"license and notice":            {files: map[string]string{"LICENSE": isc, "NOTICE": unknown, "README.md": "x"}, texts: []string{"LICENSE", "NOTICE"}},
		"linked package":                {files: map[string]string{"LICENSE": isc, "used/COPYING": isc}, texts: []string{"LICENSE", "used/COPYING"}},
		"package that is not linked":    {files: map[string]string{"LICENSE": isc, "unused/LICENSE": gpl}, texts: []string{"LICENSE"}},
		"none":                          {files: map[string]string{"README": isc}, wantErr: "no license"},
		"not allowed":                   {files: map[string]string{"LICENSE": gpl}, wantErr: "license GPL-3.0-or-later is not one of"},
		"linked package, not allowed":   {files: map[string]string{"LICENSE": isc, "used/LICENSE": gpl}, wantErr: "used/LICENSE"},
		"unknown":                       {files: map[string]string{"LICENSE": unknown}, wantErr: "0% of the text is a known license (none)"},
		"additional conditions":         {files: map[string]string{"LICENSE": isc + strings.Repeat(unknown, 10)}, wantErr: "is a known license (ISC)"},
		"allowed and not, in one file":  {files: map[string]string{"LICENSE": isc + gpl}, wantErr: "GPL-3.0-or-later"},
		"notice only":                   {files: map[string]string{"NOTICE": isc}, wantErr: "no license"},
		"allowed and not, in two files": {files: map[string]string{"LICENSE": isc, "LICENSE-OTHER": gpl}, wantErr: "LICENSE-OTHER"},
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
			module, err := source{module: Module{Path: "example.com/m", Version: "v1.0.0"}, root: root, packages: []string{used}}.readLicenses()
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) || !strings.Contains(err.Error(), "example.com/m@v1.0.0") {
					t.Errorf("got error %v, want one with the module and %q", err, test.wantErr)
				}
				return
			}
			var texts []string
			for _, text := range module.Texts {
				texts = append(texts, text.Path)
			}
			if err != nil || !slices.Equal(module.Licenses, []string{"ISC"}) || !slices.Equal(texts, test.texts) {
				t.Errorf("got texts %v with licenses %v (error %v), want %v", texts, module.Licenses, err, test.texts)
			}
		})
	}
}
