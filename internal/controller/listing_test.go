// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/controller"
)

// asked is what a cache asked the API server for.
type asked struct {
	mu      sync.Mutex
	queries []url.Values
}

func (a *asked) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if strings.HasSuffix(request.URL.Path, "/vectorstorefilebatches") {
			a.mu.Lock()
			a.queries = append(a.queries, request.URL.Query())
			a.mu.Unlock()
		}
		return next.RoundTrip(request)
	})
}

// pages are the lists that were asked for: of how many objects, and whether they go on.
func (a *asked) pages(t *testing.T) (pages []string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, query := range a.queries {
		watch := query.Has("watch")
		if query.Has("sendInitialEvents") || query.Has("resourceVersion") && !watch {
			t.Errorf("the cache asked for %v", query)
		}
		if !watch {
			pages = append(pages, fmt.Sprintf("%s,%t", query.Get("limit"), query.Has("continue")))
		}
	}
	return pages
}

// cached runs a cache of the world's namespace, as a manager that starts has one.
func (w *world) cached(a *asked) cache.Cache {
	w.Helper()
	config := rest.CopyConfig(apiServer)
	config.Wrap(a.wrap)
	made, err := controller.NewCache(config, cache.Options{
		Scheme: k8s.Scheme(), DefaultNamespaces: map[string]cache.Config{w.namespace: {}}, ByObject: controller.CachedObjects(nil),
	})
	if err != nil {
		w.Fatal(err)
	}
	if _, err := made.GetInformer(w.Context(), &v1alpha1.VectorStoreFileBatch{}, cache.BlockUntilSynced(false)); err != nil {
		w.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := made.Start(ctx); err != nil {
			w.Errorf("the cache ended: %v", err)
		}
	})
	w.Cleanup(func() { stop(); running.Wait() })
	if !made.WaitForCacheSync(ctx) {
		w.Fatal("the cache has not listed")
	}
	return made
}

func TestTheCacheListsInPages(t *testing.T) {
	w := worldWithoutSecret(t)
	const objects = 250
	var made []*v1alpha1.VectorStoreFileBatch
	for range objects {
		made = append(made, w.create(spec{Suspend: ptr.To(true)}))
	}
	a := &asked{}
	objectsOf := w.cached(a)
	var list v1alpha1.VectorStoreFileBatchList
	if err := objectsOf.List(t.Context(), &list); err != nil || len(list.Items) != objects {
		t.Fatalf("the cache has %d objects, want %d: %v", len(list.Items), objects, err)
	}
	for _, b := range list.Items {
		if len(b.ManagedFields) > 0 || len(b.Spec.FileIDs) != 2 {
			t.Fatalf("the cache has %+v", b)
		}
	}
	if pages := a.pages(t); len(pages) != 2 || pages[0] != "50,false" || !strings.HasSuffix(pages[1], ",true") {
		t.Errorf("the cache asked for the pages %v, want one of 50 objects and one of the others", pages)
	}
	w.deleteAndWait(made[0])
	added := w.create(spec{Suspend: ptr.To(true)})
	w.poll(func() bool {
		gone := objectsOf.Get(t.Context(), client.ObjectKeyFromObject(made[0]), &v1alpha1.VectorStoreFileBatch{})
		there := objectsOf.Get(t.Context(), client.ObjectKeyFromObject(added), &v1alpha1.VectorStoreFileBatch{})
		return client.IgnoreNotFound(gone) == nil && gone != nil && there == nil
	}, func() string { return "for the watch to go on where the list ended" })
}
