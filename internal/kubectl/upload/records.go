// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"golang.org/x/sync/errgroup"
)

// Uploaded is a file in a journal.
type Uploaded struct {
	// Path is the File.Path of the upload, and SHA256 the hash of its content.
	Path, SHA256 string
	// Size is in bytes.
	Size int64
}

// Uploaded returns the files that this account uploaded, by their IDs.
func (j *Journal) Uploaded() map[string]Uploaded {
	j.mu.Lock()
	defer j.mu.Unlock()
	files := map[string]Uploaded{}
	for c, u := range j.uploads[j.account] {
		if u.fileID != "" {
			files[u.fileID] = Uploaded{Path: c.Path, SHA256: c.SHA256, Size: c.Size}
		}
	}
	return files
}

// Interrupted reports whether the outcome of an upload is unknown.
func (j *Journal) Interrupted() bool { return len(j.pending()) > 0 }

// Forget records that files of this account were deleted from the API.
func (j *Journal) Forget(fileIDs ...string) error {
	deleted := map[string]bool{}
	for _, id := range fileIDs {
		deleted[id] = true
	}
	var contents []content
	j.mu.Lock()
	for c, u := range j.uploads[j.account] {
		if deleted[u.fileID] {
			contents = append(contents, c)
		}
	}
	j.mu.Unlock()
	var group errgroup.Group // concurrent records share a sync
	for _, c := range contents {
		group.Go(func() error { return j.void(c) })
	}
	return group.Wait()
}
