// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	// maxBody bounds what a proxy reads of a request or a response, in bytes.
	maxBody = 16 << 20
	// forwardTimeout bounds a forwarded request that the manager no longer waits for.
	forwardTimeout = 30 * time.Second
)

// injector is a proxy for one of the two servers. It numbers the requests that classify recognizes,
// injects faults into them, and forwards all others.
type injector struct {
	history   *history
	classify  func(r *http.Request, body []byte) (op, batchID string)
	target    *url.URL
	transport http.RoundTripper
	forwarder http.Handler
	managers  *managers
	// beforeForward is called before a recognized request is forwarded.
	beforeForward func(ctx context.Context, failpoint string)
	// store is the vector store's path below the target.
	store string
	// downUntil is the end of an outage; the history's lock guards it.
	downUntil time.Time
}

// exchange is one recognized request with the server's response.
type exchange struct {
	injector *injector
	w        http.ResponseWriter
	r        *http.Request
	body     []byte
	entry    *entry
	response response
}

type response struct {
	status int
	header http.Header
	body   []byte
}

func newInjector(p injector) *injector {
	p.forwarder = &httputil.ReverseProxy{
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

// ServeHTTP forwards a request, unless a fault is injected.
func (p *injector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
		p.forwarder.ServeHTTP(w, r)
		return
	}
	e, f := p.history.receive(op, id)
	x := &exchange{injector: p, w: w, r: r, body: body, entry: e}
	if op == "kube.watch-objects" && (f.respond == nil || f.streams) {
		p.history.finish()
		x.watch(f)
		return
	}
	defer p.history.finish()
	p.beforeForward(r.Context(), e.Failpoint)
	if f.respond == nil || f.forward {
		if err := x.forward(r.Context()); err != nil {
			x.cut()
			return
		}
	}
	if f.respond == nil {
		x.deliver()
		return
	}
	f.respond(x)
}

// watch forwards a watch, with a fault of streams if there is one.
func (x *exchange) watch(f fault) {
	if f.respond != nil {
		f.respond(x)
		return
	}
	x.r.Body = io.NopCloser(bytes.NewReader(x.body))
	x.injector.forwarder.ServeHTTP(x.w, x.r)
}

// down reports whether there is an outage. Requests during an outage are not recorded.
func (p *injector) down() bool {
	p.history.mu.Lock()
	defer p.history.mu.Unlock()
	return time.Now().Before(p.downUntil)
}

// forward sends the request to the server, even if the manager no longer waits for the response.
func (x *exchange) forward(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forwardTimeout)
	defer cancel()
	resp, err := x.open(ctx)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	x.response = response{status: resp.StatusCode, header: resp.Header}
	if x.response.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody)); err != nil {
		return fmt.Errorf("reading the response: %w", err)
	}
	x.injector.history.update(func() {
		x.entry.Status, x.entry.Effect = resp.StatusCode, resp.StatusCode < http.StatusBadRequest
		x.entry.Unchanged = x.entry.Op == "kube.update-status" && unchanged(x.body, x.response.body)
		x.entry.Stalled = x.entry.Op == "kube.update-status" && x.entry.Effect && stalls(x.response.body)
		if x.entry.Op == "openai.create-batch" {
			x.entry.BatchID = responseBatchID(x.response.body)
		}
	})
	return nil
}

// deliver sends the server's response to the manager.
func (x *exchange) deliver() {
	for name, values := range x.response.header {
		if name != "Content-Length" && name != "Date" {
			x.w.Header()[name] = values
		}
	}
	x.write(x.response.status, x.response.body)
	// A response that arrives early counts as delivered: a manager that does not wait for it is at fault.
	soon := time.Since(x.entry.At) < requestTimeout/2
	x.injector.history.update(func() { x.entry.Delivered = soon || x.r.Context().Err() == nil })
}

// send sends another response to the manager.
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

// vectorStore reads the vector store from the emulator.
func (p *injector) vectorStore(r *http.Request) ([]byte, error) {
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	_, body, err := framework.Fetch(r.Context(), http.DefaultClient, p.target.JoinPath(p.store).String(), key)
	return []byte(body), err
}
