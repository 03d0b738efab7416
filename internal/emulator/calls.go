// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"maps"
	"slices"
	"time"
)

// Call is a request that the API received.
type Call struct {
	Time          time.Time `json:"time"`
	Method        string    `json:"method"`
	Path          string    `json:"path"`
	Query         string    `json:"query,omitempty"`
	Operation     Operation `json:"operation"`
	VectorStoreID string    `json:"vector_store_id,omitempty"`
	// BatchID is the requested batch, or the one that the request created.
	BatchID   string `json:"batch_id,omitempty"`
	FileID    string `json:"file_id,omitempty"`
	RequestID string `json:"request_id"`
	// Key is a fingerprint of the API key. It distinguishes keys and reveals none.
	Key string `json:"key,omitempty"`
	// Status is the HTTP status of the response. It is 0 until the response is sent, and remains 0
	// if a fault closed the connection instead.
	Status int `json:"status"`
	// Fault is the action of the fault that matched the call; empty if none did.
	Fault string `json:"fault,omitempty"`
}

// recordCall keeps the newest calls. It drops MaxCalls old ones at a time, which amortizes the cost
// of copying.
func (s *Server) recordCall(c *Call) {
	if len(s.calls) >= 2*s.options.MaxCalls {
		s.calls = append(make([]*Call, 0, 2*s.options.MaxCalls), s.calls[s.options.MaxCalls:]...)
	}
	s.calls = append(s.calls, c)
}

// recordResponse completes the record of a call, counts it and logs it.
func (s *Server) recordResponse(x *exchange, status int, fault string) {
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

// Calls returns the newest Options.MaxCalls calls, oldest first. If operations are given, it
// returns only their calls.
func (s *Server) Calls(operations ...Operation) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, 0, len(s.calls))
	for _, c := range s.calls[max(0, len(s.calls)-s.options.MaxCalls):] {
		if len(operations) == 0 || slices.Contains(operations, c.Operation) || slices.Contains(operations, AnyOperation) {
			calls = append(calls, *c)
		}
	}
	return calls
}

// CallCounts returns the number of calls since the start of the Server, by operation and HTTP
// status. Unlike Calls it has no limit, and its cost does not depend on the number of calls.
func (s *Server) CallCounts() map[Operation]map[int]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make(map[Operation]map[int]int, len(s.counts))
	for operation, byStatus := range s.counts {
		counts[operation] = maps.Clone(byStatus)
	}
	return counts
}

// ClearCalls deletes the recorded calls. Batches and call counts remain.
func (s *Server) ClearCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}
