// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
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
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// secretLifetime is how long a Secret that was read counts as current. One that the
	// upstream refuses is read again at once.
	secretLifetime = 30 * time.Second
	// missingSecretLifetime is the same for one that could not be used, so that a crowd of
	// objects without a Secret does not ask for it all at once.
	missingSecretLifetime = time.Second
	// idleLifetime is how long a Secret is kept that no object asks for.
	idleLifetime = 10 * time.Minute
)

// Line is the way to the upstream: a client, and the connection whose limits it shares.
type Line struct {
	upstream.Client
	// Connection says whose limits apply.
	Connection upstream.Connection
}

// DialedClient is a Client that holds connections open, until it is closed.
type DialedClient interface {
	upstream.Client
	Close()
}

// Connections gives clients for the credentials that objects name. A client is shared by all
// objects with the same Secret, or with Secrets of the same content, so that connections are
// reused; it is dropped when no Secret has that content any more.
type Connections struct {
	reader client.Reader
	dial   func(upstream.Connection) (DialedClient, error)
	clock  clock.WithDelayedExecution

	mu       sync.Mutex
	secrets  map[types.NamespacedName]*secret
	dialed   map[upstream.Connection]*dialed
	sweeping bool
}

// secret is what is known of a Secret. Its lock is held while it is being read, so that a
// crowd of objects reads it once.
type secret struct {
	mu     sync.Mutex
	readAt time.Time
	// usedAt is guarded by the lock of Connections.
	usedAt time.Time

	// connection is what the Secret held last that could be used, and line the way there. err says
	// why it cannot be used now.
	connection *upstream.Connection
	line       *Line
	err        error
}

// lineFor gives the way for an object. One that is being deleted may use credentials that
// are gone: where a namespace is deleted, its Secrets go before the objects that need them.
func (s *secret) lineFor(b *v1alpha1.VectorStoreFileBatch) (*Line, error) {
	var known *upstream.Error
	missing := errors.As(s.err, &known) && known.Kind == upstream.NoCredentials
	if s.err == nil || missing && s.line != nil && !b.DeletionTimestamp.IsZero() {
		return s.line, nil
	}
	return nil, s.err
}

// dialed is a client, and how many Secrets use it.
type dialed struct {
	client DialedClient
	users  int
}

// NewConnections makes Connections that read Secrets with reader. It must not be a cached one:
// the operator may get Secrets, but not list or watch them.
func NewConnections(reader client.Reader, dial func(upstream.Connection) (DialedClient, error), c clock.WithDelayedExecution) *Connections {
	return &Connections{
		reader: reader, dial: dial, clock: c,
		secrets: make(map[types.NamespacedName]*secret),
		dialed:  make(map[upstream.Connection]*dialed),
	}
}

// Client gives the client for an object. Its errors are *upstream.Error, of kind NoCredentials
// or Unauthorized, where the Secret is to blame, and others where the API server is.
func (c *Connections) Client(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) (*Line, error) {
	name := secretName(b)
	s := c.secret(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	lifetime := secretLifetime
	if s.err != nil {
		lifetime = missingSecretLifetime
	}
	now := c.clock.Now()
	if !s.readAt.IsZero() && now.Sub(s.readAt) < lifetime {
		return s.lineFor(b)
	}
	var data corev1.Secret
	err := c.reader.Get(ctx, name, &data)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("reading Secret %s: %w", name.Name, err)
	}
	s.readAt = now
	connection, err := connectionFrom(name, data, err)
	c.use(s, connection, err)
	return s.lineFor(b)
}

// Forget makes the next Client read the Secret again: its key was refused, so it may have been
// replaced.
func (c *Connections) Forget(b *v1alpha1.VectorStoreFileBatch) {
	s := c.secret(secretName(b))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readAt = time.Time{}
}

// secretName is the Secret that an object names.
func secretName(b *v1alpha1.VectorStoreFileBatch) types.NamespacedName {
	name := v1alpha1.DefaultCredentialsSecret
	if ref := b.Spec.CredentialsRef; ref != nil && ref.Name != "" {
		name = ref.Name
	}
	return types.NamespacedName{Namespace: b.Namespace, Name: name}
}

// connectionFrom reads a Secret's content. Its errors say what to do, and never what it holds.
func connectionFrom(name types.NamespacedName, data corev1.Secret, err error) (*upstream.Connection, error) {
	missing := func(format string, args ...any) (*upstream.Connection, error) {
		return nil, &upstream.Error{Kind: upstream.NoCredentials, Message: fmt.Sprintf(format, args...)}
	}
	value := func(key string) string { return strings.TrimSpace(string(data.Data[key])) }
	switch {
	case apierrors.IsForbidden(err):
		return missing("the operator may not read Secret %s in namespace %s: grant its ServiceAccount get on Secrets there", name.Name, name.Namespace)
	case err != nil:
		return missing("Secret %s is not in namespace %s: create it, with the key %s in it", name.Name, name.Namespace, v1alpha1.SecretKeyAPIKey)
	case value(v1alpha1.SecretKeyAPIKey) == "":
		return missing("Secret %s has no %s: add it", name.Name, v1alpha1.SecretKeyAPIKey)
	}
	return &upstream.Connection{
		BaseURL:      value(v1alpha1.SecretKeyBaseURL),
		APIKey:       value(v1alpha1.SecretKeyAPIKey),
		Organization: value(v1alpha1.SecretKeyOrganization),
		Project:      value(v1alpha1.SecretKeyProject),
		CABundle:     value(v1alpha1.SecretKeyCABundle),
	}, nil
}

// use makes a Secret stand for what it holds now, and drops the client that nobody uses any more.
func (c *Connections) use(s *secret, connection *upstream.Connection, err error) {
	s.err = err
	if err != nil || s.connection != nil && *connection == *s.connection {
		return
	}
	shared, err := c.share(*connection)
	if err != nil {
		s.err = err
		return
	}
	c.forsake(s)
	s.connection, s.line = connection, &Line{shared, connection.Identity()}
}

// forsake takes the client from a Secret.
func (c *Connections) forsake(s *secret) {
	if s.connection != nil {
		c.drop(*s.connection)
	}
	s.connection, s.line = nil, nil
}

// share gives the client of a connection to one more Secret.
func (c *Connections) share(connection upstream.Connection) (upstream.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if shared := c.dialed[connection]; shared != nil {
		shared.users++
		return shared.client, nil
	}
	client, err := c.dial(connection)
	if err != nil {
		return nil, err
	}
	c.dialed[connection] = &dialed{client: client, users: 1}
	return client, nil
}

// drop takes the client of a connection from a Secret, and closes it after the last one.
func (c *Connections) drop(connection upstream.Connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	shared := c.dialed[connection]
	shared.users--
	if shared.users == 0 {
		delete(c.dialed, connection)
		shared.client.Close()
	}
}

// secret gives what is known of a Secret.
func (c *Connections) secret(name types.NamespacedName) *secret {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.secrets[name]
	if s == nil {
		s = &secret{}
		c.secrets[name] = s
	}
	s.usedAt = c.clock.Now()
	c.sweepLater()
	return s
}

func (c *Connections) sweepLater() {
	if !c.sweeping {
		c.sweeping = true
		c.clock.AfterFunc(idleLifetime/2, c.sweep)
	}
}

// sweep forgets the Secrets that no object asks for any more, and with them their clients. It
// comes again as long as there are any: once all objects are finished, nobody asks.
func (c *Connections) sweep() {
	for _, s := range c.unused(c.clock.Now()) {
		s.mu.Lock()
		c.forsake(s)
		s.mu.Unlock()
	}
}

// unused takes out the Secrets that have not been asked for in a while.
func (c *Connections) unused(now time.Time) []*secret {
	c.mu.Lock()
	defer c.mu.Unlock()
	var unused []*secret
	for name, s := range c.secrets {
		if now.Sub(s.usedAt) >= idleLifetime {
			delete(c.secrets, name)
			unused = append(unused, s)
		}
	}
	c.sweeping = false
	if len(c.secrets) > 0 {
		c.sweepLater()
	}
	return unused
}
