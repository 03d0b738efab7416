// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

func TestFilesAreAttached(t *testing.T) {
	t.Parallel()
	n := newUser(t)
	n.apply(t, n.manifest("handbook", `fileIDs: [file-a1, file-a2, file-a1],
		attributes: {language: de, year: 2026, weight: 0.25, draft: false},
		chunkingStrategy: {type: Static, static: {maxChunkSizeTokens: 200, chunkOverlapTokens: 100}}`))
	b := n.wantState(t, "handbook", v1alpha1.ReasonCompleted)

	batch := onlyBatch(t, n.store)
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
	ask(t, http.MethodGet, "/v1/vector_stores/"+n.store+"/files/file-a2", mainKey, "", &file)
	if diff := cmp.Diff(map[string]any{"language": "de", "year": 2026.0, "weight": 0.25, "draft": false}, file.Attributes); diff != "" {
		t.Errorf("attributes at the upstream (-want +got):\n%s", diff)
	}
	want := map[string]any{"type": "static", "static": map[string]any{"max_chunk_size_tokens": 200.0, "chunk_overlap_tokens": 100.0}}
	if diff := cmp.Diff(want, file.Chunking); diff != "" {
		t.Errorf("chunking at the upstream (-want +got):\n%s", diff)
	}
}

func TestFailedFilesAreShown(t *testing.T) {
	t.Parallel()
	n := newUser(t)
	n.apply(t, n.manifest("handbook", `files: [
		{fileID: file-fail-unsupported-1}, {fileID: file-good, attributes: {a: b}}, {fileID: file-fail-invalid-1}, {fileID: file-fail-1}]`))
	b := n.wantState(t, "handbook", v1alpha1.ReasonFilesFailed)
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

	// A failure more, or less, that is allowed makes the difference, also afterwards.
	n.kubectl(t, "patch", "vsfb", "handbook", "--type=merge", `--patch={"spec":{"maxFailedFiles":3}}`)
	n.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	n.kubectl(t, "patch", "vsfb", "handbook", "--type=merge", `--patch={"spec":{"maxFailedFiles":2}}`)
	n.wantState(t, "handbook", v1alpha1.ReasonFilesFailed)
}

func TestCancelInMidFlight(t *testing.T) {
	t.Parallel()
	n := newUser(t)
	n.apply(t, n.manifest("handbook", `fileIDs: [file-c1, file-stuck-c]`))
	n.wait(t, "handbook", "jsonpath={.status.fileCounts.completed}=1")
	n.kubectl(t, "patch", "vsfb", "handbook", "--type=merge", `--patch={"spec":{"cancel":true}}`)
	b := n.wantState(t, "handbook", v1alpha1.ReasonCancelled)
	if b.Status.CancelRequestedAt == nil {
		t.Error("cancelRequestedAt is not set")
	}
	if diff := cmp.Diff(&v1alpha1.FileCounts{Completed: 1, Cancelled: 1, Total: 2}, b.Status.FileCounts); diff != "" {
		t.Errorf("fileCounts (-want +got):\n%s", diff)
	}
	n.wantEvent(t, "handbook", v1alpha1.ReasonCancelling, verdicts[v1alpha1.ReasonCancelling].event)
	batch := onlyBatch(t, n.store)
	if batch.Cancels != 1 || batch.Status != "cancelled" || b.Status.Status != batch.Status {
		t.Errorf("the upstream was asked to cancel %d times and says %q, the object %q; want once, and cancelled", batch.Cancels, batch.Status, b.Status.Status)
	}
}

func TestCancelThatComesTooLate(t *testing.T) {
	t.Parallel()
	n := newUser(t)
	n.apply(t, n.manifest("handbook", `fileIDs: [file-l1]`))
	n.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	n.kubectl(t, "patch", "vsfb", "handbook", "--type=merge", `--patch={"spec":{"cancel":true}}`)
	n.wait(t, "handbook", "jsonpath={.status.observedGeneration}=2")
	b := n.wantState(t, "handbook", v1alpha1.ReasonCompleted)
	if batch := onlyBatch(t, n.store); batch.Cancels != 0 || b.Status.CancelRequestedAt != nil {
		t.Errorf("a finished batch was cancelled %d times, at %v", batch.Cancels, b.Status.CancelRequestedAt)
	}
}

func TestCancelledBeforeItWasCreated(t *testing.T) {
	t.Parallel()
	n := newUser(t)
	n.apply(t, n.manifest("handbook", `fileIDs: [file-u1], cancel: true`))
	b := n.wantState(t, "handbook", v1alpha1.ReasonCancelled)
	if b.Status.Status != "cancelled" || b.Status.BatchID != "" {
		t.Errorf("status = %q, batchID = %q, want cancelled, and no batch", b.Status.Status, b.Status.BatchID)
	}
	if batches := batchesOf(t, n.store); len(batches) != 0 {
		t.Errorf("a batch was created: %+v", batches)
	}
	n.kubectl(t, "delete", "vsfb", "handbook", "--timeout="+patience.String())
}

func TestAdoption(t *testing.T) {
	t.Parallel()
	n := newUser(t)
	id := createUpstream(t, n.store, "file-stuck-a", "file-b")
	n.apply(t, n.manifest("handbook", `batchID: `+id))
	n.wait(t, "handbook", "jsonpath={.status.fileCounts.completed}=1")
	b := n.wantState(t, "handbook", v1alpha1.ReasonInProgress)
	if b.Status.BatchID != id {
		t.Errorf("batchID = %q, want %q", b.Status.BatchID, id)
	}

	// What somebody else made is left alone when the object goes.
	n.kubectl(t, "delete", "vsfb", "handbook", "--timeout="+patience.String())
	if batch := onlyBatch(t, n.store); batch.Cancels != 0 || batch.Status != "in_progress" {
		t.Errorf("deleting an object that had adopted a batch left it %s after %d cancels", batch.Status, batch.Cancels)
	}

	n.apply(t, n.manifest("again", `batchID: `+id))
	n.wantState(t, "again", v1alpha1.ReasonInProgress)
	n.kubectl(t, "patch", "vsfb", "again", "--type=merge", `--patch={"spec":{"cancel":true}}`)
	n.wantState(t, "again", v1alpha1.ReasonCancelled)
	if batch := onlyBatch(t, n.store); batch.Cancels != 1 || batch.Status != "cancelled" {
		t.Errorf("an adopted batch is %s after %d cancels, want cancelled after 1", batch.Status, batch.Cancels)
	}
}

func TestDeletion(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		policy  string
		cancels int
		status  string
	}{
		"cancels":               {"", 1, "cancelled"},
		"cancels where told so": {", deletionPolicy: Cancel", 1, "cancelled"},
		"orphans where told so": {", deletionPolicy: Orphan", 0, "in_progress"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newUser(t)
			n.apply(t, n.manifest("handbook", `fileIDs: [file-stuck-d]`+test.policy))
			n.wantState(t, "handbook", v1alpha1.ReasonInProgress)
			n.kubectl(t, "delete", "vsfb", "handbook", "--timeout="+patience.String())
			wantBatch(t, n.store, func(b emulator.Batch) bool { return b.Status == test.status && b.Cancels == test.cancels })
		})
	}
}

func TestServerSideApplyByTwoManagers(t *testing.T) {
	t.Parallel()
	n := newUser(t)
	const fields = `fileIDs: [file-stuck-s], deletionPolicy: Cancel`
	n.apply(t, n.manifest("handbook", fields), "--field-manager=gitops")
	n.wantState(t, "handbook", v1alpha1.ReasonInProgress)

	// Somebody else takes cancel, and nothing but that.
	n.apply(t, manifest("handbook", `{cancel: true}`), "--field-manager=on-call")
	n.wantState(t, "handbook", v1alpha1.ReasonCancelled)

	// The next sync neither undoes it, nor takes from the operator what it wrote.
	n.apply(t, n.manifest("handbook", fields), "--field-manager=gitops")
	b := n.object(t, "handbook")
	if b.Spec.Cancel == nil || !*b.Spec.Cancel {
		t.Errorf("cancel = %v after the other manager applied again, want true", b.Spec.Cancel)
	}
	if b.Annotations[v1alpha1.AnnotationBatchID] != onlyBatch(t, n.store).ID || len(b.Finalizers) != 1 {
		t.Errorf("after the other manager applied again, annotations are %v and finalizers %v", b.Annotations, b.Finalizers)
	}

	_, complaint, err := n.try(t, n.manifest("handbook", fields+`, cancel: false`), "apply", "--server-side", "--filename=-", "--field-manager=gitops")
	if err == nil || !strings.Contains(complaint, "conflict") || !strings.Contains(complaint, ".spec.cancel") {
		t.Errorf("taking the field from its manager: %v: %s, want a conflict about .spec.cancel", err, complaint)
	}
}
