// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// tenant is a namespace of the cluster, and a vector store of the emulator.
type tenant struct {
	namespace, store string
}

// newTenant makes a namespace and a vector store for a test alone. What is in the namespace is
// shown if the test fails.
func newTenant(t *testing.T) tenant {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("Test", "", "/", "-", "_", "-", ",", "").Replace(t.Name()))
	name = strings.Trim(name[:min(len(name), 50)], "-") + "-" + strings.ToLower(rand.Text()[:6])
	n := tenant{namespace: name, store: "vs_" + strings.ReplaceAll(name, "-", "_")}
	n.kubectl(t, "create", "namespace", n.namespace)
	addStore(t, n.store)
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, kind := range []string{"vsfb", "events"} {
			output, err := shared.plane.Run(context.Background(), "--namespace", n.namespace, "get", kind, "--output=yaml")
			t.Logf("%s in namespace %s (%v):\n%.20000s", kind, n.namespace, err, output)
		}
	})
	return n
}

// newUser makes a namespace with the Secret for the emulator.
func newUser(t *testing.T) tenant {
	t.Helper()
	n := newTenant(t)
	n.putSecret(t, "openai", credentials(mainKey))
	return n
}

// credentials are what a Secret for the emulator holds.
func credentials(key string) map[string]string {
	return map[string]string{v1alpha1.SecretKeyAPIKey: key, v1alpha1.SecretKeyBaseURL: shared.upstream + "/v1"}
}

// putSecret makes a Secret, or replaces it.
func (n tenant) putSecret(t *testing.T, name string, data map[string]string) {
	t.Helper()
	manifest, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name}, "stringData": data,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.apply(t, string(manifest))
}

// kubectl runs kubectl in the namespace, and gives what it printed.
func (n tenant) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	output, complaint, err := n.try(t, "", args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, complaint)
	}
	return output
}

// try runs kubectl in the namespace, which may fail.
func (n tenant) try(t *testing.T, input string, args ...string) (output, complaint string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	command := n.command(ctx, args...)
	var out, complaints bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &out, &complaints
	err = command.Run()
	return out.String(), complaints.String(), err
}

func (n tenant) command(ctx context.Context, args ...string) *exec.Cmd {
	return shared.plane.Kubectl(ctx, append([]string{"--namespace", n.namespace}, args...)...)
}

// apply applies a manifest, server-side, with further flags.
func (n tenant) apply(t *testing.T, manifest string, flags ...string) {
	t.Helper()
	if _, complaint, err := n.try(t, manifest, append([]string{"apply", "--server-side", "--filename=-"}, flags...)...); err != nil {
		t.Fatalf("kubectl apply: %v: %s", err, complaint)
	}
}

// manifest is an object with a spec given in YAML's flow style.
func manifest(name, spec string) string {
	return fmt.Sprintf("apiVersion: vector-store-operator.dev/v1alpha1\nkind: VectorStoreFileBatch\nmetadata: {name: %s}\nspec: %s\n", name, spec)
}

// manifest is an object for the tenant's vector store, with further fields of its spec.
func (n tenant) manifest(name, fields string) string {
	return manifest(name, `{vectorStoreID: `+n.store+`, `+fields+`}`)
}

// wait runs kubectl wait on an object until what it is for.
func (n tenant) wait(t *testing.T, name, what string) {
	t.Helper()
	n.kubectl(t, "wait", "vsfb/"+name, "--for="+what, "--timeout="+patience.String())
}

// waiting starts kubectl wait, and returns once it is watching. The command's end is then to
// be had from the process.
func (n tenant) waiting(t *testing.T, name, what string) *process {
	t.Helper()
	// At this verbosity kubectl logs its requests.
	command := n.command(t.Context(), "wait", "vsfb/"+name, "--for="+what, "--timeout="+patience.String(), "-v=6")
	p, err := start(command, filepath.Join(t.TempDir(), "wait.log"), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = until(ctx, "kubectl wait to watch", func(context.Context) (bool, error) {
		return strings.Contains(p.output(), "watch=true"), p.died()
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantEnd demands that a command ends by itself, and well.
func (p *process) wantEnd(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		if p.err != nil {
			t.Errorf("%v: %v: %s", p.command.Args, p.err, p.tail())
		}
	case <-t.Context().Done():
		t.Errorf("%v did not end", p.command.Args)
	}
}

// object reads an object.
func (n tenant) object(t *testing.T, name string) *v1alpha1.VectorStoreFileBatch {
	t.Helper()
	b := &v1alpha1.VectorStoreFileBatch{}
	if err := json.Unmarshal([]byte(n.kubectl(t, "get", "vsfb", name, "--output=json")), b); err != nil {
		t.Fatal(err)
	}
	return b
}

// keysIn are the API keys that stand in a text, as they are or in base64.
func keysIn(text string) []string {
	return slices.DeleteFunc(allKeys(), func(key string) bool {
		return !strings.Contains(text, key) && !strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(key)))
	})
}
