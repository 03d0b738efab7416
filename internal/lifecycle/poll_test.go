// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func TestPoll_IntervalGrowsWithoutProgress(t *testing.T) {
	p := run(created(), lifecycle.State{}, epoch)
	var waits []time.Duration
	for range 12 {
		waits = append(waits, p.final.RequeueAfter)
		p = p.again()
	}
	want := []time.Duration{
		2 * time.Second, 3 * time.Second, 4500 * time.Millisecond, 6750 * time.Millisecond,
		10125 * time.Millisecond, 15187500 * time.Microsecond, 22781250 * time.Microsecond, 34171875 * time.Microsecond,
		51257812500, time.Minute, time.Minute, time.Minute,
	}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("the waits between polls (-want +got):\n%s", diff)
	}
}

func TestPoll_IntervalResetsOnProgress(t *testing.T) {
	slow := lifecycle.State{Backoff: lifecycle.Backoff{PollInterval: time.Minute}}
	for name, test := range map[string]struct {
		answer *upstream.Batch
		want   time.Duration
	}{
		"nothing moved":   {answer(upstream.InProgress), time.Minute},
		"a count moved":   {answer(upstream.InProgress, func(a *upstream.Batch) { a.FileCounts.Completed++ }), 2 * time.Second},
		"the state moved": {answer(wrongStatus, func(a *upstream.Batch) { a.FileCounts.InProgress = 2 }), 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(tracked(), slow, epoch, result{batch: test.answer}).final.RequeueAfter; got != test.want {
				t.Errorf("looks again after %s, want %s", got, test.want)
			}
		})
	}
	t.Run("the memory was lost", func(t *testing.T) {
		if got := run(tracked(), lifecycle.State{}, epoch).final.RequeueAfter; got != 2*time.Second {
			t.Errorf("looks again after %s", got)
		}
	})
}

func TestPoll_IntervalAfterCancel(t *testing.T) {
	p := run(tracked(wantsCancel, edited), lifecycle.State{Backoff: lifecycle.Backoff{PollInterval: time.Minute}}, epoch)
	if p.performed() != "Cancel" || p.final.RequeueAfter != 2*time.Second {
		t.Fatalf("did %q, and looks again after %s", p.performed(), p.final.RequeueAfter)
	}
	for range 8 {
		p = p.again()
	}
	if p.final.RequeueAfter != 10*time.Second {
		t.Errorf("looks again after %s while a cancel is waited for, want 10s", p.final.RequeueAfter)
	}
}

func TestPoll_HonorsPollAfter(t *testing.T) {
	for _, test := range [][3]time.Duration{
		{time.Second, 2 * time.Second, 1600 * time.Millisecond},
		{5 * time.Second, 5 * time.Second, 5 * time.Second},
		{10 * time.Minute, 10 * time.Minute, 10 * time.Minute},
	} {
		asked, want, earliest := test[0], test[1], test[2]
		observed := lifecycle.Observed{Actions: []lifecycle.Action{lifecycle.Poll}, Batch: answer(upstream.InProgress, pollAfter(asked))}
		if d := config.Decide(created(), observed, epoch); d.RequeueAfter != want {
			t.Errorf("asked for %s: requeued after %s, want %s", asked, d.RequeueAfter, want)
		}
		observed.Jitter = -0.2
		if d := config.Decide(created(), observed, epoch); d.RequeueAfter != earliest {
			t.Errorf("asked for %s, with jitter: requeued after %s, want %s", asked, d.RequeueAfter, earliest)
		}
	}
}

func TestPoll_BeforeDue(t *testing.T) {
	p := run(created(), lifecycle.State{}, epoch)
	early := run(p.object, p.state, epoch.Add(500*time.Millisecond))
	if early.performed() != "" || early.final.RequeueAfter != 1500*time.Millisecond || len(early.events) > 0 {
		t.Errorf("did %q, told %v, and looks again after %s", early.performed(), early.events, early.final.RequeueAfter)
	}
	if edited := run(withEdit(p.object), p.state, epoch.Add(500*time.Millisecond)); edited.performed() != "Poll" {
		t.Errorf("did %q after the spec was edited", edited.performed())
	}
}

func withEdit(b *object) *object {
	b = b.DeepCopy()
	edited(b)
	return b
}

func TestBackoff(t *testing.T) {
	for name, test := range map[string]struct {
		b              *object
		kind           upstream.ErrorKind
		reason         string
		first, longest time.Duration
	}{
		"unavailable":              {created(), upstream.Transient, v1alpha1.ReasonUpstreamUnavailable, time.Second, 5 * time.Minute},
		"lost answer":              {created(), upstream.UnknownOutcome, v1alpha1.ReasonUpstreamUnavailable, time.Second, 5 * time.Minute},
		"rate limited":             {created(), upstream.RateLimited, v1alpha1.ReasonRateLimited, time.Second, 5 * time.Minute},
		"no Secret":                {created(), upstream.NoCredentials, v1alpha1.ReasonCredentialsNotFound, time.Second, time.Minute},
		"key refused":              {created(), upstream.Unauthorized, v1alpha1.ReasonCredentialsRejected, 10 * time.Second, 10 * time.Minute},
		"refused":                  {created(), upstream.Rejected, v1alpha1.ReasonRejected, 10 * time.Second, 10 * time.Minute},
		"create, unavailable":      {newObject(), upstream.Transient, v1alpha1.ReasonUpstreamUnavailable, time.Second, 5 * time.Minute},
		"create, refused":          {newObject(), upstream.Rejected, v1alpha1.ReasonRejected, 10 * time.Second, 10 * time.Minute},
		"create, no store":         {newObject(), upstream.NotFound, v1alpha1.ReasonRejected, 10 * time.Second, 10 * time.Minute},
		"create, no Secret":        {newObject(), upstream.NoCredentials, v1alpha1.ReasonCredentialsNotFound, time.Second, time.Minute},
		"cancel, rate limited":     {created(wantsCancel), upstream.RateLimited, v1alpha1.ReasonRateLimited, time.Second, 5 * time.Minute},
		"probe, unavailable":       {newObject(hasFinalizer, pendingSince(epoch.Add(-time.Hour))), upstream.Transient, v1alpha1.ReasonUpstreamUnavailable, time.Second, 5 * time.Minute},
		"probe, unknown is no end": {newObject(hasFinalizer, pendingSince(epoch.Add(-time.Hour))), upstream.UnknownOutcome, v1alpha1.ReasonUpstreamUnavailable, time.Second, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) { testBackoff(t, test.b, test.kind, test.reason, test.first, test.longest) })
	}
}

func TestCancel_RepeatedFailurePollsTheBatch(t *testing.T) {
	p := run(created(wantsCancel), lifecycle.State{}, epoch, fails(upstream.Transient))
	for range 2 {
		if p.performed() != "Cancel" || p.reason() != v1alpha1.ReasonUpstreamUnavailable {
			t.Fatalf("did %q, and the state is %s", p.performed(), p.reason())
		}
		p = p.again(fails(upstream.Transient), result{batch: answer(upstream.InProgress)})
	}
	if p.performed() != "Cancel Poll" || p.reason() != v1alpha1.ReasonCancelling || p.final.RequeueAfter != 8*time.Second {
		t.Fatalf("did %q, and the state is %s for %s", p.performed(), p.reason(), p.final.RequeueAfter)
	}
	p = p.again(fails(upstream.Transient), result{batch: answer(upstream.Completed)})
	if p.reason() != v1alpha1.ReasonCompleted {
		t.Errorf("did %q, and the state is %s", p.performed(), p.reason())
	}
}

func testBackoff(t *testing.T, b *object, kind upstream.ErrorKind, reason string, first, longest time.Duration) {
	t.Helper()
	p := run(b, lifecycle.State{}, epoch, fails(kind))
	want := first
	for i := range 15 {
		if p.reason() != reason || p.final.RequeueAfter != want || len(p.actions) != 1 {
			t.Fatalf("failure %d, of %s: state %s, looks again after %s, want %s after %s", i+1, p.performed(), p.reason(), p.final.RequeueAfter, reason, want)
		}
		p, want = p.again(fails(kind)), min(2*want, longest)
	}
	if want != longest {
		t.Fatalf("the longest wait, %s, was never reached", longest)
	}
	if p = p.again(); p.reason() == reason {
		t.Errorf("state %s remains after a success", reason)
	}
}

func TestBackoff_HonorsRetryAfter(t *testing.T) {
	slow := func(kind upstream.ErrorKind) result {
		return result{err: &upstream.Error{Kind: kind, StatusCode: 503, Message: "slow down", RetryAfter: 42 * time.Minute}}
	}
	for name, p := range map[string]reconciliation{
		"retrieve":           run(created(), lifecycle.State{}, epoch, slow(upstream.RateLimited)),
		"retrieve, 404":      run(created(), lifecycle.State{}, epoch, slow(upstream.NotFound)),
		"create":             run(newObject(), lifecycle.State{}, epoch, slow(upstream.RateLimited)),
		"create, lost":       run(newObject(), lifecycle.State{}, epoch, slow(upstream.UnknownOutcome)),
		"probe":              run(newObject(hasFinalizer, pendingSince(epoch.Add(-time.Hour))), lifecycle.State{}, epoch, slow(upstream.Transient)),
		"cancel":             run(created(wantsCancel), lifecycle.State{}, epoch, slow(upstream.RateLimited)),
		"list of the failed": run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed, failures(1))}, slow(upstream.Transient)),
	} {
		if p.final.RequeueAfter < 42*time.Minute {
			t.Errorf("%s: requeued after %s", name, p.final.RequeueAfter)
		}
	}
	p := run(created(deletedAt(epoch)), lifecycle.State{}, epoch, slow(upstream.RateLimited))
	if p.final.RequeueAfter != config.FinalizeTimeout {
		t.Errorf("a deletion waits %s, want no longer than its own end", p.final.RequeueAfter)
	}
}

func TestBackoff_QuotaExhausted(t *testing.T) {
	p := run(created(), lifecycle.State{}, epoch, result{err: &upstream.Error{Kind: upstream.RateLimited, Code: "insufficient_quota", Message: "you exceeded your quota"}})
	if p.reason() != v1alpha1.ReasonRateLimited || !strings.Contains(p.message(), "Add credits") || !strings.Contains(p.message(), "you exceeded your quota") {
		t.Errorf("%s: %s", p.reason(), p.message())
	}
}

func TestPoll_NotFoundNeedsGracePeriodAndRepetition(t *testing.T) {
	missing := fails(upstream.NotFound)
	young := func(b *object) { b.CreationTimestamp = metav1.Time{Time: epoch} }

	p := run(created(young), lifecycle.State{}, epoch, missing)
	for now := p.state.NextCall; now.Sub(epoch) < config.NotFoundGrace; now = p.state.NextCall {
		if p.reason() != v1alpha1.ReasonInProgress || p.final.RequeueAfter != config.PollMin {
			t.Fatalf("%s after the creation: %s, looks again after %s", now.Sub(epoch), p.reason(), p.final.RequeueAfter)
		}
		p = p.again(missing)
	}
	if p = p.again(missing); p.reason() != v1alpha1.ReasonBatchNotFound || !strings.Contains(p.message(), "batch_1") || !strings.Contains(p.message(), "vs_1") {
		t.Errorf("after the grace period: %s: %s", p.reason(), p.message())
	}

	p = run(created(), lifecycle.State{}, epoch, missing)
	if p.reason() != v1alpha1.ReasonInProgress {
		t.Fatalf("after the first look at an old batch: %s", p.reason())
	}
	if p = p.again(missing); p.reason() != v1alpha1.ReasonBatchNotFound {
		t.Fatalf("after the second: %s", p.reason())
	}
	if lost := run(p.object, lifecycle.State{}, epoch.Add(time.Hour), missing); lost.reason() != v1alpha1.ReasonBatchNotFound {
		t.Errorf("what was believed is doubted after a restart: %s", lost.reason())
	}
	for range 10 {
		p = p.again(missing)
	}
	if p.final.RequeueAfter != 10*time.Minute {
		t.Errorf("looks again after %s", p.final.RequeueAfter)
	}
	if p = p.again(); p.reason() != v1alpha1.ReasonInProgress {
		t.Errorf("once the batch is there: %s", p.reason())
	}
}

func TestPoll_NotFoundNotInARow(t *testing.T) {
	p := run(created(), lifecycle.State{}, epoch, fails(upstream.NotFound)).again().again(fails(upstream.NotFound))
	if p.reason() != v1alpha1.ReasonInProgress {
		t.Errorf("%s after two looks that were not in a row", p.reason())
	}
}

func TestPoll_TerminalStatus(t *testing.T) {
	for name, test := range map[string]struct {
		b      *object
		answer *upstream.Batch
		reason string
		part   string // of the message
	}{
		"completed":                     {created(), answer(upstream.Completed), "Completed", "2 of 2 files"},
		"completed, failures allowed":   {created(allowed(1)), answer(upstream.Completed, failures(1)), "Completed", "1 failed (allowed: 1)"},
		"completed, too many failures":  {created(allowed(1)), answer(upstream.Completed, failures(2)), "FilesFailed", "2 of 2 files failed (allowed: 1)"},
		"completed before the cancel":   {created(wantsCancel, cancelAccepted), answer(upstream.Completed), "Completed", "completed before it could be cancelled"},
		"failed":                        {created(allowed(5)), answer(upstream.Failed), "BatchFailed", "Batch failed"},
		"Cancelled as requested":        {created(wantsCancel, cancelAccepted), answer(upstream.Cancelled), "Cancelled", "Cancelled as requested"},
		"cancelled, cancel unset since": {created(cancelAccepted), answer(upstream.Cancelled), "Cancelled", "Cancelled as requested"},
		"cancelled by others":           {created(), answer(upstream.Cancelled), "CancelledExternally", "outside this object"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, lifecycle.State{}, epoch, result{batch: test.answer})
			if p.reason() != test.reason || !strings.Contains(p.message(), test.part) {
				t.Errorf("%s: %s", p.reason(), p.message())
			}
			if p.final.RequeueAfter != 0 || p.object.Status.FinishedAt == nil || p.object.Status.Status != string(test.answer.Status) {
				t.Errorf("looks again after %s; status %+v", p.final.RequeueAfter, p.object.Status)
			}
			later := run(p.object, lifecycle.State{}, epoch.Add(time.Hour))
			if later.performed() != "" || !cmp.Equal(later.object.Status, p.object.Status) || len(later.events) > 0 {
				t.Errorf("did %q an hour after the end: %s", later.performed(), cmp.Diff(p.object.Status, later.object.Status))
			}
		})
	}
}

func TestFinished_MaxFailedFilesEdited(t *testing.T) {
	p := run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed, failures(1))}, result{files: someFailedFiles()})
	if p.reason() != v1alpha1.ReasonFilesFailed || !strings.Contains(p.message(), "see status.failedFiles") {
		t.Fatalf("%s: %s", p.reason(), p.message())
	}
	for limit, want := range map[int32]string{1: "Completed", 0: "FilesFailed"} {
		allowed(limit)(p.object)
		edited(p.object)
		p = run(p.object, lifecycle.State{}, epoch.Add(time.Hour))
		if p.performed() != "" || p.reason() != want || len(p.object.Status.FailedFiles) == 0 {
			t.Errorf("with %d failures allowed: did %q, %s", limit, p.performed(), p.reason())
		}
	}
}

func TestFinished_CancelAfterwards(t *testing.T) {
	p := run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.Cancelled)})
	wantsCancel(p.object)
	edited(p.object)
	if p = run(p.object, lifecycle.State{}, epoch); p.reason() != v1alpha1.ReasonCancelledExternally || p.performed() != "" {
		t.Errorf("did %q: %s", p.performed(), p.reason())
	}
}

func TestFailedFiles_Listed(t *testing.T) {
	one := result{batch: answer(upstream.InProgress, failures(1))}
	finishedAtAPI := result{batch: answer(upstream.Completed, failures(1))}
	p := run(created(), lifecycle.State{}, epoch, one, result{files: []upstream.FailedFile{{FileID: "file-b", Code: "server_error", Message: "broken"}}})
	if p.performed() != "Poll ListFailedFiles" {
		t.Fatalf("did %q", p.performed())
	}
	want := []v1alpha1.FailedFile{{FileID: "file-b", Code: "server_error", Message: "broken"}}
	if diff := cmp.Diff(want, p.object.Status.FailedFiles); diff != "" {
		t.Errorf("the failed files (-want +got):\n%s", diff)
	}
	if again := p.again(one); again.performed() != "Poll" {
		t.Errorf("did %q, though the failed file is listed", again.performed())
	}
	if end := p.again(finishedAtAPI); end.performed() != "Poll" || len(end.object.Status.FailedFiles) != 1 {
		t.Errorf("did %q at the end, with %v listed", end.performed(), end.object.Status.FailedFiles)
	}

	p = run(created(), lifecycle.State{}, epoch, finishedAtAPI, fails(upstream.Transient))
	for i := 2; i < 5; i++ {
		if p = p.again(finishedAtAPI, fails(upstream.Transient)); p.reason() != v1alpha1.ReasonUpstreamUnavailable {
			t.Fatalf("after %d failures: %s", i, p.reason())
		}
	}
	if p = p.again(finishedAtAPI, fails(upstream.Transient)); p.reason() != v1alpha1.ReasonFilesFailed || strings.Contains(p.message(), "failedFiles") && strings.Contains(p.message(), "see ") {
		t.Errorf("after 5 failures: %s: %s", p.reason(), p.message())
	}
}

func TestFailedFiles_AfterPollFailures(t *testing.T) {
	p := run(created(), lifecycle.State{}, epoch, fails(upstream.Transient))
	for range 9 {
		p = p.again(fails(upstream.Transient))
	}
	p = p.again(result{batch: answer(upstream.Completed, failures(1))}, fails(upstream.Transient))
	if p.reason() != v1alpha1.ReasonUpstreamUnavailable {
		t.Errorf("%s after the list failed once", p.reason())
	}
}

func TestStatus_ValuesAreBounded(t *testing.T) {
	var files []upstream.FailedFile
	for i := range 150 {
		files = append(files, upstream.FailedFile{FileID: fmt.Sprintf("file-%03d", 7*i%150), Code: strings.Repeat("c", 200), Message: strings.Repeat("é", 2000)})
	}
	wild := answer(upstream.Status(strings.Repeat("ü", 500)+"\xff"), failures(1<<40))
	wild.FileCounts.InProgress = -1
	p := run(created(), lifecycle.State{}, epoch, result{batch: wild}, result{files: files})
	if err := checkStatus(p.object, p.object.Status); err != nil {
		t.Error(err)
	}
	got := p.object.Status
	if len(got.Status) != 256 || got.FileCounts.Failed != 1<<31-1 || got.FileCounts.InProgress != 0 || len(got.FailedFiles) != 100 {
		t.Errorf("%d bytes of status, counts %+v, %d failed files", len(got.Status), *got.FileCounts, len(got.FailedFiles))
	}
}

func TestStatus_CreatedAtIsStable(t *testing.T) {
	p := run(created(), lifecycle.State{}, epoch)
	p = p.again(result{batch: answer(upstream.InProgress, func(a *upstream.Batch) { a.CreatedAt = a.CreatedAt.Add(time.Second) })})
	if got := p.object.Status.CreatedAt.Time; !got.Equal(epoch.Add(-time.Hour)) {
		t.Errorf("createdAt moved to %s", got)
	}
	p = run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.InProgress, func(a *upstream.Batch) { a.CreatedAt = time.Unix(0, 0) })})
	if got := p.object.Status.CreatedAt; got != nil {
		t.Errorf("createdAt is %s, which the upstream did not say", got)
	}
}

func TestEvents_OnlyForNewReasons(t *testing.T) {
	p := run(created(), lifecycle.State{}, epoch)
	if len(p.events) != 1 || p.events[0].Reason != v1alpha1.ReasonInProgress || p.events[0].Warning {
		t.Errorf("told %+v", p.events)
	}
	if p = p.again(); len(p.events) != 0 {
		t.Errorf("told %+v of a state that stayed", p.events)
	}
	if p = p.again(fails(upstream.Transient)); p.warned(v1alpha1.ReasonUpstreamUnavailable) == "" {
		t.Errorf("told %+v", p.events)
	}
}
