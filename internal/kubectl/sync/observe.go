// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sync

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/fileset"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// observe returns the input of a plan.
func (r *Runner) observe(ctx context.Context) (fileset.Input, error) {
	listing, err := r.list(ctx)
	if err != nil {
		return fileset.Input{}, err
	}
	if err := r.see(listing); err != nil {
		return fileset.Input{}, err
	}
	running, err := r.Attacher.Running(ctx, r.openBatches())
	if err != nil {
		return fileset.Input{}, fmt.Errorf("listing the running batches: %w", err)
	}
	return r.input(listing, running, time.Now()), nil
}

// list lists the vector store's files. A list that has fewer files than the vector store counts is read
// again until SettleTime has passed.
func (r *Runner) list(ctx context.Context) (fileset.Listing, error) {
	for deadline := time.Now().Add(r.SettleTime); ; {
		var store upstream.VectorStore
		err := r.retry(ctx, func(ctx context.Context) (err error) {
			store, err = r.API.VectorStore(ctx, r.VectorStore)
			return err
		})
		if err != nil {
			return fileset.Listing{}, fmt.Errorf("getting vector store %s: %w", r.VectorStore, err)
		}
		if store.Status == "expired" {
			return fileset.Listing{}, fmt.Errorf("vector store %s is expired", r.VectorStore)
		}
		listing, count, err := r.listOnce(ctx)
		if err != nil {
			return fileset.Listing{}, err
		}
		if int64(count) >= store.FileCounts.Total {
			listing.Complete = true
			return listing, nil
		}
		if time.Now().After(deadline) {
			return fileset.Listing{}, fmt.Errorf(
				"the vector store counts %d files, but lists %d: nothing can be planned with an incomplete list, so nothing was changed", store.FileCounts.Total, count)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return fileset.Listing{}, err
		}
	}
}

// listOnce reads all pages, and returns the number of files on them.
func (r *Runner) listOnce(ctx context.Context) (listing fileset.Listing, count int, err error) {
	err = r.retry(ctx, func(ctx context.Context) error {
		listing.Files, count = nil, 0
		return r.API.StoreFiles(ctx, r.VectorStore, func(page []upstream.StoreFile) {
			for _, f := range page {
				count++
				listing.Files = append(listing.Files, fileset.StoreFile{
					ID: f.ID, CreatedAt: f.CreatedAt, Status: fileset.Status(f.Status), Attributes: f.Attributes, Message: f.Message,
				})
			}
		})
	})
	if err != nil {
		return fileset.Listing{}, 0, fmt.Errorf("listing the files of vector store %s: %w", r.VectorStore, err)
	}
	return listing, count, nil
}

// see records which files were listed.
func (r *Runner) see(listing fileset.Listing) error {
	var seen []recorded
	for _, f := range listing.Files {
		if known, exists := r.record.files[f.ID]; exists && !known.Seen {
			known.Seen = true
			seen = append(seen, known)
		}
	}
	if r.record.file == nil { // a dry run
		return nil
	}
	return r.record.put(seen...)
}

// openBatches returns the batches of files that were not seen in the vector store yet.
func (r *Runner) openBatches() []string {
	open := map[string]bool{}
	for _, f := range r.record.files {
		if f.BatchID != "" && !f.Seen {
			open[f.BatchID] = true
		}
	}
	return slices.Sorted(maps.Keys(open))
}

// input combines what was observed and what is recorded.
func (r *Runner) input(listing fileset.Listing, running Running, now time.Time) fileset.Input {
	in := fileset.Input{
		Owner: r.Owner, Present: listing, Policy: r.Policy, Protected: slices.Clone(r.Protected), Updated: map[string]fileset.Update{},
	}
	for _, d := range r.Documents {
		if _, isRejected := r.rejected[d.Path]; isRejected {
			in.Protected = append(in.Protected, d.Path)
			continue
		}
		in.Wanted = append(in.Wanted, d.Document)
	}
	active := fileset.Batch{Active: true, Files: running.Files}
	for id, f := range r.record.files {
		if _, isRejected := r.rejected[f.Path]; isRejected {
			continue // the next run tries it again
		}
		u := f.upload()
		u.Fresh, u.Detached = r.fresh[id], now.Before(r.detached[id].Add(r.SettleTime))
		in.Uploads = append(in.Uploads, u)
		recent := f.AttachedAt != nil && !f.Seen && now.Before(f.AttachedAt.Add(r.SettleTime))
		if running.Batches[f.BatchID] || recent || now.Before(r.active[id]) {
			active.Files = append(active.Files, u)
		}
	}
	in.Batches = []fileset.Batch{active}
	for id, since := range r.updated {
		in.Updated[id] = fileset.UpdateRecent
		if now.After(since.Add(r.SettleTime)) {
			in.Updated[id] = fileset.UpdateSettled
		}
	}
	return in
}
