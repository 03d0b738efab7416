// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/controller"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// switchboard is a Connections with what it did: how often it read Secrets, and which of the
// clients that it dialed are open.
type switchboard struct {
	*world
	*controller.ClientPool
	clock alarmClock
	reads atomic.Int32

	mu   sync.Mutex
	open map[string]int
}

// alarmClock calls back without its lock, as a real clock does.
type alarmClock struct{ *clocktesting.FakeClock }

func (c alarmClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	return c.FakeClock.AfterFunc(d, func() { go f() })
}

// line is a client that nobody calls.
type line struct {
	upstream.Client
	close func()
}

func (l line) Close() { l.close() }

func newSwitchboard(t *testing.T) *switchboard {
	t.Helper()
	s := &switchboard{world: worldWithoutSecret(t), clock: alarmClock{clocktesting.NewFakeClock(time.Now())}, open: make(map[string]int)}
	dial := func(connection upstream.Connection) (controller.DialedClient, error) {
		s.count(connection.APIKey, 1)
		return line{close: func() { s.count(connection.APIKey, -1) }}, nil
	}
	s.ClientPool = controller.NewClientPool(countingReader{k8s, &s.reads}, dial, s.clock)
	return s
}

func (s *switchboard) count(key string, change int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[key] += change
}

func (s *switchboard) opened(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[key]
}

type countingReader struct {
	client.Reader
	reads *atomic.Int32
}

func (r countingReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	r.reads.Add(1)
	return r.Reader.Get(ctx, key, object, options...)
}

// object names a Secret.
func (s *switchboard) object(secret string) *v1alpha1.VectorStoreFileBatch {
	return &v1alpha1.VectorStoreFileBatch{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "b"},
		Spec:       spec{CredentialsRef: &v1alpha1.CredentialsReference{Name: secret}},
	}
}

// put makes a Secret hold a key.
func (s *switchboard) put(name, key string) {
	s.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
	_ = k8s.Delete(s.Context(), secret)
	secret.ResourceVersion, secret.StringData = "", map[string]string{v1alpha1.SecretKeyAPIKey: key}
	if err := k8s.Create(s.Context(), secret); err != nil {
		s.Fatal(err)
	}
}

// use asks for the client of a Secret, and gives the error.
func (s *switchboard) use(b *v1alpha1.VectorStoreFileBatch) error {
	client, err := s.Session(s.Context(), b)
	if (client == nil) != (err != nil) {
		s.Fatalf("got client %v and error %v", client, err)
	}
	return err
}

func (s *switchboard) mustUse(b *v1alpha1.VectorStoreFileBatch) {
	s.Helper()
	if err := s.use(b); err != nil {
		s.Fatal(err)
	}
}

func (s *switchboard) wantOpen(want map[string]int) {
	s.Helper()
	for key, n := range want {
		if got := s.opened(key); got != n {
			s.Errorf("%d clients are open with %s, want %d", got, key, n)
		}
	}
}

func TestAClientIsSharedByAllWhoHaveTheSameCredentials(t *testing.T) {
	s := newSwitchboard(t)
	s.put("one", "key-1")
	s.put("other", "key-1")
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() { s.mustUse(s.object("one")) })
	}
	group.Wait()
	if n := s.reads.Load(); n != 1 {
		t.Errorf("a crowd read the Secret %d times", n)
	}
	s.mustUse(s.object("other"))
	s.wantOpen(map[string]int{"key-1": 1})
}

func TestAClientGoesWhenNoSecretHasItsCredentialsAnyMore(t *testing.T) {
	s := newSwitchboard(t)
	s.put("one", "key-1")
	s.put("other", "key-1")
	s.mustUse(s.object("one"))
	s.mustUse(s.object("other"))
	s.put("one", "key-2")
	s.mustUse(s.object("one"))
	s.wantOpen(map[string]int{"key-1": 1, "key-2": 0})
	s.clock.SetTime(s.clock.Now().Add(time.Minute))
	s.mustUse(s.object("one"))
	s.wantOpen(map[string]int{"key-1": 1, "key-2": 1})
	s.put("other", "key-2")
	s.mustUse(s.object("other"))
	s.wantOpen(map[string]int{"key-1": 0, "key-2": 1})
}

func TestARefusedKeyIsReadAgainAtOnce(t *testing.T) {
	s := newSwitchboard(t)
	s.put("one", "key-1")
	s.mustUse(s.object("one"))
	s.put("one", "key-2")
	s.Invalidate(s.object("one"))
	s.mustUse(s.object("one"))
	s.wantOpen(map[string]int{"key-1": 0, "key-2": 1})
}

func TestAClientGoesWhenNobodyAsksForItAnyMore(t *testing.T) {
	s := newSwitchboard(t)
	s.put("one", "key-1")
	s.put("other", "key-2")
	s.mustUse(s.object("one"))
	s.mustUse(s.object("other"))
	for range 3 {
		s.clock.Step(7 * time.Minute)
		s.mustUse(s.object("other"))
	}
	s.poll(func() bool { return s.opened("key-1") == 0 }, func() string { return "for the client to be closed" })
	s.wantOpen(map[string]int{"key-2": 1})
}

func TestAllClientsGoWhenNobodyAsksForAnythingAnyMore(t *testing.T) {
	s := newSwitchboard(t)
	for i := range 3 {
		s.put(fmt.Sprint("secret-", i), fmt.Sprint("key-", i))
		s.mustUse(s.object(fmt.Sprint("secret-", i)))
	}
	s.clock.Step(5 * time.Minute)
	s.poll(s.clock.HasWaiters, func() string { return "for the next time that it is looked for clients in vain" })
	s.wantOpen(map[string]int{"key-0": 1, "key-1": 1, "key-2": 1})
	s.clock.Step(5 * time.Minute)
	s.poll(func() bool { return s.opened("key-0")+s.opened("key-1")+s.opened("key-2") == 0 }, func() string { return "for the clients to be closed" })
}

func TestAMissingSecretSaysWhatToDoAndIsLookedForAgain(t *testing.T) {
	s := newSwitchboard(t)
	b := s.object("one")
	err := s.use(b)
	known := upstream.AsError(err)
	if known == nil || known.Kind != upstream.NoCredentials || !strings.Contains(err.Error(), "OPENAI_API_KEY") {
		t.Errorf("got %v", err)
	}
	s.put("one", "key-1")
	s.clock.SetTime(s.clock.Now().Add(time.Second))
	s.mustUse(b)
}

func TestOnlyADeletionMayUseCredentialsThatAreGone(t *testing.T) {
	s := newSwitchboard(t)
	s.put("one", "key-1")
	s.mustUse(s.object("one"))
	if err := k8s.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "one"}}); err != nil {
		t.Fatal(err)
	}
	s.clock.SetTime(s.clock.Now().Add(time.Minute))
	if err := s.use(s.object("one")); upstream.AsError(err).Kind != upstream.NoCredentials {
		t.Errorf("got %v", err)
	}
	deleted := s.object("one")
	deleted.DeletionTimestamp = &metav1.Time{Time: s.clock.Now()}
	s.mustUse(deleted)
}
