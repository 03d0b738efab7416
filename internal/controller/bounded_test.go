// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/flowcontrol"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// cluster is an API server, a watch that lags behind it and can be interrupted, and an OpenAI API.
type cluster struct {
	*testing.T
	*Reconciler

	random *rand.Rand
	server client.WithWatch
	// cached are the objects as the watch reported them last.
	cached map[types.NamespacedName]*v1alpha1.VectorStoreFileBatch
	// queued are the objects that the work queue knows.
	queued map[types.NamespacedName]bool
	// during is called in the middle of each call of the OpenAI API, and before each write.
	during func()
	// get and patch replace the reads and the patches of the reconciler, if they are set.
	get   func(context.Context) error
	patch func() error
	// deletes are the options of the deletions by the reconciler.
	deletes []client.DeleteOptions
}

// newCluster returns a cluster with credentials, and the reconciler of its objects.
func newCluster(t *testing.T, seed uint64) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Secret{}) // the fake client is slow with a large scheme
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: v1alpha1.DefaultCredentialsSecret},
		Data:       map[string][]byte{v1alpha1.SecretKeyAPIKey: []byte("sk-test-bounded")},
	}
	c := &cluster{
		T: t, random: rand.New(rand.NewPCG(seed, seed)),
		server: fake.NewClientBuilder().WithScheme(scheme).WithGlobalResourceVersionCounter().WithObjects(secret).WithStatusSubresource(&v1alpha1.VectorStoreFileBatch{}).
			WithIndex(&v1alpha1.VectorStoreFileBatch{}, "spec.vectorStoreID", func(client.Object) []string { return []string{"vs_1"} }).Build(),
		cached: make(map[types.NamespacedName]*v1alpha1.VectorStoreFileBatch), queued: make(map[types.NamespacedName]bool),
	}
	limits := flowcontrol.DefaultLimits()
	limits.RequestsPerSecond = 2 // so that objects wait
	c.Reconciler = New(Options{
		Client: interceptor.NewClient(c.server, interceptor.Funcs{
			Get:              c.getCached,
			Delete:           c.deleteObject,
			Patch:            c.patchObject,
			SubResourcePatch: c.patchStatus,
		}),
		Reader: c.server, Dial: func(upstream.Connection) (DialedClient, error) { return simulatedAPI{c}, nil },
		Events: events.NewFakeRecorder(1000), Clock: clock.RealClock{}, // of the bubble
		Lifecycle: lifecycle.DefaultConfig(), Limits: limits, Concurrency: 4,
	})
	return c
}

func (c *cluster) deleteObject(ctx context.Context, server client.WithWatch, object client.Object, options ...client.DeleteOption) error {
	c.interfere()
	c.deletes = append(c.deletes, *(&client.DeleteOptions{}).ApplyOptions(options))
	return server.Delete(ctx, object, options...)
}

func (c *cluster) getCached(ctx context.Context, _ client.WithWatch, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	if c.get != nil {
		return c.get(ctx)
	}
	b, found := c.cached[key]
	if !found {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "vectorstorefilebatches"}, key.Name)
	}
	b.DeepCopyInto(object.(*v1alpha1.VectorStoreFileBatch))
	return nil
}

func (c *cluster) patchObject(ctx context.Context, server client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	c.interfere()
	if c.patch != nil {
		return c.patch()
	}
	if err := c.checkUID(ctx, object, patch); err != nil {
		return err
	}
	return server.Patch(ctx, object, patch, options...)
}

// checkUID returns the conflict of a patch for an object that was replaced. The fake client would change
// the UID of the new one.
func (c *cluster) checkUID(ctx context.Context, object client.Object, patch client.Patch) error {
	data, err := patch.Data(object)
	if err != nil {
		return err
	}
	var changed metav1.PartialObjectMetadata
	if err := json.Unmarshal(data, &changed); err != nil {
		return err
	}
	stored := &v1alpha1.VectorStoreFileBatch{}
	if err := c.server.Get(ctx, client.ObjectKeyFromObject(object), stored); err != nil {
		return err
	}
	if changed.UID != "" && changed.UID != stored.UID {
		return apierrors.NewConflict(schema.GroupResource{}, object.GetName(), errors.New("it has another UID"))
	}
	return nil
}

func (c *cluster) patchStatus(ctx context.Context, server client.Client, _ string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	c.interfere()
	return server.Status().Patch(ctx, object, patch, options...)
}

func (c *cluster) interfere() {
	if c.during != nil {
		c.during()
	}
}

// simulatedAPI is an OpenAI API whose batches end at random.
type simulatedAPI struct{ *cluster }

func (a simulatedAPI) answer(id string) (upstream.Batch, error) {
	a.interfere()
	switch a.random.IntN(8) {
	case 0:
		return upstream.Batch{}, &upstream.Error{Kind: upstream.Transient, Message: "unavailable"}
	case 1:
		return upstream.Batch{}, &upstream.Error{Kind: upstream.UnknownOutcome, Message: "no answer"}
	case 2:
		return upstream.Batch{}, &upstream.Error{Kind: upstream.RateLimited, StatusCode: 429, Message: "slow down"}
	case 3, 4:
		return upstream.Batch{ID: id, CreatedAt: time.Now(), Status: upstream.Completed, FileCounts: upstream.FileCounts{Completed: 1, Total: 1}}, nil
	default:
		return upstream.Batch{ID: id, CreatedAt: time.Now(), Status: upstream.InProgress, FileCounts: upstream.FileCounts{InProgress: 1, Total: 1}}, nil
	}
}

func (a simulatedAPI) Create(context.Context, upstream.CreateRequest) (upstream.Batch, error) {
	return a.answer(fmt.Sprintf("batch_%d", a.random.Uint32()))
}

func (a simulatedAPI) Retrieve(_ context.Context, ref upstream.BatchRef) (upstream.Batch, error) {
	return a.answer(ref.BatchID)
}

func (a simulatedAPI) Cancel(_ context.Context, ref upstream.BatchRef) (upstream.Batch, error) {
	return a.answer(ref.BatchID)
}

func (a simulatedAPI) FailedFiles(context.Context, upstream.BatchRef, int) ([]upstream.FailedFile, error) {
	return nil, nil
}

func (a simulatedAPI) Files(context.Context, upstream.BatchRef) ([]string, error) {
	return []string{"file-a"}, nil
}

func (a simulatedAPI) Store(context.Context, string) (bool, error) { a.interfere(); return true, nil }

func (a simulatedAPI) CountFiles(context.Context, upstream.BatchRef) (upstream.FileCounts, error) {
	return upstream.FileCounts{Completed: 1, Total: 1}, nil
}

func (a simulatedAPI) NewestFiles(context.Context, string, time.Time) ([]upstream.File, error) {
	return nil, nil
}

func (a simulatedAPI) Detach(context.Context, string, string) error { a.interfere(); return nil }

func (a simulatedAPI) File(context.Context, string, string) (upstream.File, error) {
	return upstream.File{}, &upstream.Error{Kind: upstream.NotFound, StatusCode: 404, Message: "not found"}
}

func (a simulatedAPI) Close() {}

// name returns one of few names, so that objects are often replaced.
func (c *cluster) name() types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: fmt.Sprintf("b%d", c.random.IntN(4))}
}

// create creates an object, if its name is free.
func (c *cluster) create(name types.NamespacedName) {
	b := &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, UID: types.UID(fmt.Sprint(c.random.Uint64()))}}
	b.Spec.VectorStoreID, b.Spec.FileIDs = "vs_1", []string{"file-a"}
	b.Spec.DeletionPolicy = []v1alpha1.DeletionPolicy{"", v1alpha1.DeletionPolicyOrphan, v1alpha1.DeletionPolicyDetachFiles}[c.random.IntN(3)]
	if c.random.IntN(3) == 0 {
		b.Spec.BatchID, b.Spec.FileIDs = "batch_adopted", nil
	}
	if c.random.IntN(4) == 0 {
		b.Spec.TTLSecondsAfterFinished = new(int32)
	}
	if err := c.server.Create(context.Background(), b); err != nil && !apierrors.IsAlreadyExists(err) {
		c.Fatal(err)
	}
}

// edit reads an object and changes it, if it exists.
func (c *cluster) edit(name types.NamespacedName, change func(*v1alpha1.VectorStoreFileBatch)) {
	b := &v1alpha1.VectorStoreFileBatch{}
	err := c.server.Get(context.Background(), name, b)
	if err == nil {
		change(b)
		err = c.server.Update(context.Background(), b)
	}
	if client.IgnoreNotFound(err) != nil {
		c.Fatal(err)
	}
}

// remove deletes an object, even if it has finalizers, as a client that may edit it can.
func (c *cluster) remove(name types.NamespacedName) {
	c.edit(name, func(b *v1alpha1.VectorStoreFileBatch) { b.Finalizers = nil })
	b := &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
	if err := client.IgnoreNotFound(c.server.Delete(context.Background(), b)); err != nil {
		c.Fatal(err)
	}
}

// change does one random thing that other clients do, or delivers the events of what they did.
func (c *cluster) change() {
	name := c.name()
	switch c.random.IntN(7) {
	case 0, 1:
		c.create(name)
	case 2:
		c.remove(name)
	case 3: // the watch reports both as one change if it is interrupted meanwhile
		c.remove(name)
		c.create(name)
	case 4:
		c.edit(name, cancelWanted)
	case 5:
		b := &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
		if err := client.IgnoreNotFound(c.server.Delete(context.Background(), b)); err != nil {
			c.Fatal(err)
		}
	default:
		c.deliver()
	}
}

// deliver brings the cache up to date, and delivers the events. An object that was replaced is updated, as
// after an interrupted watch, or deleted and created.
func (c *cluster) deliver() {
	var list v1alpha1.VectorStoreFileBatchList
	if err := c.server.List(context.Background(), &list); err != nil {
		c.Fatal(err)
	}
	q := priorityqueue.New[reconcile.Request]("test")
	defer q.ShutDown()
	h, current := newHandler(c.Reconciler), make(map[types.NamespacedName]bool)
	for i := range list.Items {
		after := &list.Items[i]
		name := client.ObjectKeyFromObject(after)
		before, known := c.cached[name]
		current[name], c.cached[name] = true, after
		switch {
		case known && before.UID != after.UID && c.random.IntN(2) == 0:
			h.Delete(context.Background(), event.DeleteEvent{Object: before}, q)
			h.Create(context.Background(), event.CreateEvent{Object: after}, q)
		case !known:
			h.Create(context.Background(), event.CreateEvent{Object: after}, q)
		case before.UID != after.UID || before.ResourceVersion != after.ResourceVersion:
			h.Update(context.Background(), event.UpdateEvent{ObjectOld: before, ObjectNew: after}, q)
		}
		c.queued[name] = true
	}
	for name, before := range c.cached {
		if !current[name] {
			delete(c.cached, name)
			h.Delete(context.Background(), event.DeleteEvent{Object: before, DeleteStateUnknown: c.random.IntN(2) == 0}, q)
		}
	}
}

// reconcile reconciles an object as the controller does.
func (c *cluster) reconcile(ctx context.Context, name types.NamespacedName) {
	delete(c.queued, name)
	result, err := byName{c.Reconciler, c.Reconciler}.Reconcile(ctx, ctrl.Request{NamespacedName: name})
	if err != nil || result.RequeueAfter > 0 {
		c.queued[name] = true
	}
}

// settle deletes all objects, and reconciles what the queue still knows.
func (c *cluster) settle() {
	c.during = nil
	for i := range 4 {
		c.remove(types.NamespacedName{Namespace: "default", Name: fmt.Sprintf("b%d", i)})
	}
	c.deliver()
	for len(c.queued) > 0 {
		for name := range c.queued {
			c.reconcile(context.Background(), name)
		}
	}
}

// TestState_BoundedOverRandomHistories: objects are created, edited, deleted and replaced before, during
// and after their reconciliations, with every order of events. When all of them are gone, the process
// remembers none.
func TestState_BoundedOverRandomHistories(t *testing.T) {
	seed := framework.CommitSeed()
	t.Logf("seed %d", seed)
	for history := range uint64(100) {
		t.Run(fmt.Sprint(seed+history), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, seed+history)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				c.during = func() {
					for c.random.IntN(5) > 1 { // two on average: deleted, and delivered
						c.change()
					}
				}
				for range 40 {
					c.change()
					if names := slices.Collect(keysOf(c.queued)); len(names) > 0 {
						slices.SortFunc(names, func(a, b types.NamespacedName) int { return len(a.Name) - len(b.Name) })
						c.reconcile(ctx, names[c.random.IntN(len(names))])
					}
					time.Sleep(time.Duration(c.random.IntN(60)) * time.Second) //nolint:forbidigo // of the bubble
				}
				c.settle()
				if n := len(c.state.byName); n > 0 {
					t.Errorf("the state of %d objects is left: %+v", n, c.state.byName)
				}
				if n := len(c.collector.active); n > 0 {
					t.Errorf("%d objects are left in the metrics", n)
				}
				if n := len(c.collector.batches) + len(c.collector.conditions); n > 0 {
					t.Errorf("%d counts are left in the metrics: %v", n, c.collector.batches)
				}
				if n := len(c.inflight.byUID); n > 0 {
					t.Errorf("%d polls are left", n)
				}
				time.Sleep(24 * time.Hour) //nolint:forbidigo // of the bubble: what expires has expired
				// An object that was replaced during its last reconciliation keeps its position until then.
				if n := c.throttler.Callers(); n > 0 {
					t.Errorf("%d objects are left in flow control", n)
				}
			})
		})
	}
}

func keysOf[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

// newTracked creates an object without a batch, and returns it as the cache has it.
func (c *cluster) newTracked() *v1alpha1.VectorStoreFileBatch {
	c.create(types.NamespacedName{Namespace: "default", Name: "b0"})
	c.edit(types.NamespacedName{Namespace: "default", Name: "b0"}, func(b *v1alpha1.VectorStoreFileBatch) {
		b.Spec = v1alpha1.VectorStoreFileBatchSpec{VectorStoreID: "vs_1", FileIDs: []string{"file-a"}}
	})
	c.deliver()
	return c.cached[types.NamespacedName{Namespace: "default", Name: "b0"}].DeepCopy()
}

// TestPatch_BoundedWhileAnotherClientWrites: a client that writes its object all the time makes every write
// of the operator a conflict. The ID of the batch is kept, and recorded once that client pauses.
func TestPatch_BoundedWhileAnotherClientWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		b := c.newTracked()
		attempts := 0
		c.patch = func() error {
			if attempts++; attempts > 1000 {
				panic("the write is repeated without bound")
			}
			return apierrors.NewConflict(schema.GroupResource{}, b.Name, errors.New("changed"))
		}
		c.state.saveCreated(b, "batch_1")
		var last time.Duration
		for range 3 {
			attempts = 0
			startedAt := time.Now()
			result, err := c.Reconcile(t.Context(), b.DeepCopy())
			if err != nil || result.RequeueAfter <= last {
				t.Errorf("requeued after %s, and before after %s; error %v", result.RequeueAfter, last, err)
			}
			last = result.RequeueAfter
			if took := time.Since(startedAt); attempts < 2 || attempts > 20 || took < time.Second || took > PersistTimeout {
				t.Errorf("%d writes in %s", attempts, took)
			}
			if state, _ := c.state.load(b); state.CreatedID != "batch_1" {
				t.Fatalf("the ID of the batch is lost: %+v", state)
			}
		}
		c.patch = nil
		if _, err := c.Reconcile(t.Context(), b.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		c.deliver()
		if id := c.cached[client.ObjectKeyFromObject(b)].Annotations[v1alpha1.AnnotationBatchID]; id != "batch_1" {
			t.Errorf("the recorded ID is %q", id)
		}
	})
}

// TestCreate_PanicKeepsBatchID: a panic after the response of a create, here in the write that records the
// ID, does not lose the batch.
func TestCreate_PanicKeepsBatchID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		b, created := c.newTracked(), false
		c.during = func() {
			if created {
				panic("in the write of the ID")
			}
		}
		c.clients = NewClientPool(c.server, func(upstream.Connection) (DialedClient, error) {
			return creatingAPI{simulatedAPI{c}, &created}, nil
		}, c.Clock)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("nothing panicked, so the test shows nothing")
				}
			}()
			_, _ = c.Reconcile(t.Context(), b)
		}()
		if state, _ := c.state.load(b); state.CreatedID != "batch_1" {
			t.Fatalf("the ID of the batch is lost: %+v", state)
		}
	})
}

// TestReconcile_HangingReadTimesOut: a read of the cache that never returns holds a worker for a bounded
// time, and the object is tried again.
func TestReconcile_HangingReadTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.get = func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
		options := c.controllerOptions()
		options.Reconciler = byName{c.Reconciler, c.Reconciler}
		worker, err := controller.NewUnmanaged("hanging", options)
		if err != nil {
			t.Fatal(err)
		}
		startedAt := time.Now()
		if _, err := worker.Reconcile(t.Context(), ctrl.Request{NamespacedName: c.name()}); err == nil {
			t.Error("a reconciliation that timed out returned no error, so the object is not tried again")
		}
		longest := 4*c.Lifecycle.RequestTimeout + CreatePendingTimeout + PersistTimeout // verify, create, and record
		if took := time.Since(startedAt); took <= longest || took > 5*time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

// TestDelete_ReadsDoNotWaitForIt: after an object was deleted because of its TTL, the watch is interrupted and
// another object gets the name, so no event reports the deletion. Reads do not wait for that event, and the
// object that the cache still shows is not deleted again.
func TestDelete_ReadsDoNotWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.newTracked()
		name := types.NamespacedName{Namespace: "default", Name: "b0"}
		c.edit(name, func(b *v1alpha1.VectorStoreFileBatch) { b.Spec.TTLSecondsAfterFinished = new(int32) })
		finish := &v1alpha1.VectorStoreFileBatch{}
		if err := c.server.Get(t.Context(), name, finish); err != nil {
			t.Fatal(err)
		}
		finish.Status = named("b0", "completed", v1alpha1.ReasonCompleted).Status
		finish.Status.CompletionTime = &metav1.Time{Time: time.Now()}
		if err := c.server.Status().Update(t.Context(), finish); err != nil {
			t.Fatal(err)
		}
		c.deliver()
		for range 3 { // the cache is stale after the first
			c.reconcile(t.Context(), name)
		}
		if len(c.deletes) != 1 || !c.deletes[0].DisableReadYourWritesConsistency {
			t.Errorf("deletions with the options %+v, want one that reads do not wait for", c.deletes)
		}
		c.create(name)
		c.deliver() // as one update
		c.reconcile(t.Context(), name)
		if _, gone := c.state.load(c.cached[name]); gone {
			t.Error("the new object is taken for the deleted one")
		}
	})
}

// creatingAPI creates batch_1.
type creatingAPI struct {
	simulatedAPI

	created *bool
}

func (a creatingAPI) Create(context.Context, upstream.CreateRequest) (upstream.Batch, error) {
	*a.created = true
	return upstream.Batch{ID: "batch_1", CreatedAt: time.Now(), Status: upstream.InProgress}, nil
}
