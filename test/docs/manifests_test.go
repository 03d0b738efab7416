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

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// foreignCRDs are the CRDs of other projects with manifests in the docs. They are files of the projects' Go
// modules, which have the checksums of a go.sum.
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
func installForeign(t *testing.T, env *framework.Env) {
	t.Helper()
	for _, foreign := range foreignCRDs {
		path := framework.WriteFile(t, t.TempDir(), "crd.yaml", string(fromModule(t, foreign.module, foreign.sum, foreign.file)))
		name := env.Kubectl.Must(t, "apply", "--server-side", "-f", path, "-o", "jsonpath={.metadata.name}")
		if err := env.WaitForCRD(t.Context(), name); err != nil {
			t.Fatalf("%s: %v", foreign.module, err)
		}
	}
}

// fromModule returns a file of a Go module.
func fromModule(t *testing.T, module, sum, file string) []byte {
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

// documents returns the manifests of a text, each with its number.
func documents(name, text string) map[string]string {
	found := map[string]string{}
	for i, document := range regexp.MustCompile(`(?m)^---\n`).Split(text, -1) {
		if strings.TrimSpace(document) != "" {
			found[fmt.Sprintf("%s %d", name, i+1)] = document
		}
	}
	return found
}

// testManifests sends every manifest of the docs, and every sample, to a real API server, which rejects
// unknown fields.
func testManifests(t *testing.T, env *framework.Env) {
	installForeign(t, env)
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
	for _, path := range framework.Glob(t, "config/samples/*.yaml", "config/flux/*.yaml", "config/argocd/*.yaml") {
		if path != "config/samples/kustomization.yaml" { // which testCommands applies
			add(strings.ReplaceAll(path, "/", ":"), read(t, path))
		}
	}
	created := map[string]bool{"default": true}
	for _, manifest := range manifests {
		for _, namespace := range firsts(`(?m)^  namespace: (\S+)$`, manifest) {
			if created[namespace] {
				continue
			}
			created[namespace] = true
			env.Kubectl.Must(t, "create", "namespace", namespace)
		}
	}
	for name, manifest := range manifests {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(manifest, "apiVersion: kustomize.config.k8s.io/") {
				built(t, env, manifest)
				return
			}
			accepted(t, env, manifest)
		})
	}
}

// built applies a kustomization of the repository's folders, in a folder beside config.
func built(t *testing.T, env *framework.Env, kustomization string) {
	t.Helper()
	root := t.TempDir()
	site := filepath.Join(root, "site")
	err := errors.Join(
		os.CopyFS(filepath.Join(root, "config"), os.DirFS(framework.Path("config"))),
		os.Mkdir(site, 0o700),
		os.WriteFile(filepath.Join(site, "kustomization.yaml"), []byte(kustomization), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	rendered := env.Kubectl.Must(t, "kustomize", site)
	// A dry run rejects objects in a namespace that does not exist.
	env.Kubectl.Must(t, "create", "namespace", framework.SystemNamespace)
	for _, document := range documents("", rendered) {
		accepted(t, env, document)
	}
}

func accepted(t *testing.T, env *framework.Env, manifest string) {
	t.Helper()
	output, err := env.Kubectl.RunWithInput(t.Context(), manifest, "apply", "--server-side", "--validate=strict", "--dry-run=server", "-o", "name", "-f", "-")
	if err != nil {
		t.Fatal(err)
	}
	if name := strings.TrimSpace(output); !regexp.MustCompile(`^[a-z0-9.-]+/[a-z0-9.:-]+$`).MatchString(name) {
		t.Errorf("kubectl printed %q, want one name", name)
	}
}

// TestManifests_EqualSamples requires that the manifests of the README, of the Kind's page and of Flux are
// files that other tests use, without the comments at their heads.
func TestManifests_EqualSamples(t *testing.T) {
	head := regexp.MustCompile(`\A(#.*\n)+`)
	var samples []string
	for _, path := range framework.Glob(t, "config/samples/*.yaml", "config/flux/*.yaml") {
		samples = append(samples, head.ReplaceAllString(read(t, path), ""))
	}
	isFlux := func(block string) bool { return strings.Contains(block, "fluxcd.io") }
	flux := slices.DeleteFunc(blocks(t, gitops, "yaml"), func(block string) bool { return !isFlux(block) })
	for _, manifest := range slices.Concat(blocks(t, readme, "yaml"), blocks(t, kindPage, "yaml"), flux) {
		if !slices.Contains(samples, manifest) {
			t.Errorf("no file in config/samples or config/flux equals:\n%s", manifest)
		}
	}
	if len(flux) == 0 {
		t.Errorf("%s has no example for Flux", gitops)
	}
}
