// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// What a Git sync brings, and the documented limits of the upstream that it meets.
const (
	syncedBatches  = 500
	syncedStores   = 10
	syncedFiles    = 10
	filesAMinute   = 2000
	createsAMinute = 300
)

// allowed is the least time from the first create to the last that limits allow which hold for
// any window: the first windowful may come at once, the next one a window later.
func allowed(batches, stores, files int, window time.Duration) time.Duration {
	perStore := (batches + stores - 1) / stores
	windows := max(
		(batches+filesAMinute/files-1)/(filesAMinute/files),
		(perStore+createsAMinute-1)/createsAMinute,
	)
	return time.Duration(windows-1) * window
}

// sync applies many objects at once, as a tool does that follows a Git repository.
func (b *bench) sync(ctx context.Context) error {
	minute := b.scale.minute
	s, err := b.newStand(ctx, syncedStores, "--enforce-limits", "--minute="+minute.String())
	if err != nil {
		return err
	}
	defer s.end()
	if err := s.startAndWait(ctx, scaledTo(minute)...); err != nil {
		return err
	}
	done, err := s.arrivals(ctx, "completed")
	if err != nil {
		return err
	}
	defer done.stop()
	began := time.Now()
	err = s.create(ctx, syncedBatches, func(i int) *v1alpha1.VectorStoreFileBatch {
		name := fmt.Sprintf("sync-%05d", i)
		return s.object(name, i, v1alpha1.VectorStoreFileBatchSpec{FileIDs: fileIDs("file-"+name, syncedFiles)})
	})
	if err != nil {
		return err
	}
	ended, err := done.await(ctx, syncedBatches)
	if err != nil {
		return err
	}
	return s.reportSync(ctx, began, ended)
}

func (s *stand) reportSync(ctx context.Context, began, ended time.Time) error {
	batches, err := s.upstream.batches(ctx)
	if err != nil {
		return err
	}
	counts, err := s.upstream.counts(ctx)
	if err != nil {
		return err
	}
	last := began
	for _, b := range batches {
		if b.CreatedAt.After(last) {
			last = b.CreatedAt
		}
	}
	r, limit := s.report, allowed(syncedBatches, syncedStores, syncedFiles, s.scale.minute)
	refused := counts.answered(http.StatusTooManyRequests)
	ratio := last.Sub(began).Seconds() / limit.Seconds()
	twice := repeated(batches)
	r.note("The upstream takes %d creates a vector store and %d files altogether in any %s.", createsAMinute, filesAMinute, s.scale.minute)
	r.never("answers 429", refused)
	r.never("creates that were repeated", len(twice))
	r.add(figure{what: "from the first object to the last create upstream", value: seconds(last.Sub(began))})
	r.add(figure{what: "what the limits alone allow", value: seconds(limit)})
	r.target("the one to the other", fmt.Sprintf("%.3f", ratio), "≤ 1.15", ratio <= 1.15)
	r.add(figure{what: "from the first object to the last one's end", value: seconds(ended.Sub(began))})
	r.add(figure{what: "upstream calls a batch", value: fmt.Sprintf("%.2f", float64(counts.of(emulator.AnyOperation))/syncedBatches)})
	return nil
}
