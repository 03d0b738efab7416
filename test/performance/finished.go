// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	// filesOfFinished is the number of files of a finished object.
	filesOfFinished = 100
	// enough is the number of objects from which the memory per object has a target. The first object
	// makes the manager use some MiB, such as pages of the program that run for the first time, and
	// with few objects that dominates the average.
	enough = 10_000
)

// finished measures the cost of finished objects.
func (b *bench) finished(ctx context.Context) error {
	s, err := b.newFixture(ctx, loadStores)
	if err != nil {
		return err
	}
	defer s.end()
	empty, err := s.memoryAtRest(ctx)
	if err != nil {
		return err
	}
	b.report.target("memory of the manager without objects", fmt.Sprintf("%s, including %s file-backed pages of the program", mebibytes(empty.before.resident), mebibytes(empty.before.file)), "< 48 MiB", empty.before.resident < 48<<20)
	template, err := s.finishedObject(ctx)
	if err != nil {
		return err
	}
	b.report.note("The operator processes one object; the load generator writes the others with the same status.")
	created := 1
	for _, n := range b.scale.finished {
		b.logf("  creating %s finished objects", thousands(n))
		from := created
		if err := inParallel(ctx, n-from, workers, func(ctx context.Context, i int) error { return s.finishedLike(ctx, template, from+i) }); err != nil {
			return err
		}
		created = n
		if err := s.requireIdle(ctx, n, empty); err != nil {
			return err
		}
	}
	return nil
}

// memory is the memory of an idle manager, in bytes.
type memory struct {
	resident int64
	// before is the usage before the garbage collection that the bench triggers: the code that serves
	// the trigger uses memory, too.
	before usage
	// heap is the size of the objects that were reachable at the last garbage collection.
	heap float64
}

// memoryAtRest starts a manager and measures its memory.
func (s *fixture) memoryAtRest(ctx context.Context) (memory, error) {
	if err := s.startAndWait(ctx); err != nil {
		return memory{}, err
	}
	defer s.stop()
	return s.memory(ctx, 0)
}

// memory triggers a garbage collection in the manager and measures its memory.
func (s *fixture) memory(ctx context.Context, objects int) (memory, error) {
	if err := s.manager.waitMemory(ctx); err != nil {
		return memory{}, err
	}
	before, err := s.manager.usage()
	if err != nil {
		return memory{}, err
	}
	if err := s.manager.collect(ctx); err != nil {
		return memory{}, err
	}
	u, err := s.manager.usage()
	if err != nil {
		return memory{}, err
	}
	if err := s.keepHeap(ctx, fmt.Sprintf("%d-objects-heap", objects)); err != nil {
		return memory{}, err
	}
	m, err := s.manager.metrics(ctx)
	return memory{u.resident, before, m.sum("go_memstats_heap_alloc_bytes", nil)}, err
}

// finishedObject creates one object and waits until the operator has completed it.
func (s *fixture) finishedObject(ctx context.Context) (*v1alpha1.VectorStoreFileBatch, error) {
	return s.createAndWait(ctx, s.object(finishedName(0), 0, finishedSpec(0)), "completed", fastPolling()...)
}

func finishedName(i int) string { return fmt.Sprintf("finished-%05d", i) }

func finishedSpec(i int) v1alpha1.VectorStoreFileBatchSpec {
	return v1alpha1.VectorStoreFileBatchSpec{FileIDs: fileIDs(fmt.Sprintf("file-0123456789abcd%05d", i), filesOfFinished)}
}

// finishedLike writes an object with the status that the operator writes for a finished one.
func (s *fixture) finishedLike(ctx context.Context, template *v1alpha1.VectorStoreFileBatch, i int) error {
	id := template.Status.BatchID[:len(template.Status.BatchID)-5] + fmt.Sprintf("%05d", i)
	return s.writeLike(ctx, template, s.object(finishedName(i), i, finishedSpec(i)), id)
}

// requireIdle starts a manager with n finished objects, and requires that it makes no calls or writes.
func (s *fixture) requireIdle(ctx context.Context, n int, empty memory) error {
	before := reading{at: time.Now()}
	var err error
	if before.writes, err = s.writes(ctx); err != nil {
		return err
	}
	if before.calls, err = s.openai.counts(ctx); err != nil {
		return err
	}
	if err := s.startAndWait(ctx); err != nil {
		return err
	}
	defer s.stop()
	if err := s.manager.waitReconciled(ctx, n); err != nil {
		return err
	}
	if err := framework.Pause(ctx, s.scale.quiet); err != nil {
		return err
	}
	interval, err := s.since(ctx, before)
	if err != nil {
		return err
	}
	loaded, err := s.memory(ctx, n)
	if err != nil {
		return err
	}
	r, name := s.report, thousands(n)+" objects: "
	created, calls := interval.writes.total(), interval.calls.of(emulator.AnyOperation)
	r.invariant(name+fmt.Sprintf("OpenAI API calls, from the start of the manager until %s after the last reconciliation", s.scale.quiet), calls)
	r.invariant(name+"Kubernetes API writes in the same time", created)
	r.add(figure{what: name + "CPU time of the manager, including the start", value: seconds(interval.after.usage.cpu)})
	r.add(figure{what: name + "memory of the manager", value: fmt.Sprintf("%s (peak %s), after a garbage collection %s", mebibytes(loaded.before.resident), mebibytes(loaded.before.peak), mebibytes(loaded.resident))})
	each := float64(loaded.resident-empty.resident) / float64(n)
	f := figure{what: name + "resident memory per object", value: kibibytes(each)}
	if n >= enough {
		f.target, f.met = "≤ 3 KiB", ptr.To(each <= 3<<10)
	}
	r.add(f)
	r.add(figure{what: name + "heap per object", value: kibibytes((loaded.heap - empty.heap) / float64(n))})
	return nil
}
