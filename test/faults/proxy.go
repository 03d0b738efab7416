// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"
)

const (
	// maxBody bounds what a proxy reads of a request or an answer, in bytes.
	maxBody = 16 << 20
	// forwardTimeout bounds a request that goes on although the manager does not wait for it.
	forwardTimeout = 30 * time.Second
)

// proxy stands before one of the two servers. It numbers the requests that classify names, and
// lets faults meet them; the others pass.
type proxy struct {
	journal   *journal
	classify  func(r *http.Request, body []byte) (op, batchID string)
	target    *url.URL
	transport http.RoundTripper
	pass      http.Handler
	managers  *managers
	// received is called before a named request is forwarded.
	received func(ctx context.Context, point string)
	// store is the vector store's path below the target.
	store string
	// downUntil is the end of an outage; the journal's lock guards it.
	downUntil time.Time
}

// exchange is one named request, and what the server answered.
type exchange struct {
	proxy  *proxy
	w      http.ResponseWriter
	r      *http.Request
	body   []byte
	entry  *entry
	answer answer
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func newProxy(p proxy) *proxy {
	p.pass = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(p.target) },
		Transport:     p.transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	return &p
}

// ServeHTTP passes a request on, unless a fault meets it.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.down() {
		(&exchange{w: w}).cut()
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	op, id := p.classify(r, body)
	if op == "" {
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.pass.ServeHTTP(w, r)
		return
	}
	e, f := p.journal.receive(op, id)
	x := &exchange{proxy: p, w: w, r: r, body: body, entry: e}
	if op == "api.watch" && (f.answer == nil || f.streams) {
		p.journal.conclude()
		x.watch(f)
		return
	}
	defer p.journal.conclude()
	p.received(r.Context(), e.Point)
	if f.answer == nil || f.forward {
		if err := x.forward(r.Context()); err != nil {
			x.cut()
			return
		}
	}
	if f.answer == nil {
		x.deliver()
		return
	}
	f.answer(x)
}

// watch hands a watch on, with a fault of streams where there is one.
func (x *exchange) watch(f fault) {
	if f.answer != nil {
		f.answer(x)
		return
	}
	x.r.Body = io.NopCloser(bytes.NewReader(x.body))
	x.proxy.pass.ServeHTTP(x.w, x.r)
}

// down reports whether there is an outage. Requests that come then are not written down.
func (p *proxy) down() bool {
	p.journal.mu.Lock()
	defer p.journal.mu.Unlock()
	return time.Now().Before(p.downUntil)
}

// forward lets the server have the request, even if the manager does not wait for the answer.
func (x *exchange) forward(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forwardTimeout)
	defer cancel()
	response, err := x.open(ctx)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	x.answer = answer{status: response.StatusCode, header: response.Header}
	if x.answer.body, err = io.ReadAll(io.LimitReader(response.Body, maxBody)); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	x.proxy.journal.note(func() {
		x.entry.Status, x.entry.Effect = response.StatusCode, response.StatusCode < http.StatusBadRequest
		x.entry.Idle = x.entry.Op == "api.status" && idle(x.body, x.answer.body)
		if x.entry.Op == "up.create" {
			x.entry.BatchID = batchID(x.answer.body)
		}
	})
	return nil
}

// deliver gives the manager the server's answer.
func (x *exchange) deliver() {
	for name, values := range x.answer.header {
		if name != "Content-Length" && name != "Date" {
			x.w.Header()[name] = values
		}
	}
	x.write(x.answer.status, x.answer.body)
	// A manager that does not wait for an answer which comes soon has lost it by its own fault.
	soon := time.Since(x.entry.At) < requestTimeout/2
	x.proxy.journal.note(func() { x.entry.Delivered = soon || x.r.Context().Err() == nil })
}

// send gives the manager another answer.
func (x *exchange) send(status int, header http.Header, body string) {
	x.w.Header().Set("Content-Type", "application/json")
	for name, values := range header {
		x.w.Header()[name] = values
	}
	x.write(status, []byte(body))
}

func (x *exchange) write(status int, body []byte) {
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body)                      // the manager may be gone
	_ = http.NewResponseController(x.w).Flush() // likewise
}

// vectorStore reads the vector store from the upstream itself.
func (p *proxy) vectorStore(r *http.Request) ([]byte, error) {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, p.target.JoinPath(p.store).String(), nil)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Authorization", r.Header.Get("Authorization"))
	response, err := p.transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("reading the vector store: %w", err)
	}
	defer response.Body.Close()
	return io.ReadAll(io.LimitReader(response.Body, maxBody))
}

// server is an HTTP server on a loopback port of its own.
type server struct {
	url  *url.URL
	http *http.Server
	done chan error
}

func serve(ctx context.Context, handler http.Handler) (*server, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	s := &server{
		url:  &url.URL{Scheme: "http", Host: listener.Addr().String()},
		http: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)},
		done: make(chan error, 1),
	}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

// stop ends the server and its connections.
func (s *server) stop() error {
	err := s.http.Close()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
