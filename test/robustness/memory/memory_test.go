// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package memory measures the peak memory of the built manager beside tenants and servers that try to
// fill it.
package memory

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// limit is the memory limit of the manager's container in config/manager, and what its peak must stay
// below.
const limit = 256 << 20

var objects = flag.Int("objects", 16, "number of large objects, and of Secrets; make test-memory sets 1000")

var (
	env   *framework.Env
	peaks table
)

func TestMain(m *testing.M) {
	os.Exit(framework.Suite{
		Options:   framework.Options{Install: []string{"crd"}, Build: []string{"manager"}},
		Teardown:  func(context.Context) error { peaks.print(); return nil },
		SkipShort: true,
	}.Run(m, &env))
}

// table lists the peaks that were measured.
type table struct {
	mu   sync.Mutex
	rows []string
}

func (t *table) add(what string, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, fmt.Sprintf("%7.1f MiB  %s", float64(bytes)/(1<<20), what))
}

func (t *table) print() {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintf(os.Stdout, "peak resident memory of the manager (limit: %d MiB)\n%s\n", limit>>20, strings.Join(t.rows, "\n"))
}

// fixture is a namespace, and a server for its objects.
type fixture struct {
	*testing.T
	namespace string
	url       string
}

func newFixture(t *testing.T, server http.Handler) *fixture {
	t.Helper()
	f := &fixture{T: t, namespace: "memory-" + strings.ToLower(rand.Text()[:12])}
	s := httptest.NewServer(server)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	f.url = s.URL + "/v1"
	f.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.namespace}})
	f.create(framework.NewSecret(f.namespace, v1alpha1.DefaultCredentialsSecret, framework.APIKey, f.url))
	return f
}

func (f *fixture) create(object client.Object) {
	f.Helper()
	f.write(func() error { return env.Client.Create(f.Context(), object) })
}

// write writes an object, again if the API server is too slow for it.
func (f *fixture) write(do func() error) {
	f.Helper()
	err := do()
	for apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || err != nil && strings.Contains(err.Error(), "etcdserver: request timed out") {
		err = do()
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		f.Error(err)
	}
}

// parallel calls do for each number below n.
func parallel(n int, do func(i int)) {
	var group sync.WaitGroup
	next := make(chan int)
	for range 2 {
		group.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
}

// start starts a manager of the namespace, with the memory limit of its container.
func (f *fixture) start(environment ...string) *framework.Manager {
	f.Helper()
	m, err := env.StartManager(framework.ManagerOptions{
		Log: filepath.Join(f.TempDir(), "manager.log"), Env: append([]string{fmt.Sprintf("MEMORY_LIMIT=%d", limit)}, environment...),
		Flags: []string{
			"--watch-namespaces=" + f.namespace, "--metrics-secure=false", "--zap-log-level=info", "--request-timeout=60s",
			"--requests-per-second=10000", "--creates-per-minute=1000000", "--files-per-minute=1000000000",
		},
	})
	if err != nil {
		f.Fatal(err)
	}
	m.KillAfter(f)
	return m
}

// eventually is framework.Eventually, with more time the more objects the API server has to hold.
func (f *fixture) eventually(what string, condition func() bool) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), framework.Timeout+time.Duration(*objects)*time.Second)
	defer cancel()
	if err := framework.Poll(ctx, what, func() (bool, error) { return condition(), nil }); err != nil {
		f.Fatal(err)
	}
}

// batchesMetric matches the number of objects with a reason.
var batchesMetric = regexp.MustCompile(`vector_store_operator_batches\{reason="(\w+)",status="\w+"\} (\d+)`)

// waitForReason waits until a number of objects have a reason. The objects themselves are too large to
// be listed again and again.
func (f *fixture) waitForReason(m *framework.Manager, reason string, want int) {
	f.Helper()
	f.eventually(fmt.Sprintf("%d objects to be %s", want, reason), func() bool {
		if err := m.Err(); err != nil {
			f.Fatal(err)
		}
		_, metrics, err := framework.Fetch(f.Context(), http.DefaultClient, "http://"+m.Metrics+"/metrics", "")
		if err != nil {
			return false // it may not listen yet
		}
		got := 0
		for _, match := range batchesMetric.FindAllStringSubmatch(metrics, -1) {
			if match[1] == reason {
				n, _ := strconv.Atoi(match[2])
				got += n
			}
		}
		return got == want
	})
}

// checkPeak requires that the manager's peak since the last call is below the limit.
func (f *fixture) checkPeak(m *framework.Manager, what string) {
	f.Helper()
	folder := filepath.Join("/proc", strconv.Itoa(m.ID()))
	status, err := os.ReadFile(filepath.Join(folder, "status"))
	if err != nil {
		f.Fatal(errors.Join(err, m.Err()))
	}
	match := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if match == nil {
		f.Skip("this system does not report the peak")
	}
	kib, err := strconv.ParseInt(string(match[1]), 10, 64)
	if err != nil {
		f.Fatal(err)
	}
	peaks.add(what, kib<<10)
	f.Logf("%s: %d MiB", what, kib>>10)
	if kib<<10 >= limit {
		f.Errorf("%s: the peak is %d MiB, want less than %d MiB", what, kib>>10, limit>>20)
	}
	if err := os.WriteFile(filepath.Join(folder, "clear_refs"), []byte("5"), 0); err != nil {
		f.Fatal(err)
	}
}

// TestMemory_WithoutObjects measures the manager alone.
func TestMemory_WithoutObjects(t *testing.T) {
	f := newFixture(t, http.NotFoundHandler())
	m := f.start()
	m.MustOutput(t, framework.Working)
	f.checkPeak(m, "no objects")
}

// largeSpecs are specs of 264 KiB and more: long IDs; the most attributes; the longest IDs, or long
// attributes, up to etcd's limit.
var largeSpecs = []func(i int) v1alpha1.VectorStoreFileBatchSpec{
	func(i int) v1alpha1.VectorStoreFileBatchSpec {
		var s v1alpha1.VectorStoreFileBatchSpec
		for j := range 2000 {
			s.FileIDs = append(s.FileIDs, fmt.Sprintf("file-%05d-%0117d", i, j))
		}
		return s
	},
	func(i int) v1alpha1.VectorStoreFileBatchSpec { return withAttributes(i, "1") },
	func(i int) v1alpha1.VectorStoreFileBatchSpec {
		if i%10 == 5 {
			return withLongestIDs(i)
		}
		if i%10 == 2 {
			return withAttributes(i, `"`+strings.Repeat("x", 20)+`"`)
		}
		return withAttributes(i, "true")
	},
}

func withLongestIDs(i int) v1alpha1.VectorStoreFileBatchSpec {
	var s v1alpha1.VectorStoreFileBatchSpec
	for j := range 2000 {
		s.FileIDs = append(s.FileIDs, fmt.Sprintf("file-%05d-%0501d", i, j))
	}
	return s
}

func withAttributes(i int, value string) v1alpha1.VectorStoreFileBatchSpec {
	attributes := make(v1alpha1.Attributes)
	for j := range v1alpha1.MaxAttributes {
		attributes[fmt.Sprintf("a%d", j)] = v1alpha1.AttributeValue{Raw: []byte(value)}
	}
	var s v1alpha1.VectorStoreFileBatchSpec
	for j := range 2000 {
		s.Files = append(s.Files, v1alpha1.File{FileID: fmt.Sprintf("file-%05d-%05d", i, j), Attributes: attributes})
	}
	return s
}

// largest is how many objects are as large as the API server accepts, of each kind. More of them would take
// more memory of the API server than a usual machine has; the others have 264 KiB.
const largest = 60

// large returns a large object.
func (f *fixture) large(i int) *v1alpha1.VectorStoreFileBatch {
	if i >= largest {
		b := framework.NewBatch(f.namespace, fmt.Sprintf("large-%04d", i), largeSpecs[0](i))
		b.Spec.VectorStoreID, b.Spec.Suspend = framework.VectorStore, new(true)
		return b
	}
	return f.largest(i)
}

// largest returns one of the largest objects. Its metadata is large, too.
func (f *fixture) largest(i int) *v1alpha1.VectorStoreFileBatch {
	b := framework.NewBatch(f.namespace, fmt.Sprintf("large-%04d", i), largeSpecs[i%len(largeSpecs)](i))
	b.Spec.VectorStoreID, b.Spec.Suspend = framework.VectorStore, new(true)
	b.Annotations, b.Labels = map[string]string{"example.com/note": strings.Repeat("x", 100<<10)}, make(map[string]string)
	for j := range 100 {
		b.Labels[fmt.Sprint("label-", j)] = "x"
	}
	return b
}

// TestMemory_LargeObjects measures objects of which there can be many: suspended, at the start of a
// manager, listed in pages, and some of them created.
func TestMemory_LargeObjects(t *testing.T) {
	const small = 450
	f := newFixture(t, http.HandlerFunc(complete))
	parallel(small, func(i int) {
		b := framework.NewBatch(f.namespace, fmt.Sprintf("a-small-%04d", i), v1alpha1.VectorStoreFileBatchSpec{VectorStoreID: framework.VectorStore, FileIDs: []string{"file-1"}, Suspend: new(true)})
		f.create(b)
	})
	m := f.start()
	parallel(*objects, func(i int) { f.create(f.large(i)) })
	f.waitForReason(m, v1alpha1.ReasonSuspended, small+*objects)
	f.checkPeak(m, fmt.Sprintf("%d large objects arrive, suspended", *objects))
	for _, watchList := range []bool{true, false} {
		m.Kill()
		m = f.start(fmt.Sprintf("KUBE_FEATURE_WatchListClient=%t", watchList))
		f.waitForReason(m, v1alpha1.ReasonSuspended, small+*objects)
		f.checkPeak(m, fmt.Sprintf("a manager starts with them (WatchListClient=%t)", watchList))
	}
	resumed := min(6, *objects) // the API server takes seconds for each write of so many
	parallel(resumed, func(i int) { f.resume(fmt.Sprintf("large-%04d", i)) })
	f.waitForReason(m, v1alpha1.ReasonCompleted, resumed)
	f.checkPeak(m, fmt.Sprintf("%d of them are resumed, and created", resumed))
}

// resume resumes an object. The answer is only its metadata.
func (f *fixture) resume(name string) {
	b := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name}}
	b.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
	f.write(func() error {
		return env.Client.Patch(f.Context(), b, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":false}}`)))
	})
}

// TestMemory_HangingCreates measures large requests of which the server answers none.
func TestMemory_HangingCreates(t *testing.T) {
	hanging := min(64, *objects)
	var mu sync.Mutex
	received := make(map[string]bool)
	ended := make(chan struct{})
	f := newFixture(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		files, err := readFiles(r)
		if err != nil || len(files) == 0 {
			http.NotFound(w, r) // it checks whether files are attached
			return
		}
		mu.Lock()
		received[files[0]] = true
		mu.Unlock()
		select {
		case <-ended:
		case <-r.Context().Done():
		}
	}))
	defer close(ended)
	m := f.start()
	parallel(hanging, func(i int) {
		b := f.largest(2 + 10*i)
		b.Spec.Suspend, b.Spec.VectorStoreID = nil, fmt.Sprint("vs_", i)
		f.create(b)
	})
	f.eventually("the requests to arrive", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(received) >= hanging/2
	})
	f.checkPeak(m, fmt.Sprintf("%d creates of large objects without an answer", hanging))
}

// TestMemory_LargeSecrets measures Secrets of which each has as much as it can.
func TestMemory_LargeSecrets(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.StartTLS()
	defer server.Close()
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for name, test := range map[string]struct {
		bytes  int
		reason string
	}{
		"1 MB":            {1_000_000, v1alpha1.ReasonCredentialsRejected},
		"the most usable": {128<<10 - len(certificate), v1alpha1.ReasonCompleted},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, http.HandlerFunc(complete))
			bundle := strings.Repeat(certificate, test.bytes/len(certificate))
			parallel(*objects, func(i int) {
				name := fmt.Sprint("secret-", i)
				secret := framework.NewSecret(f.namespace, name, fmt.Sprint(framework.APIKey, i), f.url)
				secret.StringData["ca.crt"] = fmt.Sprintf("# %d\n%s", i, bundle)
				f.create(secret)
				f.create(framework.NewBatch(f.namespace, fmt.Sprint("b-", i), v1alpha1.VectorStoreFileBatchSpec{
					VectorStoreID: framework.VectorStore, FileIDs: []string{fmt.Sprint("file-", i)},
					CredentialsRef: &v1alpha1.CredentialsReference{Name: name},
				}))
			})
			for _, what := range []string{"first", "anew"} {
				m := f.start()
				f.waitForReason(m, test.reason, *objects)
				f.checkPeak(m, fmt.Sprintf("%d Secrets with a ca.crt of %s, started %s", *objects, name, what))
				m.Kill()
			}
		})
	}
}
