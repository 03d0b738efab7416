// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
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

// apiKey is the API key of all tests. No object and no log may contain it.
const apiKey = "sk-test-4f9a1c7e20b84d3f"

// config contains shorter times than the default.
var config = lifecycle.Config{
	PollMin:         100 * time.Millisecond,
	PollMax:         time.Second,
	RequestTimeout:  4 * time.Second,
	NotFoundGrace:   time.Second,
	FinalizeTimeout: 10 * time.Second, // more than a busy machine delays a detach
}

// limits are the default ones with a short window. Requests per second are not limited: most tests
// are about something else.
var limits = flowcontrol.Limits{RequestsPerSecond: 1000, CreatesPerWindow: 300, FilesPerWindow: 2000, Window: 5 * time.Second}

// workers is the number of concurrent reconciliations.
const workers = 32

// The control plane that all tests share, and the manager's writes to it.
var (
	env    *framework.Env
	writes = &writeCounter{counts: make(map[string]int), failing: make(map[string]int)}
)

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" || flag.Lookup("test.fuzzworker").Value.String() == "true" {
		os.Exit(m.Run()) // fuzzing needs no control plane, and each of its workers would start one
	}
	log.SetLogger(zap.New(zap.WriteTo(logged), zap.UseDevMode(false))) // before Suite sets another: the first one remains
	ctx, stop := context.WithCancel(context.Background())
	os.Exit(framework.Suite{
		// The admission policy is not installed, because the operator must handle what it rejects.
		Options:  framework.Options{Install: []string{"crd"}},
		Setup:    func(context.Context, *framework.Env) error { return startManager(ctx) },
		Teardown: func(context.Context) error { stop(); return nil },
		Parallel: 16,
	}.Run(m, &env))
}

// startManager starts a manager in this process.
func startManager(ctx context.Context) error {
	restConfig := rest.CopyConfig(env.Config)
	restConfig.Wrap(writes.wrap)
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme:  env.Client.Scheme(),
		Metrics: metricsserver.Options{BindAddress: "0"},
		Cache:   controller.CacheOptions(nil, nil),
		Client:  client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: ptr.To(true)}},
	})
	if err != nil {
		return fmt.Errorf("creating the manager: %w", err)
	}
	dial := func(connection upstream.Connection) (controller.DialedClient, error) {
		dialed, err := openai.Dial(connection, openai.Options{
			RequestTimeout: config.RequestTimeout,
			Endpoints:      upstream.EndpointPolicy{AllowInsecure: true},
			Addresses:      upstream.AnyAddress(),
		})
		return &panickingClient{DialedClient: dialed, url: connection.BaseURL}, err
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

// panickingClient is a client whose Retrieve panics as often as panics requests.
type panickingClient struct {
	controller.DialedClient
	url string
}

func (c *panickingClient) Retrieve(ctx context.Context, ref upstream.BatchRef) (upstream.Batch, error) {
	if remaining, found := panics.Load(c.url); found && remaining.(*atomic.Int32).Add(-1) >= 0 {
		panic("requested by a test")
	}
	return c.DialedClient.Retrieve(ctx, ref)
}

// panics maps the URL of an emulator to the number, as *atomic.Int32, of polls that panic.
var panics sync.Map

// logged is the log of the manager.
var logged = &syncBuffer{}

type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// writeCounter counts the manager's writes by the path of the object, and fails those that a test
// selects.
type writeCounter struct {
	mu      sync.Mutex
	counts  map[string]int
	failing map[string]int
}

func (w *writeCounter) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.Method != http.MethodGet && w.count(strings.TrimSuffix(request.URL.Path, "/status")) {
			return nil, errors.New("the API server is unavailable")
		}
		return next.RoundTrip(request)
	})
}

// count counts a write, and reports whether it fails.
func (w *writeCounter) count(path string) (fails bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[path]++
	if fails = w.failing[path] > 0; fails {
		w.failing[path]--
	}
	return fails
}

// failNext makes the next n writes to an object fail as if the API server were unavailable.
func (w *writeCounter) failNext(b *v1alpha1.VectorStoreFileBatch, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing[pathOf(b)] = n
}

// remainingFailures returns how many writes to an object are still to fail.
func (w *writeCounter) remainingFailures(b *v1alpha1.VectorStoreFileBatch) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failing[pathOf(b)]
}

// of returns the number of writes to an object, including its status.
func (w *writeCounter) of(b *v1alpha1.VectorStoreFileBatch) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts[pathOf(b)]
}

func pathOf(b *v1alpha1.VectorStoreFileBatch) string {
	return fmt.Sprintf("/apis/vector-store-operator.dev/v1alpha1/namespaces/%s/vectorstorefilebatches/%s", b.Namespace, b.Name)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// fixture is a namespace with an OpenAI emulator. framework.Fixture does not fit: its proxy buffers the
// responses, which the faults of these tests truncate.
type fixture struct {
	*testing.T
	emulator  *emulator.Server
	api       framework.EmulatorClient
	namespace string
	// profile is that of the emulator.
	profile string
}

const store = "vs_test"

// newFixture creates a fixture with a Secret for its emulator.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := newFixtureWithoutSecret(t)
	f.createSecret(nil)
	return f
}

// newFixtureOf creates a fixture whose emulator has a profile.
func newFixtureOf(t *testing.T, profile string) *fixture {
	t.Helper()
	t.Parallel()
	f := &fixture{T: t, profile: profile}
	f.startEmulator()
	f.createNamespace()
	f.createSecret(nil)
	return f
}

func newFixtureWithoutSecret(t *testing.T) *fixture {
	t.Helper()
	t.Parallel()
	f := &fixture{T: t}
	f.startEmulator()
	f.createNamespace()
	return f
}

func (f *fixture) startEmulator() {
	f.emulator = emulator.New(emulator.Options{Profile: f.profile, APIKeys: []string{apiKey}, VectorStores: []string{store}})
	server := httptest.NewServer(f.emulator)
	f.Cleanup(server.Close)
	f.api = framework.EmulatorClient{URL: server.URL, Key: apiKey, HTTP: http.DefaultClient}
}

func (f *fixture) createNamespace() {
	f.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := env.Client.Create(f.Context(), namespace); err != nil {
		f.Fatal(err)
	}
	f.namespace = namespace.Name
}

// otherNamespace returns a fixture with another namespace, and a Secret with the same credentials.
func (f *fixture) otherNamespace() *fixture {
	f.Helper()
	other := &fixture{T: f.T, emulator: f.emulator, api: f.api}
	other.createNamespace()
	other.createSecret(nil)
	return other
}

// otherServer returns a fixture with another namespace and another emulator.
func (f *fixture) otherServer() *fixture {
	f.Helper()
	other := &fixture{T: f.T}
	other.startEmulator()
	other.createNamespace()
	other.createSecret(nil)
	return other
}

// createSecret creates the default Secret. values replace its default values.
func (f *fixture) createSecret(values map[string]string) {
	f.Helper()
	secret := framework.NewSecret(f.namespace, v1alpha1.DefaultCredentialsSecret, apiKey, f.api.BaseURL())
	maps.Copy(secret.StringData, values)
	if err := env.Client.Create(f.Context(), secret); err != nil {
		f.Fatal(err)
	}
}

// create creates an object, with two files unless the spec contains files or a batch.
func (f *fixture) create(spec v1alpha1.VectorStoreFileBatchSpec) *v1alpha1.VectorStoreFileBatch {
	f.Helper()
	spec.VectorStoreID = store
	if len(spec.FileIDs)+len(spec.Files) == 0 && spec.BatchID == "" {
		spec.FileIDs = []string{"file-a", "file-b"}
	}
	b := framework.NewBatch(f.namespace, "", spec)
	b.GenerateName = "b-"
	if err := env.Client.Create(f.Context(), b); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { f.checkInvariants(b) })
	return b
}

// patch merges JSON into an object.
func (f *fixture) patch(b *v1alpha1.VectorStoreFileBatch, mergePatch string) {
	f.Helper()
	if err := env.Client.Patch(f.Context(), b, client.RawPatch(types.MergePatchType, []byte(mergePatch))); err != nil {
		f.Fatal(err)
	}
}

// patchStatus merges JSON into the status of an object.
func (f *fixture) patchStatus(b *v1alpha1.VectorStoreFileBatch, mergePatch string) {
	f.Helper()
	if err := env.Client.Status().Patch(f.Context(), b, client.RawPatch(types.MergePatchType, []byte(mergePatch))); err != nil {
		f.Fatal(err)
	}
}

// deleteSecret deletes the default Secret.
func (f *fixture) deleteSecret() {
	f.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: v1alpha1.DefaultCredentialsSecret}}
	if err := env.Client.Delete(f.Context(), secret); err != nil {
		f.Fatal(err)
	}
}

// await waits until an object is in a state, and returns it.
func (f *fixture) await(b *v1alpha1.VectorStoreFileBatch, what string, accept func(*v1alpha1.VectorStoreFileBatch) bool) *v1alpha1.VectorStoreFileBatch {
	f.Helper()
	return framework.Await(f, what, func() *v1alpha1.VectorStoreFileBatch {
		current := &v1alpha1.VectorStoreFileBatch{}
		if err := env.Client.Get(f.Context(), client.ObjectKeyFromObject(b), current); err != nil {
			f.Fatal(err)
		}
		return current
	}, accept)
}

// awaitCalls waits until the API received n calls of an operation.
func (f *fixture) awaitCalls(operation emulator.Operation, n int) {
	f.Helper()
	framework.Await(f, fmt.Sprintf("%d calls of %s", n, operation), func() int { return f.calls(operation) }, func(calls int) bool { return calls >= n })
}

// awaitEvent waits for an Event about an object with a reason and a text, and returns it.
func (f *fixture) awaitEvent(b *v1alpha1.VectorStoreFileBatch, reason, text string) eventsv1.Event {
	f.Helper()
	matches := func(event eventsv1.Event) bool {
		return event.Regarding.Name == b.Name && event.Reason == reason && strings.Contains(event.Note, text)
	}
	events := framework.Await(f, fmt.Sprintf("an Event %s with %q", reason, text), func() []eventsv1.Event {
		var list eventsv1.EventList
		if err := env.Client.List(f.Context(), &list, client.InNamespace(b.Namespace)); err != nil {
			f.Fatal(err)
		}
		return list.Items
	}, func(events []eventsv1.Event) bool { return slices.ContainsFunc(events, matches) })
	return events[slices.IndexFunc(events, matches)]
}

// calls returns the number of calls of the API; of all operations if none is given.
func (f *fixture) calls(operations ...emulator.Operation) int {
	return len(f.emulator.Calls(operations...))
}

// fault injects a fault into the emulator.
func (f *fixture) fault(fault emulator.Fault) { f.emulator.AddFault(fault) }

// setPace sets how long the emulator takes for a file.
func (f *fixture) setPace(pace time.Duration) {
	f.emulator.Configure(func(s *emulator.Settings) { s.Pace = pace })
}

// slow is a pace at which no batch finishes during a test.
const slow = time.Hour
