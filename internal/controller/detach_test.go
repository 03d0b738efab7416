// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"net/http"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

const detachFiles = v1alpha1.DeletionPolicyDetachFiles

func TestDetach(t *testing.T) {
	for _, test := range []struct {
		name    string
		arrange func(f *fixture) spec
		cancels int
	}{
		{
			name: "in progress", cancels: 1,
			arrange: func(f *fixture) spec { f.setPace(slow); return spec{FileIDs: numberedFiles("x", 60)} },
		},
		{
			name:    "completed",
			arrange: func(*fixture) spec { return spec{FileIDs: numberedFiles("x", 60)} },
		},
		{
			name: "adopted", cancels: 1,
			arrange: func(f *fixture) spec { f.setPace(slow); return spec{BatchID: f.createBatch()} },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			s := test.arrange(f)
			s.DeletionPolicy = detachFiles
			b := f.create(s)
			f.await(b, "the finalizer and the first poll", func(b *v1alpha1.VectorStoreFileBatch) bool {
				return b.Status.FileCounts != nil && len(b.Finalizers) > 0
			})
			if test.cancels == 0 {
				f.awaitConditions(b, "Completed", succeeded)
			}
			f.deleteAndWait(b)
			if attached := f.emulator.AttachedFileIDs(store); len(attached) > 0 {
				t.Errorf("%d files remain in the store", len(attached))
			}
			f.wantCancels(test.cancels)
		})
	}
}

func TestDetach_ResumesAfterFaults(t *testing.T) {
	f := newFixture(t)
	b := f.create(spec{FileIDs: numberedFiles("x", 40), DeletionPolicy: detachFiles})
	f.awaitConditions(b, "Completed", succeeded)
	f.fault(emulator.Fault{Operation: emulator.DetachFile, Skip: 10, Times: 2, Status: http.StatusInternalServerError})
	f.deleteAndWait(b)
	if attached := f.emulator.AttachedFileIDs(store); len(attached) > 0 {
		t.Errorf("%d files remain in the store", len(attached))
	}
	if n := f.calls(emulator.DetachFile); n != 42 {
		t.Errorf("%d calls were made for 40 files and 2 faults", n)
	}
}

func TestDetach_TimeoutReportsDetachedFiles(t *testing.T) {
	f := newFixture(t)
	b := f.create(spec{DeletionPolicy: detachFiles})
	f.awaitConditions(b, "Completed", succeeded)
	f.fault(emulator.Fault{Operation: emulator.DetachFile, Skip: 1, Status: http.StatusInternalServerError})
	f.deleteAndWait(b)
	f.awaitEvent(b, "Deleting", "1 were detached")
}

func TestDelete_SecretGone(t *testing.T) {
	f := newFixture(t)
	f.setPace(slow)
	b := f.create(spec{})
	f.awaitConditions(b, "InProgress", progressing)
	f.deleteSecret()
	f.deleteAndWait(b)
	f.wantCancels(1)
}
