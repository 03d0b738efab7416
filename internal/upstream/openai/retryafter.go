// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The maximum delays that a server can request: before a request is repeated, and before a poll.
const (
	maxDelay     = 7 * 24 * time.Hour
	maxPollDelay = 8 * time.Second
)

// retryAfter returns the delay that a response requests, or 0 if it requests none. It supports both
// forms of Retry-After, and Retry-After-Ms.
func retryAfter(header http.Header) time.Duration {
	if delay, ok := parseDelay(header.Get("Retry-After-Ms"), time.Millisecond); ok {
		return delay
	}
	value := strings.TrimSpace(header.Get("Retry-After"))
	if delay, ok := parseDelay(value, time.Second); ok {
		return delay
	}
	when, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(time.Until(when), 0), maxDelay)
}

// pollAfter returns the poll interval that a response requests, or 0 if it requests none.
func pollAfter(header http.Header) time.Duration {
	delay, _ := parseDelay(header.Get("Openai-Poll-After-Ms"), time.Millisecond)
	return min(delay, maxPollDelay)
}

func parseDelay(value string, unit time.Duration) (time.Duration, bool) {
	count, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if math.IsNaN(count) || (err != nil && !math.IsInf(count, 0)) {
		return 0, false
	}
	// Clamp before the conversion: the result of converting a float that overflows is undefined.
	return time.Duration(min(max(count*float64(unit), 0), float64(maxDelay))), true
}
