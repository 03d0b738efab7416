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

// EndpointPolicy restricts the endpoints that a Secret can name. Users who can write Secrets choose
// the destination of the operator's requests, which can be a service that only the operator's Pod
// can reach. The policy lets the administrator of the operator prevent that.
type EndpointPolicy struct {
	// AllowInsecure permits http:// endpoints. Requests to them expose the key to the network.
	AllowInsecure bool
	// Allowed lists the permitted endpoints, each a host or host:port in the form that
	// ParseAllowed accepts. A leading "*." matches one or more labels: *.example.com permits
	// a.b.example.com, but not example.com. An entry without a port permits only the default port
	// of the scheme, because other ports of a host are other services. If it is empty, every
	// endpoint is permitted.
	Allowed []string
}

// NotAllowedError is the error for an endpoint that a flag of the operator does not permit.
type NotAllowedError string

// Error returns which endpoint is not permitted, and which flag permits it.
func (e NotAllowedError) Error() string { return string(e) }

// Check returns an error if the base URL is invalid, and a NotAllowedError if the policy does not permit
// it. The error names the key of the
// Secret and, if a flag of the operator is the remedy, the flag. It never contains parts of the URL
// that can be a password.
func (p EndpointPolicy) Check(baseURL string) error {
	endpoint, err := parseEndpoint(baseURL)
	if err != nil {
		return fmt.Errorf("OPENAI_BASE_URL %w", err)
	}
	if endpoint.Scheme == "http" && !p.AllowInsecure {
		return NotAllowedError("OPENAI_BASE_URL must begin with https://; " +
			"http:// endpoints require the operator's flag --allow-insecure-endpoints")
	}
	if len(p.Allowed) == 0 {
		return nil
	}
	host := hostPort(endpoint)
	permitted := slices.ContainsFunc(p.Allowed, func(pattern string) bool {
		return permits(pattern, defaultPort(endpoint.Scheme), host)
	})
	if !permitted {
		return NotAllowedError(fmt.Sprintf("OPENAI_BASE_URL names the endpoint %s, "+
			"which the operator's flag --allowed-endpoints does not permit", host))
	}
	return nil
}

// ParseAllowed validates and normalizes the entries of EndpointPolicy.Allowed. It drops empty
// entries.
func ParseAllowed(patterns []string) ([]string, error) {
	var allowed []string
	for _, original := range patterns {
		pattern := strings.ToLower(strings.TrimSpace(original))
		if pattern == "" {
			continue
		}
		if err := validatePattern(pattern); err != nil {
			return nil, fmt.Errorf("allowed endpoint %q: %w", original, err)
		}
		allowed = append(allowed, pattern)
	}
	return allowed, nil
}

func validatePattern(pattern string) error {
	host, port := splitHostPort(strings.TrimPrefix(pattern, "*."))
	if strings.HasSuffix(pattern, ":") || (port != "" && !validPort(port)) {
		return errors.New("the port must be a number from 1 to 65535")
	}
	switch {
	case host == "":
		return errors.New("the host is missing")
	case strings.Contains(host, "*"):
		return errors.New(`"*" is allowed as the whole first label only, as in *.example.com`)
	case strings.ContainsAny(host, ":") && net.ParseIP(host) == nil:
		return errors.New("must be a host or host:port; an IPv6 address with a port requires brackets")
	case strings.ContainsAny(host, "/@?#%[] \t"):
		return errors.New("must be a host or host:port, without a scheme or a path")
	}
	return nil
}

// parseEndpoint parses a base URL. It does not wrap the error of url.Parse, which contains the URL
// and can so contain a password.
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
		return nil, errors.New("must not contain a user or a password; put the key in OPENAI_API_KEY")
	case strings.ContainsAny(baseURL, "?#"):
		return nil, errors.New("must not contain a query or a fragment")
	case strings.HasSuffix(endpoint.Host, ":"), endpoint.Port() != "" && !validPort(endpoint.Port()):
		return nil, errors.New("has a port that is not a number from 1 to 65535")
	}
	return endpoint, nil
}

// permits reports whether a pattern matches a normalized host:port.
func permits(pattern, schemePort, hostport string) bool {
	host, port := splitHostPort(strings.ToLower(pattern))
	if port == "" {
		port = schemePort
	}
	allowed := net.JoinHostPort(trimDot(host), port)
	if suffix, found := strings.CutPrefix(allowed, "*"); found {
		return len(hostport) > len(suffix) && strings.HasSuffix(hostport, suffix)
	}
	return hostport == allowed
}

// hostPort returns the normalized host:port of an endpoint.
func hostPort(endpoint *url.URL) string {
	port := endpoint.Port()
	if port == "" {
		port = defaultPort(endpoint.Scheme)
	}
	return net.JoinHostPort(trimDot(strings.ToLower(endpoint.Hostname())), port)
}

// splitHostPort is net.SplitHostPort with an optional port. It returns an IPv6 address without its
// brackets.
func splitHostPort(hostport string) (host, port string) {
	if host, port, err := net.SplitHostPort(hostport); err == nil {
		return host, port
	}
	if strings.HasPrefix(hostport, "[") && strings.HasSuffix(hostport, "]") {
		return hostport[1 : len(hostport)-1], ""
	}
	return hostport, ""
}

// trimDot removes the trailing dot of a fully qualified domain name.
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
