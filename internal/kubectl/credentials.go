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

// credentials are the flags that say with which key the upstream is called.
type credentials struct {
	fromEnv  bool
	insecure bool
}

func (c *credentials) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&c.fromEnv, "from-env", false,
		"Take OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID and OPENAI_PROJECT_ID from the environment, and not from the Secret.")
	flags.BoolVar(&c.insecure, "allow-insecure-endpoints", false,
		"Allow an OPENAI_BASE_URL that begins with http://, which shows the key to everyone on the way; on this machine itself it is allowed anyway.")
}

// access is the upstream, and who one is there.
type access struct {
	client *openai.Client
	// identity tells one connection from another, without its secrets.
	identity string
	// source says in words what was used.
	source string
}

// dial finds credentials and makes a client of them: with those of the Secret, read with the
// user's own rights, or, where it cannot be read, of the environment.
func (p *plugin) dial(ctx context.Context, c credentials, namespace, secret string, timeout time.Duration) (access, error) {
	connection, source, err := p.connection(ctx, c, namespace, secret)
	if err != nil {
		return access{}, err
	}
	insecure := c.insecure || staysHere(connection.BaseURL)
	if strings.HasPrefix(strings.ToLower(connection.BaseURL), "http://") && !insecure {
		return access{}, fmt.Errorf("OPENAI_BASE_URL of %s begins with http://, which shows the key to everyone on the way: "+
			"use https://, or the flag --allow-insecure-endpoints", source)
	}
	client, err := openai.Dial(connection, openai.Options{
		RequestTimeout: timeout,
		Endpoints:      upstream.EndpointPolicy{AllowInsecure: insecure},
		UserAgent:      "kubectl-vsfb/" + p.Version,
	})
	if err != nil {
		return access{}, fmt.Errorf("%s: %w", source, err)
	}
	return access{
		client:   client,
		identity: strings.Join([]string{connection.BaseURL, connection.Organization, connection.Project, connection.APIKey}, "\n"),
		source:   source + " at " + hostOf(connection.BaseURL),
	}, nil
}

// staysHere says whether an endpoint is on this machine, where nobody is on the way.
func staysHere(baseURL string) bool {
	parsed, err := url.Parse(baseURL)
	if err != nil {
		return false
	}
	ip := net.ParseIP(parsed.Hostname())
	return parsed.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// hostOf is an endpoint as it can be shown.
func hostOf(baseURL string) string {
	parsed, err := url.Parse(cmp.Or(baseURL, "https://api.openai.com"))
	if err != nil {
		return "an endpoint"
	}
	return parsed.Host
}

func (p *plugin) connection(ctx context.Context, c credentials, namespace, secret string) (upstream.Connection, string, error) {
	if c.fromEnv {
		connection := p.environment()
		if connection.APIKey == "" {
			return upstream.Connection{}, "", errors.New("OPENAI_API_KEY is not in the environment: export it, or leave out --from-env")
		}
		return connection, "the environment's key", nil
	}
	connection, err := p.secret(ctx, namespace, secret)
	if err == nil {
		return connection, fmt.Sprintf("the key of Secret %s in namespace %s", secret, namespace), nil
	}
	connection = p.environment()
	if connection.APIKey == "" {
		return upstream.Connection{}, "", fmt.Errorf("%w; or export OPENAI_API_KEY", err)
	}
	_, _ = fmt.Fprintf(p.Streams.ErrOut, "Using OPENAI_API_KEY of the environment, since %v\n", err)
	return connection, "the environment's key", nil
}

func (p *plugin) environment() upstream.Connection { return connectionOf(p.Env) }

// connectionOf is the connection that values tell of by the names that the SDKs read.
func connectionOf(value func(name string) string) upstream.Connection {
	return upstream.Connection{
		BaseURL:      strings.TrimSpace(value(v1alpha1.SecretKeyBaseURL)),
		APIKey:       strings.TrimSpace(value(v1alpha1.SecretKeyAPIKey)),
		Organization: strings.TrimSpace(value(v1alpha1.SecretKeyOrganization)),
		Project:      strings.TrimSpace(value(v1alpha1.SecretKeyProject)),
	}
}

func (p *plugin) secret(ctx context.Context, namespace, name string) (upstream.Connection, error) {
	core, err := p.core()
	if err != nil {
		return upstream.Connection{}, err
	}
	secret, err := core.Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return upstream.Connection{}, fmt.Errorf("reading Secret %s in namespace %s: %w", name, namespace, err)
	}
	connection := connectionOf(func(key string) string { return string(secret.Data[key]) })
	connection.CABundle = strings.TrimSpace(string(secret.Data[v1alpha1.SecretKeyCABundle]))
	if connection.APIKey == "" {
		return upstream.Connection{}, fmt.Errorf("the Secret %s in namespace %s has no %s: add it", name, namespace, v1alpha1.SecretKeyAPIKey)
	}
	return connection, nil
}
