// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

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
		"github.com/argoproj/argo-cd/v3@v3.5.7", "h1:Xm1BF+I5OgDKUG3SDK49vn2/Y5AMyaNVko+/JT08gj0=",
		"manifests/crds/appproject-crd.yaml",
	},
	{
		"github.com/argoproj/argo-cd/v3@v3.5.7", "h1:Xm1BF+I5OgDKUG3SDK49vn2/Y5AMyaNVko+/JT08gj0=",
		"manifests/crds/applicationset-crd.yaml",
	},
	{
		"github.com/fluxcd/source-controller@v1.9.6", "h1:nG534/bI6nVpyHra7ONAk6xDB3xPsVT+EOLHZHXPrrc=",
		"config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",
	},
	{
		"github.com/fluxcd/source-controller@v1.9.6", "h1:nG534/bI6nVpyHra7ONAk6xDB3xPsVT+EOLHZHXPrrc=",
		"config/crd/bases/source.toolkit.fluxcd.io_ocirepositories.yaml",
	},
	{
		"github.com/external-secrets/external-secrets@v1.3.2", "h1:u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ=",
		"config/crds/bases/external-secrets.io_externalsecrets.yaml",
	},
	{
		"github.com/prometheus-operator/prometheus-operator@v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
	},
	{
		"github.com/prometheus-operator/prometheus-operator@v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
	},
}

// installForeign installs the CRDs of other projects.
func installForeign(t *testing.T, env *framework.Env) {
	t.Helper()
	for _, foreign := range foreignCRDs {
		path := framework.WriteFile(t, t.TempDir(), "crd.yaml", string(framework.FromModule(t, foreign.module, foreign.sum, foreign.file)))
		name := env.Kubectl.Must(t, "apply", "--server-side", "-f", path, "-o", "jsonpath={.metadata.name}")
		if err := env.WaitForCRD(t.Context(), name); err != nil {
			t.Fatalf("%s: %v", foreign.module, err)
		}
	}
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
	for _, path := range framework.Glob(t, "config/samples/*.yaml", "config/flux/*.yaml", "config/argocd/*.yaml", "config/emulator/emulator.yaml") {
		switch path {
		case "config/samples/kustomization.yaml": // testCommands applies it
		case "config/argocd/values.yaml", "config/argocd/argocd.yaml": // TestConfigMap_EqualsTheOtherForms reads them
		default:
			add(strings.ReplaceAll(path, "/", ":"), read(t, path))
		}
	}
	// A dry run rejects objects in a namespace that does not exist.
	env.Kubectl.Must(t, "create", "namespace", framework.SystemNamespace)
	created := map[string]bool{"default": true, framework.SystemNamespace: true}
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
		t.Run(name, func(t *testing.T) { testManifest(t, env, manifest) })
	}
}

// testManifest sends a manifest to the API server, or renders it, if it is for a tool that renders manifests.
func testManifest(t *testing.T, env *framework.Env, manifest string) {
	t.Helper()
	switch {
	case strings.Contains(manifest, "apiVersion: kustomize.config.k8s.io/"):
		built(t, env, manifest)
	case strings.Contains(manifest, "kind: HelmRelease\n"):
		var release struct {
			Spec struct{ Values map[string]any }
		}
		if err := yaml.Unmarshal([]byte(manifest), &release); err != nil || len(release.Spec.Values) == 0 {
			t.Fatalf("%v: %+v", err, release)
		}
		values, err := yaml.Marshal(release.Spec.Values)
		if err != nil {
			t.Fatal(err)
		}
		rendered(t, string(values)) // Flux's CRD is in no Go module
	case strings.HasPrefix(manifest, "# values.yaml\n"):
		rendered(t, manifest)
	case strings.HasPrefix(manifest, "# .github/workflows/"):
		var workflow struct {
			Jobs map[string]struct{ Steps []map[string]any } `json:"jobs"`
		}
		if err := yaml.Unmarshal([]byte(manifest), &workflow); err != nil || len(workflow.Jobs) == 0 {
			t.Errorf("%v: %+v", err, workflow)
		}
	default:
		accepted(t, env, manifest)
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
	if strings.Contains(kustomization, "newTag:") && strings.Contains(rendered, ":dev\n") {
		t.Error("the kustomization does not replace the image")
	}
	for _, document := range documents("", rendered) {
		accepted(t, env, document)
	}
}

// rendered renders the chart with values, which its schema validates.
func rendered(t *testing.T, values string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), framework.Tool(t, "helm"), "template", "docs", framework.Path("charts", "vector-store-operator"), "--values", framework.WriteFile(t, t.TempDir(), "values.yaml", values))
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
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
