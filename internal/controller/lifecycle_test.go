// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// foreignBatch makes a batch that is not the operator's.
func (w *world) foreignBatch() string {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.url+"/vector_stores/"+store+"/file_batches",
		strings.NewReader(`{"file_ids":["file-x","file-y"]}`))
	if err != nil {
		w.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+apiKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	batches := w.upstream.Batches()
	if len(batches) != 1 {
		w.Fatalf("the upstream has %d batches, want 1 (HTTP %d)", len(batches), response.StatusCode)
	}
	return batches[0].ID
}

func TestABatchCostsFewWritesAndOneCreate(t *testing.T) {
	w := newWorld(t)
	w.pace(slow)
	b := w.create(spec{FileIDs: []string{"file-a", "file-b", "file-a"}})
	w.eventually(b, "for the batch", hasBatch)
	afterCreate := writes.to(b)
	polls := w.calls(emulator.Retrieve)
	w.poll(func() bool { return w.calls(emulator.Retrieve) >= polls+3 }, func() string { return "for three polls" })
	if n := writes.to(b); n != afterCreate {
		t.Errorf("polls that changed nothing cost %d writes", n-afterCreate)
	}
	w.pace(0)
	finished := w.eventuallyRow(b, "Completed", succeeded)
	calls, written := w.settle(3*config.PollMax), writes.to(b)
	if written > 5 {
		t.Errorf("the batch cost %d writes, want at most 5", written)
	}
	w.patch(b, `{"metadata":{"labels":{"touched":"yes"}}}`)
	if again := w.settle(2 * config.PollMax); again != calls {
		t.Errorf("a finished object caused %d calls", again-calls)
	}
	if n := writes.to(b); n != written {
		t.Errorf("a finished object caused %d writes", n-written)
	}
	if n := w.upstream.CreateCount(); n != 1 {
		t.Errorf("%d batches were created", n)
	}
	want := &v1alpha1.FileCounts{Completed: 2, Total: 2}
	if diff := cmp.Diff(want, finished.Status.FileCounts); diff != "" {
		t.Errorf("fileCounts (-want +got):\n%s", diff)
	}
	if finished.Annotations[v1alpha1.AnnotationBatchID] != finished.Status.BatchID {
		t.Errorf("annotations are %v, and batchID is %s", finished.Annotations, finished.Status.BatchID)
	}
	if _, there := finished.Annotations[v1alpha1.AnnotationCreateStartedAt]; there {
		t.Error("the intent still stands")
	}
}

func TestFilesHaveSettingsOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	b := w.create(spec{Files: []v1alpha1.File{
		{FileID: "file-a", Attributes: v1alpha1.Attributes{"year": {Raw: []byte("2026")}, "draft": {Raw: []byte("true")}, "lang": {Raw: []byte(`"en"`)}}},
		{FileID: "file-b", ChunkingStrategy: &v1alpha1.ChunkingStrategy{
			Type: v1alpha1.ChunkingStatic, Static: &v1alpha1.StaticChunking{MaxChunkSizeTokens: 200, ChunkOverlapTokens: ptr.To[int32](100)},
		}},
	}})
	w.eventuallyRow(b, "Completed", succeeded)
	for file, want := range map[string]string{
		"file-a": `"attributes":{"draft":true,"lang":"en","year":2026}`,
		"file-b": `"static":{"chunk_overlap_tokens":100,"max_chunk_size_tokens":200}`,
	} {
		if got := w.get("/vector_stores/" + store + "/files/" + file); !strings.Contains(compact(got), want) {
			t.Errorf("%s is %s, want %s in it", file, got, want)
		}
	}
}

func TestFailedFilesAreListedWithTheirErrors(t *testing.T) {
	w := newWorld(t)
	files := []string{"file-a"}
	for i := range 130 {
		files = append(files, fmt.Sprintf("file-%03d", i))
		w.upstream.SetOutcome(files[i+1], emulator.Outcome{Code: emulator.UnsupportedFile, Message: "not a text: " + files[i+1]})
	}
	b := w.eventuallyRow(w.create(spec{FileIDs: files}), "FilesFailed", failed)
	if n := len(b.Status.FailedFiles); n != v1alpha1.MaxFailedFilesListed {
		t.Fatalf("%d failed files are listed", n)
	}
	first := b.Status.FailedFiles[0]
	want := v1alpha1.FailedFile{FileID: first.FileID, Code: "unsupported_file", Message: "not a text: " + first.FileID}
	if first != want {
		t.Errorf("got %+v, want %+v", first, want)
	}
	// The judgement follows maxFailedFiles also when all is over, without a call.
	calls := w.calls()
	w.patch(b, `{"spec":{"maxFailedFiles":130}}`)
	w.eventuallyRow(b, "Completed", succeeded)
	if n := w.calls(); n != calls {
		t.Errorf("%d calls were made for a finished object", n-calls)
	}
}

func TestCancelIsSentAtOnceAndOnce(t *testing.T) {
	w := newWorld(t)
	w.pace(slow)
	b := w.create(spec{})
	w.eventually(b, "for the batch", hasBatch)
	w.patch(b, `{"spec":{"cancel":true}}`)
	finished := w.eventuallyRow(b, "Cancelled", cancelled)
	if n := w.calls(emulator.Cancel); n != 1 {
		t.Errorf("%d cancels were sent", n)
	}
	if finished.Status.CancelRequestedAt == nil || finished.Status.FileCounts.Cancelled != 2 {
		t.Errorf("status is %+v", finished.Status)
	}
}

func TestACancelOvertakesFailingPolls(t *testing.T) {
	w := newWorld(t)
	w.pace(slow)
	w.fault(emulator.Fault{Operation: emulator.Retrieve, Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "3600"}})
	b := w.create(spec{})
	w.eventuallyRow(b, "RateLimited", progressing)
	w.patch(b, `{"spec":{"cancel":true}}`)
	w.poll(func() bool { return w.calls(emulator.Cancel) == 1 }, func() string { return "for the cancel" })
}

func TestACancelOvertakesALookThatHangs(t *testing.T) {
	w := newWorld(t)
	w.pace(slow)
	answered := make(chan struct{})
	defer close(answered)
	b := w.create(spec{})
	w.eventually(b, "for the batch", hasBatch)
	w.fault(emulator.Fault{Operation: emulator.Retrieve, Until: answered})
	before := w.calls(emulator.Retrieve)
	w.poll(func() bool { return w.calls(emulator.Retrieve) > before }, func() string { return "for a look" })
	looks := w.calls(emulator.Retrieve)
	w.patch(b, `{"spec":{"cancel":true}}`)
	w.poll(func() bool { return w.calls(emulator.Cancel) == 1 }, func() string { return "for the cancel" })
	if n := w.calls(emulator.Retrieve); n != looks {
		t.Errorf("the cancel came after %d more looks", n-looks)
	}
}

func TestACancelThatComesTooLateIsReportedAsCompleted(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("refused=%t", refuse), func(t *testing.T) {
			w := newWorld(t)
			w.upstream.Configure(func(s *emulator.Settings) { s.Pace, s.RejectLateCancel = slow, refuse })
			id := w.foreignBatch()
			w.pace(0)
			b := w.create(spec{BatchID: id, Cancel: ptr.To(true)})
			finished := w.eventuallyRow(b, "Completed", succeeded)
			if n := w.calls(emulator.Cancel); n != 1 {
				t.Errorf("%d cancels were sent", n)
			}
			if refuse == (finished.Status.CancelRequestedAt != nil) {
				t.Errorf("cancelRequestedAt is %v", finished.Status.CancelRequestedAt)
			}
		})
	}
}

func TestACancelCannotBeTakenBack(t *testing.T) {
	w := newWorld(t)
	w.upstream.Configure(func(s *emulator.Settings) { s.Pace, s.CancelDelay = slow, slow })
	b := w.create(spec{BatchID: w.foreignBatch(), Cancel: ptr.To(true)})
	w.eventually(b, "for the latch", func(b *v1alpha1.VectorStoreFileBatch) bool { return b.Status.CancelRequestedAt != nil })
	w.patch(b, `{"spec":{"cancel":false}}`)
	w.eventuallyEvent(b, "CancelIrrevocable")
	w.eventuallyRow(b, "Cancelling", progressing)
	w.upstream.Advance(2 * slow)
	w.eventuallyRow(b, "Cancelled", cancelled)
}

func TestNothingIsCreatedForAnObjectThatIsCancelledFromTheStart(t *testing.T) {
	w := newWorld(t)
	b := w.eventuallyRow(w.create(spec{Cancel: ptr.To(true)}), "Cancelled", cancelled)
	if w.calls() != 0 || b.Status.BatchID != "" || b.Status.Status != "cancelled" {
		t.Errorf("%d calls were made; status is %+v", w.calls(), b.Status)
	}
}

func TestAnAdoptedBatchIsFollowedAndLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.pace(slow)
	id := w.foreignBatch()
	b := w.create(spec{BatchID: id})
	current := w.eventuallyRow(b, "InProgress", progressing)
	if current.Status.BatchID != id || len(current.Finalizers) != 0 {
		t.Errorf("batchID is %s, finalizers are %v", current.Status.BatchID, current.Finalizers)
	}
	w.deleteAndWait(b)
	if w.calls(emulator.Create) != 1 || w.calls(emulator.Cancel) != 0 {
		t.Error("an adopted batch was created, or cancelled on deletion")
	}
}

func TestDeletionPolicies(t *testing.T) {
	for _, test := range []struct {
		policy  v1alpha1.DeletionPolicy
		adopted bool
		cancels int
	}{
		{"", false, 1}, {"Cancel", false, 1}, {"Orphan", false, 0},
		{"", true, 0}, {"Cancel", true, 1}, {"Orphan", true, 0},
	} {
		t.Run(fmt.Sprintf("policy=%s,adopted=%t", test.policy, test.adopted), func(t *testing.T) {
			w := newWorld(t)
			w.pace(slow)
			s := spec{DeletionPolicy: test.policy}
			if test.adopted {
				s.BatchID = w.foreignBatch()
			}
			b := w.create(s)
			w.eventuallyRow(b, "InProgress", progressing)
			w.deleteAndWait(b)
			w.wantCancels(test.cancels)
		})
	}
}

// What could not be stored for a while is not done again: the process remembers it.
func TestACancelIsSentOnceWhileTheAPIServerIsAway(t *testing.T) {
	const lost = 6
	for name, test := range map[string]struct {
		spec   spec
		change string // deletes, where it is empty
		ended  func(w *world, b *v1alpha1.VectorStoreFileBatch)
	}{
		"spec.cancel": {change: `{"spec":{"cancel":true}}`, ended: func(w *world, b *v1alpha1.VectorStoreFileBatch) {
			w.eventuallyRow(b, "Cancelled", cancelled)
		}},
		"deletion":              {ended: (*world).eventuallyGone},
		"deletion, DetachFiles": {spec: spec{DeletionPolicy: detachFiles}, ended: (*world).eventuallyGone},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pace(slow)
			b := w.create(test.spec)
			w.eventuallyRow(b, "InProgress", progressing)
			writes.lose(b, lost)
			if test.change != "" {
				w.patch(b, test.change)
			} else if err := k8s.Delete(w.Context(), b); err != nil {
				t.Fatal(err)
			}
			test.ended(w, b)
			w.wantCancels(1)
			if left := writes.losing(b); left > 0 {
				t.Errorf("%d of %d writes were not lost", left, lost)
			}
		})
	}
}

func TestADeletionThatCannotCancelGivesUpAndSaysSo(t *testing.T) {
	w := newWorld(t)
	w.pace(slow)
	b := w.create(spec{})
	id := w.eventuallyRow(b, "InProgress", progressing).Status.BatchID
	w.fault(emulator.Fault{Operation: emulator.AnyOperation, Status: http.StatusServiceUnavailable})
	w.deleteAndWait(b)
	event := w.eventuallyEvent(b, "Deleting")
	w.poll(func() bool { event = w.events(b)["Deleting"]; return strings.Contains(w.notes(b), "Gave up after") },
		func() string { return "for an Event that says so: " + w.notes(b) })
	if event.Type != corev1.EventTypeWarning || !strings.Contains(w.notes(b), id) {
		t.Errorf("the Events are %s", w.notes(b))
	}
}

func TestAFinishedObjectIsDeletedWithoutACall(t *testing.T) {
	w := newWorld(t)
	b := w.create(spec{})
	w.eventuallyRow(b, "Completed", succeeded)
	calls := w.settle(config.PollMax)
	w.deleteAndWait(b)
	if n := w.calls(); n != calls {
		t.Errorf("%d calls were made", n-calls)
	}
}

func TestASecretThatComesLateIsUsed(t *testing.T) {
	w := worldWithoutSecret(t)
	b := w.create(spec{})
	w.eventuallyRow(b, "CredentialsNotFound", progressing)
	w.createSecret(nil)
	w.eventuallyRow(b, "Completed", succeeded)
}

func TestARotatedKeyIsUsedAfterTheOldOneIsRefused(t *testing.T) {
	w := worldWithoutSecret(t)
	w.createSecret(map[string]string{v1alpha1.SecretKeyAPIKey: "sk-revoked"})
	b := w.create(spec{})
	w.eventuallyRow(b, "CredentialsRejected", stalled)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "openai"}}
	if err := k8s.Patch(w.Context(), secret, client.RawPatch("application/merge-patch+json", []byte(`{"stringData":{"OPENAI_API_KEY":"`+apiKey+`"}}`))); err != nil {
		t.Fatal(err)
	}
	// Somebody touches the object, so as not to wait for the slow retry of a stalled one.
	w.patch(b, `{"spec":{"maxFailedFiles":1}}`)
	w.eventuallyRow(b, "Completed", succeeded)
}

func TestALostStatusIsRestoredFromTheAnnotationAndTheOtherWayRound(t *testing.T) {
	w := newWorld(t)
	w.pace(slow)
	b := w.create(spec{})
	id := w.eventually(b, "for the batch", hasBatch).Status.BatchID
	if err := k8s.Status().Patch(w.Context(), b, client.RawPatch("application/merge-patch+json", []byte(`{"status":null}`))); err != nil {
		t.Fatal(err)
	}
	w.eventually(b, "for the status", func(b *v1alpha1.VectorStoreFileBatch) bool {
		return b.Status.BatchID == id && b.Status.Status == "in_progress"
	})
	w.patch(b, `{"metadata":{"annotations":{"vector-store-operator.dev/batch-id":null}}}`)
	w.eventually(b, "for the annotation", func(b *v1alpha1.VectorStoreFileBatch) bool {
		return b.Annotations[v1alpha1.AnnotationBatchID] == id
	})
	if n := w.upstream.CreateCount(); n != 1 {
		t.Errorf("%d batches were created", n)
	}
}

func TestAnAnswerAboutAnotherObjectIsNeverMirrored(t *testing.T) {
	w := newWorld(t)
	w.pace(slow)
	w.fault(emulator.Fault{Operation: emulator.Retrieve, Action: emulator.WrongObject, Times: 2})
	b := w.create(spec{})
	w.eventuallyRow(b, "UpstreamUnavailable", progressing)
	current := w.eventuallyRow(b, "InProgress", progressing)
	if current.Status.FileCounts.Total != 2 || current.Status.Status != "in_progress" {
		t.Errorf("status is %+v", current.Status)
	}
}

func TestAnUnknownStatusIsMirroredAndNotTheEnd(t *testing.T) {
	w := newWorld(t)
	w.pace(slow)
	b := w.create(spec{})
	w.setUpstreamStatus(b, "validating")
	w.eventually(b, "for the status", func(b *v1alpha1.VectorStoreFileBatch) bool { return b.Status.Status == "validating" })
	w.eventuallyRow(b, "InProgress", progressing)
	w.setUpstreamStatus(b, "completed")
	w.eventuallyRow(b, "Completed", succeeded)
}

func TestACreateWhoseAnswerWasLost(t *testing.T) {
	for _, test := range []struct {
		name    string
		fault   emulator.Fault
		creates int
	}{
		{"dropped after it took effect", emulator.Fault{Action: emulator.Drop, AfterEffect: true}, 2},
		{"dropped before it took effect", emulator.Fault{Action: emulator.Drop}, 1},
		{"500 after it took effect", emulator.Fault{Status: http.StatusInternalServerError, AfterEffect: true}, 2},
		{"500 before it took effect", emulator.Fault{Status: http.StatusInternalServerError}, 1},
		{"truncated", emulator.Fault{Action: emulator.Truncate}, 2},
		{"answered with another object", emulator.Fault{Action: emulator.WrongObject, AfterEffect: true}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			test.fault.Operation, test.fault.Times = emulator.Create, 1
			w.fault(test.fault)
			b := w.create(spec{})
			w.eventuallyRow(b, "Completed", succeeded)
			w.eventuallyEvent(b, "CreateOutcomeUnknown")
			if n := w.upstream.CreateCount(); n != test.creates {
				t.Errorf("%d batches were created, want %d", n, test.creates)
			}
			if diff := cmp.Diff([]string{"file-a", "file-b"}, w.upstream.AttachedFileIDs(store)); diff != "" {
				t.Errorf("attached files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestADefiniteRefusalLeavesNoIntentAndIsRetried(t *testing.T) {
	w := newWorld(t)
	w.fault(emulator.Fault{Operation: emulator.Create, Status: http.StatusTooManyRequests, Times: 2})
	b := w.eventuallyRow(w.create(spec{}), "Completed", succeeded)
	if w.upstream.CreateCount() != 1 || w.calls(emulator.Create) != 3 {
		t.Errorf("%d batches were created with %d calls", w.upstream.CreateCount(), w.calls(emulator.Create))
	}
	if len(b.Annotations) != 1 {
		t.Errorf("annotations are %v", b.Annotations)
	}
}

// deleteAndWait deletes an object, and waits until it is gone.
func (w *world) deleteAndWait(b *v1alpha1.VectorStoreFileBatch) {
	w.Helper()
	if err := k8s.Delete(w.Context(), b); err != nil {
		w.Fatal(err)
	}
	w.eventuallyGone(b)
}

// wantCancels demands that a deletion sent so many cancels.
func (w *world) wantCancels(want int) {
	w.Helper()
	if n := w.calls(emulator.Cancel); n != want {
		w.Errorf("%d cancels were sent, want %d", n, want)
	}
}

// notes are the texts of the Events about an object.
func (w *world) notes(b *v1alpha1.VectorStoreFileBatch) string {
	var notes []string
	for _, event := range w.events(b) {
		notes = append(notes, event.Note)
	}
	return strings.Join(notes, "\n")
}
