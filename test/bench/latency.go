// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// latencies are how long it took from what users did to its reaching the upstream.
type latencies struct{ cancels, creates delays }

// delays are the times from the beginning of the request to the API server: until the upstream
// has received the call, and until a bare watch has shown the change.
type delays struct{ all, shown []time.Duration }

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
	b.report.note("%s batches, which are due every second; the budget is %d requests a second. Times are from just before the request to the API server until the upstream has received the call. The bare watch is one of the load generator's: nobody can send on what the API server has not shown yet.", thousands(b.scale.crowd), b.scale.rate)
	b.report.add(figure{what: "upstream calls a second meanwhile", value: fmt.Sprintf("%.1f", during.perSecond(during.calls.of(emulator.AnyOperation)))})
	for i, pace := range paces {
		b.compare("cancel, "+pace.name, idle[i].cancels, busy[i].cancels)
		b.compare("create, "+pace.name, idle[i].creates, busy[i].creates)
	}
	return nil
}

// compare reports a latency beside the same with an idle manager, and beside the bare watch.
func (b *bench) compare(what string, idle, busy delays) {
	b.report.add(figure{what: what + ", idle", value: spread(idle.all)})
	p99 := quantile(busy.all, 0.99)
	b.report.target(what+", polled at the full budget", spread(busy.all), "p99 ≤ 1 s", p99 <= time.Second)
	times := ratio(p99, quantile(idle.all, 0.99))
	b.report.target(what+", p99 / idle p99", fmt.Sprintf("%.2f", times), "≤ 3", times <= 3)
	b.report.add(figure{what: what + ", p99 / that of a bare watch", value: fmt.Sprintf("%.2f (the watch: %s)", ratio(p99, quantile(busy.shown, 0.99)), spread(busy.shown))})
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

// spread says how long something took.
func spread(times []time.Duration) string {
	return "p50 " + milliseconds(quantile(times, 0.5)) + ", p99 " + milliseconds(quantile(times, 0.99))
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
	seen, err := s.sight(ctx)
	if err != nil {
		return l, err
	}
	defer seen.stop()
	cancels, creates, err := o.send(ctx, every)
	if err != nil {
		return l, err
	}
	err = eventuallyEvery(ctx, nowAndThen, "the operations to reach the upstream", func() (bool, error) {
		now, err := s.upstream.counts(ctx)
		after := now.since(before)
		return after.of(emulator.Cancel) >= n && after.of(emulator.Create) >= n, err
	})
	if err == nil {
		l, err = o.arrived(ctx, cancels, creates, seen)
	}
	o.cancelled, o.made = o.cancelled+n, o.made+n
	return l, err
}

// send sends the requests to the API server, and gives when each began.
func (o *operator) send(ctx context.Context, every time.Duration) (cancels, creates []time.Time, err error) {
	n := o.stand.scale.operations
	cancels, creates = make([]time.Time, n), make([]time.Time, n)
	errs := make([]error, 2*n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs[i] = o.cancel(ctx, o.cancelled+i, &cancels[i]) })
		if err := pause(ctx, every); err != nil {
			return nil, nil, err
		}
		group.Go(func() { errs[n+i] = o.create(ctx, o.made+i, &creates[i]) })
		if err := pause(ctx, every); err != nil {
			return nil, nil, err
		}
	}
	group.Wait()
	return cancels, creates, errors.Join(errs...)
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

// arrived looks up when the operations reached the upstream, and when they were seen.
func (o *operator) arrived(ctx context.Context, cancels, creates []time.Time, seen *sightings) (l latencies, err error) {
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
		name := crowdName(o.cancelled + i)
		if err := l.cancels.add(ctx, name, sent, cancelled[made[name].ID], seen); err != nil {
			return l, err
		}
	}
	for i, sent := range creates {
		name := freshName(o.made + i)
		if err := l.creates.add(ctx, name, sent, made[name].CreatedAt, seen); err != nil {
			return l, err
		}
	}
	return l, nil
}

// add adds what was done to an object. An operation that has not arrived has no time.
func (d *delays) add(ctx context.Context, name string, sent, arrived time.Time, seen *sightings) error {
	if arrived.IsZero() {
		return fmt.Errorf("%w: what was done to %s has not reached the upstream", errNothing, name)
	}
	shown, err := seen.of(ctx, name)
	d.all, d.shown = append(d.all, arrived.Sub(sent)), append(d.shown, shown.Sub(sent))
	return err
}
