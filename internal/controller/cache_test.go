// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/controller"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// wholeObject is an object as an API server sends it, with as much in it as there can be.
func wholeObject(name string, files int) *v1alpha1.VectorStoreFileBatch {
	b := &v1alpha1.VectorStoreFileBatch{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "team", Name: name, UID: "6b0b7c3e-4c47-4b4e-9f0c-3b8f1f4d9c55", ResourceVersion: "123456", Generation: 2,
			Finalizers:  []string{v1alpha1.Finalizer},
			Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("x", 5000), "team": "a"},
			Labels:      map[string]string{"app": "search"},
			ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`),
			}},
		},
		Spec: spec{
			VectorStoreID: store, DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles, MaxFailedFiles: ptr.To[int32](3),
			Attributes: v1alpha1.Attributes{"a": {Raw: []byte("1")}}, ChunkingStrategy: &v1alpha1.ChunkingStrategy{Type: v1alpha1.ChunkingAuto},
		},
	}
	for i := range files {
		b.Spec.FileIDs = append(b.Spec.FileIDs, fmt.Sprintf("file-%032d", i))
	}
	return b
}

// over makes an object's batch known, and over.
func over(b *v1alpha1.VectorStoreFileBatch) *v1alpha1.VectorStoreFileBatch {
	b.Annotations[v1alpha1.AnnotationBatchID] = "vsfb_" + b.Name
	b.Status = v1alpha1.VectorStoreFileBatchStatus{
		ObservedGeneration: 2, BatchID: "vsfb_" + b.Name, Status: "completed",
		CreatedAt: &metav1.Time{Time: time.Unix(1_800_000_000, 0)}, FinishedAt: &metav1.Time{Time: time.Unix(1_800_000_100, 0)},
		FileCounts: &v1alpha1.FileCounts{Completed: 98, Failed: 2, Total: 100},
	}
	for i, kind := range []string{"Ready", "Reconciling", "Stalled", "Finished", "Succeeded"} {
		b.Status.Conditions = append(b.Status.Conditions, metav1.Condition{
			Type: kind, Status: []metav1.ConditionStatus{"True", "False", "False", "True", "True"}[i], Reason: "Completed",
			Message: "98 of 100 files are in the vector store; 2 failed: see status.failedFiles", LastTransitionTime: metav1.Time{Time: time.Unix(1_800_000_100, 0)},
		})
	}
	for i := range 2 {
		b.Status.FailedFiles = append(b.Status.FailedFiles, v1alpha1.FailedFile{FileID: fmt.Sprint("file-", i), Code: "server_error", Message: strings.Repeat("m", 1024)})
	}
	return b
}

func trimmed(t *testing.T, b *v1alpha1.VectorStoreFileBatch) *v1alpha1.VectorStoreFileBatch {
	t.Helper()
	object, err := controller.Transform(b)
	if err != nil {
		t.Fatal(err)
	}
	return object.(*v1alpha1.VectorStoreFileBatch)
}

func TestTheCacheKeepsWhatIsNeeded(t *testing.T) {
	withoutFiles := func(b *v1alpha1.VectorStoreFileBatch) {
		b.Spec.FileIDs, b.Spec.Attributes, b.Spec.ChunkingStrategy = nil, nil, nil
	}
	tests := map[string]struct {
		object func() *v1alpha1.VectorStoreFileBatch
		drop   func(*v1alpha1.VectorStoreFileBatch)
	}{
		"to be created": {func() *v1alpha1.VectorStoreFileBatch { return wholeObject("b", 3) }, func(*v1alpha1.VectorStoreFileBatch) {}},
		"in progress": {func() *v1alpha1.VectorStoreFileBatch {
			b := over(wholeObject("b", 3))
			b.Status.Conditions[3].Status = "False"
			return b
		}, withoutFiles},
		"known by its annotation only": {func() *v1alpha1.VectorStoreFileBatch {
			b := wholeObject("b", 3)
			b.Annotations[v1alpha1.AnnotationBatchID] = "vsfb_b"
			return b
		}, withoutFiles},
		"over": {func() *v1alpha1.VectorStoreFileBatch { return over(wholeObject("b", 3)) }, func(b *v1alpha1.VectorStoreFileBatch) {
			withoutFiles(b)
			b.Status.FailedFiles = []v1alpha1.FailedFile{{FileID: "file-0"}}
		}},
		"cancelled before anything was created": {func() *v1alpha1.VectorStoreFileBatch {
			b := over(wholeObject("b", 3))
			delete(b.Annotations, v1alpha1.AnnotationBatchID)
			b.Status.BatchID, b.Status.FailedFiles = "", nil
			return b
		}, withoutFiles},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := test.object()
			want.ManagedFields = nil
			delete(want.Annotations, "kubectl.kubernetes.io/last-applied-configuration")
			test.drop(want)
			once := trimmed(t, test.object())
			if diff := cmp.Diff(want, once); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, trimmed(t, once.DeepCopy())); diff != "" {
				t.Errorf("kept the second time (-want +got):\n%s", diff)
			}
		})
	}
	if tombstone := (cache.DeletedFinalStateUnknown{Key: "team/b"}); tombstone != must(t, tombstone) {
		t.Error("what is known of an object that is gone was changed")
	}
}

func must(t *testing.T, object any) any {
	t.Helper()
	kept, err := controller.Transform(object)
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// TestAFinishedObjectTakesLittleMemory measures what the informer's store takes for an object of
// 100 files, as decoded from what the API server sends. The limit leaves room for what else the
// process has for an object.
func TestAFinishedObjectTakesLittleMemory(t *testing.T) {
	const objects, limit = 2000, 3 << 10
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	before := heap()
	for i := range objects {
		sent, err := json.Marshal(over(wholeObject(fmt.Sprintf("batch-%05d", i), 100)))
		if err != nil {
			t.Fatal(err)
		}
		b := &v1alpha1.VectorStoreFileBatch{}
		if err := json.Unmarshal(sent, b); err != nil {
			t.Fatal(err)
		}
		if err := indexer.Add(trimmed(t, b)); err != nil {
			t.Fatal(err)
		}
	}
	each := (heap() - before) / objects
	runtime.KeepAlive(indexer)
	t.Logf("a finished object takes %d bytes", each)
	if each > limit {
		t.Errorf("a finished object takes %d bytes, want at most %d", each, limit)
	}
}

func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func TestNothingIsWrittenBackFromTheCache(t *testing.T) {
	w := newWorld(t)
	files := numberedFiles("x", 130)
	for _, file := range files[:120] {
		w.upstream.SetOutcome(file, emulator.Outcome{Code: emulator.UnsupportedFile, Message: "not a text"})
	}
	made := w.create(spec{
		FileIDs: files, Attributes: v1alpha1.Attributes{"year": {Raw: []byte("2026")}},
		ChunkingStrategy: &v1alpha1.ChunkingStrategy{Type: v1alpha1.ChunkingAuto}, DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles,
	})
	w.patch(made, `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"}}}`)
	first := w.eventuallyRow(made, "FilesFailed", failed)
	w.patch(made, `{"spec":{"maxFailedFiles":120}}`)
	second := w.eventuallyRow(made, "Completed", succeeded)
	w.patch(made, `{"metadata":{"finalizers":null}}`)
	last := w.eventually(made, "for the finalizer", func(b *v1alpha1.VectorStoreFileBatch) bool { return len(b.Finalizers) == 1 })

	want := first.DeepCopy()
	want.Spec.MaxFailedFiles = ptr.To[int32](120)
	for _, b := range []*v1alpha1.VectorStoreFileBatch{second, last} {
		if diff := cmp.Diff(want.Spec, b.Spec); diff != "" {
			t.Errorf("the spec has changed (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want.Status.FailedFiles, b.Status.FailedFiles); diff != "" || len(b.Status.FailedFiles) != 100 {
			t.Errorf("failedFiles have changed (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want.Annotations, b.Annotations); diff != "" {
			t.Errorf("the annotations have changed (-want +got):\n%s", diff)
		}
	}
	w.deleteAndWait(made)
	if left := w.upstream.AttachedFileIDs(store); len(left) != 0 {
		t.Errorf("%d files are left in the store", len(left))
	}
}

func TestAnObjectWhoseBatchIsForgottenIsWholeAgain(t *testing.T) {
	w := newWorld(t)
	w.pace(slow)
	b := w.create(spec{FileIDs: numberedFiles("x", 50)})
	w.eventuallyRow(b, "InProgress", progressing)
	w.patch(b, `{"spec":{"suspend":true}}`)
	w.eventuallyRow(b, "Suspended", suspended)
	w.forgetBatch(b)
	w.pace(0)
	w.patch(b, `{"spec":{"suspend":false}}`)
	w.eventuallyRow(b, "Completed", succeeded)
	batches := w.upstream.Batches()
	if len(batches) != 2 || len(batches[1].FileIDs) != 50 {
		t.Errorf("the upstream has the batches %+v", batches)
	}
}

// forgetBatch takes the batch's ID out of an object, wherever it stands.
func (w *world) forgetBatch(b *v1alpha1.VectorStoreFileBatch) {
	w.Helper()
	w.patch(b, `{"metadata":{"annotations":{"vector-store-operator.dev/batch-id":null}}}`)
	if err := k8s.Status().Patch(w.Context(), b, client.RawPatch("application/merge-patch+json", []byte(`{"status":{"batchID":null}}`))); err != nil {
		w.Fatal(err)
	}
}
