// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"slices"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// batch is a file batch on the server.
type batch struct {
	store, id string
	// created is the response to the create, which can be a refusal, without an ID.
	created response
	// createdAt is the time of it by this machine's clock.
	createdAt time.Time
	// retrieved is the first response to a retrieve that found the batch.
	retrieved response
	// final is the last response to a retrieve.
	final response
	// files are the files of the batch in the end, by their IDs.
	files []any
}

func (b batch) path(segments ...string) string {
	return storePath(b.store, append([]string{"file_batches", b.id}, segments...)...)
}

// accepted reports whether the server created the batch.
func (b batch) accepted() bool { return b.created.ok() && b.id != "" }

// file returns a file of the batch; nil if it has none with the ID.
func (b batch) file(id string) any {
	for _, file := range b.files {
		if textAt(file, "id") == id {
			return file
		}
	}
	return nil
}

var (
	errUnfinished error = &upstream.Error{Kind: upstream.Rejected, Message: "the batch did not finish within --timeout"}
	errNotListed  error = &upstream.Error{Kind: upstream.Rejected, Message: "the list of the batch's files does not have the file"}
)

// create creates a batch. The response can be a refusal.
func (p *probe) create(ctx context.Context, store string, body map[string]any) (batch, error) {
	r, err := p.post(ctx, storePath(store, "file_batches"), body)
	b := batch{store: store, created: r, createdAt: p.Now()}
	if err == nil && r.ok() {
		if b.id = r.text("id"); b.id == "" || b.id == store {
			return b, errNoObject
		}
	}
	return b, err
}

// run creates a batch and waits until it is finished. The response can be a refusal.
func (p *probe) run(ctx context.Context, store string, body map[string]any) (batch, error) {
	b, err := p.create(ctx, store, body)
	if err != nil || !b.accepted() {
		return b, err
	}
	return b, p.finish(ctx, &b)
}

// finish waits until a batch is finished, and reads its files.
func (p *probe) finish(ctx context.Context, b *batch) error {
	const question = "batch_visible_after"
	finished, _, err := p.eventually(ctx, p.Timeout, func() (bool, error) {
		r, err := p.get(ctx, b.path())
		if err != nil {
			return false, err
		}
		if p.seen[question].Status != Observed {
			p.see(question, r.missing(), map[bool]string{true: "found after a while", false: "found at once"}[r.missing()])
		}
		if !r.ok() {
			return false, nil
		}
		if b.final = r; b.retrieved.StatusCode == 0 {
			b.retrieved = r
		}
		if r.text("id") == b.id && !upstream.Status(r.text("status")).Terminal() {
			return false, nil
		}
		if b.files, err = p.batchFiles(ctx, *b); err != nil {
			return false, err
		}
		// In place of the batch, the server may return the vector store.
		return !slices.ContainsFunc(b.files, func(file any) bool { return textAt(file, "status") == string(upstream.InProgress) }), nil
	})
	if err != nil {
		return err
	}
	if !finished && b.final.StatusCode == 0 {
		r, err := p.get(ctx, b.path())
		if err == nil {
			err = r.err()
		}
		if err != nil {
			return err
		}
	}
	if !finished {
		return errUnfinished
	}
	return nil
}

// batchFiles returns the first files of a batch.
func (p *probe) batchFiles(ctx context.Context, b batch, query ...string) ([]any, error) {
	r, err := p.get(ctx, b.path("files"), append([]string{"limit", "100"}, query...)...)
	if err == nil {
		err = r.err()
	}
	return r.items(), err
}

// storeFile returns a file of a vector store, for which it waits if it is not found at once.
func (p *probe) storeFile(ctx context.Context, store, id string) (response, error) {
	var r response
	_, _, err := p.eventually(ctx, p.Settle, func() (found bool, err error) {
		r, err = p.get(ctx, storePath(store, "files", id))
		return r.ok(), err
	})
	if err == nil {
		err = r.err()
	}
	return r, err
}

// waitForMissing waits until a file is not in a vector store. It returns whether it is gone, and whether
// it was gone at once.
func (p *probe) waitForMissing(ctx context.Context, within time.Duration, store, id string) (gone, atOnce bool, err error) {
	return p.eventually(ctx, within, func() (bool, error) {
		r, err := p.get(ctx, storePath(store, "files", id))
		return r.missing(), err
	})
}

// attach attaches one file and waits until it is processed. It returns the file of the batch; nil if the
// server refused the create.
func (p *probe) attach(ctx context.Context, store, id string, attributes map[string]any) (batch, any, error) {
	body := map[string]any{"file_ids": []string{id}}
	if attributes != nil {
		body["attributes"] = attributes
	}
	b, err := p.run(ctx, store, body)
	if err != nil || !b.accepted() {
		return b, nil, err
	}
	file := b.file(id)
	if file == nil {
		return b, nil, errNotListed
	}
	return b, file, nil
}
