// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

// TestOnACluster installs what the README says, tries every manifest and every command of it,
// and uninstalls again. The parts follow upon each other: an API server takes its time.
func TestOnACluster(t *testing.T) {
	log.SetLogger(logr.Discard())
	plane, err := controlplane.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	if !t.Run("install", func(t *testing.T) { testInstall(t, plane) }) {
		return
	}
	t.Run("manifests", func(t *testing.T) { testManifests(t, plane) })
	t.Run("commands", func(t *testing.T) { testCommands(t, plane) })
	t.Run("uninstall", func(t *testing.T) { testUninstall(t, plane) })
}

func testInstall(t *testing.T, plane *controlplane.ControlPlane) {
	runBlock(t, plane, "make install")
	runBlock(t, plane, "kubectl wait --for=condition=Established --timeout=60s crd/vectorstorefilebatches.vector-store-operator.dev")
	runBlock(t, plane, "kubectl get validatingadmissionpolicy vectorstorefilebatch-attributes vectorstorefilebatch-immutable-attributes")
}

func testUninstall(t *testing.T, plane *controlplane.ControlPlane) {
	runBlock(t, plane, "make uninstall")
	runBlock(t, plane, "! kubectl get crd,validatingadmissionpolicy -o name | grep vectorstorefilebatch")
}

// finished is the status of a batch that is over.
const finished = `{"status": {
	"status": "completed", "observedGeneration": 1,
	"failedFiles": [{"fileID": "file-x", "code": "invalid_file", "message": "empty"}],
	"conditions": [
		{"type": "Finished", "status": "True", "reason": "FilesFailed", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"},
		{"type": "Succeeded", "status": "False", "reason": "FilesFailed", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}}`

// isForReaders are blocks that build the programs, or never end.
var isForReaders = regexp.MustCompile(`(?m)^make (demo|test|run)\b`)

// testCommands runs the README's commands as a person types them, after the samples were
// applied and, as it seems, came to their end.
func testCommands(t *testing.T, plane *controlplane.ControlPlane) {
	run := func(args ...string) string {
		t.Helper()
		output, err := plane.Run(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return output
	}
	run("apply", "-f", "config/samples")
	for _, name := range strings.Fields(run("get", "vsfb", "-o", "name")) {
		run("patch", name, "--subresource=status", "--type=merge", "-p", finished)
	}
	for _, block := range blocks(t, "sh") {
		if isForReaders.MatchString(block) {
			continue
		}
		runBlock(t, plane, block)
	}
	key := run("get", "secret", "openai", "-o", "go-template={{.data.OPENAI_API_KEY | base64decode}}")
	if key != "sk-typed" {
		t.Errorf("the Secret's key is %q, and not what was typed", key)
	}
	if cancel := run("get", "vsfb", "archive", "-o", "jsonpath={.spec.cancel}"); cancel != "true" {
		t.Errorf("spec.cancel is %q after the command that cancels", cancel)
	}
}

func runBlock(t *testing.T, plane *controlplane.ControlPlane, block string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", "-eu", "-o", "pipefail", "-c", block)
	command.Dir = controlplane.Root()
	command.Stdin = strings.NewReader("sk-typed\n")
	command.Env = append(os.Environ(), "KUBECONFIG="+plane.Kubeconfig, "KUBECACHEDIR="+t.TempDir(),
		"PATH="+os.Getenv("KUBEBUILDER_ASSETS")+string(filepath.ListSeparator)+os.Getenv("PATH"))
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v of\n%s\nIt said:\n%s", err, block, output)
	}
}

// testManifests sends every manifest of the README, and every sample, to a real API
// server, which refuses what it does not know.
func testManifests(t *testing.T, plane *controlplane.ControlPlane) {
	manifests := map[string]string{}
	for _, manifest := range blocks(t, "yaml") {
		manifests["README: "+nameOf(manifest)] = manifest
	}
	for _, path := range sampleFiles(t) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		manifests[filepath.Base(path)] = string(content)
	}
	for name, manifest := range manifests {
		t.Run(name, func(t *testing.T) { accepted(t, plane, manifest) })
	}
}

func nameOf(manifest string) string {
	return regexp.MustCompile(`(?m)^  name: (.*)$`).FindStringSubmatch(manifest)[1]
}

func accepted(t *testing.T, plane *controlplane.ControlPlane, manifest string) {
	t.Helper()
	command := plane.Kubectl(t.Context(), "apply", "--server-side", "--validate=strict", "--dry-run=server", "-o", "json", "-f", "-")
	command.Stdin = strings.NewReader(manifest)
	var complaints strings.Builder
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaints.String())
	}
	var object struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(output, &object); err != nil || object.Kind != "VectorStoreFileBatch" {
		t.Errorf("what was accepted is a %q (%v)", object.Kind, err)
	}
}
