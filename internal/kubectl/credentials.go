// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream/openai"
)

// credentialFlags select the credentials for the OpenAI API.
type credentialFlags struct {
	fromEnv       bool
	allowInsecure bool
}

func (f *credentialFlags) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&f.fromEnv, "from-env", false,
		"Read OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID and OPENAI_PROJECT_ID from the environment instead of the Secret.")
	flags.BoolVar(&f.allowInsecure, "allow-insecure-endpoints", false,
		"Allow an OPENAI_BASE_URL that begins with http://, which sends the API key unencrypted. Endpoints on localhost are always allowed.")
}

// apiClient is a client for the OpenAI API.
type apiClient struct {
	*openai.Client
	// baseURL is the normalized base URL of the endpoint.
	baseURL string
	// scope identifies the endpoint, the organization and the project, and account also the key. Both are
	// hashes.
	scope, account string
	// target describes the endpoint and the source of the credentials, without the API key.
	target string
}

// newAPIClient returns a client with the credentials of the Secret or the environment.
func (p *plugin) newAPIClient(ctx context.Context, flags credentialFlags, namespace, secret string, timeout time.Duration) (apiClient, error) {
	connection, source, err := p.findCredentials(ctx, flags, namespace, secret)
	if err != nil {
		return apiClient{}, err
	}
	return p.dial(connection, source, flags.allowInsecure, timeout)
}

// dial returns a client for a connection.
func (p *plugin) dial(connection upstream.Connection, source string, allowInsecure bool, timeout time.Duration) (apiClient, error) {
	insecure := allowInsecure || isLoopback(connection.BaseURL)
	if strings.HasPrefix(strings.ToLower(connection.BaseURL), "http://") && !insecure {
		return apiClient{}, fmt.Errorf("OPENAI_BASE_URL from %s begins with http://, which sends the API key unencrypted: "+
			"use https://, or set --allow-insecure-endpoints", source)
	}
	client, err := openai.Dial(connection, openai.Options{
		RequestTimeout: timeout,
		Endpoints:      upstream.EndpointPolicy{AllowInsecure: insecure},
		// The plugin has the permissions of the user, who chose the Secret.
		Addresses: upstream.AnyAddress(),
		UserAgent: "kubectl-vsfb/" + p.Version,
	})
	if err != nil {
		return apiClient{}, fmt.Errorf("credentials from %s: %w", source, err)
	}
	id := connection.Identity()
	return apiClient{
		Client:  client,
		baseURL: id.BaseURL,
		scope:   digest(id.BaseURL, id.Organization, id.Project),
		account: digest(id.BaseURL, id.Organization, id.Project, id.APIKey),
		target:  fmt.Sprintf("%s with the key from %s", hostOf(connection.BaseURL), source),
	}, nil
}

// isLoopback reports whether an endpoint is on the local host.
func isLoopback(baseURL string) bool {
	parsed, err := url.Parse(baseURL)
	if err != nil {
		return false
	}
	ip := net.ParseIP(parsed.Hostname())
	return parsed.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func hostOf(baseURL string) string {
	parsed, err := url.Parse(cmp.Or(baseURL, upstream.DefaultBaseURL))
	if err != nil {
		return "the API"
	}
	return parsed.Host
}

// findCredentials returns the credentials and a description of their source. Without --from-env, it
// reads the Secret with the permissions of the user, and falls back to the environment.
func (p *plugin) findCredentials(ctx context.Context, flags credentialFlags, namespace, secret string) (upstream.Connection, string, error) {
	const environment = "the environment"
	fromEnv := connectionFrom(p.Env)
	if flags.fromEnv {
		if fromEnv.APIKey == "" {
			return upstream.Connection{}, "", errors.New("OPENAI_API_KEY is not set: export it, or omit --from-env")
		}
		return fromEnv, environment, nil
	}
	fromSecret, err := p.readSecret(ctx, namespace, secret)
	if err == nil {
		return fromSecret, fmt.Sprintf("Secret %s/%s", namespace, secret), nil
	}
	if fromEnv.APIKey == "" {
		return upstream.Connection{}, "", fmt.Errorf("%w; or export OPENAI_API_KEY", err)
	}
	p.notef("Using OPENAI_API_KEY from the environment: %v", err)
	return fromEnv, environment, nil
}

// connectionFrom returns the connection that variables, or keys of a Secret, define.
func connectionFrom(value func(name string) string) upstream.Connection {
	return upstream.Connection{
		BaseURL:      strings.TrimSpace(value(v1alpha1.SecretKeyBaseURL)),
		APIKey:       strings.TrimSpace(value(v1alpha1.SecretKeyAPIKey)),
		Organization: strings.TrimSpace(value(v1alpha1.SecretKeyOrganization)),
		Project:      strings.TrimSpace(value(v1alpha1.SecretKeyProject)),
	}
}

func (p *plugin) readSecret(ctx context.Context, namespace, name string) (upstream.Connection, error) {
	client, err := p.newCoreClient()
	if err != nil {
		return upstream.Connection{}, err
	}
	secret, err := client.Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return upstream.Connection{}, fmt.Errorf("reading Secret %s/%s: %w", namespace, name, err)
	}
	connection := connectionFrom(func(key string) string { return string(secret.Data[key]) })
	connection.CABundle = strings.TrimSpace(string(secret.Data[v1alpha1.SecretKeyCABundle]))
	if connection.APIKey == "" {
		return upstream.Connection{}, fmt.Errorf("no key %s in Secret %s/%s: add it", v1alpha1.SecretKeyAPIKey, namespace, name)
	}
	return connection, nil
}
