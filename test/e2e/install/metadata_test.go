// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

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
