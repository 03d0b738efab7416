// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package listing_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/listing"
)

// server is the part of an API server that lists, over HTTP, with the fields of a list in an API
// server's order.
type server struct {
	objects int
	size    int // bytes of an object

	// answer, if there is one, answers in the server's place, unless it says that it did not.
	answer func(w http.ResponseWriter, r *http.Request, from int) bool

	mu    sync.Mutex
	asked []request
}

// request is one for a page.
type request struct{ from, limit, bytes int }

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Get("watch") != "" {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	}
	from, _ := strconv.Atoi(query.Get("continue"))
	limit, _ := strconv.Atoi(query.Get("limit"))
	if s.answer != nil && s.answer(w, r, from) {
		s.note(request{from, limit, 0})
		return
	}
	if query.Get("resourceVersion") != "" {
		http.Error(w, "not in pages", http.StatusBadRequest)
		return
	}
	body := s.page(from, limit)
	s.note(request{from, limit, len(body)})
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

func (s *server) note(r request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r)
}

func (s *server) requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *server) page(from, limit int) []byte {
	items := []map[string]any{}
	to := min(from+limit, s.objects)
	for i := from; i < to; i++ {
		items = append(items, map[string]any{
			"apiVersion": v1alpha1.GroupVersion.String(), "kind": "VectorStoreFileBatch",
			"metadata": map[string]any{
				"namespace": "team", "name": fmt.Sprintf("b-%05d", i), "resourceVersion": "7",
				// What people write must not be taken for a part of the list.
				"annotations": map[string]string{"note": `,"metadata":{"continue":"5"}}`, "size": strings.Repeat("x", s.size)},
			},
		})
	}
	metadata := map[string]any{"resourceVersion": "7"}
	if to < s.objects {
		metadata["continue"] = strconv.Itoa(to)
	}
	body, _ := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "VectorStoreFileBatchList", "items": items, "metadata": metadata,
	})
	return body
}

// informer runs an informer on the server's objects until the test ends.
func informer(t *testing.T, s *server, trim toolscache.TransformFunc) toolscache.SharedIndexInformer {
	t.Helper()
	served := httptest.NewServer(s)
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	client, err := rest.RESTClientFor(&rest.Config{
		Host: served.URL, APIPath: "/apis", QPS: -1,
		ContentConfig: rest.ContentConfig{GroupVersion: &v1alpha1.GroupVersion, NegotiatedSerializer: serializer.NewCodecFactory(scheme).WithoutConversion()},
		WrapTransport: listing.ReadAhead,
	})
	if err != nil {
		t.Fatal(err)
	}
	source := toolscache.NewListWatchFromClient(client, "vectorstorefilebatches", metav1.NamespaceAll, fields.Everything())
	made := listing.InPages(trim)(source, &v1alpha1.VectorStoreFileBatch{}, 0, toolscache.Indexers{})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { made.RunWithContext(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		served.Close()
	})
	return made
}

func nothing(object any) (any, error) { return object, nil }

// synced waits until the informer knows all objects.
func synced(t *testing.T, made toolscache.SharedIndexInformer, objects int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if !toolscache.WaitForCacheSync(ctx.Done(), made.HasSynced) {
		t.Fatal("the informer has not listed")
	}
	if got := len(made.GetStore().List()); got != objects {
		t.Fatalf("the informer has %d objects, want %d", got, objects)
	}
}

func TestAPageIsAskedForWhileTheOneBeforeIsDecoded(t *testing.T) {
	t.Parallel()
	s := &server{objects: 250}
	second := make(chan struct{})
	var once sync.Once
	s.answer = func(_ http.ResponseWriter, _ *http.Request, from int) bool {
		if from > 0 {
			once.Do(func() { close(second) })
		}
		return false
	}
	trimmed := 0
	synced(t, informer(t, s, func(object any) (any, error) {
		trimmed++
		select {
		case <-second:
		case <-time.After(30 * time.Second):
			t.Error("the second page was not asked for while the first one was read")
		}
		return object, nil
	}), 250)
	if trimmed != 250 {
		t.Errorf("%d objects were trimmed, want 250", trimmed)
	}
	var from []int
	for _, r := range s.requests() {
		from = append(from, r.from)
	}
	if diff := cmp.Diff([]int{0, 50}, from); diff != "" {
		t.Errorf("the pages that were asked for (-want +got):\n%s", diff)
	}
}

func TestPagesComeToTwoMebibytes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ objects, size int }{
		"small":      {5000, 10},
		"as usual":   {3000, 4000},
		"large":      {150, 200_000},
		"very large": {30, 3_000_000},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{objects: test.objects, size: test.size}
			synced(t, informer(t, s, nothing), test.objects)
			requests, at := s.requests(), 0
			for i, r := range requests {
				if r.from != at {
					t.Fatalf("page %d begins at object %d, want %d", i+1, r.from, at)
				}
				at += r.limit
				if r.limit > 1000 || (i > 0 && r.limit > 1 && r.bytes > 3<<20) {
					t.Errorf("page %d was to have %d objects and had %d bytes", i+1, r.limit, r.bytes)
				}
				if last := i == len(requests)-1; i > 1 && !last && r.limit < 1000 && r.limit > 1 && r.bytes < 1<<20 {
					t.Errorf("page %d had %d bytes only", i+1, r.bytes)
				}
			}
		})
	}
}

// Whatever befalls a page, the informer ends with all objects, and never takes a part for all.
func TestAPageThatFails(t *testing.T) {
	t.Parallel()
	status := func(code int, reason metav1.StatusReason) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(metav1.Status{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason,
			})
		}
	}
	tests := map[string]func(http.ResponseWriter){
		"expired":      status(http.StatusGone, metav1.StatusReasonExpired),
		"server error": status(http.StatusInternalServerError, metav1.StatusReasonInternalError),
		"too many":     status(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests),
		"cut off":      func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"cut in the middle": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"apiVersion":`))
			panic(http.ErrAbortHandler)
		},
	}
	for name, fail := range tests {
		for _, at := range []int{0, 50, 450} {
			t.Run(fmt.Sprintf("%s at object %d", name, at), func(t *testing.T) {
				t.Parallel()
				s := &server{objects: 1000}
				var once sync.Once
				s.answer = func(w http.ResponseWriter, _ *http.Request, from int) (failed bool) {
					if from == at {
						once.Do(func() { failed = true; fail(w) })
					}
					return failed
				}
				made := informer(t, s, nothing)
				synced(t, made, 1000)
			})
		}
	}
}

// counter is a transport that answers every request with a page, and says what it was asked.
type counter struct {
	mu   sync.Mutex
	urls []string
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.urls = append(c.urls, r.Method+" "+r.URL.String())
	body := fmt.Sprintf(`{"apiVersion":"a/v1","items":[],"kind":"L","metadata":{"continue":"%d"}}`, len(c.urls))
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func (c *counter) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.urls)
}

// send makes a request, and gives what was answered.
func send(t *testing.T, transport http.RoundTripper, method, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestAPageThatNobodyAsksForIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := &counter{}
		transport := listing.ReadAhead(next)
		send(t, transport, http.MethodGet, "http://api/bs?limit=1000")
		synctest.Wait()
		<-time.After(2 * time.Minute) // of the bubble's clock
		send(t, transport, http.MethodGet, "http://api/bs?continue=1&limit=1000")
		synctest.Wait()
		want := []string{
			"GET http://api/bs?limit=50", "GET http://api/bs?continue=1&limit=400",
			"GET http://api/bs?continue=1&limit=50", "GET http://api/bs?continue=3&limit=400",
		}
		if diff := cmp.Diff(want, next.asked()); diff != "" {
			t.Errorf("what was asked for (-want +got):\n%s", diff)
		}
	})
}

// hanging answers the first page, and no other one.
type hanging struct{ counter }

func (h *hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Has("continue") {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return h.counter.RoundTrip(r)
}

func TestAPageThatHangsEndsWithAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		transport := listing.ReadAhead(&hanging{})
		send(t, transport, http.MethodGet, "http://api/bs?limit=1000")
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://api/bs?continue=1&limit=1000", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err == nil {
			t.Error("a page was answered that nobody sent", response.Body.Close())
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestOnlyListsInPagesAreReadAhead(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{"GET http://api/bs", "GET http://api/bs?resourceVersion=0&watch=true", "GET http://api/bs/one", "DELETE http://api/bs?limit=5"} {
		next := &counter{}
		method, url, _ := strings.Cut(sent, " ")
		body := send(t, listing.ReadAhead(next), method, url)
		if diff := cmp.Diff([]string{sent}, next.asked()); diff != "" || !strings.Contains(body, `"continue":"1"`) {
			t.Errorf("%s was answered with %s; what was asked for (-want +got):\n%s", sent, body, diff)
		}
	}
}
