// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
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
			arrange: func(f *fixture) spec { f.setPace(slow); return spec{FileIDs: numberedFiles(f.namespace, 60)} },
		},
		{
			name:    "completed",
			arrange: func(f *fixture) spec { return spec{FileIDs: numberedFiles(f.namespace, 60)} },
		},
		{
			name: "adopted", cancels: 1,
			arrange: func(f *fixture) spec {
				f.setPace(slow)
				return spec{BatchID: f.createBatchOf(numberedFiles(f.namespace, 2))}
			},
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

// TestDetach_RefusedFileDoesNotStopOthers requires that a refused file is tried again after the others,
// and that its name is reported in the end.
func TestDetach_RefusedFileDoesNotStopOthers(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusConflict, http.StatusInternalServerError, http.StatusNotFound} {
		for _, adopts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, adopted %t", status, adopts), func(t *testing.T) {
				f := newFixture(t)
				files := numberedFiles(f.namespace, 60)
				s := spec{FileIDs: files, DeletionPolicy: detachFiles}
				if adopts {
					s = spec{BatchID: f.createBatchOf(files), DeletionPolicy: detachFiles}
				}
				b := f.create(s)
				f.awaitConditions(b, "Completed", succeeded)
				f.fault(emulator.Fault{Operation: emulator.DetachFile, FileID: files[0], Status: status})
				f.deleteAndWait(b)
				if attached := f.emulator.AttachedFileIDs(store); len(attached) != 1 || attached[0] != files[0] {
					t.Errorf("%d files remain in the store: %v", len(attached), attached)
				}
				f.awaitEvent(b, "DeletionIncomplete", files[0])
			})
		}
	}
}

// TestDetach_UnconfirmedIsNoSuccess requires that the API confirms that a file was detached.
func TestDetach_UnconfirmedIsNoSuccess(t *testing.T) {
	f := newFixture(t)
	b := f.create(spec{FileIDs: numberedFiles(f.namespace, 3), DeletionPolicy: detachFiles})
	f.awaitConditions(b, "Completed", succeeded)
	f.fault(emulator.Fault{Operation: emulator.DetachFile, Times: 3, Status: http.StatusOK, Body: `{"id":"x","object":"vector_store.file.deleted","deleted":false}`})
	f.deleteAndWait(b)
	if attached := f.emulator.AttachedFileIDs(store); len(attached) > 0 {
		t.Errorf("%d files remain in the store", len(attached))
	}
}

// TestDetach_PartialList requires that the files in the pages that can be read are detached.
func TestDetach_PartialList(t *testing.T) {
	f := newFixture(t)
	b := f.create(spec{BatchID: f.createBatchOf(numberedFiles(f.namespace, 150)), DeletionPolicy: detachFiles})
	f.awaitConditions(b, "Completed", succeeded)
	f.fault(emulator.Fault{Operation: emulator.ListFiles, Skip: 1, Status: http.StatusInternalServerError})
	f.deleteAndWait(b)
	if attached := f.emulator.AttachedFileIDs(store); len(attached) != 50 {
		t.Errorf("%d files remain in the store", len(attached))
	}
	f.awaitEvent(b, "DeletionIncomplete", "could not be listed")
}

// TestDetach_ListsOnce requires that the files of an adopted batch are listed once, and not before each 25
// files.
func TestDetach_ListsOnce(t *testing.T) {
	f := newFixture(t)
	b := f.create(spec{BatchID: f.createBatchOf(numberedFiles(f.namespace, 150)), DeletionPolicy: detachFiles})
	f.awaitConditions(b, "Completed", succeeded)
	before := f.calls(emulator.ListFiles)
	f.deleteAndWait(b)
	if n := f.calls(emulator.ListFiles) - before; n != 2 {
		t.Errorf("%d pages were listed", n)
	}
	if attached := f.emulator.AttachedFileIDs(store); len(attached) > 0 {
		t.Errorf("%d files remain in the store", len(attached))
	}
}

// TestDetach_SparesFilesOfOthers requires that a deletion does not detach what another live object of the
// same store attaches, in whatever namespace, and that the last one detaches it.
func TestDetach_SparesFilesOfOthers(t *testing.T) {
	f := newFixture(t)
	files := numberedFiles(f.namespace, 30)
	first := f.create(spec{FileIDs: files, DeletionPolicy: detachFiles})
	f.awaitConditions(first, "Completed", succeeded)
	second := f.create(spec{Files: []v1alpha1.File{{FileID: files[3]}, {FileID: files[29]}}, DeletionPolicy: detachFiles})
	f.awaitConditions(second, "Completed", succeeded)
	f.deleteAndWait(first)
	want := []string{files[3], files[29]}
	if diff := cmp.Diff(want, f.emulator.AttachedFileIDs(store), cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("files in the store (-want +got):\n%s", diff)
	}
	f.awaitEvent(first, "FilesSpared", "2 files stay there")
	f.deleteAndWait(second)
	if attached := f.emulator.AttachedFileIDs(store); len(attached) > 0 {
		t.Errorf("%d files remain in the store", len(attached))
	}
}

// TestDetach_SparesOtherNamespacesOfTheServer requires that an object of another namespace keeps its files,
// and that one without access to the store keeps none: on another server, or refused by this one.
func TestDetach_SparesOtherNamespacesOfTheServer(t *testing.T) {
	f := newFixture(t)
	files := numberedFiles(f.namespace, 4)
	b := f.create(spec{FileIDs: files, DeletionPolicy: detachFiles})
	f.awaitConditions(b, "Completed", succeeded)

	neighbor := f.otherNamespace()
	neighbor.awaitConditions(neighbor.create(spec{FileIDs: files[:1]}), "Completed", succeeded)
	elsewhere := f.otherServer()
	elsewhere.awaitConditions(elsewhere.create(spec{FileIDs: files[1:2]}), "Completed", succeeded)
	stranger := &fixture{T: t, emulator: f.emulator, api: f.api}
	stranger.createNamespace()
	stranger.createSecret(map[string]string{v1alpha1.SecretKeyAPIKey: "sk-of-a-stranger"})
	stranger.awaitConditions(stranger.create(spec{FileIDs: files[2:3]}), "CredentialsRejected", stalled)
	stranger.awaitConditions(stranger.create(spec{FileIDs: files[3:], Suspend: ptr.To(true)}), "Suspended", suspended)

	f.deleteAndWait(b)
	if diff := cmp.Diff(files[:1], f.emulator.AttachedFileIDs(store)); diff != "" {
		t.Errorf("files in the store (-want +got):\n%s", diff)
	}
}

// TestDetach_SparesNothingForDeletedObjects requires that two objects that are deleted together leave no
// files behind.
func TestDetach_SparesNothingForDeletedObjects(t *testing.T) {
	f := newFixture(t)
	files := numberedFiles(f.namespace, 3)
	first, second := f.create(spec{FileIDs: files, DeletionPolicy: detachFiles}), f.create(spec{FileIDs: files, DeletionPolicy: detachFiles})
	f.awaitConditions(first, "Completed", succeeded)
	f.awaitConditions(second, "Completed", succeeded)
	f.patch(first, `{"metadata":{"finalizers":["vector-store-operator.dev/finalizer","example.com/other"]}}`)
	if err := env.Client.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	f.deleteAndWait(second)
	framework.Eventually(t, "the files to be detached", func() bool { return len(f.emulator.AttachedFileIDs(store)) == 0 })
	f.patch(first, `{"metadata":{"finalizers":null}}`)
}

// TestDelete_NothingFound requires a warning if the API returns 404 for everything, and none if it states
// that the store does not exist.
func TestDelete_NothingFound(t *testing.T) {
	t.Run("404 for everything", func(t *testing.T) {
		f := newFixture(t)
		files := numberedFiles(f.namespace, 3)
		b := f.create(spec{FileIDs: files, DeletionPolicy: detachFiles})
		f.awaitConditions(b, "Completed", succeeded)
		for _, operation := range []emulator.Operation{emulator.RetrieveStore, emulator.Retrieve, emulator.Cancel, emulator.DetachFile, emulator.RetrieveFile} {
			f.fault(emulator.Fault{Operation: operation, Status: http.StatusNotFound, Body: `{"detail":"Not Found"}`})
		}
		f.deleteAndWait(b)
		if n := f.calls(emulator.DetachFile); n != 0 {
			t.Errorf("%d files were detached without a store", n)
		}
		f.awaitEvent(b, "DeletionIncomplete", files[0])
	})
	t.Run("store gone", func(t *testing.T) {
		f := newFixture(t)
		b := f.create(spec{FileIDs: numberedFiles(f.namespace, 3), DeletionPolicy: detachFiles})
		f.awaitConditions(b, "Completed", succeeded)
		if !f.emulator.DeleteStore(store) {
			t.Fatal("the emulator has no such store")
		}
		f.deleteAndWait(b)
		f.awaitEvent(b, "VectorStoreNotFound", "was not found")
	})
}

func TestDetach_TimeoutReportsDetachedFiles(t *testing.T) {
	f := newFixture(t)
	b := f.create(spec{FileIDs: numberedFiles(f.namespace, 3), DeletionPolicy: detachFiles})
	f.awaitConditions(b, "Completed", succeeded)
	f.fault(emulator.Fault{Operation: emulator.DetachFile, Skip: 1, Status: http.StatusInternalServerError})
	f.deleteAndWait(b)
	f.awaitEvent(b, "DeletionIncomplete", "1 were detached")
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
