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

// Uploader uploads files, and remembers in the journal which it has.
//
// A run that was killed, and is run again, uploads nothing twice: what the journal says was
// uploaded is not sent again as long as the upstream has it, and what was just being sent is
// looked for in the upstream's list, by its name, its size and its having come since. Files of
// the same name and size are therefore sent one after the other. An upload is repeated only when
// its file has not shown up in the list within Settle.
type Uploader struct {
	Client  upstream.Uploader
	Journal *Journal
	// Concurrency is how many files are sent at a time, at least 1.
	Concurrency int
	// Attempts is how often a file is sent, at most, when that fails for a while.
	Attempts int
	// Settle is how long a file may take to show up in the upstream's list.
	Settle time.Duration
	// Uploaded is told of each file, when the upstream has it; reused says that it was there
	// before. Note is told what goes on otherwise. Both are called by several goroutines.
	Uploaded func(file File, reused bool)
	Note     func(format string, args ...any)

	pause pause
}

// Run uploads what is not there yet, and gives the upstream's ID of each file, in their order.
// After an error, other files that were on their way have been brought to their end.
func (u *Uploader) Run(ctx context.Context, files []File) ([]string, error) {
	contents, err := u.hash(ctx, files)
	if err != nil {
		return nil, err
	}
	if err := u.forgetWhatIsGone(ctx, contents); err != nil {
		return nil, err
	}
	if err := u.settle(ctx); err != nil {
		return nil, err
	}
	before, err := u.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if err := u.Journal.run(before); err != nil {
		return nil, err
	}
	ids := make([]string, len(files))
	var failed atomic.Bool
	var group errgroup.Group
	group.SetLimit(max(1, u.Concurrency))
	for _, alike := range alike(contents) {
		group.Go(func() error {
			for _, i := range alike {
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

// alike groups files that the upstream's list cannot tell apart. It gives their places.
func alike(contents []content) [][]int {
	type look struct {
		name string
		size int64
	}
	var groups [][]int
	at := map[look]int{}
	for i, c := range contents {
		l := look{filepath.Base(c.Path), c.Size}
		if _, known := at[l]; !known {
			at[l] = len(groups)
			groups = append(groups, nil)
		}
		groups[at[l]] = append(groups[at[l]], i)
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
			contents[i], err = hashOf(file)
			return err
		})
	}
	return contents, group.Wait()
}

func hashOf(file File) (content, error) {
	reader, err := os.Open(file.Path)
	if err != nil {
		return content{}, fmt.Errorf("reading a file to upload: %w", err)
	}
	defer func() { _ = reader.Close() }() // it was only read
	sum := sha256.New()
	size, err := io.Copy(sum, reader)
	if err != nil {
		return content{}, fmt.Errorf("reading %s: %w", file.Name, err)
	}
	return content{Path: file.Path, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// upload brings one file to the upstream, unless it is there.
func (u *Uploader) upload(ctx context.Context, file File, c content, before snapshot) (string, error) {
	if known, is := u.Journal.find(c); is && known.fileID != "" {
		u.Uploaded(file, true)
		return known.fileID, nil
	}
	for attempt := 1; ; attempt++ {
		if err := u.pause.wait(ctx); err != nil {
			return "", err
		}
		if err := u.Journal.begin(c); err != nil {
			return "", err
		}
		id, err := u.send(ctx, file, c)
		if err != nil {
			id, err = u.afterFailure(ctx, file, c, before, attempt, err)
		}
		if err != nil {
			return "", fmt.Errorf("uploading %s: %w", file.Name, err)
		}
		if id == "" {
			continue
		}
		if err := u.Journal.done(c, id); err != nil {
			return "", err
		}
		u.Uploaded(file, false)
		return id, nil
	}
}

func (u *Uploader) send(ctx context.Context, file File, c content) (string, error) {
	reader, err := os.Open(file.Path)
	if err != nil {
		return "", err
	}
	defer func() { _ = reader.Close() }() // it was only read
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
		return "", &changedError{fileID: sent.ID}
	}
	return sent.ID, nil
}

// changedError says that a file was written to while it was uploaded.
type changedError struct{ fileID string }

// Error names the file of the upstream that nobody will use.
func (e *changedError) Error() string {
	return fmt.Sprintf("it changed meanwhile, so what was uploaded as %s is not used; run again when nobody writes to it", e.fileID)
}
