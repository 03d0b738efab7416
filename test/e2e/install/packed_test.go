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
	"runtime"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

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
