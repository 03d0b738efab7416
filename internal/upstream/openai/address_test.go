// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// refuseLoopback is a policy that refuses the loopback interface.
var refuseLoopback = upstream.AddressPolicy{Allowed: []netip.Prefix{}}

func TestClient_RefusedAddress(t *testing.T) {
	e := listen(t, respondJSON(200, batchJSON), start)
	_, port, err := net.SplitHostPort(e.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ host, address string }{
		"an address": {"127.0.0.1", "127.0.0.1"},
		// The system's resolver can return both, and the first one that is dialed is reported.
		"a name":           {"localhost", ""},
		"IPv6":             {"[::1]", "::1"},
		"mapped":           {"[::ffff:127.0.0.1]", "127.0.0.1"},
		"unspecified":      {"0.0.0.0", "0.0.0.0"},
		"unspecified IPv6": {"[::]", "::"},
	} {
		t.Run(name, func(t *testing.T) {
			client := dial(t, upstream.Connection{BaseURL: "http://" + test.host + ":" + port + "/v1"}, Options{Addresses: refuseLoopback})
			for name, call := range calls {
				failure := classified(t, call(t.Context(), client))
				if failure.Kind != upstream.NotAllowed || failure.Host != client.host || failure.StatusCode != 0 {
					t.Errorf("%s: %v: %v, want unauthorized", name, failure.Kind, failure)
				}
				for _, want := range []string{client.host, test.address, "OPENAI_BASE_URL", "--allowed-addresses"} {
					if !strings.Contains(failure.Message, want) {
						t.Errorf("%s: message %q, want %q in it", name, failure.Message, want)
					}
				}
			}
		})
	}
	if e.requests.Load() != 0 {
		t.Errorf("%d requests reached the server", e.requests.Load())
	}
	allowed := upstream.AddressPolicy{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	client := dial(t, upstream.Connection{BaseURL: e.URL + "/v1"}, Options{Addresses: allowed})
	if _, err := client.Retrieve(t.Context(), testRef); err != nil {
		t.Errorf("Retrieve from an allowed address: %v", err)
	}
}

// TestDial_DefaultRefusesLoopback covers options without a policy.
func TestDial_DefaultRefusesLoopback(t *testing.T) {
	e := listen(t, respondJSON(200, batchJSON), startTLS)
	client, err := Dial(upstream.Connection{APIKey: testKey, BaseURL: e.URL, CABundle: caBundle(e)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if failure := classified(t, calls["create"](t.Context(), client)); failure.Kind != upstream.NotAllowed || e.requests.Load() != 0 {
		t.Errorf("%v: %v, %d requests; want unauthorized and none", failure.Kind, failure, e.requests.Load())
	}
}

func TestClient_Proxy(t *testing.T) {
	var targets []string
	proxy := listen(t, func(w http.ResponseWriter, r *http.Request) {
		targets = append(targets, r.RequestURI)
		respondJSON(200, batchJSON)(w, r)
	}, start)
	proxyURL, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	through := func(baseURL string) *Client {
		client := dial(t, upstream.Connection{BaseURL: baseURL}, Options{Addresses: refuseLoopback})
		client.http.Transport.(*transport).proxy = func(request *http.Request) (*url.URL, error) {
			if request.URL.Host == proxyURL.Host {
				return nil, nil
			}
			return proxyURL, nil
		}
		return client
	}
	// The address of the proxy is not checked.
	if _, err := through("http://api.example/v1").Retrieve(t.Context(), testRef); err != nil {
		t.Errorf("Retrieve through the proxy: %v", err)
	}
	if want := "http://api.example/v1/vector_stores/" + testStore + "/file_batches/" + testBatch; len(targets) != 1 || targets[0] != want {
		t.Errorf("the proxy received %q, want %q", targets, want)
	}
	for _, baseURL := range []string{
		proxy.URL + "/v1",            // the proxy as an endpoint
		"http://169.254.169.254/v1",  // an address through the proxy
		"http://[fd00:ec2::254]/v1",  // the same
		"http://[fe80::1%25eth0]/v1", // the same
	} {
		failure := classified(t, calls["retrieve"](t.Context(), through(baseURL)))
		if failure.Kind != upstream.NotAllowed || !strings.Contains(failure.Message, "--allowed-addresses") {
			t.Errorf("%s: %v: %v, want unauthorized", baseURL, failure.Kind, failure)
		}
	}
	if _, err := through("http://10.1.2.3/v1").Retrieve(t.Context(), testRef); err != nil {
		t.Errorf("Retrieve from a private address through the proxy: %v", err)
	}
	if proxy.requests.Load() != 2 {
		t.Errorf("%d requests reached the proxy, want 2", proxy.requests.Load())
	}
	broken := through("http://api.example/v1")
	broken.http.Transport.(*transport).proxy = func(*http.Request) (*url.URL, error) { return nil, fmt.Errorf("no proxy") }
	if failure := classified(t, calls["create"](t.Context(), broken)); failure.Kind != upstream.Transient || !strings.Contains(failure.Message, "no proxy") {
		t.Errorf("%v: %v, want transient", failure.Kind, failure)
	}
}

func TestCheckDialed_InvalidAddress(t *testing.T) {
	if err := newTransport(nil, upstream.AnyAddress()).checkDialed(t.Context(), "tcp", "nowhere", nil); err == nil {
		t.Error("an address that cannot be parsed is permitted")
	}
}

// TestClient_HTTP2Windows verifies what a server can send before the client reads it.
func TestClient_HTTP2Windows(t *testing.T) {
	type windows struct{ stream, connection uint32 }
	announced := make(chan windows, 1)
	e := listen(t, nil, func(s *httptest.Server) {
		s.TLS = &tls.Config{NextProtos: []string{"h2"}}
		s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
			"h2": func(_ *http.Server, connection *tls.Conn, _ http.Handler) {
				if _, err := io.ReadFull(connection, make([]byte, len(http2.ClientPreface))); err != nil {
					return
				}
				framer := http2.NewFramer(connection, connection)
				got := windows{connection: 65535}
				for got.stream == 0 || got.connection == 65535 {
					frame, err := framer.ReadFrame()
					if err != nil {
						return
					}
					switch frame := frame.(type) {
					case *http2.SettingsFrame:
						got.stream, _ = frame.Value(http2.SettingInitialWindowSize)
					case *http2.WindowUpdateFrame:
						got.connection += frame.Increment
					}
				}
				announced <- got
			},
		}
		s.StartTLS()
	})
	client := dial(t, upstream.Connection{BaseURL: e.URL, CABundle: caBundle(e)}, Options{})
	_, _ = client.Retrieve(t.Context(), testRef)
	if got := <-announced; got.stream != maxStreamBytes || got.connection > maxConnectionBytes+65535 {
		t.Errorf("the client announced windows of %d and %d bytes, want %d and at most %d", got.stream, got.connection, maxStreamBytes, maxConnectionBytes)
	}
}
