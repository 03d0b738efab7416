// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package races_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

// firsts reports which requests are the first of their operation about their object.
type firsts struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (f *firsts) is(r proxy.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := fmt.Sprint(r.Operation, " ", r.Object, " ", r.Status != 0)
	if f.seen == nil {
		f.seen = map[string]bool{}
	}
	first := !f.seen[key]
	f.seen[key] = true
	return first
}

// writes are the operations that write a VectorStoreFileBatch.
var writes = []proxy.Operation{
	proxy.SetCreatePending, proxy.RecordBatchID, proxy.ClearCreatePending, proxy.AddFinalizer, proxy.RemoveFinalizer, proxy.UpdateStatus, proxy.DeleteObject,
}

// Rejects the first write of each operation about each object with a conflict: one that the proxy
// injects, or a real one after another client's write.
func TestConflict_OnFirstWriteOfEachOperation(t *testing.T) {
	t.Parallel()
	for name, conflict := range map[string]func(t *testing.T, f *framework.Fixture, object string) int{
		"refused": func(*testing.T, *framework.Fixture, string) int { return http.StatusConflict },
		"overtaken": func(t *testing.T, f *framework.Fixture, object string) int {
			f.Patch(t, object, `{"metadata":{"labels":{"touched":"`+strings.ToLower(t.Name()[:4])+`"}}}`)
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := env.NewFixture(t, emulator.Options{})
			var first firsts
			f.OnRequest(func(r proxy.Request) int {
				if r.Status == 0 && slices.Contains(writes, r.Operation) && first.is(r) {
					return conflict(t, f, r.Object)
				}
				return 0
			})
			manager := f.StartManager(t, "m", framework.Setup{Flags: []string{longTimeout}})
			lives(t, f, manager)
		})
	}
}

// lives takes objects through each kind of life, and requires the right final state and one create each.
func lives(t *testing.T, f *framework.Fixture, manager *framework.Process) {
	t.Helper()
	detached := stuck("detached")
	detached.DeletionPolicy = v1alpha1.DeletionPolicyDetachFiles
	expiring := files("expiring")
	expiring.TTLSecondsAfterFinished = ptr.To(int32(1))
	for object, spec := range map[string]v1alpha1.VectorStoreFileBatchSpec{
		"completed": files("completed"), "cancelled": stuck("cancelled"), "deleted": stuck("deleted"), "detached": detached, "expiring": expiring,
	} {
		f.Create(t, f.Batch(object, spec))
	}
	for _, object := range []string{"cancelled", "deleted", "detached"} {
		f.WaitForReason(t, object, v1alpha1.ReasonInProgress)
	}
	f.Patch(t, "cancelled", `{"spec":{"cancel":true}}`)
	remove(t, f, "deleted")
	remove(t, f, "detached")
	f.WaitForReason(t, "completed", v1alpha1.ReasonCompleted)
	f.WaitForReason(t, "cancelled", v1alpha1.ReasonCancelled)
	for _, object := range []string{"deleted", "detached", "expiring"} {
		f.WaitForReason(t, object, "gone")
	}
	wantOneBatch(t, f, "completed")
	wantOneBatch(t, f, "cancelled")
	wantStopped(t, f, "deleted")
	wantStopped(t, f, "detached")
	if got := f.Emulator.CreateCount(); got != 5 {
		t.Errorf("the emulator created %d batches, want 5", got)
	}
	for _, file := range f.Emulator.AttachedFileIDs(framework.VectorStore) {
		if strings.Contains(file, "detached") {
			t.Errorf("%s is still attached to the vector store", file)
		}
	}
	wantNoUnknownOutcome(t, manager)
}

func remove(t *testing.T, f *framework.Fixture, object string) {
	t.Helper()
	err := f.Client.Delete(context.WithoutCancel(t.Context()), f.Batch(object, v1alpha1.VectorStoreFileBatchSpec{}))
	if client.IgnoreNotFound(err) != nil {
		t.Errorf("deleting %s: %v", object, err)
	}
}

// edit is a user's change of an object at a step of its creation.
type edit struct {
	name string
	// change is a merge patch; empty deletes the object.
	change string
	// ends is the object's final reason.
	ends string
	spec func(object string) v1alpha1.VectorStoreFileBatchSpec
}

const removeAnnotations = `{"metadata":{"annotations":{"` + v1alpha1.AnnotationBatchID + `":null,"` + v1alpha1.AnnotationCreateStartedAt + `":null}}}`

var edits = []edit{
	{"labels", `{"metadata":{"labels":{"team":"search"}}}`, v1alpha1.ReasonCompleted, files},
	{"annotations", `{"metadata":{"annotations":{"example.com/note":"mine"}}}`, v1alpha1.ReasonCompleted, files},
	{"annotations-gone", removeAnnotations, v1alpha1.ReasonCompleted, files},
	{"metadata-gone", `{"metadata":{"annotations":null,"finalizers":null}}`, v1alpha1.ReasonCompleted, files},
	{"max-failed-files", `{"spec":{"maxFailedFiles":3}}`, v1alpha1.ReasonCompleted, files},
	{"suspend", `{"spec":{"suspend":true}}`, v1alpha1.ReasonSuspended, stuck},
	{"cancel", `{"spec":{"cancel":true}}`, v1alpha1.ReasonCancelled, stuck},
	{"delete", "", "gone", stuck},
}

// moments are the steps of a create, in order.
var moments = []struct {
	op       proxy.Operation
	answered bool
}{
	{proxy.SetCreatePending, false}, {proxy.SetCreatePending, true}, {proxy.CreateBatch, false}, {proxy.CreateBatch, true},
	{proxy.RecordBatchID, false}, {proxy.RecordBatchID, true}, {proxy.UpdateStatus, false}, {proxy.UpdateStatus, true},
}

func TestEdit_AtEachStepOfCreate(t *testing.T) {
	t.Parallel()
	f := env.NewFixture(t, emulator.Options{})
	manager := f.StartManager(t, "m", framework.Setup{Flags: []string{longTimeout}})
	var first firsts
	doing := map[string]func(){} // the edit for each step of each object
	at := func(r proxy.Request) string { return fmt.Sprint(r.Object, " ", r.Operation, " ", r.Status != 0) }
	ends := map[string]edit{}
	for i, moment := range moments {
		for _, e := range edits {
			object := fmt.Sprintf("%s-%d", e.name, i)
			ends[object] = e
			key := at(proxy.Request{Object: object, Operation: moment.op, Status: map[bool]int{true: http.StatusOK}[moment.answered]})
			doing[key] = func() { e.apply(t, f, object) }
		}
	}
	var done sync.Map
	f.OnRequest(func(r proxy.Request) int {
		if act := doing[at(r)]; act != nil && first.is(r) {
			act()
			done.Store(at(r), true)
		}
		return 0
	})
	for object, e := range ends {
		f.Create(t, f.Batch(object, e.spec(object)))
	}
	for object, e := range ends {
		f.WaitForReason(t, object, e.ends)
	}
	for key := range doing {
		if _, was := done.Load(key); !was {
			t.Errorf("no request reached step %s", key)
		}
	}
	for object, e := range ends {
		wantEdited(t, f, object, e)
	}
	wantNoUnknownOutcome(t, manager)
}

func (e edit) apply(t *testing.T, f *framework.Fixture, object string) {
	t.Helper()
	if e.change == "" {
		remove(t, f, object)
		return
	}
	f.Patch(t, object, e.change)
}

// wantEdited requires that the object has at most one batch, which is cancelled if the user
// cancelled or deleted the object.
func wantEdited(t *testing.T, f *framework.Fixture, object string, e edit) {
	t.Helper()
	batches := batchesOf(f, object)
	if len(batches) > 1 {
		t.Errorf("%s: the emulator has the batches %v, want one at most", object, batches)
	}
	for _, id := range batches {
		batch, _ := f.Emulator.Batch(id)
		if stopped := e.ends == v1alpha1.ReasonCancelled || e.ends == "gone"; stopped && batch.Status != "cancelled" {
			t.Errorf("%s: batch %s is %s, want cancelled", object, id, batch.Status)
		}
	}
	if e.ends == v1alpha1.ReasonCompleted {
		wantOneBatch(t, f, object)
		return
	}
	if b := f.Get(t, object); b != nil && len(batches) == 1 && b.Status.BatchID != batches[0] {
		t.Errorf("%s: status.batchID is %q, and the emulator has %q", object, b.Status.BatchID, batches[0])
	}
}
