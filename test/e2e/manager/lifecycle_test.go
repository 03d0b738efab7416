// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

func TestBatch_AttachesFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Apply(t, f.manifest("handbook", `fileIDs: [file-a1, file-a2, file-a1],
		attributes: {language: de, year: 2026, weight: 0.25, draft: false},
		chunkingStrategy: {type: Static, static: {maxChunkSizeTokens: 200, chunkOverlapTokens: 100}}`))
	b := f.wantState(t, "handbook", v1alpha1.ReasonCompleted)

	batch := onlyBatch(t, f.store)
	if diff := cmp.Diff([]string{"file-a1", "file-a2"}, batch.FileIDs); diff != "" {
		t.Errorf("files of the batch (-want +got):\n%s", diff)
	}
	if b.Status.BatchID != batch.ID || b.Annotations[v1alpha1.AnnotationBatchID] != batch.ID {
		t.Errorf("batchID = %q, annotation = %q, want %q in both", b.Status.BatchID, b.Annotations[v1alpha1.AnnotationBatchID], batch.ID)
	}
	if b.Status.CreatedAt == nil || b.Status.CreatedAt.Unix() != batch.CreatedAt.Unix() {
		t.Errorf("createdAt = %v, want %v", b.Status.CreatedAt, batch.CreatedAt)
	}
	if diff := cmp.Diff(&v1alpha1.FileCounts{Completed: 2, Total: 2}, b.Status.FileCounts); diff != "" {
		t.Errorf("fileCounts (-want +got):\n%s", diff)
	}
	if b.Status.Status != "completed" || b.Status.FailedFiles != nil {
		t.Errorf("status = %q with failed files %v, want completed with none", b.Status.Status, b.Status.FailedFiles)
	}

	var file struct {
		Attributes map[string]any `json:"attributes"`
		Chunking   map[string]any `json:"chunking_strategy"`
	}
	call(t, http.MethodGet, "/v1/vector_stores/"+f.store+"/files/file-a2", nil, &file)
	if diff := cmp.Diff(map[string]any{"language": "de", "year": 2026.0, "weight": 0.25, "draft": false}, file.Attributes); diff != "" {
		t.Errorf("attributes in the vector store (-want +got):\n%s", diff)
	}
	want := map[string]any{"type": "static", "static": map[string]any{"max_chunk_size_tokens": 200.0, "chunk_overlap_tokens": 100.0}}
	if diff := cmp.Diff(want, file.Chunking); diff != "" {
		t.Errorf("chunking in the vector store (-want +got):\n%s", diff)
	}
}

func TestBatch_ReportsFailedFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Apply(t, f.manifest("handbook", `files: [
		{fileID: file-fail-unsupported-1}, {fileID: file-good, attributes: {a: b}}, {fileID: file-fail-invalid-1}, {fileID: file-fail-1}]`))
	b := f.wantState(t, "handbook", v1alpha1.ReasonFilesFailed)
	want := []v1alpha1.FailedFile{
		{FileID: "file-fail-1", Code: "server_error", Message: "The file could not be processed."},
		{FileID: "file-fail-invalid-1", Code: "invalid_file", Message: "Nothing could be read from the file."},
		{FileID: "file-fail-unsupported-1", Code: "unsupported_file", Message: "This type of file cannot be indexed."},
	}
	if diff := cmp.Diff(want, b.Status.FailedFiles); diff != "" {
		t.Errorf("failedFiles (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&v1alpha1.FileCounts{Completed: 1, Failed: 3, Total: 4}, b.Status.FileCounts); diff != "" {
		t.Errorf("fileCounts (-want +got):\n%s", diff)
	}

	// The limit applies to a finished batch, too.
	f.patchSpec(t, "handbook", `{"maxFailedFiles":3}`)
	f.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	f.patchSpec(t, "handbook", `{"maxFailedFiles":2}`)
	f.wantState(t, "handbook", v1alpha1.ReasonFilesFailed)
}

func TestCancel_BatchInProgress(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Apply(t, f.manifest("handbook", `fileIDs: [file-c1, file-stuck-c]`))
	f.WaitFor(t, "handbook", "jsonpath={.status.fileCounts.completed}=1")
	f.patchSpec(t, "handbook", `{"cancel":true}`)
	b := f.wantState(t, "handbook", v1alpha1.ReasonCancelled)
	if b.Status.CancelRequestTime == nil {
		t.Error("cancelRequestTime is not set")
	}
	if diff := cmp.Diff(&v1alpha1.FileCounts{Completed: 1, Cancelled: 1, Total: 2}, b.Status.FileCounts); diff != "" {
		t.Errorf("fileCounts (-want +got):\n%s", diff)
	}
	f.wantEvent(t, "handbook", v1alpha1.ReasonCancelling, promises[v1alpha1.ReasonCancelling].event)
	batch := onlyBatch(t, f.store)
	if batch.Cancels != 1 || batch.Status != "cancelled" || b.Status.Status != batch.Status {
		t.Errorf("the batch was cancelled %d times and is %q, and %q in the status; want it cancelled once", batch.Cancels, batch.Status, b.Status.Status)
	}
}

func TestCancel_FinishedBatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Apply(t, f.manifest("handbook", `fileIDs: [file-l1]`))
	f.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	f.patchSpec(t, "handbook", `{"cancel":true}`)
	f.WaitFor(t, "handbook", "jsonpath={.status.observedGeneration}=2")
	b := f.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	if batch := onlyBatch(t, f.store); batch.Cancels != 0 || b.Status.CancelRequestTime != nil {
		t.Errorf("a finished batch was cancelled %d times, at %v", batch.Cancels, b.Status.CancelRequestTime)
	}
}

func TestCancel_BeforeCreate(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Apply(t, f.manifest("handbook", `fileIDs: [file-u1], cancel: true`))
	b := f.wantState(t, "handbook", v1alpha1.ReasonCancelled)
	if b.Status.Status != "cancelled" || b.Status.BatchID != "" {
		t.Errorf("status = %q, batchID = %q, want cancelled without a batch", b.Status.Status, b.Status.BatchID)
	}
	if batches := batchesOf(t, f.store); len(batches) != 0 {
		t.Errorf("a batch was created: %+v", batches)
	}
	f.delete(t, "handbook")
}

func TestAdoption(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id, err := openAI.CreateBatch(t.Context(), f.store, "file-stuck-a", "file-b")
	if err != nil {
		t.Fatal(err)
	}
	f.Apply(t, f.manifest("handbook", `batchID: `+id))
	f.WaitFor(t, "handbook", "jsonpath={.status.fileCounts.completed}=1")
	b := f.wantState(t, "handbook", v1alpha1.ReasonInProgress)
	if b.Status.BatchID != id {
		t.Errorf("batchID = %q, want %q", b.Status.BatchID, id)
	}

	// The deletion of an object does not cancel a batch that another client created.
	f.delete(t, "handbook")
	if batch := onlyBatch(t, f.store); batch.Cancels != 0 || batch.Status != "in_progress" {
		t.Errorf("the adopted batch of a deleted object is %s after %d cancels", batch.Status, batch.Cancels)
	}

	f.Apply(t, f.manifest("again", `batchID: `+id))
	f.wantState(t, "again", v1alpha1.ReasonInProgress)
	f.patchSpec(t, "again", `{"cancel":true}`)
	f.wantState(t, "again", v1alpha1.ReasonCancelled)
	if batch := onlyBatch(t, f.store); batch.Cancels != 1 || batch.Status != "cancelled" {
		t.Errorf("an adopted batch is %s after %d cancels, want cancelled after 1", batch.Status, batch.Cancels)
	}
}

func TestDeletion(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		policy  string
		cancels int
		status  string
		files   []string // that remain in the vector store
	}{
		"default":     {"", 1, "cancelled", []string{"file-d", "file-stuck-d"}},
		"Cancel":      {", deletionPolicy: Cancel", 1, "cancelled", []string{"file-d", "file-stuck-d"}},
		"Orphan":      {", deletionPolicy: Orphan", 0, "in_progress", []string{"file-d", "file-stuck-d"}},
		"DetachFiles": {", deletionPolicy: DetachFiles", 1, "cancelled", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.Apply(t, f.manifest("handbook", `fileIDs: [file-d, file-stuck-d]`+test.policy))
			f.wantState(t, "handbook", v1alpha1.ReasonInProgress)
			f.delete(t, "handbook")
			framework.Await(t, "the batch to be "+test.status, func() emulator.Batch { return onlyBatch(t, f.store) },
				func(b emulator.Batch) bool { return b.Status == test.status && b.Cancels == test.cancels })
			if diff := cmp.Diff(test.files, filesOf(t, f.store), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("files in the vector store (-want +got):\n%s", diff)
			}
		})
	}
}

func TestServerSideApply_TwoManagers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const fields = `fileIDs: [file-stuck-s], deletionPolicy: DetachFiles`
	f.Apply(t, f.manifest("handbook", fields), "--field-manager=gitops")
	f.wantState(t, "handbook", v1alpha1.ReasonInProgress)

	// Another manager sets cancel alone.
	f.Apply(t, manifest("handbook", `{cancel: true}`), "--field-manager=on-call")
	f.wantState(t, "handbook", v1alpha1.ReasonCancelled)

	// The next sync keeps it, and the annotation and finalizer of the operator.
	f.Apply(t, f.manifest("handbook", fields), "--field-manager=gitops")
	b := f.Batch(t, "handbook")
	if b.Spec.Cancel == nil || !*b.Spec.Cancel {
		t.Errorf("cancel = %v after the other manager applied again, want true", b.Spec.Cancel)
	}
	if b.Annotations[v1alpha1.AnnotationBatchID] != onlyBatch(t, f.store).ID || len(b.Finalizers) != 1 {
		t.Errorf("after the other manager applied again, annotations are %v and finalizers %v", b.Annotations, b.Finalizers)
	}

	_, complaint, err := f.Try(t.Context(), f.manifest("handbook", fields+`, cancel: false`), "apply", "--server-side", "--filename=-", "--field-manager=gitops")
	if err == nil || !strings.Contains(complaint, "conflict") || !strings.Contains(complaint, ".spec.cancel") {
		t.Errorf("applying the field of another manager: %v: %s, want a conflict about .spec.cancel", err, complaint)
	}
}
