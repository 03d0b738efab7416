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
)

const (
	// filesOfFinished is how many files an object has that is over.
	filesOfFinished = 100
	// enough is from how many objects on it is judged what each of them costs. The first one has
	// the manager take some MiB, such as the pages of the program that then run for the first
	// time, and shared by few objects that is most of what each seems to take.
	enough = 10_000
)

// finished measures what objects cost that are over.
func (b *bench) finished(ctx context.Context) error {
	s, err := b.newStand(ctx, crowdStores)
	if err != nil {
		return err
	}
	defer s.end()
	empty, err := s.memoryAtRest(ctx)
	if err != nil {
		return err
	}
	b.report.target("the manager's memory without objects", fmt.Sprintf("%s, of it %s pages of the program's file", mebibytes(empty.before.resident), mebibytes(empty.before.file)), "< 50 MiB", empty.before.resident < 50<<20)
	template, err := s.finishedObject(ctx)
	if err != nil {
		return err
	}
	b.report.note("One object is brought to its end by the operator, and the others are written like it.")
	made := 1
	for _, n := range b.scale.finished {
		b.say("  making %s objects that are over", thousands(n))
		from := made
		if err := inParallel(ctx, n-from, workers, func(ctx context.Context, i int) error { return s.finishedLike(ctx, template, from+i) }); err != nil {
			return err
		}
		made = n
		if err := s.leftAlone(ctx, n, empty); err != nil {
			return err
		}
	}
	return nil
}

// memory is what a manager holds when it has come to rest, in bytes.
type memory struct {
	resident int64
	// before is what it used before it was told to collect its garbage: the code that does that
	// takes memory, too.
	before usage
	// heap are the objects that were reachable at the last collection of garbage.
	heap float64
}

// memoryAtRest starts a manager and measures its memory.
func (s *stand) memoryAtRest(ctx context.Context) (memory, error) {
	if err := s.startAndWait(ctx); err != nil {
		return memory{}, err
	}
	defer s.stop()
	return s.memory(ctx, 0)
}

// memory has the manager collect its garbage, and measures what is left.
func (s *stand) memory(ctx context.Context, objects int) (memory, error) {
	if err := s.manager.memorySettles(ctx); err != nil {
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

// finishedObject lets the operator bring one object to its end.
func (s *stand) finishedObject(ctx context.Context) (*v1alpha1.VectorStoreFileBatch, error) {
	return s.brought(ctx, s.object(finishedName(0), 0, finishedSpec(0)), "completed", fast()...)
}

func finishedName(i int) string { return fmt.Sprintf("finished-%05d", i) }

func finishedSpec(i int) v1alpha1.VectorStoreFileBatchSpec {
	return v1alpha1.VectorStoreFileBatchSpec{FileIDs: fileIDs(fmt.Sprintf("file-0123456789abcd%05d", i), filesOfFinished)}
}

// finishedLike writes an object as the operator leaves one that is over.
func (s *stand) finishedLike(ctx context.Context, template *v1alpha1.VectorStoreFileBatch, i int) error {
	id := template.Status.BatchID[:len(template.Status.BatchID)-5] + fmt.Sprintf("%05d", i)
	return s.writeLike(ctx, template, s.object(finishedName(i), i, finishedSpec(i)), id)
}

// leftAlone starts a manager with n objects that are over, and sees that it does nothing.
func (s *stand) leftAlone(ctx context.Context, n int, empty memory) error {
	before := reading{at: time.Now()}
	var err error
	if before.writes, err = s.writes(ctx); err != nil {
		return err
	}
	if before.calls, err = s.upstream.counts(ctx); err != nil {
		return err
	}
	if err := s.startAndWait(ctx); err != nil {
		return err
	}
	defer s.stop()
	if err := s.manager.seesAll(ctx, n); err != nil {
		return err
	}
	if err := pause(ctx, s.scale.quiet); err != nil {
		return err
	}
	spell, err := s.since(ctx, before)
	if err != nil {
		return err
	}
	held, err := s.memory(ctx, n)
	if err != nil {
		return err
	}
	r, name := s.report, thousands(n)+" objects: "
	made, calls := spell.writes.total(), spell.calls.of(emulator.AnyOperation)
	r.never(name+fmt.Sprintf("upstream calls, from the manager's start until %s after its last pass", s.scale.quiet), calls)
	r.never(name+"API writes in the same time", made)
	r.add(figure{what: name + "the manager's processor time, with the start", value: seconds(spell.after.usage.processor)})
	r.add(figure{what: name + "the manager's memory", value: fmt.Sprintf("%s, at its peak %s, after a collection of garbage %s", mebibytes(held.before.resident), mebibytes(held.before.peak), mebibytes(held.resident))})
	each := float64(held.resident-empty.resident) / float64(n)
	f := figure{what: name + "resident memory an object", value: kibibytes(each)}
	if n >= enough {
		f.target, f.met = "≤ 6 KiB", ptr.To(each <= 6<<10)
	}
	r.add(f)
	r.add(figure{what: name + "heap an object", value: kibibytes((held.heap - empty.heap) / float64(n))})
	return nil
}
