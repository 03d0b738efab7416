// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package races_test

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

func TestWatchIsLateOrCut(t *testing.T) {
	t.Parallel()
	for name, watch := range map[string]stage.Watch{
		"late":         {Lag: 3 * time.Second},
		"cut":          {CutAfter: 300 * time.Millisecond},
		"late and cut": {Lag: 500 * time.Millisecond, CutAfter: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := shared.NewTenant(t, emulator.Options{})
			manager := n.Start(t, "m", stage.Setup{Watch: watch})
			names := objects(0, 6)
			createAll(t, n, names)
			n.MustCreate(t, n.Object("cancelled", stuck("cancelled")))
			n.MustCreate(t, n.Object("deleted", stuck("deleted")))
			for _, name := range []string{"cancelled", "deleted"} {
				n.WaitReason(t, name, v1alpha1.ReasonInProgress)
			}
			patch(t, n, "cancelled", `{"spec":{"cancel":true}}`)
			if err := n.Client.Delete(t.Context(), n.Object("deleted", v1alpha1.VectorStoreFileBatchSpec{})); err != nil {
				t.Fatal(err)
			}
			n.WaitReason(t, "cancelled", v1alpha1.ReasonCancelled)
			n.WaitReason(t, "deleted", "gone")
			wantOneBatch(t, n, "cancelled")
			for _, name := range names {
				n.WaitReason(t, name, v1alpha1.ReasonCompleted)
				wantOneBatch(t, n, name)
			}
			wantStopped(t, n, "deleted")
			if want := len(names) + 2; n.Emulator.CreateCount() != want {
				t.Errorf("the upstream made %d batches, want %d", n.Emulator.CreateCount(), want)
			}
			wantNoUnknownOutcome(t, manager)
		})
	}
}

// wantStopped demands that an object that is gone left one batch behind, which is cancelled.
func wantStopped(t *testing.T, n *stage.Tenant, object string) {
	t.Helper()
	batches := batchesOf(n, object)
	if len(batches) != 1 {
		t.Errorf("%s: the upstream has the batches %v, want one", object, batches)
	}
	for _, id := range batches {
		if batch, _ := n.Emulator.Batch(id); batch.Status != "cancelled" {
			t.Errorf("%s: batch %s was left %s", object, id, batch.Status)
		}
	}
}

// A manager that starts, and is given a list of objects from before their batches were created,
// by an API server that lags behind, must not create them again.
func TestListIsOld(t *testing.T) {
	t.Parallel()
	n := shared.NewTenant(t, emulator.Options{})
	const atATime = 3
	release := make(chan struct{})
	n.Emulator.AddFault(emulator.Fault{Operation: emulator.Create, Until: release})
	open := sync.OnceFunc(func() { close(release) })
	t.Cleanup(open)
	names := objects(0, 2*atATime)
	// Of 11 workers, the budget lets three create on one connection at a time.
	first := n.Start(t, "first", stage.Setup{Flags: []string{"--concurrency=11", "--request-timeout=20s"}})
	createAll(t, n, names)
	waitCreating(t, n, atATime)
	// Now some have an intent and no ID, and the others not even an intent.
	old := list(t, n)
	open()
	wantAllOnce(t, n, names)
	first.Kill(t)

	shut := make(chan struct{})
	catchUp := sync.OnceFunc(func() { close(shut) })
	t.Cleanup(catchUp)
	var answered sync.Once
	second := n.Start(t, "second", stage.Setup{
		Watch: stage.Watch{Shut: shut},
		Stale: func() (answer []byte) {
			answered.Do(func() { answer = old })
			return answer
		},
	})
	stage.Eventually(t, "the manager to want to create each batch again", func() bool {
		var tried []string
		for _, r := range n.Seen(stage.Intent) {
			if r.Manager == "second" && !slices.Contains(tried, r.Object) {
				tried = append(tried, r.Object)
			}
		}
		return len(tried) == len(names)
	})
	catchUp()
	patch(t, n, names[0], `{"spec":{"maxFailedFiles":1}}`)
	stage.Eventually(t, "the manager to catch up", func() bool {
		b := n.Read(t, names[0])
		return b.Status.ObservedGeneration == b.Generation
	})
	for _, r := range n.Seen(stage.Intent) {
		if r.Manager == "second" && r.Status != http.StatusConflict {
			t.Errorf("%s: the intent of a second create got HTTP %d, want a conflict", r.Object, r.Status)
		}
	}
	wantAllOnce(t, n, names)
	second.Kill(t)
}

// list gives what the API server answers to a list of the tenant's objects.
func list(t *testing.T, n *stage.Tenant) []byte {
	t.Helper()
	response, err := n.Fetch(t.Context(), "/apis/"+v1alpha1.GroupVersion.String()+"/namespaces/"+n.Namespace+"/vectorstorefilebatches")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("HTTP %d: %v: %s", response.StatusCode, err, body)
	}
	return body
}
