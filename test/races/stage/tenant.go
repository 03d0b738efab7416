// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"crypto/rand"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// Tenant is what a test has to itself: a namespace, an upstream with a vector store, and
// managers that see nothing else.
type Tenant struct {
	*Stage
	// Namespace holds the objects, and the lease of the managers.
	Namespace string
	// Emulator is the upstream.
	Emulator *emulator.Server

	url  string
	seen requests
	mu   sync.Mutex
	step Step
}

// Store is the vector store of every tenant, and APIKey the key in its Secrets.
const (
	Store  = "vs_races"
	APIKey = "sk-races-5b1e0c"
)

// NewTenant makes a tenant, whose namespace has the Secret that objects name by default.
func (s *Stage) NewTenant(t *testing.T, options emulator.Options) *Tenant {
	t.Helper()
	options.VectorStores = append(options.VectorStores, Store)
	n := &Tenant{Stage: s, Namespace: "t-" + strings.ToLower(rand.Text()[:12]), Emulator: emulator.New(options)}
	server := httptest.NewServer(&calls{emulator: n.Emulator, step: n.take, seen: &n.seen})
	n.url = server.URL
	t.Cleanup(server.CloseClientConnections) // Close would wait for calls that a frozen manager holds
	n.MustCreate(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.Namespace}})
	n.AddSecret(t, v1alpha1.DefaultCredentialsSecret)
	return n
}

// AddSecret makes a Secret that leads to the tenant's upstream.
func (n *Tenant) AddSecret(t *testing.T, name string) {
	t.Helper()
	n.MustCreate(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: n.Namespace, Name: name},
		StringData: map[string]string{v1alpha1.SecretKeyAPIKey: APIKey, v1alpha1.SecretKeyBaseURL: n.url + "/v1"},
	})
}

// At makes a function the step of every request from now on.
func (n *Tenant) At(step Step) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.step = step
}

func (n *Tenant) take(r Request) int {
	n.mu.Lock()
	step := n.step
	n.mu.Unlock()
	if step == nil {
		return 0
	}
	return step(r)
}

// Seen are the requests of a kind that were answered so far.
func (n *Tenant) Seen(op Op) []Request {
	return slices.DeleteFunc(n.seen.all(), func(r Request) bool { return r.Op != op })
}

// SeenAll are all requests that were answered so far, in that order.
func (n *Tenant) SeenAll() []Request { return n.seen.all() }

// Setup is what is particular about a manager.
type Setup struct {
	Watch Watch
	// Stale gives what a list of objects is answered with, in place of the server's answer;
	// nil, where it is nil or gives nil.
	Stale func() []byte
	// Kubeconfig is used in place of an administrator's through the proxy.
	Kubeconfig string
	// Environment is added to what the process has.
	Environment []string
	// Flags are added to those that all managers of tests have.
	Flags []string
}

// Elected are the flags of a manager that waits to be the leader.
func (n *Tenant) Elected() []string {
	return []string{"--leader-elect", "--leader-election-namespace=" + n.Namespace}
}

// Start starts a manager, which sees the tenant's namespace through a proxy of its own.
func (n *Tenant) Start(t *testing.T, name string, setup Setup) *Process {
	t.Helper()
	folder, err := os.MkdirTemp(n.folder, name+"-")
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := setup.Kubeconfig
	if kubeconfig == "" {
		kubeconfig = n.throughProxy(t, name, folder, setup)
	}
	args := append([]string{
		"--kubeconfig=" + kubeconfig, "--watch-namespaces=" + n.Namespace, "--allow-insecure-endpoints",
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--zap-log-level=debug",
		"--poll-interval-min=200ms", "--poll-interval-max=1s", "--request-timeout=2s",
	}, setup.Flags...)
	return Launch(t, name, filepath.Join(folder, "log"), n.program(), setup.Environment, args...)
}

// throughProxy writes a kubeconfig that leads through a proxy of its own.
func (n *Tenant) throughProxy(t *testing.T, name, folder string, setup Setup) (kubeconfig string) {
	t.Helper()
	target, err := url.Parse(n.Plane.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&proxy{
		manager: name, target: target, client: n.apiserver, step: n.take, watch: setup.Watch, stale: setup.Stale, seen: &n.seen,
	})
	t.Cleanup(server.CloseClientConnections)
	kubeconfig = filepath.Join(folder, "kubeconfig")
	err = clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: server.URL}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c"}},
		CurrentContext: "c",
	}, kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// Object is an object of the tenant; its spec is filled up where it leaves the store out.
func (n *Tenant) Object(name string, spec v1alpha1.VectorStoreFileBatchSpec) *v1alpha1.VectorStoreFileBatch {
	if spec.VectorStoreID == "" {
		spec.VectorStoreID = Store
	}
	return &v1alpha1.VectorStoreFileBatch{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "VectorStoreFileBatch"},
		ObjectMeta: metav1.ObjectMeta{Namespace: n.Namespace, Name: name}, Spec: spec,
	}
}

// MustCreate makes an object.
func (n *Tenant) MustCreate(t *testing.T, object client.Object) {
	t.Helper()
	if err := n.Client.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// Read gives the object of a name; nil where there is none.
func (n *Tenant) Read(t *testing.T, name string) *v1alpha1.VectorStoreFileBatch {
	t.Helper()
	var b v1alpha1.VectorStoreFileBatch
	err := n.Client.Get(t.Context(), client.ObjectKey{Namespace: n.Namespace, Name: name}, &b)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return &b
}

// WaitReason waits until an object is Ready, or is not, for a reason, and gives it.
func (n *Tenant) WaitReason(t *testing.T, name, reason string) *v1alpha1.VectorStoreFileBatch {
	t.Helper()
	var b *v1alpha1.VectorStoreFileBatch
	t.Cleanup(func() {
		if t.Failed() && Reason(b) != reason {
			t.Logf("%s is %s, want %s: %+v", name, Reason(b), reason, b)
		}
	})
	Eventually(t, name+" to be "+reason, func() bool {
		b = n.Read(t, name)
		return Reason(b) == reason
	})
	return b
}

// Reason is why an object is Ready, or is not; "gone" where there is none.
func Reason(b *v1alpha1.VectorStoreFileBatch) string {
	if b == nil {
		return "gone"
	}
	if ready := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Reason
	}
	return ""
}
