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
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	// kills is how often the manager is killed during its work.
	kills = 3
	// fresh is the number of objects that are created while it restarts.
	fresh = 10
)

// freshFile is the prefix of the file IDs of those objects, which never finish.
const freshFile = stuck + "fresh-"

// restarted is the state of a manager that has created the batches of those objects.
type restarted struct {
	took time.Duration // since its start
	used usage
}

// restart kills the manager during its work, and measures what the next one does first.
func (b *bench) restart(ctx context.Context) error {
	s, err := b.loadedFixture(ctx)
	if err != nil {
		return err
	}
	if err := s.startAndWait(ctx, rateLimit(b.scale.rate)...); err != nil {
		return err
	}
	defer s.stop()
	waiting, err := s.inProgressIDs(ctx)
	if err != nil {
		return err
	}
	var starts []restarted
	var started time.Time
	for kill := range kills {
		if err := framework.Pause(ctx, 2*time.Second); err != nil {
			return err
		}
		s.stop()
		if err := s.openai.clearCalls(ctx); err != nil {
			return err
		}
		start, err := s.startWithNewObjects(ctx, kill)
		if err != nil {
			return err
		}
		starts, started = append(starts, start), s.manager.started
	}
	polled, err := s.polledAgain(ctx, waiting)
	if err != nil {
		return err
	}
	return s.reportRestart(ctx, starts, polled.Sub(started), len(waiting))
}

// startWithNewObjects starts the manager, creates objects during the start, and waits until they have
// batches.
func (s *fixture) startWithNewObjects(ctx context.Context, kill int) (restarted, error) {
	if err := s.start(rateLimit(s.scale.rate)...); err != nil {
		return restarted{}, err
	}
	if err := s.create(ctx, fresh, func(i int) *v1alpha1.VectorStoreFileBatch {
		name := fmt.Sprintf("fresh-%d-%05d", kill, i)
		return s.object(name, i, oneStuckFile(name))
	}); err != nil {
		return restarted{}, err
	}
	var last time.Time
	err := poll(ctx, shortInterval, "the new objects to have batches", func() (bool, error) {
		creates, err := s.openai.Calls(ctx, emulator.Create)
		for _, c := range creates {
			last = c.Time
		}
		return len(creates) >= fresh, errors.Join(err, s.manager.Err())
	})
	if err != nil {
		return restarted{}, err
	}
	used, err := s.manager.usage()
	return restarted{took: last.Sub(s.manager.started), used: used}, err
}

// inProgressIDs returns the IDs of the batches to poll.
func (s *fixture) inProgressIDs(ctx context.Context) (map[string]bool, error) {
	batches, err := s.openai.Batches(ctx)
	ids := map[string]bool{}
	for _, b := range batches {
		if b.Status == "in_progress" {
			ids[b.ID] = true
		}
	}
	return ids, err
}

// polledAgain waits until all batches were polled, and returns when the last one was.
func (s *fixture) polledAgain(ctx context.Context, batches map[string]bool) (last time.Time, err error) {
	left := len(batches)
	err = poll(ctx, 2*time.Second, "every batch to be polled again", func() (bool, error) {
		polls, err := s.openai.Calls(ctx, emulator.Retrieve)
		if err != nil {
			return false, err
		}
		first := map[string]time.Time{}
		for _, c := range polls {
			if _, seen := first[c.BatchID]; !seen && batches[c.BatchID] {
				first[c.BatchID] = c.Time
			}
		}
		if was := left; len(batches)-len(first) != was {
			left = len(batches) - len(first)
			s.logf("  %s batches are not polled yet", thousands(left))
		}
		for _, at := range first {
			if at.After(last) {
				last = at
			}
		}
		return left == 0, s.manager.Err()
	})
	return last, err
}

func (s *fixture) reportRestart(ctx context.Context, starts []restarted, polled time.Duration, batches int) error {
	all, err := s.openai.Batches(ctx)
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
	r.note("%s batches are in progress, and the rate limit is %d requests per second. The manager is killed %d times, and each restart has %d new objects.", thousands(batches), s.scale.rate, kills, fresh)
	r.target(fmt.Sprintf("from the manager's start to the create of the last of %d new batches", fresh),
		fmt.Sprintf("%s (starts: %s)", seconds(slowest.took), strings.Join(times, ", ")), "≤ 2 s", created == kills*fresh && slowest.took <= 2*time.Second)
	r.add(figure{what: "CPU time of the manager until then", value: seconds(slowest.used.cpu)})
	r.add(figure{what: "peak memory until then", value: mebibytes(slowest.used.peak)})
	allowed := time.Duration(math.Ceil(float64(batches) / float64(s.scale.rate) * float64(time.Second)))
	limit := allowed*115/100 + 2*time.Second
	r.target("from the manager's start to the last poll of all batches", seconds(polled),
		fmt.Sprintf("≤ %s, 1.15 times what the rate limit allows and 2 s for the start", seconds(limit)), polled <= limit)
	r.invariant("repeated creates", len(repeated(all)))
	return nil
}
