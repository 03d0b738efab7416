// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	testKey   = "sk-test-0123456789abcdefghij"
	testStore = "vs_abc123"
	testBatch = "vsfb_0123456789abcdef"
	testFile  = "file-abc"
)

var testRef = upstream.BatchRef{VectorStoreID: testStore, BatchID: testBatch}

var testCreate = upstream.CreateRequest{VectorStoreID: testStore, FileIDs: []string{testFile}}

// calls are the calls of the port, on the objects above.
var calls = map[string]func(context.Context, *Client) error{
	"create": func(ctx context.Context, c *Client) error {
		_, err := c.Create(ctx, testCreate)
		return err
	},
	"retrieve": func(ctx context.Context, c *Client) error {
		_, err := c.Retrieve(ctx, testRef)
		return err
	},
	"cancel": func(ctx context.Context, c *Client) error {
		_, err := c.Cancel(ctx, testRef)
		return err
	},
	"failed files": func(ctx context.Context, c *Client) error {
		_, err := c.FailedFiles(ctx, testRef, 100)
		return err
	},
	"file": func(ctx context.Context, c *Client) error {
		_, err := c.File(ctx, testStore, testFile)
		return err
	},
}

// ambiguous returns the kind of the error of a call that may have taken effect.
func ambiguous(call string) upstream.ErrorKind {
	if call == "create" {
		return upstream.UnknownOutcome
	}
	return upstream.Transient
}

// endpoint is a server on the loopback interface that counts its requests.
type endpoint struct {
	*httptest.Server
	requests atomic.Int64
}

// listen returns an endpoint that run has started.
func listen(t *testing.T, handle http.HandlerFunc, run func(*httptest.Server)) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.requests.Add(1)
		handle(w, r)
	}))
	e.Config.ErrorLog = log.New(io.Discard, "", 0)
	run(e.Server)
	t.Cleanup(e.Close)
	return e
}

func start(s *httptest.Server) { s.Start() }

// dial returns a client for a connection. It permits http:// endpoints, and all addresses unless the
// options have some.
func dial(t *testing.T, connection upstream.Connection, options Options) *Client {
	t.Helper()
	options.Endpoints.AllowInsecure = true
	if options.Addresses.Allowed == nil {
		options.Addresses = upstream.AnyAddress()
	}
	if connection.APIKey == "" {
		connection.APIKey = testKey
	}
	client, err := Dial(connection, options)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(client.Close)
	return client
}

// serve returns a client and its server, which has the given handler.
func serve(t *testing.T, handle http.HandlerFunc, options Options) (*Client, *endpoint) {
	t.Helper()
	e := listen(t, handle, start)
	return dial(t, upstream.Connection{BaseURL: e.URL + "/v1"}, options), e
}

// respond returns a handler that always sends the same response.
func respond(status int, contentType, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func respondJSON(status int, body string, header ...string) http.HandlerFunc {
	return respond(status, "application/json", body, header...)
}

// dropConnection closes the connection after it read the request.
func dropConnection(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

// hang sends no response until the client gives up. A server notices that only after it read the
// whole request.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// classified returns err as an *upstream.Error, which every error of the port must be.
func classified(t *testing.T, err error) *upstream.Error {
	t.Helper()
	var failure *upstream.Error
	if !errors.As(err, &failure) {
		t.Fatalf("error is %T (%v), want *upstream.Error", err, err)
	}
	return failure
}

const batchJSON = `{"id":"` + testBatch + `","object":"vector_store.file_batch","created_at":1700000000,` +
	`"vector_store_id":"` + testStore + `","status":"in_progress",` +
	`"file_counts":{"in_progress":1,"completed":2,"failed":3,"cancelled":4,"total":10}}`

const fileJSON = `{"id":"` + testFile + `","object":"vector_store.file","created_at":1700000001,` +
	`"vector_store_id":"` + testStore + `","status":"completed","usage_bytes":7,"last_error":null}`
