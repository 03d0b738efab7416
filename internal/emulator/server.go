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
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server is an http.Handler that serves the emulated API and the admin API. It is safe for
// concurrent use.
type Server struct {
	options Options
	profile Profile
	admin   http.Handler

	logMu sync.Mutex

	// mu guards the fields below.
	mu          sync.Mutex
	settings    Settings
	clockOffset time.Duration
	ids         *idGenerator
	seq         int
	stores      map[string]*store
	files       map[string]*file
	batches     map[string]*batch
	// batchOrder has the IDs of the batches in the order of their creation.
	batchOrder   []string
	fileSets     map[string]*FileSet
	fileSetOrder []string
	attached     window
	calls        []*Call
	// counts include the calls that calls no longer has.
	counts  map[Operation]map[int]int
	faults  []*activeFault
	faultID int
}

// New returns a Server. It panics if the profile does not exist: a program that takes the name from
// a user checks it with LookupProfile.
func New(options Options) *Server {
	profile, err := LookupProfile(options.Profile)
	if err == nil {
		options, err = options.withDefaults(profile)
	}
	if err != nil {
		panic(err)
	}
	s := &Server{
		options: options, profile: profile, settings: options.Settings, ids: newIDGenerator(options.Seed),
		stores: map[string]*store{}, files: map[string]*file{}, batches: map[string]*batch{},
		fileSets: map[string]*FileSet{}, counts: make(map[Operation]map[int]int),
	}
	s.admin = s.adminRoutes()
	for _, id := range options.VectorStores {
		s.AddStore(id)
	}
	return s
}

// exchange is a request and the record of its response.
type exchange struct {
	request   *http.Request
	route     route
	variables map[string]string
	body      []byte
	call      *Call
	requestID string
	started   time.Time
}

// response is an HTTP response that is not sent yet.
type response struct {
	status int
	header http.Header
	body   []byte
	// closes makes the server close the connection after the response.
	closes bool
}

// rawBody is the body of a response that is not JSON.
type rawBody struct {
	contentType string
	body        []byte
}

// ServeHTTP serves the API, and the admin API below /_emulator/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, adminPath+"/") {
		s.admin.ServeHTTP(w, r)
		return
	}
	matched, variables, apiErr := s.matchRoute(r)
	if apiErr != nil {
		matched.operation = UnknownOperation
	}
	x := &exchange{request: r, route: matched, variables: variables, started: time.Now()}
	body, tooLarge := readBody(w, r, s.maxBodyBytes())
	x.body = body
	if apiErr == nil {
		apiErr = tooLarge
	}
	fault := s.recordRequest(x)
	if fault == nil {
		s.send(w, x, s.handle(x, apiErr), "")
		return
	}
	s.injectFault(w, x, apiErr, fault)
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *apiError) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var maxBytes *http.MaxBytesError
	if errors.As(err, &maxBytes) {
		return nil, bodyTooLarge(limit)
	}
	if err != nil {
		return nil, badRequest("", "", "The body of the request could not be read.")
	}
	return body, nil
}

// recordRequest records the request and returns the fault to inject, or nil.
func (s *Server) recordRequest(x *exchange) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.requestID = s.ids.next("req_")
	x.call = &Call{
		Time: s.now(), Method: x.request.Method, Path: x.request.URL.EscapedPath(),
		Query: x.request.URL.RawQuery, Operation: x.route.operation,
		VectorStoreID: x.variables["store"], BatchID: x.variables["batch"], FileID: x.variables["file"],
		RequestID: x.requestID, Key: fingerprint(s.key(x.request)),
	}
	s.recordCall(x.call)
	return s.matchFault(x)
}

// handle performs the request, unless apiErr already rejects it.
func (s *Server) handle(x *exchange, apiErr *apiError) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	if apiErr == nil {
		apiErr = s.authorize(x.request)
	}
	if apiErr == nil && s.settings.NoFileBatches && slices.Contains(batchOperations, x.route.operation) {
		apiErr = invalidURL(x.request)
	}
	if apiErr != nil {
		return s.errorResponse(x, apiErr)
	}
	object, apiErr := x.route.handle(s, x)
	if apiErr != nil {
		return s.errorResponse(x, apiErr)
	}
	if r, ok := object.(rawBody); ok {
		return response{status: http.StatusOK, body: r.body, header: http.Header{"Content-Type": {r.contentType}}}
	}
	if slices.Contains(s.settings.AnswersStore, x.route.operation) {
		object = s.storeOf(x)
	}
	return s.pollAfter(s.jsonResponse(http.StatusOK, object), object)
}

// storeOf returns the vector store of a successful request.
func (s *Server) storeOf(x *exchange) any {
	v := s.stores[x.variables["store"]]
	v.advance(s.now(), s.settings)
	return s.storeObject(v)
}

// pollAfter adds Behaviors.PollAfter to the response with an unfinished batch.
func (s *Server) pollAfter(res response, object any) response {
	if b, ok := object.(batchObject); ok && s.settings.PollAfter > 0 && b.Status == statusInProgress {
		res.header.Set("Openai-Poll-After-Ms", strconv.FormatInt(time.Duration(s.settings.PollAfter).Milliseconds(), 10))
	}
	return res
}

// maxBodyBytes leaves room for the form around an upload of the largest size.
func (s *Server) maxBodyBytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settings.MaxUploadBytes == 0 {
		return s.options.MaxBodyBytes
	}
	return max(s.options.MaxBodyBytes, s.settings.MaxUploadBytes+maxFormBytes)
}

func (s *Server) authorize(r *http.Request) *apiError {
	key := s.key(r)
	if key == "" {
		return unauthorized(kindNoKey, "", "You didn't provide an API key. Send it in the Authorization header, as a bearer token.")
	}
	if len(s.options.APIKeys) == 0 {
		return nil
	}
	for _, known := range s.options.APIKeys {
		if subtle.ConstantTimeCompare([]byte(key), []byte(known)) == 1 {
			return nil
		}
	}
	return unauthorized(kindKey, "invalid_api_key", "Incorrect API key provided.")
}

// key returns the API key of a request.
func (s *Server) key(r *http.Request) string {
	if key := bearer(r); key != "" || !s.settings.APIKeyHeader {
		return key
	}
	return r.Header.Get("Api-Key")
}

func bearer(r *http.Request) string {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

// jsonResponse requires the lock, because objects share maps with the state.
func (s *Server) jsonResponse(status int, object any) response {
	res := response{status: status, header: http.Header{"Content-Type": {"application/json"}}}
	body, err := json.Marshal(object)
	if err == nil && s.settings.ExtraFields && status == http.StatusOK {
		body, err = withExtraField(body)
	}
	if err != nil {
		res.status, body = http.StatusInternalServerError, []byte(`{"error":{"message":"encoding failed","type":"server_error","param":null,"code":null}}`)
	}
	res.body = append(body, '\n')
	return res
}

// withExtraField adds an undocumented field to an object and to the items of a list.
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

func (s *Server) send(w http.ResponseWriter, x *exchange, res response, fault string) {
	if res.closes {
		res.header.Set("Content-Length", strconv.Itoa(len(res.body)))
	}
	s.writeHeader(w, x, res, fault)
	// The client may have disconnected.
	_, _ = w.Write(res.body)
	if res.closes {
		flush(w)
		panic(http.ErrAbortHandler)
	}
}

// writeHeader records the response before it sends the header, so that a client that has the
// response finds it among the calls.
func (s *Server) writeHeader(w http.ResponseWriter, x *exchange, res response, fault string) {
	s.recordResponse(x, res.status, fault)
	header := w.Header()
	s.addHeaders(header, x)
	for name, values := range res.header {
		header[name] = values
	}
	w.WriteHeader(res.status)
}

// addHeaders adds Behaviors.Headers.
func (s *Server) addHeaders(header http.Header, x *exchange) {
	replacer := strings.NewReplacer(
		"{request_id}", x.requestID, "{organization}", s.options.Organization,
		"{processing_ms}", strconv.FormatInt(time.Since(x.started).Milliseconds(), 10))
	for _, line := range s.Settings().Headers {
		name, value, _ := strings.Cut(line, ":")
		if value = strings.TrimSpace(replacer.Replace(value)); value != "" {
			header.Set(name, value)
		}
	}
}

// log writes a line, with the fingerprint of the key instead of the key.
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
	// A failing log must not fail the request.
	_, _ = fmt.Fprintf(s.options.Log, "%s %d %s %s operation=%s request=%s key=%s%s\n",
		c.Time.UTC().Format(time.RFC3339Nano), c.Status, c.Method, path, c.Operation, c.RequestID, c.Key, note)
}

// now returns the clock's time plus the duration that Advance added. It requires the lock.
func (s *Server) now() time.Time { return s.options.Clock().Add(s.clockOffset) }

func (s *Server) nextSeq() int {
	s.seq++
	return s.seq
}
