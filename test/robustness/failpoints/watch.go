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
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

// watchLag is the delay of the events of a watch.
const watchLag = 3 * time.Second

// watchFault is a fault of a watch.
type watchFault struct {
	// truncate closes the watch in the middle of the first event about the object, cut after it.
	truncate, cut bool
	// lag is the delay of each event.
	lag time.Duration
}

// stream forwards a watch with a fault. It does not count as in flight, because it has no end.
func (x *exchange) stream(wrong watchFault) {
	response, err := x.open(x.r.Context())
	if err != nil {
		x.cut()
		return
	}
	defer response.Body.Close()
	x.injector.history.update(func() { x.entry.Status = response.StatusCode })
	x.w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
	x.w.WriteHeader(response.StatusCode)
	_ = http.NewResponseController(x.w).Flush() // the manager may be gone
	named := fmt.Appendf(nil, `"name":%q`, objectName)
	for chunk := range proxy.Chunks(x.r.Context(), response.Body, wrong.lag) {
		about := bytes.Contains(chunk, named)
		if about && wrong.truncate {
			chunk = chunk[:len(chunk)/2]
		}
		_, _ = x.w.Write(chunk)                     // the manager may be gone
		_ = http.NewResponseController(x.w).Flush() // likewise
		if about && (wrong.cut || wrong.truncate) {
			x.cut()
			return
		}
	}
	x.cut()
}

// open sends the request to the server, and returns its response before the body is read.
func (x *exchange) open(ctx context.Context) (*http.Response, error) {
	request := x.r.Clone(ctx)
	request.URL.Scheme, request.URL.Host = x.injector.target.Scheme, x.injector.target.Host
	request.Host, request.RequestURI = "", ""
	request.Header.Del("Accept-Encoding")
	request.Body, request.ContentLength = io.NopCloser(bytes.NewReader(x.body)), int64(len(x.body))
	response, err := x.injector.transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("forwarding: %w", err)
	}
	return response, nil
}

// stale responds to a list with the state before the object existed.
func (x *exchange) stale() {
	x.send(http.StatusOK, nil, fmt.Sprintf(`{"apiVersion":%q,"kind":"VectorStoreFileBatchList","metadata":{"resourceVersion":%q},"items":[]}`,
		v1alpha1.GroupVersion.String(), x.injector.history.initialVersion()))
}

// expire responds to a watch like an API server that has compacted the requested resourceVersion.
func (x *exchange) expire() {
	x.send(http.StatusOK, nil, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}`+"\n")
}
