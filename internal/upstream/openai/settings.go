// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// settings are a validated Connection.
type settings struct {
	baseURL      *url.URL
	key          string
	organization string
	project      string
	rootCAs      *x509.CertPool // nil for the system's CAs
}

// validate validates a connection. It trims the values, because values pasted into a Secret often end
// with a newline.
func validate(connection upstream.Connection, options Options) (settings, error) {
	s := settings{
		key:          strings.TrimSpace(connection.APIKey),
		organization: strings.TrimSpace(connection.Organization),
		project:      strings.TrimSpace(connection.Project),
	}
	if s.key == "" {
		return settings{}, &upstream.Error{Kind: upstream.NoCredentials, Message: "OPENAI_API_KEY is empty"}
	}
	for _, value := range []struct{ name, text string }{
		{"OPENAI_API_KEY", s.key}, {"OPENAI_ORG_ID", s.organization}, {"OPENAI_PROJECT_ID", s.project},
	} {
		if len(value.text) > upstream.MaxCredential {
			return settings{}, unauthorized(fmt.Sprintf("%s is longer than %d bytes", value.name, upstream.MaxCredential))
		}
		if upstream.Quoted(value.text) {
			return settings{}, inQuotationMarks(value.name)
		}
		if strings.ContainsFunc(value.text, invalidInHeader) {
			return settings{}, unauthorized(value.name + " contains a space, a line break or another character that is not allowed in a header")
		}
	}
	baseURL := strings.TrimSpace(connection.BaseURL)
	if upstream.Quoted(baseURL) {
		return settings{}, inQuotationMarks("OPENAI_BASE_URL")
	}
	if baseURL == "" {
		baseURL = upstream.DefaultBaseURL
	}
	if err := options.Endpoints.Check(baseURL); errors.As(err, new(upstream.NotAllowedError)) {
		return settings{}, &upstream.Error{Kind: upstream.NotAllowed, Message: err.Error()}
	} else if err != nil {
		return settings{}, unauthorized(err.Error())
	}
	if !strings.HasSuffix(baseURL, "/") {
		baseURL += "/" // so that the paths of requests are relative to the whole of it
	}
	var err error
	if s.baseURL, err = url.Parse(baseURL); err != nil {
		return settings{}, unauthorized("OPENAI_BASE_URL is not a valid URL") // err can contain a password
	}
	s.rootCAs, err = rootCAs(connection.CABundle, options.CABundle)
	return s, err
}

// rootCAs returns the CAs of the system, a connection and the operator; nil if there are only those of
// the system.
func rootCAs(connectionBundle, operatorBundle string) (*x509.CertPool, error) {
	connectionBundle = strings.TrimSpace(connectionBundle)
	if connectionBundle == "" && operatorBundle == "" {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // an image without CAs still uses the bundles
	}
	pool.AppendCertsFromPEM([]byte(operatorBundle))
	if connectionBundle != "" && !pool.AppendCertsFromPEM([]byte(connectionBundle)) {
		return nil, unauthorized("ca.crt contains no PEM-encoded certificate")
	}
	return pool, nil
}

// header returns the header of the requests of the operator.
func (s settings) header(userAgent string) http.Header {
	header := http.Header{}
	header.Set("Accept", "application/json")
	header.Set("Authorization", "Bearer "+s.key)
	header.Set("OpenAI-Beta", "assistants=v2")
	for name, value := range map[string]string{
		"OpenAI-Organization": s.organization, "OpenAI-Project": s.project, "User-Agent": userAgent,
	} {
		if value != "" {
			header.Set(name, value)
		}
	}
	return header
}

func unauthorized(message string) *upstream.Error {
	return &upstream.Error{Kind: upstream.Unauthorized, Message: message}
}

func inQuotationMarks(name string) *upstream.Error {
	return unauthorized(name + " is in quotation marks; remove the quotation marks from the value in the Secret. kubectl create secret --from-env-file keeps those of the file")
}

func invalidInHeader(r rune) bool { return r <= ' ' || r > '~' }
