// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	filesync "github.com/vector-store-operator/vector-store-operator/internal/kubectl/sync"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// storeUses are the files that vector stores have.
type storeUses struct {
	client apiClient
	// uploaded are the IDs that the list of files has.
	uploaded map[string]bool
	// listed are the vector stores that list a file, by its ID.
	listed map[string][]string
	// suspects are the vector stores that list a file which the list of files does not have. A gateway can
	// translate IDs, so these are asked for each file.
	suspects []string
}

// useRequests is the number of parallel requests.
const useRequests = 8

// newStoreUses lists the files of all vector stores.
func newStoreUses(ctx context.Context, client apiClient) (*storeUses, error) {
	u := &storeUses{client: client, uploaded: map[string]bool{}, listed: map[string][]string{}}
	var stores []string
	var files []upstream.UploadedFile
	err := upload.Retry(ctx, readAttempts, func(ctx context.Context) (err error) {
		stores, err = client.VectorStores(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the vector stores of %s, which may use the files: %w", client.target, err)
	}
	err = upload.Retry(ctx, readAttempts, func(ctx context.Context) (err error) {
		files, err = client.Uploads(ctx, time.Time{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the files of %s: %w", client.target, err)
	}
	for _, f := range files {
		u.uploaded[f.ID] = true
	}
	return u, u.addStores(ctx, stores)
}

func (u *storeUses) addStores(ctx context.Context, stores []string) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(useRequests)
	for _, store := range stores {
		group.Go(func() error {
			var ids []string
			err := upload.Retry(ctx, readAttempts, func(ctx context.Context) error {
				ids = nil
				return u.client.StoreFiles(ctx, store, func(page []upstream.StoreFile) {
					for _, f := range page {
						ids = append(ids, f.ID)
					}
				})
			})
			switch {
			case filesync.IsGone(err):
				return nil // it was deleted, or it is expired
			case err != nil:
				return fmt.Errorf("listing the files of vector store %s, which may use the files: %w", store, err)
			}
			mu.Lock()
			defer mu.Unlock()
			u.add(store, ids)
			return nil
		})
	}
	return group.Wait()
}

func (u *storeUses) add(store string, ids []string) {
	slices.Sort(ids)
	suspect := false
	for _, id := range slices.Compact(ids) { // a file can be on two pages
		u.listed[id] = append(u.listed[id], store)
		slices.Sort(u.listed[id])
		suspect = suspect || !u.uploaded[id]
	}
	if suspect {
		u.suspects = append(u.suspects, store)
	}
}

// isUsed reports whether a vector store has a file.
func (u *storeUses) isUsed(ctx context.Context, id string) (bool, error) {
	if len(u.listed[id]) > 0 {
		return true, nil
	}
	for _, store := range u.suspects {
		err := upload.Retry(ctx, readAttempts, func(ctx context.Context) error {
			_, err := u.client.File(ctx, store, id)
			return err
		})
		if err == nil {
			return true, nil
		}
		if !filesync.IsGone(err) {
			return false, fmt.Errorf("getting file %s of vector store %s: %w", id, store, err)
		}
	}
	return false, nil
}

// deleteUnused deletes the files that no vector store has, and returns those that are gone. The journal
// forgets them.
func (u *storeUses) deleteUnused(ctx context.Context, journal *upload.Journal, ids []string) (removed map[string]bool, err error) {
	removed = map[string]bool{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(useRequests)
	for _, id := range ids {
		group.Go(func() error {
			used, err := u.isUsed(ctx, id)
			if err != nil || used {
				return err
			}
			err = upload.Retry(ctx, readAttempts, func(ctx context.Context) error { return u.client.DeleteUpload(ctx, id) })
			if err != nil && !filesync.IsGone(err) {
				return fmt.Errorf("deleting file %s: %w", id, err)
			}
			mu.Lock()
			removed[id] = true
			mu.Unlock()
			return journal.Forget(id)
		})
	}
	return removed, group.Wait()
}
