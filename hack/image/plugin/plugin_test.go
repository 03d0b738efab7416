// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// build builds the archives of a program that builds fast, and returns their directory.
func build(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	o := options{root: root, program: "./cmd/emulator", version: "v1.2.3", downloads: "https://example.com/download",
		output: t.TempDir(), created: time.Unix(1700000000, 0), platforms: []string{"linux/amd64", "windows/amd64"}}
	if err := o.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return o.output
}

func contentOf(t *testing.T, path ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestArchives_ContainProgramAndLicenses(t *testing.T) {
	dir := build(t)
	compressed, err := gzip.NewReader(bytes.NewReader(contentOf(t, dir, "kubectl-vsfb_v1.2.3_linux_amd64.tar.gz")))
	if err != nil {
		t.Fatal(err)
	}
	var inTarball []string
	for reader := tar.NewReader(compressed); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		inTarball = append(inTarball, header.Name)
	}
	archive, err := zip.OpenReader(filepath.Join(dir, "kubectl-vsfb_v1.2.3_windows_amd64.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	var inZip []string
	for _, file := range archive.File {
		inZip = append(inZip, file.Name)
	}
	for program, names := range map[string][]string{"kubectl-vsfb": inTarball, "kubectl-vsfb.exe": inZip} {
		if !slices.Contains(names, program) || !slices.Contains(names, "LICENSE") || !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, "licenses/std@") }) {
			t.Errorf("got files %v, want %s, LICENSE and the license of Go", names, program)
		}
	}
}

func TestKrewManifest_MatchesArchives(t *testing.T) {
	dir := build(t)
	found := regexp.MustCompile(`uri: https://example.com/download/v1.2.3/(\S+)\n    sha256: (\S+)\n    bin: (\S+)`).FindAllStringSubmatch(string(contentOf(t, dir, "vsfb.yaml")), -1)
	if len(found) != 2 {
		t.Fatalf("the manifest has %d archives, want 2", len(found))
	}
	for _, match := range found {
		sum := sha256.Sum256(contentOf(t, dir, match[1]))
		if got := hex.EncodeToString(sum[:]); got != match[2] {
			t.Errorf("%s has the checksum %s, want %s as in the manifest", match[1], got, match[2])
		}
	}
}

func TestArchives_AreReproducible(t *testing.T) {
	first, second := build(t), build(t)
	for _, name := range []string{"kubectl-vsfb_v1.2.3_linux_amd64.tar.gz", "kubectl-vsfb_v1.2.3_windows_amd64.zip", "vsfb.yaml"} {
		if !bytes.Equal(contentOf(t, first, name), contentOf(t, second, name)) {
			t.Errorf("%s differs", name)
		}
	}
}
