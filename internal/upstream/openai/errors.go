// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// kindOf returns the kind of an error for a status code other than 2xx.
func kindOf(status int, notIdempotent bool) upstream.ErrorKind {
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
// than 2xx, or with an incomplete response. It does not wrap err, whose causes contain the request,
// and so the key.
func (c *Client) classify(x *exchange, err error) *upstream.Error {
	if x.status != 0 && !x.succeeded() {
		return c.statusError(x)
	}
	classified := c.newError(x, ambiguousKind(x.notIdempotent && x.sent.Load()), c.transportMessage(x, err))
	classified.Err = &cause{text: c.sanitize(err.Error(), maxMessage), sentinel: sentinelOf(err)}
	return classified
}

// statusError returns the error for a response with a status code other than 2xx.
func (c *Client) statusError(x *exchange) *upstream.Error {
	code, message := c.responseMessage(x)
	classified := c.newError(x, kindOf(x.status, x.notIdempotent), message)
	classified.Code = c.sanitize(code, maxCode)
	classified.RetryAfter = retryAfter(x.header)
	return classified
}

// invalidResponse returns the error for a response with a status code of 2xx that cannot be decoded.
func (c *Client) invalidResponse(x *exchange, err error) *upstream.Error {
	message := fmt.Sprintf("%s returned an invalid response: %v", c.host, err)
	if isHTML(x.body) {
		message = c.host + " returned an HTML page; check that OPENAI_BASE_URL is the base URL of an API"
	}
	return c.newError(x, ambiguousKind(x.notIdempotent), message)
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
	var tooLong *http.MaxBytesError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &tooLong):
		return fmt.Sprintf("the response of %s is longer than %d bytes", c.host, tooLong.Limit)
	case errors.As(err, &untrusted):
		return fmt.Sprintf("the TLS certificate of %s (see OPENAI_BASE_URL) is not trusted: %v; "+
			"add the certificate of a private CA to the Secret as ca.crt", c.host, untrusted.Err)
	case errors.Is(err, context.Canceled):
		return "the request was canceled"
	case !x.sent.Load():
		return fmt.Sprintf("cannot connect to %s (see OPENAI_BASE_URL): %v", c.host, withoutURL(err))
	case errors.Is(err, context.DeadlineExceeded):
		return c.host + " did not respond in time"
	}
	return fmt.Sprintf("the connection to %s was lost: %v", c.host, withoutURL(err))
}

func withoutURL(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

// responseMessage returns the error code and the message in a response with a status code other than
// 2xx. Compatible servers, and proxies before them, have formats of their own.
func (c *Client) responseMessage(x *exchange) (code, message string) {
	status := strings.TrimSpace(fmt.Sprintf("%s returned %d %s", c.host, x.status, http.StatusText(x.status)))
	if x.status >= 300 && x.status <= 399 {
		return "", status + ", a redirect" + redirectTarget(x.header) +
			" that is not followed; set OPENAI_BASE_URL to the base URL of the API"
	}
	if isHTML(x.body) {
		return "", status + " with an HTML page"
	}
	code, message = jsonError(x.body)
	if message == "" && strings.HasPrefix(x.header.Get("Content-Type"), "text/plain") {
		message = string(x.body)
	}
	if strings.TrimSpace(message) == "" {
		message = status
	}
	return code, message
}

// jsonError parses the error object of OpenAI, {"error": {"message", "code", "type"}}, and the common
// forms {"error": "text"}, {"message": "text"} and {"detail": "text"}.
func jsonError(body []byte) (code, message string) {
	var outer struct {
		Error           json.RawMessage
		Message, Detail any
	}
	if json.Unmarshal(body, &outer) != nil {
		return "", ""
	}
	var inner struct{ Message, Code, Type any }
	if json.Unmarshal(outer.Error, &inner) == nil && firstText(inner.Message, inner.Code, inner.Type) != "" {
		return firstText(inner.Code, inner.Type), firstText(inner.Message)
	}
	var text any
	_ = json.Unmarshal(outer.Error, &text) // text stays nil if the error is absent or malformed
	return "", firstText(text, outer.Message, outer.Detail)
}

// firstText returns the first value that is a string or, as the code of some servers, a number.
func firstText(values ...any) string {
	for _, value := range values {
		switch value := value.(type) {
		case string:
			if value != "" {
				return value
			}
		case float64:
			return fmt.Sprint(value)
		}
	}
	return ""
}

// redirectTarget returns the origin that a redirect leads to. It omits the path and the query, which
// can contain secrets.
func redirectTarget(header http.Header) string {
	target, err := url.Parse(header.Get("Location"))
	if err != nil || target.Host == "" {
		return ""
	}
	return " to " + target.Scheme + "://" + target.Host
}

func isHTML(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) }

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
