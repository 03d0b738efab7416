// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// adminPath is where the admin side lives, off the API's path.
const adminPath = "/_emulator"

// duration is a time.Duration that stands in JSON as people write it: 1m30s.
type duration time.Duration

// MarshalText writes it as time.Duration does.
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration does.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

// settingsBody is Settings in JSON.
type settingsBody struct {
	Settings
	Pace        duration `json:"pace"`
	CancelDelay duration `json:"cancel_delay"`
	Minute      duration `json:"minute"`
}

func describeSettings(s Settings) settingsBody {
	return settingsBody{Settings: s, Pace: duration(s.Pace), CancelDelay: duration(s.CancelDelay), Minute: duration(s.Minute)}
}

func (b settingsBody) settings() Settings {
	s := b.Settings
	s.Pace, s.CancelDelay, s.Minute = time.Duration(b.Pace), time.Duration(b.CancelDelay), time.Duration(b.Minute)
	return s
}

// faultBody is Fault in JSON.
type faultBody struct {
	Fault
	Delay    duration `json:"delay,omitempty"`
	RetryAt  duration `json:"retry_at,omitempty"`
	Interval duration `json:"interval,omitempty"`
}

func describeFault(f Fault) faultBody {
	return faultBody{Fault: f, Delay: duration(f.Delay), RetryAt: duration(f.RetryAt), Interval: duration(f.Interval)}
}

func (b faultBody) fault() Fault {
	f := b.Fault
	f.Delay, f.RetryAt, f.Interval = time.Duration(b.Delay), time.Duration(b.RetryAt), time.Duration(b.Interval)
	return f
}

// check refuses a fault that could never strike as it was meant.
func (f Fault) check() error {
	switch f.Action {
	case "", Answer, Drop, Truncate, WrongObject, WrongStatus, Drip, Endless:
	default:
		return fmt.Errorf("there is no action %q", f.Action)
	}
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		return fmt.Errorf("status %d is not between 200 and 599", f.Status)
	}
	if f.Operation == "" || f.Operation == AnyOperation || f.Operation == UnknownOperation {
		return nil
	}
	for _, r := range routes {
		if r.operation == f.Operation {
			return nil
		}
	}
	return fmt.Errorf("there is no operation %q", f.Operation)
}

// adminHandler answers with something to be sent as JSON, or an error and its HTTP status.
type adminHandler func(*http.Request) (any, int, error)

func (s *Server) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]adminHandler{
		"GET /health":                     func(*http.Request) (any, int, error) { return ok() },
		"GET /calls":                      s.adminCalls,
		"DELETE /calls":                   func(*http.Request) (any, int, error) { s.ClearCalls(); return ok() },
		"GET /call_counts":                func(*http.Request) (any, int, error) { return s.CallCounts(), http.StatusOK, nil },
		"GET /batches":                    func(*http.Request) (any, int, error) { return s.Batches(), http.StatusOK, nil },
		"GET /batches/{id}":               s.adminBatch,
		"PUT /batches/{id}":               s.adminSetBatch,
		"GET /file_sets":                  func(*http.Request) (any, int, error) { return s.FileSets(), http.StatusOK, nil },
		"GET /vector_stores":              func(*http.Request) (any, int, error) { return s.StoreIDs(), http.StatusOK, nil },
		"POST /vector_stores":             s.adminAddStore,
		"DELETE /vector_stores/{id}":      func(r *http.Request) (any, int, error) { return found(s.DeleteStore(r.PathValue("id"))) },
		"POST /vector_stores/{id}/expire": func(r *http.Request) (any, int, error) { return found(s.ExpireStore(r.PathValue("id"))) },
		"GET /vector_stores/{id}/files":   s.adminStoreFiles,
		"POST /files":                     s.adminAddFile,
		"GET /settings":                   func(*http.Request) (any, int, error) { return describeSettings(s.Settings()), http.StatusOK, nil },
		"PATCH /settings":                 s.adminConfigure,
		"POST /clock":                     s.adminClock,
		"GET /faults":                     s.adminFaults,
		"POST /faults":                    s.adminAddFault,
		"DELETE /faults":                  func(*http.Request) (any, int, error) { s.ClearFaults(); return ok() },
		"DELETE /faults/{id}":             s.adminRemoveFault,
	} {
		mux.HandleFunc(pattern, handle.serve)
	}
	return http.StripPrefix(adminPath, mux)
}

func (h adminHandler) serve(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, adminBodyBytes)
	object, status, err := h(r)
	if err != nil {
		object = map[string]string{"error": err.Error()}
	}
	body, err := json.Marshal(object)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

func ok() (any, int, error) { return map[string]bool{"ok": true}, http.StatusOK, nil }

func found(there bool) (any, int, error) {
	if !there {
		return nil, http.StatusNotFound, errors.New("there is no such thing")
	}
	return ok()
}

// read decodes a bounded body that may hold nothing unknown.
func read(r *http.Request, into any) (int, error) {
	body, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the body is longer than %d bytes", large.Limit)
	}
	if err != nil {
		return http.StatusBadRequest, fmt.Errorf("reading the body: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return http.StatusBadRequest, fmt.Errorf("decoding the body: %w", err)
	}
	return http.StatusOK, nil
}

func (s *Server) adminCalls(r *http.Request) (any, int, error) {
	query := r.URL.Query()
	var operations []Operation
	if o := query.Get("operation"); o != "" {
		operations = append(operations, Operation(o))
	}
	calls := []Call{}
	for _, c := range s.Calls(operations...) {
		store, batch := query.Get("vector_store"), query.Get("batch")
		if (store == "" || store == c.VectorStoreID) && (batch == "" || batch == c.BatchID) {
			calls = append(calls, c)
		}
	}
	return calls, http.StatusOK, nil
}

func (s *Server) adminBatch(r *http.Request) (any, int, error) {
	b, there := s.Batch(r.PathValue("id"))
	if !there {
		return found(false)
	}
	return b, http.StatusOK, nil
}

func (s *Server) adminSetBatch(r *http.Request) (any, int, error) {
	var body struct {
		Status string `json:"status"`
	}
	if status, err := read(r, &body); err != nil {
		return nil, status, err
	}
	if err := s.SetBatchStatus(r.PathValue("id"), body.Status); err != nil {
		return nil, http.StatusNotFound, err
	}
	return s.adminBatch(r)
}

func (s *Server) adminAddStore(r *http.Request) (any, int, error) {
	var body struct {
		ID string `json:"id"`
	}
	if status, err := read(r, &body); err != nil {
		return nil, status, err
	}
	if !strings.HasPrefix(body.ID, storePrefix) {
		return nil, http.StatusBadRequest, fmt.Errorf("id %q does not begin with %s", body.ID, storePrefix)
	}
	s.AddStore(body.ID)
	return map[string]string{"id": body.ID}, http.StatusOK, nil
}

func (s *Server) adminStoreFiles(r *http.Request) (any, int, error) {
	files := s.AttachedFiles(r.PathValue("id"))
	if files == nil {
		return found(false)
	}
	return files, http.StatusOK, nil
}

func (s *Server) adminAddFile(r *http.Request) (any, int, error) {
	var body struct {
		ID      string  `json:"id"`
		Outcome Outcome `json:"outcome"`
	}
	if status, err := read(r, &body); err != nil {
		return nil, status, err
	}
	switch body.Outcome.Code {
	case "", ServerError, UnsupportedFile, InvalidFile:
	default:
		return nil, http.StatusBadRequest, fmt.Errorf("there is no outcome code %q", body.Outcome.Code)
	}
	if body.ID == "" {
		body.ID = s.newFileID()
	}
	if !strings.HasPrefix(body.ID, filePrefix) {
		return nil, http.StatusBadRequest, fmt.Errorf("id %q does not begin with %s", body.ID, filePrefix)
	}
	s.SetOutcome(body.ID, body.Outcome)
	return map[string]string{"id": body.ID}, http.StatusOK, nil
}

func (s *Server) newFileID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids.next(filePrefix)
}

// adminConfigure leaves the settings that the body doesn't name.
func (s *Server) adminConfigure(r *http.Request) (any, int, error) {
	body := describeSettings(s.Settings())
	if status, err := read(r, &body); err != nil {
		return nil, status, err
	}
	s.Configure(func(settings *Settings) { *settings = body.settings() })
	return describeSettings(s.Settings()), http.StatusOK, nil
}

func (s *Server) adminClock(r *http.Request) (any, int, error) {
	var body struct {
		Advance duration `json:"advance"`
	}
	if status, err := read(r, &body); err != nil {
		return nil, status, err
	}
	s.Advance(time.Duration(body.Advance))
	return map[string]time.Time{"now": s.clock()}, http.StatusOK, nil
}

func (s *Server) adminFaults(*http.Request) (any, int, error) {
	faults := []faultBody{}
	for _, f := range s.Faults() {
		faults = append(faults, describeFault(f))
	}
	return faults, http.StatusOK, nil
}

func (s *Server) adminAddFault(r *http.Request) (any, int, error) {
	var body faultBody
	if status, err := read(r, &body); err != nil {
		return nil, status, err
	}
	f := body.fault()
	if err := f.check(); err != nil {
		return nil, http.StatusBadRequest, err
	}
	f.ID = s.AddFault(f)
	return describeFault(f), http.StatusOK, nil
}

func (s *Server) adminRemoveFault(r *http.Request) (any, int, error) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("reading the fault's ID: %w", err)
	}
	return found(s.RemoveFault(id))
}
