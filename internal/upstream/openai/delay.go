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

// maxDelay bounds what an upstream can make us wait.
const maxDelay = time.Hour

// retryAfter reads the delay that an answer asks for, in whichever of its forms; zero where it
// asks for none.
func retryAfter(header http.Header) time.Duration {
	if delay, ok := number(header.Get("Retry-After-Ms"), time.Millisecond); ok {
		return delay
	}
	value := strings.TrimSpace(header.Get("Retry-After"))
	if delay, ok := number(value, time.Second); ok {
		return delay
	}
	when, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(time.Until(when), 0), maxDelay)
}

// pollAfter reads the pause between two looks at a batch that an answer asks for; zero where it
// asks for none.
func pollAfter(header http.Header) time.Duration {
	delay, _ := number(header.Get("Openai-Poll-After-Ms"), time.Millisecond)
	return delay
}

func number(value string, unit time.Duration) (time.Duration, bool) {
	count, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if math.IsNaN(count) || (err != nil && !math.IsInf(count, 0)) {
		return 0, false
	}
	// Clamped before it is converted: a float that is too big for an integer becomes any integer.
	return time.Duration(min(max(count*float64(unit), 0), float64(maxDelay))), true
}
