// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

func numberedFiles(name string, n int) []string {
	files := make([]string, n)
	for i := range files {
		files[i] = fmt.Sprintf("file-%s-%d", name, i)
	}
	return files
}

// refused counts the calls that met a 429.
func (w *world) refused() (n int) {
	for _, call := range w.upstream.Calls() {
		if call.Status == http.StatusTooManyRequests {
			n++
		}
	}
	return n
}

func TestCreatesWaitForLimitsThatAllObjectsWithTheCredentialsShare(t *testing.T) {
	w := newWorld(t)
	other := w.neighbour()
	w.upstream.Configure(func(s *emulator.Settings) { s.EnforceLimits, s.Minute = true, limits.Window })
	large := w.create(spec{FileIDs: numberedFiles("large", 2000)})
	w.eventually(large, "for the batch", hasBatch)
	var small []*v1alpha1.VectorStoreFileBatch
	for i := range 6 {
		small = append(small, other.create(spec{FileIDs: numberedFiles(fmt.Sprint("small", i), 500)}))
	}
	waiting := other.eventuallyRow(small[5], "Waiting", progressing)
	if _, started := waiting.Annotations[v1alpha1.AnnotationCreateStartedAt]; started {
		t.Error("a create is called started that only waits")
	}
	for _, b := range small {
		other.eventuallyRow(b, "Completed", succeeded)
		if n := writes.to(b); n > 6 {
			t.Errorf("waiting cost %d writes in all", n)
		}
	}
	if n := w.refused(); n != 0 {
		t.Errorf("%d calls met a 429", n)
	}
	if n := w.upstream.CreateCount(); n != 7 {
		t.Errorf("%d batches were created", n)
	}
}

func TestWhoWaitsToBeCreatedCanStillBeCancelledAndDeleted(t *testing.T) {
	w := newWorld(t)
	w.fault(emulator.Fault{Operation: emulator.Create, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "3600"}})
	w.eventuallyRow(w.create(spec{}), "RateLimited", progressing)
	cancelledOne := w.create(spec{FileIDs: []string{"file-c"}})
	deleted := w.create(spec{FileIDs: []string{"file-d"}})
	w.eventuallyRow(deleted, "RateLimited", progressing)
	w.patch(cancelledOne, `{"spec":{"cancel":true}}`)
	w.eventuallyRow(cancelledOne, "Cancelled", cancelled)
	w.deleteAndWait(deleted)
	if n := w.calls(); n != 1 {
		t.Errorf("%d calls were made, want the one that was refused", n)
	}
}

func TestARateLimitHoldsAllObjectsButNoCancel(t *testing.T) {
	w := newWorld(t)
	other := w.neighbour()
	w.pace(slow)
	running := w.create(spec{})
	w.eventually(running, "for the batch", hasBatch)
	w.fault(emulator.Fault{Operation: emulator.Retrieve, Times: 1, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "3600"}})
	w.eventuallyRow(running, "RateLimited", progressing)
	held := other.create(spec{})
	other.eventuallyRow(held, "RateLimited", progressing)
	if n := w.calls(emulator.Create); n != 1 {
		t.Errorf("%d creates were sent in spite of it", n-1)
	}
	w.patch(running, `{"spec":{"cancel":true}}`)
	w.poll(func() bool { return w.calls(emulator.Cancel) == 1 }, func() string { return "for the cancel" })
}

func TestAfterARateLimitAllGoOn(t *testing.T) {
	w := newWorld(t)
	w.fault(emulator.Fault{Times: 3, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "1"}})
	var objects []*v1alpha1.VectorStoreFileBatch
	for i := range 20 {
		objects = append(objects, w.create(spec{FileIDs: numberedFiles(fmt.Sprint(i), 2)}))
	}
	for _, b := range objects {
		w.eventuallyRow(b, "Completed", succeeded)
	}
	if n := w.refused(); n != 3 {
		t.Errorf("%d calls met a 429, want 3", n)
	}
}

func TestAnUpstreamThatHangsOnLooksDelaysNoCreateAndNoCancel(t *testing.T) {
	w := newWorld(t)
	other := w.stranger()
	w.pace(slow)
	var running []*v1alpha1.VectorStoreFileBatch
	for i := range 2 * workers {
		running = append(running, w.create(spec{FileIDs: numberedFiles(fmt.Sprint(i), 2)}))
	}
	for _, b := range running {
		w.eventually(b, "for the batch", hasBatch)
	}
	hanging := make(chan struct{})
	t.Cleanup(func() { close(hanging) })
	before := w.calls(emulator.Retrieve)
	w.fault(emulator.Fault{Operation: emulator.Retrieve, Until: hanging})
	w.poll(func() bool { return w.calls(emulator.Retrieve) > before+workers/4 }, func() string { return "for looks that hang" })

	began := time.Now()
	b := w.create(spec{})
	w.eventually(b, "for a create beside looks that hang", hasBatch)
	for _, b := range running {
		w.patch(b, `{"spec":{"cancel":true}}`)
	}
	w.poll(func() bool { return w.calls(emulator.Cancel) == len(running) }, func() string { return "for the cancels" })
	other.eventuallyRow(other.create(spec{}), "Completed", succeeded)
	for _, call := range w.upstream.Calls(emulator.Retrieve) {
		if call.Time.After(began) && call.Status != 0 {
			t.Fatal("the looks do not hang, so this shows nothing")
		}
	}
}

func TestACallThatPanicsGivesItsTurnBack(t *testing.T) {
	w := newWorld(t)
	// More than there are places, so that nobody could look any more if they were lost.
	left := &atomic.Int32{}
	left.Store(2 * workers)
	panics.Store(w.url, left)
	var objects []*v1alpha1.VectorStoreFileBatch
	for i := range 2 * workers {
		objects = append(objects, w.create(spec{FileIDs: numberedFiles(fmt.Sprint(i), 2)}))
	}
	for _, b := range objects {
		w.eventuallyRow(b, "Completed", succeeded)
	}
	if n := left.Load(); n >= 0 {
		t.Errorf("%d of the looks that were to panic were not made", n)
	}
}
