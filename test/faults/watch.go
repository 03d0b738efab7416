// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/stream"
)

// watchLag is how late the events of a watch come.
const watchLag = 3 * time.Second

// watching is what is wrong with a watch.
type watching struct {
	// truncate breaks off in the middle of the first event about the object, and cut after it.
	truncate, cut bool
	// lag is how late each event comes.
	lag time.Duration
}

// stream hands a watch on, with what is wrong with it. It does not count as under way, as it has
// no end.
func (x *exchange) stream(wrong watching) {
	response, err := x.open(x.r.Context())
	if err != nil {
		x.cut()
		return
	}
	defer response.Body.Close()
	x.proxy.journal.note(func() { x.entry.Status = response.StatusCode })
	x.w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
	x.w.WriteHeader(response.StatusCode)
	_ = http.NewResponseController(x.w).Flush() // the manager may be gone
	named := fmt.Appendf(nil, `"name":%q`, objectName)
	for piece := range stream.Pieces(x.r.Context(), response.Body) {
		if !stream.Pause(x.r.Context(), time.Until(piece.At.Add(wrong.lag))) {
			return
		}
		about := bytes.Contains(piece.Bytes, named)
		if about && wrong.truncate {
			piece.Bytes = piece.Bytes[:len(piece.Bytes)/2]
		}
		_, _ = x.w.Write(piece.Bytes)               // the manager may be gone
		_ = http.NewResponseController(x.w).Flush() // likewise
		if about && (wrong.cut || wrong.truncate) {
			x.cut()
			return
		}
	}
	x.cut()
}

// open sends the request to the server, and gives its answer as it begins.
func (x *exchange) open(ctx context.Context) (*http.Response, error) {
	request := x.r.Clone(ctx)
	request.URL.Scheme, request.URL.Host = x.proxy.target.Scheme, x.proxy.target.Host
	request.Host, request.RequestURI = "", ""
	request.Header.Del("Accept-Encoding")
	request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(x.body)), int64(len(x.body))
	response, err := x.proxy.transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("forwarding: %w", err)
	}
	return response, nil
}

// stale answers a list as an API server does that has not heard of the object yet.
func (x *exchange) stale() {
	x.send(http.StatusOK, nil, fmt.Sprintf(`{"apiVersion":%q,"kind":"VectorStoreFileBatchList","metadata":{"resourceVersion":%q},"items":[]}`,
		v1alpha1.GroupVersion.String(), x.proxy.journal.begunAt()))
}

// expire answers a watch as an API server does that does not go back so far.
func (x *exchange) expire() {
	x.send(http.StatusOK, nil, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}`+"\n")
}
