// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package listing brings all objects that there are into an informer at its start, fast and
// without holding all of them whole: in pages, each of which is asked for while the one before it
// is decoded. docs/adr/0013-the-first-list-comes-in-pages.md says why.
package listing

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
)

// mostObjects is how many objects a page may have. ReadAhead asks for fewer of large ones.
const mostObjects = 1000

// NewInformer makes an informer, as controller-runtime's cache.Options want it.
type NewInformer = func(toolscache.ListerWatcher, runtime.Object, time.Duration, toolscache.Indexers) toolscache.SharedIndexInformer

// InPages makes informers that list in pages. Trim is called on each object as soon as its page is
// decoded, and changes the object in place; so at most one page is held whole. It should be the
// transform of the informer too, which is called on it again, and on what the watch brings.
func InPages(trim toolscache.TransformFunc) NewInformer {
	return func(source toolscache.ListerWatcher, example runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
		all := toolscache.ToListerWatcherWithContext(source)
		paged := &toolscache.ListWatch{ListWithContextFunc: pages(all.ListWithContext, trim), WatchFuncWithContext: all.WatchWithContext}
		return toolscache.NewSharedIndexInformer(toolscache.ToListWatcherWithWatchListSemantics(paged, noStream{}), example, resync, indexers)
	}
}

// noStream tells client-go not to ask for a watch that begins with all objects.
type noStream struct{}

// IsWatchListSemanticsUnSupported is the question that client-go asks.
func (noStream) IsWatchListSemanticsUnSupported() bool { return true }

// pages makes each call for a list one for a page. It is client-go that puts them together.
func pages(list toolscache.ListWithContextFunc, trim toolscache.TransformFunc) toolscache.ListWithContextFunc {
	return func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		// Where a resource version is named, API servers send all objects at once, or old ones.
		options.ResourceVersion, options.ResourceVersionMatch = "", ""
		options.Limit = mostObjects
		page, err := list(ctx, options)
		if apierrors.IsResourceExpired(err) && options.Continue != "" {
			// Told that this expired, client-go would ask for all the rest at once and take one page
			// for it. Not told, it begins anew.
			return nil, fmt.Errorf("a list expired before its last page: %v", err) //nolint:errorlint // as said
		}
		if err != nil {
			return nil, err
		}
		return page, meta.EachListItem(page, func(object runtime.Object) error {
			_, err := trim(object)
			return err
		})
	}
}
