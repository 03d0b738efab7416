// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	// fresh is the number of objects that are created at the signal, and at the exit of the leader.
	fresh = 10
	// freshFile is the prefix of the file IDs of those objects, which never finish.
	freshFile = stuck + "fresh-"
	// leaseDuration is that of the manager's lease, which a leader that is killed does not release.
	leaseDuration = 15 * time.Second
	// takeoverTime is how long the other replica may take once the lease is free.
	takeoverTime = 3 * time.Second
)

// signals end the leader.
var signals = []struct {
	name string
	kill bool
	// lease is the time until the lease is free.
	lease time.Duration
}{{name: "SIGTERM"}, {name: "SIGKILL", kill: true, lease: leaseDuration}}

// takeover ends the leader of two replicas during its work, and measures what the other one does first.
func (b *bench) takeover(ctx context.Context) error {
	s, err := b.loadedFixture(ctx)
	if err != nil {
		return err
	}
	b.report.note("The rate limit is %d requests per second. %d objects are created at the signal, and %d when the leader has exited.", b.scale.rate, fresh, fresh)
	if s.manager, err = s.startReplica(ctx); err != nil {
		return err
	}
	defer s.stop()
	if err := s.manager.WaitForOutput(ctx, framework.Working); err != nil {
		return err
	}
	for i := range signals {
		if err := s.takeOver(ctx, i); err != nil {
			return fmt.Errorf("%s: %w", signals[i].name, err)
		}
	}
	all, err := s.openai.Batches(ctx)
	b.report.invariant("repeated creates", len(repeated(all)))
	return err
}

// startReplica starts a manager with leader election, and waits until it has all objects.
func (s *fixture) startReplica(ctx context.Context, flags ...string) (*manager, error) {
	probes, err := framework.FreeAddress()
	if err != nil {
		return nil, err
	}
	flags = append(rateLimit(s.scale.rate), append(flags, "--leader-elect", "--leader-election-namespace="+framework.SystemNamespace, "--health-probe-bind-address="+probes)...)
	m, err := s.run(s.kubeconfig, flags...)
	if err != nil {
		return nil, err
	}
	err = poll(ctx, shortInterval, "the replica to be ready", func() (bool, error) {
		code, _, err := framework.Fetch(ctx, http.DefaultClient, "http://"+probes+"/readyz", "")
		return err == nil && code == http.StatusOK, m.Err() // it may not listen yet
	})
	if err != nil {
		m.Kill()
	}
	return m, err
}

// takeOver starts another replica, ends the leader, and measures the other one.
func (s *fixture) takeOver(ctx context.Context, round int) error {
	standby, err := s.startReplica(ctx)
	if err != nil {
		return err
	}
	ready := time.Since(standby.started)
	leader := s.manager
	defer leader.Kill()
	s.manager = standby
	waiting, err := s.inProgressIDs(ctx)
	if err != nil {
		return err
	}
	used, err := standby.usage()
	if err != nil {
		return err
	}
	r, signal := s.report, signals[round]
	if round == 0 {
		r.add(figure{what: "from the start of a replica until it has all objects", value: fmt.Sprintf("%s, CPU time %s, peak memory %s", seconds(ready), seconds(used.cpu), mebibytes(used.peak))})
	}
	exited, err := s.endLeader(ctx, leader, round)
	if err != nil {
		return err
	}
	last, err := s.freshCreated(ctx, round)
	if err != nil {
		return err
	}
	limit := signal.lease + takeoverTime
	r.target(fmt.Sprintf("%s: from the leader's exit to the create of the last of %d new batches", signal.name, 2*fresh), seconds(last.Sub(exited)), "≤ "+seconds(limit), last.Sub(exited) <= limit)
	polled, err := s.polledAgain(ctx, waiting)
	if err != nil {
		return err
	}
	needed := time.Duration(math.Ceil(float64(len(waiting)) / float64(s.scale.rate) * float64(time.Second)))
	limit += needed * 115 / 100
	r.target(fmt.Sprintf("%s: from the leader's exit to the last poll of %s batches", signal.name, thousands(len(waiting))), seconds(polled.Sub(exited)),
		fmt.Sprintf("≤ %s, 1.15 times what the rate limit allows and the takeover", seconds(limit)), polled.Sub(exited) <= limit)
	return nil
}

// endLeader creates objects, ends the leader, creates more objects, and returns when the leader exited.
func (s *fixture) endLeader(ctx context.Context, leader *manager, round int) (exited time.Time, err error) {
	if err := errors.Join(framework.Pause(ctx, pressure), leader.Err(), s.openai.clearCalls(ctx)); err != nil {
		return exited, err
	}
	at := make(chan time.Time, 1)
	go func() {
		<-leader.Exited()
		at <- time.Now()
	}()
	if signals[round].kill {
		leader.Kill()
	} else {
		leader.Terminate()
	}
	if err := s.createFresh(ctx, round, 0); err != nil {
		return exited, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case exited = <-at:
	case <-ctx.Done():
		return exited, fmt.Errorf("waiting for the leader's exit: %w", ctx.Err())
	}
	s.logf("  the leader has exited after %s", signals[round].name)
	return exited, s.createFresh(ctx, round, fresh)
}

func freshObjectName(round, i int) string { return fmt.Sprintf("fresh-%d-%05d", round, i) }

// createFresh creates new objects, with numbers from the given one.
func (s *fixture) createFresh(ctx context.Context, round, from int) error {
	return s.create(ctx, fresh, func(i int) *v1alpha1.VectorStoreFileBatch {
		name := freshObjectName(round, from+i)
		return s.object(name, i, oneStuckFile(name))
	})
}

// freshCreated waits until the new objects of a round have batches, and returns when the last one was
// created.
func (s *fixture) freshCreated(ctx context.Context, round int) (last time.Time, err error) {
	prefix := fmt.Sprintf("%s%d-", freshFile, round)
	err = poll(ctx, longInterval, "the new objects to have batches", func() (bool, error) {
		batches, err := s.openai.Batches(ctx)
		created := map[string]bool{}
		for _, b := range batches {
			if strings.HasPrefix(b.FileIDs[0], prefix) {
				created[b.FileIDs[0]], last = true, b.CreatedAt
			}
		}
		return len(created) == 2*fresh, errors.Join(err, s.manager.Err())
	})
	return last, err
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
	left, said := len(batches), time.Now()
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
		left = len(batches) - len(first)
		if time.Since(said) > progressInterval {
			said = time.Now()
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
