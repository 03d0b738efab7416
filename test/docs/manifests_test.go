// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

// foreignCRDs are the definitions of the Kinds of other projects that the docs have manifests
// of. They come out of the projects' Go modules, as they are published, and are held to a
// checksum as in a go.sum.
var foreignCRDs = []struct{ module, sum, file string }{
	{
		"github.com/argoproj/argo-cd/v3@v3.5.7", "h1:Xm1BF+I5OgDKUG3SDK49vn2/Y5AMyaNVko+/JT08gj0=",
		"manifests/crds/application-crd.yaml",
	},
	{
		"github.com/fluxcd/kustomize-controller@v1.9.6", "h1:XB+G3A0mky0j5uVHZWv4oSlS2RvZBoNIUhstIvY0JKE=",
		"config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
	},
	{
		"github.com/fluxcd/source-controller@v1.9.6", "h1:nG534/bI6nVpyHra7ONAk6xDB3xPsVT+EOLHZHXPrrc=",
		"config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",
	},
}

// installForeign installs the CRDs of other projects.
func installForeign(t *testing.T, plane *controlplane.ControlPlane) {
	t.Helper()
	for _, foreign := range foreignCRDs {
		path := filepath.Join(t.TempDir(), "crd.yaml")
		if err := os.WriteFile(path, fromModule(t, foreign.module, foreign.sum, foreign.file), 0o600); err != nil {
			t.Fatal(err)
		}
		name, err := plane.Run(t.Context(), "apply", "--server-side", "-f", path, "-o", "jsonpath={.metadata.name}")
		if err != nil {
			t.Fatalf("%s: %v", foreign.module, err)
		}
		if err := plane.Established(t.Context(), name); err != nil {
			t.Fatalf("%s: %v", foreign.module, err)
		}
	}
}

// fromModule is a file of a Go module, which the module proxy has.
func fromModule(t *testing.T, module, sum, file string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module)
	command.Dir = t.TempDir() // no module: its dependencies are of no interest
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("downloading %s: %v: %s", module, err, output)
	}
	// The answer stands after what go says of its progress.
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

// documents are the manifests of a text, each with its number.
func documents(name, text string) map[string]string {
	found := map[string]string{}
	for i, document := range regexp.MustCompile(`(?m)^---\n`).Split(text, -1) {
		if strings.TrimSpace(document) != "" {
			found[fmt.Sprintf("%s %d", name, i+1)] = document
		}
	}
	return found
}

// testManifests sends every manifest of the docs, and every sample, to a real API server,
// which refuses what it does not know.
func testManifests(t *testing.T, plane *controlplane.ControlPlane) {
	installForeign(t, plane)
	manifests := map[string]string{}
	add := func(name, text string) {
		for name, document := range documents(name, text) {
			manifests[name] = document
		}
	}
	for _, page := range pages(t) {
		for i, block := range blocks(t, page, "yaml") {
			add(fmt.Sprintf("%s %d", strings.ReplaceAll(page, "/", ":"), i+1), block)
		}
	}
	for _, path := range glob(t, "config/samples/*.yaml", "config/flux/*.yaml", "config/argocd/*.yaml") {
		if path != "config/samples/kustomization.yaml" { // which testCommands applies
			add(strings.ReplaceAll(path, "/", ":"), read(t, path))
		}
	}
	made := map[string]bool{"default": true}
	for _, manifest := range manifests {
		for _, namespace := range firsts(`(?m)^  namespace: (\S+)$`, manifest) {
			if made[namespace] {
				continue
			}
			made[namespace] = true
			if output, err := plane.Kubectl(t.Context(), "create", "namespace", namespace).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, output)
			}
		}
	}
	for name, manifest := range manifests {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(manifest, "apiVersion: kustomize.config.k8s.io/") {
				built(t, plane, manifest)
				return
			}
			accepted(t, plane, manifest)
		})
	}
}

// built applies what a kustomization makes of this repository's folders, from a folder that
// lies beside config.
func built(t *testing.T, plane *controlplane.ControlPlane, kustomization string) {
	t.Helper()
	root := t.TempDir()
	site := filepath.Join(root, "site")
	err := errors.Join(
		os.CopyFS(filepath.Join(root, "config"), os.DirFS(filepath.Join(controlplane.Root(), "config"))),
		os.Mkdir(site, 0o700),
		os.WriteFile(filepath.Join(site, "kustomization.yaml"), []byte(kustomization), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := plane.Run(t.Context(), "kustomize", site)
	if err != nil {
		t.Fatal(err)
	}
	// What is in a namespace that is only about to be made, a dry run refuses.
	if output, err := plane.Kubectl(t.Context(), "create", "namespace", "vector-store-operator-system").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	for _, document := range documents("", rendered) {
		accepted(t, plane, document)
	}
}

func accepted(t *testing.T, plane *controlplane.ControlPlane, manifest string) {
	t.Helper()
	command := plane.Kubectl(t.Context(), "apply", "--server-side", "--validate=strict", "--dry-run=server", "-o", "name", "-f", "-")
	command.Stdin = strings.NewReader(manifest)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if name := strings.TrimSpace(string(output)); !regexp.MustCompile(`^[a-z0-9.-]+/[a-z0-9.:-]+$`).MatchString(name) {
		t.Errorf("what was accepted is %q", name)
	}
}

// TestManifestsAreTheSamples holds the manifests of the README, of the Kind's page and of Flux
// to files that other tests use, without the comments at their heads.
func TestManifestsAreTheSamples(t *testing.T) {
	head := regexp.MustCompile(`\A(#.*\n)+`)
	var samples []string
	for _, path := range glob(t, "config/samples/*.yaml", "config/flux/*.yaml") {
		samples = append(samples, head.ReplaceAllString(read(t, path), ""))
	}
	isFlux := func(block string) bool { return strings.Contains(block, "fluxcd.io") }
	flux := slices.DeleteFunc(blocks(t, gitops, "yaml"), func(block string) bool { return !isFlux(block) })
	for _, manifest := range slices.Concat(blocks(t, readme, "yaml"), blocks(t, kindPage, "yaml"), flux) {
		if !slices.Contains(samples, manifest) {
			t.Errorf("no file in config/samples or config/flux is like this:\n%s", manifest)
		}
	}
	if len(flux) == 0 {
		t.Errorf("%s has no example for Flux", gitops)
	}
}
