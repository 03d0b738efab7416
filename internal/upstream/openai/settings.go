// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"crypto/x509"
	"net/http"
	"net/url"
	"strings"

	"github.com/openai/openai-go/v3/option"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// settings are a Connection that was checked.
type settings struct {
	baseURL      *url.URL
	key          string
	organization string
	project      string
	authorities  *x509.CertPool // nil for the system's alone
}

// check also trims the values: what is pasted into a Secret often ends with a newline.
func check(connection upstream.Connection, options Options) (settings, error) {
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
		if strings.ContainsFunc(value.text, unfitForHeader) {
			return settings{}, unusable(value.name + " contains a space, a line break or another character that cannot be sent")
		}
	}
	baseURL := strings.TrimSpace(connection.BaseURL)
	if baseURL == "" {
		baseURL = upstream.DefaultBaseURL
	}
	if err := options.Endpoints.Check(baseURL); err != nil {
		return settings{}, unusable(err.Error())
	}
	var err error
	if s.baseURL, err = url.Parse(baseURL); err != nil {
		return settings{}, unusable("OPENAI_BASE_URL is not a valid URL") // err may repeat a password
	}
	s.authorities, err = authorities(connection.CABundle, options.CABundle)
	return s, err
}

// authorities are the system's, a connection's and the operator's; nil where that is the system's
// alone.
func authorities(ofConnection, ofOperator string) (*x509.CertPool, error) {
	ofConnection = strings.TrimSpace(ofConnection)
	if ofConnection == "" && ofOperator == "" {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // an image without any is no reason to refuse the others
	}
	pool.AppendCertsFromPEM([]byte(ofOperator))
	if ofConnection != "" && !pool.AppendCertsFromPEM([]byte(ofConnection)) {
		return nil, unusable("ca.crt contains no PEM-encoded certificate")
	}
	return pool, nil
}

func (s settings) requestOptions(transport http.RoundTripper, userAgent string) []option.RequestOption {
	options := []option.RequestOption{
		option.WithBaseURL(s.baseURL.String()),
		option.WithAPIKey(s.key),
		option.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: checkRedirect}),
		// Retrying belongs to the work queue. The SDK would retry even a create.
		option.WithMaxRetries(0),
	}
	if s.organization != "" {
		options = append(options, option.WithOrganization(s.organization))
	}
	if s.project != "" {
		options = append(options, option.WithProject(s.project))
	}
	if userAgent != "" {
		options = append(options, option.WithHeader("User-Agent", userAgent))
	}
	return options
}

func unusable(message string) *upstream.Error {
	return &upstream.Error{Kind: upstream.Unauthorized, Message: message}
}

func unfitForHeader(r rune) bool { return r <= ' ' || r > '~' }
