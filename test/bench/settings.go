// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// plenty is more of anything than there will be.
const plenty = 1_000_000

// fast are the flags of a manager that looks at a batch as soon as it may, and that no budget
// holds back: only the API server does.
func fast() []string { return append(polling(100*time.Millisecond), unlimited()...) }

// still are the flags of a manager that looks at each batch once and then not for a long time.
func still() []string { return append(polling(10*time.Hour), unlimited()...) }

// polling are the flags that make a manager look at every batch so often.
func polling(every time.Duration) []string {
	return []string{fmt.Sprintf("--poll-interval-min=%s", every), fmt.Sprintf("--poll-interval-max=%s", every)}
}

// unlimited are the flags of a budget that does not matter.
func unlimited() []string {
	return append(atRate(plenty), fmt.Sprintf("--creates-per-minute=%d", plenty), fmt.Sprintf("--files-per-minute=%d", plenty))
}

// atRate are the flags of a budget of so many requests a second, and of the documented limits.
func atRate(requests int) []string {
	return []string{fmt.Sprintf("--requests-per-second=%d", requests)}
}

// defaultRate is how many requests a second the manager makes where no flag says otherwise.
const defaultRate = 50

// scaledTo are the flags of a budget for an upstream whose minute has another length.
func scaledTo(minute time.Duration) []string {
	return append(atRate(int(defaultRate*time.Minute/minute)), "--rate-limit-window="+minute.String())
}

// flagName finds a flag in what --help prints, and in an argument.
var flagName = regexp.MustCompile(`(?m)^\s*--?([a-z-]+)`)

// flagsOf are the flags that a program has.
func flagsOf(ctx context.Context, program string) (map[string]bool, error) {
	output, err := exec.CommandContext(ctx, program, "--help").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("asking %s for its flags: %w", program, err)
	}
	known := map[string]bool{}
	for _, match := range flagName.FindAllStringSubmatch(string(output), -1) {
		known[match[1]] = true
	}
	return known, nil
}

// understood leaves out the flags that an older manager does not have, and remembers them.
func (b *bench) understood(args []string) []string {
	var kept []string
	for _, arg := range args {
		name := strings.TrimLeft(strings.SplitN(arg, "=", 2)[0], "-")
		switch {
		case b.knownFlags[name]:
			kept = append(kept, arg)
		case !slices.Contains(b.report.lacking, "--"+name):
			b.report.lacking = append(b.report.lacking, "--"+name)
		}
	}
	return kept
}
