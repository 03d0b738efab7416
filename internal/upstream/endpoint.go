// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// EndpointPolicy says which endpoints a Secret may name. Whoever writes Secrets decides where
// the operator's requests go, which may be a service that only the operator's Pod can reach;
// the policy is how the one who runs the operator narrows that.
type EndpointPolicy struct {
	// AllowInsecure permits http:// endpoints, which show the key to everyone on the way.
	AllowInsecure bool
	// Allowed lists the permitted endpoints, each a host or host:port in the form that
	// ParseAllowed accepts. A leading "*." stands for one or more labels, so that
	// *.example.com permits a.b.example.com and not example.com. Without a port an entry
	// permits only the default port of the scheme: other ports of a host are other services.
	// Empty permits every endpoint.
	Allowed []string
}

// Check gives nil for a base URL that may be called. The error otherwise names the Secret's
// key and, where a flag of the operator is the remedy, that flag. It never repeats what may be
// a password in the URL.
func (p EndpointPolicy) Check(baseURL string) error {
	endpoint, err := parseEndpoint(baseURL)
	if err != nil {
		return fmt.Errorf("OPENAI_BASE_URL %w", err)
	}
	if endpoint.Scheme == "http" && !p.AllowInsecure {
		return errors.New("OPENAI_BASE_URL must begin with https://; " +
			"http:// endpoints need the operator's flag --allow-insecure-endpoints")
	}
	if len(p.Allowed) == 0 {
		return nil
	}
	host := hostPort(endpoint)
	permitted := slices.ContainsFunc(p.Allowed, func(pattern string) bool {
		return permits(pattern, defaultPort(endpoint.Scheme), host)
	})
	if !permitted {
		return fmt.Errorf("OPENAI_BASE_URL names the endpoint %s, "+
			"which the operator's flag --allowed-endpoints does not permit", host)
	}
	return nil
}

// ParseAllowed checks and normalizes the entries of EndpointPolicy.Allowed. Empty entries are
// left out.
func ParseAllowed(patterns []string) ([]string, error) {
	var allowed []string
	for _, given := range patterns {
		pattern := strings.ToLower(strings.TrimSpace(given))
		if pattern == "" {
			continue
		}
		if err := checkPattern(pattern); err != nil {
			return nil, fmt.Errorf("allowed endpoint %q: %w", given, err)
		}
		allowed = append(allowed, pattern)
	}
	return allowed, nil
}

func checkPattern(pattern string) error {
	host, port := splitHostPort(strings.TrimPrefix(pattern, "*."))
	if strings.HasSuffix(pattern, ":") || (port != "" && !validPort(port)) {
		return errors.New("its port is not a number from 1 to 65535")
	}
	switch {
	case host == "":
		return errors.New("it has no host")
	case strings.Contains(host, "*"):
		return errors.New(`"*" may only stand as the whole first label, as in *.example.com`)
	case strings.ContainsAny(host, ":") && net.ParseIP(host) == nil:
		return errors.New("it is not a host or host:port; an IPv6 address with a port needs brackets")
	case strings.ContainsAny(host, "/@?#%[] \t"):
		return errors.New("it is not a host or host:port, without a scheme and a path")
	}
	return nil
}

// parseEndpoint does not wrap what url.Parse says, since that repeats the URL, and with it a
// password.
func parseEndpoint(baseURL string) (*url.URL, error) {
	endpoint, err := url.Parse(baseURL)
	if err != nil {
		return nil, errors.New("is not a valid URL")
	}
	switch {
	case endpoint.Scheme != "https" && endpoint.Scheme != "http", endpoint.Opaque != "":
		return nil, errors.New("must begin with https://")
	case endpoint.Hostname() == "":
		return nil, errors.New("has no host")
	case endpoint.User != nil:
		return nil, errors.New("must not contain a user or a password; the key belongs into OPENAI_API_KEY")
	case strings.ContainsAny(baseURL, "?#"):
		return nil, errors.New("must not contain a query or a fragment")
	case strings.HasSuffix(endpoint.Host, ":"), endpoint.Port() != "" && !validPort(endpoint.Port()):
		return nil, errors.New("has a port that is not a number from 1 to 65535")
	}
	return endpoint, nil
}

func permits(pattern, standardPort, host string) bool {
	wanted, port := splitHostPort(strings.ToLower(pattern))
	if port == "" {
		port = standardPort
	}
	wanted = net.JoinHostPort(trimDot(wanted), port)
	if suffix, found := strings.CutPrefix(wanted, "*"); found {
		return len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	}
	return host == wanted
}

// hostPort gives one spelling to equal endpoints.
func hostPort(endpoint *url.URL) string {
	port := endpoint.Port()
	if port == "" {
		port = defaultPort(endpoint.Scheme)
	}
	return net.JoinHostPort(trimDot(strings.ToLower(endpoint.Hostname())), port)
}

// splitHostPort takes a bare host too, and gives an IPv6 address without its brackets.
func splitHostPort(hostport string) (host, port string) {
	if host, port, err := net.SplitHostPort(hostport); err == nil {
		return host, port
	}
	if strings.HasPrefix(hostport, "[") && strings.HasSuffix(hostport, "]") {
		return hostport[1 : len(hostport)-1], ""
	}
	return hostport, ""
}

// trimDot drops the dot that ends a fully qualified name: it names the same host.
func trimDot(host string) string { return strings.TrimSuffix(host, ".") }

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

func validPort(port string) bool {
	number, err := strconv.ParseUint(port, 10, 16)
	return err == nil && number > 0
}
