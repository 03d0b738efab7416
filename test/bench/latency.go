// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// latencies are how long it took from what a user did to its reaching the upstream.
type latencies struct{ cancels, creates []time.Duration }

// paces are how the operations follow upon each other.
var paces = []struct {
	name  string
	every time.Duration
}{{"one by one", 50 * time.Millisecond}, {"all at once", 0}}

// latency measures cancels and creations, with a manager that has nothing else to do, and then
// with one that has more looks to make than its budget allows.
func (b *bench) latency(ctx context.Context) error {
	s, err := b.inCrowd(ctx)
	if err != nil {
		return err
	}
	o := &operator{stand: s}
	if err := s.startLooked(ctx, b.scale.crowd, still()...); err != nil {
		return err
	}
	defer func() { s.stop() }()
	idle, _, err := o.both(ctx)
	if err != nil {
		return err
	}
	s.stop()
	if err := s.startAndWait(ctx, append(polling(time.Second), atRate(b.scale.rate)...)...); err != nil {
		return err
	}
	if err := pause(ctx, 3*time.Second); err != nil {
		return err
	}
	busy, during, err := o.both(ctx)
	if err != nil {
		return err
	}
	b.report.note("%s batches, which are due every second; the budget is %d requests a second. Times are from just before the request to the API server until the upstream has received the call.", thousands(b.scale.crowd), b.scale.rate)
	b.report.add(figure{what: "upstream calls a second meanwhile", value: fmt.Sprintf("%.1f", during.perSecond(during.calls.of(emulator.AnyOperation)))})
	for i, pace := range paces {
		b.compare("cancel, "+pace.name, idle[i].cancels, busy[i].cancels)
		b.compare("create, "+pace.name, idle[i].creates, busy[i].creates)
	}
	return nil
}

// compare reports a latency beside the same with an idle manager.
func (b *bench) compare(what string, idle, busy []time.Duration) {
	p99, calm := quantile(busy, 0.99), quantile(idle, 0.99)
	ratio := float64(p99) / float64(max(calm, 1))
	b.report.add(figure{what: what + ", idle", value: "p50 " + milliseconds(quantile(idle, 0.5)) + ", p99 " + milliseconds(calm)})
	b.report.target(what+", polled at the full budget", "p50 "+milliseconds(quantile(busy, 0.5))+", p99 "+milliseconds(p99), "p99 ≤ 1 s", p99 <= time.Second)
	b.report.target(what+", p99 / idle p99", fmt.Sprintf("%.2f", ratio), "≤ 3", ratio <= 3)
}

// operator is the user who cancels batches of the crowd, and makes new ones.
type operator struct {
	stand *stand
	// cancelled and made are how many it has so far.
	cancelled, made int
}

// both performs the operations at both paces, and tells what went on meanwhile.
func (o *operator) both(ctx context.Context) (results []latencies, during spell, err error) {
	before, err := o.stand.read(ctx)
	if err != nil {
		return nil, during, err
	}
	for _, pace := range paces {
		l, err := o.perform(ctx, pace.every)
		if err != nil {
			return nil, during, err
		}
		results = append(results, l)
	}
	during, err = o.stand.since(ctx, before)
	return results, during, err
}

// perform cancels so many batches and makes as many objects, in turns, and measures both.
func (o *operator) perform(ctx context.Context, every time.Duration) (l latencies, err error) {
	s, n := o.stand, o.stand.scale.operations
	if o.cancelled+n > s.scale.crowd {
		return l, fmt.Errorf("%w: the crowd has no %d batches left to be cancelled", errNothing, n)
	}
	before, err := s.upstream.counts(ctx)
	if err != nil {
		return l, err
	}
	cancels, creates := make([]time.Time, n), make([]time.Time, n)
	errs := make(chan error, 2*n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs <- o.cancel(ctx, o.cancelled+i, &cancels[i]) })
		if err := pause(ctx, every); err != nil {
			return l, err
		}
		group.Go(func() { errs <- o.create(ctx, o.made+i, &creates[i]) })
		if err := pause(ctx, every); err != nil {
			return l, err
		}
	}
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return l, err
		}
	}
	err = eventuallyEvery(ctx, nowAndThen, "the operations to reach the upstream", func() (bool, error) {
		now, err := s.upstream.counts(ctx)
		after := now.since(before)
		return after.of(emulator.Cancel) >= n && after.of(emulator.Create) >= n, err
	})
	if err == nil {
		l, err = o.arrived(ctx, cancels, creates)
	}
	o.cancelled, o.made = o.cancelled+n, o.made+n
	return l, err
}

func freshName(i int) string { return fmt.Sprintf("latency-%05d", i) }

func (o *operator) cancel(ctx context.Context, i int, at *time.Time) error {
	object := o.stand.object(crowdName(i), i, v1alpha1.VectorStoreFileBatchSpec{})
	*at = time.Now()
	if err := o.stand.client.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancel":true}}`))); err != nil {
		return fmt.Errorf("cancelling %s: %w", object.Name, err)
	}
	return nil
}

func (o *operator) create(ctx context.Context, i int, at *time.Time) error {
	object := o.stand.object(freshName(i), i, oneStuckFile(freshName(i)))
	*at = time.Now()
	if err := o.stand.client.Create(ctx, object); err != nil {
		return fmt.Errorf("making object %s: %w", object.Name, err)
	}
	return nil
}

// arrived looks up when the operations reached the upstream.
func (o *operator) arrived(ctx context.Context, cancels, creates []time.Time) (l latencies, err error) {
	batches, err := o.stand.upstream.batches(ctx)
	if err != nil {
		return l, err
	}
	calls, err := o.stand.upstream.journal(ctx, emulator.Cancel)
	if err != nil {
		return l, err
	}
	cancelled := map[string]time.Time{}
	for _, c := range calls {
		if _, seen := cancelled[c.BatchID]; !seen {
			cancelled[c.BatchID] = c.Time
		}
	}
	made := map[string]batch{}
	for _, b := range batches {
		made[strings.TrimPrefix(b.FileIDs[0], stuck)] = b
	}
	for i, sent := range cancels {
		at, there := cancelled[made[crowdName(o.cancelled+i)].ID]
		if !there {
			return l, fmt.Errorf("%w: the upstream has no cancel of %s", errNothing, crowdName(o.cancelled+i))
		}
		l.cancels = append(l.cancels, at.Sub(sent))
	}
	for i, sent := range creates {
		b, there := made[freshName(o.made+i)]
		if !there {
			return l, fmt.Errorf("%w: the upstream has no batch of %s", errNothing, freshName(o.made+i))
		}
		l.creates = append(l.creates, b.CreatedAt.Sub(sent))
	}
	return l, nil
}
