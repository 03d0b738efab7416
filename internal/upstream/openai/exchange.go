// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// maxErrorBytes is the maximum size of the body of an error response, after decompression.
const maxErrorBytes = 64 << 10

var (
	errStatus      = errors.New("the status code is not 2xx")
	errAlreadySent = errors.New("the request was already sent and must not be repeated")
)

// exchange is a request and its response. It records whether the request may have been sent, which
// determines the outcome of a failed one.
type exchange struct {
	operation upstream.Operation
	// notIdempotent is true if the request must not take effect twice.
	notIdempotent bool
	// path is the path of the request below the base URL.
	path string
	// decode decodes the body of a response with a status code of 2xx, within the limits. If it is nil,
	// the body is ignored.
	decode func(*scanner) error
	limits limits
	// optional is true if a response of 204 No Content needs no body.
	optional bool

	// Set by the goroutines of the transport.
	sent    atomic.Bool
	written atomic.Bool
	http2   atomic.Bool

	status int // 0 if there is no response
	header http.Header
	body   body
	// invalid is the error of a body that was received and cannot be decoded.
	invalid error
	// failure is the error in the body of a response with another status code than 2xx.
	failure apiError
}

// call sends a request with JSON, or without a body.
func (c *Client) call(ctx context.Context, x *exchange, to target, content []byte) error {
	x.path = to.path
	return c.do(ctx, x, c.newRequest(ctx, to, content))
}

// do sends a request. If it returns nil, the response has a status code of 2xx, and x.decode has decoded
// it. Every error is an *upstream.Error.
func (c *Client) do(ctx context.Context, x *exchange, request *http.Request) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	ctx, done := c.observer(ctx, x.operation)
	err := x.roundTrip(c.http, request.WithContext(httptrace.WithClientTrace(ctx, x.clientTrace())))
	if err == nil {
		done(upstream.Outcome{StatusCode: x.status, RequestID: c.requestID(x)})
		return nil
	}
	classified := c.classify(x, err)
	done(outcome(x, classified, err))
	return classified
}

// outcome returns the outcome of a failed request. It omits the status code of a successful response
// that is incomplete.
func outcome(x *exchange, classified *upstream.Error, err error) upstream.Outcome {
	status := x.status
	if x.succeeded() && x.invalid == nil {
		status = 0
	}
	return upstream.Outcome{
		StatusCode: status,
		RequestID:  classified.RequestID,
		Canceled:   status == 0 && errors.Is(err, context.Canceled),
		Error:      classified.Message,
	}
}

// noObserver is an upstream.Observer that does nothing.
func noObserver(ctx context.Context, _ upstream.Operation) (context.Context, func(upstream.Outcome)) {
	return ctx, func(upstream.Outcome) {}
}

// clientTrace records whether the request may have been sent, which errors do not show reliably. A
// request counts as sent once it has a connection: the transport writes it in the background, even if
// the caller has given up.
func (x *exchange) clientTrace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			connection, secure := info.Conn.(*tls.Conn)
			x.http2.Store(secure && connection.ConnectionState().NegotiatedProtocol == "h2")
			x.sent.Store(true)
		},
		WroteHeaders: func() { x.written.Store(true) },
	}
}

// roundTrip sends a request, and decodes and closes the body of its response. It returns errStatus for
// a response that is not a success.
func (x *exchange) roundTrip(client *http.Client, request *http.Request) error {
	if x.notIdempotent {
		x.sendOnce(request)
	}
	request.Header.Set("Accept-Encoding", "gzip")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	x.status, x.header = response.StatusCode, response.Header
	x.body = body{wire: response.Body, encoding: response.Header.Get("Content-Encoding")}
	switch {
	case !x.succeeded():
		x.readFailure()
		return errStatus
	case x.decode == nil, x.optional && x.status == http.StatusNoContent:
		return x.ignoreBody()
	}
	x.body.limit = x.limits.bytes
	if err := x.decode(newScanner(&x.body, x.limits.tokens)); err != nil {
		if x.body.lost != nil {
			return x.body.lost
		}
		x.invalid = err
		return err
	}
	return nil
}

// readFailure reads the body of an error response, and reads it to its end, so that the connection can
// be used again. The status code is sufficient, so it ignores an invalid body.
func (x *exchange) readFailure() {
	x.body.limit = maxErrorBytes
	x.failure = decodeFailure(newScanner(&x.body, maxErrorTokens), isJSON(x.header))
	_, _ = io.Copy(io.Discard, &x.body)
}

// ignoreBody reads a body to its end, so that the connection can be used again.
func (x *exchange) ignoreBody() error {
	x.body.limit = maxErrorBytes
	_, _ = io.Copy(io.Discard, &x.body)
	return x.body.lost
}

// sendOnce prevents the transport from repeating a request over HTTP/2 that is already written, which
// it does after some resets of a stream. They promise that the server did not process the request,
// but gateways also send them for invalid responses. Over HTTP/1, the transport repeats a POST
// request only if it wrote no byte of it.
func (x *exchange) sendOnce(request *http.Request) {
	getBody := request.GetBody
	if getBody == nil {
		return
	}
	request.GetBody = func() (io.ReadCloser, error) {
		if x.http2.Load() && x.written.Load() {
			return nil, errAlreadySent
		}
		return getBody()
	}
}

func (x *exchange) succeeded() bool { return x.status >= 200 && x.status <= 299 }
