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

// observations are the times at which a plain watch delivers the users' changes. They are the baseline of
// the latencies: no client can react to a change before the API server delivers it.
type observations struct {
	watch *watchtools.RetryWatcher

	mu    sync.Mutex
	first map[string]time.Time
	// over means that the watch has ended.
	over bool
}

// observe starts to watch. It misses earlier changes.
func (s *fixture) observe(ctx context.Context) (*observations, error) {
	objects := s.metadata.Resource(v1alpha1.GroupVersion.WithResource("vectorstorefilebatches")).Namespace(s.namespace)
	list, err := objects.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("reading the current resourceVersion: %w", err)
	}
	o := &observations{first: map[string]time.Time{}}
	o.watch, err = watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{WatchFuncWithContext: objects.Watch})
	if err != nil {
		return nil, fmt.Errorf("watching: %w", err)
	}
	go o.note()
	return o, nil
}

func (o *observations) note() {
	for event := range o.watch.ResultChan() {
		object, ours := event.Object.(*metav1.PartialObjectMetadata)
		// A cancel of a batch in progress changes the generation of its object.
		if !ours || strings.HasPrefix(object.Name, loadPrefix) && object.Generation == 1 {
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

// of waits until the watch has delivered the change of an object, and returns when it did.
func (o *observations) of(ctx context.Context, name string) (at time.Time, err error) {
	err = poll(ctx, shortInterval, "the watch to deliver "+name, func() (seen bool, err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if at, seen = o.first[name]; !seen && o.over {
			return false, fmt.Errorf("%w: the watch ended before it delivered %s", errNothing, name)
		}
		return seen, nil
	})
	return at, err
}

// at returns when the watch delivered the change of an object; zero if it has not.
func (o *observations) at(name string) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.first[name]
}

func (o *observations) stop() { o.watch.Stop() }
