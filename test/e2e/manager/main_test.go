// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manager_test runs the built manager and the built OpenAI emulator against a real API server.
// config/default is installed, the manager has the token of its ServiceAccount and no other rights,
// and the tests act with kubectl, as users do.
package manager_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// The programs that the tests share. Each test has a namespace and a vector store of its own.
var (
	env               *framework.Env
	openAI            *framework.Emulator
	manager           *framework.Manager
	managerKubeconfig string
)

// The emulator accepts its own key and these three.
var echoedKey, oldKey, newestKey = framework.NewKey("echoed"), framework.NewKey("old"), framework.NewKey("newest")

// environmentKey is in the environment of the manager, which must not read it. The emulator rejects it,
// revokedKey and foreignKey.
var environmentKey, revokedKey, foreignKey = framework.NewKey("environment"), framework.NewKey("revoked"), framework.NewKey("foreign")

func TestMain(m *testing.M) {
	os.Exit(framework.Suite{
		Options:  framework.Options{Install: []string{"default"}, Build: []string{"manager", "emulator"}},
		Setup:    start,
		Teardown: stop,
		Parallel: 12,
	}.Run(m, &env))
}

func start(ctx context.Context, env *framework.Env) error {
	var err error
	if managerKubeconfig, err = env.ServiceAccountKubeconfig(ctx, framework.SystemNamespace, framework.ServiceAccount); err != nil {
		return err
	}
	flags := []string{"--pace=100ms", "--cancel-delay=300ms"}
	for _, key := range []string{echoedKey, oldKey, newestKey} {
		flags = append(flags, "--api-key="+key)
	}
	if openAI, err = framework.StartEmulator(ctx, env.Program("emulator"), filepath.Join(env.Dir, "emulator.log"), flags...); err != nil {
		return err
	}
	// An SDK reads these variables. The manager must not.
	environment := []string{"OPENAI_API_KEY=" + environmentKey, "OPENAI_BASE_URL=http://127.0.0.1:9/v1"}
	if manager, err = env.StartManager(framework.ManagerOptions{
		// The highest level that the manager accepts, so that findKeys sees all that it can log.
		Kubeconfig: managerKubeconfig, Env: environment, Flags: []string{"--zap-log-level=5"},
	}); err != nil {
		return err
	}
	return manager.WaitUntilReady(ctx)
}

func stop(ctx context.Context) error {
	var errs []error
	if manager != nil {
		errs = append(errs, findKeys(ctx), manager.Stop(ctx))
	}
	if openAI != nil {
		errs = append(errs, openAI.Stop(ctx))
	}
	return errors.Join(errs...)
}

// findKeys returns an error for each API key in the manager's log, and in the objects and Events of the
// cluster other than Secrets.
func findKeys(ctx context.Context) error {
	texts := map[string]string{"the manager's log": manager.Output()}
	for _, kind := range []string{"vectorstorefilebatches.vector-store-operator.dev", "events", "configmaps"} {
		output, err := env.Kubectl.Run(ctx, "get", kind, "--all-namespaces", "--output=yaml", "--show-managed-fields")
		if err != nil {
			return fmt.Errorf("searching for keys: %w", err)
		}
		texts[kind] = output
	}
	var errs []error
	for place, text := range texts {
		for _, key := range keysIn(text) {
			errs = append(errs, fmt.Errorf("%s contains the key %s", place, key))
		}
	}
	return errors.Join(errs...)
}

// keysIn returns the API keys that a text contains, in plain text or in base64.
func keysIn(text string) []string {
	all := []string{openAI.Key, echoedKey, oldKey, newestKey, environmentKey, revokedKey, foreignKey, compatibleKey}
	return slices.DeleteFunc(all, func(key string) bool {
		return !strings.Contains(text, key) && !strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(key)))
	})
}

// fixture is a namespace with its kubectl, and a vector store of the emulator.
type fixture struct {
	framework.Kubectl

	store string
}

// newFixture creates a fixture with a Secret for the emulator.
func newFixture(t *testing.T) fixture {
	t.Helper()
	f := newFixtureWithoutSecret(t)
	f.putSecret(t, "openai", credentials(openAI.Key))
	return f
}

// newFixtureWithoutSecret creates a fixture. It shows the objects of the namespace if the test fails.
func newFixtureWithoutSecret(t *testing.T) fixture {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("Test", "", "/", "-", "_", "-", ",", "").Replace(t.Name()))
	name = strings.Trim(name[:min(len(name), 50)], "-") + "-" + strings.ToLower(rand.Text()[:6])
	f := fixture{Kubectl: env.Kubectl.In(name), store: "vs_" + strings.ReplaceAll(name, "-", "_")}
	f.Must(t, "create", "namespace", f.Namespace)
	addStore(t, f.store)
	t.Cleanup(func() {
		if t.Failed() {
			output, err := f.Run(context.Background(), "get", "vsfb,events", "--output=yaml")
			t.Logf("objects in namespace %s (%v):\n%.20000s\nthe end of the manager's log:\n%s", f.Namespace, err, output, manager.Tail())
		}
	})
	return f
}

// credentials returns the content of a Secret for the emulator.
func credentials(key string) map[string]string {
	return map[string]string{v1alpha1.SecretKeyAPIKey: key, v1alpha1.SecretKeyBaseURL: openAI.BaseURL()}
}

// putSecret creates or replaces a Secret.
func (f fixture) putSecret(t *testing.T, name string, data map[string]string) {
	t.Helper()
	f.ApplyObject(t, map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name}, "stringData": data})
}

// manifest returns an object with a spec in YAML's flow style.
func manifest(name, spec string) string {
	return fmt.Sprintf("apiVersion: vector-store-operator.dev/v1alpha1\nkind: VectorStoreFileBatch\nmetadata: {name: %s}\nspec: %s\n", name, spec)
}

// manifest returns an object for the fixture's vector store, with further fields of its spec.
func (f fixture) manifest(name, fields string) string {
	return manifest(name, `{vectorStoreID: `+f.store+`, `+fields+`}`)
}

// patchSpec merges fields, in JSON, into the spec of an object.
func (f fixture) patchSpec(t *testing.T, name, fields string) {
	t.Helper()
	f.Must(t, "patch", "vsfb", name, "--type=merge", `--patch={"spec":`+fields+`}`)
}

// delete deletes an object and waits until it is gone.
func (f fixture) delete(t *testing.T, name string) {
	t.Helper()
	f.Must(t, "delete", "vsfb", name, "--timeout="+framework.Timeout.String())
}
