// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

const (
	// VectorStore is the vector store of every Fixture.
	VectorStore = "vs_test"
	// APIKey is the key in the Secrets of every Fixture.
	APIKey = "sk-test-5b1e0c7e3a7790c2"
)

// Fixture is what one test has to itself: a namespace, an OpenAI emulator with a vector store, and
// managers that watch nothing else.
type Fixture struct {
	*Env
	// Namespace contains the objects, and the lease of the managers.
	Namespace string
	// Kubectl runs kubectl in the namespace, as an administrator.
	Kubectl Kubectl
	// Emulator is in this process, behind a proxy at URL. NewServerFixture has none.
	Emulator *emulator.Server
	// URL is the proxy's, without a path, and BaseURL the one for OPENAI_BASE_URL.
	URL, BaseURL string

	recorder proxy.Recorder
}

// NewFixture creates a namespace with the default Secret, and an emulator. The emulator accepts any key unless
// the options name keys.
func (e *Env) NewFixture(t testing.TB, options emulator.Options) *Fixture {
	t.Helper()
	f := e.NewFixtureWithoutSecret(t, options)
	f.CreateSecret(t, v1alpha1.DefaultCredentialsSecret)
	return f
}

// NewFixtureWithoutSecret is NewFixture without the Secret.
func (e *Env) NewFixtureWithoutSecret(t testing.TB, options emulator.Options) *Fixture {
	t.Helper()
	options.VectorStores = append(options.VectorStores, VectorStore)
	f := e.newFixture()
	f.Emulator = emulator.New(options)
	f.serve(t, proxy.NewEmulator(f.Emulator, &f.recorder))
	return f
}

// NewServerFixture creates a namespace with the default Secret for a server of the OpenAI API, at a URL
// without a path, that takes the place of the emulator. The server must accept APIKey.
func (e *Env) NewServerFixture(t testing.TB, url string) *Fixture {
	t.Helper()
	f := e.newFixture()
	handler, err := proxy.NewServer(url, &f.recorder)
	if err != nil {
		t.Fatal(err)
	}
	f.serve(t, handler)
	f.CreateSecret(t, v1alpha1.DefaultCredentialsSecret)
	return f
}

func (e *Env) newFixture() *Fixture {
	namespace := "test-" + strings.ToLower(rand.Text()[:12])
	return &Fixture{Env: e, Namespace: namespace, Kubectl: e.Kubectl.In(namespace)}
}

// serve serves the proxy of the OpenAI API, and creates the namespace.
func (f *Fixture) serve(t testing.TB, handler http.Handler) {
	t.Helper()
	server, err := proxy.Serve(handler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() }) // a frozen manager may still have connections
	f.URL, f.BaseURL = server.URL, server.URL+"/v1"
	f.Create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.Namespace}})
}

// EmulatorClient returns a client of the emulator with APIKey.
func (f *Fixture) EmulatorClient() EmulatorClient {
	return EmulatorClient{URL: f.URL, Key: APIKey, HTTP: http.DefaultClient}
}

// CreateSecret creates a Secret with credentials for the emulator.
func (f *Fixture) CreateSecret(t testing.TB, name string) {
	t.Helper()
	f.Create(t, NewSecret(f.Namespace, name, APIKey, f.BaseURL))
}

// OnRequest makes hook the hook of every request from now on; nil removes it.
func (f *Fixture) OnRequest(hook proxy.Hook) { f.recorder.SetHook(hook) }

// Requests returns the requests of an operation that were answered so far.
func (f *Fixture) Requests(operation proxy.Operation) []proxy.Request {
	return f.recorder.Requests(operation)
}

// AllRequests returns all requests that were answered so far, in that order.
func (f *Fixture) AllRequests() []proxy.Request { return f.recorder.AllRequests() }

// Setup is what is special about a manager of a Fixture.
type Setup struct {
	// Watch delays or interrupts its watches.
	Watch proxy.Watch
	// StaleList returns the answer to a list of objects, in place of the API server's; the API server
	// answers if it is nil or returns nil.
	StaleList func() []byte
	// Kubeconfig replaces an administrator's through a proxy.
	Kubeconfig string
	// Env is added to the environment, and Flags to the flags.
	Env   []string
	Flags []string
}

// LeaderElection returns the flags of a manager that elects a leader in the namespace.
func (f *Fixture) LeaderElection() []string {
	return []string{"--leader-elect", "--leader-election-namespace=" + f.Namespace}
}

// StartManager starts a manager that watches the namespace, through a proxy of its own. The test kills
// it in the end, and shows its output if the test failed.
func (f *Fixture) StartManager(t testing.TB, name string, setup Setup) *Process {
	t.Helper()
	dir, err := os.MkdirTemp(f.Dir, name+"-")
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := setup.Kubeconfig
	if kubeconfig == "" {
		kubeconfig = f.proxiedKubeconfig(t, name, dir, setup)
	}
	flags := append([]string{"--watch-namespaces=" + f.Namespace, "--request-timeout=2s"}, setup.Flags...)
	p, err := Run(Command{
		Name: name, Path: f.Program("manager"), Log: filepath.Join(dir, "log"),
		Env: append([]string{"GOMAXPROCS=2"}, setup.Env...), Args: ManagerFlags(kubeconfig, flags...),
	})
	if err != nil {
		t.Fatal(err)
	}
	p.KillAfter(t)
	return p
}

// proxiedKubeconfig starts a proxy before the API server, and returns a kubeconfig for it.
func (f *Fixture) proxiedKubeconfig(t testing.TB, name, dir string, setup Setup) string {
	t.Helper()
	handler, err := proxy.NewAPIServer(f.Config.Host, f.HTTPClient, &f.recorder)
	if err != nil {
		t.Fatal(err)
	}
	handler.Manager, handler.Watch, handler.StaleList = name, setup.Watch, setup.StaleList
	server, err := proxy.Serve(handler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	file := filepath.Join(dir, "kubeconfig")
	if err := writeKubeconfig(file, &clientcmdapi.Cluster{Server: server.URL}, nil); err != nil {
		t.Fatal(err)
	}
	return file
}

// Batch returns an object of the namespace. Its vector store is VectorStore unless the spec names one.
func (f *Fixture) Batch(name string, spec v1alpha1.VectorStoreFileBatchSpec) *v1alpha1.VectorStoreFileBatch {
	if spec.VectorStoreID == "" {
		spec.VectorStoreID = VectorStore
	}
	return NewBatch(f.Namespace, name, spec)
}

// Create creates an object.
func (f *Fixture) Create(t testing.TB, object client.Object) {
	t.Helper()
	if err := f.Client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// Patch merges JSON into the VectorStoreFileBatch of a name. It does nothing if that is gone.
func (f *Fixture) Patch(t testing.TB, name, patch string) {
	t.Helper()
	b := NewBatch(f.Namespace, name, v1alpha1.VectorStoreFileBatchSpec{})
	err := f.Client.Patch(context.WithoutCancel(t.Context()), b, client.RawPatch(types.MergePatchType, []byte(patch)))
	if client.IgnoreNotFound(err) != nil {
		t.Errorf("patching %s: %v", name, err)
	}
}

// Get reads the VectorStoreFileBatch of a name. It returns nil if that is gone.
func (f *Fixture) Get(t testing.TB, name string) *v1alpha1.VectorStoreFileBatch {
	t.Helper()
	var b v1alpha1.VectorStoreFileBatch
	err := f.Client.Get(t.Context(), client.ObjectKey{Namespace: f.Namespace, Name: name}, &b)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return &b
}

// WaitForReason waits until the condition Ready of an object has a reason, or until the object is gone
// if the reason is "gone". It returns the object.
func (f *Fixture) WaitForReason(t testing.TB, name, reason string) *v1alpha1.VectorStoreFileBatch {
	t.Helper()
	return Await(t, name+" to be "+reason, func() *v1alpha1.VectorStoreFileBatch { return f.Get(t, name) },
		func(b *v1alpha1.VectorStoreFileBatch) bool { return ReadyReason(b) == reason && !refusedEarly(b) })
}

// refusedEarly reports whether the API refused a request just after a change, so that the operator
// repeats it before the object is stalled.
func refusedEarly(b *v1alpha1.VectorStoreFileBatch) bool {
	switch ReadyReason(b) {
	case v1alpha1.ReasonBatchNotFound, v1alpha1.ReasonRejected, v1alpha1.ReasonCredentialsRejected:
		return meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionReconciling)
	default:
		return false
	}
}
