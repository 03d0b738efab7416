// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

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

// restart kills the manager in the middle of its work, and sees what the next one does first.
func (b *bench) restart(ctx context.Context) error {
	s, err := b.inCrowd(ctx)
	if err != nil {
		return err
	}
	flags := atRate(b.scale.rate)
	if err := s.startAndWait(ctx, flags...); err != nil {
		return err
	}
	defer s.stop()
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	s.stop()
	waiting, err := s.followed(ctx)
	if err != nil {
		return err
	}
	if err := s.upstream.clearJournal(ctx); err != nil {
		return err
	}
	if err := s.start(flags...); err != nil {
		return err
	}
	started := s.manager.started
	const fresh = 10
	if err := s.create(ctx, fresh, func(i int) *v1alpha1.VectorStoreFileBatch {
		name := fmt.Sprintf("fresh-%05d", i)
		return s.object(name, i, oneStuckFile(name))
	}); err != nil {
		return err
	}
	looked, err := s.lookedAgain(ctx, waiting)
	if err != nil {
		return err
	}
	return s.reportRestart(ctx, started, looked, len(waiting), fresh)
}

// followed are the IDs of the batches that are to be looked at.
func (s *stand) followed(ctx context.Context) (map[string]bool, error) {
	batches, err := s.upstream.batches(ctx)
	ids := map[string]bool{}
	for _, b := range batches {
		if b.Status == "in_progress" {
			ids[b.ID] = true
		}
	}
	return ids, err
}

// lookedAgain waits until all batches were looked at, and gives when the last one was.
func (s *stand) lookedAgain(ctx context.Context, batches map[string]bool) (last time.Time, err error) {
	left := len(batches)
	err = eventuallyEvery(ctx, 2*time.Second, "every batch to be looked at again", func() (bool, error) {
		looks, err := s.upstream.journal(ctx, emulator.Retrieve)
		if err != nil {
			return false, err
		}
		first := map[string]time.Time{}
		for _, c := range looks {
			if _, seen := first[c.BatchID]; !seen && batches[c.BatchID] {
				first[c.BatchID] = c.Time
			}
		}
		if was := left; len(batches)-len(first) != was {
			left = len(batches) - len(first)
			s.say("  %s batches are still to be looked at", thousands(left))
		}
		for _, at := range first {
			if at.After(last) {
				last = at
			}
		}
		return left == 0, s.manager.died()
	})
	return last, err
}

func (s *stand) reportRestart(ctx context.Context, started, looked time.Time, batches, fresh int) error {
	all, err := s.upstream.batches(ctx)
	if err != nil {
		return err
	}
	var last time.Duration
	created := 0
	for _, b := range all {
		if strings.HasPrefix(b.FileIDs[0], stuck+"fresh-") {
			created++
			last = max(last, b.CreatedAt.Sub(started))
		}
	}
	twice := repeated(all)
	allowed := time.Duration(math.Ceil(float64(batches) / float64(s.scale.rate) * float64(time.Second)))
	r := s.report
	r.note("%s batches are in progress, %d new objects are made while the manager starts, and the budget is %d requests a second.", thousands(batches), fresh, s.scale.rate)
	r.target(fmt.Sprintf("the last of %d new objects is created upstream, since the manager's start", fresh), seconds(last), "≤ 2 s", created == fresh && last <= 2*time.Second)
	took := looked.Sub(started)
	limit := allowed*115/100 + 2*time.Second
	r.target("every batch is looked at again, since the manager's start", seconds(took),
		fmt.Sprintf("≤ %s, 1.15 times what the budget allows and 2 s to start", seconds(limit)), took <= limit)
	r.never("creates that were repeated", len(twice))
	return nil
}
