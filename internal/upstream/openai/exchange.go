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

// maxErrorBytes bounds what is read of the body of an answer that is an error.
const maxErrorBytes = 64 << 10

var (
	errNotOK       = errors.New("the answer is not a success")
	errAlreadySent = errors.New("the request was sent before, and is not sent again")
)

// exchange is one request and what became of it: whether it may have been sent, which decides
// about the outcome, and the whole of the answer, of which the SDK would keep only some.
type exchange struct {
	operation upstream.Operation
	// creates says that the request must not take effect twice.
	creates bool

	// The transport's goroutines set these.
	sent    atomic.Bool
	written atomic.Bool
	http2   atomic.Bool

	status int // 0 without an answer
	header http.Header
	body   []byte
}

type sender func(ctx context.Context, options ...option.RequestOption) error

// do makes one call. With a nil error x holds an answer with a status of 2xx; any other error
// is an *upstream.Error.
func (c *Client) do(ctx context.Context, x *exchange, send sender) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	ctx, done := c.observer(ctx, x.operation)
	err := send(httptrace.WithClientTrace(ctx, x.trace()),
		option.WithMiddleware(func(request *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			return x.roundTrip(request, next, c.maxBytes)
		}),
		// The bytes, since the SDK would turn down a JSON body that is labelled as something
		// else, and overlook one that is followed by garbage.
		option.WithResponseBodyInto(&x.body))
	if err == nil {
		done(upstream.Outcome{StatusCode: x.status, RequestID: c.requestID(x)})
		return nil
	}
	failure := c.failure(x, err)
	done(outcome(x, failure, err))
	return failure
}

// outcome is what an observer is told of a request that failed. Where an answer began well and
// then broke off, its status says nothing.
func outcome(x *exchange, failure *upstream.Error, err error) upstream.Outcome {
	status := x.status
	if x.succeeded() {
		status = 0
	}
	return upstream.Outcome{
		StatusCode: status,
		RequestID:  failure.RequestID,
		Canceled:   status == 0 && errors.Is(err, context.Canceled),
		Error:      failure.Message,
	}
}

// unobserved observes nothing.
func unobserved(ctx context.Context, _ upstream.Operation) (context.Context, func(upstream.Outcome)) {
	return ctx, func(upstream.Outcome) {}
}

// trace sees whether a request may have been sent, which errors do not say reliably. Having a
// connection counts as sent: writing goes on in the background, even when the call was given up
// meanwhile.
func (x *exchange) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			connection, secure := info.Conn.(*tls.Conn)
			x.http2.Store(secure && connection.ConnectionState().NegotiatedProtocol == "h2")
			x.sent.Store(true)
		},
		WroteHeaders: func() { x.written.Store(true) },
	}
}

// roundTrip records the answer, bounds its body, and makes an error of all but a success.
func (x *exchange) roundTrip(request *http.Request, next option.MiddlewareNext, maxBytes int64) (*http.Response, error) {
	if x.creates {
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
	// The status says enough, so a body that breaks off or is too long does no harm.
	x.body, _ = io.ReadAll(io.LimitReader(response.Body, maxErrorBytes))
	_ = response.Body.Close()
	return nil, errNotOK
}

// sendOnce keeps the transport from repeating a request over HTTP/2 once it was written, as it
// does after some resets of a stream. Those promise that nothing was processed, but gateways
// send them for answers that they don't like, too. Over HTTP/1 the transport repeats a POST only
// if no byte of it was written.
func (x *exchange) sendOnce(request *http.Request) {
	again := request.GetBody
	if again == nil {
		return
	}
	request.GetBody = func() (io.ReadCloser, error) {
		if x.http2.Load() && x.written.Load() {
			return nil, errAlreadySent
		}
		return again()
	}
}

func (x *exchange) succeeded() bool { return x.status >= 200 && x.status <= 299 }
