// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	// shards is the number of managers that share the objects.
	shards = 4
	// shardLabel is the shard of an object of the load.
	shardLabel = "bench.vector-store-operator.dev/shard"
	// firstLabel is on the first few objects of the load. A manager of these uses the memory that a
	// manager needs for its first object, such as pages of the program that run for the first time.
	firstLabel = "bench.vector-store-operator.dev/first"
	first      = 16
	// shardedPrefix is the prefix of the names of the objects that are created while all shards run.
	shardedPrefix = "sharded-"
	// shareTolerance is the accepted resident memory of a manager above that with a few objects, relative to
	// its share of the memory of one for all objects, and shareNoise what is accepted in addition: the
	// resident memory of one and the same manager differs by some MiB from run to run.
	shareTolerance = 1.25
	shareNoise     = 6 << 20
)

// shardLabels returns the labels of an object of the load.
func shardLabels(i int) map[string]string {
	labels := map[string]string{shardLabel: strconv.Itoa(i % shards)}
	if i < first {
		labels[firstLabel] = "true"
	}
	return labels
}

// shard returns the flags of a manager for the objects of a selector, with a lease of its own.
func shard(selector, lease string) []string {
	return append(noPolling(), "--watch-label-selector="+selector, "--leader-elect", "--leader-election-namespace="+framework.SystemNamespace, "--leader-election-id=bench-"+lease)
}

// shards measures managers that share the objects by a label.
func (b *bench) shards(ctx context.Context) error {
	s, err := b.loadedFixture(ctx)
	if err != nil {
		return err
	}
	few, err := s.memoryOf(ctx, first, shard(firstLabel, "first"))
	if err != nil {
		return err
	}
	all, err := s.memoryOf(ctx, s.scale.load, shard(shardLabel, "all"))
	if err != nil {
		return err
	}
	before, err := s.openai.Batches(ctx)
	if err != nil {
		return err
	}
	managers, err := s.startShards(ctx)
	defer func() {
		for _, m := range managers {
			m.Kill()
		}
	}()
	if err != nil {
		return err
	}
	if err := s.requireDisjoint(ctx, managers, before); err != nil {
		return err
	}
	return s.reportShares(ctx, managers, few, all)
}

// memoryOf returns the memory of a manager that has reconciled its n objects.
func (s *fixture) memoryOf(ctx context.Context, n int, flags []string) (memory, error) {
	if err := s.startAndWait(ctx, flags...); err != nil {
		return memory{}, err
	}
	defer s.stop()
	if err := s.manager.waitReconciled(ctx, n); err != nil {
		return memory{}, err
	}
	if err := s.manager.waitIdle(ctx); err != nil {
		return memory{}, err
	}
	return s.memory(ctx, n)
}

// waitIdle waits until a manager reconciles nothing any more.
func (m *manager) waitIdle(ctx context.Context) error {
	last := -1
	return poll(ctx, time.Second, "the manager to be idle", func() (bool, error) {
		now, err := m.reconciles(ctx)
		same := now == last
		last = now
		return same, err
	})
}

// startShards starts the managers at the same time, each with a lease of its own in the same namespace.
func (s *fixture) startShards(ctx context.Context) (managers []*manager, err error) {
	for i := range shards {
		number := strconv.Itoa(i)
		m, err := s.run(s.kubeconfig, shard(shardLabel+"="+number, "shard-"+number)...)
		if err != nil {
			return managers, err
		}
		managers = append(managers, m)
	}
	for _, m := range managers {
		if err := m.WaitForOutput(ctx, framework.Working); err != nil {
			return managers, err
		}
	}
	return managers, nil
}

// requireDisjoint creates an object after the other for each shard, and requires that each batch was
// polled by one manager, and that each new object has one batch: the managers poll each batch once.
func (s *fixture) requireDisjoint(ctx context.Context, managers []*manager, before []batch) error {
	if err := s.create(ctx, shards*fresh, func(i int) *v1alpha1.VectorStoreFileBatch {
		name := fmt.Sprintf("%s%05d", shardedPrefix, i)
		object := s.object(name, i, oneStuckFile(name))
		object.Labels = shardLabels(i)
		return object
	}); err != nil {
		return err
	}
	polled := map[string]int{}
	for _, b := range before {
		if b.Status == "in_progress" && strings.HasPrefix(b.FileIDs[0], stuck+loadPrefix) {
			polled[b.ID] = b.Retrieves
		}
	}
	if err := s.waitSharded(ctx, polled); err != nil {
		return err
	}
	for _, m := range managers {
		if err := m.waitIdle(ctx); err != nil {
			return err
		}
	}
	after, err := s.openai.Batches(ctx)
	if err != nil {
		return err
	}
	twice := 0
	for _, b := range after {
		if was, ours := polled[b.ID]; ours && b.Retrieves > was+1 {
			twice++
		}
	}
	s.report.note("%s batches are in progress; each manager polls each of its batches once after its start. %d objects are created while all managers run.", thousands(len(polled)), shards*fresh)
	s.report.invariant("batches that more than one manager polled", twice)
	s.report.invariant("repeated creates", len(repeated(after)))
	return nil
}

// waitSharded waits until the new objects have batches, and each batch was polled once more.
func (s *fixture) waitSharded(ctx context.Context, polled map[string]int) error {
	return poll(ctx, longInterval, "the shards to poll all batches", func() (bool, error) {
		batches, err := s.openai.Batches(ctx)
		created, left := 0, 0
		for _, b := range batches {
			if strings.HasPrefix(b.FileIDs[0], stuck+shardedPrefix) {
				created++
			}
			if was, ours := polled[b.ID]; ours && b.Retrieves == was {
				left++
			}
		}
		return created >= shards*fresh && left == 0, err
	})
}

// reportShares reports the work and the memory of each manager.
func (s *fixture) reportShares(ctx context.Context, managers []*manager, few, all memory) error {
	r := s.report
	r.add(figure{what: "memory of one manager for all objects", value: fmt.Sprintf("%s, with %d objects %s", mebibytes(all.resident), first, mebibytes(few.resident))})
	above := all.resident - few.resident
	limit := int64(shareTolerance*float64(above)/shards) + shareNoise
	most := int64(0)
	for i, m := range managers {
		one := *s
		one.manager = m
		used, err := one.memory(ctx, i)
		if err != nil {
			return err
		}
		reconciles, err := m.reconciles(ctx)
		if err != nil {
			return err
		}
		most = max(most, used.resident-few.resident)
		r.add(figure{what: fmt.Sprintf("manager %d of %d", i+1, shards), value: fmt.Sprintf("%s reconciliations, %s, %.2f of the heap of one manager for all objects", thousands(reconciles), mebibytes(used.resident), (used.heap-few.heap)/(all.heap-few.heap))})
	}
	f := figure{what: fmt.Sprintf("memory of the largest manager, above that with %d objects", first), value: fmt.Sprintf("%s, of one manager for all objects %s", mebibytes(most), mebibytes(above))}
	if s.scale.load >= enough {
		f.target, f.met = fmt.Sprintf("≤ %s, %.2f times its share and %d MiB", mebibytes(limit), shareTolerance, shareNoise>>20), ptr.To(most <= limit)
	}
	r.add(f)
	return nil
}
