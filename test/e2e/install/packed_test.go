// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// TestRelease_NamesTheBuiltImage builds the images, install.yaml and the chart as a release does, and requires
// that both name the operator's image: its registry, its repository, and the digest in its archive.
func TestRelease_NamesTheBuiltImage(t *testing.T) {
	t.Parallel()
	framework.Tool(t, "helm")
	for name, test := range map[string]struct{ registry, want string }{
		"by default":         {"", "ghcr.io/vector-store-operator/vector-store-operator"},
		"a registry of ours": {"registry.example:5000/ai/", "registry.example:5000/ai/vector-store-operator"},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			for _, part := range []string{"image", "manifests"} {
				command := exec.CommandContext(t.Context(), framework.Path("hack", "release.sh"), part, "v1.2.3")
				command.Env = append(os.Environ(), "OUT="+out, "REGISTRY="+test.registry, "PLATFORMS=linux/"+runtime.GOARCH)
				if output, err := command.CombinedOutput(); err != nil {
					t.Fatalf("release.sh %s: %v: %s", part, err, output)
				}
			}
			wantPluginImage(t, out, strings.TrimSuffix(test.want, "vector-store-operator"))
			want := test.want + "@" + archivedDigest(t, filepath.Join(out, "vector-store-operator.tar"))
			deployment := "Deployment " + systemNamespace + "/" + release + "-manager"

			packed := filepath.Join(out, "vector-store-operator-1.2.3.tgz")
			h := newHelm(t, "")
			rendered := parse(t, h.run(t, "template", release, packed, "--namespace", systemNamespace))
			manifest, err := os.ReadFile(filepath.Join(out, "install.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			installed := parse(t, string(manifest))
			for from, objects := range map[string]objects{"the packed chart": rendered, "install.yaml": installed} {
				containers := at(t, objects[deployment], "spec", "template", "spec", "containers").([]any)
				if image := containers[0].(map[string]any)["image"]; image != want {
					t.Errorf("%s has the image %s, want %s", from, image, want)
				}
			}
			var metadata struct {
				Version, AppVersion string
				Annotations         map[string]string
			}
			if err := yaml.Unmarshal([]byte(h.run(t, "show", "chart", packed)), &metadata); err != nil {
				t.Fatal(err)
			}
			if metadata.Version != "1.2.3" || metadata.AppVersion != "v1.2.3" {
				t.Errorf("the versions of the chart are %+v", metadata)
			}
			digest := want[strings.Index(want, "@"):]
			if images := metadata.Annotations["artifacthub.io/images"]; !strings.Contains(images, test.want+":v1.2.3"+digest) {
				t.Errorf("artifacthub.io/images is %q", images)
			}
		})
	}
}

// TestMake_TestNodeKeepsTheImage: `make test-node` builds its images, for one platform, into another folder than `make image`.
func TestMake_TestNodeKeepsTheImage(t *testing.T) {
	t.Parallel()
	folders := map[string][]string{}
	for _, target := range []string{"image", "image-emulator", "test-node"} {
		command := exec.CommandContext(t.Context(), "make", "--dry-run", "--no-print-directory", target)
		command.Dir = framework.Root()
		output, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("make --dry-run %s: %v: %s", target, err, output)
		}
		for _, match := range regexp.MustCompile(`bin/image -tag .* -o '([^']+)'`).FindAllStringSubmatch(string(output), -1) {
			folders[target] = append(folders[target], match[1])
		}
	}
	want := map[string][]string{
		"image": {"bin/images"}, "image-emulator": {"bin/images"},
		"test-node": {"bin/images/node", "bin/images/node", "bin/images/node"},
	}
	if diff := cmp.Diff(want, folders); diff != "" {
		t.Errorf("folders of the images (-want +got):\n%s", diff)
	}
}

// TestChart_ArtifactHub compares the annotations for Artifact Hub with what the chart installs, and with the values that
// Artifact Hub documents.
func TestChart_ArtifactHub(t *testing.T) {
	t.Parallel()
	var metadata struct {
		AppVersion  string            `json:"appVersion"`
		Annotations map[string]string `json:"annotations"`
	}
	framework.ReadYAML(t, &metadata, chart, "Chart.yaml")
	annotation := func(name string, into any) {
		t.Helper()
		if err := yaml.UnmarshalStrict([]byte(metadata.Annotations["artifacthub.io/"+name]), into); err != nil {
			t.Fatalf("artifacthub.io/%s: %v", name, err)
		}
	}
	for name, documented := range map[string][]string{
		"category":             {"ai-machine-learning", "database", "integration-delivery", "monitoring-logging", "networking", "security", "skip-prediction", "storage", "streaming-messaging"},
		"operatorCapabilities": {"Basic Install", "Seamless Upgrades", "Full Lifecycle", "Deep Insights", "Auto Pilot"},
		"operator":             {"true", "false"},
		"prerelease":           {"true", "false"},
	} {
		if value := metadata.Annotations["artifacthub.io/"+name]; !slices.Contains(documented, value) {
			t.Errorf("artifacthub.io/%s is %q, want one of %q", name, value, documented)
		}
	}
	var images []struct{ Name, Image string }
	annotation("images", &images)
	var listed []string
	for _, image := range images {
		listed = append(listed, image.Image)
	}
	rendered := parse(t, newHelm(t, "").template(t, ""))
	var installed []string
	for _, pod := range [][]any{
		at(t, rendered.find(t, "Deployment", systemNamespace, release+"-manager"), "spec", "template", "spec", "containers").([]any),
		at(t, rendered.find(t, "Pod", systemNamespace, release+"-test"), "spec", "containers").([]any),
	} {
		installed = append(installed, pod[0].(map[string]any)["image"].(string))
	}
	if diff := cmp.Diff(installed, listed); diff != "" {
		t.Errorf("images (-installed +listed):\n%s", diff)
	}
	crd := rendered.find(t, "CustomResourceDefinition", "", framework.CRD)
	var crds []struct{ Kind, Version, Name, DisplayName, Description string }
	annotation("crds", &crds)
	versions := at(t, crd, "spec", "versions").([]any)
	if len(crds) != 1 || crds[0].Name != crd.GetName() || crds[0].Kind != at(t, crd, "spec", "names", "kind") || crds[0].Version != versions[0].(map[string]any)["name"] {
		t.Errorf("artifacthub.io/crds is %+v", crds)
	}
	var examples []v1alpha1.VectorStoreFileBatch
	annotation("crdsExamples", &examples)
	if len(examples) == 0 || examples[0].APIVersion != v1alpha1.GroupVersion.String() || examples[0].Kind != crds[0].Kind {
		t.Errorf("artifacthub.io/crdsExamples is %+v", examples)
	}
	var links []struct{ Name, URL string }
	annotation("links", &links)
	for _, link := range links {
		path, ours := strings.CutPrefix(link.URL, "https://github.com/vector-store-operator/vector-store-operator/")
		_, file, found := strings.Cut(path, "/main/")
		if _, err := os.Stat(framework.Path(file)); !ours || !found || err != nil {
			t.Errorf("artifacthub.io/links: %s is no file of the repository: %v", link.URL, err)
		}
	}
}

// wantPluginImage requires that a release has the image of the plugin, with its reference and its bill of materials.
func wantPluginImage(t *testing.T, out, registry string) {
	t.Helper()
	reference, err := os.ReadFile(filepath.Join(out, "image-plugin"))
	if err != nil {
		t.Fatal(err)
	}
	if want := registry + "kubectl-vsfb:v1.2.3@" + archivedDigest(t, filepath.Join(out, "kubectl-vsfb.tar")); strings.TrimSpace(string(reference)) != want {
		t.Errorf("the image of the plugin is %s, want %s", reference, want)
	}
	for _, name := range []string{"vector-store-operator", "kubectl-vsfb"} {
		if bills, _ := filepath.Glob(filepath.Join(out, name+"-*.spdx.json")); len(bills) != 1 {
			t.Errorf("%s has the bills of materials %q", name, bills)
		}
	}
}

// archivedDigest returns the digest of the image in an OCI archive.
func archivedDigest(t *testing.T, archive string) string {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			t.Fatalf("%s has no index.json", archive)
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Name != "index.json" {
			continue
		}
		var index struct{ Manifests []struct{ Digest string } }
		if err := json.NewDecoder(reader).Decode(&index); err != nil || len(index.Manifests) != 1 {
			t.Fatalf("index.json: %v: %+v", err, index)
		}
		return index.Manifests[0].Digest
	}
}
