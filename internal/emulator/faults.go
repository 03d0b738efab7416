// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Action is what a Fault does to a call.
type Action string

// The actions.
const (
	// Answer sends Fault.Status, Header and Body. If Status is 0, it sends the normal response with
	// Header added.
	Answer Action = "answer"
	// Drop closes the connection without a response.
	Drop Action = "drop"
	// Truncate sends the Content-Length of the whole response and closes the connection after half
	// of it.
	Truncate Action = "truncate"
	// WrongObject sends the vector store instead of the requested object.
	WrongObject Action = "wrong_object"
	// WrongStatus replaces the status field of the response with Fault.BatchStatus.
	WrongStatus Action = "wrong_status"
	// Drip sends the response byte by byte, at intervals of Fault.Interval.
	Drip Action = "drip"
	// Endless sends a JSON string without an end.
	Endless Action = "endless"
)

// Fault is a failure to inject into the calls that match it.
type Fault struct {
	// ID is assigned by AddFault.
	ID int `json:"id"`
	// Operation selects calls; AnyOperation or empty selects all.
	Operation Operation `json:"operation,omitempty"`
	// VectorStoreID, BatchID and Key narrow the selection; Key is a fingerprint, as in Call.
	VectorStoreID string `json:"vector_store_id,omitempty"`
	BatchID       string `json:"batch_id,omitempty"`
	Key           string `json:"key,omitempty"`
	// FileID narrows the selection to calls about a file and to those whose body names it, such as
	// every create of one batch.
	FileID string `json:"file_id,omitempty"`
	// Skip is the number of matching calls to let through first.
	Skip int `json:"skip,omitempty"`
	// Every applies the fault to every n-th of the remaining calls only; 0 and 1 for each.
	Every int `json:"every,omitempty"`
	// Times is the number of calls that the fault then applies to; 0 for no limit, until it is removed.
	Times int `json:"times,omitempty"`

	// Preset names a fault of Presets, whose fields apply where this one has none.
	Preset string `json:"preset,omitempty"`

	// Action is Answer by default.
	Action Action `json:"action,omitempty"`
	// AfterEffect injects the fault after the call took effect: the batch is created, and the client
	// does not learn of it. WrongStatus, and Answer without a status, always do.
	AfterEffect bool `json:"after_effect,omitempty"`
	// Delay delays the call before its effect or, with AfterEffect, between the effect and the
	// response. A client that disconnects before the effect prevents it.
	Delay time.Duration `json:"-"`
	// Until delays the call like Delay, until the channel is closed. In-process only.
	Until <-chan struct{} `json:"-"`

	// Status, Header and Body are those of the response. {{key}}, {{vector_store}}, {{batch}} and
	// {{file}} in a header or the body are those of the call.
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
	// Repeat follows Body RepeatTimes, or without an end if that is negative. {{n}} in it is the number
	// of the repetition. Close follows as often, and Tail once.
	Repeat      string `json:"repeat,omitempty"`
	RepeatTimes int64  `json:"repeat_times,omitempty"`
	Close       string `json:"close,omitempty"`
	Tail        string `json:"tail,omitempty"`
	// Gzip compresses the body.
	Gzip bool `json:"gzip,omitempty"`
	// RetryAt adds a Retry-After header with the date after this duration, rounded up to a second.
	// For a Retry-After in seconds, use Header.
	RetryAt time.Duration `json:"-"`
	// BatchStatus is the status that WrongStatus sends.
	BatchStatus string `json:"batch_status,omitempty"`
	// Interval is the pause between the bytes of Drip; 10 ms by default.
	Interval time.Duration `json:"-"`

	// Met is the number of calls that the fault was applied to. AddFault sets it to 0.
	Met int `json:"met"`
}

type activeFault struct {
	Fault
	skipped int
	// matched counts the calls after Skip.
	matched int
}

const (
	defaultDripInterval = 10 * time.Millisecond
	maxEndlessBytes     = 1 << 40
)

// OpenAIError returns the body of an error in the form of the API, for Fault.Body.
func OpenAIError(kind, code, message string) string {
	// Encoding strings and nil cannot fail.
	body, _ := json.Marshal(map[string]any{"error": &apiError{Type: kind, Code: optional(code), Message: message}})
	return string(body)
}

// ParseFault parses a fault in the JSON form of the admin API.
func ParseFault(text string) (Fault, error) {
	var body faultBody
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		return Fault{}, fmt.Errorf("decoding the fault: %w", err)
	}
	f := body.fault()
	return f, f.validate()
}

// AddFault adds a fault and returns its ID. If several faults match a call, the first one added
// applies.
func (s *Server) AddFault(f Fault) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	f = f.withPreset()
	if f.Action == "" {
		f.Action = Answer
	}
	s.faultID++
	f.ID, f.Met = s.faultID, 0
	s.faults = append(s.faults, &activeFault{Fault: f})
	return f.ID
}

// RemoveFault removes a fault and reports whether it existed.
func (s *Server) RemoveFault(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.faults)
	s.faults = slices.DeleteFunc(s.faults, func(f *activeFault) bool { return f.ID == id })
	return len(s.faults) < before
}

// ClearFaults removes all faults.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Faults returns the faults that were added and not removed, including those that no longer apply.
func (s *Server) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults := make([]Fault, 0, len(s.faults))
	for _, f := range s.faults {
		faults = append(faults, f.Fault)
	}
	return faults
}

// matchFault returns the fault to inject into a call, or nil.
func (s *Server) matchFault(x *exchange) *Fault {
	for _, f := range s.faults {
		if !f.matches(x) {
			continue
		}
		if f.skipped < f.Skip {
			f.skipped++
			continue
		}
		if f.Times > 0 && f.Met >= f.Times {
			continue
		}
		f.matched++
		if f.Every > 1 && f.matched%f.Every != 0 {
			continue
		}
		f.Met++
		fault := f.Fault
		return &fault
	}
	return nil
}

func (f *Fault) matches(x *exchange) bool {
	c := x.call
	return (f.Operation == "" || f.Operation == AnyOperation || f.Operation == c.Operation) &&
		(f.VectorStoreID == "" || f.VectorStoreID == c.VectorStoreID) &&
		(f.BatchID == "" || f.BatchID == c.BatchID) &&
		(f.Key == "" || f.Key == c.Key) &&
		(f.FileID == "" || f.FileID == c.FileID || bytes.Contains(x.body, []byte(`"`+f.FileID+`"`)))
}

// injectFault handles a call that a fault matched.
func (s *Server) injectFault(w http.ResponseWriter, x *exchange, apiErr *apiError, f *Fault) {
	var normal response
	if f.AfterEffect {
		normal = s.handle(x, apiErr)
	}
	if !f.wait(x) {
		s.recordResponse(x, 0, "client disconnected")
		panic(http.ErrAbortHandler)
	}
	if !f.AfterEffect && f.needsResponse() {
		normal = s.handle(x, apiErr)
	}
	switch f.Action {
	case Drop:
		s.recordResponse(x, 0, string(f.Action))
		panic(http.ErrAbortHandler)
	case Truncate:
		s.truncate(w, x, normal, f)
	case Drip:
		s.drip(w, x, normal, f)
	case Endless:
		s.endless(w, x, f)
	case WrongObject:
		s.send(w, x, s.wrongObject(x, normal), string(f.Action))
	case WrongStatus:
		normal.body = withStatus(normal.body, f.BatchStatus)
		s.send(w, x, normal, string(f.Action))
	case Answer:
		f = s.expanded(x, f)
		if f.streams() {
			s.stream(w, x, f)
			return
		}
		s.send(w, x, f.response(normal, s.clock()), string(f.Action))
	default:
		s.send(w, x, normal, string(f.Action))
	}
}

// needsResponse reports whether the fault alters the normal response.
func (f *Fault) needsResponse() bool {
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

// wait delays the call. It returns false if the client disconnected.
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

func (f *Fault) response(res response, now time.Time) response {
	if f.Status != 0 {
		res = response{status: f.Status, header: http.Header{}, body: []byte(f.Body)}
		res.header.Set("Content-Type", contentTypeOf(res.body))
	}
	if f.RetryAt > 0 {
		at := now.Add(f.RetryAt + time.Second - 1).UTC()
		res.header.Set("Retry-After", at.Format(http.TimeFormat))
	}
	for name, value := range f.Header {
		res.header.Set(name, value)
	}
	return res
}

func contentTypeOf(body []byte) string {
	if json.Valid(body) {
		return "application/json"
	}
	return http.DetectContentType(body)
}

func (s *Server) wrongObject(x *exchange, res response) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, apiErr := s.lookupStore(x)
	if apiErr != nil {
		return s.errorResponse(x, apiErr)
	}
	v.advance(s.now(), s.settings)
	wrong := s.jsonResponse(http.StatusOK, s.storeObject(v))
	if res.status >= http.StatusBadRequest {
		return res
	}
	return wrong
}

// withStatus replaces the status field of an object. It returns any other body unchanged.
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
