// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// TestCluster installs the operator as the README does, applies the manifests and runs the commands of the
// docs, and uninstalls the operator. The parts run in order, on one API server.
func TestCluster(t *testing.T) {
	log.SetLogger(logr.Discard())
	env, err := framework.Start(t.Context(), framework.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	if !t.Run("install", func(t *testing.T) { testInstall(t, env) }) {
		return
	}
	t.Run("manifests", func(t *testing.T) { testManifests(t, env) })
	t.Run("commands", func(t *testing.T) { testCommands(t, env) })
	t.Run("uninstall", func(t *testing.T) { testUninstall(t, env) })
}

func testInstall(t *testing.T, env *framework.Env) {
	runBlock(t, env, "make install")
	if err := env.WaitForCRD(t.Context(), framework.CRD); err != nil {
		t.Fatal(err)
	}
	runBlock(t, env, "kubectl get validatingadmissionpolicy vectorstorefilebatch-attributes vectorstorefilebatch-immutable-attributes")
}

func testUninstall(t *testing.T, env *framework.Env) {
	// The pages install everything, too.
	runBlock(t, env, "kubectl delete --wait=false --ignore-not-found -k config/prometheus; kubectl delete --wait=false --ignore-not-found -k config/default")
	runBlock(t, env, "make uninstall")
	runBlock(t, env, "! kubectl get crd,validatingadmissionpolicy -o name | grep vectorstorefilebatch")
}

// finished is the status of a finished batch.
const finished = `{"status": {
	"status": "completed", "observedGeneration": 1,
	"failedFiles": [{"fileID": "file-x", "code": "invalid_file", "message": "empty"}],
	"conditions": [
		{"type": "Finished", "status": "True", "reason": "Completed", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"},
		{"type": "Succeeded", "status": "True", "reason": "Completed", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}]}}`

// testCommands runs the commands of the docs that are not marked with a reason, with the samples applied and
// marked as finished.
func testCommands(t *testing.T, env *framework.Env) {
	run := func(args ...string) string {
		t.Helper()
		return env.Kubectl.Must(t, args...)
	}
	run("apply", "-k", "config/samples")
	for _, name := range strings.Fields(run("get", "vsfb", "-o", "name")) {
		run("patch", name, "--subresource=status", "--type=merge", "-p", finished)
	}
	run("-n", "argocd", "create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example.com")
	for _, page := range pages(t) {
		for _, block := range shellBlocks(t, page) {
			if block.reason == "" {
				runBlock(t, env, block.text)
			}
		}
	}
	key := run("get", "secret", "openai", "-o", "go-template={{.data.OPENAI_API_KEY | base64decode}}")
	if key != "sk-typed" {
		t.Errorf("the Secret's key is %q, want the typed one", key)
	}
	if cancel := run("get", "vsfb", "archive", "-o", "jsonpath={.spec.cancel}"); cancel != "true" {
		t.Errorf("spec.cancel is %q after the command that cancels", cancel)
	}
	if suspend := run("get", "vsfb", "scans", "-o", "jsonpath={.spec.suspend}"); suspend != "false" {
		t.Errorf("spec.suspend is %q after the commands that suspend and resume", suspend)
	}
}

func runBlock(t *testing.T, env *framework.Env, block string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", "-eu", "-o", "pipefail", "-c", block)
	command.Dir = framework.Root()
	command.Stdin = strings.NewReader("sk-typed\n")
	command.Env = append(os.Environ(), "KUBECONFIG="+env.Kubeconfig, "KUBECACHEDIR="+t.TempDir(),
		"PATH="+os.Getenv("KUBEBUILDER_ASSETS")+string(filepath.ListSeparator)+os.Getenv("PATH"))
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v in\n%s\nOutput:\n%s", err, block, output)
	}
}
