// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// expectNoSecrets fails the test if printing err, or an error that it wraps, shows a secret.
func expectNoSecrets(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			for _, secret := range secrets {
				if printed := fmt.Sprintf(format, err); strings.Contains(printed, secret) {
					t.Errorf("%s of a %T shows %q: %s", format, err, secret, printed)
				}
			}
		}
		var failure *upstream.Error
		if errors.As(err, &failure) {
			for _, secret := range secrets {
				if fields := fmt.Sprintf("%#v", *failure); strings.Contains(fields, secret) {
					t.Errorf("a field shows %q: %s", secret, fields)
				}
			}
		}
	}
}

func TestClient_ErrorKindByStatusCode(t *testing.T) {
	const unclear = upstream.ErrorKind(-1) // an unknown outcome for a create, transient for the rest
	for status, want := range map[int]upstream.ErrorKind{
		300: upstream.Rejected, 304: upstream.Rejected, 305: upstream.Rejected,
		400: upstream.Rejected, 402: upstream.Rejected, 405: upstream.Rejected, 410: upstream.Rejected,
		413: upstream.Rejected, 415: upstream.Rejected, 422: upstream.Rejected, 499: upstream.Rejected,
		401: upstream.Unauthorized, 403: upstream.Unauthorized, 404: upstream.NotFound,
		409: upstream.Transient, 429: upstream.RateLimited,
		408: unclear, 500: unclear, 501: unclear, 502: unclear, 503: unclear, 504: unclear, 520: unclear, 599: unclear, 700: unclear,
	} {
		body := `{"error":{"message":"because","type":"a_type","code":"a_code","param":null}}`
		client, e := serve(t, respondJSON(status, body, "X-Request-Id", "req_1"), Options{})
		for name, call := range calls {
			kind := want
			if kind == unclear {
				kind = ambiguous(name)
			}
			e.requests.Store(0)
			failure := classified(t, call(t.Context(), client))
			if failure.Kind != kind {
				t.Errorf("%s, %d: %v, want %v", name, status, failure.Kind, kind)
			}
			if status >= 400 {
				want := upstream.Error{Kind: kind, Host: client.host, StatusCode: status, Code: "a_code", Message: "because", RequestID: "req_1"}
				if diff := cmp.Diff(want, *failure); diff != "" {
					t.Errorf("%s, %d (-want +got):\n%s", name, status, diff)
				}
			}
			if e.requests.Load() != 1 {
				t.Errorf("%s, %d: %d requests, want 1", name, status, e.requests.Load())
			}
		}
	}
}

func TestClient_InvalidResponses(t *testing.T) {
	aborted := func(handle http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			handle(w, r)
			panic(http.ErrAbortHandler)
		}
	}
	for name, handle := range map[string]http.HandlerFunc{
		"no response":           dropConnection,
		"empty body":            respondJSON(200, ""),
		"no content":            respondJSON(204, ""),
		"HTML":                  respond(200, "text/html", "<html>log in</html>"),
		"not JSON":              respondJSON(200, "ok"),
		"null":                  respondJSON(200, "null"),
		"a list":                respondJSON(200, "[]"),
		"truncated":             respondJSON(200, batchJSON[:40]),
		"no ID":                 respondJSON(200, `{"status":"completed","file_counts":{}}`),
		"empty ID":              respondJSON(200, strings.ReplaceAll(batchJSON, testBatch, "")),
		"null ID":               respondJSON(200, strings.ReplaceAll(batchJSON, `"`+testBatch+`"`, "null")),
		"ID that is a path":     respondJSON(200, strings.ReplaceAll(batchJSON, testBatch, "../x")),
		"the vector store":      respondJSON(200, `{"id":"`+testStore+`","object":"vector_store","status":"completed","file_counts":{"total":9}}`),
		"another vector store":  respondJSON(200, strings.ReplaceAll(batchJSON, testStore, "vs_other")),
		"incomplete body":       respondJSON(200, batchJSON[:40], "Content-Length", "400"),
		"connection lost":       aborted(respondJSON(200, batchJSON[:40])),
		"error, incomplete":     aborted(respondJSON(500, "", "Content-Length", "400")),
		"wrong compression":     respondJSON(200, batchJSON, "Content-Encoding", "gzip"),
		"longer than the limit": respondJSON(200, `{"id":"`+strings.Repeat("a", 2000)+`"}`),
	} {
		t.Run(name, func(t *testing.T) {
			client, e := serve(t, handle, Options{MaxResponseBytes: 1000})
			for name, call := range calls {
				e.requests.Store(0)
				failure := classified(t, call(t.Context(), client))
				if failure.Kind != ambiguous(name) || failure.Message == "" {
					t.Errorf("%s: %v: %v, want %v and a message", name, failure.Kind, failure, ambiguous(name))
				}
				// The transport can repeat a read on a reused connection, but never a create.
				if e.requests.Load() != 1 && name == "create" {
					t.Errorf("%s: %d requests, want 1", name, e.requests.Load())
				}
			}
		})
	}
}

func TestClient_ResponseIsAnotherObject(t *testing.T) {
	for name, test := range map[string]struct {
		body string
		call string
	}{
		"another batch":         {strings.ReplaceAll(batchJSON, testBatch, "vsfb_other"), "retrieve"},
		"another batch, cancel": {strings.ReplaceAll(batchJSON, testBatch, "vsfb_other"), "cancel"},
		"another file":          {strings.ReplaceAll(fileJSON, testFile, "file-other"), "file"},
		"file other":            {strings.ReplaceAll(fileJSON, testStore, "vs_other"), "file"},
		"no status":             {strings.ReplaceAll(batchJSON, "in_progress\",", "\","), "retrieve"},
		"unprintable status":    {strings.ReplaceAll(batchJSON, "in_progress\",", `a\u0000b",`), "retrieve"},
		"long status":           {strings.ReplaceAll(batchJSON, "in_progress\",", strings.Repeat("a", 65)+`",`), "retrieve"},
		"no counts":             {`{"id":"` + testBatch + `","status":"completed"}`, "retrieve"},
		"negative counts":       {strings.ReplaceAll(batchJSON, `"failed":3`, `"failed":-3`), "retrieve"},
		"huge counts":           {strings.ReplaceAll(batchJSON, `"failed":3`, `"failed":1e30`), "retrieve"},
		"files without a list":  {`{"object":"list"}`, "failed files"},
		"invalid files":         {`{"data":[5,null]}`, "failed files"},
		"file without an ID":    {`{"data":[{"status":"failed"}]}`, "failed files"},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, respondJSON(200, test.body), Options{})
			if failure := classified(t, calls[test.call](t.Context(), client)); failure.Kind != upstream.Transient || failure.StatusCode != http.StatusOK {
				t.Errorf("%s: %v: %v, want transient", test.call, failure.Kind, failure)
			}
		})
	}
}

func TestCreate_KeepsIDOfInvalidResponse(t *testing.T) {
	for name, body := range map[string]string{
		"nothing else":    `{"id":"` + testBatch + `"}`,
		"strange types":   `{"id":"` + testBatch + `","created_at":{},"status":[],"file_counts":7,"vector_store_id":null}`,
		"negative counts": `{"id":"` + testBatch + `","created_at":-5,"status":"completed","file_counts":{"total":-1}}`,
		"text/plain":      batchJSON,
		"trailing text":   batchJSON[:len(batchJSON)-1] + "} and more",
		"a second object": `{"id":"` + testBatch + `"}{"id":"vsfb_other"}`,
		"a second status": `{"id":"` + testBatch + `","status":"completed","status":"failed","file_counts":{}}`,
		"other case":      `{"id":"` + testBatch + `","ID":"vsfb_other","Status":"completed","file_counts":{}}`,
		"key in status":   `{"id":"` + testBatch + `","status":"` + testKey + `","file_counts":{}}`,
		"many fields":     `{"id":"` + testBatch + `"` + strings.Repeat(`,"a":0`, maxObjectTokens) + `}`,
		"deep":            `{"id":"` + testBatch + `","a":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`,
		"a long string":   `{"id":"` + testBatch + `","a":"` + strings.Repeat("a", maxTokenBytes) + `"}`,
		"too many bytes":  `{"id":"` + testBatch + `","a":[` + strings.Repeat(" ", maxObjectBytes) + `]}`,
		"later than time": `{"id":"` + testBatch + `","created_at":1e400,"status":"completed"}`,
		"a later year":    `{"id":"` + testBatch + `","created_at":1e18,"status":"","file_counts":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			contentType := "application/json"
			if name == "text/plain" {
				contentType = "text/plain"
			}
			client, _ := serve(t, respond(200, contentType, body), Options{})
			batch, err := client.Create(t.Context(), testCreate)
			if err != nil || batch.ID != testBatch || batch.Status != upstream.InProgress {
				t.Errorf("Create = %+v, %v; want %s in progress", batch, err, testBatch)
			}
		})
	}
}

func TestRetrieve_UnknownFieldsAndStatuses(t *testing.T) {
	body := `{"id":"` + testBatch + `","object":"something.new","status":"validating","created_at":1700000000,"new":{"a":[1]},` +
		`"file_counts":{"in_progress":1,"completed":2,"failed":3,"cancelled":4,"total":10,"skipped":5}}`
	client, _ := serve(t, respondJSON(200, body), Options{})
	got, err := client.Retrieve(t.Context(), testRef)
	want := upstream.Batch{
		ID:         testBatch,
		CreatedAt:  time.Unix(1700000000, 0).UTC(),
		Status:     "validating",
		FileCounts: upstream.FileCounts{InProgress: 1, Completed: 2, Failed: 3, Cancelled: 4, Total: 10},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Retrieve: %v (-want +got):\n%s", err, diff)
	}
}

func TestCreate_AtMostOneBatch(t *testing.T) {
	for name, test := range map[string]struct {
		fault emulator.Fault
		kind  upstream.ErrorKind
		made  int
	}{
		"500":                     {emulator.Fault{Status: 500}, upstream.UnknownOutcome, 0},
		"500 after the effect":    {emulator.Fault{Status: 500, AfterEffect: true}, upstream.UnknownOutcome, 1},
		"502 after the effect":    {emulator.Fault{Status: 502, AfterEffect: true, Body: "<html>"}, upstream.UnknownOutcome, 1},
		"409":                     {emulator.Fault{Status: 409}, upstream.Transient, 0},
		"dropped":                 {emulator.Fault{Action: emulator.Drop}, upstream.UnknownOutcome, 0},
		"dropped after it":        {emulator.Fault{Action: emulator.Drop, AfterEffect: true}, upstream.UnknownOutcome, 1},
		"truncated":               {emulator.Fault{Action: emulator.Truncate}, upstream.UnknownOutcome, 1},
		"wrong object":            {emulator.Fault{Action: emulator.WrongObject, AfterEffect: true}, upstream.UnknownOutcome, 1},
		"500 with X-Should-Retry": {emulator.Fault{Status: 500, Header: map[string]string{"X-Should-Retry": "true"}}, upstream.UnknownOutcome, 0},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := emulate(t, emulator.Settings{})
			if _, err := client.Retrieve(t.Context(), testRef); classified(t, err).Kind != upstream.NotFound { // so that the connection is reused
				t.Fatalf("Retrieve: %v, want not found", err)
			}
			test.fault.Operation = emulator.Create
			server.AddFault(test.fault)
			_, err := client.Create(t.Context(), testCreate)
			if failure := classified(t, err); failure.Kind != test.kind {
				t.Errorf("%v: %v, want %v", failure.Kind, failure, test.kind)
			}
			if calls := server.Calls(emulator.Create); len(calls) != 1 || server.CreateCount() != test.made {
				t.Errorf("%d requests created %d batches, want 1 and %d", len(calls), server.CreateCount(), test.made)
			}
		})
	}
}

func TestClient_ServerDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	client := dial(t, upstream.Connection{BaseURL: "http://" + address + "/v1"}, Options{})
	for name, call := range calls {
		failure := classified(t, call(t.Context(), client))
		if failure.Kind != upstream.Transient || !strings.Contains(failure.Message, address) || !strings.Contains(failure.Message, "OPENAI_BASE_URL") {
			t.Errorf("%s: %v: %v, want transient, and the host and OPENAI_BASE_URL in the message", name, failure.Kind, failure)
		}
	}
}

func TestCreate_TLSHandshakeFails(t *testing.T) {
	e := listen(t, respondJSON(200, batchJSON), start)
	client := dial(t, upstream.Connection{BaseURL: strings.Replace(e.URL, "http:", "https:", 1) + "/v1"}, Options{})
	if failure := classified(t, calls["create"](t.Context(), client)); failure.Kind != upstream.Transient {
		t.Errorf("%v: %v, want transient", failure.Kind, failure)
	}
}

func TestClient_RequestTimeout(t *testing.T) {
	trickle := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for range tick.C {
				if _, err := w.Write([]byte(" ")); err != nil || r.Context().Err() != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
			}
		}
	}
	for name, test := range map[string]struct {
		handle http.HandlerFunc
		status int
	}{
		"no response":           {hang, 0},
		"a slow response":       {trickle(200), 200},
		"a slow error response": {trickle(503), 503},
	} {
		t.Run(name, func(t *testing.T) {
			for name, call := range calls {
				var e *endpoint
				var failure *upstream.Error
				withIncreasingTimeout(t, func(timeout time.Duration) bool {
					var client *Client
					client, e = serve(t, test.handle, Options{RequestTimeout: timeout})
					failure = classified(t, call(t.Context(), client))
					return e.requests.Load() > 0 && failure.StatusCode == test.status
				})
				if failure.Kind != ambiguous(name) || e.requests.Load() != 1 {
					t.Errorf("%s: %v: %v after %d requests, want %v after 1", name, failure.Kind, failure, e.requests.Load(), ambiguous(name))
				}
				if test.status < 400 && !errors.Is(failure, context.DeadlineExceeded) {
					t.Errorf("%s: %v, want context.DeadlineExceeded", name, failure)
				}
			}
		})
	}
}

// withIncreasingTimeout calls try with increasing timeouts until it returns true, so that the test
// works on slow machines.
func withIncreasingTimeout(t *testing.T, try func(timeout time.Duration) (sufficient bool)) {
	t.Helper()
	for timeout := 20 * time.Millisecond; timeout < time.Minute; timeout *= 4 {
		if try(timeout) {
			return
		}
	}
	t.Fatal("no timeout was sufficient")
}

func TestClient_DeadlineOfCaller(t *testing.T) {
	for name, call := range calls {
		var err error
		withIncreasingTimeout(t, func(timeout time.Duration) bool {
			client, e := serve(t, hang, Options{RequestTimeout: time.Hour})
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			err = call(ctx, client)
			return e.requests.Load() > 0
		})
		if !errors.Is(err, context.DeadlineExceeded) || classified(t, err).Kind != ambiguous(name) {
			t.Errorf("%s: %v, want %v and context.DeadlineExceeded", name, err, ambiguous(name))
		}
	}
}

func TestClient_CanceledContext(t *testing.T) {
	for name, call := range calls {
		ctx, cancel := context.WithCancel(t.Context())
		client, e := serve(t, func(w http.ResponseWriter, r *http.Request) {
			cancel()
			hang(w, r)
		}, Options{})
		err := call(ctx, client)
		if classified(t, err).Kind != ambiguous(name) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled after it was sent: %v: %v, want %v", name, classified(t, err).Kind, err, ambiguous(name))
		}
		e.requests.Store(0)
		err = call(ctx, client)
		if classified(t, err).Kind != upstream.Transient || !errors.Is(err, context.Canceled) || e.requests.Load() != 0 {
			t.Errorf("%s, cancelled before: %v: %v after %d requests, want transient after none", name, classified(t, err).Kind, err, e.requests.Load())
		}
	}
}

func TestClient_EndlessResponses(t *testing.T) {
	const length = 64 << 20 // far more than the limits and the socket buffers
	for name, test := range map[string]struct {
		begin, chunk, message string
	}{
		"text":    {"", "a", "it is not a JSON object"},
		"space":   {"", " ", "longer than"},
		"string":  {`{"a":"`, "a", "longer than 65536 bytes"},
		"number":  {`{"a":`, "1", "longer than 65536 bytes"},
		"fields":  {`{"a":0`, `,"a":0`, "too many values"},
		"arrays":  {`{"a":`, "[", "nested too deeply"},
		"objects": {`{"a":`, `{"":`, "nested too deeply"},
		"list":    {`{"data":[0`, ",0", "returned an invalid response"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, status := range []int{200, 500} {
				written := make(chan int, 1)
				client, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(status)
					_, _ = io.WriteString(w, test.begin)
					total, chunk := 0, []byte(strings.Repeat(test.chunk, 1<<14))
					for n, err := 0, error(nil); err == nil && total < length; total += n {
						n, err = w.Write(chunk)
					}
					written <- total
				}, Options{MaxResponseBytes: 1 << 20})
				for name, call := range calls {
					failure := classified(t, call(t.Context(), client))
					if failure.Kind != ambiguous(name) || failure.StatusCode != status {
						t.Errorf("%s, %d: %v: %v, want %v", name, status, failure.Kind, failure, ambiguous(name))
					}
					if status == 200 && !strings.Contains(failure.Message, test.message) {
						t.Errorf("%s: message %q, want %q in it", name, failure.Message, test.message)
					}
					if got := <-written; got >= length {
						t.Errorf("%s, %d: the client read all %d bytes", name, status, got)
					}
				}
			}
		})
	}
}

func TestClient_RetryAfter(t *testing.T) {
	for name, test := range map[string]struct {
		header []string
		want   time.Duration
	}{
		"no header":    {nil, 0},
		"seconds":      {[]string{"Retry-After", "7"}, 7 * time.Second},
		"milliseconds": {[]string{"Retry-After-Ms", "1500", "Retry-After", "7"}, 1500 * time.Millisecond},
		"far date":     {[]string{"Retry-After", time.Now().Add(30 * 24 * time.Hour).UTC().Format(http.TimeFormat)}, 7 * 24 * time.Hour},
		"past date":    {[]string{"Retry-After", "Mon, 02 Jan 2006 15:04:05 GMT"}, 0},
		"negative":     {[]string{"Retry-After", "-7"}, 0},
		"huge":         {[]string{"Retry-After", "99999999999999999999999"}, 7 * 24 * time.Hour},
		"overflow":     {[]string{"Retry-After", "1e999"}, 7 * 24 * time.Hour},
		"not a number": {[]string{"Retry-After", "NaN"}, 0},
		"invalid":      {[]string{"Retry-After", "soon"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			body := `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`
			client, _ := serve(t, respondJSON(429, body, test.header...), Options{})
			for name, call := range calls {
				failure := classified(t, call(t.Context(), client))
				if failure.Kind != upstream.RateLimited || failure.RetryAfter != test.want || failure.Code != "insufficient_quota" {
					t.Errorf("%s: %v: %v, code %q, retry after %v; want %v", name, failure.Kind, failure, failure.Code, failure.RetryAfter, test.want)
				}
			}
		})
	}
}

func TestRetryAfter_Date(t *testing.T) {
	when := time.Now().Add(10 * time.Minute)
	got := retryAfter(http.Header{"Retry-After": {when.UTC().Format(http.TimeFormat)}})
	if got <= 0 || got > 10*time.Minute {
		t.Errorf("retryAfter = %v, want at most 10 minutes", got)
	}
}

func TestClient_ErrorMessages(t *testing.T) {
	for name, test := range map[string]struct {
		contentType, body string
		code, message     string
	}{
		"OpenAI's":         {"application/json", `{"error":{"message":"m","code":"c","type":"t"}}`, "c", "m"},
		"no code":          {"application/json", `{"error":{"message":"m","code":null,"type":"t"}}`, "t", "m"},
		"number for code":  {"application/json", `{"error":{"message":"m","code":400}}`, "400", "m"},
		"as text":          {"text/plain", `{"error":{"message":"m","code":"c"}}`, "c", "m"},
		"upper case":       {"application/json", `{"Error":{"Message":"m"}}`, "", "HOST returned 400 Bad Request"},
		"no message":       {"application/json", `{"error":{"code":"c"}}`, "c", "HOST returned 400 Bad Request"},
		"text":             {"application/json", `{"error":"m"}`, "", "m"},
		"top-level":        {"application/json", `{"message":"m"}`, "", "m"},
		"detail":           {"application/json", `{"detail":"m"}`, "", "m"},
		"odd detail":       {"application/json", `{"detail":[{"loc":["body"]}]}`, "", "HOST returned 400 Bad Request"},
		"null":             {"application/json", `{"error":null}`, "", "HOST returned 400 Bad Request"},
		"no JSON":          {"application/json", `{"error":`, "", "HOST returned 400 Bad Request"},
		"more than JSON":   {"application/json", `{"error":{"message":"m"}} x`, "", "HOST returned 400 Bad Request"},
		"a list":           {"application/json", `[{"error":{"message":"m"}}]`, "", "HOST returned 400 Bad Request"},
		"HTML":             {"text/html", "\n<html><body>Bad gateway</body></html>", "", "HOST returned 400 Bad Request with an HTML page"},
		"empty":            {"text/plain", "", "", "HOST returned 400 Bad Request"},
		"bytes":            {"application/octet-stream", "\x00\xff", "", "HOST returned 400 Bad Request"},
		"control":          {"application/json", quote("a\u0000\u001b[31m\nb\u202ec\u2028d"), "", "a [31m b c d"},
		"invalid UTF-8":    {"application/json", quote("a\xffb"), "", "a\uFFFDb"},
		"spaces only":      {"application/json", quote(" \t\u200b"), "", "HOST returned 400 Bad Request"},
		"longest":          {"application/json", quote(strings.Repeat("ä", maxMessage)), "", strings.Repeat("ä", maxMessage)},
		"too long":         {"application/json", quote(strings.Repeat("ä", maxMessage+1)), "", strings.Repeat("ä", maxMessage-1) + "…"},
		"one long word":    {"application/json", quote(strings.Repeat("ä", 25000)), "", strings.Repeat("ä", maxMessage-1) + "…"},
		"too long a body":  {"application/json", quote(strings.Repeat("a", maxErrorBytes)), "", "HOST returned 400 Bad Request"},
		"a key":            {"application/json", quote("key " + testKey + " is bad"), "", "key [redacted] is bad"},
		"a masked key":     {"application/json", quote("Incorrect API key provided: sk-proj-****abcd. See"), "", "Incorrect API key provided: [redacted]. See"},
		"a header":         {"application/json", quote("got Authorization: Bearer eyJhbGciOi.J9-x"), "", "got Authorization: [redacted]"},
		"words like a key": {"application/json", quote("a task-list and a risk-based disk-usage"), "", "a task-list and a risk-based disk-usage"},
		"a key at the cut": {"application/json", quote(strings.Repeat("a ", 508) + testKey), "", strings.Repeat("a ", 508) + "[redact…"},
		"a key behind space": {
			"application/json", quote("a" + strings.Repeat(" ", maxSanitized-20) + testKey), "", "a [redacted]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, respond(400, test.contentType, test.body), Options{})
			failure := classified(t, calls["create"](t.Context(), client))
			message := strings.Replace(test.message, "HOST", client.host, 1)
			want := upstream.Error{Kind: upstream.Rejected, Host: client.host, StatusCode: 400, Code: test.code, Message: message}
			if diff := cmp.Diff(want, *failure); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if utf8.RuneCountInString(failure.Message) > maxMessage || !utf8.ValidString(failure.Message) {
				t.Errorf("message of %d characters, want valid UTF-8 of at most %d", utf8.RuneCountInString(failure.Message), maxMessage)
			}
		})
	}
}

// quote returns an error of the API with a message.
func quote(message string) string {
	escaped := strings.NewReplacer("\x00", `\u0000`, "\x1b", `\u001b`, "\n", `\n`, "\t", `\t`).Replace(message)
	return `{"error":{"message":"` + escaped + `"}}`
}

// TestClient_QuotesOnlyErrorsOfAPIs covers what other services return, which can be confidential, and the
// errors of compatible servers and gateways.
func TestClient_QuotesOnlyErrorsOfAPIs(t *testing.T) {
	for name, test := range map[string]struct {
		contentType, body, code, message string
	}{
		"OGX, not found":         {"application/json", `{"error":{"message":"File f not found in vector store v"}}`, "", "File f not found in vector store v"},
		"LiteLLM":                {"application/json", `{"error":{"message":"No such model","type":"None","param":"None","code":"401"}}`, "401", "No such model"},
		"LiteLLM, detail":        {"application/json", `{"detail":{"error":"Authentication Error"}}`, "", "Authentication Error"},
		"FastAPI":                {"application/json", `{"detail":"Not Found"}`, "", "Not Found"},
		"FastAPI, invalid":       {"application/json", `{"detail":[{"loc":["body","files"],"msg":"field required","type":"missing"},{"msg":"other"}]}`, "", "field required"},
		"Ollama":                 {"application/json; charset=utf-8", `{"error":"model not found"}`, "", "model not found"},
		"Azure OpenAI":           {"application/json", `{"error":{"code":"quotaExceeded","message":"Too many files"}}`, "quotaExceeded", "Too many files"},
		"Azure API Management":   {"application/json", `{"statusCode":401,"message":"Access denied due to invalid subscription key"}`, "", "Access denied due to invalid subscription key"},
		"Kong":                   {"application/json", `{"message":"no Route matched","request_id":"1"}`, "", "no Route matched"},
		"a problem":              {"application/problem+json", `{"type":"about:blank","detail":"no such path"}`, "", "no such path"},
		"text before a message":  {"application/json", `{"message":"second","error":"first"}`, "", "first"},
		"message before detail":  {"application/json", `{"detail":"second","message":"first"}`, "", "first"},
		"object before all":      {"application/json", `{"message":"second","error":{"message":"first"}}`, "", "first"},
		"message of a number":    {"application/json", `{"error":{"message":5}}`, "", "5"},
		"plain text":             {"text/plain", "no healthy upstream", "", ""},
		"a banner":               {"text/plain", "SSH-2.0-OpenSSH_9.6", "", ""},
		"other JSON":             {"application/json", `{"AccessKeyId":"AKIA","SecretAccessKey":"hunter2"}`, "", ""},
		"a JSON string":          {"application/json", `"hunter2"`, "", ""},
		"a list":                 {"application/json", `["hunter2",{"message":"hunter2"}]`, "", ""},
		"message, as text":       {"text/plain", `{"message":"hunter2"}`, "", ""},
		"detail, no type":        {"", `{"detail":"hunter2"}`, "", ""},
		"error text, as text":    {"text/plain", `{"error":"hunter2"}`, "", ""},
		"a nested message":       {"application/json", `{"data":{"message":"hunter2"}}`, "", ""},
		"XML":                    {"application/xml", `<error><message>hunter2</message></error>`, "", " with an HTML page"},
		"other fields of errors": {"application/json", `{"error":{"stack":"hunter2"}}`, "", ""},
		"a deep error":           {"application/json", `{"error":[[["hunter2"]]],"detail":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`, "", ""},
		"many values":            {"application/json", `{"error":{"message":"m"},"a":[0` + strings.Repeat(",0", maxErrorTokens) + `]}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, respond(403, test.contentType, test.body), Options{})
			failure := classified(t, calls["retrieve"](t.Context(), client))
			want := test.message
			if want == "" || strings.HasPrefix(want, " ") {
				want = client.host + " returned 403 Forbidden" + want
			}
			if failure.Message != want || failure.Code != test.code {
				t.Errorf("message %q, code %q; want %q, %q", failure.Message, failure.Code, want, test.code)
			}
		})
	}
}

// TestClient_QuotesNoForeignProtocol uses servers that are no HTTP servers.
func TestClient_QuotesNoForeignProtocol(t *testing.T) {
	for name, answer := range map[string]string{
		"a banner":        "SSH-2.0-hunter2\r\n",
		"a line":          "hunter2 is hunter2\r\n\r\n",
		"a status":        "HTTP/1.1 hunter2\r\n\r\n",
		"a header":        "HTTP/1.1 200 OK\r\nhunter2\r\n\r\n",
		"a space":         "HTTP/1.1 200 OK\r\n hunter2: a\r\n\r\n",
		"a length":        "HTTP/1.1 200 OK\r\nContent-Length: hunter2\r\n\r\n",
		"an encoding":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: hunter2\r\n\r\n",
		"a chunk":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhunter2\r\n",
		"another content": "HTTP/1.1 200 OK\r\nContent-Encoding: hunter2\r\nContent-Length: 2\r\n\r\n{}",
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				connection, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(connection, answer)
				_ = connection.Close()
			}, Options{})
			failure := classified(t, calls["retrieve"](t.Context(), client))
			if failure.Kind != upstream.Transient || strings.Contains(failure.Message, "hunter2") || !strings.Contains(failure.Message, client.host) {
				t.Errorf("%v: %s", failure.Kind, failure.Message)
			}
		})
	}
}

// TestClient_ErrorsContainNoKey uses a server that returns the credentials in every place that errors
// are built from.
func TestClient_ErrorsContainNoKey(t *testing.T) {
	const opaque, organization, project = "opaque+key/0123=", "org-Xy12", "proj_Zw34"
	echo := func(status int, format, contentType string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			secrets := r.Header.Get("Authorization") + " " + strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") +
				" " + r.Header.Get("OpenAI-Organization") + " " + r.Header.Get("OpenAI-Project")
			for _, name := range []string{"X-Request-Id", "Retry-After", "Openai-Poll-After-Ms"} {
				w.Header().Set(name, secrets)
			}
			w.Header().Set("Location", "https://"+organization+".example/"+opaque)
			respond(status, contentType, strings.ReplaceAll(format, "%", secrets))(w, r)
		}
	}
	handlers := map[string]http.HandlerFunc{"broken": dropConnection, "silent": hang, "not HTTP": respondGarbage}
	for _, status := range []int{200, 201, 302, 400, 401, 403, 404, 408, 409, 429, 500, 503} {
		for name, format := range map[string]string{
			"OpenAI's":  `{"error":{"message":"%","code":"%","type":"%","param":"%"}}`,
			"text":      `{"error":"%"}`,
			"of fields": `{"id":"%","status":"%","vector_store_id":"%","data":[{"id":"%"}],"file_counts":{}}`,
			"bare":      `%`,
			"HTML":      `<html>%`,
		} {
			handlers[fmt.Sprintf("%d %s", status, name)] = echo(status, format, "application/json")
			handlers[fmt.Sprintf("%d %s, as text", status, name)] = echo(status, format, "text/plain")
		}
	}
	for name, handle := range handlers {
		e := listen(t, handle, start)
		for _, key := range []string{testKey, opaque} {
			client := dial(t, upstream.Connection{
				BaseURL: e.URL + "/v1", APIKey: key, Organization: organization, Project: project,
			}, Options{RequestTimeout: 200 * time.Millisecond})
			for operation, call := range calls {
				err := call(t.Context(), client)
				if err == nil {
					t.Errorf("%s, %s: no error", name, operation)
				}
				expectNoSecrets(t, err, key, organization, project)
			}
			if printed := fmt.Sprintf("%v %+v %#v %s", client, client, client, client); strings.Contains(printed, key) {
				t.Errorf("printing a client shows its key: %s", printed)
			}
		}
	}
}

// respondGarbage responds with invalid HTTP that contains the key where net/http quotes it.
func respondGarbage(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = fmt.Fprintf(connection, "HTTP/1.1 %s\r\n\r\n", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	_ = connection.Close()
}

func TestRetrieve_KeyAsID(t *testing.T) {
	client, _ := serve(t, dropConnection, Options{})
	_, err := client.Retrieve(t.Context(), upstream.BatchRef{VectorStoreID: testKey + "/", BatchID: testBatch})
	expectNoSecrets(t, err, testKey)
}

// TestClient_NotFoundNamesPath checks that a 404 that can be due to the base URL names the path and the key
// of the Secret, and that one of an API's own errors about an object stays what it is.
func TestClient_NotFoundNamesPath(t *testing.T) {
	for name, test := range map[string]struct {
		path, body string
		want       []string
		wantNot    string
	}{
		"no path":                     {"", `{"detail":"Not Found"}`, []string{"{OPENAI_BASE_URL}/vector_stores/vs_1/file_batches", "Not Found", "has no path", "/v1"}, ""},
		"only a slash":                {"/", `{"error":{"message":"Invalid URL (POST /vector_stores)"}}`, []string{"Invalid URL", "has no path", "/v1"}, ""},
		"another path, HTML":          {"/secret-path", "<html>Not Found</html>", []string{"{OPENAI_BASE_URL}/vector_stores/vs_1/file_batches", "includes the path"}, "secret-path"},
		"another path, empty":         {"/openai", "", []string{"{OPENAI_BASE_URL}/vector_stores/vs_1/file_batches", "includes the path"}, ""},
		"an API's error on an object": {"/v1", `{"error":{"message":"No vector store found with id 'vs_1'."}}`, []string{"No vector store found with id 'vs_1'."}, "OPENAI_BASE_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(respondJSON(http.StatusNotFound, test.body))
			defer server.Close()
			client, err := Dial(upstream.Connection{APIKey: testKey, BaseURL: server.URL + test.path}, Options{Endpoints: upstream.EndpointPolicy{AllowInsecure: true}, Addresses: upstream.AnyAddress()})
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Create(t.Context(), upstream.CreateRequest{VectorStoreID: "vs_1", FileIDs: []string{"file-1"}})
			failure := classified(t, err)
			if failure.Kind != upstream.NotFound {
				t.Errorf("the kind is %s", failure.Kind)
			}
			for _, want := range test.want {
				if !strings.Contains(failure.Message, want) {
					t.Errorf("the message does not contain %q: %s", want, failure.Message)
				}
			}
			if test.wantNot != "" && strings.Contains(failure.Message, test.wantNot) {
				t.Errorf("the message contains %q: %s", test.wantNot, failure.Message)
			}
		})
	}
}

// TestStatusMessage_Redirects requires that a status code counts as a redirect from 300 to 399.
func TestStatusMessage_Redirects(t *testing.T) {
	client := testClient()
	for status, want := range map[int]bool{299: false, 300: true, 304: true, 399: true, 400: false} {
		if got := client.statusMessage(&exchange{status: status}); strings.Contains(got, "a redirect") != want {
			t.Errorf("%d: %s", status, got)
		}
	}
}

func TestRedirectTarget(t *testing.T) {
	for location, want := range map[string]string{
		"https://other.example/v1?key=1": " to https://other.example", "//other.example/v1": " to other.example",
		"/v2": "", "": "", "https://[": "", "mailto:a@b.example": "",
	} {
		if got := redirectTarget(http.Header{"Location": {location}}); got != want {
			t.Errorf("%q: %q, want %q", location, got, want)
		}
	}
}

func TestSucceeded(t *testing.T) {
	for status, want := range map[int]bool{0: false, 199: false, 200: true, 299: true, 300: false} {
		if got := (&exchange{status: status}).succeeded(); got != want {
			t.Errorf("%d: %t", status, got)
		}
	}
}
