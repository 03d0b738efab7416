// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

// The faults below send the response in parts. Each of them stops if the client disconnects.

func (s *Server) truncate(w http.ResponseWriter, x *exchange, res response, f *Fault) {
	w.Header().Set("Content-Length", strconv.Itoa(len(res.body)))
	s.writeHeader(w, x, res, string(f.Action))
	_, _ = w.Write(res.body[:len(res.body)/2])
	flush(w)
	panic(http.ErrAbortHandler)
}

func (s *Server) drip(w http.ResponseWriter, x *exchange, res response, f *Fault) {
	interval := f.Interval
	if interval <= 0 {
		interval = defaultDripInterval
	}
	s.writeHeader(w, x, res, string(f.Action))
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for i := range res.body {
		select {
		case <-ticker.C:
		case <-x.request.Context().Done():
			return
		}
		if _, err := w.Write(res.body[i : i+1]); err != nil {
			return
		}
		flush(w)
	}
}

func (s *Server) endless(w http.ResponseWriter, x *exchange, f *Fault) {
	res := response{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}}
	s.writeHeader(w, x, res, string(f.Action))
	chunk := bytes.Repeat([]byte("a"), 32<<10)
	_, err := w.Write([]byte(`{"id":"`))
	for sent := 0; err == nil && sent < maxEndlessBytes && x.request.Context().Err() == nil; sent += len(chunk) {
		_, err = w.Write(chunk)
	}
	panic(http.ErrAbortHandler)
}

func flush(w http.ResponseWriter) {
	// A writer that cannot flush sends the bytes later.
	_ = http.NewResponseController(w).Flush()
}
