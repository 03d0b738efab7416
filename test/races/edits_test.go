// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package races_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

// firsts reports which requests are the first of their kind about their object.
type firsts struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (f *firsts) is(r stage.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := fmt.Sprint(r.Op, " ", r.Object, " ", r.Status != 0)
	if f.seen == nil {
		f.seen = map[string]bool{}
	}
	first := !f.seen[key]
	f.seen[key] = true
	return first
}

// writes reports whether a request writes an object of our kind.
func writes(r stage.Request) bool {
	switch r.Op {
	case stage.Intent, stage.Keep, stage.Forget, stage.Hold, stage.Release, stage.Status, stage.Delete:
		return true
	case stage.List, stage.Lease, stage.Other, stage.Create, stage.OtherCall:
	}
	return false
}

// The first write of each kind about each object meets a conflict: with one that the API server
// has not seen, and with somebody who wrote a moment before.
func TestFirstWritesConflict(t *testing.T) {
	t.Parallel()
	for name, conflict := range map[string]func(t *testing.T, n *stage.Tenant, object string) int{
		"refused": func(*testing.T, *stage.Tenant, string) int { return http.StatusConflict },
		"overtaken": func(t *testing.T, n *stage.Tenant, object string) int {
			patch(t, n, object, `{"metadata":{"labels":{"touched":"`+strings.ToLower(t.Name()[:4])+`"}}}`)
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := shared.NewTenant(t, emulator.Options{})
			var first firsts
			n.At(func(r stage.Request) int {
				if r.Status == 0 && writes(r) && first.is(r) {
					return conflict(t, n, r.Object)
				}
				return 0
			})
			manager := n.Start(t, "m", stage.Setup{})
			lives(t, n, manager)
		})
	}
}

// lives takes an object through each kind of life, and demands the right end, and one create each.
func lives(t *testing.T, n *stage.Tenant, manager *stage.Process) {
	t.Helper()
	detached := stuck("detached")
	detached.DeletionPolicy = v1alpha1.DeletionPolicyDetachFiles
	expiring := files("expiring")
	expiring.TTLSecondsAfterFinished = ptr.To(int32(1))
	for object, spec := range map[string]v1alpha1.VectorStoreFileBatchSpec{
		"completed": files("completed"), "cancelled": stuck("cancelled"), "deleted": stuck("deleted"), "detached": detached, "expiring": expiring,
	} {
		n.MustCreate(t, n.Object(object, spec))
	}
	for _, object := range []string{"cancelled", "deleted", "detached"} {
		n.WaitReason(t, object, v1alpha1.ReasonInProgress)
	}
	patch(t, n, "cancelled", `{"spec":{"cancel":true}}`)
	remove(t, n, "deleted")
	remove(t, n, "detached")
	n.WaitReason(t, "completed", v1alpha1.ReasonCompleted)
	n.WaitReason(t, "cancelled", v1alpha1.ReasonCancelled)
	for _, object := range []string{"deleted", "detached", "expiring"} {
		n.WaitReason(t, object, "gone")
	}
	wantOneBatch(t, n, "completed")
	wantOneBatch(t, n, "cancelled")
	wantStopped(t, n, "deleted")
	wantStopped(t, n, "detached")
	if got := n.Emulator.CreateCount(); got != 5 {
		t.Errorf("the upstream made %d batches, want 5", got)
	}
	for _, file := range n.Emulator.AttachedFileIDs(stage.Store) {
		if strings.Contains(file, "detached") {
			t.Errorf("%s is still in the store", file)
		}
	}
	wantNoUnknownOutcome(t, manager)
}

func remove(t *testing.T, n *stage.Tenant, object string) {
	t.Helper()
	err := n.Client.Delete(context.WithoutCancel(t.Context()), n.Object(object, v1alpha1.VectorStoreFileBatchSpec{}))
	if client.IgnoreNotFound(err) != nil {
		t.Errorf("deleting %s: %v", object, err)
	}
}

// edit is what a user does to an object while the operator is in the middle of something.
type edit struct {
	does string
	// change is a merge patch; empty deletes the object.
	change string
	// ends is the reason in which the object ends.
	ends string
	spec func(object string) v1alpha1.VectorStoreFileBatchSpec
}

const ourAnnotationsGone = `{"metadata":{"annotations":{"` + v1alpha1.AnnotationBatchID + `":null,"` + v1alpha1.AnnotationCreateStartedAt + `":null}}}`

var edits = []edit{
	{"labels", `{"metadata":{"labels":{"team":"search"}}}`, v1alpha1.ReasonCompleted, files},
	{"annotations", `{"metadata":{"annotations":{"example.com/note":"mine"}}}`, v1alpha1.ReasonCompleted, files},
	{"annotations-gone", ourAnnotationsGone, v1alpha1.ReasonCompleted, files},
	{"metadata-gone", `{"metadata":{"annotations":null,"finalizers":null}}`, v1alpha1.ReasonCompleted, files},
	{"max-failed-files", `{"spec":{"maxFailedFiles":3}}`, v1alpha1.ReasonCompleted, files},
	{"suspend", `{"spec":{"suspend":true}}`, v1alpha1.ReasonSuspended, stuck},
	{"cancel", `{"spec":{"cancel":true}}`, v1alpha1.ReasonCancelled, stuck},
	{"delete", "", "gone", stuck},
}

// moments are the steps of a create, in their order.
var moments = []struct {
	op       stage.Op
	answered bool
}{
	{stage.Intent, false}, {stage.Intent, true}, {stage.Create, false}, {stage.Create, true},
	{stage.Keep, false}, {stage.Keep, true}, {stage.Status, false}, {stage.Status, true},
}

func TestUsersEditAtEveryStep(t *testing.T) {
	t.Parallel()
	n := shared.NewTenant(t, emulator.Options{})
	manager := n.Start(t, "m", stage.Setup{})
	var first firsts
	doing := map[string]func(){} // what to do at which step of which object
	at := func(r stage.Request) string { return fmt.Sprint(r.Object, " ", r.Op, " ", r.Status != 0) }
	ends := map[string]edit{}
	for i, moment := range moments {
		for _, e := range edits {
			object := fmt.Sprintf("%s-%d", e.does, i)
			ends[object] = e
			key := at(stage.Request{Object: object, Op: moment.op, Status: map[bool]int{true: http.StatusOK}[moment.answered]})
			doing[key] = func() { e.apply(t, n, object) }
		}
	}
	var done sync.Map
	n.At(func(r stage.Request) int {
		if act := doing[at(r)]; act != nil && first.is(r) {
			act()
			done.Store(at(r), true)
		}
		return 0
	})
	for object, e := range ends {
		n.MustCreate(t, n.Object(object, e.spec(object)))
	}
	for object, e := range ends {
		n.WaitReason(t, object, e.ends)
	}
	for key := range doing {
		if _, was := done.Load(key); !was {
			t.Errorf("nothing was done at %s: the object never came there", key)
		}
	}
	for object, e := range ends {
		wantEdited(t, n, object, e)
	}
	wantNoUnknownOutcome(t, manager)
}

func (e edit) apply(t *testing.T, n *stage.Tenant, object string) {
	t.Helper()
	if e.change == "" {
		remove(t, n, object)
		return
	}
	patch(t, n, object, e.change)
}

// wantEdited demands that one batch at most was created of an object, and that it was stopped
// where the user said so.
func wantEdited(t *testing.T, n *stage.Tenant, object string, e edit) {
	t.Helper()
	batches := batchesOf(n, object)
	if len(batches) > 1 {
		t.Errorf("%s: the upstream has the batches %v, want one at most", object, batches)
	}
	for _, id := range batches {
		batch, _ := n.Emulator.Batch(id)
		if stopped := e.ends == v1alpha1.ReasonCancelled || e.ends == "gone"; stopped && batch.Status != "cancelled" {
			t.Errorf("%s: batch %s was left %s", object, id, batch.Status)
		}
	}
	if e.ends == v1alpha1.ReasonCompleted {
		wantOneBatch(t, n, object)
		return
	}
	if b := n.Read(t, object); b != nil && len(batches) == 1 && b.Status.BatchID != batches[0] {
		t.Errorf("%s: it tells batch %q, and the upstream has %q", object, b.Status.BatchID, batches[0])
	}
}
