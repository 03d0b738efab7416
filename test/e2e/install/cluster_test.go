// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"context"
	"encoding/pem"
	"io"
	stdlog "log"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// key is the API key that the emulator accepts.
const key = "sk-install"

// cluster is a real API server with simulated nodes, and an OpenAI emulator.
type cluster struct {
	*framework.Env

	emulator *emulator.Server
	// secure serves the emulator over TLS, and plain without. authority is the certificate of secure, in
	// PEM.
	secure, plain *httptest.Server
	authority     string
}

// buildManager builds the manager, once for all tests.
var buildManager = sync.OnceValue(func() error {
	return framework.Build(context.Background(), programs, nil, "manager")
})

func newCluster(t *testing.T) *cluster {
	t.Helper()
	if err := buildManager(); err != nil {
		t.Fatal(err)
	}
	env, err := framework.Start(t.Context(), framework.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	c := &cluster{Env: env, emulator: emulator.New(emulator.Options{APIKeys: []string{key}, Settings: emulator.Settings{Pace: 100 * time.Millisecond}})}
	c.secure, c.plain = httptest.NewUnstartedServer(c.emulator), httptest.NewServer(c.emulator)
	c.secure.Config.ErrorLog = stdlog.New(io.Discard, "", 0) // some handshakes fail on purpose
	c.secure.StartTLS()
	t.Cleanup(c.secure.Close)
	t.Cleanup(c.plain.Close)
	c.authority = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.secure.Certificate().Raw}))
	c.runNodes(t)
	return c
}

func (c *cluster) runNodes(t *testing.T) {
	t.Helper()
	n := &nodes{t: t, Env: c.Env, rollouts: map[types.NamespacedName]*rollout{}}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// kubectl runs kubectl as the administrator.
func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return c.Kubectl.Must(t, args...)
}

// apply applies an object.
func (c *cluster) apply(t *testing.T, namespace string, object any) {
	t.Helper()
	c.Kubectl.In(namespace).ApplyObject(t, object)
}

// namespace creates a namespace with a Secret for the emulator, and a vector store for it.
func (c *cluster) namespace(t *testing.T, namespace, baseURL string, more map[string]string) (store string) {
	t.Helper()
	c.kubectl(t, "create", "namespace", namespace)
	data := map[string]string{v1alpha1.SecretKeyAPIKey: key, v1alpha1.SecretKeyBaseURL: baseURL + "/v1"}
	for name, value := range more {
		data[name] = value
	}
	c.apply(t, namespace, map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": v1alpha1.DefaultCredentialsSecret}, "stringData": data,
	})
	store = "vs_" + strings.ReplaceAll(namespace, "-", "_")
	c.emulator.AddStore(store)
	return store
}

// user creates a namespace whose Secret has everything for the emulator, also its certificate.
func (c *cluster) user(t *testing.T, namespace string) (store string) {
	t.Helper()
	return c.namespace(t, namespace, c.secure.URL, map[string]string{v1alpha1.SecretKeyCABundle: c.authority})
}

func batchOf(name, store string, files ...string) map[string]any {
	return map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "VectorStoreFileBatch", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"vectorStoreID": store, "fileIDs": files},
	}
}

// complete applies a VectorStoreFileBatch, and requires that one batch attaches its files.
func (c *cluster) complete(t *testing.T, namespace, name, store string) {
	t.Helper()
	before := len(c.batches(store))
	c.apply(t, namespace, batchOf(name, store, "file-one-"+name, "file-two-"+name))
	b := c.wantFinished(t, namespace, name)
	if b.Status.Status != "completed" || b.Status.FileCounts.Completed != 2 {
		t.Errorf("%s/%s is %+v, want it completed with 2 files", namespace, name, b.Status)
	}
	if made := len(c.batches(store)) - before; made != 1 {
		t.Errorf("the emulator has %d batches for %s/%s, want 1", made, namespace, name)
	}
}

// batches returns those of a vector store.
func (c *cluster) batches(store string) []emulator.Batch {
	var found []emulator.Batch
	for _, b := range c.emulator.Batches() {
		if b.VectorStoreID == store {
			found = append(found, b)
		}
	}
	return found
}

// wantFinished waits until an object is finished.
func (c *cluster) wantFinished(t *testing.T, namespace, name string) *v1alpha1.VectorStoreFileBatch {
	t.Helper()
	c.Kubectl.In(namespace).WaitFor(t, name, "condition=Finished")
	return c.object(t, namespace, name)
}

func (c *cluster) object(t *testing.T, namespace, name string) *v1alpha1.VectorStoreFileBatch {
	t.Helper()
	b := &v1alpha1.VectorStoreFileBatch{}
	if err := c.Client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// wantReason waits until the condition Ready of an object has a reason.
func (c *cluster) wantReason(t *testing.T, namespace, name, reason string) {
	t.Helper()
	framework.Await(t, namespace+"/"+name+" to be "+reason, func() *v1alpha1.VectorStoreFileBatch { return c.object(t, namespace, name) },
		func(b *v1alpha1.VectorStoreFileBatch) bool { return framework.ReadyReason(b) == reason })
}
