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

	"github.com/openai/openai-go/v3/option"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// maxErrorBytes is the maximum number of bytes that are read from the body of an error response.
const maxErrorBytes = 64 << 10

var (
	errStatus      = errors.New("the status code is not 2xx")
	errAlreadySent = errors.New("the request was already sent and must not be repeated")
)

// exchange is a request and its response. It records whether the request may have been sent, which
// determines the outcome of a failed one, and the complete response, which the SDK does not expose.
type exchange struct {
	operation upstream.Operation
	// notIdempotent is true if the request must not take effect twice.
	notIdempotent bool

	// Set by the goroutines of the transport.
	sent    atomic.Bool
	written atomic.Bool
	http2   atomic.Bool

	status int // 0 if there is no response
	header http.Header
	body   []byte
}

type sendFunc func(ctx context.Context, options ...option.RequestOption) error

// do sends a request. If it returns nil, x contains a response with a status code of 2xx. Every error
// is an *upstream.Error.
func (c *Client) do(ctx context.Context, x *exchange, send sendFunc) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	ctx, done := c.observer(ctx, x.operation)
	err := send(httptrace.WithClientTrace(ctx, x.clientTrace()),
		option.WithMiddleware(func(request *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			return x.roundTrip(request, next, c.maxBytes)
		}),
		// Get the bytes: the SDK rejects JSON with another content type, and ignores garbage after
		// it.
		option.WithResponseBodyInto(&x.body))
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
	if x.succeeded() {
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

// roundTrip records the response and limits its body. It returns errStatus for a response that is not a
// success.
func (x *exchange) roundTrip(request *http.Request, next option.MiddlewareNext, maxBytes int64) (*http.Response, error) {
	if x.notIdempotent {
		x.sendOnce(request)
	}
	response, err := next(request)
	if err != nil {
		return nil, err
	}
	x.status, x.header = response.StatusCode, response.Header
	if x.succeeded() {
		response.Body = http.MaxBytesReader(nil, response.Body, maxBytes)
		return response, nil
	}
	// The status code is sufficient, so ignore an incomplete body.
	x.body, _ = io.ReadAll(io.LimitReader(response.Body, maxErrorBytes))
	_ = response.Body.Close()
	return nil, errStatus
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
