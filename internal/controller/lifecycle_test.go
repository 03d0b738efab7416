// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// createBatch creates a batch as a client other than the operator, and returns its ID.
func (f *fixture) createBatch() string {
	f.Helper()
	return f.createBatchOf([]string{"file-x", "file-y"})
}

// createBatchOf is createBatch for a batch of files.
func (f *fixture) createBatchOf(files []string) string {
	f.Helper()
	id, err := f.api.CreateBatch(f.Context(), store, files...)
	if err != nil {
		f.Fatal(err)
	}
	return id
}

func TestBatch_FewWritesAndOneCreate(t *testing.T) {
	f := newFixture(t)
	f.setPace(slow)
	b := f.create(spec{FileIDs: []string{"file-a", "file-b", "file-a"}})
	f.await(b, "the batch", hasBatch)
	afterCreate := writes.of(b)
	f.awaitCalls(emulator.Retrieve, f.calls(emulator.Retrieve)+3)
	if n := writes.of(b); n != afterCreate {
		t.Errorf("polls without a change caused %d writes", n-afterCreate)
	}
	f.setPace(0)
	f.awaitConditions(b, "Completed", succeeded)
	calls, written := f.awaitQuiet(3*config.PollMax), writes.of(b)
	finished := f.await(b, "the object", batch.Finished)
	if written > 5 || len(finished.Finalizers) > 0 {
		t.Errorf("the batch caused %d writes, want at most 5; finalizers %v", written, finished.Finalizers)
	}
	f.patch(b, `{"metadata":{"labels":{"touched":"yes"}}}`)
	if again := f.awaitQuiet(2 * config.PollMax); again != calls {
		t.Errorf("a finished object caused %d calls", again-calls)
	}
	if n := writes.of(b); n != written {
		t.Errorf("a finished object caused %d writes", n-written)
	}
	if n := f.emulator.CreateCount(); n != 1 {
		t.Errorf("%d batches were created", n)
	}
	want := &v1alpha1.FileCounts{Completed: 2, Total: 2}
	if diff := cmp.Diff(want, finished.Status.FileCounts); diff != "" {
		t.Errorf("fileCounts (-want +got):\n%s", diff)
	}
	if finished.Annotations[v1alpha1.AnnotationBatchID] != finished.Status.BatchID {
		t.Errorf("annotations are %v, and batchID is %s", finished.Annotations, finished.Status.BatchID)
	}
	if _, pending := finished.Annotations[v1alpha1.AnnotationCreateStartedAt]; pending {
		t.Error("the create is still pending")
	}
}

// TestBatch_WholeLifeWithFiveWrites counts the operator's writes from the creation of an object to the end
// of its deletion, Events apart. The deletion is a write of the user.
func TestBatch_WholeLifeWithFiveWrites(t *testing.T) {
	for name, test := range map[string]struct {
		spec     spec
		patch    string
		finishes bool
		most     int
	}{
		"policy Cancel":          {spec{}, "", true, 5},
		"policy Orphan":          {spec{DeletionPolicy: v1alpha1.DeletionPolicyOrphan}, "", true, 4},
		"policy DetachFiles":     {spec{DeletionPolicy: detachFiles}, "", true, 5},
		"adopted":                {spec{BatchID: "adopted"}, "", true, 2},
		"adopted, policy Cancel": {spec{BatchID: "adopted", DeletionPolicy: v1alpha1.DeletionPolicyCancel}, "", true, 4},
		"deleted while running":  {spec{}, "", false, 4},
		"orphaned while running": {spec{DeletionPolicy: v1alpha1.DeletionPolicyOrphan}, "", false, 3},
		// One more if the batch is seen before it has stopped.
		"cancelled":               {spec{}, `{"spec":{"cancel":true}}`, true, 6},
		"cancelled before create": {spec{Cancel: ptr.To(true)}, "", true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.setPace(slow)
			if test.spec.BatchID != "" {
				test.spec.BatchID = f.createBatch()
			}
			b := f.create(test.spec)
			if test.spec.Cancel == nil {
				f.awaitConditions(b, "InProgress", progressing)
			}
			if test.patch != "" {
				f.patch(b, test.patch)
			}
			if test.finishes {
				f.setPace(0)
				f.await(b, "to be finished, with the finalizer only if it is needed", func(b *v1alpha1.VectorStoreFileBatch) bool {
					return batch.Finished(b) && batch.HasFinalizer(b) == (test.spec.DeletionPolicy == detachFiles)
				})
			}
			f.deleteAndWait(b)
			f.awaitQuiet(config.PollMax)
			if n := writes.of(b); n > test.most {
				t.Errorf("%d writes, want at most %d", n, test.most)
			}
		})
	}
}

func TestCreate_SettingsPerFile(t *testing.T) {
	f := newFixture(t)
	b := f.create(spec{Files: []v1alpha1.File{
		{FileID: "file-a", Attributes: v1alpha1.Attributes{"year": {Raw: []byte("2026")}, "draft": {Raw: []byte("true")}, "lang": {Raw: []byte(`"en"`)}}},
		{FileID: "file-b", ChunkingStrategy: &v1alpha1.ChunkingStrategy{
			Type: v1alpha1.ChunkingStatic, Static: &v1alpha1.StaticChunking{MaxChunkSizeTokens: 200, ChunkOverlapTokens: ptr.To[int32](100)},
		}},
	}})
	f.awaitConditions(b, "Completed", succeeded)
	for file, want := range map[string]string{
		"file-a": `"attributes":{"draft":true,"lang":"en","year":2026}`,
		"file-b": `"static":{"chunk_overlap_tokens":100,"max_chunk_size_tokens":200}`,
	} {
		var response any
		if err := f.api.Call(t.Context(), http.MethodGet, "/v1/vector_stores/"+store+"/files/"+file, nil, &response); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(response) // compact, with sorted keys
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(got), want) {
			t.Errorf("%s is %s, want %s in it", file, got, want)
		}
	}
}

func TestFailedFiles_ListedWithErrors(t *testing.T) {
	f := newFixture(t)
	files := []string{"file-a"}
	for i := range 130 {
		files = append(files, fmt.Sprintf("file-%03d", i))
		f.emulator.SetOutcome(files[i+1], emulator.Outcome{Code: emulator.UnsupportedFile, Message: "not a text: " + files[i+1]})
	}
	b := f.awaitConditions(f.create(spec{FileIDs: files}), "FilesFailed", failed)
	if n := len(b.Status.FailedFiles); n != v1alpha1.MaxFailedFilesListed {
		t.Fatalf("%d failed files are listed", n)
	}
	first := b.Status.FailedFiles[0]
	want := v1alpha1.FailedFile{FileID: first.FileID, Code: "unsupported_file", Message: "not a text: " + first.FileID}
	if first != want {
		t.Errorf("got %+v, want %+v", first, want)
	}
	// The result of a finished batch follows an edit of maxFailedFiles, without a call.
	calls := f.calls()
	f.patch(b, `{"spec":{"maxFailedFiles":130}}`)
	f.awaitConditions(b, "Completed", succeeded)
	if n := f.calls(); n != calls {
		t.Errorf("%d calls were made for a finished object", n-calls)
	}
}

func TestCancel_SentOnce(t *testing.T) {
	f := newFixture(t)
	f.setPace(slow)
	b := f.create(spec{})
	f.await(b, "the batch", hasBatch)
	f.patch(b, `{"spec":{"cancel":true}}`)
	finished := f.awaitConditions(b, "Cancelled", cancelled)
	if n := f.calls(emulator.Cancel); n != 1 {
		t.Errorf("%d cancels were sent", n)
	}
	if finished.Status.CancelRequestTime == nil || finished.Status.FileCounts.Cancelled != 2 {
		t.Errorf("status is %+v", finished.Status)
	}
}

func TestCancel_NotDelayedByFailingPolls(t *testing.T) {
	f := newFixture(t)
	f.setPace(slow)
	f.fault(emulator.Fault{Operation: emulator.Retrieve, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "3600"}})
	b := f.create(spec{})
	f.awaitConditions(b, "RateLimited", progressing)
	f.patch(b, `{"spec":{"cancel":true}}`)
	f.awaitCalls(emulator.Cancel, 1)
}

func TestCancel_PreemptsHangingPoll(t *testing.T) {
	f := newFixture(t)
	f.setPace(slow)
	released := make(chan struct{})
	defer close(released)
	b := f.create(spec{})
	f.await(b, "the batch", hasBatch)
	f.fault(emulator.Fault{Operation: emulator.Retrieve, Until: released})
	f.awaitCalls(emulator.Retrieve, f.calls(emulator.Retrieve)+1)
	polls := f.calls(emulator.Retrieve)
	f.patch(b, `{"spec":{"cancel":true}}`)
	f.awaitCalls(emulator.Cancel, 1)
	if n := f.calls(emulator.Retrieve); n != polls {
		t.Errorf("%d more polls before the cancel", n-polls)
	}
}

func TestCancel_AfterCompletion(t *testing.T) {
	for _, reject := range []bool{false, true} {
		t.Run(fmt.Sprintf("rejected=%t", reject), func(t *testing.T) {
			f := newFixture(t)
			f.emulator.Configure(func(s *emulator.Settings) { s.Pace, s.RejectLateCancel = slow, reject })
			id := f.createBatch()
			f.setPace(0)
			b := f.create(spec{BatchID: id, Cancel: ptr.To(true)})
			finished := f.awaitConditions(b, "Completed", succeeded)
			if n := f.calls(emulator.Cancel); n != 1 {
				t.Errorf("%d cancels were sent", n)
			}
			if reject == (finished.Status.CancelRequestTime != nil) {
				t.Errorf("cancelRequestTime is %v", finished.Status.CancelRequestTime)
			}
		})
	}
}

func TestCancel_IsIrrevocable(t *testing.T) {
	f := newFixture(t)
	f.emulator.Configure(func(s *emulator.Settings) { s.Pace, s.CancelDelay = slow, slow })
	b := f.create(spec{BatchID: f.createBatch(), Cancel: ptr.To(true)})
	f.await(b, "cancelRequestTime", func(b *v1alpha1.VectorStoreFileBatch) bool { return b.Status.CancelRequestTime != nil })
	f.patch(b, `{"spec":{"cancel":false}}`)
	f.awaitEvent(b, "CancelIrrevocable", "")
	f.awaitConditions(b, "Cancelling", progressing)
	f.emulator.Advance(2 * slow)
	f.awaitConditions(b, "Cancelled", cancelled)
}

func TestAdoptedBatch_OnlyPolled(t *testing.T) {
	f := newFixture(t)
	f.setPace(slow)
	id := f.createBatch()
	b := f.create(spec{BatchID: id})
	current := f.awaitConditions(b, "InProgress", progressing)
	if current.Status.BatchID != id || len(current.Finalizers) != 0 {
		t.Errorf("batchID is %s, finalizers are %v", current.Status.BatchID, current.Finalizers)
	}
	f.deleteAndWait(b)
	if f.calls(emulator.Create) != 1 || f.calls(emulator.Cancel) != 0 {
		t.Error("an adopted batch was created, or cancelled on deletion")
	}
}

func TestDelete_Policies(t *testing.T) {
	for _, test := range []struct {
		policy  v1alpha1.DeletionPolicy
		adopted bool
		cancels int
	}{
		{"", false, 1}, {"Cancel", false, 1}, {"Orphan", false, 0},
		{"", true, 0}, {"Cancel", true, 1}, {"Orphan", true, 0},
	} {
		t.Run(fmt.Sprintf("policy=%s,adopted=%t", test.policy, test.adopted), func(t *testing.T) {
			f := newFixture(t)
			f.setPace(slow)
			s := spec{DeletionPolicy: test.policy}
			if test.adopted {
				s.BatchID = f.createBatch()
			}
			b := f.create(s)
			f.awaitConditions(b, "InProgress", progressing)
			f.deleteAndWait(b)
			f.wantCancels(test.cancels)
		})
	}
}

// TestCancel_SentOnceDespiteFailingWrites: an accepted cancel that could not be persisted is not
// repeated.
func TestCancel_SentOnceDespiteFailingWrites(t *testing.T) {
	const failures = 6
	for name, test := range map[string]struct {
		spec  spec
		patch string // empty for a deletion
		await func(f *fixture, b *v1alpha1.VectorStoreFileBatch)
	}{
		"spec.cancel": {patch: `{"spec":{"cancel":true}}`, await: func(f *fixture, b *v1alpha1.VectorStoreFileBatch) {
			f.awaitConditions(b, "Cancelled", cancelled)
		}},
		"deletion":              {await: (*fixture).awaitGone},
		"deletion, DetachFiles": {spec: spec{DeletionPolicy: detachFiles}, await: (*fixture).awaitGone},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.setPace(slow)
			b := f.create(test.spec)
			f.awaitConditions(b, "InProgress", progressing)
			writes.failNext(b, failures)
			if test.patch != "" {
				f.patch(b, test.patch)
			} else if err := env.Client.Delete(f.Context(), b); err != nil {
				t.Fatal(err)
			}
			test.await(f, b)
			f.wantCancels(1)
			if n := writes.remainingFailures(b); n > 0 {
				t.Errorf("%d of %d writes did not fail", n, failures)
			}
		})
	}
}

func TestDelete_TimeoutWarns(t *testing.T) {
	f := newFixture(t)
	f.setPace(slow)
	b := f.create(spec{})
	id := f.awaitConditions(b, "InProgress", progressing).Status.BatchID
	f.fault(emulator.Fault{Operation: emulator.AnyOperation, Status: http.StatusServiceUnavailable})
	f.deleteAndWait(b)
	if event := f.awaitEvent(b, "DeletionIncomplete", "Gave up after"); event.Type != corev1.EventTypeWarning || !strings.Contains(event.Note, id) {
		t.Errorf("the Event is %s: %s", event.Type, event.Note)
	}
}

func TestCredentials_SecretCreatedLater(t *testing.T) {
	f := newFixtureWithoutSecret(t)
	b := f.create(spec{})
	f.awaitConditions(b, "CredentialsNotFound", progressing)
	f.createSecret(nil)
	f.awaitConditions(b, "Completed", succeeded)
}

func TestCredentials_RotatedKey(t *testing.T) {
	f := newFixtureWithoutSecret(t)
	f.createSecret(map[string]string{v1alpha1.SecretKeyAPIKey: "sk-revoked"})
	b := f.create(spec{})
	f.awaitConditions(b, "CredentialsRejected", stalled)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "openai"}}
	if err := env.Client.Patch(f.Context(), secret, client.RawPatch(types.MergePatchType, []byte(`{"stringData":{"OPENAI_API_KEY":"`+apiKey+`"}}`))); err != nil {
		t.Fatal(err)
	}
	// A request retries immediately.
	f.patch(b, `{"metadata":{"annotations":{"vector-store-operator.dev/reconcile-requested-at":"2026-01-02T03:04:05Z"}}}`)
	if b = f.awaitConditions(b, "Completed", succeeded); b.Status.LastHandledReconcileAt != "2026-01-02T03:04:05Z" {
		t.Errorf("lastHandledReconcileAt is %q", b.Status.LastHandledReconcileAt)
	}
}

func TestBatchID_RestoredFromStatusOrAnnotation(t *testing.T) {
	f := newFixture(t)
	f.setPace(slow)
	b := f.create(spec{})
	id := f.await(b, "the batch", hasBatch).Status.BatchID
	f.patchStatus(b, `{"status":null}`)
	f.await(b, "the status", func(b *v1alpha1.VectorStoreFileBatch) bool {
		return b.Status.BatchID == id && b.Status.Status == "in_progress"
	})
	f.patch(b, `{"metadata":{"annotations":{"vector-store-operator.dev/batch-id":null}}}`)
	f.await(b, "the annotation", func(b *v1alpha1.VectorStoreFileBatch) bool {
		return b.Annotations[v1alpha1.AnnotationBatchID] == id
	})
	if n := f.emulator.CreateCount(); n != 1 {
		t.Errorf("%d batches were created", n)
	}
}

func TestPoll_ResponseForAnotherBatch(t *testing.T) {
	f := newFixture(t)
	f.setPace(slow)
	f.fault(emulator.Fault{Operation: emulator.Retrieve, Action: emulator.WrongObject, Times: 2})
	b := f.create(spec{})
	f.awaitCalls(emulator.Retrieve, 3)
	current := f.awaitConditions(b, "InProgress", progressing)
	if current.Status.FileCounts.Total != 2 || current.Status.Status != "in_progress" {
		t.Errorf("status is %+v", current.Status)
	}
}

func TestPoll_UnknownStatus(t *testing.T) {
	f := newFixture(t)
	f.setPace(slow)
	b := f.create(spec{})
	f.setBatchStatus(b, "validating")
	f.await(b, "the status", func(b *v1alpha1.VectorStoreFileBatch) bool { return b.Status.Status == "validating" })
	f.awaitConditions(b, "InProgress", progressing)
	f.setBatchStatus(b, "completed")
	f.awaitConditions(b, "Completed", succeeded)
}

func TestCreate_LostResponse(t *testing.T) {
	for _, test := range []struct {
		name    string
		fault   emulator.Fault
		creates int
	}{
		{"dropped after the effect", emulator.Fault{Action: emulator.Drop, AfterEffect: true}, 2},
		{"dropped before the effect", emulator.Fault{Action: emulator.Drop}, 1},
		{"500 after the effect", emulator.Fault{Status: http.StatusInternalServerError, AfterEffect: true}, 2},
		{"500 before the effect", emulator.Fault{Status: http.StatusInternalServerError}, 1},
		{"truncated", emulator.Fault{Action: emulator.Truncate}, 2},
		{"response for another object", emulator.Fault{Action: emulator.WrongObject, AfterEffect: true}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			test.fault.Operation, test.fault.Times = emulator.Create, 1
			f.fault(test.fault)
			b := f.create(spec{})
			f.awaitConditions(b, "Completed", succeeded)
			f.awaitEvent(b, "BatchRecreated", "")
			if n := f.emulator.CreateCount(); n != test.creates {
				t.Errorf("%d batches were created, want %d", n, test.creates)
			}
			if diff := cmp.Diff([]string{"file-a", "file-b"}, f.emulator.AttachedFileIDs(store)); diff != "" {
				t.Errorf("attached files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCreate_RateLimitedIsRetried(t *testing.T) {
	f := newFixture(t)
	f.fault(emulator.Fault{Operation: emulator.Create, Status: http.StatusTooManyRequests, Times: 2})
	b := f.awaitConditions(f.create(spec{}), "Completed", succeeded)
	if f.emulator.CreateCount() != 1 || f.calls(emulator.Create) != 3 {
		t.Errorf("%d batches were created with %d calls", f.emulator.CreateCount(), f.calls(emulator.Create))
	}
	if len(b.Annotations) != 2 || !batch.Recorded(b) {
		t.Errorf("annotations are %v", b.Annotations)
	}
}

// deleteAndWait deletes an object, and waits until it is gone.
func (f *fixture) deleteAndWait(b *v1alpha1.VectorStoreFileBatch) {
	f.Helper()
	if err := env.Client.Delete(f.Context(), b); err != nil {
		f.Fatal(err)
	}
	f.awaitGone(b)
}

// wantCancels checks the number of cancels that the API received.
func (f *fixture) wantCancels(want int) {
	f.Helper()
	if n := f.calls(emulator.Cancel); n != want {
		f.Errorf("%d cancels were sent, want %d", n, want)
	}
}
