// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// input is the input of Decide.
type input struct {
	b        *object
	observed lifecycle.Observed
	now      time.Time
}

// checkDecision checks the invariants of a decision that hold for every input.
func checkDecision(in input, d lifecycle.Decision) error {
	switch d.Action {
	case lifecycle.Requeue:
		if !in.b.DeletionTimestamp.IsZero() && !batch.HasFinalizer(in.b) {
			return checkUnchanged(in, d)
		}
		if err := checkStatus(in.b, d.Status); err != nil {
			return err
		}
		if acceptedCancel(in) && d.Status.CancelRequestTime == nil {
			return fmt.Errorf("the API accepted a cancel, and the status does not show it")
		}
		if err := checkSuspension(in, d); err != nil {
			return err
		}
		if err := checkPunctual(in, d); err != nil {
			return err
		}
		if err := checkGrace(in, d); err != nil {
			return err
		}
		return checkRequeue(in, d)
	case lifecycle.Delete:
		return checkDelete(in, d)
	case lifecycle.RemoveFinalizer:
		return checkRemoveFinalizer(in, d)
	case lifecycle.AddFinalizer, lifecycle.RecordBatchID, lifecycle.ClearCreatePending, lifecycle.Create, lifecycle.VerifyCreate, lifecycle.Poll, lifecycle.Cancel, lifecycle.ListFailedFiles, lifecycle.CountFiles, lifecycle.ReadStore, lifecycle.Detach:
		return checkAction(in, d.Action)
	}
	return fmt.Errorf("unknown action %d", d.Action)
}

func checkUnchanged(in input, d lifecycle.Decision) error {
	if d.RequeueAfter != 0 || !reflect.DeepEqual(d.Status, in.b.Status) {
		return fmt.Errorf("the status changed, or the object is requeued after %s", d.RequeueAfter)
	}
	return nil
}

// callsAPI reports whether an action calls the OpenAI API.
func callsAPI(action lifecycle.Action) bool {
	switch action {
	case lifecycle.Create, lifecycle.VerifyCreate, lifecycle.Poll, lifecycle.Cancel, lifecycle.ListFailedFiles, lifecycle.CountFiles, lifecycle.ReadStore, lifecycle.Detach:
		return true
	case lifecycle.Requeue, lifecycle.AddFinalizer, lifecycle.RecordBatchID, lifecycle.ClearCreatePending, lifecycle.Delete, lifecycle.RemoveFinalizer:
	}
	return false
}

func changesAPI(action lifecycle.Action) bool {
	return action == lifecycle.Create || action == lifecycle.Cancel || action == lifecycle.Detach
}

// deadlineOf returns the deadline of an object. It is not known before the first status.
func deadlineOf(in input) (at time.Time, known bool) {
	if in.b.Spec.ActiveDeadlineSeconds == nil {
		return time.Time{}, false
	}
	since := in.b.CreationTimestamp.Time
	first := meta.FindStatusCondition(in.b.Status.Conditions, v1alpha1.ConditionFinished)
	switch {
	case in.b.Status.CreatedAt != nil:
		since = later(since, in.b.Status.CreatedAt.Time)
	case in.observed.Batch != nil && in.observed.Batch.CreatedAt.Unix() > 0:
		since = later(since, in.observed.Batch.CreatedAt)
	case first != nil && first.Status == "True": // the first status is overwritten
	case first != nil:
		since = later(since, first.LastTransitionTime.Time)
	case in.observed.Batch == nil && in.b.Status.FileCounts == nil:
		return time.Time{}, false
	}
	if suspended := meta.FindStatusCondition(in.b.Status.Conditions, v1alpha1.ConditionSuspended); suspended != nil && !batch.Suspended(in.b) {
		if since = later(since, suspended.LastTransitionTime.Time); suspended.Status == "True" {
			since = in.now
		}
	}
	return since.Add(time.Duration(*in.b.Spec.ActiveDeadlineSeconds) * time.Second), true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pastDeadline reports whether the deadline requires a cancel.
func pastDeadline(in input) bool {
	at, known := deadlineOf(in)
	return known && !in.now.Before(at) && !batch.Suspended(in.b) && !finishedAtAPI(in)
}

// finishedAtAPI reports whether the batch is known to be finished at the API.
func finishedAtAPI(in input) bool {
	if in.observed.Batch != nil {
		return in.observed.Batch.Status.Terminal()
	}
	return upstream.Status(in.b.Status.Status).Terminal()
}

// mustNotCall reports whether no call may be made for an object because it is suspended.
func mustNotCall(in input) bool {
	return batch.Suspended(in.b) && !batch.CancelWanted(in.b) && in.b.DeletionTimestamp.IsZero() &&
		(in.b.Status.CancelRequestTime == nil && !acceptedCancel(in) || batch.ID(in.b) == "")
}

func detaches(b *object) bool { return b.Spec.DeletionPolicy == v1alpha1.DeletionPolicyDetachFiles }

// detachedAll reports whether this reconciliation detached the last file.
func detachedAll(in input) bool {
	return slices.Contains(in.observed.Actions, lifecycle.Detach) && in.observed.Err == nil && in.observed.Detached.Remaining == 0
}

// acceptedCancel reports whether the API accepted a cancel, as far as this process knows.
func acceptedCancel(in input) bool {
	id := batch.ID(in.b)
	return id != "" && in.observed.State.CancelledID == id
}

// finalizeDeadline returns when a deletion times out. Progress with detaching extends the timeout, and
// so does the progress of an earlier process, whose time is unknown.
func finalizeDeadline(in input) time.Time {
	since := later(in.b.DeletionTimestamp.Time, in.observed.State.DetachedAt)
	tried := slices.Contains(in.observed.Actions, lifecycle.Detach) || slices.Contains(in.observed.Actions, lifecycle.ReadStore)
	failed := tried && in.observed.Err != nil
	if failed && in.b.Status.DetachedFileCount > 0 && in.observed.State.DetachedAt.IsZero() {
		since = later(since, in.now)
	}
	return since.Add(config.FinalizeTimeout)
}

// secondEffect reports whether an action is a second change at the API in one reconciliation. A cancel
// that got a 404 changed nothing.
func secondEffect(in input, action lifecycle.Action) bool {
	cancelFailed := action == lifecycle.Detach && !acceptedCancel(in) && in.observed.State.BatchGone
	return changesAPI(action) && slices.ContainsFunc(in.observed.Actions, changesAPI) && !cancelFailed
}

// checkAction checks that an action can follow the earlier ones of the reconciliation.
func checkAction(in input, action lifecycle.Action) error {
	deleted := !in.b.DeletionTimestamp.IsZero()
	switch {
	case slices.Contains(in.observed.Actions, action):
		return fmt.Errorf("%s twice in one reconciliation", action)
	case secondEffect(in, action):
		return fmt.Errorf("%s is the second change at the API in one reconciliation, after %v", action, in.observed.Actions)
	case callsAPI(action) && batch.Finished(in.b) && !deleted && !listsAgain(in, action):
		return fmt.Errorf("%s after the batch is finished", action)
	case callsAPI(action) && mustNotCall(in):
		return fmt.Errorf("%s for a suspended object", action)
	case deleted && !batch.HasFinalizer(in.b):
		return fmt.Errorf("%s for an object without the finalizer", action)
	case deleted && in.b.Spec.DeletionPolicy == v1alpha1.DeletionPolicyOrphan:
		return fmt.Errorf("%s for a deleted object with deletionPolicy Orphan", action)
	}
	return checkCall(in, action)
}

// listsAgain reports whether an action is the one call that a finished object makes: its failed files could
// not be listed when it ended, less than an hour ago.
func listsAgain(in input, action lifecycle.Action) bool {
	state, status := in.observed.State, in.b.Status
	return action == lifecycle.ListFailedFiles && state.Failed == action && state.Failures > 0 &&
		status.FileCounts != nil && len(status.FailedFiles) < min(int(status.FileCounts.Failed), 100) && !batch.Suspended(in.b) &&
		in.now.Before(status.CompletionTime.Add(time.Hour))
}

// checkListAgain checks when a finished object is requeued to list its failed files. It reports whether it
// is.
func checkListAgain(in input, d lifecycle.Decision) (bool, error) {
	if d.State.Failed != lifecycle.ListFailedFiles || d.State.Failures == 0 || d.RequeueAfter == 0 {
		return false, nil
	}
	next := d.State.NextCall
	again := input{b: &object{ObjectMeta: in.b.ObjectMeta, Spec: in.b.Spec, Status: d.Status}, observed: lifecycle.Observed{State: d.State}, now: next}
	if next.Sub(in.now) > 12*time.Minute || d.RequeueAfter > next.Sub(in.now) || !listsAgain(again, lifecycle.ListFailedFiles) {
		return true, fmt.Errorf("requeued after %s, and the failed files are listed again after %s", d.RequeueAfter, next.Sub(in.now))
	}
	return true, nil
}

// checkCall checks that the object requires an action.
func checkCall(in input, action lifecycle.Action) error {
	switch action {
	case lifecycle.Create:
		return checkCreate(in)
	case lifecycle.Poll:
		if cancelForgotten(in) && (in.b.DeletionTimestamp.IsZero() || !batch.Stopped(in.b)) {
			return fmt.Errorf("polled a batch before the requested cancel")
		}
	case lifecycle.Cancel:
		if in.b.DeletionTimestamp.IsZero() && !batch.CancelWanted(in.b) && !pastDeadline(in) && in.b.Status.CancelRequestTime == nil {
			return fmt.Errorf("cancelled without a request")
		}
		acceptedAt := in.b.Status.CancelRequestTime
		repeated := acceptedAt != nil && slices.ContainsFunc([]time.Duration{10 * time.Minute, time.Hour, 24 * time.Hour}, func(after time.Duration) bool {
			return !in.now.Before(acceptedAt.Add(after)) && in.observed.State.CancelSentAt.Before(acceptedAt.Add(after))
		})
		if (acceptedAt != nil || acceptedCancel(in)) && !repeated {
			return fmt.Errorf("cancelled again")
		}
	case lifecycle.Detach:
		return checkDetach(in)
	case lifecycle.Requeue, lifecycle.AddFinalizer, lifecycle.RecordBatchID, lifecycle.ClearCreatePending, lifecycle.VerifyCreate, lifecycle.ListFailedFiles, lifecycle.CountFiles, lifecycle.ReadStore, lifecycle.Delete, lifecycle.RemoveFinalizer:
	}
	return nil
}

// checkDetach checks that files are detached only on request, and not while the batch can attach them
// again.
func checkDetach(in input) error {
	startedAt, pending := batch.CreatePending(in.b, in.now)
	inFlight := in.now.Before(startedAt.Add(config.RequestTimeout + batch.ClockSkew))
	stopped := in.b.Status.CancelRequestTime != nil || upstream.Status(in.b.Status.Status).Terminal()
	switch {
	case in.b.DeletionTimestamp.IsZero() || !detaches(in.b):
		return fmt.Errorf("detached files without a request")
	case batch.ID(in.b) == "" && !pending:
		return fmt.Errorf("detached files of a batch that was never created")
	case batch.ID(in.b) == "" && inFlight:
		return fmt.Errorf("detached files while a create may be in flight")
	case !in.observed.State.Located:
		return fmt.Errorf("detached files though neither the batch nor the store was found")
	case batch.ID(in.b) != "" && !stopped && !in.observed.State.BatchGone:
		return fmt.Errorf("detached files of a batch that may be in progress")
	}
	return nil
}

// checkRemoveFinalizer checks that the deletionPolicy was carried out before.
func checkRemoveFinalizer(in input, d lifecycle.Decision) error {
	if !batch.HasFinalizer(in.b) {
		return fmt.Errorf("removed the finalizer of an object that has none")
	}
	if in.b.DeletionTimestamp.IsZero() {
		return checkDropFinalizer(in, d)
	}
	_, pending := batch.CreatePending(in.b, in.now)
	neverCreated := batch.ID(in.b) == "" && in.observed.State.CreatedID == "" && (!pending || batch.Stopped(in.b) && batch.LostCreates(in.b) == 0)
	storeGone := slices.Contains(in.observed.Actions, lifecycle.ReadStore) && in.observed.Err == nil && !in.observed.StoreExists
	warned := slices.ContainsFunc(d.Events, func(e lifecycle.Event) bool { return e.Warning && strings.Contains(e.Message, "may be ") })
	gaveUp := warned && !in.now.Before(finalizeDeadline(in))
	if detaches(in.b) && !detachedAll(in) && !neverCreated && !storeGone && !gaveUp {
		return fmt.Errorf("removed the finalizer with files in the store, without a warning")
	}
	return checkUnchanged(in, d)
}

// finalizerNeeded reports whether a deletion in a status would have something to do at the API.
func finalizerNeeded(b *object, status v1alpha1.VectorStoreFileBatchStatus) bool {
	orphan := b.Spec.DeletionPolicy == v1alpha1.DeletionPolicyOrphan || b.Spec.DeletionPolicy == "" && batch.Adopted(b)
	finished := meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionFinished)
	_, pending := batch.CreatePending(b, epoch)
	stopped := status.CancelRequestTime != nil || upstream.Status(status.Status).Terminal()
	running := pending && (!stopped || batch.LostCreates(b) > 0)
	return !orphan && (!finished || detaches(b) && (batch.ID(b) != "" || status.BatchID != "" || running))
}

// checkDropFinalizer checks that only a finalizer that is not needed is removed before the deletion, and
// that nothing is forgotten with it.
func checkDropFinalizer(in input, d lifecycle.Decision) error {
	switch {
	case finalizerNeeded(in.b, in.b.Status):
		return fmt.Errorf("removed the finalizer of an object whose deletion calls the API")
	case len(in.observed.Actions) > 0 || len(d.Events) > 0:
		return fmt.Errorf("removed the finalizer after %v, with Events %+v", in.observed.Actions, d.Events)
	case d.RequeueAfter <= 0 || d.RequeueAfter > time.Second || d.State != in.observed.State || !reflect.DeepEqual(d.Status, in.b.Status):
		return fmt.Errorf("removed the finalizer, and not reconciled as before after %s", d.RequeueAfter)
	}
	return nil
}

// checkDelete checks that only an expired object is deleted.
func checkDelete(in input, d lifecycle.Decision) error {
	after, completionTime := in.b.Spec.TTLSecondsAfterFinished, in.b.Status.CompletionTime
	switch {
	case !in.b.DeletionTimestamp.IsZero() || !batch.Finished(in.b):
		return fmt.Errorf("deleted an object that is not finished, or already deleted")
	case after == nil || completionTime == nil || in.now.Before(completionTime.Add(time.Duration(*after)*time.Second)):
		return fmt.Errorf("deleted an object whose time to live has not expired")
	case detaches(in.b) && batch.ID(in.b) != "" && !batch.HasFinalizer(in.b):
		return fmt.Errorf("deleted an object without the finalizer before its files are detached")
	case len(d.Events) != 1 || d.Events[0].Reason != v1alpha1.ReasonTTLExpired || d.Events[0].Warning:
		return fmt.Errorf("deleted an object with Events %+v", d.Events)
	}
	return checkUnchanged(in, d)
}

// checkSuspension checks that an object is reported as suspended if, and only if, it is.
func checkSuspension(in input, d lifecycle.Decision) error {
	reported := reasonOf(d.Status) == v1alpha1.ReasonSuspended
	if want := mustNotCall(in) && !batch.Finished(in.b); reported != want {
		return fmt.Errorf("reason %s, though the object is suspended: %t", reasonOf(d.Status), want)
	}
	if reported && d.RequeueAfter != 0 {
		return fmt.Errorf("a suspended object is requeued after %s", d.RequeueAfter)
	}
	return nil
}

// checkPunctual checks that the object is requeued in time for its deadlines.
func checkPunctual(in input, d lifecycle.Decision) error {
	latest, set := latestRequeue(in, d)
	if left := latest.Sub(in.now); set && left > 0 && (d.RequeueAfter <= 0 || d.RequeueAfter > left) {
		return fmt.Errorf("requeued after %s, and a deadline is in %s", d.RequeueAfter, left)
	}
	return nil
}

// checkGrace checks that a refusal is final if, and only if, the object, its spec and its Secret are the
// same for longer than the grace period. A batch that is known to be gone stays gone.
func checkGrace(in input, d lifecycle.Decision) error {
	err, ready := in.observed.Err, meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionReady)
	if err == nil || err.StatusCode == 0 || err.Kind != upstream.Unauthorized && err.Kind != upstream.NotFound {
		return nil
	}
	changedAt := later(in.b.CreationTimestamp.Time, later(in.observed.CredentialsChangedAt, in.observed.State.SpecChangedAt))
	edited := in.b.Status.ObservedGeneration > 0 && in.b.Status.ObservedGeneration != in.b.Generation
	recent := edited || in.now.Sub(changedAt) < config.NotFoundGrace
	unauthorized := err.Kind == upstream.Unauthorized
	switch ready.Reason {
	case v1alpha1.ReasonCredentialsRejected, v1alpha1.ReasonRejected:
		// A first 404 of a batch changes nothing.
		judged := unauthorized || batch.ID(in.b) == ""
		if judged && recent != (ready.Status == unknown) {
			return fmt.Errorf("%s is %s, though something changed recently: %t", ready.Reason, ready.Status, recent)
		}
	case v1alpha1.ReasonBatchNotFound:
		before := meta.FindStatusCondition(in.b.Status.Conditions, v1alpha1.ConditionReady)
		known := before != nil && before.Reason == ready.Reason && before.Status == no
		if recent && !known && ready.Status != unknown {
			return fmt.Errorf("%s is final, though something changed recently", ready.Reason)
		}
	}
	return nil
}

// latestRequeue returns the latest time for which the object must be requeued.
func latestRequeue(in input, d lifecycle.Decision) (at time.Time, set bool) {
	switch {
	case !in.b.DeletionTimestamp.IsZero():
		return finalizeDeadline(in), true
	case batch.ID(in.b) == "" || d.RequeueAfter <= 0 || meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionFinished):
		return time.Time{}, false
	}
	if end, ending := endOf(in, d.Status); ending {
		return end, true
	}
	at, set = deadlineOf(in)
	return at, set && !batch.Suspended(in.b)
}

// endOf returns when an object has to be finished, if a status is persisted: a minute after its deadline,
// and not earlier than half a minute after its cancel began, or a minute after a cancel began that the
// spec requests.
func endOf(in input, status v1alpha1.VectorStoreFileBatchStatus) (at time.Time, set bool) {
	start := status.CancelStartTime
	if start == nil {
		start = status.CancelRequestTime
	}
	if start == nil {
		return time.Time{}, false
	}
	deadlineAt, known := deadlineOf(in)
	accepted := status.CancelRequestTime
	byDeadline := known && accepted != nil && !accepted.Time.Before(deadlineAt) && !batch.CancelWanted(in.b)
	// A minute, or what it takes to find out about a create whose outcome is unknown, but not two minutes.
	after := func(cause time.Time) time.Time {
		end := cause.Add(time.Minute)
		if startedAt, pending := batch.CreatePending(in.b, in.now); pending && batch.ID(in.b) == "" {
			verified := startedAt.Add(config.RequestTimeout + batch.ClockSkew + config.NotFoundGrace + 10*time.Second)
			if latest := cause.Add(110 * time.Second); latest.Before(verified) {
				verified = latest
			}
			end = later(end, verified)
		}
		return end
	}
	if byDeadline || known && !in.now.Before(deadlineAt) && !batch.Suspended(in.b) {
		at, set = later(after(deadlineAt), start.Add(30*time.Second)), true
	}
	if byCancel := after(start.Time); accepted == nil && batch.CancelWanted(in.b) && (!set || byCancel.Before(at)) {
		at, set = byCancel, true
	}
	return at, set
}

func checkCreate(in input) error {
	if id := batch.ID(in.b); id != "" {
		return fmt.Errorf("created though batch %s is known", id)
	}
	if in.observed.State.CreatedID != "" {
		return fmt.Errorf("created though batch %s was created", in.observed.State.CreatedID)
	}
	if !in.b.DeletionTimestamp.IsZero() {
		return fmt.Errorf("created for a deleted object")
	}
	if _, err := batch.CreateRequest(in.b); err != nil {
		return fmt.Errorf("created from an invalid spec: %w", err)
	}
	return nil
}

// cancelForgotten reports whether the spec or the deadline requires a cancel that this reconciliation
// did not try, and that is not backed off.
func cancelForgotten(in input) bool {
	backedOff := in.observed.State.Failed == lifecycle.Cancel && in.observed.State.Failures > 0 && in.now.Before(in.observed.State.NextCall)
	if end, ending := endOf(in, in.b.Status); ending && !in.now.Before(end) {
		return false // only a last poll is left
	}
	if in.b.Status.CreatedAt == nil && in.b.Status.FileCounts == nil && !batch.CancelWanted(in.b) && in.observed.State.Failures == 0 {
		return false // a poll shows when the batch was created
	}
	return (batch.CancelWanted(in.b) || pastDeadline(in)) && in.b.Status.CancelRequestTime == nil && !acceptedCancel(in) &&
		!slices.Contains(in.observed.Actions, lifecycle.Cancel) && !backedOff
}

// checkStatus checks a status against the table of conditions, the bounds of the CRD, and the status
// before.
func checkStatus(before *object, status v1alpha1.VectorStoreFileBatchStatus) error {
	if status.ObservedGeneration != before.Generation {
		return fmt.Errorf("observedGeneration is %d, want %d", status.ObservedGeneration, before.Generation)
	}
	if err := checkConditions(status); err != nil {
		return err
	}
	for _, condition := range status.Conditions {
		old := meta.FindStatusCondition(before.Status.Conditions, condition.Type)
		if old != nil && old.Status == condition.Status && !old.LastTransitionTime.Equal(&condition.LastTransitionTime) {
			return fmt.Errorf("%s is still %s, and its lastTransitionTime changed", condition.Type, condition.Status)
		}
	}
	finished := meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionFinished)
	if finished != (status.CompletionTime != nil) && !beingDetached(before) {
		return fmt.Errorf("completionTime is %v, and Finished is %t", status.CompletionTime, finished)
	}
	if batch.Finished(before) && !beingDetached(before) {
		if err := checkFinal(before.Status, status); err != nil {
			return err
		}
	}
	return checkBounds(status)
}

// beingDetached reports whether the batch of a deleted object is being cancelled, or its files detached. A
// finished object is reconciled again then.
func beingDetached(b *object) bool {
	return !b.DeletionTimestamp.IsZero() && (detaches(b) || !batch.Stopped(b))
}

// checkConditions checks the five conditions against the row of the table for their reason.
func checkConditions(status v1alpha1.VectorStoreFileBatchStatus) error {
	reason := reasonOf(status)
	row, known := rowOf(reason)
	if !known {
		return fmt.Errorf("the table has no row for %q", reason)
	}
	if other, exists := otherRows[reason]; exists && meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady).Status == other.ready {
		row = other
	}
	suspended := 0
	if meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionSuspended) != nil {
		suspended = 1
	}
	if len(status.Conditions) != len(row.conditions())+suspended {
		return fmt.Errorf("%d conditions are set", len(status.Conditions))
	}
	if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionReconciling) && meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionStalled) {
		return fmt.Errorf("both Reconciling and Stalled are true")
	}
	for _, want := range row.conditions() {
		got := meta.FindStatusCondition(status.Conditions, want.Type)
		switch {
		case got == nil:
			return fmt.Errorf("%s is missing", want.Type)
		case got.Status != want.Status:
			return fmt.Errorf("%s is %s with reason %s, want %s", want.Type, got.Status, reason, want.Status)
		case got.Reason != reason:
			return fmt.Errorf("%s has reason %s, want %s", want.Type, got.Reason, reason)
		case got.ObservedGeneration != status.ObservedGeneration:
			return fmt.Errorf("%s has observedGeneration %d", want.Type, got.ObservedGeneration)
		case utf8.RuneCountInString(got.Message) > 32768 || !utf8.ValidString(got.Message) || got.LastTransitionTime.IsZero():
			return fmt.Errorf("an API server would reject %s", want.Type)
		}
	}
	return nil
}

// checkFinal checks that the status of a finished batch did not change.
func checkFinal(before, after v1alpha1.VectorStoreFileBatchStatus) error {
	judged := func(reason string) bool { // by spec.maxFailedFiles, which can be edited
		return reason == v1alpha1.ReasonCompleted || reason == v1alpha1.ReasonFilesFailed
	}
	from, to := reasonOf(before), reasonOf(after)
	if from != to && (!judged(from) || !judged(to)) {
		return fmt.Errorf("%s became %s after the batch was finished", from, to)
	}
	if !meta.IsStatusConditionTrue(after.Conditions, v1alpha1.ConditionFinished) {
		return fmt.Errorf("Finished is no longer true")
	}
	before.Conditions, after.Conditions = nil, nil
	before.ObservedGeneration, after.ObservedGeneration = 0, 0
	before.BatchID, after.BatchID = "", "" // it can be restored

	if len(after.FailedFiles) > len(before.FailedFiles) { // they are listed later
		before.FailedFiles, after.FailedFiles = nil, nil
	}
	if !reflect.DeepEqual(before, after) {
		return fmt.Errorf("the status of a finished batch changed")
	}
	return nil
}

// checkBounds checks a status against the bounds of the CRD.
func checkBounds(status v1alpha1.VectorStoreFileBatchStatus) error {
	short := func(text string, limit int) bool {
		return utf8.RuneCountInString(text) <= limit && utf8.ValidString(text)
	}
	if !short(status.BatchID, 128) || !short(status.Status, 128) {
		return fmt.Errorf("batchID or status is too long")
	}
	if c := status.FileCounts; c != nil && min(c.InProgress, c.Completed, c.Failed, c.Cancelled, c.Total) < 0 {
		return fmt.Errorf("a count is negative: %+v", *c)
	}
	if len(status.FailedFiles) > 100 {
		return fmt.Errorf("%d failed files are listed", len(status.FailedFiles))
	}
	for _, file := range status.FailedFiles {
		if file.FileID == "" || !short(file.FileID, 128) || !short(file.Code, 128) || !short(file.Message, 1024) {
			return fmt.Errorf("a failed file exceeds the bounds: %+v", file)
		}
	}
	if !slices.IsSortedFunc(status.FailedFiles, func(a, b v1alpha1.FailedFile) int { return strings.Compare(a.FileID, b.FileID) }) {
		return fmt.Errorf("the failed files are not sorted")
	}
	return nil
}

// checkRequeue checks that an object is requeued, and not too early.
func checkRequeue(in input, d lifecycle.Decision) error {
	finished := meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionFinished)
	deleted := !in.b.DeletionTimestamp.IsZero()
	switch {
	case finished && !deleted:
		return checkTimeToLive(in, d)
	case onlyEditHelps(in, d) && !deleted:
		return nil
	case batch.ID(in.b) != "" && !deleted && cancelForgotten(in) && !finishedAtAPI(in) && d.RequeueAfter > 2*time.Millisecond:
		return fmt.Errorf("requeued after %s with a cancel to send", d.RequeueAfter)
	case d.RequeueAfter <= 0:
		return fmt.Errorf("not requeued in state %s", reasonOf(d.Status))
	}
	if least, next := leastWait(in), d.State.NextCall.Sub(in.now); next < least {
		return fmt.Errorf("the next call is due after %s, and the API requires %s", next, least)
	}
	return nil
}

// onlyEditHelps reports whether only an edit of the spec can change an object's reason.
func onlyEditHelps(in input, d lifecycle.Decision) bool {
	_, invalid := batch.CreateRequest(in.b)
	rejected := invalid != nil && batch.ID(in.b) == "" && reasonOf(d.Status) == v1alpha1.ReasonInvalidSpec
	return rejected || reasonOf(d.Status) == v1alpha1.ReasonSuspended
}

// checkTimeToLive checks that a finished object is requeued for the end of its time to live, and for
// nothing else.
func checkTimeToLive(in input, d lifecycle.Decision) error {
	if batch.HasFinalizer(in.b) != finalizerNeeded(in.b, d.Status) {
		if d.RequeueAfter <= 0 || d.RequeueAfter > time.Second || batch.Finished(in.b) && len(in.observed.Actions) == 0 {
			return fmt.Errorf("requeued after %s, though the finalizer has to be added or removed", d.RequeueAfter)
		}
		return nil
	}
	if again, err := checkListAgain(in, d); again || err != nil {
		return err
	}
	if in.b.Spec.TTLSecondsAfterFinished == nil {
		if d.RequeueAfter != 0 {
			return fmt.Errorf("a finished object is requeued after %s", d.RequeueAfter)
		}
		return nil
	}
	left := d.Status.CompletionTime.Add(time.Duration(*in.b.Spec.TTLSecondsAfterFinished) * time.Second).Sub(in.now)
	switch {
	case left > 0 && d.RequeueAfter != left:
		return fmt.Errorf("requeued after %s, and the object expires in %s", d.RequeueAfter, left)
	case left <= 0 && (batch.Finished(in.b) || d.RequeueAfter <= 0 || d.RequeueAfter > time.Second):
		return fmt.Errorf("requeued after %s, though the object has expired", d.RequeueAfter)
	}
	return nil
}

// leastWait returns how long the last response of the API requires to wait. A cancel does not wait for
// the next poll, and a deletion waits no longer than its timeout.
func leastWait(in input) time.Duration {
	if in.observed.Err != nil {
		least := min(in.observed.Err.RetryAfter, 5*time.Minute) // then one call finds out
		if batch.CancelWanted(in.b) && batch.ID(in.b) == "" && in.observed.Err.Kind == upstream.UnknownOutcome {
			return 0 // the create does not delay the cancel
		}
		if !in.b.DeletionTimestamp.IsZero() {
			least = min(least, finalizeDeadline(in).Sub(in.now))
		}
		return least
	}
	cancelPending := (batch.CancelWanted(in.b) || pastDeadline(in)) && in.b.Status.CancelRequestTime == nil && !acceptedCancel(in)
	if in.observed.Batch == nil || !in.b.DeletionTimestamp.IsZero() || cancelPending {
		return 0
	}
	return in.observed.Batch.PollAfter
}

// unknownStatus is a status of a batch that this operator does not know.
const unknownStatus upstream.Status = "finalizing"
