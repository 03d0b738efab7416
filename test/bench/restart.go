// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

const (
	// kills is how often the manager is killed in the middle of its work.
	kills = 3
	// fresh is how many objects are made while it starts again.
	fresh = 10
)

// freshFile begins the ID of the file of a fresh object, which is never done.
const freshFile = stuck + "fresh-"

// restarted is what a manager had done when it had created the batches of the fresh objects.
type restarted struct {
	took time.Duration // since its start
	used usage
}

// restart kills the manager in the middle of its work, and sees what the next one does first.
func (b *bench) restart(ctx context.Context) error {
	s, err := b.inCrowd(ctx)
	if err != nil {
		return err
	}
	if err := s.startAndWait(ctx, atRate(b.scale.rate)...); err != nil {
		return err
	}
	defer s.stop()
	waiting, err := s.followed(ctx)
	if err != nil {
		return err
	}
	var starts []restarted
	var started time.Time
	for kill := range kills {
		if err := pause(ctx, 2*time.Second); err != nil {
			return err
		}
		s.stop()
		if err := s.upstream.clearJournal(ctx); err != nil {
			return err
		}
		start, err := s.startBesideNewObjects(ctx, kill)
		if err != nil {
			return err
		}
		starts, started = append(starts, start), s.manager.started
	}
	looked, err := s.lookedAgain(ctx, waiting)
	if err != nil {
		return err
	}
	return s.reportRestart(ctx, starts, looked.Sub(started), len(waiting))
}

// startBesideNewObjects starts the manager, makes objects meanwhile, and waits until they have
// batches.
func (s *stand) startBesideNewObjects(ctx context.Context, kill int) (restarted, error) {
	if err := s.start(atRate(s.scale.rate)...); err != nil {
		return restarted{}, err
	}
	if err := s.create(ctx, fresh, func(i int) *v1alpha1.VectorStoreFileBatch {
		name := fmt.Sprintf("fresh-%d-%05d", kill, i)
		return s.object(name, i, oneStuckFile(name))
	}); err != nil {
		return restarted{}, err
	}
	var last time.Time
	err := eventually(ctx, "the new objects to have batches", func() (bool, error) {
		creates, err := s.upstream.journal(ctx, emulator.Create)
		for _, c := range creates {
			last = c.Time
		}
		return len(creates) >= fresh, errors.Join(err, s.manager.died())
	})
	if err != nil {
		return restarted{}, err
	}
	used, err := s.manager.usage()
	return restarted{took: last.Sub(s.manager.started), used: used}, err
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

func (s *stand) reportRestart(ctx context.Context, starts []restarted, looked time.Duration, batches int) error {
	all, err := s.upstream.batches(ctx)
	if err != nil {
		return err
	}
	created := 0
	for _, b := range all {
		if strings.HasPrefix(b.FileIDs[0], freshFile) {
			created++
		}
	}
	slowest := slices.MaxFunc(starts, func(a, b restarted) int { return int(a.took - b.took) })
	var times []string
	for _, start := range starts {
		times = append(times, seconds(start.took))
	}
	r := s.report
	r.note("%s batches are in progress and the budget is %d requests a second. The manager is killed %d times, and %d new objects are made each time while it starts again.", thousands(batches), s.scale.rate, kills, fresh)
	r.target(fmt.Sprintf("the last of %d new objects is created upstream, since the manager's start", fresh),
		fmt.Sprintf("%s (starts: %s)", seconds(slowest.took), strings.Join(times, ", ")), "≤ 2 s", created == kills*fresh && slowest.took <= 2*time.Second)
	r.add(figure{what: "the manager's processor time until then", value: seconds(slowest.used.processor)})
	r.add(figure{what: "its memory at its peak until then", value: mebibytes(slowest.used.peak)})
	allowed := time.Duration(math.Ceil(float64(batches) / float64(s.scale.rate) * float64(time.Second)))
	limit := allowed*115/100 + 2*time.Second
	r.target("every batch is looked at again, since the manager's start", seconds(looked),
		fmt.Sprintf("≤ %s, 1.15 times what the budget allows and 2 s to start", seconds(limit)), looked <= limit)
	r.never("creates that were repeated", len(repeated(all)))
	return nil
}
