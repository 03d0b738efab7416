// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin_test runs the built kubectl plugin, through kubectl, against a real API server, the
// OpenAI emulator and the built manager.
package plugin_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	apiKey = framework.APIKey
	store  = framework.VectorStore
)

var (
	env     *framework.Env
	manager *framework.Manager
)

func TestMain(m *testing.M) {
	os.Exit(framework.Suite{
		Options: framework.Options{Install: []string{"crd", "policy"}, Build: []string{"manager", "kubectl-vsfb"}},
		Setup: func(_ context.Context, env *framework.Env) (err error) {
			manager, err = env.StartManager(framework.ManagerOptions{})
			return err
		},
		Teardown: func(ctx context.Context) error {
			if manager == nil {
				return nil
			}
			return manager.Stop(ctx)
		},
	}.Run(m, &env))
}

// workspace is a namespace with an emulator, and the home and working folders of a user of kubectl.
type workspace struct {
	*testing.T
	*framework.Fixture

	home, folder string
}

func newWorkspace(t *testing.T, options emulator.Options) *workspace {
	t.Helper()
	w := newWorkspaceWithoutSecret(t, options)
	w.CreateSecret(t, "openai")
	return w
}

func newWorkspaceWithoutSecret(t *testing.T, options emulator.Options) *workspace {
	t.Helper()
	options.APIKeys = append(options.APIKeys, apiKey)
	w := &workspace{T: t, Fixture: env.NewFixtureWithoutSecret(t, options), home: t.TempDir(), folder: t.TempDir()}
	// kubectl finds the plugin on its PATH, and the cluster as it does for its users.
	assets, separator := os.Getenv("KUBEBUILDER_ASSETS"), string(filepath.ListSeparator)
	w.Kubectl.Kubeconfig, w.Kubectl.Dir = "", w.folder
	w.Kubectl.Env = []string{
		"PATH=" + env.Dir + separator + assets + separator + os.Getenv("PATH"),
		"HOME=" + w.home, "KUBECONFIG=" + env.Kubeconfig, "KUBECACHEDIR=" + filepath.Join(w.home, "cache"),
		"LANG=C.UTF-8", "TERM=xterm-256color",
	}
	return w
}

// setenv adds variables to the environment of kubectl.
func (w *workspace) setenv(variables ...string) {
	w.Kubectl.Env = append(w.Kubectl.Env, variables...)
}

// withKey adds an API key to the environment of kubectl.
func (w *workspace) withKey() {
	w.setenv("OPENAI_API_KEY="+apiKey, "OPENAI_BASE_URL="+w.BaseURL)
}

// try runs the plugin in the namespace.
func (w *workspace) try(args ...string) (stdout, stderr string, err error) {
	w.Helper()
	return w.Kubectl.Try(w.Context(), "", append([]string{"vsfb"}, args...)...)
}

// vsfb runs the plugin in the namespace, and returns its output.
func (w *workspace) vsfb(args ...string) string {
	w.Helper()
	return w.kubectl(append([]string{"vsfb"}, args...)...)
}

// refused runs the plugin, which must fail, and returns its errors.
func (w *workspace) refused(args ...string) string {
	w.Helper()
	stdout, stderr, err := w.try(args...)
	if err == nil {
		w.Fatalf("kubectl vsfb %s did not fail, and printed %s", strings.Join(args, " "), stdout)
	}
	return stderr
}

// kubectl runs kubectl in the namespace, and returns its output.
func (w *workspace) kubectl(args ...string) string {
	w.Helper()
	return w.Kubectl.Must(w.T, args...)
}

// apply applies a manifest as a field manager.
func (w *workspace) apply(manager, manifest string, flags ...string) {
	w.Helper()
	w.Kubectl.Apply(w.T, manifest, append([]string{"--field-manager=" + manager}, flags...)...)
}

// await waits until the condition Ready of an object has a reason.
func (w *workspace) await(name, reason string) {
	w.Helper()
	w.WaitForReason(w.T, name, reason)
}

// until polls until a condition holds.
func (w *workspace) until(what string, condition func() bool) {
	w.Helper()
	framework.Eventually(w.T, what, condition)
}

// manifest returns a batch of files, with further lines of its spec.
func manifest(name string, fileIDs []string, lines ...string) string {
	return fmt.Sprintf("apiVersion: vector-store-operator.dev/v1alpha1\nkind: VectorStoreFileBatch\nmetadata: {name: %s, labels: {team: docs}}\nspec:\n  vectorStoreID: %s\n  fileIDs: [%s]\n%s",
		name, store, strings.Join(fileIDs, ", "), strings.Join(lines, "\n"))
}

// fileIDs returns IDs of files. The emulator fails files with some prefixes.
func fileIDs(prefix string, count int) []string {
	ids := make([]string, count)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s%04d", prefix, i)
	}
	return ids
}
