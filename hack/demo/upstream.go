// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// upstream is the emulator, over HTTP: it tells what the operator really did.
type upstream struct{ url, key string }

// upstreamBatch is a batch as the emulator's admin side shows it.
type upstreamBatch struct {
	ID         string         `json:"id"`
	Status     string         `json:"status"`
	FileCounts upstreamCounts `json:"file_counts"`
	Cancels    int            `json:"cancels"`
}

type upstreamCounts struct {
	InProgress int32 `json:"in_progress"`
	Completed  int32 `json:"completed"`
	Failed     int32 `json:"failed"`
	Cancelled  int32 `json:"cancelled"`
	Total      int32 `json:"total"`
}

// fileSet tells which batches were made of the same files.
type fileSet struct {
	BatchIDs []string `json:"batch_ids"`
}

// call is a request that the emulator received.
type call struct {
	Operation string `json:"operation"`
	Status    int    `json:"status"`
}

// batch is one batch.
func (u upstream) batch(ctx context.Context, id string) (upstreamBatch, error) {
	var b upstreamBatch
	err := u.ask(ctx, http.MethodGet, "/_emulator/batches/"+id, nil, &b)
	return b, err
}

// twins is how many batches were made of the same files as this one, itself included.
func (u upstream) twins(ctx context.Context, id string) (int, error) {
	var sets []fileSet
	if err := u.ask(ctx, http.MethodGet, "/_emulator/file_sets", nil, &sets); err != nil {
		return 0, err
	}
	for _, set := range sets {
		for _, known := range set.BatchIDs {
			if known == id {
				return len(set.BatchIDs), nil
			}
		}
	}
	return 0, nil
}

// calls counts the requests received by operation, and those that were refused.
func (u upstream) calls(ctx context.Context) (byOperation map[string]int, refused int, err error) {
	var calls []call
	if err := u.ask(ctx, http.MethodGet, "/_emulator/calls", nil, &calls); err != nil {
		return nil, 0, err
	}
	byOperation = map[string]int{}
	for _, c := range calls {
		byOperation[c.Operation]++
		if c.Status >= http.StatusBadRequest {
			refused++
		}
	}
	return byOperation, refused, nil
}

// create makes a batch, as a user of the API does, and gives its ID.
func (u upstream) create(ctx context.Context, body []byte) (string, error) {
	var b upstreamBatch
	if err := u.ask(ctx, http.MethodPost, "/v1/vector_stores/"+vectorStore+"/file_batches", body, &b); err != nil {
		return "", err
	}
	if b.ID == "" {
		return "", errors.New("the emulator made a batch and gave no ID")
	}
	return b.ID, nil
}

var client = http.Client{Timeout: 10 * time.Second}

func (u upstream) ask(ctx context.Context, method, path string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, u.url+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking the emulator: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+u.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("asking the emulator: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("reading the emulator's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: the emulator answered %s: %s", method, path, response.Status, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("decoding the emulator's answer to %s: %w", path, err)
	}
	return nil
}
