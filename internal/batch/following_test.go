// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func TestPollingSlowsDownWhileNothingMoves(t *testing.T) {
	p := run(created(), batch.Memory{}, epoch)
	var waits []time.Duration
	for range 12 {
		waits = append(waits, p.final.After)
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

func TestPollingIsFastAgainOnMovement(t *testing.T) {
	slow := batch.Memory{Interval: time.Minute}
	for name, test := range map[string]struct {
		answer *upstream.Batch
		want   time.Duration
	}{
		"nothing moved":   {answer(upstream.InProgress), time.Minute},
		"a count moved":   {answer(upstream.InProgress, func(a *upstream.Batch) { a.FileCounts.Completed++ }), 2 * time.Second},
		"the state moved": {answer(wrongStatus, func(a *upstream.Batch) { a.FileCounts.InProgress = 2 }), 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(followed(), slow, epoch, result{batch: test.answer}).final.After; got != test.want {
				t.Errorf("looks again after %s, want %s", got, test.want)
			}
		})
	}
	t.Run("the memory was lost", func(t *testing.T) {
		if got := run(followed(), batch.Memory{}, epoch).final.After; got != 2*time.Second {
			t.Errorf("looks again after %s", got)
		}
	})
}

func TestPollingStaysCloseAfterACancel(t *testing.T) {
	p := run(followed(wantsCancel, edited), batch.Memory{Interval: time.Minute}, epoch)
	if p.did() != "Cancel" || p.final.After != 2*time.Second {
		t.Fatalf("did %q, and looks again after %s", p.did(), p.final.After)
	}
	for range 8 {
		p = p.again()
	}
	if p.final.After != 10*time.Second {
		t.Errorf("looks again after %s while a cancel is waited for, want 10s", p.final.After)
	}
}

func TestPollAfterIsRespected(t *testing.T) {
	for _, test := range [][2]time.Duration{{time.Second, 2 * time.Second}, {5 * time.Second, 5 * time.Second}, {10 * time.Minute, 10 * time.Minute}} {
		asked, want := test[0], test[1]
		d := run(created(), batch.Memory{}, epoch, result{batch: answer(upstream.InProgress, pollAfter(asked))}).final
		if d.After != want || d.NotBefore != asked {
			t.Errorf("asked for %s, it looks again after %s and not before %s", asked, d.After, d.NotBefore)
		}
	}
}

func TestAPassBeforeItsTimeOnlyWaits(t *testing.T) {
	p := run(created(), batch.Memory{}, epoch)
	early := run(p.object, p.memory, epoch.Add(500*time.Millisecond))
	if early.did() != "" || early.final.After != 1500*time.Millisecond || len(early.told) > 0 {
		t.Errorf("did %q, told %v, and looks again after %s", early.did(), early.told, early.final.After)
	}
	if edited := run(withEdit(p.object), p.memory, epoch.Add(500*time.Millisecond)); edited.did() != "Retrieve" {
		t.Errorf("did %q after the spec was edited", edited.did())
	}
}

func withEdit(b *object) *object {
	b = b.DeepCopy()
	edited(b)
	return b
}

func TestFailuresBackOff(t *testing.T) {
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
		"create, unavailable":      {fresh(), upstream.Transient, v1alpha1.ReasonUpstreamUnavailable, time.Second, 5 * time.Minute},
		"create, refused":          {fresh(), upstream.Rejected, v1alpha1.ReasonRejected, 10 * time.Second, 10 * time.Minute},
		"create, no store":         {fresh(), upstream.NotFound, v1alpha1.ReasonRejected, 10 * time.Second, 10 * time.Minute},
		"create, no Secret":        {fresh(), upstream.NoCredentials, v1alpha1.ReasonCredentialsNotFound, time.Second, time.Minute},
		"cancel, rate limited":     {created(wantsCancel), upstream.RateLimited, v1alpha1.ReasonRateLimited, time.Second, 5 * time.Minute},
		"probe, unavailable":       {fresh(held, intendedAt(epoch.Add(-time.Hour))), upstream.Transient, v1alpha1.ReasonUpstreamUnavailable, time.Second, 5 * time.Minute},
		"probe, unknown is no end": {fresh(held, intendedAt(epoch.Add(-time.Hour))), upstream.UnknownOutcome, v1alpha1.ReasonUpstreamUnavailable, time.Second, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) { testBackoff(t, test.b, test.kind, test.reason, test.first, test.longest) })
	}
}

func TestABatchWhoseCancelKeepsFailingIsLookedAt(t *testing.T) {
	p := run(created(wantsCancel), batch.Memory{}, epoch, fails(upstream.Transient))
	for range 2 {
		if p.did() != "Cancel" || p.reason() != v1alpha1.ReasonUpstreamUnavailable {
			t.Fatalf("did %q, and the state is %s", p.did(), p.reason())
		}
		p = p.again(fails(upstream.Transient), result{batch: answer(upstream.InProgress)})
	}
	if p.did() != "Cancel Retrieve" || p.reason() != v1alpha1.ReasonCancelling || p.final.After != 8*time.Second {
		t.Fatalf("did %q, and the state is %s for %s", p.did(), p.reason(), p.final.After)
	}
	p = p.again(fails(upstream.Transient), result{batch: answer(upstream.Completed)})
	if p.reason() != v1alpha1.ReasonCompleted {
		t.Errorf("did %q, and the state is %s", p.did(), p.reason())
	}
}

func testBackoff(t *testing.T, b *object, kind upstream.ErrorKind, reason string, first, longest time.Duration) {
	t.Helper()
	p := run(b, batch.Memory{}, epoch, fails(kind))
	want := first
	for i := range 15 {
		if p.reason() != reason || p.final.After != want || len(p.took) != 1 {
			t.Fatalf("failure %d, of %s: state %s, looks again after %s, want %s after %s", i+1, p.did(), p.reason(), p.final.After, reason, want)
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

func TestRetryAfterIsRespected(t *testing.T) {
	slow := func(kind upstream.ErrorKind) result {
		return result{err: &upstream.Error{Kind: kind, StatusCode: 503, Message: "slow down", RetryAfter: 42 * time.Minute}}
	}
	for name, p := range map[string]pass{
		"retrieve":           run(created(), batch.Memory{}, epoch, slow(upstream.RateLimited)),
		"retrieve, 404":      run(created(), batch.Memory{}, epoch, slow(upstream.NotFound)),
		"create":             run(fresh(), batch.Memory{}, epoch, slow(upstream.RateLimited)),
		"create, lost":       run(fresh(), batch.Memory{}, epoch, slow(upstream.UnknownOutcome)),
		"probe":              run(fresh(held, intendedAt(epoch.Add(-time.Hour))), batch.Memory{}, epoch, slow(upstream.Transient)),
		"cancel":             run(created(wantsCancel), batch.Memory{}, epoch, slow(upstream.RateLimited)),
		"list of the failed": run(created(), batch.Memory{}, epoch, result{batch: answer(upstream.Completed, failures(1))}, slow(upstream.Transient)),
	} {
		if p.final.NotBefore != 42*time.Minute || p.final.After < 42*time.Minute {
			t.Errorf("%s: looks again after %s, and not before %s", name, p.final.After, p.final.NotBefore)
		}
	}
	p := run(created(deletedAt(epoch)), batch.Memory{}, epoch, slow(upstream.RateLimited))
	if p.final.After != rules.FinalizeTimeout {
		t.Errorf("a deletion waits %s, want no longer than its own end", p.final.After)
	}
}

func TestAnExhaustedQuotaSaysWhatToDo(t *testing.T) {
	p := run(created(), batch.Memory{}, epoch, result{err: &upstream.Error{Kind: upstream.RateLimited, Code: "insufficient_quota", Message: "you exceeded your quota"}})
	if p.reason() != v1alpha1.ReasonRateLimited || !strings.Contains(p.message(), "add credits") || !strings.Contains(p.message(), "you exceeded your quota") {
		t.Errorf("%s: %s", p.reason(), p.message())
	}
}

func TestA404IsBelievedOnlyLaterAndTwice(t *testing.T) {
	missing := fails(upstream.NotFound)
	young := func(b *object) { b.CreationTimestamp = metav1.Time{Time: epoch} }

	p := run(created(young), batch.Memory{}, epoch, missing)
	for now := p.memory.NextCall; now.Sub(epoch) < rules.NotFoundGrace; now = p.memory.NextCall {
		if p.reason() != v1alpha1.ReasonInProgress || p.final.After != rules.PollMin {
			t.Fatalf("%s after the creation: %s, looks again after %s", now.Sub(epoch), p.reason(), p.final.After)
		}
		p = p.again(missing)
	}
	if p = p.again(missing); p.reason() != v1alpha1.ReasonBatchNotFound || !strings.Contains(p.message(), "batch_1") || !strings.Contains(p.message(), "vs_1") {
		t.Errorf("after the grace period: %s: %s", p.reason(), p.message())
	}

	p = run(created(), batch.Memory{}, epoch, missing)
	if p.reason() != v1alpha1.ReasonInProgress {
		t.Fatalf("after the first look at an old batch: %s", p.reason())
	}
	if p = p.again(missing); p.reason() != v1alpha1.ReasonBatchNotFound {
		t.Fatalf("after the second: %s", p.reason())
	}
	if lost := run(p.object, batch.Memory{}, epoch.Add(time.Hour), missing); lost.reason() != v1alpha1.ReasonBatchNotFound {
		t.Errorf("what was believed is doubted after a restart: %s", lost.reason())
	}
	for range 10 {
		p = p.again(missing)
	}
	if p.final.After != 10*time.Minute {
		t.Errorf("looks again after %s", p.final.After)
	}
	if p = p.again(); p.reason() != v1alpha1.ReasonInProgress {
		t.Errorf("once the batch is there: %s", p.reason())
	}
}

func TestOnlyLooksInARowMakeA404Believed(t *testing.T) {
	p := run(created(), batch.Memory{}, epoch, fails(upstream.NotFound)).again().again(fails(upstream.NotFound))
	if p.reason() != v1alpha1.ReasonInProgress {
		t.Errorf("%s after two looks that were not in a row", p.reason())
	}
}

func TestEndOfABatch(t *testing.T) {
	for name, test := range map[string]struct {
		b      *object
		answer *upstream.Batch
		reason string
		part   string // of the message
	}{
		"completed":                     {created(), answer(upstream.Completed), "Completed", "2 of 2 files"},
		"completed, failures allowed":   {created(allowed(1)), answer(upstream.Completed, failures(1)), "Completed", "1 failed, which spec.maxFailedFiles allows"},
		"completed, too many failures":  {created(allowed(1)), answer(upstream.Completed, failures(2)), "FilesFailed", "2 of 2 files failed, and spec.maxFailedFiles is 1"},
		"completed before the cancel":   {created(wantsCancel, latched), answer(upstream.Completed), "Completed", "completed before it could be cancelled"},
		"failed":                        {created(allowed(5)), answer(upstream.Failed), "BatchFailed", "gave the batch up"},
		"cancelled as asked":            {created(wantsCancel, latched), answer(upstream.Cancelled), "Cancelled", "cancelled as asked"},
		"cancelled, cancel unset since": {created(latched), answer(upstream.Cancelled), "Cancelled", "cancelled as asked"},
		"cancelled by others":           {created(), answer(upstream.Cancelled), "CancelledExternally", "spec.cancel did not ask"},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(test.b, batch.Memory{}, epoch, result{batch: test.answer})
			if p.reason() != test.reason || !strings.Contains(p.message(), test.part) {
				t.Errorf("%s: %s", p.reason(), p.message())
			}
			if p.final.After != 0 || p.object.Status.FinishedAt == nil || p.object.Status.Status != string(test.answer.Status) {
				t.Errorf("looks again after %s; status %+v", p.final.After, p.object.Status)
			}
			later := run(p.object, batch.Memory{}, epoch.Add(time.Hour))
			if later.did() != "" || !cmp.Equal(later.object.Status, p.object.Status) || len(later.told) > 0 {
				t.Errorf("did %q an hour after the end: %s", later.did(), cmp.Diff(p.object.Status, later.object.Status))
			}
		})
	}
}

func TestMaxFailedFilesIsJudgedAgainAfterTheEnd(t *testing.T) {
	p := run(created(), batch.Memory{}, epoch, result{batch: answer(upstream.Completed, failures(1))}, result{files: someFailedFiles()})
	if p.reason() != v1alpha1.ReasonFilesFailed || !strings.Contains(p.message(), "see status.failedFiles") {
		t.Fatalf("%s: %s", p.reason(), p.message())
	}
	for limit, want := range map[int32]string{1: "Completed", 0: "FilesFailed"} {
		allowed(limit)(p.object)
		edited(p.object)
		p = run(p.object, batch.Memory{}, epoch.Add(time.Hour))
		if p.did() != "" || p.reason() != want || len(p.object.Status.FailedFiles) == 0 {
			t.Errorf("with %d failures allowed: did %q, %s", limit, p.did(), p.reason())
		}
	}
}

func TestACancelAfterTheEndIsNoReason(t *testing.T) {
	p := run(created(), batch.Memory{}, epoch, result{batch: answer(upstream.Cancelled)})
	wantsCancel(p.object)
	edited(p.object)
	if p = run(p.object, batch.Memory{}, epoch); p.reason() != v1alpha1.ReasonCancelledExternally || p.did() != "" {
		t.Errorf("did %q: %s", p.did(), p.reason())
	}
}

func TestFailedFilesAreListed(t *testing.T) {
	one := result{batch: answer(upstream.InProgress, failures(1))}
	over := result{batch: answer(upstream.Completed, failures(1))}
	p := run(created(), batch.Memory{}, epoch, one, result{files: []upstream.FailedFile{{FileID: "file-b", Code: "server_error", Message: "broken"}}})
	if p.did() != "Retrieve ListFailedFiles" {
		t.Fatalf("did %q", p.did())
	}
	want := []v1alpha1.FailedFile{{FileID: "file-b", Code: "server_error", Message: "broken"}}
	if diff := cmp.Diff(want, p.object.Status.FailedFiles); diff != "" {
		t.Errorf("the failed files (-want +got):\n%s", diff)
	}
	if again := p.again(one); again.did() != "Retrieve" {
		t.Errorf("did %q, though the failed file is listed", again.did())
	}
	if end := p.again(over); end.did() != "Retrieve" || len(end.object.Status.FailedFiles) != 1 {
		t.Errorf("did %q at the end, with %v listed", end.did(), end.object.Status.FailedFiles)
	}

	p = run(created(), batch.Memory{}, epoch, over, fails(upstream.Transient))
	for i := 2; i < 5; i++ {
		if p = p.again(over, fails(upstream.Transient)); p.reason() != v1alpha1.ReasonUpstreamUnavailable {
			t.Fatalf("after %d failures: %s", i, p.reason())
		}
	}
	if p = p.again(over, fails(upstream.Transient)); p.reason() != v1alpha1.ReasonFilesFailed || strings.Contains(p.message(), "failedFiles") && strings.Contains(p.message(), "see ") {
		t.Errorf("after 5 failures: %s: %s", p.reason(), p.message())
	}
}

func TestFailuresToReadTheBatchDoNotCostTheListOfFailedFiles(t *testing.T) {
	p := run(created(), batch.Memory{}, epoch, fails(upstream.Transient))
	for range 9 {
		p = p.again(fails(upstream.Transient))
	}
	p = p.again(result{batch: answer(upstream.Completed, failures(1))}, fails(upstream.Transient))
	if p.reason() != v1alpha1.ReasonUpstreamUnavailable {
		t.Errorf("%s after the list failed once", p.reason())
	}
}

func TestWhatTheUpstreamSaysIsCutToBounds(t *testing.T) {
	var files []upstream.FailedFile
	for i := range 150 {
		files = append(files, upstream.FailedFile{FileID: fmt.Sprintf("file-%03d", 7*i%150), Code: strings.Repeat("c", 200), Message: strings.Repeat("é", 2000)})
	}
	wild := answer(upstream.Status(strings.Repeat("ü", 500)+"\xff"), failures(1<<40))
	wild.FileCounts.InProgress = -1
	p := run(created(), batch.Memory{}, epoch, result{batch: wild}, result{files: files})
	if err := checkStatus(p.object, p.object.Status); err != nil {
		t.Error(err)
	}
	got := p.object.Status
	if len(got.Status) != 256 || got.FileCounts.Failed != 1<<31-1 || got.FileCounts.InProgress != 0 || len(got.FailedFiles) != 100 {
		t.Errorf("%d bytes of status, counts %+v, %d failed files", len(got.Status), *got.FileCounts, len(got.FailedFiles))
	}
}

func TestTheFirstCreatedAtStays(t *testing.T) {
	p := run(created(), batch.Memory{}, epoch)
	p = p.again(result{batch: answer(upstream.InProgress, func(a *upstream.Batch) { a.CreatedAt = a.CreatedAt.Add(time.Second) })})
	if got := p.object.Status.CreatedAt.Time; !got.Equal(epoch.Add(-time.Hour)) {
		t.Errorf("createdAt moved to %s", got)
	}
	p = run(created(), batch.Memory{}, epoch, result{batch: answer(upstream.InProgress, func(a *upstream.Batch) { a.CreatedAt = time.Unix(0, 0) })})
	if got := p.object.Status.CreatedAt; got != nil {
		t.Errorf("createdAt is %s, which the upstream did not say", got)
	}
}

func TestEventsTellOfNewStatesOnly(t *testing.T) {
	p := run(created(), batch.Memory{}, epoch)
	if len(p.told) != 1 || p.told[0].Reason != v1alpha1.ReasonInProgress || p.told[0].Warning {
		t.Errorf("told %+v", p.told)
	}
	if p = p.again(); len(p.told) != 0 {
		t.Errorf("told %+v of a state that stayed", p.told)
	}
	if p = p.again(fails(upstream.Transient)); p.warned(v1alpha1.ReasonUpstreamUnavailable) == "" {
		t.Errorf("told %+v", p.told)
	}
}
