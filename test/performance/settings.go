// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// unlimitedValue is larger than any limit that matters.
const unlimitedValue = 1_000_000

// fastPolling returns the flags of a manager that polls as soon as it may, without a rate limit: only the API
// server limits it.
func fastPolling() []string { return append(polling(100*time.Millisecond), unlimited()...) }

// noPolling returns the flags of a manager that polls each batch once, and then not for hours.
func noPolling() []string { return append(polling(10*time.Hour), unlimited()...) }

// polling returns the flags for a poll interval.
func polling(every time.Duration) []string {
	return []string{fmt.Sprintf("--poll-interval-min=%s", every), fmt.Sprintf("--poll-interval-max=%s", every)}
}

// unlimited returns the flags for no effective rate limit.
func unlimited() []string {
	return append(rateLimit(unlimitedValue), fmt.Sprintf("--creates-per-minute=%d", unlimitedValue), fmt.Sprintf("--files-per-minute=%d", unlimitedValue))
}

// rateLimit returns the flags for a number of requests per second, with the documented limits otherwise.
func rateLimit(requests int) []string {
	return []string{fmt.Sprintf("--requests-per-second=%d", requests)}
}

// defaultRate is the manager's default for --requests-per-second.
const defaultRate = 50

// scaledLimits returns the flags for an API whose rate limit window has another length.
func scaledLimits(minute time.Duration) []string {
	return append(rateLimit(int(defaultRate*time.Minute/minute)), "--rate-limit-window="+minute.String())
}

// flagName matches a flag in the output of --help and in an argument.
var flagName = regexp.MustCompile(`(?m)^\s*--?([a-z-]+)`)

// flagsOf returns the flags of a program.
func flagsOf(ctx context.Context, program string) (map[string]bool, error) {
	output, err := framework.Output(ctx, program, "--help")
	if err != nil {
		return nil, fmt.Errorf("reading the flags of %s: %w", program, err)
	}
	known := map[string]bool{}
	for _, match := range flagName.FindAllStringSubmatch(output, -1) {
		known[match[1]] = true
	}
	return known, nil
}

// supported removes the flags that an older manager does not have, and records them.
func (b *bench) supported(args []string) []string {
	var kept []string
	for _, arg := range args {
		name := strings.TrimLeft(strings.SplitN(arg, "=", 2)[0], "-")
		switch {
		case b.knownFlags[name]:
			kept = append(kept, arg)
		case !slices.Contains(b.report.unsupported, "--"+name):
			b.report.unsupported = append(b.report.unsupported, "--"+name)
		}
	}
	return kept
}
