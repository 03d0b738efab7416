// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func TestAction_Kinds(t *testing.T) {
	type kinds struct{ callsAPI, readsBatch, terminal bool }
	want := map[lifecycle.Action]kinds{
		lifecycle.Requeue:            {terminal: true},
		lifecycle.AddFinalizer:       {},
		lifecycle.RecordBatchID:      {},
		lifecycle.ClearCreatePending: {},
		lifecycle.Create:             {callsAPI: true},
		lifecycle.VerifyCreate:       {callsAPI: true, readsBatch: true},
		lifecycle.Poll:               {callsAPI: true, readsBatch: true},
		lifecycle.Cancel:             {callsAPI: true},
		lifecycle.ListFailedFiles:    {callsAPI: true, readsBatch: true},
		lifecycle.ReadStore:          {callsAPI: true, readsBatch: true},
		lifecycle.CountFiles:         {callsAPI: true, readsBatch: true},
		lifecycle.Detach:             {callsAPI: true},
		lifecycle.Delete:             {terminal: true},
		lifecycle.RemoveFinalizer:    {terminal: true},
	}
	for action, want := range want {
		if got := (kinds{action.CallsAPI(), action.ReadsBatch(), action.Terminal()}); got != want {
			t.Errorf("%s is %+v, want %+v", action, got, want)
		}
	}
}

func TestReasons_Kinds(t *testing.T) {
	polled := map[string]bool{v1alpha1.ReasonInProgress: true, v1alpha1.ReasonCancelling: true}
	progressing := map[string]bool{
		"": true, v1alpha1.ReasonCreating: true, v1alpha1.ReasonCreateOutcomeUnknown: true, v1alpha1.ReasonDeleting: true,
		v1alpha1.ReasonInProgress: true, v1alpha1.ReasonCancelling: true,
	}
	for _, reason := range []string{
		"", v1alpha1.ReasonCreating, v1alpha1.ReasonWaitingForRateLimit, v1alpha1.ReasonCreateOutcomeUnknown, v1alpha1.ReasonInProgress, v1alpha1.ReasonCancelling,
		v1alpha1.ReasonCredentialsNotFound, v1alpha1.ReasonRateLimited, v1alpha1.ReasonUpstreamUnavailable, v1alpha1.ReasonDeleting, v1alpha1.ReasonSuspended,
		v1alpha1.ReasonBatchNotFound, v1alpha1.ReasonRejected, v1alpha1.ReasonInvalidSpec, v1alpha1.ReasonEndpointNotAllowed, v1alpha1.ReasonCredentialsRejected, v1alpha1.ReasonCompleted, v1alpha1.ReasonFilesFailed, v1alpha1.ReasonFilesMissing,
		v1alpha1.ReasonBatchFailed, v1alpha1.ReasonCancelled, v1alpha1.ReasonCancelledExternally, v1alpha1.ReasonDeadlineExceeded,
	} {
		if got := lifecycle.Polled(reason); got != polled[reason] {
			t.Errorf("Polled(%q) = %t", reason, got)
		}
		if got := lifecycle.Progressing(reason); got != progressing[reason] {
			t.Errorf("Progressing(%q) = %t", reason, got)
		}
	}
}

// TestFailed_ExactWaits requires the wait after each failure in a row, up to the longest.
func TestFailed_ExactWaits(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		kind upstream.ErrorKind
		want []time.Duration
	}{
		"transient":   {upstream.Transient, doubling(1000*ms, 300_000*ms, 12)},
		"rate limit":  {upstream.RateLimited, doubling(1000*ms, 300_000*ms, 12)},
		"rejected":    {upstream.Rejected, doubling(10_000*ms, 600_000*ms, 9)},
		"bad key":     {upstream.Unauthorized, doubling(10_000*ms, 600_000*ms, 9)},
		"no Secret":   {upstream.NoCredentials, doubling(1000*ms, 60_000*ms, 9)},
		"not a store": {upstream.NotFound, doubling(10_000*ms, 600_000*ms, 9)},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(newObject(withFinalizer), lifecycle.State{}, epoch, fails(test.kind))
			at := epoch
			for i, want := range test.want {
				if got := r.next.Sub(at); got != want {
					t.Fatalf("the wait after failure %d is %s, want %s", i+1, got, want)
				}
				at = r.next
				r = r.again(fails(test.kind))
			}
		})
	}
}

// doubling returns n waits that double from the first to the longest.
func doubling(first, longest time.Duration, n int) []time.Duration {
	waits := make([]time.Duration, n)
	for i := range waits {
		waits[i] = min(first<<i, longest)
	}
	return waits
}

// TestThrottled_ExactDelay requires that the status shows a wait for the rate limits after two seconds,
// and no sooner.
func TestThrottled_ExactDelay(t *testing.T) {
	waiting := lifecycle.State{Backoff: lifecycle.Backoff{WaitingSince: epoch}}
	for _, want := range []struct {
		after   time.Duration
		reason  string
		requeue time.Duration
	}{
		{0, "", 2 * time.Second},
		{2*time.Second - 1, "", 1},
		{2 * time.Second, v1alpha1.ReasonWaitingForRateLimit, time.Minute},
		{2*time.Second + 1, v1alpha1.ReasonWaitingForRateLimit, time.Minute},
		{time.Hour, v1alpha1.ReasonWaitingForRateLimit, time.Minute},
	} {
		d := config.Decide(newObject(), throttledAt(waiting, lifecycle.Create), epoch.Add(want.after))
		if got := reasonOf(d.Status); got != want.reason || d.RequeueAfter != want.requeue {
			t.Errorf("after %s: reason %q, requeued after %s; want %q and %s", want.after, got, d.RequeueAfter, want.reason, want.requeue)
		}
	}
	for name, test := range map[string]struct {
		b      *object
		action lifecycle.Action
	}{
		"a poll":                               {newObject(adopted), lifecycle.Poll},
		"a create that may have been repeated": {newObject(pendingSince(epoch)), lifecycle.Create},
	} {
		d := config.Decide(test.b, throttledAt(waiting, test.action), epoch.Add(time.Hour))
		if got := reasonOf(d.Status); got != "" || d.RequeueAfter != time.Minute {
			t.Errorf("%s: reason %q, requeued after %s", name, got, d.RequeueAfter)
		}
	}
}

// offsets are times relative to another one, with what is wanted then.
type offsets []struct {
	offset time.Duration
	want   string
}

// TestDeadline_Exact requires that the batch is cancelled at the deadline and not before, and that the
// object is finished a minute after the cancel and not before.
func TestDeadline_Exact(t *testing.T) {
	b := tracked(deadline(2 * time.Hour))
	at := epoch.Add(time.Hour)
	for _, test := range (offsets{{-1, "Poll"}, {0, "Cancel"}, {1, "Cancel"}}) {
		if r := run(b, lifecycle.State{}, at.Add(test.offset)); r.actionNames() != test.want {
			t.Errorf("%s after the deadline: performed %q, want %q", test.offset, r.actionNames(), test.want)
		}
	}
	stopping := withChange(b, cancelAcceptedAt(at))
	for _, test := range (offsets{{-1, v1alpha1.ReasonCancelling}, {0, v1alpha1.ReasonDeadlineExceeded}}) {
		r := run(stopping, lifecycle.State{}, at.Add(time.Minute+test.offset))
		if r.reason() != test.want || r.actionNames() != "Poll" {
			t.Errorf("%s after the grace period: performed %q: %s", test.offset, r.actionNames(), r.reason())
		}
	}
	// A cancel that the API accepted before the deadline was not due to it.
	for _, test := range (offsets{{-time.Second, v1alpha1.ReasonCancelled}, {0, v1alpha1.ReasonDeadlineExceeded}}) {
		r := run(withChange(b, cancelAcceptedAt(at.Add(test.offset))), lifecycle.State{}, at.Add(10*time.Second), result{batch: answer(upstream.Cancelled)})
		if r.reason() != test.want {
			t.Errorf("accepted %s after the deadline: %s: %s", test.offset, r.reason(), r.message())
		}
	}
}

// TestVerifyCreate_ExactCost requires that the requests of VerifyCreate are the files that it reads.
func TestVerifyCreate_ExactCost(t *testing.T) {
	for files, want := range map[int]int{1: 1, 2: 2, 3: 3, 4: 3, 2000: 3} {
		var ids []string
		var settings []v1alpha1.File
		for i := range files {
			ids = append(ids, fmt.Sprint("file-", i))
			settings = append(settings, v1alpha1.File{FileID: ids[i]})
		}
		for name, set := range map[string]change{
			"fileIDs": func(b *object) { b.Spec.FileIDs = ids },
			"files":   func(b *object) { b.Spec.FileIDs, b.Spec.Files = nil, settings },
		} {
			d := config.Decide(newObject(withFinalizer, set, pendingSince(epoch.Add(-time.Hour))), lifecycle.Observed{}, epoch)
			if d.Action != lifecycle.VerifyCreate || d.Cost.Requests != want {
				t.Errorf("%d %s: %s costs %d requests, want %d", files, name, d.Action, d.Cost.Requests, want)
			}
			// Two clocks can differ by a skew, and one has whole seconds.
			if want := epoch.Add(-time.Hour - batch.ClockSkew - time.Second); d.Verify.Files != 3 || !d.Verify.Since.Equal(want) {
				t.Errorf("%d %s: verifies %+v, want 3 files since %s", files, name, d.Verify, want)
			}
		}
	}
}

// TestCountFiles_ExactCost requires that the requests of CountFiles are the pages that it reads, of 100 files.
func TestCountFiles_ExactCost(t *testing.T) {
	for files, want := range map[int]int{1: 1, 2: 1, 99: 1, 100: 1, 101: 2, 200: 2, 201: 3, 1999: 20, 2000: 20} {
		var ids []string
		for i := range files {
			ids = append(ids, fmt.Sprint("file-", i))
		}
		b := tracked(func(b *object) { b.Spec.FileIDs = ids })
		observed := lifecycle.Observed{State: run(b, lifecycle.State{}, epoch, otherObject).state}
		observed.Record(lifecycle.Poll, lifecycle.Result{Err: otherObject.err})
		d := config.Decide(b, observed, epoch)
		if d.Action != lifecycle.CountFiles || d.Cost != (lifecycle.Cost{Requests: want}) {
			t.Errorf("%d files: %s costs %+v, want %d requests", files, d.Action, d.Cost, want)
		}
	}
}

// TestFailed_ExactLongRetryAfter requires that the message says until when the server asked to wait from a
// length of ten minutes on.
func TestFailed_ExactLongRetryAfter(t *testing.T) {
	const untilTen = "The API rate limited these credentials (HTTP 429), or their quota is exhausted. It asked to wait until "
	for _, test := range (offsets{{-1, "Rate limited by the API; retrying: the call failed"}, {0, untilTen}, {1, untilTen}}) {
		limited := fails(upstream.RateLimited)
		limited.err.RetryAfter = 10*time.Minute + test.offset
		if r := run(tracked(), lifecycle.State{}, epoch, limited); !strings.HasPrefix(r.message(), test.want) {
			t.Errorf("%s after 10 minutes: %q, want %q", test.offset, r.message(), test.want)
		}
	}
}

// TestDetach_ExactCost requires that the requests of a Detach are a request for each file, up to 25, and for an adopted
// batch the pages of its list, of 100 files.
func TestDetach_ExactCost(t *testing.T) {
	located := lifecycle.Observed{State: lifecycle.State{DetachProgress: lifecycle.DetachProgress{Located: true}}}
	for _, test := range []struct {
		total, detached     int32
		requests, withPages int
	}{
		{1, 0, 1, 2}, {24, 0, 24, 25}, {25, 0, 25, 26}, {99, 0, 25, 26}, {100, 0, 25, 26}, {101, 0, 25, 27}, {200, 0, 25, 27}, {201, 0, 25, 28},
		{250, 240, 10, 13}, {250, 249, 1, 4}, {250, 250, 1, 4}, {2500, 0, 25, 50}, {2501, 0, 25, 50}, {5000, 4999, 1, 50}, {5000, 0, 25, 50}, {0, 0, 1, 2},
	} {
		counted := func(b *object) {
			b.Spec.DeletionPolicy = v1alpha1.DeletionPolicyDetachFiles
			b.Status.FileCounts, b.Status.DetachedFileCount = &v1alpha1.FileCounts{Total: test.total}, test.detached
		}
		own := config.Decide(tracked(counted, cancelAccepted, deletedAt(epoch)), located, epoch)
		list := config.Decide(tracked(adopted, counted, cancelAccepted, deletedAt(epoch)), located, epoch)
		if own.Action != lifecycle.Detach || own.Cost != (lifecycle.Cost{Requests: test.requests}) || list.Cost != (lifecycle.Cost{Requests: test.withPages}) {
			t.Errorf("%d files, %d detached: %s costs %+v, and %+v with a list", test.total, test.detached, own.Action, own.Cost, list.Cost)
		}
	}
}

// TestThrottled_ExactLongBackoff requires that the status shows a back-off of ten minutes and more, and the minute in
// which it has ended.
func TestThrottled_ExactLongBackoff(t *testing.T) {
	const rateLimited = "The API rate limited these credentials (HTTP 429), or their quota is exhausted. "
	until := func(end string) string {
		return rateLimited + "It asked to wait until " + end + "; one call every few minutes finds out whether that is still so"
	}
	waiting := lifecycle.State{Backoff: lifecycle.Backoff{WaitingSince: epoch.Add(-2 * time.Second)}}
	for _, test := range []struct {
		left         time.Duration
		poll, create string
	}{
		{10*time.Minute - 1, "", rateLimited + "The call is repeated after the back-off, at least every 5 minutes"},
		{10 * time.Minute, until("2026-03-01T12:11:00Z"), until("2026-03-01T12:11:00Z")},
		{10*time.Minute + 59*time.Second, until("2026-03-01T12:11:00Z"), until("2026-03-01T12:11:00Z")},
		{24 * time.Hour, until("2026-03-02T12:01:00Z"), until("2026-03-02T12:01:00Z")},
	} {
		for _, call := range []struct {
			action lifecycle.Action
			b      *object
			want   string
		}{{lifecycle.Poll, newObject(adopted), test.poll}, {lifecycle.Create, newObject(), test.create}} {
			observed := throttledAt(waiting, call.action)
			observed.Admission, observed.BackedOffUntil = lifecycle.BackedOff, epoch.Add(test.left)
			got := (reconciliation{object: &object{Status: config.Decide(call.b, observed, epoch).Status}}).message()
			if got != call.want {
				t.Errorf("%s, backed off for %s: %q, want %q", call.action, test.left, got, call.want)
			}
		}
	}
}

// TestCreatedAt_Exact requires that 0 is no time.
func TestCreatedAt_Exact(t *testing.T) {
	for seconds, want := range map[int64]bool{-1: false, 0: false, 1: true} {
		r := run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.InProgress, func(a *upstream.Batch) { a.CreatedAt = time.Unix(seconds, 0) })})
		if got := r.object.Status.CreatedAt; (got != nil) != want {
			t.Errorf("created_at %d: %v", seconds, got)
		}
	}
}

// TestFailedFiles_Exact requires that a list replaces the failed files that are known, and that one which ended with an
// error adds to them, up to 100.
func TestFailedFiles_Exact(t *testing.T) {
	ids := func(prefix string, n int) (ids []string) {
		for i := range n {
			ids = append(ids, fmt.Sprintf("%s%03d", prefix, i))
		}
		return ids
	}
	for name, test := range map[string]struct {
		known, listed []string
		err           bool
		want          []string
	}{
		"the list replaces":        {[]string{"c"}, []string{"b", "a"}, false, []string{"a", "b"}},
		"an error adds":            {[]string{"c"}, []string{"b", "a"}, true, []string{"a", "b", "c"}},
		"an error repeats nothing": {[]string{"a", "b"}, []string{"b"}, true, []string{"a", "b"}},
		"an error, nothing listed": {[]string{"a"}, nil, true, []string{"a"}},
		"99 and one":               {ids("b", 99), []string{"a"}, true, append([]string{"a"}, ids("b", 99)...)},
		"99 and two":               {ids("c", 99), []string{"a", "b"}, true, append([]string{"a", "b"}, ids("c", 98)...)},
		"no ID":                    {nil, []string{"", "a"}, false, []string{"a"}},
		"more than 100":            {nil, ids("a", 101), false, ids("a", 100)},
	} {
		b := tracked()
		for _, id := range test.known {
			b.Status.FailedFiles = append(b.Status.FailedFiles, v1alpha1.FailedFile{FileID: id})
		}
		list := lifecycle.Result{}
		for _, id := range test.listed {
			list.FailedFiles = append(list.FailedFiles, upstream.FailedFile{FileID: id})
		}
		if test.err {
			list.Err = fails(upstream.Transient).err
		}
		var observed lifecycle.Observed
		observed.Record(lifecycle.Poll, lifecycle.Result{Batch: answer(upstream.Completed, failures(200))})
		observed.Record(lifecycle.ListFailedFiles, list)
		var got []string
		for _, file := range config.Decide(b, observed, epoch).Status.FailedFiles {
			got = append(got, file.FileID)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %d files: %v, want %d: %v", name, len(got), got, len(test.want), test.want)
		}
	}
}

// TestJitter_Exact requires that a jitter lengthens or shortens each wait by its share, but not below what the server
// asked for.
func TestJitter_Exact(t *testing.T) {
	failing := func(retryAfter time.Duration) lifecycle.Result {
		return lifecycle.Result{Err: &upstream.Error{Kind: upstream.Transient, Message: "the call failed", RetryAfter: retryAfter}}
	}
	completed := lifecycle.Result{Batch: answer(upstream.Completed, failures(1))}
	for _, test := range []struct {
		jitter     float64
		retryAfter time.Duration
		want       time.Duration
	}{
		{0, 0, time.Second}, {0.2, 0, 1200 * time.Millisecond}, {-0.2, 0, 800 * time.Millisecond},
		{0.2, 2 * time.Second, 2400 * time.Millisecond}, {-0.2, 2 * time.Second, 2 * time.Second},
	} {
		poll := lifecycle.Observed{Jitter: test.jitter}
		poll.Record(lifecycle.Poll, failing(test.retryAfter))
		list := lifecycle.Observed{Jitter: test.jitter}
		list.Record(lifecycle.Poll, completed)
		list.Record(lifecycle.ListFailedFiles, failing(test.retryAfter))
		for name, observed := range map[string]lifecycle.Observed{"poll": poll, "list": list} {
			orphan := deletionPolicy(v1alpha1.DeletionPolicyOrphan) // needs no finalizer
			if d := config.Decide(tracked(withoutFinalizers, orphan), observed, epoch); d.RequeueAfter != test.want || !d.State.NextCall.Equal(epoch.Add(test.want)) {
				t.Errorf("jitter %v, Retry-After %s: the %s is repeated after %s, want %s", test.jitter, test.retryAfter, name, d.RequeueAfter, test.want)
			}
		}
	}
}

// TestTimeout_Exact requires the timeout of each call that must not delay the end of its object.
func TestTimeout_Exact(t *testing.T) {
	patient := config
	patient.RequestTimeout = 2 * time.Minute
	in := func(left time.Duration) change { return deadline(time.Hour + left) }
	startedAt := func(age time.Duration) change {
		return func(b *object) { b.Status.CancelStartTime = &metav1.Time{Time: epoch.Add(-age)} }
	}
	for name, test := range map[string]struct {
		b      *object
		action lifecycle.Action
		want   time.Duration // 0 for the request timeout
	}{
		"no end":                     {tracked(), lifecycle.Poll, 0},
		"cancel":                     {tracked(cancelWanted), lifecycle.Cancel, 30 * time.Second},
		"cancel that failed before":  {tracked(cancelWanted, startedAt(40*time.Second)), lifecycle.Cancel, 20 * time.Second},
		"cancel, the last time":      {tracked(cancelWanted, startedAt(55*time.Second)), lifecycle.Cancel, 10 * time.Second},
		"cancel was accepted":        {tracked(cancelAccepted), lifecycle.Poll, 30 * time.Second},
		"deadline in 3 minutes":      {tracked(in(3 * time.Minute)), lifecycle.Poll, 0},
		"deadline in 2 minutes":      {tracked(in(2 * time.Minute)), lifecycle.Poll, 0},
		"deadline in 119 seconds":    {tracked(in(119 * time.Second)), lifecycle.Poll, 119 * time.Second},
		"deadline in 15 seconds":     {tracked(in(15 * time.Second)), lifecycle.Poll, 15 * time.Second},
		"deadline in 5 seconds":      {tracked(in(5 * time.Second)), lifecycle.Poll, 10 * time.Second},
		"deadline now":               {tracked(in(0)), lifecycle.Cancel, 30 * time.Second},
		"deadline that is not known": {newObject(adopted, in(time.Hour)), lifecycle.Poll, 30 * time.Second},
		"deadline while suspended":   {tracked(suspended, cancelAccepted, in(15*time.Second)), lifecycle.Poll, 30 * time.Second},
		"create":                     {newObject(in(time.Hour)), lifecycle.Create, 0},
		"write":                      {tracked(withoutFinalizers, in(15*time.Second)), lifecycle.AddFinalizer, 0},
		"deletion":                   {tracked(cancelWanted, startedAt(40*time.Second), deletedAt(epoch)), lifecycle.Cancel, 0},
	} {
		if d := patient.Decide(test.b, lifecycle.Observed{}, epoch); d.Action != test.action || d.Timeout != test.want {
			t.Errorf("%s: %s within %s, want %s within %s", name, d.Action, d.Timeout, test.action, test.want)
		}
	}
	hasty := config
	hasty.RequestTimeout = 5 * time.Second
	if d := hasty.Decide(tracked(in(time.Second)), lifecycle.Observed{}, epoch); d.Timeout != 5*time.Second {
		t.Errorf("%s with a request timeout of 5s", d.Timeout)
	}
}

// TestPollInterval_Exact requires the interval after each poll without a change.
func TestPollInterval_Exact(t *testing.T) {
	for name, test := range map[string]struct {
		b    *object
		want []time.Duration
	}{
		"in progress": {tracked(), []time.Duration{2000, 3000, 4500, 6750, 10125, 15187, 22781, 34171, 51257, 60000, 60000}},
		"cancelling":  {tracked(cancelWanted, cancelAccepted), []time.Duration{2000, 3000, 4500, 6750, 10000, 10000}},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(test.b, lifecycle.State{}, epoch)
			at := epoch
			for i, want := range test.want {
				if got := r.next.Sub(at) / time.Millisecond; got != want {
					t.Errorf("the interval after poll %d is %d ms, want %d ms", i+1, got, want)
				}
				at = r.next
				r = r.again()
			}
		})
	}
}

// TestNotFound_Exact requires that a 404 is believed the second time in a row, after the grace period
// and not before.
func TestNotFound_Exact(t *testing.T) {
	missing := fails(upstream.NotFound)
	for _, test := range (offsets{{-1, v1alpha1.ReasonInProgress}, {0, v1alpha1.ReasonBatchNotFound}}) {
		b := tracked(func(b *object) { b.Status.CreatedAt.Time = epoch })
		r := run(b, lifecycle.State{}, epoch.Add(10*time.Second), missing)
		if r.reason() != v1alpha1.ReasonInProgress {
			t.Fatalf("the first 404: %s", r.reason())
		}
		if r = run(r.object, r.state, epoch.Add(config.NotFoundGrace+test.offset), missing); r.reason() != test.want {
			t.Errorf("the second 404, %s after the grace period: %s, want %s", test.offset, r.reason(), test.want)
		}
	}
	r := run(tracked(), lifecycle.State{}, epoch.Add(time.Hour), missing)
	if r.reason() != v1alpha1.ReasonInProgress || r.next.Sub(epoch.Add(time.Hour)) != config.PollMin {
		t.Errorf("the first 404 after the grace period: %s, next in %s", r.reason(), r.next.Sub(epoch.Add(time.Hour)))
	}
}

// TestNotFound_AfterAnotherRefusal requires that a 404 is believed the second time, whatever the object was before,
// and the first time only if it was believed before.
func TestNotFound_AfterAnotherRefusal(t *testing.T) {
	missing := fails(upstream.NotFound)
	r := run(tracked(), lifecycle.State{}, epoch.Add(time.Hour), refused(upstream.Unauthorized, 401))
	for i, want := range []string{v1alpha1.ReasonCredentialsRejected, v1alpha1.ReasonBatchNotFound} {
		if r = r.again(missing); r.reason() != want {
			t.Fatalf("404 number %d: %s, want %s", i+1, r.reason(), want)
		}
	}
	restarted := run(r.object, lifecycle.State{}, r.next, missing)
	if restarted.reason() != v1alpha1.ReasonBatchNotFound || restarted.next.Sub(r.next) != 10*time.Second {
		t.Errorf("after a restart: %s, repeated after %s", restarted.reason(), restarted.next.Sub(r.next))
	}
}

// TestCancel_ExactOverdue requires that the message names each age from that age on.
func TestCancel_ExactOverdue(t *testing.T) {
	for _, test := range (offsets{
		{time.Minute - 1, "Cancellation requested"},
		{time.Minute, "Cancellation requested more than a minute ago; the batch has not stopped and may be stuck"},
		{10*time.Minute - 1, "Cancellation requested more than a minute ago; the batch has not stopped and may be stuck"},
		{10 * time.Minute, "Cancellation requested more than 10 minutes ago; the batch has not stopped and may be stuck"},
		{time.Hour, "Cancellation requested more than an hour ago; the batch has not stopped and may be stuck"},
		{24 * time.Hour, "Cancellation requested more than a day ago; the batch has not stopped and may be stuck"},
	}) {
		if r := run(tracked(cancelWanted, cancelAccepted), lifecycle.State{}, epoch.Add(test.offset)); r.message() != test.want {
			t.Errorf("after %s: %q, want %q", test.offset, r.message(), test.want)
		}
	}
}

// TestCompleted_ExactFailures requires that the message counts failed files if there are any.
func TestCompleted_ExactFailures(t *testing.T) {
	for failed, want := range []string{"2 of 2 files are in the vector store", "1 of 2 files are in the vector store; 1 failed (allowed: 1)"} {
		completed := answer(upstream.Completed)
		completed.FileCounts.Failed, completed.FileCounts.Completed = int64(failed), int64(2-failed)
		r := run(tracked(maxFailedFiles(1)), lifecycle.State{}, epoch, result{batch: completed})
		if r.message() != want || r.reason() != v1alpha1.ReasonCompleted {
			t.Errorf("%d failed: %s: %q, want %q", failed, r.reason(), r.message(), want)
		}
	}
	r := run(tracked(cancelWanted, cancelAccepted), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)})
	if want := "2 of 2 files are in the vector store; the batch completed before it could be cancelled"; r.message() != want {
		t.Errorf("completed despite the cancel: %q, want %q", r.message(), want)
	}
}

// TestDeadline_FinishedObjectIgnoresIt requires that a finished object is requeued for its expiry only.
func TestDeadline_FinishedObjectIgnoresIt(t *testing.T) {
	orphan := deletionPolicy(v1alpha1.DeletionPolicyOrphan) // needs no finalizer
	r := run(tracked(withoutFinalizers, orphan, deadline(2*time.Hour), ttl(10*time.Hour)), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)})
	if got := r.next.Sub(epoch); r.reason() != v1alpha1.ReasonCompleted || got != 10*time.Hour {
		t.Errorf("%s, requeued after %s", r.reason(), got)
	}
	r = run(tracked(withoutFinalizers, orphan, deadline(2*time.Hour)), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)})
	if !r.next.IsZero() {
		t.Errorf("an object without a TTL is requeued at %s", r.next)
	}
}

func TestDefaultConfig(t *testing.T) {
	want := lifecycle.Config{PollMin: 2 * time.Second, PollMax: 60 * time.Second, RequestTimeout: 30 * time.Second, NotFoundGrace: 30 * time.Second, FinalizeTimeout: 600 * time.Second}
	if got := lifecycle.DefaultConfig(); got != want {
		t.Errorf("DefaultConfig is %+v, want %+v", got, want)
	}
}
