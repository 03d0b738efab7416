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

// packed runs the program for one that is quickly built, and gives the folder.
func packed(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	s := settings{root: root, program: "./cmd/emulator", version: "v1.2.3", downloads: "https://example.com/download",
		output: t.TempDir(), created: time.Unix(1700000000, 0), platforms: []string{"linux/amd64", "windows/amd64"}}
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.output
}

func contentOf(t *testing.T, path ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestArchivesHoldTheProgramAndLicences(t *testing.T) {
	folder := packed(t)
	compressed, err := gzip.NewReader(bytes.NewReader(contentOf(t, folder, "kubectl-vsfb_v1.2.3_linux_amd64.tar.gz")))
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
	archive, err := zip.OpenReader(filepath.Join(folder, "kubectl-vsfb_v1.2.3_windows_amd64.zip"))
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
			t.Errorf("want %s, LICENSE and the licence of Go among %v", program, names)
		}
	}
}

// TestKrewFindsWhatItsManifestNames holds the manifest against the archives.
func TestKrewFindsWhatItsManifestNames(t *testing.T) {
	folder := packed(t)
	found := regexp.MustCompile(`uri: https://example.com/download/v1.2.3/(\S+)\n    sha256: (\S+)\n    bin: (\S+)`).FindAllStringSubmatch(string(contentOf(t, folder, "vsfb.yaml")), -1)
	if len(found) != 2 {
		t.Fatalf("the manifest names %d archives, want 2", len(found))
	}
	for _, match := range found {
		sum := sha256.Sum256(contentOf(t, folder, match[1]))
		if got := hex.EncodeToString(sum[:]); got != match[2] {
			t.Errorf("%s has the sum %s, and the manifest says %s", match[1], got, match[2])
		}
	}
}

func TestTheSameSourceMakesTheSameArchives(t *testing.T) {
	first, second := packed(t), packed(t)
	for _, name := range []string{"kubectl-vsfb_v1.2.3_linux_amd64.tar.gz", "kubectl-vsfb_v1.2.3_windows_amd64.zip", "vsfb.yaml"} {
		if !bytes.Equal(contentOf(t, first, name), contentOf(t, second, name)) {
			t.Errorf("%s differs", name)
		}
	}
}
