// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/controller"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/flowcontrol"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// apiKey is the key of every test, for which everything that is written is searched.
const apiKey = "sk-test-4f9a1c7e20b84d3f"

// config holds the timings of the tests: the default ones, shortened.
var config = lifecycle.Config{
	PollMin:         100 * time.Millisecond,
	PollMax:         time.Second,
	RequestTimeout:  4 * time.Second,
	NotFoundGrace:   time.Second,
	FinalizeTimeout: 3 * time.Second,
}

// limits are the default ones with a short minute, but for the number of requests: most tests are
// about something else.
var limits = flowcontrol.Limits{RequestsPerSecond: 1000, CreatesPerWindow: 300, FilesPerWindow: 2000, Window: 5 * time.Second}

// workers is how many passes are made at a time.
const workers = 32

// The control plane that all tests share, and what the manager wrote to it.
var (
	apiServer *rest.Config
	k8s       client.Client
	writes    = &writeCounter{counts: make(map[string]int), lost: make(map[string]int)}
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests wait far more than they compute.
	utilruntime.Must(flag.Set("test.parallel", "16"))
	if flag.Lookup("test.fuzz").Value.String() != "" || flag.Lookup("test.fuzzworker").Value.String() == "true" {
		os.Exit(m.Run()) // fuzzing needs no control plane, and each of its workers would start one
	}
	os.Exit(runSuite(m))
}

func runSuite(m *testing.M) int {
	log.SetLogger(zap.New(zap.WriteTo(logged), zap.UseDevMode(false)))
	plane, err := framework.Start(context.Background(), framework.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { utilruntime.HandleError(plane.Stop()) }()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if err := start(ctx, plane); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// start installs the CRD and runs a manager in this process. The admission policy is left out,
// since what it refuses must end well without it too.
func start(ctx context.Context, plane *framework.Env) error {
	if err := plane.Install(ctx, "crd"); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	var err error
	apiServer = plane.Config
	if k8s, err = client.New(apiServer, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	restConfig := rest.CopyConfig(apiServer)
	restConfig.Wrap(writes.wrap)
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme:  scheme,
		Metrics: metricsserver.Options{BindAddress: "0"},
		Cache:   cache.Options{ByObject: controller.CachedObjects(nil)},
		Client:  client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
	})
	if err != nil {
		return fmt.Errorf("making the manager: %w", err)
	}
	dial := func(connection upstream.Connection) (controller.DialedClient, error) {
		dialed, err := openai.Dial(connection, openai.Options{
			RequestTimeout: config.RequestTimeout,
			Endpoints:      upstream.EndpointPolicy{AllowInsecure: true},
		})
		return &fragile{DialedClient: dialed, url: connection.BaseURL}, err
	}
	reconciler := controller.New(controller.Options{
		Client:      mgr.GetClient(),
		Reader:      mgr.GetAPIReader(),
		Dial:        dial,
		Events:      mgr.GetEventRecorder("vector-store-operator"),
		Clock:       clock.RealClock{},
		Lifecycle:   config,
		Limits:      limits,
		Concurrency: workers,
	})
	if err := reconciler.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up the controller: %w", err)
	}
	go func() { utilruntime.HandleError(mgr.Start(ctx)) }()
	return nil
}

// fragile is a client that panics where a test wants it to.
type fragile struct {
	controller.DialedClient
	url string
}

func (f *fragile) Retrieve(ctx context.Context, ref upstream.BatchRef) (upstream.Batch, error) {
	if left, wanted := panics.Load(f.url); wanted && left.(*atomic.Int32).Add(-1) >= 0 {
		panic("a test wants this")
	}
	return f.DialedClient.Retrieve(ctx, ref)
}

// panics are the numbers, as *atomic.Int32, of looks at an upstream, by its URL, that are to panic.
var panics sync.Map

// logged is everything that was logged.
var logged = &synced{}

type synced struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *synced) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// writeCounter counts the writes of the manager by the path of what was written, and keeps
// those from the API server that a test wants to be lost.
type writeCounter struct {
	mu     sync.Mutex
	counts map[string]int
	lost   map[string]int
}

func (w *writeCounter) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.Method != http.MethodGet {
			path := strings.TrimSuffix(request.URL.Path, "/status")
			if w.count(path) {
				return nil, errors.New("the API server is away")
			}
		}
		return next.RoundTrip(request)
	})
}

// count counts a write, and reports whether it is to be lost.
func (w *writeCounter) count(path string) (lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[path]++
	if lost = w.lost[path] > 0; lost {
		w.lost[path]--
	}
	return lost
}

// lose makes the next writes to an object fail, as those to an API server that is away.
func (w *writeCounter) lose(b *v1alpha1.VectorStoreFileBatch, number int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost[pathOf(b)] = number
}

// losing is how many of them are still to come.
func (w *writeCounter) losing(b *v1alpha1.VectorStoreFileBatch) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost[pathOf(b)]
}

func pathOf(b *v1alpha1.VectorStoreFileBatch) string {
	return fmt.Sprintf("/apis/vector-store-operator.dev/v1alpha1/namespaces/%s/vectorstorefilebatches/%s", b.Namespace, b.Name)
}

// to is how often an object was written, its status included.
func (w *writeCounter) to(b *v1alpha1.VectorStoreFileBatch) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts[pathOf(b)]
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// world is a namespace with an upstream of its own.
type world struct {
	*testing.T
	upstream  *emulator.Server
	url       string
	namespace string
}

const store = "vs_test"

// newWorld makes a world for a test, with a Secret that leads to its upstream.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := worldWithoutSecret(t)
	w.createSecret(map[string]string{})
	return w
}

func worldWithoutSecret(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{T: t}
	w.serve()
	w.settleDown()
	return w
}

// serve gives a world an upstream of its own.
func (w *world) serve() {
	w.upstream = emulator.New(emulator.Options{APIKeys: []string{apiKey}, VectorStores: []string{store}})
	server := httptest.NewServer(w.upstream)
	w.Cleanup(server.Close)
	w.url = server.URL + "/v1"
}

// settleDown gives a world a namespace.
func (w *world) settleDown() {
	w.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := k8s.Create(w.Context(), namespace); err != nil {
		w.Fatal(err)
	}
	w.namespace = namespace.Name
}

// neighbour is another namespace with the same upstream, and a Secret of the same content.
func (w *world) neighbour() *world {
	w.Helper()
	other := &world{T: w.T, upstream: w.upstream, url: w.url}
	other.settleDown()
	other.createSecret(map[string]string{})
	return other
}

// stranger is a world with nothing in common, in the same test.
func (w *world) stranger() *world {
	w.Helper()
	other := &world{T: w.T}
	other.serve()
	other.settleDown()
	other.createSecret(map[string]string{})
	return other
}

// createSecret makes the Secret named openai; values replace what it holds by default.
func (w *world) createSecret(values map[string]string) {
	w.Helper()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "openai"},
		StringData: map[string]string{v1alpha1.SecretKeyAPIKey: apiKey, v1alpha1.SecretKeyBaseURL: w.url},
	}
	for key, value := range values {
		secret.StringData[key] = value
	}
	if err := k8s.Create(w.Context(), secret); err != nil {
		w.Fatal(err)
	}
}

// create makes an object; its spec attaches files unless it says otherwise.
func (w *world) create(spec v1alpha1.VectorStoreFileBatchSpec) *v1alpha1.VectorStoreFileBatch {
	w.Helper()
	spec.VectorStoreID = store
	if len(spec.FileIDs)+len(spec.Files) == 0 && spec.BatchID == "" {
		spec.FileIDs = []string{"file-a", "file-b"}
	}
	b := &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, GenerateName: "b-"}, Spec: spec}
	if err := k8s.Create(w.Context(), b); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { w.checkInvariants(b) })
	return b
}

// patch changes an object as a person would.
func (w *world) patch(b *v1alpha1.VectorStoreFileBatch, mergePatch string) {
	w.Helper()
	if err := k8s.Patch(w.Context(), b, client.RawPatch("application/merge-patch+json", []byte(mergePatch))); err != nil {
		w.Fatal(err)
	}
}

// eventually waits until the object is as the test wants it, and gives it; hint says what for.
func (w *world) eventually(b *v1alpha1.VectorStoreFileBatch, hint string, wanted func(*v1alpha1.VectorStoreFileBatch) bool) *v1alpha1.VectorStoreFileBatch {
	w.Helper()
	current := &v1alpha1.VectorStoreFileBatch{}
	w.poll(func() bool {
		if err := k8s.Get(w.Context(), client.ObjectKeyFromObject(b), current); err != nil {
			w.Fatal(err)
		}
		return wanted(current)
	}, func() string { return fmt.Sprintf("%s; status is %+v", hint, current.Status) })
	return current
}

// poll waits until a condition holds, and fails the test where it does not come to hold.
func (w *world) poll(done func() bool, hint func() string) {
	w.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			w.Fatalf("waited in vain: %s", hint())
		}
	}
}

// events are the reasons of the Events about an object.
func (w *world) events(b *v1alpha1.VectorStoreFileBatch) map[string]eventsv1.Event {
	w.Helper()
	var list eventsv1.EventList
	if err := k8s.List(w.Context(), &list, client.InNamespace(b.Namespace)); err != nil {
		w.Fatal(err)
	}
	byReason := make(map[string]eventsv1.Event)
	for _, event := range list.Items {
		if event.Regarding.Name == b.Name {
			byReason[event.Reason] = event
		}
	}
	return byReason
}

// eventually an Event about the object has this reason.
func (w *world) eventuallyEvent(b *v1alpha1.VectorStoreFileBatch, reason string) eventsv1.Event {
	w.Helper()
	w.poll(func() bool { _, there := w.events(b)[reason]; return there },
		func() string { return fmt.Sprintf("for an Event %s; there are %v", reason, w.events(b)) })
	return w.events(b)[reason]
}

// calls are how often the upstream was called.
func (w *world) calls(operations ...emulator.Operation) int {
	return len(w.upstream.Calls(operations...))
}

// fault makes the upstream misbehave.
func (w *world) fault(fault emulator.Fault) { w.upstream.AddFault(fault) }

// pace sets how long the upstream takes for a file.
func (w *world) pace(pace time.Duration) {
	w.upstream.Configure(func(s *emulator.Settings) { s.Pace = pace })
}

// slow is a pace at which no batch ends within a test.
const slow = time.Hour
