// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package proxy provides proxies between a manager and its servers. They record each request, call a
// hook before and after it, and delay or interrupt watches.
//
//   - NewAPIServer, NewEmulator, NewServer: the proxies, which share a Recorder.
//   - Recorder, Hook, Gate: what was requested; a function at each step of a request; a blocked step.
//   - Operation, Request, ClassifyAPIServer, ClassifyCall: what a request does.
//   - Watch, Chunks: late and interrupted watches.
//   - Serve, Server: an HTTP server on a free loopback port that closes at once.
package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"
)

// Watch is what is wrong with the watches of a manager.
type Watch struct {
	// Lag delays each event.
	Lag time.Duration
	// CutAfter ends each watch after that time, unless it is 0.
	CutAfter time.Duration
	// Blocked blocks new watches until it is closed, unless it is nil.
	Blocked <-chan struct{}
}

// APIServer is a proxy between one manager and the API server.
type APIServer struct {
	// Manager is the name of the manager.
	Manager string
	// Watch delays and interrupts its watches.
	Watch Watch
	// StaleList returns the answer to a list of objects, in place of the API server's; the API server
	// answers if it is nil or returns nil.
	StaleList func() []byte

	target   *url.URL
	client   *http.Client
	recorder *Recorder
}

// NewAPIServer returns a proxy for the API server at a URL. The client authenticates.
func NewAPIServer(target string, client *http.Client, recorder *Recorder) (*APIServer, error) {
	parsed, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("parsing the URL of the API server: %w", err)
	}
	return &APIServer{target: parsed, client: client, recorder: recorder}, nil
}

// ServeHTTP forwards a request.
func (p *APIServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the manager is gone
	}
	if r.URL.Query().Has("watch") {
		p.serveWatch(w, r)
		return
	}
	request := ClassifyAPIServer(r, body)
	request.Manager = p.Manager
	if request.Operation == ListObjects && p.StaleList != nil {
		if answer := p.StaleList(); answer != nil {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer) // the manager may be gone
			return
		}
	}
	p.recorder.serve(r.Context(), w, request, func(ctx context.Context) (*http.Response, error) {
		return p.forward(ctx, r, body)
	})
}

func (p *APIServer) forward(ctx context.Context, r *http.Request, body []byte) (*http.Response, error) {
	target := *p.target
	target.Path, target.RawQuery = r.URL.Path, r.URL.RawQuery
	request, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("creating a request: %w", err)
	}
	copyHeader(request.Header, r.Header)
	return p.client.Do(request)
}

// copyHeader leaves out the headers that belong to the connection or the length of the body.
func copyHeader(to, from http.Header) {
	for name, values := range from {
		switch name {
		case "Connection", "Content-Length", "Transfer-Encoding", "Authorization":
		default:
			to[name] = values
		}
	}
}

// serveWatch forwards a watch.
func (p *APIServer) serveWatch(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if p.Watch.Blocked != nil {
		select {
		case <-p.Watch.Blocked:
		case <-ctx.Done():
			return
		}
	}
	if p.Watch.CutAfter > 0 {
		ctx, cancel = context.WithTimeout(ctx, p.Watch.CutAfter)
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
	for chunk := range Chunks(ctx, response.Body, p.Watch.Lag) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
		if err := flusher.Flush(); err != nil {
			return
		}
	}
}

// NewEmulator returns a proxy between the managers and an emulator in this process.
func NewEmulator(emulator http.Handler, recorder *Recorder) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the manager is gone
		}
		recorder.serve(r.Context(), w, ClassifyCall(r, body), func(ctx context.Context) (*http.Response, error) {
			inner := r.Clone(ctx)
			inner.Body = io.NopCloser(bytes.NewReader(body))
			response := httptest.NewRecorder()
			emulator.ServeHTTP(response, inner)
			return response.Result(), nil
		})
	})
}

// NewServer returns a proxy between the managers and a server of the OpenAI API at a URL. It uses each
// connection once, because a server may close a connection without announcing it.
func NewServer(target string, recorder *Recorder) (http.Handler, error) {
	parsed, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("parsing the URL of the server: %w", err)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the manager is gone
		}
		recorder.serve(r.Context(), w, ClassifyCall(r, body), func(ctx context.Context) (*http.Response, error) {
			request := r.Clone(ctx)
			request.RequestURI, request.URL.Scheme, request.URL.Host = "", parsed.Scheme, parsed.Host
			request.Body = io.NopCloser(bytes.NewReader(body))
			return client.Do(request)
		})
	}), nil
}

// Chunks reads a stream as it arrives, and returns each part of it after a lag, to a reader that may
// be slower. The sequence ends with the stream or with ctx.
func Chunks(ctx context.Context, body io.Reader, lag time.Duration) func(yield func([]byte) bool) {
	type chunk struct {
		bytes   []byte
		arrived time.Time
	}
	const capacity, size = 100_000, 64 << 10
	return func(yield func([]byte) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		chunks := make(chan chunk, capacity)
		go func() {
			defer close(chunks)
			for {
				buffer := make([]byte, size)
				n, err := body.Read(buffer)
				if n > 0 {
					select {
					case chunks <- chunk{buffer[:n], time.Now()}:
					case <-ctx.Done():
						return
					}
				}
				if err != nil {
					return
				}
			}
		}()
		for c := range chunks {
			timer := time.NewTimer(time.Until(c.arrived.Add(lag)))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
			if !yield(c.bytes) {
				return
			}
		}
	}
}

// Server is an HTTP server on a loopback port of its own.
type Server struct {
	// URL has no path.
	URL string

	http *http.Server
	done chan error
}

// Serve starts a server. Callers must Close it.
func Serve(handler http.Handler) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	s := &Server{
		URL:  "http://" + listener.Addr().String(),
		http: &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)},
		done: make(chan error, 1),
	}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

// Close closes the server and its connections. It does not wait for the requests.
func (s *Server) Close() error {
	err := s.http.Close()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
