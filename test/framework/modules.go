// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"testing"
)

// FromModule returns a file of a Go module, such as the CRD of another project. The checksum is that of a go.sum.
func FromModule(t testing.TB, module, sum, file string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module)
	command.Dir = t.TempDir() // outside a module, go downloads no dependencies
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("downloading %s: %v: %s", module, err, output)
	}
	// go prints its progress before the JSON.
	var downloaded struct{ Zip, Sum string }
	if err := json.Unmarshal(output[strings.Index(string(output), "{"):], &downloaded); err != nil {
		t.Fatalf("downloading %s: %v: %s", module, err, output)
	}
	if downloaded.Sum != sum {
		t.Fatalf("%s has the checksum %s, want %s", module, downloaded.Sum, sum)
	}
	archive, err := zip.OpenReader(downloaded.Zip)
	if err != nil {
		t.Fatal(err)
	}
	content, err := fs.ReadFile(archive, module+"/"+file)
	if err = errors.Join(err, archive.Close()); err != nil {
		t.Fatal(err)
	}
	return content
}
