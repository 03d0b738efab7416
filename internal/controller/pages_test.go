// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"

	clientfeatures "k8s.io/client-go/features"
	clientfeaturestesting "k8s.io/client-go/features/testing"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/controller"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// queryRecorder records the queries of requests.
type queryRecorder struct {
	mu      sync.Mutex
	queries []url.Values
}

func (r *queryRecorder) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		r.mu.Lock()
		r.queries = append(r.queries, request.URL.Query())
		r.mu.Unlock()
		return next.RoundTrip(request)
	})
}

// lists returns the queries of lists of objects.
func (r *queryRecorder) lists() []url.Values {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lists []url.Values
	for _, query := range r.queries {
		if query.Has("limit") {
			lists = append(lists, query)
		}
	}
	return lists
}

// TestCache_ListsInSmallPages shows that the cache does not request all objects at once from an API
// server that cannot stream them, and that it misses none.
func TestCache_ListsInSmallPages(t *testing.T) {
	const objects, perPage = 45, 20
	f := newFixture(t)
	for i := range objects {
		b := framework.NewBatch(f.namespace, fmt.Sprintf("b-%02d", i), spec{VectorStoreID: store, FileIDs: numberedFiles("x", 3), Suspend: new(true)})
		if err := env.Client.Create(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	clientfeaturestesting.SetFeatureDuringTest(t, clientfeatures.WatchListClient, false)
	var recorder queryRecorder
	config := rest.CopyConfig(env.Config)
	config.Wrap(recorder.wrap)
	cached, err := cache.New(config, controller.CacheOptions([]string{f.namespace}, nil))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cached.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if !cached.WaitForCacheSync(ctx) {
		t.Fatal("the cache has not started")
	}
	f.checkCached(cached, objects)
	lists := recorder.lists()
	if len(lists) != (objects+perPage-1)/perPage {
		t.Errorf("%d pages were requested: %v", len(lists), lists)
	}
	for _, query := range lists {
		if query.Get("limit") != fmt.Sprint(perPage) || query.Get("resourceVersion") != "" {
			t.Errorf("a page was requested with %v", query)
		}
	}
}

// checkCached checks that a cache has all objects, without their files, and that it is updated.
func (f *fixture) checkCached(cached cache.Cache, objects int) {
	get := func(name string) *v1alpha1.VectorStoreFileBatch {
		var b v1alpha1.VectorStoreFileBatch
		if err := cached.Get(f.Context(), client.ObjectKey{Namespace: f.namespace, Name: name}, &b); err != nil {
			f.Fatal(err)
		}
		return &b
	}
	for i := range objects {
		b := get(fmt.Sprintf("b-%02d", i))
		if files, err := batch.Files(b); files != 3 || err != nil || b.Spec.FileIDs != nil || b.Spec.VectorStoreID != store {
			f.Errorf("%s has %d files (error: %v) and the spec %+v", b.Name, files, err, b.Spec)
		}
	}
	f.patch(get("b-00"), `{"spec":{"maxFailedFiles":7}}`)
	framework.Eventually(f.T, "the watch to report a change", func() bool { return batch.MaxFailedFiles(get("b-00")) == 7 })
}
