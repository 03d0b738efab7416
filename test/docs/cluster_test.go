// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
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

// TestOnACluster installs what the README says, tries every manifest and every command of the
// docs, and uninstalls again. The parts follow upon each other: an API server takes its time.
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
	if err := plane.Established(t.Context(), controlplane.CRD); err != nil {
		t.Fatal(err)
	}
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
		{"type": "Finished", "status": "True", "reason": "Completed", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"},
		{"type": "Succeeded", "status": "True", "reason": "Completed", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}}`

// isForReaders are blocks that build the programs, or never end.
var isForReaders = regexp.MustCompile(`(?m)^make (demo|test|run)\b`)

// tried are the pages whose commands are run, in this order.
var tried = []string{readme, kindPage, gitops, runbook}

// testCommands runs the commands of the docs as a person types them, after the samples were
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
	run("apply", "-k", "config/samples")
	for _, name := range strings.Fields(run("get", "vsfb", "-o", "name")) {
		run("patch", name, "--subresource=status", "--type=merge", "-p", finished)
	}
	run("-n", "argocd", "create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example.com")
	for _, page := range tried {
		for _, block := range blocks(t, page, "sh") {
			if !isForReaders.MatchString(block) {
				runBlock(t, plane, block)
			}
		}
	}
	key := run("get", "secret", "openai", "-o", "go-template={{.data.OPENAI_API_KEY | base64decode}}")
	if key != "sk-typed" {
		t.Errorf("the Secret's key is %q, and not what was typed", key)
	}
	if cancel := run("get", "vsfb", "archive", "-o", "jsonpath={.spec.cancel}"); cancel != "true" {
		t.Errorf("spec.cancel is %q after the command that cancels", cancel)
	}
	if suspend := run("get", "vsfb", "scans", "-o", "jsonpath={.spec.suspend}"); suspend != "false" {
		t.Errorf("spec.suspend is %q after the commands that suspend and resume", suspend)
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
