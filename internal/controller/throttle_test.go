// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"fmt"
	"net/http"
	"strings"
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

// rateLimitedCalls returns the number of calls that got a 429.
func (f *fixture) rateLimitedCalls() (n int) {
	for _, call := range f.emulator.Calls() {
		if call.Status == http.StatusTooManyRequests {
			n++
		}
	}
	return n
}

func TestThrottle_LimitsAreSharedByCredentials(t *testing.T) {
	f := newFixture(t)
	other := f.otherNamespace()
	f.emulator.Configure(func(s *emulator.Settings) { s.EnforceLimits, s.Minute = true, limits.Window })
	large := f.create(spec{FileIDs: numberedFiles("large", 2000)})
	f.await(large, "the batch", hasBatch)
	var small []*v1alpha1.VectorStoreFileBatch
	for i := range 6 {
		small = append(small, other.create(spec{FileIDs: numberedFiles(fmt.Sprint("small", i), 500)}))
	}
	for _, b := range small {
		other.awaitConditions(b, "Completed", succeeded)
		if n := writes.of(b); n > 6 {
			t.Errorf("a waiting object caused %d writes", n)
		}
	}
	if n := f.rateLimitedCalls(); n != 0 {
		t.Errorf("%d calls got a 429", n)
	}
	if n := f.emulator.CreateCount(); n != 7 {
		t.Errorf("%d batches were created", n)
	}
}

func TestThrottle_WaitingObjectIsCancelledAndDeleted(t *testing.T) {
	f := newFixture(t)
	f.fault(emulator.Fault{Operation: emulator.Create, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "3600"}})
	f.awaitConditions(f.create(spec{}), "RateLimited", progressing)
	toCancel := f.create(spec{FileIDs: []string{"file-c"}})
	toDelete := f.create(spec{FileIDs: []string{"file-d"}})
	f.awaitConditions(toDelete, "RateLimited", progressing)
	f.patch(toCancel, `{"spec":{"cancel":true}}`)
	f.awaitConditions(toCancel, "Cancelled", cancelled)
	f.deleteAndWait(toDelete)
	if n := f.calls(); n != 1 {
		t.Errorf("%d calls were made, want the rate-limited one", n)
	}
}

// A 429 backs off one class of calls of the credentials. The status names the end of a long back-off.
func TestThrottle_RateLimitHoldsOneClass(t *testing.T) {
	f := newFixture(t)
	other := f.otherNamespace()
	f.setPace(slow)
	running := []*v1alpha1.VectorStoreFileBatch{f.create(spec{}), other.create(spec{})}
	f.await(running[0], "the batch", hasBatch)
	other.await(running[1], "the batch", hasBatch)
	f.fault(emulator.Fault{Operation: emulator.Retrieve, Times: 1, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "86400"}})
	f.awaitConditions(running[0], "RateLimited", progressing)
	waiting := other.awaitConditions(running[1], "RateLimited", progressing)
	until := time.Now().Add(24*time.Hour + time.Minute).UTC().Format("2006-01-02T15:")
	if message := waiting.Status.Conditions[0].Message; !strings.Contains(message, until) {
		t.Errorf("the message does not name the end of the back-off, %s: %s", until, message)
	}
	other.await(other.create(spec{FileIDs: []string{"file-new"}}), "the batch while polls are held", hasBatch)
	f.patch(running[0], `{"spec":{"cancel":true}}`)
	f.awaitCalls(emulator.Cancel, 1)
}

func TestThrottle_ResumesAfterRateLimit(t *testing.T) {
	f := newFixture(t)
	f.fault(emulator.Fault{Times: 3, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "1"}})
	var objects []*v1alpha1.VectorStoreFileBatch
	for i := range 20 {
		objects = append(objects, f.create(spec{FileIDs: numberedFiles(fmt.Sprint(i), 2)}))
	}
	for _, b := range objects {
		f.awaitConditions(b, "Completed", succeeded)
	}
	if n := f.rateLimitedCalls(); n != 3 {
		t.Errorf("%d calls got a 429, want 3", n)
	}
}

func TestThrottle_HangingPollsDelayNoOtherCalls(t *testing.T) {
	f := newFixture(t)
	other := f.otherServer()
	f.setPace(slow)
	var running []*v1alpha1.VectorStoreFileBatch
	for i := range 2 * workers {
		running = append(running, f.create(spec{FileIDs: numberedFiles(fmt.Sprint(i), 2)}))
	}
	for _, b := range running {
		f.await(b, "the batch", hasBatch)
	}
	hanging := make(chan struct{})
	t.Cleanup(func() { close(hanging) })
	before := f.calls(emulator.Retrieve)
	f.fault(emulator.Fault{Operation: emulator.Retrieve, Until: hanging})
	f.awaitCalls(emulator.Retrieve, before+workers/4+1)

	start := time.Now()
	b := f.create(spec{})
	f.await(b, "the batch while polls hang", hasBatch)
	for _, b := range running {
		f.patch(b, `{"spec":{"cancel":true}}`)
	}
	f.awaitCalls(emulator.Cancel, len(running))
	other.awaitConditions(other.create(spec{}), "Completed", succeeded)
	for _, call := range f.emulator.Calls(emulator.Retrieve) {
		if call.Time.After(start) && call.Status != 0 {
			t.Fatal("the polls do not hang, so the test checks nothing")
		}
	}
}

func TestThrottle_PanicReleasesPermit(t *testing.T) {
	f := newFixture(t)
	// More than there are seats, so that no poll could be admitted if they were lost.
	remaining := &atomic.Int32{}
	remaining.Store(2 * workers)
	panics.Store(f.api.BaseURL(), remaining)
	var objects []*v1alpha1.VectorStoreFileBatch
	for i := range 2 * workers {
		objects = append(objects, f.create(spec{FileIDs: numberedFiles(fmt.Sprint(i), 2)}))
	}
	for _, b := range objects {
		f.awaitConditions(b, "Completed", succeeded)
	}
	if n := remaining.Load(); n >= 0 {
		t.Errorf("%d polls did not panic", n)
	}
}
