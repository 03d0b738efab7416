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
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// latencies are the times from a user's request until the OpenAI API received the resulting call.
type latencies struct{ cancels, creates delays }

// delays start with the request to the API server: all ends when the OpenAI API has received the call,
// shown when a plain watch has delivered the change.
type delays struct{ all, shown []time.Duration }

// paces are the intervals between the operations.
var paces = []struct {
	name  string
	every time.Duration
}{{"sequential", 50 * time.Millisecond}, {"burst", 0}}

// latency measures cancels and creates with an idle manager, and then with one whose due polls exceed
// its rate limit.
func (b *bench) latency(ctx context.Context) error {
	s, err := b.loadedFixture(ctx)
	if err != nil {
		return err
	}
	o := &user{fixture: s}
	if err := s.startAndPoll(ctx, b.scale.load, noPolling()...); err != nil {
		return err
	}
	defer func() { s.stop() }()
	idle, _, err := o.both(ctx)
	if err != nil {
		return err
	}
	s.stop()
	if err := s.startAndWait(ctx, append(polling(time.Second), rateLimit(b.scale.rate)...)...); err != nil {
		return err
	}
	if err := framework.Pause(ctx, 3*time.Second); err != nil {
		return err
	}
	busy, during, err := o.both(ctx)
	if err != nil {
		return err
	}
	b.report.note("%s batches, which are due every second; the rate limit is %d requests per second. Each time starts just before the request to the API server and ends when the OpenAI API has received the call. A plain watch of the load generator is the baseline: no client can react to a change before the API server delivers it.", thousands(b.scale.load), b.scale.rate)
	b.report.add(figure{what: "OpenAI API calls per second during the operations", value: fmt.Sprintf("%.1f", during.perSecond(during.calls.of(emulator.AnyOperation)))})
	for i, pace := range paces {
		b.compare("cancel, "+pace.name, idle[i].cancels, busy[i].cancels)
		b.compare("create, "+pace.name, idle[i].creates, busy[i].creates)
	}
	return nil
}

// compare reports a latency with the one of an idle manager and the one of the plain watch.
func (b *bench) compare(what string, idle, busy delays) {
	b.report.add(figure{what: what + ", idle", value: spread(idle.all)})
	p99 := quantile(busy.all, 0.99)
	b.report.target(what+", at the rate limit", spread(busy.all), "p99 ≤ 1 s", p99 <= time.Second)
	times := ratio(p99, quantile(idle.all, 0.99))
	b.report.target(what+", p99 / idle p99", fmt.Sprintf("%.2f", times), "≤ 3", times <= 3)
	b.report.add(figure{what: what + ", p99 / p99 of a plain watch", value: fmt.Sprintf("%.2f (watch: %s)", ratio(p99, quantile(busy.shown, 0.99)), spread(busy.shown))})
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

// spread formats the median and the 99th percentile.
func spread(times []time.Duration) string {
	return "p50 " + milliseconds(quantile(times, 0.5)) + ", p99 " + milliseconds(quantile(times, 0.99))
}

// user is the user who cancels batches in progress and creates new ones.
type user struct {
	fixture *fixture
	// cancelled and created count the operations so far.
	cancelled, created int
}

// both performs the operations at both paces, and returns the activity during them.
func (o *user) both(ctx context.Context) (results []latencies, during interval, err error) {
	before, err := o.fixture.read(ctx)
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
	during, err = o.fixture.since(ctx, before)
	return results, during, err
}

// perform cancels batches and creates objects alternately, and measures both.
func (o *user) perform(ctx context.Context, every time.Duration) (l latencies, err error) {
	s, n := o.fixture, o.fixture.scale.operations
	if o.cancelled+n > s.scale.load {
		return l, fmt.Errorf("%w: fewer than %d batches are left to cancel", errNothing, n)
	}
	before, err := s.openai.counts(ctx)
	if err != nil {
		return l, err
	}
	seen, err := s.observe(ctx)
	if err != nil {
		return l, err
	}
	defer seen.stop()
	cancels, creates, err := o.send(ctx, every)
	if err != nil {
		return l, err
	}
	err = poll(ctx, longInterval, "the operations to reach the OpenAI API", func() (bool, error) {
		now, err := s.openai.counts(ctx)
		after := now.since(before)
		return after.of(emulator.Cancel) >= n && after.of(emulator.Create) >= n, err
	})
	if err == nil {
		l, err = o.arrived(ctx, cancels, creates, seen)
	}
	o.cancelled, o.created = o.cancelled+n, o.created+n
	return l, err
}

// send sends the requests to the API server, and returns when each started.
func (o *user) send(ctx context.Context, every time.Duration) (cancels, creates []time.Time, err error) {
	n := o.fixture.scale.operations
	cancels, creates = make([]time.Time, n), make([]time.Time, n)
	errs := make([]error, 2*n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs[i] = o.cancel(ctx, o.cancelled+i, &cancels[i]) })
		if err := framework.Pause(ctx, every); err != nil {
			return nil, nil, err
		}
		group.Go(func() { errs[n+i] = o.create(ctx, o.created+i, &creates[i]) })
		if err := framework.Pause(ctx, every); err != nil {
			return nil, nil, err
		}
	}
	group.Wait()
	return cancels, creates, errors.Join(errs...)
}

func freshName(i int) string { return fmt.Sprintf("latency-%05d", i) }

func (o *user) cancel(ctx context.Context, i int, at *time.Time) error {
	object := o.fixture.object(loadName(i), i, v1alpha1.VectorStoreFileBatchSpec{})
	*at = time.Now()
	if err := o.fixture.client.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancel":true}}`))); err != nil {
		return fmt.Errorf("cancelling %s: %w", object.Name, err)
	}
	return nil
}

func (o *user) create(ctx context.Context, i int, at *time.Time) error {
	object := o.fixture.object(freshName(i), i, oneStuckFile(freshName(i)))
	*at = time.Now()
	if err := o.fixture.client.Create(ctx, object); err != nil {
		return fmt.Errorf("creating object %s: %w", object.Name, err)
	}
	return nil
}

// arrived reads when the operations reached the OpenAI API, and when the watch delivered them.
func (o *user) arrived(ctx context.Context, cancels, creates []time.Time, seen *observations) (l latencies, err error) {
	batches, err := o.fixture.openai.Batches(ctx)
	if err != nil {
		return l, err
	}
	calls, err := o.fixture.openai.Calls(ctx, emulator.Cancel)
	if err != nil {
		return l, err
	}
	cancelled := map[string]time.Time{}
	for _, c := range calls {
		if _, seen := cancelled[c.BatchID]; !seen {
			cancelled[c.BatchID] = c.Time
		}
	}
	created := map[string]batch{}
	for _, b := range batches {
		created[strings.TrimPrefix(b.FileIDs[0], stuck)] = b
	}
	for i, sent := range cancels {
		name := loadName(o.cancelled + i)
		if err := l.cancels.add(ctx, name, sent, cancelled[created[name].ID], seen); err != nil {
			return l, err
		}
	}
	for i, sent := range creates {
		name := freshName(o.created + i)
		if err := l.creates.add(ctx, name, sent, created[name].CreatedAt, seen); err != nil {
			return l, err
		}
	}
	return l, nil
}

// add adds the delay of one operation. It fails if the call has not arrived.
func (d *delays) add(ctx context.Context, name string, sent, arrived time.Time, seen *observations) error {
	if arrived.IsZero() {
		return fmt.Errorf("%w: the operation on %s has not reached the OpenAI API", errNothing, name)
	}
	shown, err := seen.of(ctx, name)
	d.all, d.shown = append(d.all, arrived.Sub(sent)), append(d.shown, shown.Sub(sent))
	return err
}
