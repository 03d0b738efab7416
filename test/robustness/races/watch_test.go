// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package races_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

func TestWatch_LateOrInterrupted(t *testing.T) {
	t.Parallel()
	for name, watch := range map[string]proxy.Watch{
		"late":         {Lag: 3 * time.Second},
		"cut":          {CutAfter: 300 * time.Millisecond},
		"late and cut": {Lag: 500 * time.Millisecond, CutAfter: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := env.NewFixture(t, emulator.Options{})
			manager := f.StartManager(t, "m", framework.Setup{Watch: watch, Flags: []string{longTimeout}})
			names := objects(0, 6)
			createAll(t, f, names)
			f.Create(t, f.Batch("cancelled", stuck("cancelled")))
			f.Create(t, f.Batch("deleted", stuck("deleted")))
			for _, name := range []string{"cancelled", "deleted"} {
				f.WaitForReason(t, name, v1alpha1.ReasonInProgress)
			}
			f.Patch(t, "cancelled", `{"spec":{"cancel":true}}`)
			if err := f.Client.Delete(t.Context(), f.Batch("deleted", v1alpha1.VectorStoreFileBatchSpec{})); err != nil {
				t.Fatal(err)
			}
			f.WaitForReason(t, "cancelled", v1alpha1.ReasonCancelled)
			f.WaitForReason(t, "deleted", "gone")
			wantOneBatch(t, f, "cancelled")
			for _, name := range names {
				f.WaitForReason(t, name, v1alpha1.ReasonCompleted)
				wantOneBatch(t, f, name)
			}
			wantStopped(t, f, "deleted")
			if want := len(names) + 2; f.Emulator.CreateCount() != want {
				t.Errorf("the emulator created %d batches, want %d", f.Emulator.CreateCount(), want)
			}
			wantNoUnknownOutcome(t, manager)
		})
	}
}

// wantStopped requires that a deleted object left one batch, which is cancelled.
func wantStopped(t *testing.T, f *framework.Fixture, object string) {
	t.Helper()
	batches := batchesOf(f, object)
	if len(batches) != 1 {
		t.Errorf("%s: the emulator has the batches %v, want one", object, batches)
	}
	for _, id := range batches {
		if batch, _ := f.Emulator.Batch(id); batch.Status != "cancelled" {
			t.Errorf("%s: batch %s is %s, want cancelled", object, id, batch.Status)
		}
	}
}

// A manager that starts with a stale list, from before the batches were created, must not create
// them again.
func TestList_Stale(t *testing.T) {
	t.Parallel()
	f := env.NewFixture(t, emulator.Options{})
	const atATime = 3
	release := make(chan struct{})
	f.Emulator.AddFault(emulator.Fault{Operation: emulator.Create, Until: release})
	open := sync.OnceFunc(func() { close(release) })
	t.Cleanup(open)
	names := objects(0, 2*atATime)
	// Of 11 workers, the rate limiter admits three concurrent creates per credentials.
	first := f.StartManager(t, "first", framework.Setup{Flags: []string{"--concurrency=11", "--request-timeout=20s"}})
	createAll(t, f, names)
	waitCreating(t, f, atATime)
	// Some objects now have a pending create, the others not even that.
	old := list(t, f)
	open()
	wantAllOnce(t, f, names)
	first.Kill()

	shut := make(chan struct{})
	catchUp := sync.OnceFunc(func() { close(shut) })
	t.Cleanup(catchUp)
	var answered sync.Once
	second := f.StartManager(t, "second", framework.Setup{
		Watch: proxy.Watch{Blocked: shut},
		StaleList: func() (answer []byte) {
			answered.Do(func() { answer = old })
			return answer
		},
		Env: []string{"KUBE_FEATURE_WatchListClient=false"}, // makes it list the objects
	})
	framework.Eventually(t, "the manager to attempt each create again", func() bool {
		var tried []string
		for _, r := range f.Requests(proxy.SetCreatePending) {
			if r.Manager == "second" && !slices.Contains(tried, r.Object) {
				tried = append(tried, r.Object)
			}
		}
		return len(tried) == len(names)
	})
	catchUp()
	f.Patch(t, names[0], `{"spec":{"maxFailedFiles":1}}`)
	framework.Eventually(t, "the manager to catch up", func() bool {
		b := f.Get(t, names[0])
		return b.Status.ObservedGeneration == b.Generation
	})
	for _, r := range f.Requests(proxy.SetCreatePending) {
		if r.Manager == "second" && r.Status != http.StatusConflict {
			t.Errorf("%s: the create-pending write of a second create got HTTP %d, want a conflict", r.Object, r.Status)
		}
	}
	wantAllOnce(t, f, names)
	second.Kill()
}

// list returns the API server's response to a list of the fixture's objects.
func list(t *testing.T, f *framework.Fixture) []byte {
	t.Helper()
	url := strings.TrimSuffix(f.Config.Host, "/") + "/apis/" + v1alpha1.GroupVersion.String() + "/namespaces/" + f.Namespace + "/vectorstorefilebatches"
	status, body, err := framework.Fetch(t.Context(), f.HTTPClient, url, "")
	if err != nil || status != http.StatusOK {
		t.Fatalf("HTTP %d: %v: %s", status, err, body)
	}
	return []byte(body)
}
