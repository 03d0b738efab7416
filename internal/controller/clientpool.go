// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/expiring"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// secretLifetime is how long a Secret that was read counts as current. If the API rejects its
	// key, it is read again at once.
	secretLifetime = 30 * time.Second
	// unusableSecretLifetime is the same for a Secret that could not be used, so that many objects
	// without a Secret do not read it all at once.
	unusableSecretLifetime = time.Second
	// idleLifetime is how long the session of an unused Secret is kept.
	idleLifetime = 10 * time.Minute
)

// Session is a client of the OpenAI API, and the connection whose rate limits its calls count
// against.
type Session struct {
	upstream.Client
	Connection upstream.Connection
}

// DialedClient is a Client that keeps network connections open until it is closed.
type DialedClient interface {
	upstream.Client
	Close()
}

// ClientPool returns sessions for the credentials that objects reference. Objects with the same
// Secret, or with Secrets of the same content, share a client, and with it its network connections.
// The client is closed when no Secret has that content any more.
type ClientPool struct {
	reader client.Reader
	dial   func(upstream.Connection) (DialedClient, error)
	clock  clock.WithDelayedExecution

	secrets *expiring.Map[types.NamespacedName, *credentials]

	mu     sync.Mutex
	dialed map[upstream.Connection]*pooledClient
}

// credentials is what is known of a Secret. The lock is held while the Secret is read, so that many
// objects read it once.
type credentials struct {
	mu     sync.Mutex
	readAt time.Time
	// connection is the last usable content of the Secret, and session the session for it. err is
	// why the Secret cannot be used now.
	connection *upstream.Connection
	session    *Session
	err        error
}

// pooledClient is a client, and the number of Secrets that use it.
type pooledClient struct {
	client DialedClient
	users  int
}

// NewClientPool returns a ClientPool that reads Secrets with reader. The reader must not be a cached
// one: the operator can get Secrets, but neither list nor watch them.
func NewClientPool(reader client.Reader, dial func(upstream.Connection) (DialedClient, error), c clock.WithDelayedExecution) *ClientPool {
	p := &ClientPool{reader: reader, dial: dial, clock: c, dialed: make(map[upstream.Connection]*pooledClient)}
	p.secrets = expiring.New[types.NamespacedName](c, idleLifetime, expiring.Hooks[*credentials]{
		New: func() *credentials { return &credentials{} },
		Dropped: func(s *credentials) {
			s.mu.Lock()
			defer s.mu.Unlock()
			p.detach(s)
		},
	})
	return p
}

// Session returns the session for an object. The error is an *upstream.Error of kind NoCredentials or
// Unauthorized if the Secret is the cause, and another error if the API server is.
func (p *ClientPool) Session(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) (*Session, error) {
	name := secretName(b)
	s := p.secrets.Load(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	lifetime := secretLifetime
	if s.err != nil {
		lifetime = unusableSecretLifetime
	}
	now := p.clock.Now()
	if !s.readAt.IsZero() && now.Sub(s.readAt) < lifetime {
		return s.sessionFor(b)
	}
	var secret corev1.Secret
	err := p.reader.Get(ctx, name, &secret)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("reading Secret %s: %w", name.Name, err)
	}
	s.readAt = now
	connection, err := connectionFrom(name, secret, err)
	p.update(s, connection, err)
	return s.sessionFor(b)
}

// sessionFor returns the session for an object. A deleted object can use credentials that are gone:
// when a namespace is deleted, its Secrets can go before the objects that need them.
func (s *credentials) sessionFor(b *v1alpha1.VectorStoreFileBatch) (*Session, error) {
	if s.err == nil || upstream.IsNoCredentials(s.err) && s.session != nil && !b.DeletionTimestamp.IsZero() {
		return s.session, nil
	}
	return nil, s.err
}

// Invalidate makes the next Session read the Secret again: the API rejected its key, so it may have
// been replaced.
func (p *ClientPool) Invalidate(b *v1alpha1.VectorStoreFileBatch) {
	s := p.secrets.Load(secretName(b))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readAt = time.Time{}
}

// secretName returns the name of the Secret that an object references.
func secretName(b *v1alpha1.VectorStoreFileBatch) types.NamespacedName {
	name := v1alpha1.DefaultCredentialsSecret
	if ref := b.Spec.CredentialsRef; ref != nil && ref.Name != "" {
		name = ref.Name
	}
	return types.NamespacedName{Namespace: b.Namespace, Name: name}
}

// connectionFrom parses a Secret. Its errors name the remedy, and never quote the content.
func connectionFrom(name types.NamespacedName, secret corev1.Secret, err error) (*upstream.Connection, error) {
	missing := func(format string, args ...any) (*upstream.Connection, error) {
		return nil, &upstream.Error{Kind: upstream.NoCredentials, Message: fmt.Sprintf(format, args...)}
	}
	value := func(key string) string { return strings.TrimSpace(string(secret.Data[key])) }
	switch {
	case apierrors.IsForbidden(err):
		return missing("The operator cannot read Secret %s. Grant its ServiceAccount get on Secrets in the namespace", name)
	case err != nil:
		return missing("Secret %s not found. Create it with the key %s", name, v1alpha1.SecretKeyAPIKey)
	case value(v1alpha1.SecretKeyAPIKey) == "":
		return missing("Secret %s has no key %s. Add it", name, v1alpha1.SecretKeyAPIKey)
	}
	return &upstream.Connection{
		BaseURL:      value(v1alpha1.SecretKeyBaseURL),
		APIKey:       value(v1alpha1.SecretKeyAPIKey),
		Organization: value(v1alpha1.SecretKeyOrganization),
		Project:      value(v1alpha1.SecretKeyProject),
		CABundle:     value(v1alpha1.SecretKeyCABundle),
	}, nil
}

// update sets what a Secret contains now, and releases the client of its earlier content.
func (p *ClientPool) update(s *credentials, connection *upstream.Connection, err error) {
	s.err = err
	if err != nil || s.connection != nil && *connection == *s.connection {
		return
	}
	shared, err := p.acquire(*connection)
	if err != nil {
		s.err = err
		return
	}
	p.detach(s)
	s.connection, s.session = connection, &Session{shared, connection.Identity()}
}

// acquire returns the client of a connection for one more Secret.
func (p *ClientPool) acquire(connection upstream.Connection) (upstream.Client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pooled := p.dialed[connection]; pooled != nil {
		pooled.users++
		return pooled.client, nil
	}
	client, err := p.dial(connection)
	if err != nil {
		return nil, err
	}
	p.dialed[connection] = &pooledClient{client: client, users: 1}
	return client, nil
}

// detach releases the client of a Secret, and closes it if no other Secret uses it.
func (p *ClientPool) detach(s *credentials) {
	if s.connection == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pooled := p.dialed[*s.connection]
	if pooled.users--; pooled.users == 0 {
		delete(p.dialed, *s.connection)
		pooled.client.Close()
	}
	s.connection, s.session = nil, nil
}
