// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func TestPoll_IntervalGrowsWithoutProgress(t *testing.T) {
	r := run(created(), lifecycle.State{}, epoch)
	var waits []time.Duration
	for range 12 {
		waits = append(waits, r.final.RequeueAfter)
		r = r.again()
	}
	want := []time.Duration{
		2 * time.Second, 3 * time.Second, 4500 * time.Millisecond, 6750 * time.Millisecond,
		10125 * time.Millisecond, 15187500 * time.Microsecond, 22781250 * time.Microsecond, 34171875 * time.Microsecond,
		51257812500, time.Minute, time.Minute, time.Minute,
	}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("waits between polls (-want +got):\n%s", diff)
	}
}

func TestPoll_IntervalResetsOnProgress(t *testing.T) {
	slow := lifecycle.State{Backoff: lifecycle.Backoff{PollInterval: time.Minute}}
	for name, test := range map[string]struct {
		answer *upstream.Batch
		want   time.Duration
	}{
		"no change":      {answer(upstream.InProgress), time.Minute},
		"count changed":  {answer(upstream.InProgress, func(a *upstream.Batch) { a.FileCounts.Completed++ }), 2 * time.Second},
		"status changed": {answer(unknownStatus, func(a *upstream.Batch) { a.FileCounts.InProgress = 2 }), 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(tracked(), slow, epoch, result{batch: test.answer}).final.RequeueAfter; got != test.want {
				t.Errorf("requeued after %s, want %s", got, test.want)
			}
		})
	}
	t.Run("state lost", func(t *testing.T) {
		if got := run(tracked(), lifecycle.State{}, epoch).final.RequeueAfter; got != 2*time.Second {
			t.Errorf("requeued after %s", got)
		}
	})
}

func TestPoll_IntervalAfterCancel(t *testing.T) {
	r := run(tracked(cancelWanted, edited), lifecycle.State{Backoff: lifecycle.Backoff{PollInterval: time.Minute}}, epoch)
	if r.actionNames() != "Cancel" || r.final.RequeueAfter != 2*time.Second {
		t.Fatalf("performed %q, requeued after %s", r.actionNames(), r.final.RequeueAfter)
	}
	for range 8 {
		r = r.again()
	}
	if r.final.RequeueAfter != 10*time.Second {
		t.Errorf("requeued after %s while the cancel is pending, want 10s", r.final.RequeueAfter)
	}
}

func TestPoll_HonorsPollAfter(t *testing.T) {
	for _, test := range [][3]time.Duration{
		{time.Second, 2 * time.Second, 1600 * time.Millisecond},
		{5 * time.Second, 5 * time.Second, 5 * time.Second},
		{10 * time.Minute, 10 * time.Minute, 10 * time.Minute},
	} {
		requested, want, earliest := test[0], test[1], test[2]
		observed := lifecycle.Observed{Actions: []lifecycle.Action{lifecycle.Poll}, Batch: answer(upstream.InProgress, pollAfter(requested))}
		if d := config.Decide(created(), observed, epoch); d.RequeueAfter != want {
			t.Errorf("requested %s: requeued after %s, want %s", requested, d.RequeueAfter, want)
		}
		observed.Jitter = -0.2
		if d := config.Decide(created(), observed, epoch); d.RequeueAfter != earliest {
			t.Errorf("requested %s, with jitter: requeued after %s, want %s", requested, d.RequeueAfter, earliest)
		}
	}
}

func TestPoll_BeforeDue(t *testing.T) {
	r := run(created(), lifecycle.State{}, epoch)
	early := run(r.object, r.state, epoch.Add(500*time.Millisecond))
	if early.actionNames() != "" || early.final.RequeueAfter != 1500*time.Millisecond || len(early.events) > 0 {
		t.Errorf("performed %q, Events %v, requeued after %s", early.actionNames(), early.events, early.final.RequeueAfter)
	}
	if again := run(withChange(r.object, edited), r.state, epoch.Add(500*time.Millisecond)); again.actionNames() != "Poll" {
		t.Errorf("performed %q after the spec was edited", again.actionNames())
	}
}

func TestBackoff(t *testing.T) {
	for name, test := range map[string]struct {
		b              *object
		kind           upstream.ErrorKind
		reason         string
		first, longest time.Duration
	}{
		"unavailable":             {created(), upstream.Transient, v1alpha1.ReasonUpstreamUnavailable, time.Second, 5 * time.Minute},
		"unknown outcome":         {created(), upstream.UnknownOutcome, v1alpha1.ReasonUpstreamUnavailable, time.Second, 5 * time.Minute},
		"rate limited":            {created(), upstream.RateLimited, v1alpha1.ReasonRateLimited, time.Second, 5 * time.Minute},
		"no Secret":               {created(), upstream.NoCredentials, v1alpha1.ReasonCredentialsNotFound, time.Second, time.Minute},
		"key rejected":            {created(), upstream.Unauthorized, v1alpha1.ReasonCredentialsRejected, 10 * time.Second, 10 * time.Minute},
		"rejected":                {created(), upstream.Rejected, v1alpha1.ReasonRejected, 10 * time.Second, 10 * time.Minute},
		"create, unavailable":     {newObject(), upstream.Transient, v1alpha1.ReasonUpstreamUnavailable, time.Second, 5 * time.Minute},
		"create, rejected":        {newObject(), upstream.Rejected, v1alpha1.ReasonRejected, 10 * time.Second, 10 * time.Minute},
		"create, not found":       {newObject(), upstream.NotFound, v1alpha1.ReasonRejected, 10 * time.Second, 10 * time.Minute},
		"create, no Secret":       {newObject(), upstream.NoCredentials, v1alpha1.ReasonCredentialsNotFound, time.Second, time.Minute},
		"verify, unavailable":     {newObject(withFinalizer, pendingSince(epoch.Add(-time.Hour))), upstream.Transient, v1alpha1.ReasonUpstreamUnavailable, time.Second, 5 * time.Minute},
		"verify, unknown outcome": {newObject(withFinalizer, pendingSince(epoch.Add(-time.Hour))), upstream.UnknownOutcome, v1alpha1.ReasonUpstreamUnavailable, time.Second, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) { testBackoff(t, test.b, test.kind, test.reason, test.first, test.longest) })
	}
}

func TestCancel_RepeatedFailurePollsTheBatch(t *testing.T) {
	r := run(created(cancelWanted), lifecycle.State{}, epoch, fails(upstream.Transient))
	for range 2 {
		if r.actionNames() != "Cancel" || r.reason() != v1alpha1.ReasonUpstreamUnavailable {
			t.Fatalf("performed %q: %s", r.actionNames(), r.reason())
		}
		r = r.again(fails(upstream.Transient), result{batch: answer(upstream.InProgress)})
	}
	if r.actionNames() != "Cancel Poll" || r.reason() != v1alpha1.ReasonCancelling || r.final.RequeueAfter != 8*time.Second {
		t.Fatalf("performed %q: %s, requeued after %s", r.actionNames(), r.reason(), r.final.RequeueAfter)
	}
	r = r.again(fails(upstream.Transient), result{batch: answer(upstream.Completed)})
	if r.reason() != v1alpha1.ReasonCompleted {
		t.Errorf("performed %q: %s", r.actionNames(), r.reason())
	}
}

func testBackoff(t *testing.T, b *object, kind upstream.ErrorKind, reason string, first, longest time.Duration) {
	t.Helper()
	r := run(b, lifecycle.State{}, epoch, fails(kind))
	want := first
	for i := range 15 {
		if r.reason() != reason || r.final.RequeueAfter != want || len(r.actions) != 1 {
			t.Fatalf("failure %d of %s: %s, requeued after %s, want %s, requeued after %s", i+1, r.actionNames(), r.reason(), r.final.RequeueAfter, reason, want)
		}
		r, want = r.again(fails(kind)), min(2*want, longest)
	}
	if want != longest {
		t.Fatalf("the longest wait, %s, was not reached", longest)
	}
	if r = r.again(); r.reason() == reason {
		t.Errorf("%s remains after a success", reason)
	}
}

// A Retry-After is honored. A long one, such as a day, is shown, and probed after five minutes.
func TestBackoff_HonorsRetryAfter(t *testing.T) {
	for _, test := range []struct{ retryAfter, want time.Duration }{
		{42 * time.Second, 42 * time.Second}, {5 * time.Minute, 5 * time.Minute}, {24 * time.Hour, 5 * time.Minute},
	} {
		retryAfter, want := test.retryAfter, test.want
		slowDown := func(kind upstream.ErrorKind) result {
			return result{err: &upstream.Error{Kind: kind, StatusCode: 503, Message: "slow down", RetryAfter: retryAfter}}
		}
		for name, r := range map[string]reconciliation{
			"poll":                    run(created(), lifecycle.State{}, epoch, slowDown(upstream.RateLimited)),
			"poll, not found":         run(created(), lifecycle.State{}, epoch, slowDown(upstream.NotFound)),
			"create":                  run(newObject(), lifecycle.State{}, epoch, slowDown(upstream.RateLimited)),
			"create, unknown outcome": run(newObject(), lifecycle.State{}, epoch, slowDown(upstream.UnknownOutcome)),
			"verify":                  run(newObject(withFinalizer, pendingSince(epoch.Add(-time.Hour))), lifecycle.State{}, epoch, slowDown(upstream.Transient)),
			"cancel":                  run(created(cancelWanted), lifecycle.State{}, epoch, slowDown(upstream.RateLimited)),
			"delete":                  run(created(deletedAt(epoch)), lifecycle.State{}, epoch, slowDown(upstream.RateLimited)),
			"failed files":            run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed, failures(1))}, slowDown(upstream.Transient)),
		} {
			want := want
			if name == "cancel" {
				want = min(want, time.Minute) // then the object is finished
			}
			if name == "failed files" { // first, the finalizer is removed
				r = r.withoutFinalizer(epoch)
			}
			if name == "create, unknown outcome" {
				want = max(want, settled.Sub(epoch))
			}
			if r.final.RequeueAfter < want || r.final.RequeueAfter > want*5/4 {
				t.Errorf("%s: requeued after %s, the server asked for %s", name, r.final.RequeueAfter, retryAfter)
			}
			if end := "until 2026-"; strings.HasPrefix(name, "poll") && retryAfter > time.Hour && r.reason() == v1alpha1.ReasonRateLimited && !strings.Contains(r.message(), end) {
				t.Errorf("%s: the message does not name the end: %s", name, r.message())
			}
		}
	}
}

func TestBackoff_QuotaExhausted(t *testing.T) {
	r := run(created(), lifecycle.State{}, epoch, result{err: &upstream.Error{Kind: upstream.RateLimited, Code: "insufficient_quota", Message: "you exceeded your quota"}})
	if r.reason() != v1alpha1.ReasonRateLimited || !strings.Contains(r.message(), "Add credits") || !strings.Contains(r.message(), "you exceeded your quota") {
		t.Errorf("%s: %s", r.reason(), r.message())
	}
}

// TestPoll_NotFoundAfterRecreation requires that the 404 for a batch that was created again is not believed at
// once, though the object's first status is old: the process that created the batch crashed, so nothing shows
// its age.
func TestPoll_NotFoundAfterRecreation(t *testing.T) {
	lost := run(newObject(deadline(time.Minute)), lifecycle.State{}, epoch, fails(upstream.UnknownOutcome)).object
	lost.CreationTimestamp = metav1.Time{Time: epoch}
	lost.Annotations = nil
	annotated(v1alpha1.AnnotationBatchID, "batch_1")(lost)
	start := epoch.Add(90 * time.Second)
	r := run(lost, lifecycle.State{}, start, fails(upstream.NotFound))
	for r.next.Before(start.Add(config.NotFoundGrace)) {
		if r = r.again(fails(upstream.NotFound), fails(upstream.NotFound)); batch.Finished(r.object) {
			t.Fatalf("%s after the first 404: %s", r.object.Status.CompletionTime.Sub(start), r.message())
		}
	}
	for !batch.Finished(r.object) && r.next.Before(start.Add(2*time.Minute)) {
		r = r.again(fails(upstream.NotFound), fails(upstream.NotFound))
	}
	if r.reason() != v1alpha1.ReasonDeadlineExceeded || !strings.Contains(r.message(), "not found") {
		t.Errorf("after the grace period: %s: %s", r.reason(), r.message())
	}
}

func TestPoll_NotFoundNeedsGracePeriodAndRepetition(t *testing.T) {
	notFound := fails(upstream.NotFound)
	createdNow := func(b *object) { b.CreationTimestamp = metav1.Time{Time: epoch} }

	r := run(created(createdNow), lifecycle.State{}, epoch, notFound)
	want := v1alpha1.ReasonInProgress // after the first one
	for now := r.state.NextCall; now.Sub(epoch) < config.NotFoundGrace; now = r.state.NextCall {
		if r.reason() != want || r.final.RequeueAfter != config.PollMin || kstatusOf(t, r.object) != status.InProgressStatus {
			t.Fatalf("%s after the creation: %s, requeued after %s", now.Sub(epoch), r.reason(), r.final.RequeueAfter)
		}
		r, want = r.again(notFound), v1alpha1.ReasonBatchNotFound
	}
	if r = r.again(notFound); kstatusOf(t, r.object) != status.FailedStatus || r.reason() != v1alpha1.ReasonBatchNotFound || !strings.Contains(r.message(), "batch_1") || !strings.Contains(r.message(), "vs_1") {
		t.Errorf("after the grace period: %s: %s", r.reason(), r.message())
	}

	r = run(created(), lifecycle.State{}, epoch, notFound) // its status, and so its age, is lost
	for r.next.Before(epoch.Add(config.NotFoundGrace)) {
		if r = r.again(notFound); kstatusOf(t, r.object) != status.InProgressStatus {
			t.Fatalf("a batch of unknown age: %s", r.reason())
		}
	}
	if r = r.again(notFound); r.reason() != v1alpha1.ReasonBatchNotFound {
		t.Fatalf("a batch of unknown age, after the grace period: %s", r.reason())
	}

	r = run(tracked(), lifecycle.State{}, epoch, notFound)
	if r.reason() != v1alpha1.ReasonInProgress {
		t.Fatalf("after the first poll of an old batch: %s", r.reason())
	}
	if r = r.again(notFound); r.reason() != v1alpha1.ReasonBatchNotFound {
		t.Fatalf("after the second: %s", r.reason())
	}
	if restarted := run(r.object, lifecycle.State{}, epoch.Add(time.Hour), notFound); restarted.reason() != v1alpha1.ReasonBatchNotFound {
		t.Errorf("after a restart: %s", restarted.reason())
	}
	for range 10 {
		r = r.again(notFound)
	}
	if r.final.RequeueAfter != 10*time.Minute {
		t.Errorf("requeued after %s", r.final.RequeueAfter)
	}
	if r = r.again(); r.reason() != v1alpha1.ReasonInProgress {
		t.Errorf("after the batch is found: %s", r.reason())
	}
}

func TestPoll_NotFoundNotInARow(t *testing.T) {
	r := run(created(), lifecycle.State{}, epoch, fails(upstream.NotFound)).again().again(fails(upstream.NotFound))
	if r.reason() != v1alpha1.ReasonInProgress {
		t.Errorf("%s after two polls that were not in a row", r.reason())
	}
}

func TestPoll_TerminalStatus(t *testing.T) {
	for name, test := range map[string]struct {
		b      *object
		answer *upstream.Batch
		reason string
		part   string // of the message
	}{
		"completed":                    {created(), answer(upstream.Completed), "Completed", "2 of 2 files"},
		"completed, allowed failures":  {created(maxFailedFiles(1)), answer(upstream.Completed, failures(1)), "Completed", "1 failed (allowed: 1)"},
		"completed, too many failures": {created(maxFailedFiles(1)), answer(upstream.Completed, failures(2)), "FilesFailed", "2 of 2 files failed (allowed: 1)"},
		"completed before the cancel":  {created(cancelWanted, cancelAccepted), answer(upstream.Completed), "Completed", "completed before it could be cancelled"},
		"failed":                       {created(maxFailedFiles(5)), answer(upstream.Failed), "BatchFailed", "Batch failed"},
		"cancelled":                    {created(cancelWanted, cancelAccepted), answer(upstream.Cancelled), "Cancelled", "Cancelled as requested"},
		"cancelled, cancel unset":      {created(cancelAccepted), answer(upstream.Cancelled), "Cancelled", "Cancelled as requested"},
		"cancelled externally":         {created(), answer(upstream.Cancelled), "CancelledExternally", "outside this object"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(test.b, lifecycle.State{}, epoch, result{batch: test.answer}).withoutFinalizer(epoch)
			if r.reason() != test.reason || !strings.Contains(r.message(), test.part) {
				t.Errorf("%s: %s", r.reason(), r.message())
			}
			if r.final.RequeueAfter != 0 || r.object.Status.CompletionTime == nil || r.object.Status.Status != string(test.answer.Status) {
				t.Errorf("requeued after %s; status %+v", r.final.RequeueAfter, r.object.Status)
			}
			later := run(r.object, lifecycle.State{}, epoch.Add(time.Hour))
			if later.actionNames() != "" || !cmp.Equal(later.object.Status, r.object.Status) || len(later.events) > 0 {
				t.Errorf("performed %q an hour later: %s", later.actionNames(), cmp.Diff(r.object.Status, later.object.Status))
			}
		})
	}
}

func TestFinished_MaxFailedFilesEdited(t *testing.T) {
	r := run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed, failures(1))}, result{files: someFailedFiles()}).withoutFinalizer(epoch)
	if r.reason() != v1alpha1.ReasonFilesFailed || !strings.Contains(r.message(), "see status.failedFiles") {
		t.Fatalf("%s: %s", r.reason(), r.message())
	}
	for limit, want := range map[int32]string{1: "Completed", 0: "FilesFailed"} {
		maxFailedFiles(limit)(r.object)
		edited(r.object)
		r = run(r.object, lifecycle.State{}, epoch.Add(time.Hour))
		if r.actionNames() != "" || r.reason() != want || len(r.object.Status.FailedFiles) == 0 {
			t.Errorf("with %d failures allowed: performed %q, %s", limit, r.actionNames(), r.reason())
		}
	}
}

func TestFinished_CancelAfterwards(t *testing.T) {
	r := run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)})
	cancelWanted(r.object)
	edited(r.object)
	if r = run(r.object, lifecycle.State{}, epoch); r.reason() != v1alpha1.ReasonCancelledExternally || r.actionNames() != "" {
		t.Errorf("performed %q: %s", r.actionNames(), r.reason())
	}
}

func TestFailedFiles_Listed(t *testing.T) {
	oneFailed := result{batch: answer(upstream.InProgress, failures(1))}
	completed := result{batch: answer(upstream.Completed, failures(1))}
	r := run(created(), lifecycle.State{}, epoch, oneFailed, result{files: []upstream.FailedFile{{FileID: "file-b", Code: "server_error", Message: "broken"}}})
	if r.actionNames() != "Poll ListFailedFiles" {
		t.Fatalf("performed %q", r.actionNames())
	}
	want := []v1alpha1.FailedFile{{FileID: "file-b", Code: "server_error", Message: "broken"}}
	if diff := cmp.Diff(want, r.object.Status.FailedFiles); diff != "" {
		t.Errorf("failed files (-want +got):\n%s", diff)
	}
	if again := r.again(oneFailed); again.actionNames() != "Poll" {
		t.Errorf("performed %q, though the failed file is listed", again.actionNames())
	}
	if end := r.again(completed); end.actionNames() != "Poll" || len(end.object.Status.FailedFiles) != 1 {
		t.Errorf("performed %q after the completion, with %v listed", end.actionNames(), end.object.Status.FailedFiles)
	}
}

// TestFailedFiles_ListedAgain requires that a list that fails does not delay the end of the object, and that
// it is asked for again for an hour. A refusal is not.
func TestFailedFiles_ListedAgain(t *testing.T) {
	completed := result{batch: answer(upstream.Completed, failures(1))}
	for _, kind := range []upstream.ErrorKind{upstream.Transient, upstream.RateLimited, upstream.Unauthorized, upstream.NoCredentials} {
		r := run(created(), lifecycle.State{}, epoch, completed, fails(kind))
		if r.reason() != v1alpha1.ReasonFilesFailed || strings.Contains(r.message(), "see status.failedFiles") || !batch.Finished(r.object) {
			t.Fatalf("%s: %s: %s", kind, r.reason(), r.message())
		}
		r = r.withoutFinalizer(r.next)
		if early := run(r.object, r.state, epoch.Add(100*time.Millisecond)); early.actionNames() != "" || !early.next.Equal(r.next) {
			t.Errorf("%s: performed %q before the next attempt is due, next at %s", kind, early.actionNames(), early.next)
		}
		listed := r.again(result{files: []upstream.FailedFile{{FileID: "file-b"}}})
		if listed.actionNames() != "ListFailedFiles" || len(listed.object.Status.FailedFiles) != 1 || !listed.next.IsZero() || !strings.Contains(listed.message(), "see status.failedFiles") {
			t.Errorf("%s: performed %q: %+v", kind, listed.actionNames(), listed.object.Status)
		}
		if held := r.again(result{admission: lifecycle.BackedOff}); held.next.IsZero() || held.reason() != v1alpha1.ReasonFilesFailed || held.again().actionNames() != "ListFailedFiles" {
			t.Errorf("%s: %s after a list that had to wait, next at %s", kind, held.reason(), held.next)
		}
		attempts := 0
		for ; !r.next.IsZero(); attempts++ {
			before := r.object.Status
			if r = r.again(fails(kind)); !reflect.DeepEqual(before, r.object.Status) {
				t.Fatalf("%s: the status changed", kind)
			}
		}
		if attempts < 10 || attempts > 20 {
			t.Errorf("%s: %d attempts", kind, attempts)
		}
	}
	if r := run(created(), lifecycle.State{}, epoch, completed, fails(upstream.Rejected)); !r.withoutFinalizer(r.next).next.IsZero() {
		t.Error("a refused list is asked for again")
	}
	restarted := run(created(), lifecycle.State{}, epoch, completed, fails(upstream.Transient))
	if restarted = run(restarted.object, lifecycle.State{}, epoch.Add(time.Second)); strings.Contains(restarted.actionNames(), "ListFailedFiles") {
		t.Errorf("performed %q after a restart", restarted.actionNames())
	}
}

// TestFailedFiles_PartialList checks that the files of a list that ended with an error are kept, beside those
// that are known already.
func TestFailedFiles_PartialList(t *testing.T) {
	file := func(ids ...string) (files []upstream.FailedFile) {
		for _, id := range ids {
			files = append(files, upstream.FailedFile{FileID: id, Code: "server_error"})
		}
		return files
	}
	three := result{batch: answer(upstream.InProgress, failures(3))}
	partial := fails(upstream.Transient)
	partial.files = file("file-b")
	r := run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.InProgress, failures(1))}, result{files: file("file-c")})
	r = r.again(three, partial)
	names := func() (names string) {
		for _, f := range r.object.Status.FailedFiles {
			names += f.FileID + " "
		}
		return names
	}
	if got := names(); got != "file-b file-c " {
		t.Errorf("after a list that ended with an error: %s", got)
	}
	r = r.again(result{batch: answer(upstream.Completed, failures(3))}, result{files: file("file-c", "file-a", "file-b")})
	if got := names(); got != "file-a file-b file-c " {
		t.Errorf("after a whole list: %s", got)
	}
}

func TestStatus_ValuesAreBounded(t *testing.T) {
	var files []upstream.FailedFile
	for i := range 150 {
		files = append(files, upstream.FailedFile{FileID: fmt.Sprintf("file-%03d", 7*i%150), Code: strings.Repeat("c", 200), Message: strings.Repeat("é", 2000)})
	}
	invalid := answer(upstream.Status(strings.Repeat("ü", 500)+"\xff"), failures(1<<40))
	invalid.FileCounts.InProgress = -1
	r := run(created(), lifecycle.State{}, epoch, result{batch: invalid}, result{files: files})
	if err := checkStatus(r.object, r.object.Status); err != nil {
		t.Error(err)
	}
	got := r.object.Status
	if len(got.Status) != 256 || got.FileCounts.Failed != 1<<31-1 || got.FileCounts.InProgress != 0 || len(got.FailedFiles) != 100 {
		t.Errorf("%d bytes of status, counts %+v, %d failed files", len(got.Status), *got.FileCounts, len(got.FailedFiles))
	}
}

func TestStatus_CreatedAtIsStable(t *testing.T) {
	r := run(created(), lifecycle.State{}, epoch)
	r = r.again(result{batch: answer(upstream.InProgress, func(a *upstream.Batch) { a.CreatedAt = a.CreatedAt.Add(time.Second) })})
	if got := r.object.Status.CreatedAt.Time; !got.Equal(epoch.Add(-time.Hour)) {
		t.Errorf("createdAt changed to %s", got)
	}
	r = run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.InProgress, func(a *upstream.Batch) { a.CreatedAt = time.Unix(0, 0) })})
	if got := r.object.Status.CreatedAt; got != nil {
		t.Errorf("createdAt is %s, which the API did not return", got)
	}
}

func TestEvents_OnlyForNewReasons(t *testing.T) {
	r := run(created(), lifecycle.State{}, epoch)
	if len(r.events) != 1 || r.events[0].Reason != v1alpha1.ReasonInProgress || r.events[0].Warning {
		t.Errorf("Events %+v", r.events)
	}
	if r = r.again(); len(r.events) != 0 {
		t.Errorf("Events %+v for an unchanged reason", r.events)
	}
	if r = r.again(fails(upstream.Transient)); r.warning(v1alpha1.ReasonUpstreamUnavailable) == "" {
		t.Errorf("Events %+v", r.events)
	}
}

// TestFilesMissing requires that a completed batch has as many files as the spec, each counted once, and
// an adopted one as many as the API reports.
func TestFilesMissing(t *testing.T) {
	files := func(ids ...string) change { return func(b *object) { b.Spec.FileIDs = ids } }
	settings := func(b *object) {
		b.Spec.FileIDs, b.Spec.Files = nil, []v1alpha1.File{{FileID: "file-a"}, {FileID: "file-b"}}
	}
	for name, test := range map[string]struct {
		b      *object
		counts upstream.FileCounts
		want   string
		parts  []string
	}{
		"files ignored":       {newObject(settings), upstream.FileCounts{}, "FilesMissing", []string{"0 of 2", "batch of 0", "spec.fileIDs"}},
		"one ignored":         {newObject(), upstream.FileCounts{Completed: 1, Total: 1}, "FilesMissing", []string{"1 of 2", "batch of 1"}},
		"one cancelled":       {newObject(), upstream.FileCounts{Completed: 1, Cancelled: 1, Total: 2}, "FilesMissing", []string{"1 of 2", "1 were cancelled"}},
		"missing and failed":  {newObject(files("a", "b", "c"), maxFailedFiles(5)), upstream.FileCounts{Completed: 1, Failed: 1, Total: 2}, "FilesMissing", []string{"1 of 3", "1 failed", "batch of 2"}},
		"failed":              {newObject(), upstream.FileCounts{Completed: 1, Failed: 1, Total: 2}, "FilesFailed", []string{"1 of 2"}},
		"failed, allowed":     {newObject(maxFailedFiles(1)), upstream.FileCounts{Completed: 1, Failed: 1, Total: 2}, "Completed", nil},
		"a repeated file":     {newObject(files("a", "b", "a", "b")), upstream.FileCounts{Completed: 2, Total: 2}, "Completed", nil},
		"repeated, one short": {newObject(files("a", "b", "a", "c")), upstream.FileCounts{Completed: 2, Total: 2}, "FilesMissing", []string{"2 of 3"}},
		"adopted":             {newObject(adopted), upstream.FileCounts{Completed: 7, Total: 7}, "Completed", nil},
		"adopted, empty":      {newObject(adopted), upstream.FileCounts{}, "Completed", nil},
		"adopted, cancelled":  {newObject(adopted), upstream.FileCounts{Completed: 6, Cancelled: 1, Total: 7}, "FilesMissing", []string{"6 of 7"}},
		"more than the spec":  {newObject(), upstream.FileCounts{Completed: 4, Total: 4}, "Completed", nil},
	} {
		for _, dropped := range []bool{false, true} {
			b := withChange(test.b, annotated(v1alpha1.AnnotationBatchID, "batch_1"), deletionPolicy("Orphan"))
			if dropped {
				batch.DropFiles(b)
			}
			r := run(b, lifecycle.State{}, epoch, result{batch: &upstream.Batch{ID: "batch_1", Status: upstream.Completed, FileCounts: test.counts}})
			if r.reason() != test.want {
				t.Errorf("%s: %s: %s, files dropped: %t", name, r.reason(), r.message(), dropped)
			}
			for _, part := range test.parts {
				if !strings.Contains(r.message(), part) {
					t.Errorf("%s: %q is not in %q", name, part, r.message())
				}
			}
			// An edit judges the failed files again, and not the missing ones: their number is not in the cache.
			delete(r.object.Annotations, batch.AnnotationFiles)
			batch.DropFiles(r.object)
			again := run(withChange(r.object, maxFailedFiles(9), edited), lifecycle.State{}, epoch.Add(time.Minute))
			if missing := again.reason() == v1alpha1.ReasonFilesMissing; missing != (test.want == v1alpha1.ReasonFilesMissing) || again.reason() == v1alpha1.ReasonFilesFailed {
				t.Errorf("%s: %s becomes %s with maxFailedFiles 9", name, test.want, again.reason())
			}
			if missing := again.reason() == v1alpha1.ReasonFilesMissing; missing && again.message() != r.message() {
				t.Errorf("%s: the message becomes %q", name, again.message())
			}
		}
	}
}

// TestFilesMissing_Messages requires that the message names what there is, and nothing else.
func TestFilesMissing_Messages(t *testing.T) {
	const ignored = "Servers that ignore spec.files do so: create a new object with spec.fileIDs instead"
	for counts, want := range map[upstream.FileCounts]string{
		{Completed: 1, Total: 1}:               "The batch completed, but 1 of 2 files are in the vector store; the server created a batch of 1. " + ignored,
		{Completed: 1, Total: 2}:               "The batch completed, but 1 of 2 files are in the vector store",
		{Completed: 1, Total: 3}:               "The batch completed, but 1 of 2 files are in the vector store",
		{Completed: 1, Cancelled: 1, Total: 2}: "The batch completed, but 1 of 2 files are in the vector store; 1 were cancelled",
		{Failed: 1, Total: 2}:                  "The batch completed, but 0 of 2 files are in the vector store; 1 failed",
	} {
		r := run(created(), lifecycle.State{}, epoch, result{batch: &upstream.Batch{ID: "batch_1", Status: upstream.Completed, FileCounts: counts}})
		if r.reason() != v1alpha1.ReasonFilesMissing || r.message() != want {
			t.Errorf("%+v: %s: %q, want %q", counts, r.reason(), r.message(), want)
		}
	}
}

// TestPoll_CompletedWithFilesInProgress: the API is asked again for ten minutes without a change, then the
// list of the batch's files decides, or what the API says.
func TestPoll_CompletedWithFilesInProgress(t *testing.T) {
	unsettled := result{batch: answer(upstream.Completed, inProgress(1, 1, 2))}
	for name, test := range map[string]struct {
		end    []result
		reason string
		part   string
	}{
		"settled":          {[]result{{batch: answer(upstream.Completed)}}, "Completed", "2 of 2"},
		"listed":           {[]result{unsettled, {listed: &upstream.FileCounts{Completed: 2, Total: 2}}}, "Completed", "2 of 2"},
		"listed in part":   {[]result{unsettled, {listed: &upstream.FileCounts{Completed: 1, Total: 1}}}, "FilesMissing", "does not report the result of 1"},
		"listed otherwise": {[]result{unsettled, {listed: &upstream.FileCounts{Completed: 1, Failed: 1, Total: 2}}, {files: []upstream.FailedFile{{FileID: "file-a"}}}}, "FilesFailed", "1 of 2 files failed"},
		"no list":          {[]result{unsettled, refused(upstream.Rejected, 405)}, "FilesMissing", "does not report the result of 1"},
	} {
		r := run(created(), lifecycle.State{}, epoch, unsettled)
		if name == "settled" {
			r = r.again(test.end...)
		}
		for r.next.Sub(epoch) < 10*time.Minute && name != "settled" {
			if r.reason() != v1alpha1.ReasonInProgress || batch.Finished(r.object) || strings.Contains(r.actionNames(), "CountFiles") {
				t.Fatalf("%s: %s after %s: %s", name, r.actionNames(), r.next.Sub(epoch), r.reason())
			}
			r = r.again(unsettled)
		}
		if name != "settled" {
			if r = r.again(test.end...); batch.Finished(r.object) && !strings.HasPrefix(r.actionNames(), "Poll CountFiles") {
				t.Errorf("%s: performed %q", name, r.actionNames())
			}
		}
		if r.reason() != test.reason || !strings.Contains(r.message(), test.part) {
			t.Errorf("%s: performed %q: %s: %s", name, r.actionNames(), r.reason(), r.message())
		}
	}
}

// TestPoll_CancelledCountsCorrected: the list of a cancelled batch's files corrects counts that lag.
func TestPoll_CancelledCountsCorrected(t *testing.T) {
	lagging := result{batch: answer(upstream.Cancelled, inProgress(25, 0, 25))}
	for name, test := range map[string]struct {
		listed result
		want   v1alpha1.FileCounts
		part   string
	}{
		"attached files":    {result{listed: &upstream.FileCounts{Completed: 6, Total: 6}}, v1alpha1.FileCounts{Completed: 6, Cancelled: 19, Total: 25}, "6 of 25 files are in the vector store"},
		"all files":         {result{listed: &upstream.FileCounts{Completed: 6, Cancelled: 19, Total: 25}}, v1alpha1.FileCounts{Completed: 6, Cancelled: 19, Total: 25}, "6 of 25"},
		"still in the list": {result{listed: &upstream.FileCounts{Completed: 6, InProgress: 19, Total: 25}}, v1alpha1.FileCounts{Completed: 6, InProgress: 19, Total: 25}, "does not report the result of 19"},
		"no list":           {refused(upstream.NotFound, 404), v1alpha1.FileCounts{InProgress: 25, Total: 25}, "does not report the result of 25"},
	} {
		r := run(tracked(cancelWanted, cancelAccepted), lifecycle.State{}, epoch, lagging, test.listed)
		if r.actionNames() != "Poll CountFiles" || r.reason() != v1alpha1.ReasonCancelled || *r.object.Status.FileCounts != test.want || !strings.Contains(r.message(), test.part) {
			t.Errorf("%s: performed %q: %s: %s: %+v", name, r.actionNames(), r.reason(), r.message(), *r.object.Status.FileCounts)
		}
	}
}

// TestPoll_CountAttempts: if the files of a finished batch cannot be counted five times in a row, the counts that
// the API reports remain.
func TestPoll_CountAttempts(t *testing.T) {
	lagging := result{batch: answer(upstream.Cancelled, inProgress(25, 0, 25))}
	r := run(tracked(cancelWanted, cancelAccepted), lifecycle.State{}, epoch, lagging, fails(upstream.Transient))
	for attempt := 1; attempt < 5; attempt++ {
		if r.actionNames() != "Poll CountFiles" || r.reason() != v1alpha1.ReasonUpstreamUnavailable {
			t.Fatalf("attempt %d: performed %q: %s", attempt, r.actionNames(), r.reason())
		}
		r = r.again(lagging, fails(upstream.Transient))
	}
	if r.actionNames() != "Poll CountFiles" || r.reason() != v1alpha1.ReasonCancelled || r.object.Status.FileCounts.InProgress != 25 {
		t.Errorf("the last attempt: performed %q: %s: %+v", r.actionNames(), r.reason(), r.object.Status.FileCounts)
	}
}

var otherObject = result{err: &upstream.Error{Kind: upstream.Transient, StatusCode: 200, OtherObject: true, Message: "its ID is that of the vector store"}}

// TestPoll_OtherObject: if the API returns another object for the batch twice in a row, the list of the
// batch's files is read instead, to the end.
func TestPoll_OtherObject(t *testing.T) {
	r := run(tracked(), lifecycle.State{}, epoch, otherObject)
	if r.actionNames() != "Poll" || r.reason() != v1alpha1.ReasonInProgress {
		t.Fatalf("performed %q: %s", r.actionNames(), r.reason())
	}
	if again := r.again().again(otherObject); again.actionNames() != "Poll" {
		t.Errorf("performed %q, though not twice in a row", again.actionNames())
	}
	r = r.again(otherObject, result{listed: &upstream.FileCounts{Completed: 1, InProgress: 1, Total: 2}})
	if r.actionNames() != "Poll CountFiles" || r.reason() != v1alpha1.ReasonInProgress || !strings.Contains(r.message(), "list of its files") || r.object.Status.FileCounts.Completed != 1 {
		t.Fatalf("performed %q: %s: %s: %+v", r.actionNames(), r.reason(), r.message(), r.object.Status.FileCounts)
	}
	for name, test := range map[string]struct {
		listed upstream.FileCounts
		b      change
		want   string
	}{
		"completed":     {upstream.FileCounts{Completed: 2, Total: 2}, func(*object) {}, "Completed"},
		"failed":        {upstream.FileCounts{Completed: 1, Failed: 1, Total: 2}, func(*object) {}, "FilesFailed"},
		"cancelled":     {upstream.FileCounts{Completed: 1, Cancelled: 1, Total: 2}, func(*object) {}, "CancelledExternally"},
		"as requested":  {upstream.FileCounts{Completed: 1, Cancelled: 1, Total: 2}, cancelAccepted, "Cancelled"},
		"not all files": {upstream.FileCounts{Completed: 1, Total: 1}, func(*object) {}, "InProgress"},
		"too late":      {upstream.FileCounts{Completed: 2, Total: 2}, cancelAccepted, "Completed"},
		"stopping":      {upstream.FileCounts{Completed: 1, Total: 1}, cancelAccepted, "Cancelling"},
		"empty list":    {upstream.FileCounts{}, func(*object) {}, "InProgress"},
	} {
		end := run(withChange(r.object, test.b), r.state, r.next, otherObject, result{listed: &test.listed}, result{files: []upstream.FailedFile{{FileID: "file-a"}}})
		if end.reason() != test.want || test.want != "Cancelling" && !strings.Contains(end.message(), "list of its files") {
			t.Errorf("%s: performed %q: %s: %s", name, end.actionNames(), end.reason(), end.message())
		}
		if got := *end.object.Status.FileCounts; got.Total != 2 || got.InProgress != 2-got.Completed-got.Failed-got.Cancelled {
			t.Errorf("%s: the counts are %+v", name, got)
		}
		if batch.Finished(end.object) {
			if after := run(withChange(end.object, edited), lifecycle.State{}, end.next); after.message() != end.message() {
				t.Errorf("%s: the message becomes %q", name, after.message())
			}
		}
	}
	unknown := run(newObject(adopted), lifecycle.State{}, epoch, otherObject).again(otherObject, result{listed: &upstream.FileCounts{}})
	if unknown.reason() != v1alpha1.ReasonInProgress {
		t.Errorf("%s of an adopted batch whose list is empty: %s", unknown.reason(), unknown.message())
	}
	if back := r.again(); back.actionNames() != "Poll" || strings.Contains(back.message(), "list of its files") {
		t.Errorf("performed %q after the API returned the batch: %s", back.actionNames(), back.message())
	}
	gone := r.again(otherObject, refused(upstream.NotFound, 404)).again(otherObject, refused(upstream.NotFound, 404))
	if gone.reason() != v1alpha1.ReasonBatchNotFound {
		t.Errorf("%s, though the list is gone", gone.reason())
	}
	if failing := r.again(otherObject, refused(upstream.Transient, 503)); failing.reason() != v1alpha1.ReasonUpstreamUnavailable {
		t.Errorf("%s, though the list fails", failing.reason())
	}
}

// TestPoll_OtherObjectTimesOut: of files that are never listed, nothing is known. A list that has not changed for ten
// minutes is the result, unless it is empty.
func TestPoll_OtherObjectTimesOut(t *testing.T) {
	none, partly := result{listed: &upstream.FileCounts{}}, result{listed: &upstream.FileCounts{Completed: 1, Total: 1}}
	r := run(tracked(), lifecycle.State{}, epoch, otherObject).again(otherObject, result{listed: &upstream.FileCounts{InProgress: 2, Total: 2}})
	repeated := func(list result) reconciliation {
		r := r.again(otherObject, list)
		for since := r.next; r.next.Sub(since) < 11*time.Minute && !batch.Finished(r.object); {
			r = r.again(otherObject, list)
		}
		return r
	}
	for name, test := range map[string]struct {
		r    reconciliation
		want string
	}{
		"never has all files":      {repeated(partly), v1alpha1.ReasonFilesMissing},
		"is empty":                 {repeated(none), v1alpha1.ReasonInProgress},
		"becomes empty":            {withTimedOutCounts(r).again(otherObject, none), v1alpha1.ReasonInProgress},
		"begins after ten minutes": {repeated(none).again(otherObject, partly), v1alpha1.ReasonInProgress},
	} {
		if test.r.reason() != test.want {
			t.Errorf("a list that %s: %s: %s", name, test.r.reason(), test.r.message())
		}
	}
	stopped := run(withChange(r.object, cancelAccepted), withTimedOutCounts(r).state, r.next, otherObject, partly)
	if stopped.reason() != v1alpha1.ReasonCancelled || stopped.object.Status.FileCounts.Cancelled != 1 {
		t.Errorf("%s of a cancelled batch whose list never has all files: %+v", stopped.reason(), stopped.object.Status.FileCounts)
	}
}

// withTimedOutCounts returns a reconciliation after which the numbers have been the same for ten minutes.
func withTimedOutCounts(r reconciliation) reconciliation {
	r.state.UnsettledSince = r.next.Add(-10 * time.Minute)
	return r
}

// TestCancel_OtherObject: a cancel that the API accepted counts, whatever object it returned.
func TestCancel_OtherObject(t *testing.T) {
	r := run(tracked(cancelWanted), lifecycle.State{}, epoch, result{}, otherObject)
	if r.actionNames() != "Cancel Poll" || r.reason() != v1alpha1.ReasonCancelling || r.object.Status.CancelRequestTime == nil {
		t.Fatalf("performed %q: %s: %+v", r.actionNames(), r.reason(), r.object.Status.CancelRequestTime)
	}
	r = r.again(otherObject, result{listed: &upstream.FileCounts{Cancelled: 2, Total: 2}})
	if r.actionNames() != "Poll CountFiles" || r.reason() != v1alpha1.ReasonCancelled {
		t.Errorf("performed %q: %s: %s", r.actionNames(), r.reason(), r.message())
	}
}

// TestRefused_JustAfterAChange: a refusal is final only if the object, its spec and its Secret have been
// the same for a while. Others are final at once.
func TestRefused_JustAfterAChange(t *testing.T) {
	young := objectCreatedAt(epoch.Add(-config.NotFoundGrace + 1))
	old := objectCreatedAt(epoch.Add(-config.NotFoundGrace))
	observed := func(b *object) { b.Status.ObservedGeneration = b.Generation }
	for name, test := range map[string]struct {
		b      *object
		result result
		fresh  bool
		reason string
	}{
		"young, 401":              {newObject(young), refused(upstream.Unauthorized, 401), true, "CredentialsRejected"},
		"young, 403":              {newObject(young), refused(upstream.Unauthorized, 403), true, "CredentialsRejected"},
		"young, 404":              {newObject(young), refused(upstream.NotFound, 404), true, "Rejected"},
		"young, 400 not found":    {newObject(young), refused(upstream.NotFound, 400), true, "Rejected"},
		"young, 400":              {newObject(young), refused(upstream.Rejected, 400), false, "Rejected"},
		"young, 422":              {newObject(young), refused(upstream.Rejected, 422), false, "Rejected"},
		"young, invalid Secret":   {newObject(young), fails(upstream.Unauthorized), false, "CredentialsRejected"},
		"young, endpoint":         {newObject(young), fails(upstream.NotAllowed), false, "EndpointNotAllowed"},
		"old, 401":                {newObject(old), refused(upstream.Unauthorized, 401), false, "CredentialsRejected"},
		"old, 404":                {newObject(old), refused(upstream.NotFound, 404), false, "Rejected"},
		"edited, 401":             {newObject(old, observed, edited), refused(upstream.Unauthorized, 401), true, "CredentialsRejected"},
		"never reconciled, 401":   {newObject(old), refused(upstream.Unauthorized, 401), false, "CredentialsRejected"},
		"no status, 401":          {newObject(old, func(b *object) { b.Status.ObservedGeneration = 0 }), refused(upstream.Unauthorized, 401), false, "CredentialsRejected"},
		"adopted, young, 404":     {newObject(adopted, young), refused(upstream.NotFound, 404), true, "BatchNotFound"},
		"adopted, old, first 404": {newObject(adopted, old), refused(upstream.NotFound, 404), true, "BatchNotFound"},
		"tracked, old, 401":       {tracked(old), refused(upstream.Unauthorized, 401), false, "CredentialsRejected"},
	} {
		r := run(test.b, lifecycle.State{}, epoch, test.result)
		want := status.FailedStatus
		if test.fresh {
			want = status.InProgressStatus
		}
		if r.reason() != test.reason || kstatusOf(t, r.object) != want {
			t.Errorf("%s: %s, kstatus %s", name, r.reason(), kstatusOf(t, r.object))
		}
		if !test.fresh {
			continue
		}
		if r.next.Sub(epoch) != config.PollMin || !r.events[len(r.events)-1].Warning {
			t.Errorf("%s: repeated after %s, Events %+v", name, r.next.Sub(epoch), r.events)
		}
		// Nothing is judged while no call is due.
		if early := run(r.object, r.state, epoch.Add(time.Second)); early.actionNames() != "" || kstatusOf(t, early.object) != status.InProgressStatus {
			t.Errorf("%s: performed %q, kstatus %s", name, early.actionNames(), kstatusOf(t, early.object))
		}
		late := epoch.Add(config.NotFoundGrace)
		final := run(r.object, r.state, late, test.result)
		if final.reason() != test.reason || kstatusOf(t, final.object) != status.FailedStatus || final.warning(test.reason) == "" {
			t.Errorf("%s: %s after the grace period, kstatus %s, Events %+v", name, final.reason(), kstatusOf(t, final.object), final.events)
		}
	}
}

// TestRefused_JustAfterANewSecret: the same for the Secret.
func TestRefused_JustAfterANewSecret(t *testing.T) {
	for _, test := range []struct {
		age  time.Duration
		want status.Status
	}{{0, status.InProgressStatus}, {config.NotFoundGrace - 1, status.InProgressStatus}, {config.NotFoundGrace, status.FailedStatus}, {time.Hour, status.FailedStatus}} {
		b, observed := tracked(), lifecycle.Observed{}
		observed.Record(lifecycle.Poll, lifecycle.Result{
			Err: refused(upstream.Unauthorized, 401).err, CredentialsChangedAt: epoch.Add(-test.age),
		})
		b.Status = config.Decide(b, observed, epoch).Status
		if got := kstatusOf(t, b); got != test.want {
			t.Errorf("%s after the change: %s, want %s", test.age, got, test.want)
		}
	}
}

// TestNotFound_WrongClock: an API whose clock is ahead does not make a 404 unbelievable.
func TestNotFound_WrongClock(t *testing.T) {
	b := tracked(func(b *object) { b.Status.CreatedAt.Time = epoch.Add(24 * time.Hour) })
	r := run(b, lifecycle.State{}, epoch, fails(upstream.NotFound)).again(fails(upstream.NotFound))
	if r.reason() != v1alpha1.ReasonBatchNotFound {
		t.Errorf("%s after two 404s", r.reason())
	}
}
