// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	firstPause = 500 * time.Millisecond
	// longestPause bounds the pauses that nobody asked for.
	longestPause = 30 * time.Second
	// quotaUsedUp is the code of a 429 that no waiting helps against.
	quotaUsedUp = "insufficient_quota"
)

// afterFailure says what follows from an upload that failed: the ID, if it was found to have
// succeeded after all; neither an ID nor an error, if it is to be tried again; or an error.
func (u *Uploader) afterFailure(ctx context.Context, file File, c content, before snapshot, attempt int, err error) (string, error) {
	if ctx.Err() != nil {
		return "", ctx.Err() // the outcome is found out by the next run
	}
	var failure *upstream.Error
	if !errors.As(err, &failure) {
		return "", errors.Join(err, u.Journal.void(c))
	}
	if failure.Kind == upstream.UnknownOutcome {
		u.Note("The answer to the upload of %s was lost (%v): looking for it", file.Name, failure)
		id, lookErr := u.lookFor(ctx, c, before)
		if id != "" || lookErr != nil {
			return id, lookErr
		}
	}
	if again := triesAgain(failure) && attempt < u.Attempts; !again {
		return "", errors.Join(err, u.Journal.void(c))
	}
	delay := u.pause.after(failure, attempt)
	u.Note("Trying %s again in %s: %v", file.Name, delay.Round(100*time.Millisecond), failure)
	return "", sleep(ctx, delay)
}

func triesAgain(failure *upstream.Error) bool {
	switch failure.Kind {
	case upstream.UnknownOutcome, upstream.Transient:
		return true
	case upstream.RateLimited:
		return failure.Code != quotaUsedUp
	case upstream.Rejected, upstream.NotFound, upstream.Unauthorized, upstream.NoCredentials:
		return false
	}
	return false
}

// patiently makes a call that is safe to repeat, until it succeeds or there is no use in it.
func (u *Uploader) patiently(ctx context.Context, doing string, call func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		if err := u.pause.wait(ctx); err != nil {
			return err
		}
		err := call(ctx)
		if err == nil {
			return nil
		}
		var failure *upstream.Error
		if ctx.Err() != nil || !errors.As(err, &failure) || !triesAgain(failure) || attempt >= u.Attempts {
			return fmt.Errorf("%s: %w", doing, err)
		}
		if err := sleep(ctx, u.pause.after(failure, attempt)); err != nil {
			return err
		}
	}
}

// pause is how long everybody waits when the upstream asks one of them to. The zero value is
// ready to use.
type pause struct {
	mu    sync.Mutex
	until time.Time
}

// after gives how long to wait after a failure.
func (p *pause) after(failure *upstream.Error, attempt int) time.Duration {
	delay := min(firstPause<<min(attempt-1, 10), longestPause)
	delay += time.Duration(rand.Int64N(int64(delay) / 4)) //nolint:gosec // jitter, and no secret
	if failure.Kind != upstream.RateLimited {
		return delay
	}
	delay = max(delay, failure.RetryAfter)
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(delay); until.After(p.until) {
		p.until = until
	}
	return delay
}

// wait returns when the upstream may be called again.
func (p *pause) wait(ctx context.Context) error {
	p.mu.Lock()
	delay := time.Until(p.until)
	p.mu.Unlock()
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
