// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func countNew(accepted *atomic.Int64) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			accepted.Add(1)
		}
	}
}

func startTLS(s *httptest.Server) { s.StartTLS() }

// caBundle returns the certificate of a server as a value for ca.crt; empty without TLS.
func caBundle(e *endpoint) string {
	if e.Certificate() == nil {
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Certificate().Raw}))
}

func TestDial_InvalidConnection(t *testing.T) {
	for name, test := range map[string]struct {
		connection upstream.Connection
		options    Options
		kind       upstream.ErrorKind
		names      string
	}{
		"no key":                 {upstream.Connection{APIKey: " \n"}, Options{}, upstream.NoCredentials, "OPENAI_API_KEY"},
		"line break in the key":  {upstream.Connection{APIKey: testKey + "\nX-Evil: 1"}, Options{}, upstream.Unauthorized, "OPENAI_API_KEY"},
		"space in the key":       {upstream.Connection{APIKey: testKey + " x"}, Options{}, upstream.Unauthorized, "OPENAI_API_KEY"},
		"non-ASCII key":          {upstream.Connection{APIKey: testKey + "ä"}, Options{}, upstream.Unauthorized, "OPENAI_API_KEY"},
		"NUL in the key":         {upstream.Connection{APIKey: testKey + "\x00x"}, Options{}, upstream.Unauthorized, "OPENAI_API_KEY"},
		"key in quotation marks": {upstream.Connection{APIKey: `"` + testKey + "\"\n"}, Options{}, upstream.Unauthorized, "OPENAI_API_KEY is in quotation marks"},
		"one quotation mark":     {upstream.Connection{APIKey: testKey + "'"}, Options{}, upstream.Unauthorized, "OPENAI_API_KEY is in quotation marks"},
		"curly quotation marks":  {upstream.Connection{APIKey: "\u201c" + testKey + "\u201d"}, Options{}, upstream.Unauthorized, "remove the quotation marks"},
		"quoted project":         {upstream.Connection{APIKey: testKey, Project: "'p'"}, Options{}, upstream.Unauthorized, "OPENAI_PROJECT_ID is in quotation marks"},
		"quoted URL":             {upstream.Connection{APIKey: testKey, BaseURL: `"https://a.example/v1"`}, Options{}, upstream.Unauthorized, "OPENAI_BASE_URL is in quotation marks"},
		"bad organization":       {upstream.Connection{APIKey: testKey, Organization: "a\r\nb"}, Options{}, upstream.Unauthorized, "OPENAI_ORG_ID"},
		"bad project":            {upstream.Connection{APIKey: testKey, Project: "a\tb"}, Options{}, upstream.Unauthorized, "OPENAI_PROJECT_ID"},
		"plain http":             {upstream.Connection{APIKey: testKey, BaseURL: "http://127.0.0.1"}, Options{}, upstream.NotAllowed, "--allow-insecure-endpoints"},
		"no URL":                 {upstream.Connection{APIKey: testKey, BaseURL: "https://" + testKey + "%"}, Options{}, upstream.Unauthorized, "OPENAI_BASE_URL"},
		"password in the URL":    {upstream.Connection{APIKey: testKey, BaseURL: "https://u:" + testKey + "@a.example"}, Options{}, upstream.Unauthorized, "OPENAI_BASE_URL"},
		"endpoint not permitted": {upstream.Connection{APIKey: testKey}, Options{Endpoints: upstream.EndpointPolicy{Allowed: []string{"b.example"}}}, upstream.NotAllowed, "--allowed-endpoints"},
		"no certificate":         {upstream.Connection{APIKey: testKey, CABundle: "secret " + testKey}, Options{}, upstream.Unauthorized, "ca.crt"},
		"broken certificate": {upstream.Connection{
			APIKey: testKey, CABundle: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		}, Options{}, upstream.Unauthorized, "ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Dial(test.connection, test.options)
			failure := classified(t, err)
			if failure.Kind != test.kind || !strings.Contains(failure.Message, test.names) {
				t.Errorf("Dial: %v: %v, want %v and a message that contains %s", failure.Kind, failure, test.kind, test.names)
			}
			expectNoSecrets(t, err, testKey)
		})
	}
}

func TestDial_TrimsWhitespace(t *testing.T) {
	headers := make(chan http.Header, 1)
	e := listen(t, func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header
		respondJSON(200, batchJSON)(w, r)
	}, start)
	client := dial(t, upstream.Connection{
		BaseURL: e.URL + "/v1/\n", APIKey: testKey + "\r\n", Organization: "org-a\n", Project: " proj_b", CABundle: "\n",
	}, Options{})
	if _, err := client.Retrieve(t.Context(), testRef); err != nil {
		t.Fatalf("Retrieve: %v", err)
	}
	got := <-headers
	for name, want := range map[string]string{
		"Authorization": "Bearer " + testKey, "OpenAI-Organization": "org-a", "OpenAI-Project": "proj_b",
	} {
		if diff := cmp.Diff([]string{want}, got.Values(name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestClient_IgnoresEnvironment(t *testing.T) {
	other := listen(t, respondJSON(200, batchJSON), start)
	for name, value := range map[string]string{
		"OPENAI_API_KEY": "sk-of-another-tenant", "OPENAI_ADMIN_KEY": "sk-admin-of-another-tenant",
		"OPENAI_ORG_ID": "org-of-another-tenant", "OPENAI_PROJECT_ID": "proj-of-another-tenant",
		"OPENAI_BASE_URL": other.URL, "OPENAI_CUSTOM_HEADERS": "X-Custom: of-another-tenant",
		"OPENAI_WEBHOOK_SECRET": "of-another-tenant",
	} {
		t.Setenv(name, value)
	}
	client, e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			if strings.Contains(fmt.Sprint(values), "another-tenant") {
				t.Errorf("%s %s has %s: %q", r.Method, r.URL.Path, name, values)
			}
		}
		if got := r.Header.Get("Authorization"); got != "Bearer "+testKey {
			t.Errorf("Authorization is %q", got)
		}
		for _, name := range []string{"OpenAI-Organization", "OpenAI-Project", "X-Custom"} {
			if got := r.Header.Values(name); got != nil {
				t.Errorf("%s is %q, want it absent", name, got)
			}
		}
		if got := r.Header.Get("User-Agent"); got != "vector-store-operator/test" {
			t.Errorf("User-Agent is %q", got)
		}
		respondJSON(200, batchJSON)(w, r)
	}, Options{UserAgent: "vector-store-operator/test"})
	for _, call := range calls {
		_ = call(t.Context(), client) // the response is not valid for all of them
	}
	if e.requests.Load() != int64(len(calls)) || other.requests.Load() != 0 {
		t.Errorf("%d requests here and %d to the other server, want %d here", e.requests.Load(), other.requests.Load(), len(calls))
	}
	if client := dial(t, upstream.Connection{}, Options{}); client.host != "api.openai.com" {
		t.Errorf("a connection without a base URL calls %s, want api.openai.com", client.host)
	}
}

func TestClient_PrivateCA(t *testing.T) {
	e := listen(t, respondJSON(200, batchJSON), startTLS)
	trusting := dial(t, upstream.Connection{BaseURL: e.URL + "/v1", CABundle: caBundle(e)}, Options{})
	if _, err := trusting.Create(t.Context(), testCreate); err != nil {
		t.Errorf("Create with the CA of the connection: %v", err)
	}
	withOperatorCA := dial(t, upstream.Connection{BaseURL: e.URL + "/v1"}, Options{CABundle: caBundle(e)})
	if _, err := withOperatorCA.Create(t.Context(), testCreate); err != nil {
		t.Errorf("Create with the CA of the operator: %v", err)
	}
	e.requests.Store(0)
	untrusting := dial(t, upstream.Connection{BaseURL: e.URL + "/v1"}, Options{})
	for name, call := range calls {
		failure := classified(t, call(t.Context(), untrusting))
		if failure.Kind != upstream.Transient || !strings.Contains(failure.Message, "ca.crt") {
			t.Errorf("%s without the CA: %v: %v, want transient, and ca.crt in the message", name, failure.Kind, failure)
		}
	}
	wrongName := dial(t, upstream.Connection{
		BaseURL: strings.Replace(e.URL, "127.0.0.1", "localhost", 1) + "/v1", CABundle: caBundle(e),
	}, Options{})
	if failure := classified(t, calls["create"](t.Context(), wrongName)); failure.Kind != upstream.Transient {
		t.Errorf("certificate for another name: %v: %v, want transient", failure.Kind, failure)
	}
	if e.requests.Load() != 0 {
		t.Errorf("%d requests reached an untrusted server", e.requests.Load())
	}
}

func TestClient_OldTLS(t *testing.T) {
	e := listen(t, respondJSON(200, batchJSON), func(s *httptest.Server) {
		s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		s.StartTLS()
	})
	client := dial(t, upstream.Connection{BaseURL: e.URL + "/v1", CABundle: caBundle(e)}, Options{})
	if failure := classified(t, calls["create"](t.Context(), client)); failure.Kind != upstream.Transient || e.requests.Load() != 0 {
		t.Errorf("%v: %v, %d requests; want transient and none", failure.Kind, failure, e.requests.Load())
	}
}

func TestClient_RedirectToOtherOrigin(t *testing.T) {
	other := listen(t, respondJSON(200, batchJSON), start)
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, call := range calls {
			client, e := serve(t, respondJSON(status, "", "Location", other.URL+"/v1/stolen?token=secret-path"), Options{})
			failure := classified(t, call(t.Context(), client))
			if failure.Kind != upstream.Rejected || failure.StatusCode != status {
				t.Errorf("%s, %d: %v: %v, want rejected", name, status, failure.Kind, failure)
			}
			if !strings.Contains(failure.Message, other.URL) || strings.Contains(failure.Message, "secret-path") {
				t.Errorf("%s, %d: message %q, want the origin of the other server, and no more", name, status, failure.Message)
			}
			if e.requests.Load() != 1 {
				t.Errorf("%s, %d: %d requests, want 1", name, status, e.requests.Load())
			}
		}
	}
	if other.requests.Load() != 0 {
		t.Errorf("%d requests reached the other server", other.requests.Load())
	}
}

func TestClient_RedirectToHTTP(t *testing.T) {
	e := listen(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+"/v1/plain", http.StatusFound)
	}, startTLS)
	client := dial(t, upstream.Connection{BaseURL: e.URL + "/v1", CABundle: caBundle(e)}, Options{})
	if failure := classified(t, calls["retrieve"](t.Context(), client)); failure.Kind != upstream.Rejected || e.requests.Load() != 1 {
		t.Errorf("%v: %v after %d requests, want rejected after 1", failure.Kind, failure, e.requests.Load())
	}
}

func TestClient_RedirectWithinOrigin(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		handle := func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/moved") {
				respondJSON(200, batchJSON)(w, r)
				return
			}
			http.Redirect(w, r, "/moved"+r.URL.Path, status)
		}
		client, e := serve(t, handle, Options{})
		if batch, err := client.Retrieve(t.Context(), testRef); err != nil || batch.ID != testBatch || e.requests.Load() != 2 {
			t.Errorf("%d, retrieve: %v, %v after %d requests; want it followed", status, batch, err, e.requests.Load())
		}
		for _, name := range []string{"create", "cancel"} {
			e.requests.Store(0)
			if err := calls[name](t.Context(), client); classified(t, err).Kind != upstream.Rejected || e.requests.Load() != 1 {
				t.Errorf("%d, %s: %v after %d requests; want rejected after 1", status, name, err, e.requests.Load())
			}
		}
	}
}

func TestClient_RedirectLoop(t *testing.T) {
	client, e := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, Options{})
	if failure := classified(t, calls["retrieve"](t.Context(), client)); failure.Kind != upstream.Rejected || e.requests.Load() != 1+maxRedirects {
		t.Errorf("%v: %v after %d requests, want rejected after %d", failure.Kind, failure, e.requests.Load(), 1+maxRedirects)
	}
}

// TestCreate_NotRepeatedOverHTTP2 covers resets of a stream that the transport of net/http
// handles by repeating the request.
func TestCreate_NotRepeatedOverHTTP2(t *testing.T) {
	for _, code := range []http2.ErrCode{http2.ErrCodeProtocol, http2.ErrCodeRefusedStream, http2.ErrCodeInternal} {
		t.Run(code.String(), func(t *testing.T) {
			var posts atomic.Int64
			e := listen(t, nil, func(s *httptest.Server) {
				s.TLS = &tls.Config{NextProtos: []string{"h2"}}
				s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
					"h2": func(_ *http.Server, connection *tls.Conn, _ http.Handler) { resetStreams(connection, code, &posts) },
				}
				s.StartTLS()
			})
			client := dial(t, upstream.Connection{BaseURL: e.URL + "/v1", CABundle: caBundle(e)}, Options{})
			if failure := classified(t, calls["create"](t.Context(), client)); failure.Kind != upstream.UnknownOutcome {
				t.Errorf("%v: %v, want an unknown outcome", failure.Kind, failure)
			}
			if posts.Load() != 1 {
				t.Errorf("the request was sent %d times, want once", posts.Load())
			}
		})
	}
}

// resetStreams reads complete requests and resets the stream of each.
func resetStreams(connection *tls.Conn, code http2.ErrCode, requests *atomic.Int64) {
	if _, err := io.ReadFull(connection, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(connection, connection)
	err := framer.WriteSettings()
	for err == nil {
		var frame http2.Frame
		if frame, err = framer.ReadFrame(); err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = framer.WriteSettingsAck()
			}
		case *http2.DataFrame:
			if frame.StreamEnded() {
				requests.Add(1)
				err = framer.WriteRSTStream(frame.StreamID, code)
			}
		}
	}
}

// The SDK, with the cloud SDKs that it imports, would add 18 MB to the manager.
func TestDependencies_StandardLibrary(t *testing.T) {
	const own = "github.com/vector-store-operator/vector-store-operator/internal/upstream"
	packages, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("the go command is not installed")
	}
	if got, want := strings.Fields(string(packages)), []string{own, own + "/openai"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%s is linked besides the standard library, want %s: %v", got, want, err)
	}
}

// TestRootCAs_KeepsTheSystems requires that the CAs of a Secret and of the operator are trusted in addition to those of
// the system.
func TestRootCAs_KeepsTheSystems(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	bundle := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	want, err := x509.SystemCertPool()
	if err != nil {
		want = x509.NewCertPool()
	}
	want.AddCert(server.Certificate())
	for name, bundles := range map[string][2]string{"Secret": {bundle, ""}, "operator": {"", bundle}, "both": {bundle, bundle}} {
		if got, err := rootCAs(bundles[0], bundles[1]); err != nil || !got.Equal(want) {
			t.Errorf("%s: the CAs are not those of the system and the bundle; error %v", name, err)
		}
	}
	if got, err := rootCAs(" \n", ""); got != nil || err != nil {
		t.Errorf("without a bundle: %v, %v", got, err)
	}
}

// TestNewPool_Timeouts requires that no connection hangs for longer than a request may take, and that one which is idle
// is closed before common load balancers close it after a minute.
func TestNewPool_Timeouts(t *testing.T) {
	pool, dialer := newPool(nil, nil), newDialer(nil)
	for name, test := range map[string]struct{ got, want time.Duration }{
		"dial":             {dialer.Timeout, 10 * time.Second},
		"TCP keep-alive":   {dialer.KeepAlive, 30 * time.Second},
		"TLS handshake":    {pool.TLSHandshakeTimeout, 10 * time.Second},
		"HTTP/2 ping":      {pool.HTTP2.SendPingTimeout, 15 * time.Second},
		"answer to a ping": {pool.HTTP2.PingTimeout, 10 * time.Second},
		"idle connection":  {pool.IdleConnTimeout, 50 * time.Second},
	} {
		if test.got != test.want {
			t.Errorf("%s: %s, want %s", name, test.got, test.want)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"https://a.example/v1", "https://A.example:443/v2", true},
		{"http://a.example/v1", "http://a.example:80/v2", true},
		{"https://a.example:8443", "https://a.example:8443", true},
		{"https://a.example", "http://a.example", false},
		{"https://a.example", "http://a.example:443", false},
		{"https://a.example", "https://b.example", false},
		{"https://a.example", "https://a.example:80", false},
		{"http://a.example", "http://a.example:443", false},
		{"https://a.example:8443", "https://a.example", false},
		{"http://a.example:8080", "http://a.example:8081", false},
	} {
		a, err := url.Parse(test.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := url.Parse(test.b)
		if err != nil {
			t.Fatal(err)
		}
		if sameOrigin(a, b) != test.want || sameOrigin(b, a) != test.want {
			t.Errorf("%s and %s: want %t", a, b, test.want)
		}
	}
}
