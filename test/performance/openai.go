// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// openai is the OpenAI emulator, as a process.
type openai struct{ *framework.Emulator }

// startOpenAI starts the emulator. Files finish at once, unless the flags override that.
func startOpenAI(ctx context.Context, program, log string, stores, flags []string) (openai, error) {
	args := []string{"--pace=0", "--cancel-delay=0"}
	for _, store := range stores {
		args = append(args, "--store="+store)
	}
	e, err := framework.StartEmulator(ctx, program, log, append(args, flags...)...)
	if err != nil {
		return openai{}, err
	}
	e.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	return openai{e}, nil
}

// end kills the emulator, if it was started.
func (o openai) end() {
	if o.Emulator != nil {
		o.Kill()
	}
}

// batch is a batch in the emulator.
type batch = emulator.Batch

// clearCalls deletes the recorded calls, whose number is limited.
func (o openai) clearCalls(ctx context.Context) error {
	return o.Call(ctx, http.MethodDelete, "/_emulator/calls", nil, nil)
}

// calls count the calls that the emulator has answered, by operation and HTTP status.
type calls map[emulator.Operation]map[int]int

func (o openai) counts(ctx context.Context) (calls, error) {
	counts := make(calls)
	return counts, o.Call(ctx, http.MethodGet, "/_emulator/call_counts", nil, &counts)
}

// of returns the number of calls of an operation, or of all operations for AnyOperation.
func (c calls) of(operation emulator.Operation) int {
	total := 0
	for o, byStatus := range c {
		for _, n := range byStatus {
			if o == operation || operation == emulator.AnyOperation {
				total += n
			}
		}
	}
	return total
}

// answered returns the number of responses with an HTTP status.
func (c calls) answered(status int) int {
	total := 0
	for _, byStatus := range c {
		total += byStatus[status]
	}
	return total
}

// since returns the calls after an earlier count.
func (c calls) since(before calls) calls {
	after := make(calls, len(c))
	for operation, byStatus := range c {
		after[operation] = map[int]int{}
		for status, n := range byStatus {
			after[operation][status] = n - before[operation][status]
		}
	}
	return after
}

// repeated returns the sets of files with more than one batch.
func repeated(batches []batch) []string {
	created := map[string]int{}
	var duplicates []string
	for _, b := range batches {
		files := b.VectorStoreID + ": " + strings.Join(b.FileIDs, " ")
		if created[files]++; created[files] == 2 {
			duplicates = append(duplicates, files)
		}
	}
	return duplicates
}
