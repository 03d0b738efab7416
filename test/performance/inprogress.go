// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

const (
	// loadStores is the number of vector stores of the load.
	loadStores = 10
	// stuck is the prefix of the IDs of files that the emulator never finishes.
	stuck = "file-stuck-"
	// loadPrefix is the prefix of the names of the objects.
	loadPrefix = "load-"
)

// oneStuckFile returns the spec of a batch that never finishes.
func oneStuckFile(name string) v1alpha1.VectorStoreFileBatchSpec {
	return v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{stuck + name}}
}

func loadName(i int) string { return fmt.Sprintf(loadPrefix+"%05d", i) }

// loadedFixture returns a fixture with batches in progress, which the operator has created. No manager runs.
func (b *bench) loadedFixture(ctx context.Context) (*fixture, error) {
	if b.load != nil {
		return b.load, nil
	}
	b.logf("  creating %s batches in progress", thousands(b.scale.load))
	s, err := b.newFixture(ctx, loadStores)
	if err != nil {
		return nil, err
	}
	if err := s.startAndWait(ctx, noPolling()...); err != nil {
		return nil, err
	}
	defer s.stop()
	arrivals, err := s.arrivals(ctx, "in_progress")
	if err != nil {
		return nil, err
	}
	defer arrivals.stop()
	object := func(i int) *v1alpha1.VectorStoreFileBatch {
		object := s.object(loadName(i), i, oneStuckFile(loadName(i)))
		object.Labels = shardLabels(i)
		return object
	}
	if err := s.create(ctx, b.scale.load, object); err != nil {
		return nil, err
	}
	if _, err := arrivals.await(ctx, b.scale.load); err != nil {
		return nil, err
	}
	if _, err := s.writesSettle(ctx); err != nil {
		return nil, err
	}
	b.load = s
	return s, nil
}

// startAndPoll starts the manager, and waits until it has polled n batches.
func (s *fixture) startAndPoll(ctx context.Context, n int, flags ...string) error {
	before, err := s.openai.counts(ctx)
	if err != nil {
		return err
	}
	if err := s.startAndWait(ctx, flags...); err != nil {
		return err
	}
	return poll(ctx, longInterval, "the manager to poll all batches", func() (bool, error) {
		now, err := s.openai.counts(ctx)
		if err == nil {
			err = s.manager.Err()
		}
		return now.since(before).of(emulator.Retrieve) >= n, err
	})
}

// inProgress measures the cost of batches that make no progress.
func (b *bench) inProgress(ctx context.Context) error {
	s, err := b.loadedFixture(ctx)
	if err != nil {
		return err
	}
	n, every := b.scale.load, b.scale.pollEvery
	if err := s.startAndPoll(ctx, n, append(polling(every), unlimited()...)...); err != nil {
		return err
	}
	defer s.stop()
	// The first polls come at once, and the next ones are spread only by jitter: after two intervals,
	// some batches have been polled once only.
	interval, err := s.watch(ctx, "polls", 2*every)
	if err != nil {
		return err
	}
	polls := interval.calls.of(emulator.Retrieve)
	b.report.note("%s batches, each polled every %s ±20%%, over %s.", thousands(n), every, 2*every)
	b.report.add(figure{what: "OpenAI API calls per second", value: fmt.Sprintf("%.1f (evenly spread: %.1f)", interval.perSecond(interval.calls.of(emulator.AnyOperation)), float64(n)/every.Seconds())})
	b.report.invariant("Kubernetes API writes", interval.writes.total())
	b.report.add(figure{what: "CPU of the manager (cores)", value: fmt.Sprintf("%.2f", interval.cpu.Seconds()/interval.took.Seconds())})
	b.report.add(figure{what: "CPU time per poll", value: fmt.Sprintf("%.0f µs", microseconds(interval.cpu, polls))})
	b.report.add(figure{what: "memory", value: fmt.Sprintf("%s (peak %s)", mebibytes(interval.after.usage.resident), mebibytes(interval.after.usage.peak))})
	return nil
}
