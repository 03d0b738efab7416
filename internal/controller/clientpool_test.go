// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// poolFixture is a ClientPool that counts reads of Secrets and open clients.
type poolFixture struct {
	*fixture
	*controller.ClientPool
	clock       asyncClock
	secretReads atomic.Int32
	dials       atomic.Int32
	// slow is what reading and dialing a Secret named "slow" wait for.
	slow chan struct{}

	mu   sync.Mutex
	open map[string]int // by API key
}

// refused is a CA bundle with which no client can be dialed.
const refused = "no certificate"

// asyncClock runs callbacks without holding its lock, as a real clock does.
type asyncClock struct{ *clocktesting.FakeClock }

func (c asyncClock) AfterFunc(d time.Duration, callback func()) clock.Timer {
	return c.FakeClock.AfterFunc(d, func() { go callback() })
}

// fakeClient is a client that is never called.
type fakeClient struct {
	upstream.Client
	close func()
}

func (c fakeClient) Close() { c.close() }

func newPoolFixture(t *testing.T) *poolFixture {
	t.Helper()
	f := &poolFixture{fixture: newFixtureWithoutSecret(t), clock: asyncClock{clocktesting.NewFakeClock(time.Now())}, open: make(map[string]int), slow: make(chan struct{})}
	dial := func(connection upstream.Connection) (controller.DialedClient, error) {
		f.dials.Add(1)
		if connection.APIKey == "slow-to-dial" {
			<-f.slow
		}
		if connection.CABundle == refused {
			return nil, &upstream.Error{Kind: upstream.Unauthorized, Message: "refused"}
		}
		f.count(connection.APIKey, 1)
		return fakeClient{close: func() { f.count(connection.APIKey, -1) }}, nil
	}
	f.ClientPool = controller.NewClientPool(countingReader{env.Client, &f.secretReads}, dial, f.clock)
	return f
}

func (f *poolFixture) count(key string, change int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[key] += change
}

func (f *poolFixture) openClients(key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open[key]
}

type countingReader struct {
	client.Reader
	reads *atomic.Int32
}

func (r countingReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	r.reads.Add(1)
	return r.Reader.Get(ctx, key, object, options...)
}

// object returns an object that references a Secret.
func (f *poolFixture) object(secret string) *v1alpha1.VectorStoreFileBatch {
	return &v1alpha1.VectorStoreFileBatch{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "b"},
		Spec:       spec{CredentialsRef: &v1alpha1.CredentialsReference{Name: secret}},
	}
}

// setKey creates or replaces a Secret with a key.
func (f *poolFixture) setKey(name, key string) {
	f.Helper()
	f.setSecret(name, map[string]string{v1alpha1.SecretKeyAPIKey: key})
}

// setSecret creates or replaces a Secret.
func (f *poolFixture) setSecret(name string, data map[string]string) {
	f.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name}}
	_ = env.Client.Delete(f.Context(), secret)
	secret.ResourceVersion, secret.StringData = "", data
	if err := env.Client.Create(f.Context(), secret); err != nil {
		f.Fatal(err)
	}
}

// acquire acquires the session of an object, and returns the error.
func (f *poolFixture) acquire(b *v1alpha1.VectorStoreFileBatch) error {
	client, err := f.Session(f.Context(), b)
	if (client == nil) != (err != nil) {
		f.Fatalf("got client %v and error %v", client, err)
	}
	return err
}

func (f *poolFixture) mustAcquire(b *v1alpha1.VectorStoreFileBatch) {
	f.Helper()
	if err := f.acquire(b); err != nil {
		f.Fatal(err)
	}
}

func (f *poolFixture) wantOpen(want map[string]int) {
	f.Helper()
	for key, n := range want {
		if got := f.openClients(key); got != n {
			f.Errorf("%d clients are open with %s, want %d", got, key, n)
		}
	}
}

func TestClientPool_SharesClientOfSameCredentials(t *testing.T) {
	f := newPoolFixture(t)
	f.setKey("one", "key-1")
	f.setKey("other", "key-1")
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() { f.mustAcquire(f.object("one")) })
	}
	group.Wait()
	if n := f.secretReads.Load(); n != 1 {
		t.Errorf("the Secret was read %d times, want 1", n)
	}
	f.mustAcquire(f.object("other"))
	f.wantOpen(map[string]int{"key-1": 1})
}

func TestClientPool_ClosesClientOfReplacedCredentials(t *testing.T) {
	f := newPoolFixture(t)
	f.setKey("one", "key-1")
	f.setKey("other", "key-1")
	f.mustAcquire(f.object("one"))
	f.mustAcquire(f.object("other"))
	f.setKey("one", "key-2")
	f.mustAcquire(f.object("one"))
	f.wantOpen(map[string]int{"key-1": 1, "key-2": 0})
	f.clock.SetTime(f.clock.Now().Add(time.Minute))
	f.mustAcquire(f.object("one"))
	f.wantOpen(map[string]int{"key-1": 1, "key-2": 1})
	f.setKey("other", "key-2")
	f.mustAcquire(f.object("other"))
	f.wantOpen(map[string]int{"key-1": 0, "key-2": 1})
}

func TestClientPool_InvalidateRereadsSecret(t *testing.T) {
	f := newPoolFixture(t)
	f.setKey("one", "key-1")
	f.mustAcquire(f.object("one"))
	f.setKey("one", "key-2")
	f.Invalidate(f.object("one"))
	f.mustAcquire(f.object("one"))
	f.wantOpen(map[string]int{"key-1": 0, "key-2": 1})
}

func TestClientPool_ClosesUnusedClient(t *testing.T) {
	f := newPoolFixture(t)
	f.setKey("one", "key-1")
	f.setKey("other", "key-2")
	f.mustAcquire(f.object("one"))
	f.mustAcquire(f.object("other"))
	for range 3 {
		f.clock.Step(7 * time.Minute)
		f.mustAcquire(f.object("other"))
	}
	framework.Eventually(f, "the client to be closed", func() bool { return f.openClients("key-1") == 0 })
	f.wantOpen(map[string]int{"key-2": 1})
}

func TestClientPool_ClosesAllClientsWhenIdle(t *testing.T) {
	f := newPoolFixture(t)
	for i := range 3 {
		f.setKey(fmt.Sprint("secret-", i), fmt.Sprint("key-", i))
		f.mustAcquire(f.object(fmt.Sprint("secret-", i)))
	}
	f.clock.Step(5 * time.Minute)
	framework.Eventually(f, "the next sweep to be scheduled", f.clock.HasWaiters)
	f.wantOpen(map[string]int{"key-0": 1, "key-1": 1, "key-2": 1})
	f.clock.Step(5 * time.Minute)
	framework.Eventually(f, "the clients to be closed", func() bool { return f.openClients("key-0")+f.openClients("key-1")+f.openClients("key-2") == 0 })
}

func TestClientPool_MissingSecretIsRetried(t *testing.T) {
	f := newPoolFixture(t)
	b := f.object("one")
	err := f.acquire(b)
	apiErr := upstream.AsError(err)
	if apiErr == nil || apiErr.Kind != upstream.NoCredentials || !strings.Contains(err.Error(), "OPENAI_API_KEY") {
		t.Errorf("got %v", err)
	}
	f.setKey("one", "key-1")
	f.clock.SetTime(f.clock.Now().Add(time.Second))
	f.mustAcquire(b)
}

// The credentials of a Secret that is gone serve only what they served before: not the next owner of the
// namespace, not for long, and not if the key was removed from a Secret that is still there (fault 31).
func TestClientPool_OnlyDeletionUsesDeletedSecret(t *testing.T) {
	for name, test := range map[string]struct {
		created time.Duration // after the last use of the Secret
		deleted bool
		age     time.Duration // since the Secret was found to be gone
		emptied bool
		want    bool
	}{
		"older, deleted":                       {created: -time.Hour, deleted: true, want: true},
		"older, deleted, just before the end":  {created: -time.Hour, deleted: true, age: 10*time.Minute - time.Second, want: true},
		"older, deleted, too late":             {created: -time.Hour, deleted: true, age: 10 * time.Minute},
		"older":                                {created: -time.Hour},
		"created after the last use, deleted":  {created: time.Minute, deleted: true},
		"older, deleted, Secret without a key": {created: -time.Hour, deleted: true, emptied: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newPoolFixture(t)
			f.setKey("one", "key-1")
			f.mustAcquire(f.object("one"))
			b := f.object("one")
			b.CreationTimestamp = metav1.Time{Time: f.clock.Now().Add(test.created)}
			if test.deleted {
				b.DeletionTimestamp = &metav1.Time{Time: f.clock.Now().Add(time.Hour)}
			}
			if test.emptied {
				f.setKey("one", "")
			} else if err := env.Client.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "one"}}); err != nil {
				t.Fatal(err)
			}
			f.clock.Step(time.Minute)
			err := f.acquire(b)
			for left := test.age; left > 0; left -= time.Minute { // it is asked for all the time
				f.clock.Step(min(left, time.Minute))
				err = f.acquire(b)
			}
			if usable := err == nil; usable != test.want || err != nil && upstream.AsError(err).Kind != upstream.NoCredentials {
				t.Errorf("usable: %t, want %t: %v", usable, test.want, err)
			}
		})
	}
}

// A Secret that was deleted before an object was created is not used for it.
func TestClientPool_NewObjectReadsTheSecretAgain(t *testing.T) {
	f := newPoolFixture(t)
	f.setKey("one", "key-1")
	older := f.object("one")
	f.mustAcquire(older)
	if err := env.Client.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "one"}}); err != nil {
		t.Fatal(err)
	}
	f.clock.Step(2 * time.Second)
	f.mustAcquire(older)
	newer := f.object("one")
	newer.CreationTimestamp = metav1.Time{Time: f.clock.Now()}
	if err := f.acquire(newer); !upstream.IsNoCredentials(err) {
		t.Errorf("got %v", err)
	}
}

func TestClientPool_RefusesLongValues(t *testing.T) {
	limits := map[string]int{"OPENAI_API_KEY": 4 << 10, "OPENAI_ORG_ID": 4 << 10, "OPENAI_PROJECT_ID": 4 << 10, "OPENAI_BASE_URL": 2 << 10, "ca.crt": 128 << 10}
	f := newPoolFixture(t)
	for key, limit := range limits {
		name := strings.ToLower(strings.ReplaceAll(key, "_", "-"))
		data := map[string]string{"OPENAI_API_KEY": "key-1", key: strings.Repeat("x", limit) + "\n"}
		f.setSecret(name, data)
		f.mustAcquire(f.object(name))
		data[key] = strings.Repeat("x", limit+1)
		f.setSecret(name+"-long", data)
		err := upstream.AsError(f.acquire(f.object(name + "-long")))
		if err == nil || err.Kind != upstream.Unauthorized || !strings.Contains(err.Message, key) || !strings.Contains(err.Message, fmt.Sprint(limit)) {
			t.Errorf("%s with %d bytes: got %v", key, limit+1, err)
		}
	}
}

// TestClientPool_UnusableSecretBacksOff shows that a Secret which cannot be used is read less and less
// often, is parsed once, and is used within 30 seconds after it was fixed.
func TestClientPool_UnusableSecretBacksOff(t *testing.T) {
	f := newPoolFixture(t)
	f.setSecret("one", map[string]string{"OPENAI_API_KEY": "key-1", "ca.crt": refused})
	b := f.object("one")
	for range 300 {
		if err := f.acquire(b); err == nil {
			t.Fatal("an unusable Secret was used")
		}
		f.Invalidate(b)
		f.clock.SetTime(f.clock.Now().Add(time.Second))
	}
	if reads, dials := f.secretReads.Load(), f.dials.Load(); reads > 15 || dials != 1 {
		t.Errorf("in 5 minutes the Secret was read %d times and dialed %d times, want at most 15 and 1", reads, dials)
	}
	f.setKey("one", "key-2")
	f.clock.SetTime(f.clock.Now().Add(30 * time.Second))
	f.mustAcquire(b)
	f.wantOpen(map[string]int{"key-1": 0, "key-2": 1})
}

// TestClientPool_BoundsClients shows that the clients of many Secrets take bounded memory, and that the
// most recently used ones stay.
func TestClientPool_BoundsClients(t *testing.T) {
	const secrets = 400
	f := newPoolFixture(t)
	bundle := strings.Repeat("x", 128<<10)
	for i := range secrets {
		f.setSecret(fmt.Sprint("secret-", i), map[string]string{"OPENAI_API_KEY": fmt.Sprint("key-", i), "ca.crt": bundle})
		f.mustAcquire(f.object(fmt.Sprint("secret-", i)))
		f.mustAcquire(f.object("secret-0"))
	}
	open := 0
	for i := range secrets {
		open += f.openClients(fmt.Sprint("key-", i))
	}
	if open > 64<<20/len(bundle) {
		t.Errorf("%d clients are open", open)
	}
	f.wantOpen(map[string]int{"key-0": 1, "key-1": 0, fmt.Sprint("key-", secrets-1): 1})
	f.mustAcquire(f.object("secret-1"))
	f.wantOpen(map[string]int{"key-1": 1})
}

func TestClientPool_SlowDialDelaysNoOther(t *testing.T) {
	f := newPoolFixture(t)
	f.setKey("one", "slow-to-dial")
	f.setKey("other", "key-1")
	var group sync.WaitGroup
	group.Go(func() { f.mustAcquire(f.object("one")) })
	framework.Eventually(f, "the slow dial to begin", func() bool { return f.dials.Load() == 1 })
	acquired := make(chan struct{})
	group.Go(func() {
		f.mustAcquire(f.object("other"))
		close(acquired)
	})
	select {
	case <-acquired:
	case <-time.After(10 * time.Second):
		t.Error("another Secret waits for the slow dial")
	}
	close(f.slow)
	group.Wait()
}

// slowReader records how many reads are in progress at a time, which last until release is closed.
type slowReader struct {
	current, most atomic.Int32
	release       chan struct{}
}

func (r *slowReader) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	r.most.Store(max(r.most.Load(), r.current.Add(1)))
	defer r.current.Add(-1)
	<-r.release
	return nil
}

func (r *slowReader) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

func TestClientPool_ReadsFewSecretsAtATime(t *testing.T) {
	reader := &slowReader{release: make(chan struct{})}
	pool := controller.NewClientPool(reader, nil, clock.RealClock{})
	session := func(ctx context.Context, i int) error {
		_, err := pool.Session(ctx, &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprint("n-", i)}})
		return err
	}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() { _ = session(t.Context(), i) }) // the Secret has no key
	}
	framework.Eventually(t, "four reads", func() bool { return reader.current.Load() == 4 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 20 {
		if err := session(ctx, 100+i); !errors.Is(err, context.Canceled) {
			t.Errorf("a read beyond the limit returned %v", err)
		}
	}
	close(reader.release)
	group.Wait()
	if most := reader.most.Load(); most != 4 {
		t.Errorf("%d Secrets were read at a time, want 4", most)
	}
}

func TestClientPool_ReportsRotatedKeys(t *testing.T) {
	f := newPoolFixture(t)
	var rotated []string
	f.Rotated = func(from, to upstream.Connection) { rotated = append(rotated, from.APIKey+" to "+to.APIKey) }
	for _, key := range []string{"first", "second", "second"} {
		f.setKey("rotated", key)
		if _, err := f.Session(t.Context(), f.object("rotated")); err != nil {
			t.Fatal(err)
		}
		f.clock.Step(time.Minute)
	}
	if want := []string{"first to second"}; !slices.Equal(rotated, want) {
		t.Errorf("reported %v, want %v", rotated, want)
	}
}
