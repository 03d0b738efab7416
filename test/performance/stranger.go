// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// stranger is a namespace with a server and a key of its own, which has nothing to do with the tenants
// beside it.
type stranger struct{ *fixture }

// waits are the times that operations of one kind took.
type waits struct {
	took []time.Duration
	// unfinished is the number of operations that did not end. Each has the time until the measurement ended.
	unfinished int
	// shown are the times until a plain watch delivered the change that the operation depends on: no client
	// can act on it earlier.
	shown []time.Duration
}

// String formats the median, the 99th percentile and the maximum.
func (w waits) String() string {
	text := spread(w.took) + ", max " + milliseconds(quantile(w.took, 1))
	if w.unfinished > 0 {
		text += fmt.Sprintf(", %d of %d unfinished", w.unfinished, len(w.took))
	}
	if len(w.shown) > 0 {
		text += " (a plain watch: max " + milliseconds(quantile(w.shown, 1)) + ")"
	}
	return text
}

// limit returns the longest time that an operation may take beside other tenants, if these are the times alone.
func (w waits) limit() time.Duration { return 2*quantile(w.took, 1) + time.Second }

// within reports whether there were operations, and all of them ended within a time.
func (w waits) within(limit time.Duration) bool {
	return len(w.took) > 0 && w.unfinished == 0 && quantile(w.took, 1) <= limit
}

// lives are the times that a stranger waited.
type lives struct{ creates, cancels, polls waits }

// namedWaits are the waits of one kind of operation.
type namedWaits struct {
	name  string
	waits waits
}

func (l lives) each() []namedWaits {
	return []namedWaits{{"create", l.creates}, {"cancel", l.cancels}, {"poll", l.polls}}
}

func (b *bench) newStranger(ctx context.Context) (*stranger, error) {
	f, err := b.newFixture(ctx, 1)
	return &stranger{f}, err
}

// The names of a stranger's objects, by the operation that is measured. They have a batch before, except
// for those that are created.
func createdName(i int) string   { return fmt.Sprintf("created-%05d", i) }
func cancelledName(i int) string { return fmt.Sprintf("cancelled-%05d", i) }
func polledName(i int) string    { return fmt.Sprintf("polled-%05d", i) }

// createBatches creates the batches in progress to cancel and to poll.
func (u *stranger) createBatches(ctx context.Context) error {
	n := u.scale.tenants.samples
	arrived, err := u.arrivals(ctx, "in_progress")
	if err != nil {
		return err
	}
	defer arrived.stop()
	err = u.create(ctx, 2*n, func(i int) *v1alpha1.VectorStoreFileBatch {
		name := cancelledName(i)
		if i >= n {
			name = polledName(i - n)
		}
		return u.object(name, i, oneStuckFile(name))
	})
	if err != nil {
		return err
	}
	_, err = arrived.await(ctx, 2*n)
	return err
}

// waitPolled waits until the manager has polled each batch twice, so that the polls are spread.
func (u *stranger) waitPolled(ctx context.Context) error {
	before, err := u.openai.counts(ctx)
	if err != nil {
		return err
	}
	return poll(ctx, longInterval, "the batches to be polled", func() (bool, error) {
		now, err := u.openai.counts(ctx)
		if err == nil {
			err = u.manager.Err()
		}
		return now.since(before).of(emulator.Retrieve) >= 4*u.scale.tenants.samples, err
	})
}

// started is when each operation started.
type started struct{ creates, cancels, polls []time.Time }

// measure performs the operations at a fixed pace, whether or not the earlier ones have ended, and waits
// for their end.
func (u *stranger) measure(ctx context.Context) (lives, error) {
	completed, err := u.arrivals(ctx, "completed")
	if err != nil {
		return lives{}, err
	}
	defer completed.stop()
	shown, err := u.observe(ctx)
	if err != nil {
		return lives{}, err
	}
	defer shown.stop()
	batches, err := u.batches(ctx)
	if err != nil {
		return lives{}, err
	}
	s, err := u.operate(ctx, batches)
	if err != nil {
		return lives{}, err
	}
	return u.results(ctx, s, batches, completed, shown)
}

// pace is the time between two operations of a stranger.
const pace = 80 * time.Millisecond

// operate starts the operations.
func (u *stranger) operate(ctx context.Context, batches map[string]batch) (s started, err error) {
	operation := func(starts *[]time.Time, do func() error) {
		if err == nil {
			*starts = append(*starts, time.Now())
			err = do()
		}
		if err == nil {
			err = framework.Pause(ctx, pace)
		}
	}
	for i := range u.scale.tenants.samples {
		operation(&s.creates, func() error {
			return u.createObject(ctx, u.object(createdName(i), i, v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"file-" + createdName(i)}}))
		})
		operation(&s.cancels, func() error { return u.cancel(ctx, cancelledName(i)) })
		operation(&s.polls, func() error { return u.complete(ctx, batches[polledName(i)].ID) })
	}
	return s, err
}

func (u *stranger) cancel(ctx context.Context, name string) error {
	object := u.object(name, 0, v1alpha1.VectorStoreFileBatchSpec{})
	if err := u.client.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancel":true}}`))); err != nil {
		return fmt.Errorf("cancelling %s: %w", name, err)
	}
	return nil
}

// complete completes a batch in the emulator.
func (u *stranger) complete(ctx context.Context, id string) error {
	return u.openai.Call(ctx, http.MethodPut, "/_emulator/batches/"+id, map[string]string{"status": "completed"}, nil)
}

// batches returns the stranger's batches by the names of their objects.
func (u *stranger) batches(ctx context.Context) (map[string]batch, error) {
	all, err := u.openai.Batches(ctx)
	byName := map[string]batch{}
	for _, b := range all {
		byName[strings.TrimPrefix(strings.TrimPrefix(b.FileIDs[0], stuck), "file-")] = b
	}
	return byName, err
}

// results waits until all operations have ended, or for as long as the scale permits.
func (u *stranger) results(ctx context.Context, s started, batches map[string]batch, completed *arrivals, shown *observations) (l lives, err error) {
	deadline := time.Now().Add(u.scale.tenants.patience)
	err = poll(ctx, longInterval, "the operations to end", func() (bool, error) {
		if l, err = u.read(ctx, s, batches, completed, shown); err != nil {
			return false, err
		}
		ended := l.creates.unfinished+l.cancels.unfinished+l.polls.unfinished == 0
		return ended || time.Now().After(deadline), u.manager.Err()
	})
	return l, err
}

// read returns the operations' times so far.
func (u *stranger) read(ctx context.Context, s started, before map[string]batch, completed *arrivals, shown *observations) (l lives, err error) {
	now, err := u.batches(ctx)
	if err != nil {
		return l, err
	}
	calls, err := u.openai.Calls(ctx, emulator.Cancel)
	if err != nil {
		return l, err
	}
	cancelled := map[string]time.Time{}
	for _, c := range calls {
		if cancelled[c.BatchID].IsZero() {
			cancelled[c.BatchID] = c.Time
		}
	}
	for i := range s.creates {
		l.creates.add(s.creates[i], now[createdName(i)].CreatedAt)
		l.cancels.add(s.cancels[i], cancelled[before[cancelledName(i)].ID])
		l.polls.add(s.polls[i], completed.at(polledName(i)))
		l.creates.show(s.creates[i], shown.at(createdName(i)))
		l.cancels.show(s.cancels[i], shown.at(cancelledName(i)))
	}
	return l, nil
}

// add adds one operation, whose end is zero if it has not ended.
func (w *waits) add(started, ended time.Time) {
	if ended.IsZero() {
		w.unfinished++
		ended = time.Now()
	}
	w.took = append(w.took, ended.Sub(started))
}

// show adds when a plain watch delivered a change.
func (w *waits) show(started, shown time.Time) {
	if !shown.IsZero() {
		w.shown = append(w.shown, shown.Sub(started))
	}
}
