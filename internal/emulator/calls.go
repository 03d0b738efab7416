// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"maps"
	"time"
)

// Call is one request that the API received.
type Call struct {
	Time          time.Time `json:"time"`
	Method        string    `json:"method"`
	Path          string    `json:"path"`
	Query         string    `json:"query,omitempty"`
	Operation     Operation `json:"operation"`
	VectorStoreID string    `json:"vector_store_id,omitempty"`
	// BatchID is the batch asked for, or the one that a create made.
	BatchID   string `json:"batch_id,omitempty"`
	FileID    string `json:"file_id,omitempty"`
	RequestID string `json:"request_id"`
	// Key is a fingerprint of the API key, which tells keys apart and gives none away.
	Key string `json:"key,omitempty"`
	// Status is the HTTP status answered: 0 while the call is being answered, and for good
	// where a fault broke the connection instead.
	Status int `json:"status"`
	// Fault is the action of the fault that met the call; empty where none did.
	Fault string `json:"fault,omitempty"`
}

// remember keeps the newest calls. It drops old ones by the half, so that it costs little.
func (s *Server) remember(c *Call) {
	if len(s.calls) >= 2*s.options.MaxCalls {
		s.calls = append(make([]*Call, 0, 2*s.options.MaxCalls), s.calls[s.options.MaxCalls:]...)
	}
	s.calls = append(s.calls, c)
}

func (s *Server) conclude(x *exchange, status int, fault string) {
	s.mu.Lock()
	x.call.Status, x.call.Fault = status, fault
	c := *x.call
	if s.counts[c.Operation] == nil {
		s.counts[c.Operation] = map[int]int{}
	}
	s.counts[c.Operation][status]++
	s.mu.Unlock()
	s.log(c)
}

// Calls are the requests that the API received, oldest first; at most Options.MaxCalls of the
// newest. With operations, only those.
func (s *Server) Calls(operations ...Operation) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, 0, len(s.calls))
	for _, c := range s.calls[max(0, len(s.calls)-s.options.MaxCalls):] {
		if wanted(c.Operation, operations) {
			calls = append(calls, *c)
		}
	}
	return calls
}

func wanted(o Operation, operations []Operation) bool {
	for _, w := range operations {
		if w == o || w == AnyOperation {
			return true
		}
	}
	return len(operations) == 0
}

// CallCounts says how many requests were answered since the Server was made, by operation and
// HTTP status. Unlike Calls it forgets none, and costs the same however many there were.
func (s *Server) CallCounts() map[Operation]map[int]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make(map[Operation]map[int]int, len(s.counts))
	for operation, byStatus := range s.counts {
		counts[operation] = maps.Clone(byStatus)
	}
	return counts
}

// ClearCalls forgets the requests received so far. Batches and their counts stay.
func (s *Server) ClearCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}
