// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// sightings are when a bare watch shows what the users do. It is the yardstick of the latencies:
// nobody can send on what the API server has not shown yet.
type sightings struct {
	watch *watchtools.RetryWatcher

	mu    sync.Mutex
	first map[string]time.Time
	// over says that the watch has ended, and shows nothing more.
	over bool
}

// sight begins to watch. What was done before is not seen.
func (s *stand) sight(ctx context.Context) (*sightings, error) {
	objects := s.metadata.Resource(v1alpha1.GroupVersion.WithResource("vectorstorefilebatches")).Namespace(s.namespace)
	list, err := objects.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("asking for the present version of the list: %w", err)
	}
	o := &sightings{first: map[string]time.Time{}}
	o.watch, err = watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{WatchFuncWithContext: objects.Watch})
	if err != nil {
		return nil, fmt.Errorf("watching: %w", err)
	}
	go o.note()
	return o, nil
}

func (o *sightings) note() {
	for event := range o.watch.ResultChan() {
		object, ours := event.Object.(*metav1.PartialObjectMetadata)
		// One of the crowd has changed its generation when its spec was changed, by a cancel.
		if !ours || strings.HasPrefix(object.Name, crowdPrefix) && object.Generation == 1 {
			continue
		}
		o.mu.Lock()
		if _, seen := o.first[object.Name]; !seen {
			o.first[object.Name] = time.Now()
		}
		o.mu.Unlock()
	}
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
}

// of is when an object was seen as a user wants it. It waits for that.
func (o *sightings) of(ctx context.Context, name string) (at time.Time, err error) {
	err = eventually(ctx, "the watch to show "+name, func() (seen bool, err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if at, seen = o.first[name]; !seen && o.over {
			return false, fmt.Errorf("%w: the watch has ended before it showed %s", errNothing, name)
		}
		return seen, nil
	})
	return at, err
}

func (o *sightings) stop() { o.watch.Stop() }
