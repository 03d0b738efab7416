// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

const (
	// workers is the number of objects that the manager, and the baseline, process concurrently.
	workers = 64
	// creators is the number of objects that the load generator creates concurrently.
	creators = 8
	// progressInterval is the time between two messages about the progress of a wait.
	progressInterval = 10 * time.Second
)

// inParallel calls do n times with bounded concurrency, and stops at the first error.
func inParallel(ctx context.Context, n, parallel int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	var next atomic.Int64
	for range min(parallel, n) {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// object returns an object of the fixture. The number selects one of the fixture's vector stores.
func (s *fixture) object(name string, number int, spec v1alpha1.VectorStoreFileBatchSpec) *v1alpha1.VectorStoreFileBatch {
	spec.VectorStoreID = s.stores[number%len(s.stores)]
	return &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Spec: spec}
}

// create creates n objects as fast as the load generator can.
func (s *fixture) create(ctx context.Context, n int, object func(i int) *v1alpha1.VectorStoreFileBatch) error {
	return inParallel(ctx, n, creators, func(ctx context.Context, i int) error {
		o := object(i)
		if err := s.client.Create(ctx, o); err != nil {
			return fmt.Errorf("creating object %s: %w", o.Name, err)
		}
		return nil
	})
}

// arrivals counts the objects that reach a status. It starts early and watches only metadata: the API
// server drops a watch that is too slow, and a new one costs it CPU time.
type arrivals struct {
	fixture *fixture
	state   string
	ended   context.CancelFunc
	// news is signaled after a change of the fields below.
	news chan struct{}

	mu sync.Mutex
	// seen is when each object reached the status, and last when the last one did.
	seen   map[string]time.Time
	last   time.Time
	failed error
}

// arrivals starts to count. Objects that already have the status count, too.
func (s *fixture) arrivals(ctx context.Context, state string) (*arrivals, error) {
	ctx, ended := context.WithCancel(ctx)
	a := &arrivals{fixture: s, state: state, ended: ended, news: make(chan struct{}, 1), seen: map[string]time.Time{}}
	events, err := a.open(ctx)
	if err != nil {
		ended()
		return nil, err
	}
	go a.count(ctx, events)
	return a, nil
}

func (a *arrivals) open(ctx context.Context) (watch.Interface, error) {
	resource := v1alpha1.GroupVersion.WithResource("vectorstorefilebatches")
	events, err := a.fixture.metadata.Resource(resource).Namespace(a.fixture.namespace).Watch(ctx, metav1.ListOptions{FieldSelector: "status.status=" + a.state})
	if err != nil {
		return nil, fmt.Errorf("watching for objects that are %s: %w", a.state, err)
	}
	return events, nil
}

func (a *arrivals) stop() { a.ended() }

// count counts until it is stopped or fails. It replaces a watch that ends.
func (a *arrivals) count(ctx context.Context, events watch.Interface) {
	var err error
	for err == nil && ctx.Err() == nil {
		for event := range events.ResultChan() {
			if err = a.take(event); err != nil || event.Type == watch.Error {
				break
			}
		}
		events.Stop()
		if err == nil && ctx.Err() == nil {
			events, err = a.open(ctx)
		}
	}
	if err != nil {
		a.change(func() { a.failed = err })
	}
}

func (a *arrivals) take(event watch.Event) error {
	if event.Type != watch.Added && event.Type != watch.Modified {
		return nil
	}
	object, ours := event.Object.(*metav1.PartialObjectMetadata)
	if !ours {
		return errors.New("a watch of metadata delivered another type")
	}
	a.change(func() {
		if a.seen[object.Name].IsZero() {
			a.last = time.Now()
			a.seen[object.Name] = a.last
		}
	})
	return nil
}

// change changes the fields that mu guards.
func (a *arrivals) change(how func()) {
	a.mu.Lock()
	how()
	a.mu.Unlock()
	select {
	case a.news <- struct{}{}:
	default: // a signal is already pending
	}
}

func (a *arrivals) known() (seen int, last time.Time, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seen), a.last, a.failed
}

// at returns when an object reached the status; zero if it has not.
func (a *arrivals) at(name string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen[name]
}

// await waits until n objects have the status, and returns when the last one reached it.
func (a *arrivals) await(ctx context.Context, n int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		seen, last, err := a.known()
		if err != nil || seen >= n {
			return last, err
		}
		select {
		case <-ctx.Done():
			return last, fmt.Errorf("waiting for %d objects to be %s, %d are: %w", n, a.state, seen, ctx.Err())
		case <-ticker.C:
			a.fixture.logf("  %d of %d are %s", seen, n, a.state)
			if a.fixture.manager != nil {
				if err := a.fixture.manager.Err(); err != nil {
					return last, err
				}
			}
		case <-a.news:
		}
	}
}
