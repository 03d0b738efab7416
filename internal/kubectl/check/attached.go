// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"
	"slices"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// lists observes the lists of the files of a batch.
func (p *probe) lists(ctx context.Context) error {
	if !p.main.accepted() {
		return errNoBatch
	}
	failed, err := p.batchFiles(ctx, p.main, "filter", "failed")
	if err != nil {
		return err
	}
	completed, err := p.batchFiles(ctx, p.main, "filter", "completed")
	if err != nil {
		return err
	}
	p.see("filter_ignored", len(failed) > 0 || len(completed) != 2, fmt.Sprintf("%d failed and %d completed files", len(failed), len(completed)))
	if err := p.pages(ctx); err != nil {
		return err
	}
	filter, err := p.get(ctx, p.main.path("files"), "filter", "vsfb-check")
	if err != nil {
		return err
	}
	cursor, err := p.get(ctx, p.main.path("files"), "after", similarID(p.plain.id))
	if err != nil {
		return err
	}
	p.see("loose_queries", filter.ok() && cursor.ok(), "filter: "+filter.describe()+", after: "+cursor.describe())
	large, err := p.get(ctx, storePath(p.store, "files"), "limit", "101")
	if err != nil {
		return err
	}
	p.seeResponse("large_pages", large.ok(), large)
	return nil
}

// pages observes whether the list of the main batch, which has two files, has pages.
func (p *probe) pages(ctx context.Context) error {
	first, err := p.batchFiles(ctx, p.main, "limit", "1")
	if err != nil || len(first) == 0 {
		return err
	}
	id := textAt(first[0], "id")
	next, err := p.batchFiles(ctx, p.main, "limit", "1", "after", id)
	if err != nil {
		return err
	}
	pages := len(first) == 1 && len(next) == 1 && textAt(next[0], "id") != id
	p.see("cursor_ignored", !pages, fmt.Sprintf("pages of %d and %d files", len(first), len(next)))
	return nil
}

// missingObjects observes how the server reports missing batches and files of an existing store.
func (p *probe) missingObjects(ctx context.Context) error {
	if !p.main.accepted() {
		return errNoBatch
	}
	unknown := batch{store: p.store, id: similarID(p.main.id)}
	r, err := p.get(ctx, unknown.path())
	if err != nil {
		return err
	}
	p.seeStatus("not_found_status_batch", r)
	if r, err = p.post(ctx, unknown.path("cancel"), nil); err != nil {
		return err
	}
	p.seeStatus("not_found_status_cancel", r)
	if r, err = p.get(ctx, unknown.path("files")); err != nil {
		return err
	}
	p.seeStatus("not_found_status_list", r)
	if r, err = p.post(ctx, storePath(similarID(p.store), "file_batches"), map[string]any{"file_ids": []string{p.plain.id}}); err != nil {
		return err
	}
	p.seeStatus("not_found_status_create", r)
	return p.missingFiles(ctx)
}

// missingFiles reads and detaches a file that is not in the vector store.
func (p *probe) missingFiles(ctx context.Context) error {
	file, err := p.upload(ctx, p.name("-unattached.txt"), "A file that is in no vector store.\n")
	if err == nil {
		err = file.sent.err()
	}
	if err != nil {
		return err
	}
	r, err := p.get(ctx, storePath(p.store, "files", file.id))
	if err != nil {
		return err
	}
	p.seeStatus("not_found_status_store_file", r)
	if r, err = p.delete(ctx, storePath(p.store, "files", file.id)); err != nil {
		return err
	}
	p.seeStatus("not_found_status_detach", r)
	return nil
}

// maxDetaches is the number of times that a detach is repeated.
const maxDetaches = 3

// detaching detaches a file that is in two vector stores.
func (p *probe) detaching(ctx context.Context) error {
	if !p.main.accepted() {
		return errNoBatch
	}
	// The settings step attached it to the other store.
	if _, err := p.storeFile(ctx, p.other, p.plain.id); err != nil {
		return err
	}
	effective := false
	for range maxDetaches {
		r, err := p.delete(ctx, storePath(p.store, "files", p.plain.id))
		if err != nil {
			return err
		}
		deleted, _ := at(r.Body, "deleted").(bool)
		if _, seen := p.seen["ineffective_detaches"]; !seen {
			p.see("ineffective_detaches", r.ok() && !deleted, fmt.Sprintf("%s, deleted: %t", r.describe(), deleted))
		}
		if effective = r.ok() && deleted; effective {
			break
		}
	}
	if !effective {
		return errRequired("no detach had an effect")
	}
	again, err := p.delete(ctx, storePath(p.store, "files", p.plain.id))
	if err != nil {
		return err
	}
	p.seeStatus("detach_twice", again)
	return p.afterDetach(ctx)
}

// afterDetach observes the effects of the detach.
func (p *probe) afterDetach(ctx context.Context) error {
	gone, atOnce, err := p.waitForMissing(ctx, p.Timeout, p.store, p.plain.id)
	if err != nil {
		return err
	}
	if !gone {
		return errRequired("the file was found until --timeout")
	}
	p.see("detach_delay", !atOnce, map[bool]string{true: "missing at once", false: "missing after a while"}[atOnce])
	files, err := p.batchFiles(ctx, p.main)
	if err != nil {
		return err
	}
	listed := slices.ContainsFunc(files, func(file any) bool { return textAt(file, "id") == p.plain.id })
	p.see("batch_lists_store", !listed, map[bool]string{true: "it is listed", false: "it is not listed"}[listed])
	elsewhere, _, err := p.waitForMissing(ctx, p.Settle, p.other, p.plain.id)
	if err != nil {
		return err
	}
	p.see("detaches_everywhere", elsewhere, map[bool]string{true: "detached from both", false: "still in the other"}[elsewhere])
	return nil
}

// deletedUploads deletes an upload that is in a vector store.
func (p *probe) deletedUploads(ctx context.Context) error {
	if !p.main.accepted() {
		return errNoBatch
	}
	// Earlier steps may have detached it.
	if _, _, err := p.attach(ctx, p.store, p.second.id, nil); err != nil {
		return err
	}
	if _, err := p.storeFile(ctx, p.store, p.second.id); err != nil {
		return err
	}
	r, err := p.delete(ctx, filePath(p.second.id))
	if err == nil {
		err = r.err()
	}
	if err != nil {
		return err
	}
	gone, _, err := p.waitForMissing(ctx, p.Settle, p.store, p.second.id)
	if err != nil {
		return err
	}
	p.see("deleted_files_stay", !gone, map[bool]string{true: "it is not in the vector store", false: "it is in the vector store"}[gone])
	return nil
}

// operatorClient makes the calls of the operator with its own client.
func (p *probe) operatorClient(ctx context.Context) error {
	if !p.main.accepted() {
		return errNoBatch
	}
	created, err := p.Client.Create(ctx, upstream.CreateRequest{VectorStoreID: p.other, FileIDs: []string{p.second.id}})
	p.understood("operator_create", err)
	if err == nil {
		b := batch{store: p.other, id: created.ID}
		if err := p.finish(ctx, &b); err != nil {
			return err
		}
	}
	ref := upstream.BatchRef{VectorStoreID: p.store, BatchID: p.main.id}
	_, err = p.Client.Retrieve(ctx, ref)
	p.understood("operator_retrieve", err)
	_, err = p.Client.Files(ctx, ref)
	p.understood("operator_files", err)
	_, err = p.Client.File(ctx, p.store, p.second.id)
	p.understood("operator_file", err)
	p.understood("operator_detach", p.Client.Detach(ctx, p.other, p.second.id))
	return ctx.Err()
}

// understood records whether a call of the operator's client succeeded.
func (p *probe) understood(id string, err error) {
	if err == nil {
		p.see(id, true, "yes")
		return
	}
	failed := upstream.AsError(err)
	p.see(id, false, failed.Kind.String())
	p.details[id] = failed.Message
}
