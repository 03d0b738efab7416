// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	stdlog "log"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// key is what the emulator takes.
const key = "sk-install"

// cluster is a real API server with nodes that stand in, and an upstream.
type cluster struct {
	plane    *controlplane.ControlPlane
	client   client.Client
	emulator *emulator.Server
	// secure serves the emulator over TLS, plain does without, and authority is the certificate
	// of the first, in PEM.
	secure, plain *httptest.Server
	authority     string
}

// manager builds the manager, once for all tests.
var manager = sync.OnceValues(func() (string, error) {
	program := filepath.Join(programs, "manager")
	command := exec.Command("go", "build", "-o", program, "./cmd/manager")
	command.Dir = controlplane.Root()
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the manager: %w: %s", err, output)
	}
	return program, nil
})

func newCluster(t *testing.T) *cluster {
	t.Helper()
	log.SetLogger(logr.Discard())
	program, err := manager()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{emulator: emulator.New(emulator.Options{APIKeys: []string{key}, Settings: emulator.Settings{Pace: 100 * time.Millisecond}})}
	c.secure, c.plain = httptest.NewUnstartedServer(c.emulator), httptest.NewServer(c.emulator)
	c.secure.Config.ErrorLog = stdlog.New(io.Discard, "", 0) // handshakes are made to fail
	c.secure.StartTLS()
	t.Cleanup(c.secure.Close)
	t.Cleanup(c.plain.Close)
	c.authority = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.secure.Certificate().Raw}))
	if c.plane, err = controlplane.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	if c.client, err = client.New(c.plane.Config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	c.runNodes(t, program)
	return c
}

func (c *cluster) runNodes(t *testing.T, program string) {
	t.Helper()
	n := &nodes{t: t, plane: c.plane, client: c.client, program: program, folder: t.TempDir(), rollouts: map[types.NamespacedName]*rollout{}}
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
	output, err := c.plane.Run(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// apply applies an object.
func (c *cluster) apply(t *testing.T, namespace string, object any) {
	t.Helper()
	manifest, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	command := c.plane.Kubectl(t.Context(), "--namespace="+namespace, "apply", "--server-side", "--filename=-")
	command.Stdin = strings.NewReader(string(manifest))
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("kubectl apply: %v: %s", err, output)
	}
}

// tenant makes a namespace with a Secret for the emulator, and a vector store of its own.
func (c *cluster) tenant(t *testing.T, namespace, baseURL string, more map[string]string) (store string) {
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

// user makes a tenant whose Secret has all that the upstream needs, also its authority.
func (c *cluster) user(t *testing.T, namespace string) (store string) {
	t.Helper()
	return c.tenant(t, namespace, c.secure.URL, map[string]string{v1alpha1.SecretKeyCABundle: c.authority})
}

func batchOf(name, store string, files ...string) map[string]any {
	return map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "VectorStoreFileBatch", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"vectorStoreID": store, "fileIDs": files},
	}
}

// mainJob applies a VectorStoreFileBatch, and demands that its files come to be in the store, by
// one batch.
func (c *cluster) mainJob(t *testing.T, namespace, name, store string) {
	t.Helper()
	before := len(c.batches(store))
	c.apply(t, namespace, batchOf(name, store, "file-one-"+name, "file-two-"+name))
	b := c.wantFinished(t, namespace, name)
	if b.Status.Status != "completed" || b.Status.FileCounts.Completed != 2 {
		t.Errorf("%s/%s is %+v, want it completed with 2 files", namespace, name, b.Status)
	}
	if made := len(c.batches(store)) - before; made != 1 {
		t.Errorf("the upstream has %d batches for %s/%s, want 1", made, namespace, name)
	}
}

// batches are those of a vector store.
func (c *cluster) batches(store string) []emulator.Batch {
	var found []emulator.Batch
	for _, b := range c.emulator.Batches() {
		if b.VectorStoreID == store {
			found = append(found, b)
		}
	}
	return found
}

// wantFinished waits until an object is.
func (c *cluster) wantFinished(t *testing.T, namespace, name string) *v1alpha1.VectorStoreFileBatch {
	t.Helper()
	c.kubectl(t, "--namespace="+namespace, "wait", "vsfb/"+name, "--for=condition=Finished", "--timeout="+patience.String())
	return c.object(t, namespace, name)
}

func (c *cluster) object(t *testing.T, namespace, name string) *v1alpha1.VectorStoreFileBatch {
	t.Helper()
	b := &v1alpha1.VectorStoreFileBatch{}
	if err := c.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// wantReason waits until an object gives a reason, and shows what it is if it never does.
func (c *cluster) wantReason(t *testing.T, namespace, name, reason string) {
	t.Helper()
	var last *v1alpha1.VectorStoreFileBatch
	eventually(t, func() bool {
		last = c.object(t, namespace, name)
		return len(last.Status.Conditions) > 0 && last.Status.Conditions[0].Reason == reason
	}, func() string { return fmt.Sprintf("%s/%s to be %s; it is %+v", namespace, name, reason, last.Status) })
}

// eventually waits until a condition holds.
func eventually(t *testing.T, condition func() bool, what func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(context.Context) (bool, error) {
		return condition(), nil
	})
	if err != nil {
		t.Fatalf("waiting for %s: %v", what(), err)
	}
}
