// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	maxRedirects = 3
	// maxHeaderBytes is the maximum size of the header of a response.
	maxHeaderBytes = 64 << 10
	// maxStreamBytes and maxConnectionBytes limit what a server can send over HTTP/2 before the client
	// reads it. The defaults are 4 MiB for each response and 1 GiB for a connection.
	maxStreamBytes     = 256 << 10
	maxConnectionBytes = 1 << 20
)

// transport sends requests to their endpoint, or to the proxy that the environment of the operator
// sets for them.
type transport struct {
	direct  *http.Transport
	proxied *http.Transport
	// proxy returns the proxy for a request; nil for none.
	proxy     func(*http.Request) (*url.URL, error)
	addresses upstream.AddressPolicy
}

// newTransport returns the transport of a Client. If rootCAs is nil, it trusts the system's CAs.
func newTransport(rootCAs *x509.CertPool, addresses upstream.AddressPolicy) *transport {
	t := &transport{
		// HTTPS_PROXY, HTTP_PROXY and NO_PROXY describe the network of the cluster, not a tenant.
		// OPENAI_* variables are not read.
		proxy:     http.ProxyFromEnvironment,
		addresses: addresses,
	}
	t.direct = newPool(rootCAs, t.checkDialed)
	// The administrator of the operator chose the address of the proxy.
	t.proxied = newPool(rootCAs, nil)
	t.proxied.Proxy = func(request *http.Request) (*url.URL, error) { return t.proxy(request) }
	return t
}

// control is called with the address of each connection before it is made.
type control func(ctx context.Context, network, address string, connection syscall.RawConn) error

func newDialer(check control) *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, ControlContext: check}
}

// newPool returns a pool of connections.
func newPool(rootCAs *x509.CertPool, check control) *http.Transport {
	return &http.Transport{
		DialContext: newDialer(check).DialContext,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			RootCAs:    rootCAs,
		},
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		// Without pings, each call on a connection that a firewall dropped would time out.
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second,
			MaxReceiveBufferPerStream: maxStreamBytes, MaxReceiveBufferPerConnection: maxConnectionBytes,
		},
		MaxIdleConnsPerHost: 32,
		// Shorter than the idle timeouts of common load balancers: a create request on a connection
		// that the server is closing has an unknown outcome.
		IdleConnTimeout:        50 * time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
		// roundTrip decompresses bodies, to limit the bytes of both forms.
		DisableCompression: true,
	}
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	proxy, err := t.proxy(request)
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		return t.direct.RoundTrip(request)
	}
	// Only the proxy resolves names, but an address can be checked here.
	if address, err := netip.ParseAddr(request.URL.Hostname()); err == nil {
		if err := t.check(address); err != nil {
			return nil, err
		}
	}
	return t.proxied.RoundTrip(request)
}

// CloseIdleConnections closes the idle connections.
func (t *transport) CloseIdleConnections() {
	t.direct.CloseIdleConnections()
	t.proxied.CloseIdleConnections()
}

// checkDialed is the control of direct connections. It gets the address that a name resolved to.
func (t *transport) checkDialed(_ context.Context, _, address string, _ syscall.RawConn) error {
	dialed, err := netip.ParseAddrPort(address)
	if err != nil {
		return &refusedError{reason: "an address that cannot be parsed"}
	}
	return t.check(dialed.Addr())
}

func (t *transport) check(address netip.Addr) error {
	if err := t.addresses.Check(address); err != nil {
		return &refusedError{reason: err.Error()}
	}
	return nil
}

// refusedError is the error for an address that the policy refuses.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return e.reason }

// checkRedirect follows up to maxRedirects redirects of a GET request within the endpoint. It follows
// no others: the key must not be sent to another endpoint, and a POST request must not be repeated.
// The response of a redirect that is not followed is returned to the caller.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet || len(via) > maxRedirects || !sameOrigin(first.URL, next.URL) {
		return http.ErrUseLastResponse
	}
	return nil
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if u.Port() == "" && u.Scheme == "https" {
		return "443"
	}
	if u.Port() == "" {
		return "80"
	}
	return u.Port()
}
