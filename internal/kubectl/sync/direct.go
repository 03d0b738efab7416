// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sync

import (
	"context"

	"github.com/vector-store-operator/vector-store-operator/internal/fileset"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// Direct attaches files without the operator.
type Direct struct {
	Client      upstream.Client
	VectorStore string
	Owner       string
	// Attributes are those that all documents have.
	Attributes map[string]any
	// Chunking is nil for the automatic strategy.
	Chunking *upstream.StaticChunking
	Attempts int
}

// CommonAttributes are the attributes of files whose own attributes are set later.
func CommonAttributes(owner string) map[string]any {
	return map[string]any{fileset.AttributeOwner: fileset.OwnerAttribute(owner, "")}
}

// Attach implements Attacher.
func (d *Direct) Attach(ctx context.Context, wave Wave) (string, error) {
	request := upstream.CreateRequest{VectorStoreID: d.VectorStore}
	for _, f := range wave.Files {
		if wave.Common {
			request.FileIDs = append(request.FileIDs, f.FileID)
			continue
		}
		request.Files = append(request.Files, upstream.FileToAttach{FileID: f.FileID, Attributes: f.Attributes, Chunking: d.Chunking})
	}
	if wave.Common {
		request.Attributes, request.Chunking = CommonAttributes(d.Owner), d.Chunking
	}
	var batch upstream.Batch
	var unknown error
	err := upload.Retry(ctx, d.Attempts, func(ctx context.Context) (err error) {
		batch, err = d.Client.Create(ctx, request)
		// A create must not be repeated if its outcome is unknown.
		if upstream.IsUnknownOutcome(err) {
			unknown, err = err, nil
		}
		return err
	})
	if unknown != nil {
		return "", unknown
	}
	return batch.ID, err
}

// Poll implements Attacher.
func (d *Direct) Poll(ctx context.Context, id string) (BatchState, error) {
	b, err := d.Client.Retrieve(ctx, upstream.BatchRef{VectorStoreID: d.VectorStore, BatchID: id})
	return BatchState{Counts: b.FileCounts, Finished: b.Status.Terminal()}, err
}

// Running implements Attacher.
func (d *Direct) Running(ctx context.Context, known []string) (Running, error) {
	running := Running{Batches: map[string]bool{}}
	for _, id := range known {
		state, err := d.Poll(ctx, id)
		if err == nil && !state.Finished {
			running.Batches[id] = true
		}
	}
	return running, ctx.Err()
}
