// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// kindOf returns the kind of an error for a status code other than 2xx, and the error in the body.
func kindOf(status int, failure apiError, notIdempotent bool) upstream.ErrorKind {
	ambiguous := ambiguousKind(notIdempotent)
	switch {
	case status == http.StatusTooManyRequests:
		return upstream.RateLimited
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return upstream.Unauthorized
	case status == http.StatusNotFound:
		return upstream.NotFound
	case status == http.StatusConflict:
		return upstream.Transient
	case status == http.StatusRequestTimeout:
		return ambiguous
	case status == http.StatusBadRequest && failure.isNotFound():
		return upstream.NotFound
	case status >= 300 && status <= 499:
		return upstream.Rejected
	}
	return ambiguous
}

// ambiguousKind returns the kind of an error for a request that may have taken effect.
func ambiguousKind(notIdempotent bool) upstream.ErrorKind {
	if notIdempotent {
		return upstream.UnknownOutcome
	}
	return upstream.Transient
}

// classify returns the error for a request that failed: without a response, with a status code other
// than 2xx, or with an incomplete or invalid response. It does not wrap err, whose causes contain the
// request, and so the key.
func (c *Client) classify(x *exchange, err error) *upstream.Error {
	if x.status != 0 && !x.succeeded() {
		return c.statusError(x)
	}
	if x.invalid != nil {
		return c.invalidResponse(x)
	}
	kind := ambiguousKind(x.notIdempotent && x.sent.Load())
	if errors.As(err, new(*refusedError)) {
		kind = upstream.NotAllowed
	}
	classified := c.newError(x, kind, c.transportMessage(x, err))
	classified.Err = &cause{text: c.sanitize(describe(err), maxMessage), sentinel: sentinelOf(err)}
	return classified
}

// statusError returns the error for a response with a status code other than 2xx.
func (c *Client) statusError(x *exchange) *upstream.Error {
	classified := c.newError(x, kindOf(x.status, x.failure, x.notIdempotent), c.statusMessage(x))
	classified.Code = c.sanitize(x.failure.code, maxCode)
	classified.RetryAfter = retryAfter(x.header)
	return classified
}

// invalidResponse returns the error for a response with a status code of 2xx that cannot be decoded.
func (c *Client) invalidResponse(x *exchange) *upstream.Error {
	message := fmt.Sprintf("%s returned an invalid response: %v", c.host, x.invalid)
	if x.body.html {
		message = c.host + " returned an HTML page; check that OPENAI_BASE_URL is the base URL of an API"
	}
	classified := c.newError(x, ambiguousKind(x.notIdempotent), message)
	classified.OtherObject = errors.As(x.invalid, new(otherObjectError))
	return classified
}

// rejected returns the error for an invalid call, for which no request is sent.
func (c *Client) rejected(err error) *upstream.Error {
	return &upstream.Error{Kind: upstream.Rejected, Message: c.sanitize(err.Error(), maxMessage)}
}

func (c *Client) newError(x *exchange, kind upstream.ErrorKind, message string) *upstream.Error {
	return &upstream.Error{
		Kind:       kind,
		Host:       c.host,
		StatusCode: x.status,
		Message:    c.sanitize(message, maxMessage),
		RequestID:  c.requestID(x),
	}
}

// requestID returns the request ID in the response, or an empty string if there is none.
func (c *Client) requestID(x *exchange) string {
	return c.sanitize(x.header.Get("X-Request-Id"), maxCode)
}

// transportMessage returns the message for a request without a complete response.
func (c *Client) transportMessage(x *exchange, err error) string {
	var refused *refusedError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &refused):
		return fmt.Sprintf("%s (see OPENAI_BASE_URL) has the address %v", c.host, refused)
	case errors.As(err, &untrusted):
		return fmt.Sprintf("the TLS certificate of %s (see OPENAI_BASE_URL) is not trusted: %v; "+
			"add the certificate of a private CA to the Secret as ca.crt", c.host, untrusted.Err)
	case errors.Is(err, context.Canceled):
		return "the request was canceled"
	case !x.sent.Load():
		return fmt.Sprintf("cannot connect to %s (see OPENAI_BASE_URL): %s", c.host, describe(err))
	case errors.Is(err, context.DeadlineExceeded):
		return c.host + " did not respond in time"
	}
	return fmt.Sprintf("the connection to %s was lost: %s", c.host, describe(err))
}

// describe returns the text of an error of the transport, without the URL. It omits everything from the
// first quotation mark on: net/http quotes what it does not understand, which can be the answer of
// a service that is no API.
func describe(err error) string {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	text, _, _ := strings.Cut(err.Error(), `"`)
	return strings.TrimRight(text, " :=")
}

// statusMessage returns the message for a response with a status code other than 2xx.
func (c *Client) statusMessage(x *exchange) string {
	status := strings.TrimSpace(fmt.Sprintf("%s returned %d %s", c.host, x.status, http.StatusText(x.status)))
	switch {
	case x.status >= 300 && x.status <= 399:
		return status + ", a redirect" + redirectTarget(x.header) +
			" that is not followed; set OPENAI_BASE_URL to the base URL of the API"
	case x.status == http.StatusNotFound && (c.hasNoPath() || x.failure.message == ""):
		return c.nothingFound(x, status)
	case x.body.html:
		return status + " with an HTML page"
	case c.sanitize(x.failure.message, maxMessage) == "":
		return status
	}
	return x.failure.message
}

// hasNoPath reports whether the base URL is only a host. Most APIs are below a path.
func (c *Client) hasNoPath() bool { return strings.Trim(c.baseURL.Path, "/") == "" }

// nothingFound returns the message for a 404 that can be due to the base URL. It shows only the part of the
// path that the client appends: the base URL can contain secrets.
func (c *Client) nothingFound(x *exchange, status string) string {
	message := fmt.Sprintf("%s for {OPENAI_BASE_URL}/%s", status, x.path)
	if x.failure.message != "" {
		message += ": " + x.failure.message
	}
	if c.hasNoPath() {
		return message + "; OPENAI_BASE_URL has no path, and most APIs are below one such as /v1"
	}
	return message + "; check that OPENAI_BASE_URL includes the path of the API, such as /v1"
}

// redirectTarget returns the origin that a redirect leads to. It omits the path and the query, which
// can contain secrets.
func redirectTarget(header http.Header) string {
	target, err := url.Parse(header.Get("Location"))
	if err != nil || target.Host == "" {
		return ""
	}
	return " to " + strings.TrimPrefix(target.Scheme+"://", "://") + target.Host
}

// cause is the cause of an error: its text without secrets, and the context error that it wraps, if
// any.
type cause struct {
	text     string
	sentinel error
}

func (c *cause) Error() string { return c.text }

func (c *cause) Unwrap() error { return c.sentinel }

func sentinelOf(err error) error {
	for _, sentinel := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, sentinel) {
			return sentinel
		}
	}
	return nil
}
