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

// kindOf says what follows from an answer that is not a success.
func kindOf(status int, creates bool) upstream.ErrorKind {
	ambiguous := upstream.Transient
	if creates {
		ambiguous = upstream.UnknownOutcome
	}
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

// failure makes an error of a call that got no answer, none that is a success, or none that
// could be read to its end. It does not wrap err, since the errors below hold the request, and
// so the key.
func (c *Client) failure(x *exchange, err error) *upstream.Error {
	if x.status != 0 && !x.succeeded() {
		return c.notOK(x)
	}
	failure := c.errorOf(x, upstream.Transient, c.explain(x, err))
	if x.creates && x.sent.Load() {
		failure.Kind = upstream.UnknownOutcome
	}
	failure.Err = &cause{text: c.text(err.Error(), maxMessage), sentinel: sentinelOf(err)}
	return failure
}

// notOK makes an error of an answer that is not a success.
func (c *Client) notOK(x *exchange) *upstream.Error {
	code, message := describe(x)
	failure := c.errorOf(x, kindOf(x.status, x.creates), message)
	failure.Code = c.text(code, maxCode)
	failure.RetryAfter = retryAfter(x.header)
	return failure
}

// badAnswer makes an error of a success that says nothing usable.
func (c *Client) badAnswer(x *exchange, err error) *upstream.Error {
	kind := upstream.Transient
	if x.creates {
		kind = upstream.UnknownOutcome
	}
	if isHTML(x.body) {
		return c.errorOf(x, kind, "the upstream answered with an HTML page; OPENAI_BASE_URL may not be the root of an API")
	}
	return c.errorOf(x, kind, "the upstream's answer cannot be used: "+err.Error())
}

// refusal makes an error of a call that is not made.
func (c *Client) refusal(err error) *upstream.Error {
	return &upstream.Error{Kind: upstream.Rejected, Message: c.text(err.Error(), maxMessage)}
}

func (c *Client) errorOf(x *exchange, kind upstream.ErrorKind, message string) *upstream.Error {
	return &upstream.Error{
		Kind:       kind,
		StatusCode: x.status,
		Message:    c.text(message, maxMessage),
		RequestID:  c.requestID(x),
	}
}

// requestID is the upstream's name for the request; empty where it gave none.
func (c *Client) requestID(x *exchange) string {
	return c.text(x.header.Get("X-Request-Id"), maxCode)
}

// explain says why there is no whole answer.
func (c *Client) explain(x *exchange, err error) string {
	var tooLong *http.MaxBytesError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &tooLong):
		return fmt.Sprintf("the upstream's answer is longer than %d bytes", tooLong.Limit)
	case errors.As(err, &untrusted):
		return fmt.Sprintf("the TLS certificate of %s, which OPENAI_BASE_URL names, is not trusted: %v; "+
			"the certificate of a private authority belongs into the Secret's ca.crt", c.host, untrusted.Err)
	case errors.Is(err, context.Canceled):
		return "the call was interrupted"
	case !x.sent.Load():
		return fmt.Sprintf("cannot connect to %s, which OPENAI_BASE_URL names: %v", c.host, withoutURL(err))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%s did not answer in time", c.host)
	}
	return fmt.Sprintf("the connection to %s broke: %v", c.host, withoutURL(err))
}

func withoutURL(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

// describe reads what an answer says about its error. Compatible servers and the proxies before
// them have their own forms for that.
func describe(x *exchange) (code, message string) {
	status := strings.TrimSpace(fmt.Sprintf("%d %s", x.status, http.StatusText(x.status)))
	if x.status >= 300 && x.status <= 399 {
		return "", "the upstream answered " + status + redirectTarget(x.header) +
			", and redirects are not followed there; OPENAI_BASE_URL must name the API itself"
	}
	if isHTML(x.body) {
		return "", "the upstream answered " + status + " with an HTML page"
	}
	code, message = jsonError(x.body)
	if message == "" && strings.HasPrefix(x.header.Get("Content-Type"), "text/plain") {
		message = string(x.body)
	}
	if strings.TrimSpace(message) == "" {
		message = "the upstream answered " + status
	}
	return code, message
}

// jsonError understands OpenAI's {"error": {"message", "code", "type"}} and the common
// {"error": "text"}, {"message": "text"} and {"detail": "text"}.
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
	_ = json.Unmarshal(outer.Error, &text) // an absent or malformed error is no text
	return "", firstText(text, outer.Message, outer.Detail)
}

// firstText gives the first value that is a text or, as some servers have for a code, a number.
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

// redirectTarget leaves out path and query, which may hold secrets.
func redirectTarget(header http.Header) string {
	target, err := url.Parse(header.Get("Location"))
	if err != nil || target.Host == "" {
		return ""
	}
	return " to " + target.Scheme + "://" + target.Host
}

func isHTML(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) }

// cause is what is kept of an error below: its text without secrets, and whether it is an
// expired or a canceled context.
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
