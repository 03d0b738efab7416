// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
)

// maxRawBytes is the maximum size of the body of a RawResponse. It is decoded as a whole.
const maxRawBytes = 1 << 20

// RawRequest is a request that no other method of Client sends.
type RawRequest struct {
	Method string
	// Path is relative to the base URL, and escaped. With a slash at its beginning, it replaces the path
	// of the base URL.
	Path  string
	Query url.Values
	// KeyHeader is the header that the key is sent in, as it is. Without it, the key is sent as a bearer
	// token.
	KeyHeader string
	// Header replaces headers of the Client, by their canonical names.
	Header      http.Header
	ContentType string
	Body        []byte
}

// RawResponse is a response of any status.
type RawResponse struct {
	StatusCode int
	Header     http.Header
	// HTML is true if the body begins as an HTML page does.
	HTML bool
	// Body is the JSON value of the body, with numbers as json.Number. It is nil for any other body. Its
	// texts are not sanitized, so they must not be shown.
	Body any
	// Code and Message are those of the error in the body. They can be shown.
	Code    string
	Message string
}

// Raw sends a request once, through the transport of the other methods, and returns the response, also
// one with an error. It is for kubectl vsfb check, which examines how a server responds. Its error is an
// *upstream.Error for a request without a complete response; a POST request may have taken effect if
// the error is of kind UnknownOutcome.
func (c *Client) Raw(ctx context.Context, raw RawRequest) (RawResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := c.newRawRequest(ctx, raw)
	if err != nil {
		return RawResponse{}, c.rejected(err)
	}
	x := &exchange{notIdempotent: raw.Method == http.MethodPost}
	content, err := x.sendRaw(c, request)
	if err != nil {
		return RawResponse{}, c.classify(x, err)
	}
	result := RawResponse{StatusCode: x.status, Header: x.header, HTML: x.body.html, Body: decodeRaw(content)}
	if !x.succeeded() {
		// Some servers close the connection after an error without announcing it, so that the next
		// request on it would fail.
		c.http.CloseIdleConnections()
		failure := decodeFailure(newScanner(bytes.NewReader(content), maxErrorTokens), isJSON(x.header))
		result.Code, result.Message = c.sanitize(failure.code, maxCode), c.sanitize(failure.message, maxMessage)
	}
	return result, nil
}

func (c *Client) newRawRequest(ctx context.Context, raw RawRequest) (*http.Request, error) {
	path, err := url.PathUnescape(raw.Path)
	if err != nil {
		return nil, errors.New("the path has an invalid escape")
	}
	request := c.newRequest(ctx, target{method: raw.Method, path: strings.TrimPrefix(path, "/"), query: raw.Query}, raw.Body)
	relative := &url.URL{Path: path, RawPath: raw.Path, RawQuery: raw.Query.Encode()}
	request.URL = c.baseURL.ResolveReference(relative)
	if raw.ContentType != "" {
		request.Header.Set("Content-Type", raw.ContentType)
	}
	if raw.KeyHeader != "" {
		key := strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer ")
		request.Header.Del("Authorization")
		request.Header.Set(raw.KeyHeader, key)
	}
	maps.Copy(request.Header, raw.Header)
	return request, nil
}

// sendRaw sends a request and reads the body of the response.
func (x *exchange) sendRaw(c *Client, request *http.Request) ([]byte, error) {
	if x.notIdempotent {
		x.sendOnce(request)
	}
	request.Header.Set("Accept-Encoding", "gzip")
	response, err := c.http.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), x.clientTrace())))
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	x.header = response.Header
	x.body = body{wire: response.Body, encoding: response.Header.Get("Content-Encoding"), limit: min(maxRawBytes, c.maxBytes)}
	content, err := io.ReadAll(&x.body)
	if err != nil && x.body.lost != nil {
		return nil, x.body.lost
	}
	x.status = response.StatusCode
	return content, nil
}

// decodeRaw returns the value of a body; nil if it is not valid JSON.
func decodeRaw(content []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil
	}
	return value
}

// Sanitize returns a text that can contain parts of a response in a form that can be shown.
func (c *Client) Sanitize(text string) string { return c.sanitize(text, maxMessage) }
