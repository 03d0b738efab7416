// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"fmt"
	"testing"
	"time"
)

const (
	// Timeout bounds the wait for a state that must be reached. Only a test that fails uses it up.
	Timeout = 90 * time.Second
	// interval is the time between two polls.
	interval = 50 * time.Millisecond
)

// Poll polls until a condition holds, returns an error, or ctx ends.
func Poll(ctx context.Context, what string, condition func() (bool, error)) error {
	return PollEvery(ctx, interval, what, condition)
}

// PollEvery is Poll at another interval, for a condition that is costly to check.
func PollEvery(ctx context.Context, interval time.Duration, what string, condition func() (bool, error)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		done, err := condition()
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// Eventually polls until a condition holds. The test ends if that takes longer than Timeout.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	defer cancel()
	if err := Poll(ctx, what, func() (bool, error) { return condition(), nil }); err != nil {
		t.Fatal(err)
	}
}

// Await polls with get until accept accepts its result, and returns that. The test ends with the last
// result if that takes longer than Timeout.
func Await[T any](t testing.TB, what string, get func() T, accept func(T) bool) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	defer cancel()
	var last T
	err := Poll(ctx, what, func() (bool, error) {
		last = get()
		return accept(last), nil
	})
	if err != nil {
		t.Fatalf("%v; it is %+v", err, last)
	}
	return last
}

// Pause waits for a duration, and returns the error of ctx if that ends earlier. It is for durations
// that a test measures or injects, not for waiting for a state.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
