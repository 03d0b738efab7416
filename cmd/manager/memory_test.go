// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime/debug"
	"testing"
)

func TestLimitMemory_ShareOfContainerLimit(t *testing.T) {
	unlimited := debug.SetMemoryLimit(-1)
	for name, test := range map[string]struct {
		env   map[string]string
		want  int64
		fails bool
	}{
		"no limit":           {nil, unlimited, false},
		"limit":              {map[string]string{"MEMORY_LIMIT": "268435456"}, 241591905, false},
		"GOMEMLIMIT is set":  {map[string]string{"MEMORY_LIMIT": "268435456", "GOMEMLIMIT": "100MiB"}, unlimited, false},
		"not in bytes":       {map[string]string{"MEMORY_LIMIT": "256Mi"}, unlimited, true},
		"a limit of nothing": {map[string]string{"MEMORY_LIMIT": "0"}, unlimited, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { debug.SetMemoryLimit(unlimited) })
			err := limitMemory(func(key string) string { return test.env[key] })
			if got := debug.SetMemoryLimit(-1); got != test.want || (err != nil) != test.fails {
				t.Errorf("the limit is %d and the error %v, want %d", got, err, test.want)
			}
		})
	}
}
