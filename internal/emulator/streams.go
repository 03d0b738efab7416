// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

// The answers below are sent bit by bit. A client that goes away ends each of them.

func (s *Server) truncate(w http.ResponseWriter, x *exchange, a answer, f *Fault) {
	s.conclude(x, a.status, string(f.Action))
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	s.writeHeader(w, x, a)
	_, _ = w.Write(a.body[:len(a.body)/2])
	flush(w)
	panic(http.ErrAbortHandler)
}

func (s *Server) drip(w http.ResponseWriter, x *exchange, a answer, f *Fault) {
	interval := f.Interval
	if interval <= 0 {
		interval = defaultDrip
	}
	s.conclude(x, a.status, string(f.Action))
	s.writeHeader(w, x, a)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for i := range a.body {
		select {
		case <-ticker.C:
		case <-x.request.Context().Done():
			return
		}
		if _, err := w.Write(a.body[i : i+1]); err != nil {
			return
		}
		flush(w)
	}
}

func (s *Server) endless(w http.ResponseWriter, x *exchange, f *Fault) {
	a := answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}}
	s.conclude(x, a.status, string(f.Action))
	s.writeHeader(w, x, a)
	chunk := bytes.Repeat([]byte("a"), 32<<10)
	_, err := w.Write([]byte(`{"id":"`))
	for sent := 0; err == nil && sent < endlessAtMost && x.request.Context().Err() == nil; sent += len(chunk) {
		_, err = w.Write(chunk)
	}
	panic(http.ErrAbortHandler)
}

func flush(w http.ResponseWriter) {
	// Where a writer can't flush, the bytes just come later.
	_ = http.NewResponseController(w).Flush()
}
