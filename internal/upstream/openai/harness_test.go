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

// calls are the calls of the port, each on the objects named above.
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

// ambiguous is the kind of an error after which a call may have taken effect.
func ambiguous(call string) upstream.ErrorKind {
	if call == "create" {
		return upstream.UnknownOutcome
	}
	return upstream.Transient
}

// endpoint is a server on the loopback interface that counts the requests it receives.
type endpoint struct {
	*httptest.Server
	requests atomic.Int64
}

// listen starts an endpoint; a change may set it up before it starts, and then starts it too.
func listen(t *testing.T, handle http.HandlerFunc, start func(*httptest.Server)) *endpoint {
	t.Helper()
	e := &endpoint{}
	e.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.requests.Add(1)
		handle(w, r)
	}))
	e.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(e.Server)
	t.Cleanup(e.Close)
	return e
}

func plain(s *httptest.Server) { s.Start() }

// dial gives a client of a base URL, with the limits of options.
func dial(t *testing.T, connection upstream.Connection, options Options) *Client {
	t.Helper()
	options.Endpoints.AllowInsecure = true
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

// serve gives a client of a server with that handler.
func serve(t *testing.T, handle http.HandlerFunc, options Options) (*Client, *endpoint) {
	t.Helper()
	e := listen(t, handle, plain)
	return dial(t, upstream.Connection{BaseURL: e.URL + "/v1"}, options), e
}

// answer is a handler that always answers alike.
func answer(status int, contentType, body string, header ...string) http.HandlerFunc {
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

func answerJSON(status int, body string, header ...string) http.HandlerFunc {
	return answer(status, "application/json", body, header...)
}

// hangUp breaks the connection once the request was read.
func hangUp(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	panic(http.ErrAbortHandler)
}

// hold leaves a request without an answer until the client gives up. Only a server that has read
// the whole request notices that.
func hold(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// known gives err as the *upstream.Error that every error of the port must be.
func known(t *testing.T, err error) *upstream.Error {
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
