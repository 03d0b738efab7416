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
	// workers is how many objects the manager works on at a time, and the yardstick too.
	workers = 64
	// creators is how many objects the load generator creates at a time.
	creators = 8
)

// inParallel does n things, so many at a time, and stops at the first error.
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

// object begins an object of the stand. The store is one of the stand's, chosen by a number.
func (s *stand) object(name string, number int, spec v1alpha1.VectorStoreFileBatchSpec) *v1alpha1.VectorStoreFileBatch {
	spec.VectorStoreID = s.stores[number%len(s.stores)]
	return &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Spec: spec}
}

// create makes n objects as fast as the load generator can.
func (s *stand) create(ctx context.Context, n int, object func(i int) *v1alpha1.VectorStoreFileBatch) error {
	return inParallel(ctx, n, creators, func(ctx context.Context, i int) error {
		o := object(i)
		if err := s.client.Create(ctx, o); err != nil {
			return fmt.Errorf("making object %s: %w", o.Name, err)
		}
		return nil
	})
}

// arrivals counts objects that come to a state of the upstream's. It watches their metadata only.
type arrivals struct {
	stand *stand
	state string
	seen  map[string]bool
	watch watch.Interface
}

// arrivals starts to count. Objects that are in that state already count, too.
func (s *stand) arrivals(ctx context.Context, state string) (*arrivals, error) {
	a := &arrivals{stand: s, state: state, seen: map[string]bool{}}
	return a, a.open(ctx)
}

func (a *arrivals) open(ctx context.Context) (err error) {
	resource := v1alpha1.GroupVersion.WithResource("vectorstorefilebatches")
	a.watch, err = a.stand.metadata.Resource(resource).Namespace(a.stand.namespace).Watch(ctx, metav1.ListOptions{FieldSelector: "status.status=" + a.state})
	if err != nil {
		return fmt.Errorf("watching for objects that are %s: %w", a.state, err)
	}
	return nil
}

func (a *arrivals) stop() { a.watch.Stop() }

// await waits until n objects have come, and gives the time at which the last one did.
func (a *arrivals) await(ctx context.Context, n int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for len(a.seen) < n {
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("waiting for %d objects to be %s, and %d are: %w", n, a.state, len(a.seen), ctx.Err())
		case <-ticker.C:
			a.stand.say("  %d of %d are %s", len(a.seen), n, a.state)
			if a.stand.manager != nil {
				if err := a.stand.manager.died(); err != nil {
					return time.Time{}, err
				}
			}
		case event, open := <-a.watch.ResultChan():
			if !open || event.Type == watch.Error {
				a.watch.Stop()
				if err := a.open(ctx); err != nil {
					return time.Time{}, err
				}
				continue
			}
			object, ours := event.Object.(*metav1.PartialObjectMetadata)
			if !ours {
				return time.Time{}, errors.New("a watch for metadata brought something else")
			}
			if event.Type == watch.Added || event.Type == watch.Modified {
				a.seen[object.Name] = true
			}
		}
	}
	return time.Now(), nil
}
