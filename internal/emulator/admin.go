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
	"slices"
	"strconv"
	"strings"
	"time"
)

// adminPath is the root of the admin API. No path of the OpenAI API begins with it.
const adminPath = "/_emulator"

// settingsBody is the JSON form of Settings.
type settingsBody struct {
	Settings
	Pace        Duration `json:"pace"`
	CancelDelay Duration `json:"cancel_delay"`
	Minute      Duration `json:"minute"`
}

func newSettingsBody(s Settings) settingsBody {
	return settingsBody{Settings: s, Pace: Duration(s.Pace), CancelDelay: Duration(s.CancelDelay), Minute: Duration(s.Minute)}
}

func (b settingsBody) settings() Settings {
	s := b.Settings
	s.Pace, s.CancelDelay, s.Minute = time.Duration(b.Pace), time.Duration(b.CancelDelay), time.Duration(b.Minute)
	return s
}

// faultBody is the JSON form of Fault.
type faultBody struct {
	Fault
	Delay    Duration `json:"delay,omitempty"`
	RetryAt  Duration `json:"retry_at,omitempty"`
	Interval Duration `json:"interval,omitempty"`
}

func newFaultBody(f Fault) faultBody {
	return faultBody{Fault: f, Delay: Duration(f.Delay), RetryAt: Duration(f.RetryAt), Interval: Duration(f.Interval)}
}

func (b faultBody) fault() Fault {
	f := b.Fault
	f.Delay, f.RetryAt, f.Interval = time.Duration(b.Delay), time.Duration(b.RetryAt), time.Duration(b.Interval)
	return f
}

// validate returns an error if the fault can never be injected as specified.
func (f Fault) validate() error {
	switch f.Action {
	case "", Answer, Drop, Truncate, WrongObject, WrongStatus, Drip, Endless:
	default:
		return adminErrorf(http.StatusBadRequest, "unknown action %q", f.Action)
	}
	if _, ok := hostile[f.Preset]; f.Preset != "" && !ok {
		return adminErrorf(http.StatusBadRequest, "unknown preset %q", f.Preset)
	}
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		return adminErrorf(http.StatusBadRequest, "status %d is not between 200 and 599", f.Status)
	}
	special := []Operation{"", AnyOperation, UnknownOperation}
	if !slices.Contains(special, f.Operation) && !slices.ContainsFunc(routes, func(r route) bool { return r.operation == f.Operation }) {
		return adminErrorf(http.StatusBadRequest, "unknown operation %q", f.Operation)
	}
	return nil
}

// adminHandler returns an object to send as JSON. An error that is not an adminError is a bug.
type adminHandler func(*http.Request) (any, error)

// adminError is an error with the HTTP status of the response.
type adminError struct {
	status  int
	message string
}

func adminErrorf(status int, format string, args ...any) error {
	return &adminError{status: status, message: fmt.Sprintf(format, args...)}
}

// Error returns the message.
func (e *adminError) Error() string { return e.message }

func (s *Server) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	for pattern, handler := range map[string]adminHandler{
		"GET /health":                     func(*http.Request) (any, error) { return ok() },
		"GET /calls":                      s.adminCalls,
		"DELETE /calls":                   func(*http.Request) (any, error) { s.ClearCalls(); return ok() },
		"GET /call_counts":                func(*http.Request) (any, error) { return s.CallCounts(), nil },
		"GET /batches":                    func(*http.Request) (any, error) { return s.Batches(), nil },
		"GET /batches/{id}":               s.adminBatch,
		"PUT /batches/{id}":               s.adminSetBatch,
		"GET /file_sets":                  func(*http.Request) (any, error) { return s.FileSets(), nil },
		"GET /vector_stores":              func(*http.Request) (any, error) { return s.StoreIDs(), nil },
		"POST /vector_stores":             s.adminAddStore,
		"DELETE /vector_stores/{id}":      func(r *http.Request) (any, error) { return okIf(s.DeleteStore(r.PathValue("id"))) },
		"POST /vector_stores/{id}/expire": func(r *http.Request) (any, error) { return okIf(s.ExpireStore(r.PathValue("id"))) },
		"GET /vector_stores/{id}/files":   s.adminStoreFiles,
		"POST /files":                     s.adminAddFile,
		"GET /behaviors":                  func(*http.Request) (any, error) { return s.ActiveBehaviors(), nil },
		"GET /profiles":                   func(*http.Request) (any, error) { return Profiles(), nil },
		"GET /settings":                   func(*http.Request) (any, error) { return newSettingsBody(s.Settings()), nil },
		"PATCH /settings":                 s.adminConfigure,
		"POST /clock":                     s.adminClock,
		"GET /presets":                    func(*http.Request) (any, error) { return Presets(), nil },
		"GET /faults":                     s.adminFaults,
		"POST /faults":                    s.adminAddFault,
		"DELETE /faults":                  func(*http.Request) (any, error) { s.ClearFaults(); return ok() },
		"DELETE /faults/{id}":             s.adminRemoveFault,
	} {
		mux.Handle(pattern, handler)
	}
	return http.StripPrefix(adminPath, mux)
}

// ServeHTTP writes the handler's object or error as JSON.
func (h adminHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxAdminBodyBytes)
	status := http.StatusOK
	object, err := h(r)
	if err != nil {
		status = http.StatusInternalServerError
		var failed *adminError
		if errors.As(err, &failed) {
			status = failed.status
		}
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

func ok() (any, error) { return map[string]bool{"ok": true}, nil }

// okIf returns a 404 unless the object exists.
func okIf(exists bool) (any, error) {
	if !exists {
		return nil, adminErrorf(http.StatusNotFound, "not found")
	}
	return ok()
}

// decode parses a body of at most maxAdminBodyBytes and rejects unknown fields.
func decode(r *http.Request, into any) error {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return adminErrorf(http.StatusRequestEntityTooLarge, "the body is longer than %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return adminErrorf(http.StatusBadRequest, "reading the body: %v", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return adminErrorf(http.StatusBadRequest, "decoding the body: %v", err)
	}
	return nil
}

func (s *Server) adminCalls(r *http.Request) (any, error) {
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
	return calls, nil
}

func (s *Server) adminBatch(r *http.Request) (any, error) {
	b, exists := s.Batch(r.PathValue("id"))
	if !exists {
		return okIf(false)
	}
	return b, nil
}

func (s *Server) adminSetBatch(r *http.Request) (any, error) {
	var body struct {
		Status string `json:"status"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if err := s.SetBatchStatus(r.PathValue("id"), body.Status); err != nil {
		return nil, adminErrorf(http.StatusNotFound, "%v", err)
	}
	return s.adminBatch(r)
}

func (s *Server) adminAddStore(r *http.Request) (any, error) {
	var body struct {
		ID string `json:"id"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(body.ID, storePrefix) {
		return nil, adminErrorf(http.StatusBadRequest, "id %q does not begin with %s", body.ID, storePrefix)
	}
	s.AddStore(body.ID)
	return body, nil
}

func (s *Server) adminStoreFiles(r *http.Request) (any, error) {
	files := s.AttachedFiles(r.PathValue("id"))
	if files == nil {
		return okIf(false)
	}
	return files, nil
}

func (s *Server) adminAddFile(r *http.Request) (any, error) {
	var body struct {
		ID      string  `json:"id"`
		Outcome Outcome `json:"outcome"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	switch body.Outcome.Code {
	case "", ServerError, UnsupportedFile, InvalidFile:
	default:
		return nil, adminErrorf(http.StatusBadRequest, "unknown outcome code %q", body.Outcome.Code)
	}
	if body.ID == "" {
		body.ID = s.newFileID()
	}
	if !strings.HasPrefix(body.ID, filePrefix) {
		return nil, adminErrorf(http.StatusBadRequest, "id %q does not begin with %s", body.ID, filePrefix)
	}
	s.SetOutcome(body.ID, body.Outcome)
	return map[string]string{"id": body.ID}, nil
}

func (s *Server) newFileID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids.next(filePrefix)
}

// adminConfigure keeps the settings that the body omits.
func (s *Server) adminConfigure(r *http.Request) (any, error) {
	body := newSettingsBody(s.Settings())
	body.Behaviors = body.clone()
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	s.Configure(func(settings *Settings) { *settings = body.settings() })
	return newSettingsBody(s.Settings()), nil
}

func (s *Server) adminClock(r *http.Request) (any, error) {
	var body struct {
		Advance Duration `json:"advance"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	s.Advance(time.Duration(body.Advance))
	return map[string]time.Time{"now": s.clock()}, nil
}

func (s *Server) adminFaults(*http.Request) (any, error) {
	faults := []faultBody{}
	for _, f := range s.Faults() {
		faults = append(faults, newFaultBody(f))
	}
	return faults, nil
}

func (s *Server) adminAddFault(r *http.Request) (any, error) {
	var body faultBody
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	f := body.fault()
	if err := f.validate(); err != nil {
		return nil, err
	}
	f = f.withPreset()
	f.ID = s.AddFault(f)
	return newFaultBody(f), nil
}

func (s *Server) adminRemoveFault(r *http.Request) (any, error) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return nil, adminErrorf(http.StatusBadRequest, "parsing the ID of the fault: %v", err)
	}
	return okIf(s.RemoveFault(id))
}
