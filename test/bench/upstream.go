// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// upstream is the emulator, as a process.
type upstream struct {
	*process
	url, key string
	client   *http.Client
}

// startUpstream starts the emulator. Files are done at once, unless the flags say otherwise.
func startUpstream(ctx context.Context, program, log string, stores, flags []string) (*upstream, error) {
	u := &upstream{key: "sk-bench-" + strings.ToLower(rand.Text()), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}}
	args := []string{"--addr=127.0.0.1:0", "--pace=0", "--cancel-delay=0", "--api-key=" + u.key}
	for _, store := range stores {
		args = append(args, "--store="+store)
	}
	var err error
	if u.process, err = launch(log, program, append(args, flags...)...); err != nil {
		return nil, err
	}
	output, err := u.logged(ctx, "\n")
	if err != nil {
		u.kill()
		return nil, err
	}
	line, _, _ := strings.Cut(output, "\n")
	var found bool
	if u.url, found = strings.CutPrefix(line, "listening on "); !found {
		u.kill()
		return nil, fmt.Errorf("the emulator's first line is %q", line)
	}
	return u, nil
}

func (u *upstream) end() {
	if u != nil {
		u.kill()
	}
}

// call makes a request, and decodes the answer.
func (u *upstream) call(ctx context.Context, method, path string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, u.url+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+u.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := u.client.Do(request)
	if err != nil {
		return fmt.Errorf("asking the emulator: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading the emulator's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: HTTP %d: %s", method, path, response.StatusCode, answer)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("reading the emulator's answer: %w", err)
	}
	return nil
}

// batch is a batch as the emulator knows it.
type batch = emulator.Batch

// batches are all batches, in the order in which they were made.
func (u *upstream) batches(ctx context.Context) ([]batch, error) {
	var all []batch
	return all, u.call(ctx, http.MethodGet, "/_emulator/batches", nil, &all)
}

// journal are the calls of an operation since the journal was cleared.
func (u *upstream) journal(ctx context.Context, operation emulator.Operation) ([]emulator.Call, error) {
	var all []emulator.Call
	return all, u.call(ctx, http.MethodGet, "/_emulator/calls?operation="+url.QueryEscape(string(operation)), nil, &all)
}

// clearJournal forgets the calls so far, which makes room for others.
func (u *upstream) clearJournal(ctx context.Context) error {
	return u.call(ctx, http.MethodDelete, "/_emulator/calls", nil, nil)
}

// create makes a batch directly, and gives its ID.
func (u *upstream) create(ctx context.Context, store string, fileIDs ...string) (string, error) {
	body, err := json.Marshal(map[string][]string{"file_ids": fileIDs})
	if err != nil {
		return "", fmt.Errorf("encoding a batch: %w", err)
	}
	var made struct {
		ID string `json:"id"`
	}
	return made.ID, u.call(ctx, http.MethodPost, "/v1/vector_stores/"+store+"/file_batches", body, &made)
}

// calls are how many calls the upstream has answered, by operation and HTTP status.
type calls map[emulator.Operation]map[int]int

func (u *upstream) counts(ctx context.Context) (calls, error) {
	counts := make(calls)
	return counts, u.call(ctx, http.MethodGet, "/_emulator/call_counts", nil, &counts)
}

// of is how many calls of an operation there were, whatever the answer; AnyOperation means all.
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

// answered is how many calls were answered with an HTTP status.
func (c calls) answered(status int) int {
	total := 0
	for _, byStatus := range c {
		total += byStatus[status]
	}
	return total
}

// since are the calls that came after others were counted.
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

// repeated are the sets of files of which there is more than one batch.
func repeated(batches []batch) []string {
	made := map[string]int{}
	var twice []string
	for _, b := range batches {
		files := b.VectorStoreID + ": " + strings.Join(b.FileIDs, " ")
		if made[files]++; made[files] == 2 {
			twice = append(twice, files)
		}
	}
	return twice
}
