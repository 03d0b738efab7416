// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const maxRedirects = 3

// newTransport returns the transport of a Client. If rootCAs is nil, it trusts the system's CAs.
func newTransport(rootCAs *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		// HTTPS_PROXY, HTTP_PROXY and NO_PROXY describe the network of the cluster, not a tenant.
		// OPENAI_* variables are not read.
		Proxy:       http.ProxyFromEnvironment,
		DialContext: dialer.DialContext,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			RootCAs:    rootCAs,
		},
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		// Without pings, each call on a connection that a firewall dropped would time out.
		HTTP2:               &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		MaxIdleConnsPerHost: 32,
		// Shorter than the idle timeouts of common load balancers: a create request on a connection
		// that the server is closing has an unknown outcome.
		IdleConnTimeout:        50 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

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
