// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// ignoringServers ignore the field files of a create.
var ignoringServers = []string{emulator.ProfileOGX, emulator.ProfileGateway}

func TestFilesMissing_ServerIgnoresFiles(t *testing.T) {
	for _, profile := range ignoringServers {
		t.Run(profile, func(t *testing.T) {
			f := newFixtureOf(t, profile)
			f.emulator.Configure(func(s *emulator.Settings) { s.OriginStoreIDs = false })
			b := f.create(spec{Files: []v1alpha1.File{{FileID: "file-a"}, {FileID: "file-b"}}})
			missing := f.awaitConditions(b, "FilesMissing", failed)
			f.awaitEvent(b, "FilesMissing", "0 of 2")
			if message := batchMessage(missing); !strings.Contains(message, "spec.fileIDs") {
				t.Errorf("the message is %q", message)
			}
			// An edit judges the batch again. The files are no longer known then.
			f.patch(b, `{"spec":{"maxFailedFiles":2}}`)
			f.awaitConditions(b, "FilesMissing", failed)
			f.awaitConditions(f.create(spec{}), "Completed", succeeded)
		})
	}
}

// batchMessage returns the message of Ready.
func batchMessage(b *v1alpha1.VectorStoreFileBatch) string {
	return meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReady).Message
}

// TestCreate_LostResponseOGX: OGX reports files that are not in the store as a 400.
func TestCreate_LostResponseOGX(t *testing.T) {
	f := newFixtureOf(t, emulator.ProfileOGX)
	f.fault(emulator.Fault{Operation: emulator.Create, Action: emulator.Drop, Times: 1})
	b := f.awaitConditions(f.create(spec{}), "Completed", succeeded)
	f.awaitEvent(b, "BatchRecreated", "had no effect")
	if n := f.emulator.CreateCount(); n != 1 {
		t.Errorf("%d batches were created", n)
	}
}

// TestVerifyCreate_SingleReadsRefused: the list of the store's files decides.
func TestVerifyCreate_SingleReadsRefused(t *testing.T) {
	f := newFixture(t)
	f.fault(emulator.Fault{Operation: emulator.RetrieveFile, Status: http.StatusMethodNotAllowed})
	f.fault(emulator.Fault{Operation: emulator.Create, Action: emulator.Drop, AfterEffect: true, Times: 1})
	b := f.awaitConditions(f.create(spec{}), "Completed", succeeded)
	f.awaitEvent(b, "BatchRecreated", "took effect")
}

// TestCreate_EachResponseLost: creates end, also if the manager restarts (see TestCreate_StopsAfterLostCreates).
func TestCreate_EachResponseLost(t *testing.T) {
	f := newFixture(t)
	f.fault(emulator.Fault{Operation: emulator.Create, Status: http.StatusGatewayTimeout, AfterEffect: true})
	b := f.create(spec{})
	lost := f.awaitConditions(b, "CreateOutcomeUnknown", progressing)
	lost = f.await(lost, "no more creates", func(b *v1alpha1.VectorStoreFileBatch) bool {
		return meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionStalled)
	})
	if n := f.emulator.CreateCount(); n != 3 || !strings.Contains(batchMessage(lost), "3 create requests") {
		t.Errorf("%d batches were created: %s", n, batchMessage(lost))
	}
	f.deleteAndWait(b)
}

// TestCreate_AnotherStoreInResponse: a gateway whose responses have the IDs of the server behind it.
func TestCreate_AnotherStoreInResponse(t *testing.T) {
	f := newFixtureOf(t, emulator.ProfileGateway)
	b := f.create(spec{})
	rejected := f.awaitConditions(b, "Rejected", stalled)
	if n := f.emulator.CreateCount(); n != 2 {
		t.Errorf("%d batches were created", n)
	}
	ids := f.emulator.Batches()
	if message := batchMessage(rejected); !strings.Contains(message, store) || !slices.ContainsFunc(ids, func(b emulator.Batch) bool { return strings.Contains(message, b.ID) }) {
		t.Errorf("the message is %q, the batches are %v", message, ids)
	}
	// Its own objects of another client can be tracked by their files.
	f.awaitConditions(f.create(spec{BatchID: f.createBatch()}), "Completed", succeeded)
}

// TestPoll_StoreInsteadOfBatch: the real service has returned the vector store for a batch, for days.
func TestPoll_StoreInsteadOfBatch(t *testing.T) {
	f := newFixture(t)
	f.emulator.Configure(func(s *emulator.Settings) {
		s.Pace, s.AnswersStore = slow, []emulator.Operation{emulator.Retrieve, emulator.Cancel}
	})
	f.emulator.SetOutcome("file-c", emulator.Outcome{Code: emulator.InvalidFile})
	b := f.create(spec{FileIDs: []string{"file-a", "file-b", "file-c"}})
	f.await(b, "the way that the batch is read", func(b *v1alpha1.VectorStoreFileBatch) bool {
		return batch.Reason(b.Status) == "InProgress" && strings.Contains(batchMessage(b), "list of its files")
	})
	cancelledOne := f.create(spec{FileIDs: []string{"file-d"}})
	f.await(cancelledOne, "the batch", hasBatch)
	f.patch(cancelledOne, `{"spec":{"cancel":true}}`)
	f.awaitConditions(cancelledOne, "Cancelled", cancelled)
	f.wantCancels(1)
	f.setPace(0)
	got := f.awaitConditions(b, "FilesFailed", failed)
	if *got.Status.FileCounts != (v1alpha1.FileCounts{Completed: 2, Failed: 1, Total: 3}) || len(got.Status.FailedFiles) != 1 {
		t.Errorf("the status is %+v", got.Status)
	}
}

// TestCancel_LaggingCounts: the counts of OGX stay behind after a cancel.
func TestCancel_LaggingCounts(t *testing.T) {
	f := newFixtureOf(t, emulator.ProfileOGX)
	f.setPace(50 * time.Millisecond)
	var files []string
	for i := range 200 {
		files = append(files, fmt.Sprintf("file-%03d", i))
	}
	b := f.create(spec{FileIDs: files})
	f.await(b, "some files", func(b *v1alpha1.VectorStoreFileBatch) bool {
		return b.Status.FileCounts != nil && b.Status.FileCounts.Completed > 0
	})
	f.patch(b, `{"spec":{"cancel":true}}`)
	got := f.awaitConditions(b, "Cancelled", cancelled).Status.FileCounts
	attached := 0
	for _, file := range f.emulator.AttachedFiles(store) {
		if file.Status == "completed" {
			attached++
		}
	}
	if int(got.Completed) != attached || got.Completed+got.Cancelled != 200 || got.InProgress != 0 {
		t.Errorf("the counts are %+v, and %d files are in the store", *got, attached)
	}
}

// TestCopiedManifest: a copy with the annotations of another object makes its own batch, and its deletion
// does not touch the other one. A restored object finds its batch.
func TestCopiedManifest(t *testing.T) {
	f := newFixture(t)
	f.setPace(slow)
	original := f.await(f.create(spec{}), "the batch", hasBatch)
	copied := &v1alpha1.VectorStoreFileBatch{Spec: original.Spec}
	copied.Namespace, copied.Name, copied.Annotations = f.namespace, "copy", original.Annotations
	copied.Spec.FileIDs = []string{"file-c"}
	copied.Annotations[v1alpha1.AnnotationCreateStartedAt] = time.Now().Add(-time.Hour).Format(time.RFC3339Nano)
	if err := env.Client.Create(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	got := f.await(copied, "the batch", hasBatch)
	if got.Status.BatchID == original.Status.BatchID || !batch.Recorded(got) {
		t.Errorf("the copy has batch %s, the original %s; annotations %v", got.Status.BatchID, original.Status.BatchID, got.Annotations)
	}
	f.awaitEvent(copied, "AnnotationIgnored", original.Status.BatchID)
	f.deleteAndWait(copied)
	f.wantCancels(1)
	for _, call := range f.emulator.Calls(emulator.Cancel) {
		if call.BatchID != got.Status.BatchID {
			t.Errorf("batch %s was cancelled", call.BatchID)
		}
	}
	// A backup has the metadata and the spec.
	f.patch(original, `{"spec":{"deletionPolicy":"Orphan"}}`)
	backup := &v1alpha1.VectorStoreFileBatch{Spec: original.Spec}
	backup.Namespace, backup.Name, backup.Annotations = f.namespace, original.Name, f.await(original, "the object", hasBatch).Annotations
	f.deleteAndWait(original)
	if err := env.Client.Create(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	if restored := f.await(backup, "the batch", hasBatch); restored.Status.BatchID != original.Status.BatchID {
		t.Errorf("the restored object has batch %s, want %s", restored.Status.BatchID, original.Status.BatchID)
	}
	if n := f.emulator.CreateCount(); n != 2 {
		t.Errorf("%d batches were created", n)
	}
}
