// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/expiring"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// secretLifetime is how long a Secret that was read counts as current. If the API rejects its
	// key, it is read again at once.
	secretLifetime = 30 * time.Second
	// unusableSecretLifetime is the same for a Secret that could not be used, so that many objects
	// without a Secret do not read it all at once. It doubles as long as the Secret exists and cannot
	// be used, up to secretLifetime.
	unusableSecretLifetime = time.Second
	// idleLifetime is how long the session of an unused Secret is kept.
	idleLifetime = 10 * time.Minute
	// maxSecretReads is how many Secrets are read at a time. A Secret has up to 1 MB, of which only the
	// few values below remain.
	maxSecretReads = 4
)

// The maximum sizes of the values in a Secret, in bytes.
const (
	maxKeyBytes      = 4 << 10
	maxBaseURLBytes  = 2 << 10
	maxCABundleBytes = 128 << 10
)

// maxPoolBytes is about how much memory the clients may take. The least recently used Secrets beyond it
// lose theirs, until they are used again.
const maxPoolBytes = 64 << 20

// poolBytes returns about how much memory the client of a connection takes. A client with a CA bundle
// has the certificates of the system, too.
func poolBytes(connection upstream.Connection) int {
	const client, systemCAs = 16 << 10, 48 << 10
	if connection.CABundle == "" {
		return client
	}
	return client + systemCAs + 2*len(connection.CABundle)
}

// Session is a client of the OpenAI API, and the connection whose rate limits its calls count
// against.
type Session struct {
	upstream.Client
	Connection upstream.Connection
	// ChangedAt is when the Secret got its content, as far as is known.
	ChangedAt time.Time
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
	// reading has an element for each Secret that is being read.
	reading chan struct{}

	mu     sync.Mutex
	dialed map[contentKey]*pooledClient
	// recent are the credentials that have a session, the most recently used first.
	recent *list.List
	bytes  int

	// GoneLifetime is how long the credentials of a Secret that was deleted can still be used, by the
	// deleted objects that used them before.
	GoneLifetime time.Duration
	// Rotated is called when the key in a Secret is replaced, and nothing else. It can be nil.
	Rotated func(from, to upstream.Connection)
}

// contentKey identifies the content of a Secret.
type contentKey struct {
	connection upstream.Connection // without the CA bundle
	caBundle   [sha256.Size]byte
}

func keyOf(connection upstream.Connection) contentKey {
	key := contentKey{connection, sha256.Sum256([]byte(connection.CABundle))}
	key.connection.CABundle = ""
	return key
}

// credentials is what is known of a Secret. The lock is held while the Secret is read, so that many
// objects read it once.
type credentials struct {
	mu     sync.Mutex
	readAt time.Time
	// usableAt is when the Secret was read and usable last, and goneSince since when it does not exist.
	usableAt  time.Time
	goneSince time.Time
	// err is why the Secret cannot be used now, and failures how often in a row its content could not.
	err      error
	failures int
	// content is the last content that was dialed, and dialErr the result: equal content is not parsed
	// again.
	content contentKey
	dialErr error
	// changedAt is when the Secret got that content, as far as is known.
	changedAt time.Time
	// session is the session of the last usable content, which is pooledAs. element is in recent.
	session  *Session
	pooledAs contentKey
	element  *list.Element
}

// pooledClient is a client, the number of Secrets that use it, and its poolBytes.
type pooledClient struct {
	client DialedClient
	users  int
	bytes  int
}

// NewClientPool returns a ClientPool that reads Secrets with reader. The reader must not be a cached
// one: the operator can get Secrets, but neither list nor watch them.
func NewClientPool(reader client.Reader, dial func(upstream.Connection) (DialedClient, error), c clock.WithDelayedExecution) *ClientPool {
	p := &ClientPool{
		reader: reader, dial: dial, clock: c, GoneLifetime: idleLifetime,
		reading: make(chan struct{}, maxSecretReads), dialed: make(map[contentKey]*pooledClient), recent: list.New(),
	}
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
	name := batch.Secret(b)
	s := p.secrets.Load(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := p.clock.Now()
	if s.isCurrent(b, now) {
		p.used(s)
		return p.sessionFor(s, b, now)
	}
	connection, createdAt, err := p.read(ctx, name)
	if unusable := (*upstream.Error)(nil); err != nil && !errors.As(err, &unusable) {
		return nil, err
	}
	s.readAt = now
	p.update(s, connection, createdAt, err)
	p.evict(s)
	return p.sessionFor(s, b, now)
}

// isCurrent reports whether what is known of the Secret is recent enough for an object. It is not for an
// object that is newer: the Secret may have been deleted before it was created.
func (s *credentials) isCurrent(b *v1alpha1.VectorStoreFileBatch, now time.Time) bool {
	age := now.Sub(s.readAt)
	older := b.CreationTimestamp.Time.Before(s.readAt)
	return !s.readAt.IsZero() && age < s.lifetime() && (older || age < unusableSecretLifetime)
}

// lifetime returns how long what is known of the Secret counts as current.
func (s *credentials) lifetime() time.Duration {
	if s.err == nil {
		return secretLifetime
	}
	return min(unusableSecretLifetime<<min(max(s.failures-1, 0), 10), secretLifetime)
}

// read reads a Secret and parses its values, and returns when it was created. An error of the API server
// is returned as it came.
func (p *ClientPool) read(ctx context.Context, name types.NamespacedName) (*upstream.Connection, time.Time, error) {
	select {
	case p.reading <- struct{}{}:
		defer func() { <-p.reading }()
	case <-ctx.Done():
		return nil, time.Time{}, fmt.Errorf("reading Secret %s: %w", name.Name, context.Cause(ctx))
	}
	var secret corev1.Secret
	err := p.reader.Get(ctx, name, &secret)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return nil, time.Time{}, fmt.Errorf("reading Secret %s: %w", name.Name, err)
	}
	connection, err := connectionFrom(name, secret, err)
	return connection, secret.CreationTimestamp.Time, err
}

// sessionFor returns the session for an object. When a namespace is deleted, its Secrets can go before
// the objects that need them. So a deleted object can use, for a while, the credentials of a Secret that
// does not exist any more, if the object is older than its last use: the next owner of the namespace has
// newer ones. A Secret that exists and has no key is a decision of its owner.
func (p *ClientPool) sessionFor(s *credentials, b *v1alpha1.VectorStoreFileBatch, now time.Time) (*Session, error) {
	gone := apierrors.IsNotFound(s.err) && now.Sub(s.goneSince) < p.GoneLifetime
	if s.err == nil || gone && s.session != nil && !b.DeletionTimestamp.IsZero() && b.CreationTimestamp.Time.Before(s.usableAt) {
		return s.session, nil
	}
	return nil, s.err
}

// Invalidate makes the next Session read the Secret again: the API rejected its key, so it may have
// been replaced. It does nothing if it is the content of the Secret that cannot be used.
func (p *ClientPool) Invalidate(b *v1alpha1.VectorStoreFileBatch) {
	s := p.secrets.Load(batch.Secret(b))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.readAt = time.Time{}
	}
}

// valueLimits are the maximum sizes of the values in a Secret.
var valueLimits = []struct {
	key   string
	bytes int
}{
	{v1alpha1.SecretKeyAPIKey, maxKeyBytes},
	{v1alpha1.SecretKeyOrganization, maxKeyBytes},
	{v1alpha1.SecretKeyProject, maxKeyBytes},
	{v1alpha1.SecretKeyBaseURL, maxBaseURLBytes},
	{v1alpha1.SecretKeyCABundle, maxCABundleBytes},
}

// connectionFrom parses a Secret. Its errors name the remedy, and never quote the content.
func connectionFrom(name types.NamespacedName, secret corev1.Secret, err error) (*upstream.Connection, error) {
	missing := func(format string, args ...any) (*upstream.Connection, error) {
		return nil, &upstream.Error{Kind: upstream.NoCredentials, Message: fmt.Sprintf(format, args...), Err: err}
	}
	value := func(key string) string { return string(bytes.TrimSpace(secret.Data[key])) }
	switch {
	case apierrors.IsForbidden(err):
		return missing("The operator cannot read Secret %s. Grant its ServiceAccount get on Secrets in the namespace", name)
	case err != nil:
		return missing("Secret %s not found. Create it with the key %s", name, v1alpha1.SecretKeyAPIKey)
	case len(bytes.TrimSpace(secret.Data[v1alpha1.SecretKeyAPIKey])) == 0:
		return missing("Secret %s has no key %s. Add it", name, v1alpha1.SecretKeyAPIKey)
	}
	for _, limit := range valueLimits {
		if size := len(bytes.TrimSpace(secret.Data[limit.key])); size > limit.bytes {
			return nil, &upstream.Error{Kind: upstream.Unauthorized, Message: fmt.Sprintf("%s has %d bytes. At most %d are allowed", limit.key, size, limit.bytes)}
		}
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
func (p *ClientPool) update(s *credentials, connection *upstream.Connection, createdAt time.Time, err error) {
	if err == nil {
		s.noteContent(keyOf(*connection), createdAt)
		err = p.connect(s, *connection)
	}
	wasGone := apierrors.IsNotFound(s.err)
	s.err = err
	switch {
	case err == nil:
		s.usableAt = s.readAt
	case apierrors.IsNotFound(err) && !wasGone:
		s.goneSince = s.readAt
	}
	if s.failures++; err == nil || upstream.IsNoCredentials(err) {
		s.failures = 0 // reading a Secret that does not exist costs little
	}
	p.used(s)
}

// noteContent sets when the Secret got a content. The time of the first one that this process reads is not
// known: it is not before the Secret's creation.
func (s *credentials) noteContent(content contentKey, createdAt time.Time) {
	first := s.content == contentKey{} && s.err == nil
	switch {
	case first:
		s.changedAt = createdAt
	case s.content != content:
		s.changedAt = s.readAt
	}
}

// connect sets the session for a connection, unless the Secret has it already.
func (p *ClientPool) connect(s *credentials, connection upstream.Connection) error {
	key := keyOf(connection)
	if s.content == key && (s.dialErr != nil || s.session != nil) {
		return s.dialErr
	}
	shared, err := p.acquire(key, connection)
	s.content, s.dialErr = key, err
	if err != nil {
		return err
	}
	next := &Session{shared, connection.Identity(), s.changedAt}
	if s.session != nil && p.Rotated != nil && isRotated(s.session.Connection, next.Connection) {
		p.Rotated(s.session.Connection, next.Connection)
	}
	p.detach(s)
	s.session, s.pooledAs = next, key
	return nil
}

// isRotated reports whether a connection differs from an earlier one by its key only.
func isRotated(earlier, later upstream.Connection) bool {
	changed := earlier.APIKey != later.APIKey
	earlier.APIKey = later.APIKey
	return changed && earlier == later
}

// acquire returns the client of a connection for one more Secret. Parsing certificates takes long, so
// it dials without the lock.
func (p *ClientPool) acquire(key contentKey, connection upstream.Connection) (upstream.Client, error) {
	if shared := p.share(key); shared != nil {
		return shared, nil
	}
	dialed, err := p.dial(connection)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if pooled := p.dialed[key]; pooled != nil { // another Secret of the same content was faster
		dialed.Close()
		pooled.users++
		return pooled.client, nil
	}
	pooled := &pooledClient{client: dialed, users: 1, bytes: poolBytes(connection)}
	p.dialed[key] = pooled
	p.bytes += pooled.bytes
	return dialed, nil
}

// share returns the client of a content for one more Secret; nil if there is none.
func (p *ClientPool) share(key contentKey) upstream.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	pooled := p.dialed[key]
	if pooled == nil {
		return nil
	}
	pooled.users++
	return pooled.client
}

// used records that a Secret was used now.
func (p *ClientPool) used(s *credentials) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case s.session == nil:
	case s.element == nil:
		s.element = p.recent.PushFront(s)
	default:
		p.recent.MoveToFront(s.element)
	}
}

// evict takes the session of the least recently used Secrets until the clients fit into maxPoolBytes.
// Calls that are in progress continue.
func (p *ClientPool) evict(current *credentials) {
	for {
		oldest := p.oldestBeyondLimit()
		if oldest == nil || oldest == current || !oldest.mu.TryLock() {
			return
		}
		p.detach(oldest)
		oldest.readAt = time.Time{}
		oldest.mu.Unlock()
	}
}

// oldestBeyondLimit returns the least recently used credentials if the clients take too much memory.
func (p *ClientPool) oldestBeyondLimit() *credentials {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes <= maxPoolBytes || p.recent.Len() == 0 {
		return nil
	}
	oldest, _ := p.recent.Back().Value.(*credentials) // the list holds nothing else
	return oldest
}

// detach releases the client of a Secret, and closes it if no other Secret uses it.
func (p *ClientPool) detach(s *credentials) {
	if s.session == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pooled := p.dialed[s.pooledAs]
	if pooled.users--; pooled.users == 0 {
		delete(p.dialed, s.pooledAs)
		p.bytes -= pooled.bytes
		pooled.client.Close()
	}
	if s.element != nil {
		p.recent.Remove(s.element)
	}
	s.session, s.element = nil, nil
}
