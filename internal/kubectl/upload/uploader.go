// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// Uploader uploads files and records them in a journal.
//
// A run that resumes a killed one uploads nothing twice. Files that the journal records as uploaded
// are not sent again while the API still has them. Uploads with an unknown outcome are searched for
// in the API's list of files, by name, size and creation after the start of the run. Files with the
// same name and size are therefore uploaded one at a time. An upload is repeated only if its file is
// not listed within SettleTime.
type Uploader struct {
	Client  upstream.Uploader
	Journal *Journal
	// Concurrency is the number of parallel uploads, at least 1.
	Concurrency int
	// Attempts is the maximum number of attempts for each file.
	Attempts int
	// SettleTime is the time until the API lists an uploaded file.
	SettleTime time.Duration
	// OnUploaded is called once for each file that the API has; reused is true if an earlier run
	// uploaded it. It must be safe for concurrent use.
	OnUploaded func(file File, reused bool)
	// Logf reports retries. It must be safe for concurrent use.
	Logf func(format string, args ...any)

	backoff backoff
}

// Run uploads the files that the API does not have and returns the file IDs in the order of files.
// If an upload fails, Run starts no other uploads and waits for those that are in flight.
func (u *Uploader) Run(ctx context.Context, files []File) ([]string, error) {
	contents, err := u.hash(ctx, files)
	if err != nil {
		return nil, err
	}
	if err := u.forgetDeleted(ctx, contents); err != nil {
		return nil, err
	}
	if err := u.resume(ctx); err != nil {
		return nil, err
	}
	before, err := u.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if err := u.Journal.startRun(before); err != nil {
		return nil, err
	}
	ids := make([]string, len(files))
	var failed atomic.Bool
	var group errgroup.Group
	group.SetLimit(max(1, u.Concurrency))
	for _, indexes := range groupByNameAndSize(contents) {
		group.Go(func() error {
			for _, i := range indexes {
				if failed.Load() {
					return nil
				}
				var err error
				if ids[i], err = u.upload(ctx, files[i], contents[i], before); err != nil {
					failed.Store(true)
					return err
				}
			}
			return nil
		})
	}
	return ids, group.Wait()
}

// groupByNameAndSize returns the indexes of contents, grouped by what the API lists of a file.
func groupByNameAndSize(contents []content) [][]int {
	type key struct {
		name string
		size int64
	}
	var groups [][]int
	groupOf := map[key]int{}
	for i, c := range contents {
		k := key{filepath.Base(c.Path), c.Size}
		if _, exists := groupOf[k]; !exists {
			groupOf[k] = len(groups)
			groups = append(groups, nil)
		}
		groups[groupOf[k]] = append(groups[groupOf[k]], i)
	}
	return groups
}

func (u *Uploader) hash(ctx context.Context, files []File) ([]content, error) {
	contents := make([]content, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, u.Concurrency))
	for i, file := range files {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			contents[i], err = hashFile(file)
			return err
		})
	}
	return contents, group.Wait()
}

func hashFile(file File) (content, error) {
	reader, err := os.Open(file.Path)
	if err != nil {
		return content{}, fmt.Errorf("reading a file to upload: %w", err)
	}
	defer func() { _ = reader.Close() }() // opened for reading only
	sum := sha256.New()
	size, err := io.Copy(sum, reader)
	if err != nil {
		return content{}, fmt.Errorf("reading %s: %w", file.Name, err)
	}
	return content{Path: file.Path, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// upload uploads a file, unless the journal has its ID, and returns the ID.
func (u *Uploader) upload(ctx context.Context, file File, c content, before snapshot) (string, error) {
	if id := u.Journal.fileID(c); id != "" {
		u.OnUploaded(file, true)
		return id, nil
	}
	for attempt := 1; ; attempt++ {
		if err := u.backoff.wait(ctx); err != nil {
			return "", err
		}
		if err := u.Journal.begin(c); err != nil {
			return "", err
		}
		id, err := u.send(ctx, file, c)
		if err == nil {
			err = u.Journal.done(c, id)
		} else {
			id, err = u.handleFailure(ctx, file, c, before, attempt, err)
		}
		if err != nil {
			return "", fmt.Errorf("uploading %s: %w", file.Name, err)
		}
		if id != "" {
			u.OnUploaded(file, false)
			return id, nil
		}
	}
}

func (u *Uploader) send(ctx context.Context, file File, c content) (string, error) {
	reader, err := os.Open(file.Path)
	if err != nil {
		return "", err
	}
	defer func() { _ = reader.Close() }() // opened for reading only
	sum := sha256.New()
	sent, err := u.Client.Upload(ctx, upstream.UploadRequest{
		Name:    filepath.Base(file.Path),
		Size:    c.Size,
		Content: io.TeeReader(io.LimitReader(reader, c.Size), sum),
	})
	if err != nil {
		return "", err
	}
	if hex.EncodeToString(sum.Sum(nil)) != c.SHA256 {
		return "", fmt.Errorf("the file changed during the upload, so %s is not used: run again when no process writes to it", sent.ID)
	}
	return sent.ID, nil
}
