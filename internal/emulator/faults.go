// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// Action is what a Fault does to a call.
type Action string

// The actions.
const (
	// Answer sends Fault.Status, Header and Body. Where Status is 0 the call is answered as
	// ever, with Header added to it.
	Answer Action = "answer"
	// Drop closes the connection without an answer.
	Drop Action = "drop"
	// Truncate announces the whole answer and breaks off in the middle of it.
	Truncate Action = "truncate"
	// WrongObject answers with the vector store instead of what was asked for.
	WrongObject Action = "wrong_object"
	// WrongStatus puts Fault.BatchStatus into the answer's status field.
	WrongStatus Action = "wrong_status"
	// Drip sends the answer byte by byte, Fault.Interval apart.
	Drip Action = "drip"
	// Endless sends a JSON string that has no end.
	Endless Action = "endless"
)

// Fault is something that goes wrong with the calls that it matches.
type Fault struct {
	// ID is given by AddFault.
	ID int `json:"id"`
	// Operation is which calls it meets; AnyOperation, or nothing, for all of them.
	Operation Operation `json:"operation,omitempty"`
	// VectorStoreID, BatchID and Key narrow it down; Key is a fingerprint, as in Call.
	VectorStoreID string `json:"vector_store_id,omitempty"`
	BatchID       string `json:"batch_id,omitempty"`
	Key           string `json:"key,omitempty"`
	// Skip leaves so many matching calls alone first.
	Skip int `json:"skip,omitempty"`
	// Times is how many calls it then meets; 0 for all of them.
	Times int `json:"times,omitempty"`

	// Action is what it does; Answer by default.
	Action Action `json:"action,omitempty"`
	// AfterEffect lets the call have its effect before the fault strikes: the batch is made,
	// and the client never hears of it. WrongStatus, and Answer without a status, always do.
	AfterEffect bool `json:"after_effect,omitempty"`
	// Delay holds the call up, before its effect or, with AfterEffect, between it and the
	// answer. A client that gives up before an effect prevents it.
	Delay time.Duration `json:"-"`
	// Until holds the call up like Delay, until it is closed. In-process only.
	Until <-chan struct{} `json:"-"`

	// Status, Header and Body are the answer's.
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
	// RetryAt adds a Retry-After header with the date that lies so far ahead, rounded up to a
	// second. For Retry-After in seconds, use Header.
	RetryAt time.Duration `json:"-"`
	// BatchStatus is for WrongStatus.
	BatchStatus string `json:"batch_status,omitempty"`
	// Interval is for Drip; 10 ms by default.
	Interval time.Duration `json:"-"`

	// Met is how many calls it met so far. AddFault sets it to 0.
	Met int `json:"met"`
}

type activeFault struct {
	Fault
	skipped int
}

const (
	defaultDrip   = 10 * time.Millisecond
	endlessAtMost = 1 << 40
)

// OpenAIError is the body of an error as the API has it, for Fault.Body.
func OpenAIError(kind, code, message string) string {
	// Strings and nil always encode.
	body, _ := json.Marshal(map[string]any{"error": &apiError{Type: kind, Code: optional(code), Message: message}})
	return string(body)
}

// AddFault adds a fault and returns its ID. Of several that match a call, the one added first
// meets it.
func (s *Server) AddFault(f Fault) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Action == "" {
		f.Action = Answer
	}
	s.faultID++
	f.ID, f.Met = s.faultID, 0
	s.faults = append(s.faults, &activeFault{Fault: f})
	return f.ID
}

// RemoveFault removes one fault, and says whether there was one with that ID.
func (s *Server) RemoveFault(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.faults)
	s.faults = slices.DeleteFunc(s.faults, func(f *activeFault) bool { return f.ID == id })
	return len(s.faults) < before
}

// ClearFaults removes every fault.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Faults are those added and not removed, also the spent ones, with how many calls each met.
func (s *Server) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults := make([]Fault, 0, len(s.faults))
	for _, f := range s.faults {
		faults = append(faults, f.Fault)
	}
	return faults
}

func (s *Server) matchFault(c *Call) *Fault {
	for _, f := range s.faults {
		if !f.matches(c) {
			continue
		}
		if f.skipped < f.Skip {
			f.skipped++
			continue
		}
		if f.Times > 0 && f.Met >= f.Times {
			continue
		}
		f.Met++
		met := f.Fault
		return &met
	}
	return nil
}

func (f *Fault) matches(c *Call) bool {
	return (f.Operation == "" || f.Operation == AnyOperation || f.Operation == c.Operation) &&
		(f.VectorStoreID == "" || f.VectorStoreID == c.VectorStoreID) &&
		(f.BatchID == "" || f.BatchID == c.BatchID) &&
		(f.Key == "" || f.Key == c.Key)
}

// serveFault answers a call that met a fault.
func (s *Server) serveFault(w http.ResponseWriter, x *exchange, bad *apiError, f *Fault) {
	var a answer
	if f.AfterEffect {
		a = s.answer(x, bad)
	}
	if !f.wait(x) {
		s.conclude(x, 0, "client gave up")
		panic(http.ErrAbortHandler)
	}
	if !f.AfterEffect && f.needsAnswer() {
		a = s.answer(x, bad)
	}
	switch f.Action {
	case Drop:
		s.conclude(x, 0, string(f.Action))
		panic(http.ErrAbortHandler)
	case Truncate:
		s.truncate(w, x, a, f)
	case Drip:
		s.drip(w, x, a, f)
	case Endless:
		s.endless(w, x, f)
	case WrongObject:
		s.send(w, x, s.wrongObject(x, a), string(f.Action))
	case WrongStatus:
		a.body = withStatus(a.body, f.BatchStatus)
		s.send(w, x, a, string(f.Action))
	case Answer:
		s.send(w, x, f.answer(a, s.clock()), string(f.Action))
	default:
		s.send(w, x, a, string(f.Action))
	}
}

// needsAnswer says whether the call has to be answered properly for the fault to strike.
func (f *Fault) needsAnswer() bool {
	switch f.Action {
	case Drop, Endless, WrongObject:
		return false
	case Answer:
		return f.Status == 0
	case Truncate, Drip, WrongStatus:
		return true
	}
	return true
}

// wait holds the call up. It is false where the client went away meanwhile.
func (f *Fault) wait(x *exchange) bool {
	gone := x.request.Context().Done()
	if f.Until != nil {
		select {
		case <-f.Until:
		case <-gone:
			return false
		}
	}
	if f.Delay <= 0 {
		return true
	}
	timer := time.NewTimer(f.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-gone:
		return false
	}
}

func (f *Fault) answer(a answer, now time.Time) answer {
	if f.Status != 0 {
		a = answer{status: f.Status, header: http.Header{}, body: []byte(f.Body)}
		a.header.Set("Content-Type", contentTypeOf(a.body))
	}
	if f.RetryAt > 0 {
		at := now.Add(f.RetryAt + time.Second - 1).UTC()
		a.header.Set("Retry-After", at.Format(http.TimeFormat))
	}
	for name, value := range f.Header {
		a.header.Set(name, value)
	}
	return a
}

func contentTypeOf(body []byte) string {
	if json.Valid(body) {
		return "application/json"
	}
	return http.DetectContentType(body)
}

func (s *Server) wrongObject(x *exchange, a answer) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, bad := s.storeOf(x)
	if bad != nil {
		return s.failure(bad)
	}
	v.advance(s.now(), s.settings)
	wrong := s.jsonAnswer(http.StatusOK, v.object(s.now()))
	if a.status >= http.StatusBadRequest {
		return a
	}
	return wrong
}

// withStatus changes the status field of an object; what is none stays as it is.
func withStatus(body []byte, status string) []byte {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil || fields["status"] == nil {
		return body
	}
	fields["status"] = status
	changed, err := json.Marshal(fields)
	if err != nil {
		return body
	}
	return append(changed, '\n')
}
