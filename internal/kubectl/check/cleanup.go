// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// inventory is what a run created on the server and has not removed.
type inventory struct {
	stores, files []string
	// lost is true if the response to a create was lost, so that an object without a known ID may
	// exist.
	lost bool
}

func (i *inventory) addStore(id string) { i.stores = append(i.stores, id) }
func (i *inventory) addFile(id string)  { i.files = append(i.files, id) }

func (i *inventory) removeFile(id string) {
	i.files = slices.DeleteFunc(i.files, func(other string) bool { return other == id })
}

// cleanUp removes everything that the run created, and returns what it could not remove. It is not
// interrupted with ctx.
func (p *probe) cleanUp(ctx context.Context) []string {
	notRemoved := []string{}
	if len(p.created.stores)+len(p.created.files) == 0 && !p.created.lost {
		return notRemoved
	}
	p.Progress(fmt.Sprintf("removing %d vector stores and %d files", len(p.created.stores), len(p.created.files)))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.CleanupTimeout)
	defer cancel()
	if p.created.lost {
		p.findLost(ctx)
	}
	// The vector stores first, because deleting a file that is attached may fail.
	for _, id := range p.created.stores {
		if err := p.remove(ctx, storePath(id)); err != nil {
			notRemoved = append(notRemoved, p.Client.Sanitize(fmt.Sprintf("vector store %s: %v", id, err)))
		}
	}
	for _, id := range p.created.files {
		if err := p.remove(ctx, filePath(id)); err != nil {
			notRemoved = append(notRemoved, p.Client.Sanitize(fmt.Sprintf("file %s: %v", id, err)))
		}
	}
	return notRemoved
}

// remove deletes an object. It succeeds only if the object is gone.
func (p *probe) remove(ctx context.Context, path string) error {
	var last error
	gone, _, err := p.eventually(ctx, p.Settle+maxRetry, func() (bool, error) {
		r, err := p.delete(ctx, path)
		if deleted, _ := at(r.Body, "deleted").(bool); err == nil && (r.missing() || r.ok() && deleted) {
			return true, nil
		}
		last = err
		if err == nil {
			last = fmt.Errorf("the response to its DELETE was %s", r.describe())
		}
		found, err := p.get(ctx, path)
		return err == nil && found.missing(), nil
	})
	switch {
	case gone:
		return nil
	case err != nil:
		return fmt.Errorf("there was no time left: %w", err)
	}
	return last
}

// findLost adds the objects whose creates were not answered. Their names contain the token.
func (p *probe) findLost(ctx context.Context) {
	for _, list := range []struct {
		path, field string
		query       []string
		into        *[]string
	}{
		{"vector_stores", "name", []string{"limit", "100", "order", "desc"}, &p.created.stores},
		{"files", "filename", []string{"purpose", "assistants", "limit", "100", "order", "desc"}, &p.created.files},
	} {
		// The server may list them with a delay.
		_, _, _ = p.eventually(ctx, p.Settle, func() (bool, error) {
			r, _ := p.get(ctx, list.path, list.query...) // without a list, it is asked for again
			for _, item := range r.items() {
				id := textAt(item, "id")
				if strings.Contains(textAt(item, list.field), p.token) && id != "" && !slices.Contains(*list.into, id) {
					*list.into = append(*list.into, id)
				}
			}
			return false, nil
		})
	}
}
