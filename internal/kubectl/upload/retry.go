// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	minBackoff = 500 * time.Millisecond
	// maxBackoff does not bound a Retry-After, and maxRetryAfter does.
	maxBackoff    = 30 * time.Second
	maxRetryAfter = time.Hour
	// insufficientQuota is the code of a 429 that a retry does not resolve.
	insufficientQuota = "insufficient_quota"
)

// handleFailure handles a failed upload. It returns the file ID if the upload succeeded after all,
// neither an ID nor an error if the upload is to be retried, and an error otherwise: a *refusal if it
// concerns this file only.
func (u *Uploader) handleFailure(ctx context.Context, file File, c content, before snapshot, attempt int, err error) (string, error) {
	if ctx.Err() != nil {
		return "", ctx.Err() // the upload stays pending; the next run resolves it
	}
	var failure *upstream.Error
	if !errors.As(err, &failure) {
		return "", u.giveUp(c, &refusal{err}) // the file could not be read, or it has changed
	}
	if failure.Kind == upstream.UnknownOutcome {
		u.Logf("Lost the response to the upload of %s (%v); checking whether it succeeded", file.Name, failure)
		if err := u.resolve(ctx, map[content]upload{c: {snapshot: before}}); err != nil {
			return "", err
		}
		if id := u.Journal.fileID(c); id != "" {
			return id, nil
		}
		u.OnLost(c.Path)
	}
	switch {
	case failure.Kind == upstream.Rejected && isQuota(failure):
		return "", u.giveUp(c, fmt.Errorf("%w: %w", ErrQuota, err))
	case failure.Kind == upstream.Rejected:
		return "", u.giveUp(c, &refusal{err})
	case !retryable(failure) || attempt >= u.Attempts:
		return "", u.giveUp(c, err)
	}
	delay := u.backoff.after(failure, attempt)
	u.Logf("Retrying %s in %s: %v", file.Name, delay.Round(100*time.Millisecond), failure)
	return "", sleep(ctx, delay)
}

// giveUp records that a file is not uploaded, and returns the reason.
func (u *Uploader) giveUp(c content, reason error) error {
	if err := u.Journal.void(c); err != nil {
		return err
	}
	return reason
}

// refusal is an error that concerns one file.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }

// maxRefusals is the number of files in a row that are refused before the reason is taken to concern all.
const maxRefusals = 20

// refusals counts the files that were refused since one was uploaded. It is safe for concurrent use.
type refusals struct {
	mu    sync.Mutex
	count int
}

// add counts a refusal. It returns an error if there are too many.
func (r *refusals) add(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count++; r.count < maxRefusals {
		return nil
	}
	return fmt.Errorf("%d uploads in a row were refused, the last one with: %w", r.count, err)
}

func (r *refusals) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count = 0
}

// ErrQuota reports that the API has as many files as it accepts.
var ErrQuota = errors.New("the quota for files is reached")

// isQuota reports whether an upload was refused because of the files that the API has already.
func isQuota(failure *upstream.Error) bool {
	return strings.Contains(strings.ToLower(failure.Code), "quota")
}

func retryable(failure *upstream.Error) bool {
	switch failure.Kind {
	case upstream.UnknownOutcome, upstream.Transient:
		return true
	case upstream.RateLimited:
		return failure.Code != insufficientQuota
	case upstream.Rejected, upstream.NotFound, upstream.Unauthorized, upstream.NotAllowed, upstream.NoCredentials:
		return false
	}
	return false
}

// retry repeats an idempotent call until it succeeds, fails with an error that is not retryable, or
// the attempts are used up. operation describes the call in the error.
func (u *Uploader) retry(ctx context.Context, operation string, call func(context.Context) error) error {
	if err := u.backoff.retry(ctx, u.Attempts, call); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return nil
}

// Retry repeats an idempotent call until it succeeds, fails with an error that is not retryable, or the
// attempts are used up.
func Retry(ctx context.Context, attempts int, call func(context.Context) error) error {
	return new(backoff).retry(ctx, attempts, call)
}

func (b *backoff) retry(ctx context.Context, attempts int, call func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		if err := b.wait(ctx); err != nil {
			return err
		}
		err := call(ctx)
		if err == nil {
			return nil
		}
		var failure *upstream.Error
		if ctx.Err() != nil || !errors.As(err, &failure) || !retryable(failure) || attempt >= attempts {
			return err
		}
		if err := sleep(ctx, b.after(failure, attempt)); err != nil {
			return err
		}
	}
}

// backoff delays all calls after a rate limit. The zero value is ready to use.
type backoff struct {
	mu    sync.Mutex
	until time.Time
}

// after returns the delay before the next attempt. If the API limits the rate, the delay applies to
// all calls.
func (b *backoff) after(failure *upstream.Error, attempt int) time.Duration {
	delay := min(minBackoff<<min(attempt-1, 10), maxBackoff)
	delay += time.Duration(rand.Int64N(int64(delay) / 4)) //nolint:gosec // jitter, not a secret
	if failure.Kind != upstream.RateLimited {
		return delay
	}
	delay = max(delay, min(failure.RetryAfter, maxRetryAfter))
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := time.Now().Add(delay); until.After(b.until) {
		b.until = until
	}
	return delay
}

// wait waits until the delay that applies to all calls has passed.
func (b *backoff) wait(ctx context.Context) error {
	b.mu.Lock()
	delay := time.Until(b.until)
	b.mu.Unlock()
	return sleep(ctx, delay)
}

func sleep(ctx context.Context, delay time.Duration) error {
	if delay <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
