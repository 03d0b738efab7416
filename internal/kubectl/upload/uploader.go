// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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
// same size and the same name, as far as servers keep it, are therefore uploaded one at a time. An upload is repeated only if its file is
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
	// ExpiresAfter is the time after which the API deletes a file that this run uploads; 0 for never.
	ExpiresAfter time.Duration
	// OnUploaded is called once for each file that the API has; reused is true if an earlier run
	// uploaded it. It must be safe for concurrent use.
	OnUploaded func(file File, reused bool)
	// OnRefused is called once for each file that cannot be uploaded although others can: the API
	// refuses it, or it cannot be read or has changed. It must be safe for concurrent use.
	OnRefused func(file File, err error)
	// OnLost is called with the File.Path of each upload whose outcome remains unknown after SettleTime. The
	// file counts as not uploaded, so the API can have one more. It must be safe for concurrent use.
	OnLost func(path string)
	// Logf reports retries. It must be safe for concurrent use.
	Logf func(format string, args ...any)

	backoff  backoff
	refusals refusals
}

// job is a file of a run.
type job struct {
	// index is that of the file in the arguments of Run.
	index   int
	file    File
	content content
}

// Run uploads the files that the API does not have and returns the file IDs in the order of files. The
// ID of a file that is refused is "". If an upload fails for a reason that concerns all files, Run starts
// no other uploads and waits for those that are in flight.
func (u *Uploader) Run(ctx context.Context, files []File) ([]string, error) {
	jobs, err := u.hash(ctx, files)
	if err != nil {
		return nil, err
	}
	if err := u.reconcile(ctx, jobs); err != nil {
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
	for _, sameName := range groupByNameAndSize(jobs) {
		group.Go(func() error {
			for _, j := range sameName {
				if failed.Load() {
					return nil
				}
				var err error
				if ids[j.index], err = u.upload(ctx, j.file, j.content, before); err != nil {
					failed.Store(true)
					return err
				}
			}
			return nil
		})
	}
	return ids, group.Wait()
}

// groupByNameAndSize groups jobs by what the API lists of a file.
func groupByNameAndSize(jobs []job) [][]job {
	type key struct {
		name string
		size int64
	}
	var groups [][]job
	groupOf := map[key]int{}
	for _, j := range jobs {
		k := key{foldName(j.file.UploadName), j.content.Size}
		if _, exists := groupOf[k]; !exists {
			groupOf[k] = len(groups)
			groups = append(groups, nil)
		}
		groups[groupOf[k]] = append(groups[groupOf[k]], j)
	}
	return groups
}

// hash returns the jobs for the files that can be read.
func (u *Uploader) hash(ctx context.Context, files []File) ([]job, error) {
	hashed := make([]*job, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, u.Concurrency))
	for i, file := range files {
		group.Go(func() error {
			c, err := hashFile(ctx, file)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				u.OnRefused(file, err)
			default:
				hashed[i] = &job{index: i, file: file, content: c}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var jobs []job
	for _, j := range hashed {
		if j != nil {
			jobs = append(jobs, *j)
		}
	}
	return jobs, nil
}

func hashFile(ctx context.Context, file File) (content, error) {
	if err := ctx.Err(); err != nil {
		return content{}, err
	}
	reader, err := file.Open()
	if err != nil {
		return content{}, fmt.Errorf("reading: %w", err)
	}
	defer func() { _ = reader.Close() }() // opened for reading only
	sum := sha256.New()
	size, err := io.Copy(sum, reader)
	switch {
	case err != nil:
		return content{}, fmt.Errorf("reading: %w", err)
	case size == 0:
		return content{}, errors.New("the file became empty")
	}
	return content{Path: file.Path, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// upload uploads a file, unless the journal has its ID, and returns the ID; "" if the file is refused.
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
		var refused *refusal
		if errors.As(err, &refused) {
			u.OnRefused(file, refused.err)
			return "", u.refusals.add(refused.err)
		}
		if err != nil {
			return "", fmt.Errorf("uploading %s: %w", file.Name, err)
		}
		if id != "" {
			u.refusals.reset()
			u.OnUploaded(file, false)
			return id, nil
		}
	}
}

func (u *Uploader) send(ctx context.Context, file File, c content) (string, error) {
	reader, err := file.Open()
	if err != nil {
		return "", fmt.Errorf("reading: %w", err)
	}
	defer func() { _ = reader.Close() }() // opened for reading only
	sum := sha256.New()
	body := &body{reader: io.TeeReader(io.LimitReader(reader, c.Size), sum), missing: c.Size}
	sent, err := u.Client.Upload(ctx, upstream.UploadRequest{
		Name: file.UploadName, Size: c.Size, Content: body, ExpiresAfter: u.ExpiresAfter,
	})
	switch {
	case body.err != nil:
		// The API cannot have accepted a request whose body is incomplete.
		return "", body.err
	case err != nil:
		return "", err
	case hex.EncodeToString(sum.Sum(nil)) != c.SHA256:
		// The journal has the file, so that it can be deleted.
		other := content{Path: c.Path, Size: c.Size, SHA256: hex.EncodeToString(sum.Sum(nil))}
		if err := u.Journal.done(other, sent.ID); err != nil {
			return "", err
		}
		return "", fmt.Errorf("the file changed during the upload, so %s is not used: run again when no process writes to it", sent.ID)
	}
	return sent.ID, nil
}

// body is the content of a file during its upload.
type body struct {
	reader io.Reader
	// missing is the number of bytes that were not read yet.
	missing int64
	// err is the reason for which the content is incomplete.
	err error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.reader.Read(p)
	b.missing -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && b.missing > 0:
		b.err = errors.New("the file became shorter during the upload")
		return n, b.err
	case err != nil && !errors.Is(err, io.EOF):
		b.err = fmt.Errorf("reading: %w", err)
	}
	return n, err
}
