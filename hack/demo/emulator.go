// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"slices"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// batchesOfTheSameFiles returns the number of batches with the files of a batch, that one included.
func (d *demo) batchesOfTheSameFiles(ctx context.Context, id string) (int, error) {
	sets, err := d.emulator.FileSets(ctx)
	if err != nil {
		return 0, err
	}
	for _, set := range sets {
		if slices.Contains(set.BatchIDs, id) {
			return len(set.BatchIDs), nil
		}
	}
	return 0, nil
}

// countCalls counts the calls of the API by operation, and the rejected ones.
func (d *demo) countCalls(ctx context.Context) (byOperation map[emulator.Operation]int, rejected int, err error) {
	calls, err := d.emulator.Calls(ctx, emulator.AnyOperation)
	if err != nil {
		return nil, 0, err
	}
	byOperation = map[emulator.Operation]int{}
	for _, c := range calls {
		byOperation[c.Operation]++
		if c.Status >= http.StatusBadRequest {
			rejected++
		}
	}
	return byOperation, rejected, nil
}
