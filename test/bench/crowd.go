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
	// crowdStores is how many vector stores the crowd has.
	crowdStores = 10
	// stuck begins the ID of a file that is never done.
	stuck = "file-stuck-"
	// crowdPrefix begins the names of the crowd.
	crowdPrefix = "crowd-"
)

// oneStuckFile is the spec of a batch that goes on for ever.
func oneStuckFile(name string) v1alpha1.VectorStoreFileBatchSpec {
	return v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{stuck + name}}
}

func crowdName(i int) string { return fmt.Sprintf(crowdPrefix+"%05d", i) }

// inCrowd gives the batches in progress, which the operator made. No manager runs then.
func (b *bench) inCrowd(ctx context.Context) (*stand, error) {
	if b.crowd != nil {
		return b.crowd, nil
	}
	b.say("  making %s batches in progress", thousands(b.scale.crowd))
	s, err := b.newStand(ctx, crowdStores)
	if err != nil {
		return nil, err
	}
	if err := s.startAndWait(ctx, still()...); err != nil {
		return nil, err
	}
	defer s.stop()
	going, err := s.arrivals(ctx, "in_progress")
	if err != nil {
		return nil, err
	}
	defer going.stop()
	object := func(i int) *v1alpha1.VectorStoreFileBatch {
		return s.object(crowdName(i), i, oneStuckFile(crowdName(i)))
	}
	if err := s.create(ctx, b.scale.crowd, object); err != nil {
		return nil, err
	}
	if _, err := going.await(ctx, b.scale.crowd); err != nil {
		return nil, err
	}
	if _, err := s.writesSettle(ctx); err != nil {
		return nil, err
	}
	b.crowd = s
	return s, nil
}

// startLooked starts the manager, and waits until it has looked at n batches.
func (s *stand) startLooked(ctx context.Context, n int, flags ...string) error {
	before, err := s.upstream.counts(ctx)
	if err != nil {
		return err
	}
	if err := s.startAndWait(ctx, flags...); err != nil {
		return err
	}
	return eventuallyEvery(ctx, nowAndThen, "the manager to look at all batches", func() (bool, error) {
		now, err := s.upstream.counts(ctx)
		if err == nil {
			err = s.manager.died()
		}
		return now.since(before).of(emulator.Retrieve) >= n, err
	})
}

// inProgress measures what batches cost in which nothing moves.
func (b *bench) inProgress(ctx context.Context) error {
	s, err := b.inCrowd(ctx)
	if err != nil {
		return err
	}
	n, every := b.scale.crowd, b.scale.pollEvery
	if err := s.startLooked(ctx, n, append(polling(every), unlimited()...)...); err != nil {
		return err
	}
	defer s.stop()
	// The looks of the start come at once, and those that follow them are spread only by chance: at
	// the end of two rounds, some batches have been looked at once only.
	spell, err := s.watch(ctx, "looks", 2*every)
	if err != nil {
		return err
	}
	looks := spell.calls.of(emulator.Retrieve)
	b.report.note("%s batches, each looked at every %s, give or take a fifth, over %s.", thousands(n), every, 2*every)
	b.report.add(figure{what: "upstream calls a second", value: fmt.Sprintf("%.1f (spread evenly: %.1f)", spell.perSecond(spell.calls.of(emulator.AnyOperation)), float64(n)/every.Seconds())})
	b.report.never("API writes", spell.writes.total())
	b.report.add(figure{what: "the manager's processors", value: fmt.Sprintf("%.2f", spell.processor.Seconds()/spell.took.Seconds())})
	b.report.add(figure{what: "its processor time a look", value: fmt.Sprintf("%.0f µs", microseconds(spell.processor, looks))})
	b.report.add(figure{what: "its memory", value: fmt.Sprintf("%s, at its peak %s", mebibytes(spell.after.usage.resident), mebibytes(spell.after.usage.peak))})
	return nil
}
