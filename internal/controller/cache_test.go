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

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/controller"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// fullObject returns an object as the API server sends it, with most fields set.
func fullObject(name string, files int) *v1alpha1.VectorStoreFileBatch {
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

// finished sets the status of a finished batch.
func finished(b *v1alpha1.VectorStoreFileBatch) *v1alpha1.VectorStoreFileBatch {
	b.Annotations[v1alpha1.AnnotationBatchID] = "vsfb_" + b.Name
	b.Status = v1alpha1.VectorStoreFileBatchStatus{
		ObservedGeneration: 2, BatchID: "vsfb_" + b.Name, Status: "completed",
		CreatedAt: &metav1.Time{Time: time.Unix(1_800_000_000, 0)}, CompletionTime: &metav1.Time{Time: time.Unix(1_800_000_100, 0)},
		FileCounts: &v1alpha1.FileCounts{Completed: 98, Failed: 2, Total: 100},
	}
	for i, conditionType := range []string{"Ready", "Reconciling", "Stalled", "Finished", "Succeeded"} {
		b.Status.Conditions = append(b.Status.Conditions, metav1.Condition{
			Type: conditionType, Status: []metav1.ConditionStatus{"True", "False", "False", "True", "True"}[i], Reason: "Completed",
			Message: "98 of 100 files are in the vector store; 2 failed: see status.failedFiles", LastTransitionTime: metav1.Time{Time: time.Unix(1_800_000_100, 0)},
		})
	}
	for i := range 2 {
		b.Status.FailedFiles = append(b.Status.FailedFiles, v1alpha1.FailedFile{FileID: fmt.Sprint("file-", i), Code: "server_error", Message: strings.Repeat("m", 1024)})
	}
	return b
}

func transform[T any](t *testing.T, object T) T {
	t.Helper()
	transformed, err := controller.Transform(object)
	if err != nil {
		t.Fatal(err)
	}
	return transformed.(T)
}

// filesOf returns what the cache keeps of the files of an object with that many.
func filesOf(n int) string { return fmt.Sprint(n, " ", batch.Digest(fullObject("b", n))) }

func TestTransform_KeepsRequiredFields(t *testing.T) {
	tests := map[string]struct {
		object func() *v1alpha1.VectorStoreFileBatch
		keep   func(*v1alpha1.VectorStoreFileBatch)
	}{
		"to be created": {func() *v1alpha1.VectorStoreFileBatch { return fullObject("b", 3) }, func(b *v1alpha1.VectorStoreFileBatch) {
			b.Annotations = map[string]string{"(files)": filesOf(3)}
		}},
		"create pending": {func() *v1alpha1.VectorStoreFileBatch {
			b := fullObject("b", 3)
			b.Annotations[v1alpha1.AnnotationCreateStartedAt] = "2026-01-01T00:00:00Z"
			return b
		}, func(b *v1alpha1.VectorStoreFileBatch) {
			b.Annotations = map[string]string{"(files)": filesOf(3), v1alpha1.AnnotationCreateStartedAt: "2026-01-01T00:00:00Z"}
		}},
		"large": {func() *v1alpha1.VectorStoreFileBatch { return fullObject("b", 2000) }, func(b *v1alpha1.VectorStoreFileBatch) {
			b.Annotations = map[string]string{"(files)": filesOf(2000), "(size)": "207432"}
		}},
		"many finalizers": {func() *v1alpha1.VectorStoreFileBatch {
			b := fullObject("b", 3)
			for i := range 10 {
				b.Finalizers = append(b.Finalizers, fmt.Sprint("example.com/", i))
			}
			return b
		}, func(b *v1alpha1.VectorStoreFileBatch) {
			b.Annotations = map[string]string{"(files)": filesOf(3), "(finalizers)": "dropped"}
		}},
		"long annotation": {func() *v1alpha1.VectorStoreFileBatch {
			b := fullObject("b", 3)
			b.Annotations[v1alpha1.AnnotationBatchID] = strings.Repeat("x", 5000)
			return b
		}, func(b *v1alpha1.VectorStoreFileBatch) {
			b.Annotations = map[string]string{"(files)": filesOf(3), v1alpha1.AnnotationBatchID: strings.Repeat("x", 513)}
		}},
		"in progress": {func() *v1alpha1.VectorStoreFileBatch {
			b := finished(fullObject("b", 3))
			b.Status.Conditions[3].Status = "False"
			return b
		}, func(b *v1alpha1.VectorStoreFileBatch) {
			b.Annotations = map[string]string{"(files)": filesOf(3), v1alpha1.AnnotationBatchID: "vsfb_b"}
		}},
		"ID in the annotation only": {func() *v1alpha1.VectorStoreFileBatch {
			b := fullObject("b", 3)
			b.Annotations[v1alpha1.AnnotationBatchID] = "vsfb_b"
			b.Annotations[v1alpha1.AnnotationRecordedFor], b.Annotations[v1alpha1.AnnotationLostCreates] = "digest", "1"
			return b
		}, func(b *v1alpha1.VectorStoreFileBatch) {
			b.Annotations = map[string]string{
				"(files)": filesOf(3), v1alpha1.AnnotationBatchID: "vsfb_b",
				v1alpha1.AnnotationRecordedFor: "digest", v1alpha1.AnnotationLostCreates: "1",
			}
		}},
		"finished": {func() *v1alpha1.VectorStoreFileBatch { return finished(fullObject("b", 3)) }, func(b *v1alpha1.VectorStoreFileBatch) {
			b.Annotations = nil
			b.Status.FailedFiles = []v1alpha1.FailedFile{{FileID: "file-0"}}
		}},
		"cancelled before create": {func() *v1alpha1.VectorStoreFileBatch {
			b := finished(fullObject("b", 3))
			delete(b.Annotations, v1alpha1.AnnotationBatchID)
			b.Status.BatchID, b.Status.FailedFiles = "", nil
			return b
		}, func(b *v1alpha1.VectorStoreFileBatch) { b.Annotations = nil }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := test.object()
			want.TypeMeta, want.ManagedFields, want.Labels = metav1.TypeMeta{}, nil, nil
			want.Finalizers = []string{v1alpha1.Finalizer}
			want.Spec.FileIDs, want.Spec.Attributes, want.Spec.ChunkingStrategy = nil, nil, nil
			test.keep(want)
			once := transform(t, test.object())
			if diff := cmp.Diff(want, once); diff != "" {
				t.Errorf("transformed (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, transform(t, once.DeepCopy())); diff != "" {
				t.Errorf("transformed twice (-want +got):\n%s", diff)
			}
		})
	}
	if tombstone := (cache.DeletedFinalStateUnknown{Key: "team/b"}); tombstone != transform(t, tombstone) {
		t.Error("the tombstone of a deleted object was changed")
	}
}

// TestTransform_BoundsEveryObject shows that the author of an object does not decide how much memory it
// takes in the cache, whatever the object's state is.
func TestTransform_BoundsEveryObject(t *testing.T) {
	const many, limit = 20_000, 4 << 10
	big := func() *v1alpha1.VectorStoreFileBatch {
		b := fullObject("b", 2000)
		b.Spec.Files = []v1alpha1.File{{FileID: "file-a", Attributes: b.Spec.Attributes}}
		for i := range many {
			name := fmt.Sprint("example.com/", i)
			b.Labels[name], b.Annotations[name] = "x", "x"
			b.Finalizers = append(b.Finalizers, name)
			b.OwnerReferences = append(b.OwnerReferences, metav1.OwnerReference{Name: name})
		}
		b.Annotations[v1alpha1.AnnotationBatchID] = strings.Repeat("x", many)
		b.Annotations[v1alpha1.AnnotationCreateStartedAt] = strings.Repeat("x", many)
		b.GenerateName = strings.Repeat("x", many)
		return b
	}
	inProgress := func() *v1alpha1.VectorStoreFileBatch {
		b := finished(big())
		b.Status.Conditions[3].Status = "False"
		return b
	}
	invalid := func() *v1alpha1.VectorStoreFileBatch {
		b := big()
		b.Spec.FileIDs = nil
		b.Spec.Files[0].Attributes = v1alpha1.Attributes{strings.Repeat("é", 64): {Raw: []byte("[]")}}
		return b
	}
	for name, object := range map[string]func() *v1alpha1.VectorStoreFileBatch{
		"invalid": invalid, "to be created": big, "in progress": inProgress,
		"finished": func() *v1alpha1.VectorStoreFileBatch { return finished(big()) },
	} {
		cached := transform(t, object())
		cached.Status = v1alpha1.VectorStoreFileBatchStatus{} // only the operator writes it
		encoded, err := json.Marshal(cached)
		if err != nil {
			t.Fatal(err)
		}
		if cap(cached.Finalizers) > 16 {
			t.Errorf("%s: the cached object retains the array of %d finalizers", name, cap(cached.Finalizers))
		}
		if len(encoded) > limit {
			t.Errorf("%s: the cached object has %d bytes, want at most %d: %.200s", name, len(encoded), limit, encoded)
		}
	}
}

// TestTransform_MemoryOfFinishedObject measures the memory of the informer's store for an object with
// 100 files, decoded from JSON. The limit leaves room for the other memory that the process needs for
// each object.
func TestTransform_MemoryOfFinishedObject(t *testing.T) {
	const objects, limit = 2000, 1700
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	before := heap()
	for i := range objects {
		sent, err := json.Marshal(finished(fullObject(fmt.Sprintf("batch-%05d", i), 100)))
		if err != nil {
			t.Fatal(err)
		}
		b := &v1alpha1.VectorStoreFileBatch{}
		if err := json.Unmarshal(sent, b); err != nil {
			t.Fatal(err)
		}
		if err := indexer.Add(transform(t, b)); err != nil {
			t.Fatal(err)
		}
	}
	size := (heap() - before) / objects
	runtime.KeepAlive(indexer)
	t.Logf("a finished object takes %d bytes", size)
	if size > limit {
		t.Errorf("a finished object takes %d bytes, want at most %d", size, limit)
	}
}

func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func TestTransform_IsNotWrittenBack(t *testing.T) {
	f := newFixture(t)
	files := numberedFiles("x", 130)
	for _, file := range files[:120] {
		f.emulator.SetOutcome(file, emulator.Outcome{Code: emulator.UnsupportedFile, Message: "not a text"})
	}
	b := f.create(spec{
		FileIDs: files, Attributes: v1alpha1.Attributes{"year": {Raw: []byte("2026")}},
		ChunkingStrategy: &v1alpha1.ChunkingStrategy{Type: v1alpha1.ChunkingAuto}, DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles,
	})
	f.patch(b, `{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"}}}`)
	first := f.awaitConditions(b, "FilesFailed", failed)
	f.patch(b, `{"spec":{"maxFailedFiles":120}}`)
	second := f.awaitConditions(b, "Completed", succeeded)
	f.patch(b, `{"metadata":{"finalizers":null}}`)
	last := f.await(b, "the finalizer", func(b *v1alpha1.VectorStoreFileBatch) bool { return len(b.Finalizers) == 1 })

	want := first.DeepCopy()
	want.Spec.MaxFailedFiles = ptr.To[int32](120)
	for _, got := range []*v1alpha1.VectorStoreFileBatch{second, last} {
		if diff := cmp.Diff(want.Spec, got.Spec); diff != "" {
			t.Errorf("the spec has changed (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want.Status.FailedFiles, got.Status.FailedFiles); diff != "" || len(got.Status.FailedFiles) != 100 {
			t.Errorf("failedFiles have changed (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want.Annotations, got.Annotations); diff != "" {
			t.Errorf("the annotations have changed (-want +got):\n%s", diff)
		}
	}
	f.deleteAndWait(b)
	if attached := f.emulator.AttachedFileIDs(store); len(attached) != 0 {
		t.Errorf("%d files remain in the store", len(attached))
	}
}

func TestTransform_RecreatesBatchWithAllFiles(t *testing.T) {
	f := newFixture(t)
	f.setPace(slow)
	b := f.create(spec{FileIDs: numberedFiles("x", 50)})
	f.awaitConditions(b, "InProgress", progressing)
	f.patch(b, `{"spec":{"suspend":true}}`)
	f.awaitConditions(b, "Suspended", suspended)
	f.removeBatchID(b)
	f.setPace(0)
	f.patch(b, `{"spec":{"suspend":false}}`)
	f.awaitConditions(b, "Completed", succeeded)
	batches := f.emulator.Batches()
	if len(batches) != 2 || len(batches[1].FileIDs) != 50 {
		t.Errorf("the batches are %+v", batches)
	}
}

// removeBatchID removes the batch's ID from the annotation and the status.
func (f *fixture) removeBatchID(b *v1alpha1.VectorStoreFileBatch) {
	f.Helper()
	f.patch(b, `{"metadata":{"annotations":{"vector-store-operator.dev/batch-id":null}}}`)
	f.patchStatus(b, `{"status":{"batchID":null}}`)
}

func TestTransform_KeepsFinalizersOfOthers(t *testing.T) {
	f := newFixture(t)
	b := f.create(spec{FileIDs: numberedFiles("x", 2), DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles})
	f.awaitConditions(b, "Completed", succeeded)
	foreign := make([]string, 20)
	for i := range foreign {
		foreign[i] = fmt.Sprint("example.com/finalizer-", i)
	}
	encoded, err := json.Marshal(foreign)
	if err != nil {
		t.Fatal(err)
	}
	f.patch(b, fmt.Sprintf(`{"metadata":{"finalizers":%s}}`, encoded))
	f.await(b, "the finalizer", batch.HasFinalizer)
	if err := env.Client.Delete(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	got := f.await(b, "the finalizer to be removed", func(b *v1alpha1.VectorStoreFileBatch) bool { return !batch.HasFinalizer(b) })
	if diff := cmp.Diff(foreign, got.Finalizers); diff != "" {
		t.Errorf("the finalizers have changed (-want +got):\n%s", diff)
	}
	f.patch(b, `{"metadata":{"finalizers":null}}`)
}
