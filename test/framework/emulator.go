// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// EmulatorClient calls the API of an OpenAI emulator, and the admin API, which reports what clients
// really did.
type EmulatorClient struct {
	// URL is the emulator's, without a path.
	URL string
	// BasePath is the path of the API; /v1 by default.
	BasePath string
	// Key is an API key that it accepts.
	Key string
	// HTTP makes the calls.
	HTTP *http.Client
}

// Emulator is the OpenAI emulator as a process.
type Emulator struct {
	*Process
	EmulatorClient
}

// StartEmulator starts the emulator with a random API key, and waits until it listens. Callers must
// Stop or Kill it.
func StartEmulator(ctx context.Context, program, log string, flags ...string) (*Emulator, error) {
	e := &Emulator{EmulatorClient: EmulatorClient{Key: NewKey("emulator"), HTTP: http.DefaultClient}}
	args := append([]string{"--addr=127.0.0.1:0", "--api-key=" + e.Key}, flags...)
	var err error
	if e.Process, err = Run(Command{Path: program, Log: log, Args: args}); err != nil {
		return nil, err
	}
	if err := e.WaitForOutput(ctx, "\n"); err != nil {
		e.Kill()
		return nil, err
	}
	line, _, _ := strings.Cut(e.Output(), "\n")
	var found bool
	if e.URL, found = strings.CutPrefix(line, "listening on "); !found {
		e.Kill()
		return nil, fmt.Errorf("the first line of the emulator is %q, want \"listening on URL\"", line)
	}
	return e, nil
}

// NewKey returns a random API key. A key that leaks into a log can be found by it.
func NewKey(name string) string { return "sk-" + name + "-" + strings.ToLower(rand.Text()) }

// BaseURL returns the URL for OPENAI_BASE_URL.
func (c EmulatorClient) BaseURL() string { return c.URL + c.basePath() }

func (c EmulatorClient) basePath() string { return cmp.Or(c.BasePath, "/v1") }

// Call sends a request with a body in JSON, and decodes the answer into into, unless that is nil.
func (c EmulatorClient) Call(ctx context.Context, method, path string, body, into any) error {
	content := ""
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encoding the body of %s %s: %w", method, path, err)
		}
		content = string(encoded)
	}
	code, answer, err := Send(ctx, c.HTTP, method, c.URL+path, c.Key, content)
	if err != nil {
		return fmt.Errorf("calling the emulator: %w", err)
	}
	if code != http.StatusOK {
		return fmt.Errorf("%s %s: HTTP %d: %s", method, path, code, answer)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal([]byte(answer), into); err != nil {
		return fmt.Errorf("%s %s: decoding the answer: %w", method, path, err)
	}
	return nil
}

// call is Call for an answer of one type.
func call[T any](ctx context.Context, c EmulatorClient, method, path string, body any) (T, error) {
	var answer T
	err := c.Call(ctx, method, path, body, &answer)
	return answer, err
}

// CreateBatch creates a batch over the API, as a client other than the operator, and returns its ID.
func (c EmulatorClient) CreateBatch(ctx context.Context, store string, fileIDs ...string) (string, error) {
	type created struct {
		ID string `json:"id"`
	}
	b, err := call[created](ctx, c, http.MethodPost, c.basePath()+"/vector_stores/"+store+"/file_batches", map[string][]string{"file_ids": fileIDs})
	return b.ID, err
}

// Batches returns all batches, in the order of their creation.
func (c EmulatorClient) Batches(ctx context.Context) ([]emulator.Batch, error) {
	return call[[]emulator.Batch](ctx, c, http.MethodGet, "/_emulator/batches", nil)
}

// Batch returns one batch.
func (c EmulatorClient) Batch(ctx context.Context, id string) (emulator.Batch, error) {
	return call[emulator.Batch](ctx, c, http.MethodGet, "/_emulator/batches/"+id, nil)
}

// FileSets returns each set of files that was attached as a batch, with its batches.
func (c EmulatorClient) FileSets(ctx context.Context) ([]emulator.FileSet, error) {
	return call[[]emulator.FileSet](ctx, c, http.MethodGet, "/_emulator/file_sets", nil)
}

// Calls returns the recorded calls of an operation, or of emulator.AnyOperation.
func (c EmulatorClient) Calls(ctx context.Context, operation emulator.Operation) ([]emulator.Call, error) {
	return call[[]emulator.Call](ctx, c, http.MethodGet, "/_emulator/calls?operation="+url.QueryEscape(string(operation)), nil)
}
