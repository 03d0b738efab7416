// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime/debug"
	"strconv"
)

// memoryLimitVariable is the environment variable for the memory limit of the container, in bytes.
const memoryLimitVariable = "MEMORY_LIMIT"

// limitMemory lets the garbage collector work harder as the process nears nine tenths of its
// container's memory limit. The rest is for memory that Go does not manage. GOMEMLIMIT takes
// precedence.
func limitMemory(getenv func(string) string) error {
	text := getenv(memoryLimitVariable)
	if text == "" || getenv("GOMEMLIMIT") != "" {
		return nil
	}
	limit, err := strconv.ParseInt(text, 10, 64)
	if err != nil || limit <= 0 {
		return fmt.Errorf("%s is %q: it must be a number of bytes", memoryLimitVariable, text)
	}
	debug.SetMemoryLimit(limit / 10 * 9)
	return nil
}
