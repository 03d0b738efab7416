// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server is the emulated API and its admin side, as one http.Handler. It is safe for
// concurrent use.
type Server struct {
	options Options
	admin   http.Handler

	logMu sync.Mutex

	// mu guards all that follows.
	mu       sync.Mutex
	settings Settings
	skew     time.Duration
	ids      *identities
	seq      int
	stores   map[string]*store
	files    map[string]*file
	batches  map[string]*batch
	// order is the IDs of the batches as they were made.
	order    []string
	fileSets map[string]*FileSet
	setOrder []string
	attached window
	calls    []*Call
	// counts outlive calls: they are of all requests that were answered.
	counts  map[Operation]map[int]int
	faults  []*activeFault
	faultID int
}

// New makes a Server.
func New(options Options) *Server {
	options = options.withDefaults()
	s := &Server{
		options: options, settings: options.Settings, ids: newIdentities(options.Seed),
		stores: map[string]*store{}, files: map[string]*file{}, batches: map[string]*batch{},
		fileSets: map[string]*FileSet{}, counts: make(map[Operation]map[int]int),
	}
	s.admin = s.adminRoutes()
	for _, id := range options.VectorStores {
		s.AddStore(id)
	}
	return s
}

// exchange is one request and what is known of its answer.
type exchange struct {
	request   *http.Request
	route     route
	variables map[string]string
	body      []byte
	call      *Call
	requestID string
	started   time.Time
}

// answer is a response before it is sent.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// raw is an answer's body that is not JSON.
type raw struct {
	contentType string
	body        []byte
}

// ServeHTTP answers a request to the API, or to the admin side below /_emulator/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, adminPath+"/") {
		s.admin.ServeHTTP(w, r)
		return
	}
	found, variables, bad := s.find(r)
	if bad != nil {
		found.operation = UnknownOperation
	}
	x := &exchange{request: r, route: found, variables: variables, started: time.Now()}
	body, tooLarge := readBody(w, r, s.options.MaxBodyBytes)
	x.body = body
	if bad == nil {
		bad = tooLarge
	}
	fault := s.receive(x)
	if fault == nil {
		s.send(w, x, s.answer(x, bad), "")
		return
	}
	s.serveFault(w, x, bad, fault)
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *apiError) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, bodyTooLarge(limit)
	}
	if err != nil {
		return nil, badRequest("", "", "The body of the request could not be read.")
	}
	return body, nil
}

// receive writes the request down and looks for a fault that is meant for it.
func (s *Server) receive(x *exchange) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.requestID = s.ids.next("req_")
	x.call = &Call{
		Time: s.now(), Method: x.request.Method, Path: x.request.URL.EscapedPath(),
		Query: x.request.URL.RawQuery, Operation: x.route.operation,
		VectorStoreID: x.variables["store"], BatchID: x.variables["batch"], FileID: x.variables["file"],
		RequestID: x.requestID, Key: fingerprint(bearer(x.request)),
	}
	s.remember(x.call)
	return s.matchFault(x.call)
}

// answer does what the request asks for, unless bad says already what is wrong with it.
func (s *Server) answer(x *exchange, bad *apiError) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bad == nil {
		bad = s.authorize(x.request)
	}
	if bad != nil {
		return s.failure(bad)
	}
	object, bad := x.route.handle(s, x)
	if bad != nil {
		return s.failure(bad)
	}
	if r, ok := object.(raw); ok {
		return answer{status: http.StatusOK, body: r.body, header: http.Header{"Content-Type": {r.contentType}}}
	}
	return s.jsonAnswer(http.StatusOK, object)
}

func (s *Server) authorize(r *http.Request) *apiError {
	key := bearer(r)
	if key == "" {
		return unauthorized("", "You didn't provide an API key. Send it in the Authorization header, as a bearer token.")
	}
	if len(s.options.APIKeys) == 0 {
		return nil
	}
	for _, known := range s.options.APIKeys {
		if subtle.ConstantTimeCompare([]byte(key), []byte(known)) == 1 {
			return nil
		}
	}
	return unauthorized("invalid_api_key", "Incorrect API key provided.")
}

func bearer(r *http.Request) string {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

func (s *Server) failure(e *apiError) answer {
	a := s.jsonAnswer(e.status, map[string]any{"error": e})
	if e.retryAfter > 0 {
		a.header.Set("Retry-After", strconv.Itoa(e.retryAfter))
	}
	if e.allow != "" {
		a.header.Set("Allow", e.allow)
	}
	return a
}

// jsonAnswer encodes while the lock is held, as objects share maps with the state.
func (s *Server) jsonAnswer(status int, object any) answer {
	a := answer{status: status, header: http.Header{"Content-Type": {"application/json"}}}
	body, err := json.Marshal(object)
	if err == nil && s.settings.ExtraFields && status == http.StatusOK {
		body, err = withExtraField(body)
	}
	if err != nil {
		a.status, body = http.StatusInternalServerError, []byte(`{"error":{"message":"encoding failed","type":"server_error","param":null,"code":null}}`)
	}
	a.body = append(body, '\n')
	return a
}

// withExtraField adds a field that no client knows to an object and to the items of a list.
func withExtraField(body []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	var items []json.RawMessage
	if json.Unmarshal(fields["data"], &items) == nil {
		for i := range items {
			item, err := withExtraField(items[i])
			if err != nil {
				return nil, err
			}
			items[i] = item
		}
		data, err := json.Marshal(items)
		if err != nil {
			return nil, err
		}
		fields["data"] = data
	}
	fields["x_emulated_extra"] = json.RawMessage(`{"nested":[1,"two",null]}`)
	return json.Marshal(fields)
}

// send writes the call's end down first, so that whoever got the answer finds it there.
func (s *Server) send(w http.ResponseWriter, x *exchange, a answer, fault string) {
	s.conclude(x, a.status, fault)
	s.writeHeader(w, x, a)
	// A client that went away is no concern of ours.
	_, _ = w.Write(a.body)
}

func (s *Server) writeHeader(w http.ResponseWriter, x *exchange, a answer) {
	header := w.Header()
	header.Set("X-Request-Id", x.requestID)
	header.Set("Openai-Version", "2020-10-01")
	header.Set("Openai-Processing-Ms", strconv.FormatInt(time.Since(x.started).Milliseconds(), 10))
	if s.options.Organization != "" {
		header.Set("Openai-Organization", s.options.Organization)
	}
	for name, values := range a.header {
		header[name] = values
	}
	w.WriteHeader(a.status)
}

// log writes a line. It never holds a key: a fingerprint stands for it.
func (s *Server) log(c Call) {
	if s.options.Log == nil {
		return
	}
	path, note := c.Path, ""
	if c.Query != "" {
		path += "?" + c.Query
	}
	if c.Fault != "" {
		note = " fault=" + c.Fault
	}
	s.logMu.Lock()
	defer s.logMu.Unlock()
	// A log that can't be written is no reason to fail a request.
	_, _ = fmt.Fprintf(s.options.Log, "%s %d %s %s operation=%s request=%s key=%s%s\n",
		c.Time.UTC().Format(time.RFC3339Nano), c.Status, c.Method, path, c.Operation, c.RequestID, c.Key, note)
}

// now is the clock's time and what Advance added to it. The lock has to be held.
func (s *Server) now() time.Time { return s.options.Clock().Add(s.skew) }

func (s *Server) nextSeq() int {
	s.seq++
	return s.seq
}
