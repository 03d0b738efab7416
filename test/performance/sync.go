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

// The size of a Git sync, and the documented limits of the OpenAI API.
const (
	syncedBatches  = 500
	syncedStores   = 10
	syncedFiles    = 10
	filesAMinute   = 2000
	createsAMinute = 300
)

// allowed returns the least time between the first and the last create that the limits allow. They hold
// for any window: one window's worth may come at once, the next one a window later.
func allowed(batches, stores, files int, window time.Duration) time.Duration {
	perStore := (batches + stores - 1) / stores
	windows := max(
		(batches+filesAMinute/files-1)/(filesAMinute/files),
		(perStore+createsAMinute-1)/createsAMinute,
	)
	return time.Duration(windows-1) * window
}

// sync applies many objects at once, as a GitOps tool does.
func (b *bench) sync(ctx context.Context) error {
	minute := b.scale.minute
	s, err := b.newFixture(ctx, syncedStores, "--enforce-limits", "--minute="+minute.String())
	if err != nil {
		return err
	}
	defer s.end()
	if err := s.startAndWait(ctx, scaledLimits(minute)...); err != nil {
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

func (s *fixture) reportSync(ctx context.Context, began, ended time.Time) error {
	batches, err := s.openai.Batches(ctx)
	if err != nil {
		return err
	}
	counts, err := s.openai.counts(ctx)
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
	duplicates := repeated(batches)
	r.note("The OpenAI API accepts %d creates per vector store and %d files in total in any %s.", createsAMinute, filesAMinute, s.scale.minute)
	r.invariant("responses 429", refused)
	r.invariant("repeated creates", len(duplicates))
	r.add(figure{what: "from the first object to the last create", value: seconds(last.Sub(began))})
	r.add(figure{what: "least time that the limits allow", value: seconds(limit)})
	r.target("ratio of the two", fmt.Sprintf("%.3f", ratio), "≤ 1.15", ratio <= 1.15)
	r.add(figure{what: "from the first object to the last finished one", value: seconds(ended.Sub(began))})
	r.add(figure{what: "OpenAI API calls per batch", value: fmt.Sprintf("%.2f", float64(counts.of(emulator.AnyOperation))/syncedBatches)})
	return nil
}
