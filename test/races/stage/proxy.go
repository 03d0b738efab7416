// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/test/stream"
)

// Watch is what is wrong with a manager's watches.
type Watch struct {
	// Lag is how late each event arrives.
	Lag time.Duration
	// CutAfter ends each watch after that time; 0 means never.
	CutAfter time.Duration
	// Shut holds new watches up until it is closed; nil does not.
	Shut <-chan struct{}
}

// requests are those that were seen, in the order in which they were answered.
type requests struct {
	mu   sync.Mutex
	list []Request
}

func (r *requests) add(request Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, request)
}

func (r *requests) all() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Request(nil), r.list...)
}

// proxy stands between one manager and the API server.
type proxy struct {
	manager string
	target  *url.URL
	client  *http.Client
	step    Step
	watch   Watch
	// stale is what the first list of objects is answered with; nil has the server answer.
	stale func() []byte
	seen  *requests
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the manager is gone
	}
	if r.URL.Query().Has("watch") {
		p.stream(w, r)
		return
	}
	op, object := classify(r, body)
	request := Request{Op: op, Object: object, Manager: p.manager, Body: body}
	if op == List && p.stale != nil {
		if answer := p.stale(); answer != nil {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer) // the manager may be gone
			return
		}
	}
	// A request that is under way takes effect, even if the one who made it has gone.
	pass(context.WithoutCancel(r.Context()), w, request, p.step, p.seen, func(ctx context.Context) (*http.Response, error) {
		return p.forward(ctx, r, body)
	})
}

// pass takes a request through its steps.
func pass(ctx context.Context, w http.ResponseWriter, request Request, step Step, seen *requests, forward func(ctx context.Context) (*http.Response, error)) {
	if status := step(request); status != 0 {
		request.Status = status
		seen.add(request)
		refuse(w, status)
		return
	}
	response, err := forward(ctx)
	if err != nil {
		refuse(w, http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		refuse(w, http.StatusBadGateway)
		return
	}
	request.Status = response.StatusCode
	seen.add(request)
	step(request)
	copyHeader(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(answer) // the manager may be gone
}

// refuse answers as the API server does.
func refuse(w http.ResponseWriter, status int) {
	reasons := map[int]metav1.StatusReason{http.StatusConflict: metav1.StatusReasonConflict}
	body, err := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Reason: reasons[status], Code: int32(status), Message: "refused by the test",
	})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the manager may be gone
}

func (p *proxy) forward(ctx context.Context, r *http.Request, body []byte) (*http.Response, error) {
	target := *p.target
	target.Path, target.RawQuery = r.URL.Path, r.URL.RawQuery
	request, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	copyHeader(request.Header, r.Header)
	return p.client.Do(request)
}

// copyHeader leaves out what is about the connection and the length of the body.
func copyHeader(to, from http.Header) {
	for name, values := range from {
		switch name {
		case "Connection", "Content-Length", "Transfer-Encoding", "Authorization":
		default:
			to[name] = values
		}
	}
}

// stream hands a watch on, with all that is wrong with it.
func (p *proxy) stream(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if p.watch.Shut != nil {
		select {
		case <-p.watch.Shut:
		case <-ctx.Done():
			return
		}
	}
	if p.watch.CutAfter > 0 {
		ctx, cancel = context.WithTimeout(ctx, p.watch.CutAfter)
		defer cancel()
	}
	response, err := p.forward(ctx, r, nil)
	if err != nil {
		return
	}
	defer response.Body.Close()
	copyHeader(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	flusher := http.NewResponseController(w)
	if err := flusher.Flush(); err != nil {
		return
	}
	for piece := range stream.Pieces(ctx, response.Body) {
		if !stream.Pause(ctx, time.Until(piece.At.Add(p.watch.Lag))) {
			return
		}
		if _, err := w.Write(piece.Bytes); err != nil {
			return
		}
		if err := flusher.Flush(); err != nil {
			return
		}
	}
}

// calls stands between the managers and the emulator.
type calls struct {
	emulator http.Handler
	step     Step
	seen     *requests
}

func (c *calls) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the manager is gone
	}
	op, object := classifyCall(r, body)
	request := Request{Op: op, Object: object, Body: body}
	pass(context.WithoutCancel(r.Context()), w, request, c.step, c.seen, func(ctx context.Context) (*http.Response, error) {
		inner := r.Clone(ctx)
		inner.Body = io.NopCloser(bytes.NewReader(body))
		recorder := httptest.NewRecorder()
		c.emulator.ServeHTTP(recorder, inner)
		return recorder.Result(), nil
	})
}
