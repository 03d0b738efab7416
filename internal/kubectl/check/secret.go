// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// Credentials are the values of a Secret or of the environment.
type Credentials struct {
	// Source describes where the values are from, such as "Secret demo/openai".
	Source string
	// Value returns a value by its name. It returns false if there is none.
	Value func(name string) (string, bool)
	// Flags are those of the managers. They can be nil.
	Flags *ManagerFlags
	// Environment is true if the values are those of the environment, which the operator does not use.
	Environment bool
	// AllowInsecure permits http:// endpoints.
	AllowInsecure bool
	// Now returns the current time.
	Now func() time.Time
}

// secretCheck is a run of Credentials.
type secretCheck struct {
	Credentials
	rows
}

// Check checks the values without a request. Its messages contain none of the values but the host and
// the path of the base URL.
func (c Credentials) Check() []Row {
	s := &secretCheck{Credentials: c}
	s.key()
	s.baseURL()
	s.header("organization", v1alpha1.SecretKeyOrganization, "org-")
	s.header("project", v1alpha1.SecretKeyProject, "proj_")
	if !s.Environment {
		s.caBundle()
	}
	return s.rows
}

func (s *secretCheck) key() {
	const check, name = "api_key", v1alpha1.SecretKeyAPIKey
	value, found := s.Value(name)
	trimmed := strings.TrimSpace(value)
	switch {
	case !found:
		s.add(check, Failed, fmt.Sprintf("%s is missing in %s. Add it.%s", name, s.Source, s.similar(name)))
	case trimmed == "":
		s.add(check, Failed, name+" is empty. Set it to the API key.")
	case upstream.Quoted(trimmed):
		s.add(check, Failed, name+" is in quotation marks. Remove them: kubectl create secret keeps those of an env file.")
	case len(trimmed) > upstream.MaxCredential:
		s.add(check, Failed, fmt.Sprintf("%s is longer than %d bytes. Set it to the API key.", name, upstream.MaxCredential))
	case strings.ContainsFunc(trimmed, invalidInHeader):
		s.add(check, Failed, name+" contains a space, a line break or another character that no key has. Set it to the key alone.")
	case isBearer(trimmed), strings.HasPrefix(trimmed, name+"="):
		s.add(check, Failed, name+" contains more than the key. Set it to the key alone.")
	case value != trimmed:
		s.add(check, Warning, name+" begins or ends with a space or a line break, which the operator removes. Other programs may not: remove it.")
	default:
		s.add(check, OK, name+" is well-formed.")
	}
}

// similar returns a hint if there is a key with another name.
func (s *secretCheck) similar(name string) string {
	for _, other := range []string{"api-key", "apiKey", "api_key", "key", "token", "openai_api_key", "openai-api-key", "OPENAI_KEY", "OPENAI_APIKEY"} {
		if _, found := s.Value(other); found {
			return " It has " + other + ": rename that to " + name + "."
		}
	}
	return ""
}

func isBearer(value string) bool {
	return len(value) >= 6 && strings.EqualFold(value[:6], "bearer")
}

func invalidInHeader(r rune) bool { return r <= ' ' || r > '~' }

func (s *secretCheck) baseURL() {
	const check, name = "base_url", v1alpha1.SecretKeyBaseURL
	value, _ := s.Value(name)
	trimmed := strings.TrimSpace(value)
	if trimmed == "" {
		s.add(check, OK, name+" is not set: the endpoint is "+upstream.DefaultBaseURL+".")
		s.allowed(upstream.DefaultBaseURL)
		return
	}
	if upstream.Quoted(trimmed) {
		s.add(check, Failed, name+" is in quotation marks. Remove them.")
		return
	}
	insecure := s.AllowInsecure || s.Flags == nil || s.Flags.Endpoints.AllowInsecure
	if err := (upstream.EndpointPolicy{AllowInsecure: insecure}).Check(trimmed); err != nil {
		s.add(check, Failed, sentence(err.Error()))
		return
	}
	parsed, err := url.Parse(trimmed)
	if err != nil {
		s.add(check, Failed, name+" is not a valid URL.")
		return
	}
	s.path(check, name, parsed)
	s.allowed(trimmed)
}

// path checks the path of a base URL, below which are the paths of the API.
func (s *secretCheck) path(check, name string, parsed *url.URL) {
	last := path.Base(strings.TrimRight(parsed.Path, "/"))
	switch {
	case strings.Trim(parsed.Path, "/") == "":
		s.add(check, Warning, fmt.Sprintf("%s has no path. The API of most servers is below /v1: use %s://%s/v1.", name, parsed.Scheme, parsed.Host))
	case last == "vector_stores" || last == "files" || last == "completions" || last == "responses" || last == "embeddings":
		s.add(check, Failed, fmt.Sprintf("%s ends with /%s. Set it to the base URL, such as %s.", name, last, upstream.DefaultBaseURL))
	case strings.Contains(parsed.Path, "/openai/deployments/"):
		s.add(check, Failed, fmt.Sprintf("%s names a deployment. Use the v1 API of Azure OpenAI: https://%s/openai/v1.", name, parsed.Host))
	case parsed.Scheme == "http" && s.Flags == nil && !s.AllowInsecure:
		s.add(check, Warning, name+" begins with http://, which sends the key unencrypted. The operator refuses it without its flag --allow-insecure-endpoints.")
	case strings.Contains(parsed.Path, "//"):
		s.add(check, Warning, name+" has an empty segment (//) in its path. Remove a slash.")
	default:
		s.add(check, OK, fmt.Sprintf("The endpoint is %s%s.", parsed.Host, parsed.Path))
	}
}

// allowed checks the endpoint by the flags of the managers.
func (s *secretCheck) allowed(baseURL string) {
	const check = "allowed_endpoint"
	if s.Environment {
		return
	}
	if s.Flags == nil {
		s.add(check, Skipped, "The flags of the operator are not known.")
		return
	}
	if err := s.Flags.Endpoints.Check(baseURL); err != nil {
		s.add(check, Failed, sentence(err.Error()))
		return
	}
	if address, local := localAddress(baseURL); local {
		if err := s.Flags.Addresses.Check(address); err != nil {
			s.add(check, Failed, sentence("OPENAI_BASE_URL has the address "+err.Error()))
			return
		}
	}
	s.add(check, OK, "The flags of the operator permit the endpoint.")
}

// localAddress returns the address in a base URL, if it names one. Other names are resolved by the
// operator only.
func localAddress(baseURL string) (netip.Addr, bool) {
	parsed, err := url.Parse(baseURL)
	if err != nil {
		return netip.Addr{}, false
	}
	host := parsed.Hostname()
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		host = "127.0.0.1"
	}
	address, err := netip.ParseAddr(host)
	return address, err == nil
}

// header checks an optional value that is sent as a header.
func (s *secretCheck) header(check, name, prefix string) {
	value, found := s.Value(name)
	trimmed := strings.TrimSpace(value)
	switch {
	case !found:
		s.add(check, OK, name+" is not set.")
	case trimmed == "":
		s.add(check, Warning, name+" is empty. Remove it, or set it.")
	case upstream.Quoted(trimmed):
		s.add(check, Failed, name+" is in quotation marks. Remove them.")
	case len(trimmed) > upstream.MaxCredential || strings.ContainsFunc(trimmed, invalidInHeader):
		s.add(check, Failed, name+" contains a character that is not allowed in a header, or is too long. Correct it.")
	case s.isOpenAI() && !strings.HasPrefix(trimmed, prefix):
		s.add(check, Warning, fmt.Sprintf("%s does not begin with %s. Use the ID, not the name.", name, prefix))
	default:
		s.add(check, OK, name+" is well-formed.")
	}
}

// isOpenAI reports whether the endpoint is OpenAI's.
func (s *secretCheck) isOpenAI() bool {
	value, _ := s.Value(v1alpha1.SecretKeyBaseURL)
	parsed, err := url.Parse(cmp.Or(strings.TrimSpace(value), upstream.DefaultBaseURL))
	return err == nil && strings.HasSuffix(parsed.Hostname(), ".openai.com")
}

func (s *secretCheck) caBundle() {
	const check, name = "ca_crt", v1alpha1.SecretKeyCABundle
	value, found := s.Value(name)
	if !found {
		s.add(check, OK, name+" is not set: the CAs of the system are trusted.")
		return
	}
	valid, expired, invalid := s.certificates([]byte(value))
	switch {
	case valid == 0 && expired == 0:
		s.add(check, Failed, name+" contains no PEM-encoded certificate. Set it to the certificate of the CA, or remove it.")
	case valid == 0:
		s.add(check, Failed, fmt.Sprintf("All certificates in %s (%d) are expired or not valid yet. Replace them.", name, expired))
	case expired > 0 || invalid > 0:
		s.add(check, Warning, fmt.Sprintf("%s contains %d valid certificates, %d that are expired or not valid yet, and %d blocks that are no certificate. Remove what is not valid.", name, valid, expired, invalid))
	default:
		s.add(check, OK, fmt.Sprintf("%s contains %d certificates.", name, valid))
	}
}

// certificates counts the certificates of a bundle.
func (s *secretCheck) certificates(bundle []byte) (valid, expired, invalid int) {
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			return valid, expired, invalid
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		switch {
		case block.Type != "CERTIFICATE" || err != nil:
			invalid++
		case s.Now().After(certificate.NotAfter) || s.Now().Before(certificate.NotBefore):
			expired++
		default:
			valid++
		}
	}
}

// sentence ends a message with a period.
func sentence(message string) string { return strings.TrimSuffix(message, ".") + "." }
