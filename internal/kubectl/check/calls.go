// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

const (
	attempts     = 3
	maxRetry     = 10 * time.Second
	pollDelay    = 100 * time.Millisecond
	maxPollDelay = 2 * time.Second
)

// response is a response of the server.
type response struct{ openai.RawResponse }

func (r response) ok() bool { return r.StatusCode >= 200 && r.StatusCode <= 299 }

// refused reports whether the server refused a request for its content.
func (r response) refused() bool {
	switch r.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return r.StatusCode >= 400 && r.StatusCode <= 499
}

// missing reports whether the response is one for a missing object, which is not a 404 on every server.
func (r response) missing() bool {
	if r.StatusCode == http.StatusNotFound {
		return true
	}
	message := strings.ToLower(r.Message)
	return r.refused() && (strings.Contains(message, "not found") || strings.Contains(message, "no such") || strings.Contains(message, "does not exist"))
}

var codePattern = regexp.MustCompile(`^[a-z][a-zA-Z_]{0,63}$`)

// describe returns the status and the code of the error.
func (r response) describe() string {
	text := fmt.Sprintf("HTTP %d", r.StatusCode)
	switch {
	case r.ok() && r.HTML:
		return text + " with an HTML page"
	case !r.ok() && codePattern.MatchString(r.Code):
		return text + " " + r.Code
	}
	return text
}

// err returns the response as an error.
func (r response) err() error {
	if r.ok() {
		return nil
	}
	return &upstream.Error{Kind: upstream.Rejected, StatusCode: r.StatusCode, Code: r.Code, Message: r.Message}
}

// at returns the value at a path of fields; nil if there is none.
func at(value any, path ...string) any {
	for _, name := range path {
		fields, _ := value.(map[string]any)
		value = fields[name]
	}
	return value
}

func textAt(value any, path ...string) string {
	text, _ := at(value, path...).(string)
	return text
}

// numberAt returns a whole number; -1 if there is none.
func numberAt(value any, path ...string) int64 {
	number, _ := at(value, path...).(json.Number)
	n, err := number.Int64()
	if err != nil {
		return -1
	}
	return n
}

// items returns the data of a list.
func (r response) items() []any {
	items, _ := at(r.Body, "data").([]any)
	return items
}

func (r response) text(path ...string) string  { return textAt(r.Body, path...) }
func (r response) number(path ...string) int64 { return numberAt(r.Body, path...) }

// get sends a GET request.
func (p *probe) get(ctx context.Context, path string, query ...string) (response, error) {
	return p.send(ctx, openai.RawRequest{Method: http.MethodGet, Path: path, Query: queryOf(query)})
}

// queryOf returns a query with names and values.
func queryOf(pairs []string) url.Values {
	query := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	return query
}

func (p *probe) delete(ctx context.Context, path string) (response, error) {
	return p.send(ctx, openai.RawRequest{Method: http.MethodDelete, Path: path})
}

// post sends a POST request with JSON; without a body if value is nil.
func (p *probe) post(ctx context.Context, path string, value any) (response, error) {
	request := openai.RawRequest{Method: http.MethodPost, Path: path}
	if value != nil {
		content, err := json.Marshal(value)
		if err != nil {
			return response{}, fmt.Errorf("encoding the body: %w", err)
		}
		request.Body, request.ContentType = content, "application/json"
	}
	return p.send(ctx, request)
}

// send sends a request, and repeats it while the server is not available. It repeats a POST request
// only if that had no effect. It returns an error if there is no response to judge.
func (p *probe) send(ctx context.Context, request openai.RawRequest) (response, error) {
	for attempt := 1; ; attempt++ {
		raw, err := p.Client.Raw(ctx, request)
		r := response{raw}
		unavailable := err != nil || raw.StatusCode >= 500
		repeatable := request.Method != http.MethodPost || raw.StatusCode == http.StatusTooManyRequests || err != nil && !upstream.IsUnknownOutcome(err) && !upstream.IsRejected(err)
		if !unavailable && raw.StatusCode != http.StatusTooManyRequests {
			return r, nil
		}
		if attempt == attempts || !repeatable || pause(ctx, p.retryAfter(raw)) != nil {
			if err == nil {
				err = r.err()
			}
			return r, err
		}
	}
}

// retryAfter returns the delay that a response requests, up to maxRetry.
func (p *probe) retryAfter(raw openai.RawResponse) time.Duration {
	seconds, err := strconv.Atoi(raw.Header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		return p.RetryDelay
	}
	return min(time.Duration(seconds)*time.Second, maxRetry)
}

// pause waits. It returns an error if the context is canceled.
func pause(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// eventually calls a condition until it holds, for some time. It returns whether it held, and whether
// it held at once.
func (p *probe) eventually(ctx context.Context, within time.Duration, condition func() (bool, error)) (held, atOnce bool, err error) {
	deadline := p.Now().Add(within)
	delay := pollDelay
	for first := true; ; first = false {
		held, err := condition()
		if err != nil || held {
			return held, held && first, err
		}
		if p.Now().Add(delay).After(deadline) {
			return false, false, nil
		}
		if err := pause(ctx, delay); err != nil {
			return false, false, err
		}
		delay = min(2*delay, maxPollDelay)
	}
}

// upload is a file on the server.
type upload struct {
	id   string
	sent response
}

// upload uploads a file. The response can be a refusal, without an ID.
func (p *probe) upload(ctx context.Context, name, content string) (upload, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	// Writes to a buffer never fail.
	_ = form.WriteField("purpose", "assistants")
	part, _ := form.CreateFormFile("file", name)
	_, _ = part.Write([]byte(content))
	_ = form.Close()
	r, err := p.send(ctx, openai.RawRequest{
		Method: http.MethodPost, Path: "files", Body: body.Bytes(), ContentType: form.FormDataContentType(),
	})
	id := r.text("id")
	switch {
	case err != nil, r.ok() && id == "":
		p.created.lost = true
		return upload{sent: r}, cmp.Or(err, errNoObject)
	case !r.ok():
		return upload{sent: r}, nil
	}
	p.created.addFile(id)
	return upload{id: id, sent: r}, p.waitForUpload(ctx, id)
}

// waitForUpload waits until an upload is found, so that the next steps can use it.
func (p *probe) waitForUpload(ctx context.Context, id string) error {
	const question = "upload_visible_after"
	_, atOnce, err := p.eventually(ctx, p.Settle, func() (bool, error) {
		r, err := p.get(ctx, filePath(id))
		return r.ok(), err
	})
	if err == nil && p.seen[question].Status != Observed {
		p.see(question, !atOnce, map[bool]string{true: "found at once", false: "found after a while"}[atOnce])
	}
	return err
}

// createStore creates a vector store and returns its ID.
func (p *probe) createStore(ctx context.Context, suffix string) (string, error) {
	r, err := p.post(ctx, "vector_stores", map[string]any{"name": p.name(suffix)})
	id := r.text("id")
	switch {
	case err != nil, r.ok() && id == "":
		p.created.lost = true
		return "", cmp.Or(err, errNoObject)
	case !r.ok():
		return "", r.err()
	}
	p.created.addStore(id)
	return id, nil
}

// errNoObject is the error of a success that cannot be used.
var errNoObject error = &upstream.Error{Kind: upstream.Rejected, Message: "the response has no ID"}

func storePath(store string, segments ...string) string {
	path := "vector_stores/" + url.PathEscape(store)
	for _, segment := range segments {
		path += "/" + url.PathEscape(segment)
	}
	return path
}

func filePath(id string, segments ...string) string {
	return strings.Join(append([]string{"files/" + url.PathEscape(id)}, segments...), "/")
}
