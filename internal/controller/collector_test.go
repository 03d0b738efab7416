// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
)

// newBatch returns an object with a status, and with conditions if there is a reason.
func newBatch(uid types.UID, status, reason string) *v1alpha1.VectorStoreFileBatch {
	b := &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{UID: uid, Finalizers: []string{v1alpha1.Finalizer}}}
	b.Status.Status = status
	if reason != "" {
		finished := metav1.ConditionFalse
		if reason == v1alpha1.ReasonCompleted {
			finished = metav1.ConditionTrue
		}
		b.Status.Conditions = []metav1.Condition{
			{Type: v1alpha1.ConditionReady, Status: metav1.ConditionUnknown, Reason: reason},
			{Type: v1alpha1.ConditionFinished, Status: finished, Reason: reason},
		}
	}
	return b
}

// wantMetrics checks that the collector exposes these samples, and no others of the same names.
func wantMetrics(t *testing.T, c *stateCollector, names []string, samples ...string) {
	t.Helper()
	var want strings.Builder
	for _, sample := range samples {
		want.WriteString(sample + "\n")
	}
	problems, err := testutil.CollectAndLint(c)
	problems = slices.DeleteFunc(problems, func(p promlint.Problem) bool { return p.Metric == conditionsName }) // a name that other operators use too
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	families, err := testutil.CollectAndFormat(c, expfmt.TypeTextPlain, names...)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for line := range strings.Lines(string(families)) {
		if !strings.HasPrefix(line, "#") {
			got.WriteString(line)
		}
	}
	if got.String() != want.String() {
		t.Errorf("got\n%swant\n%s", got.String(), want.String())
	}
}

const (
	countName      = "vector_store_operator_batches"
	agesPrefix     = "vector_store_operator_"
	inProgress     = "in_progress"
	progressAge    = agesPrefix + "oldest_progress_age_seconds"
	pollAge        = agesPrefix + "poll_age_seconds"
	cancelAge      = agesPrefix + "pending_cancel_seconds"
	conditionsName = "operator_status_condition_count"
)

func TestStateCollector_CountsEachObjectOnce(t *testing.T) {
	c := newStateCollector(clocktesting.NewFakePassiveClock(time.Unix(1000, 0)), false)
	c.ObserveUpdate(nil, newBatch("a", "", ""))
	if count := testutil.CollectAndCount(c); count != 0 {
		t.Errorf("a process that is not the leader exposes %d samples", count)
	}
	c.lead()
	c.ObserveUpdate(nil, newBatch("b", inProgress, v1alpha1.ReasonInProgress))
	c.ObserveUpdate(nil, newBatch("c", "somewhat_done", v1alpha1.ReasonInProgress))
	wantMetrics(t, c, []string{countName},
		countName+`{reason="InProgress",status="in_progress"} 1`,
		countName+`{reason="InProgress",status="other"} 1`,
		countName+`{reason="none",status="none"} 1`)
	c.ObserveUpdate(newBatch("a", "", ""), newBatch("a", inProgress, v1alpha1.ReasonInProgress))
	c.ObserveUpdate(newBatch("b", inProgress, v1alpha1.ReasonInProgress), newBatch("b", "completed", v1alpha1.ReasonCompleted))
	c.ObserveUpdate(newBatch("c", "somewhat_done", v1alpha1.ReasonInProgress), nil)
	wantMetrics(t, c, []string{countName},
		countName+`{reason="Completed",status="completed"} 1`,
		countName+`{reason="InProgress",status="in_progress"} 1`)
	condition := func(conditionType, reason, status string) string {
		return conditionsName + `{group="vector-store-operator.dev",kind="VectorStoreFileBatch",reason="` + reason + `",status="` + status + `",type="` + conditionType + `"} 1`
	}
	wantMetrics(t, c, []string{conditionsName},
		condition("Finished", "Completed", "True"), condition("Ready", "Completed", "Unknown"),
		condition("Finished", "InProgress", "False"), condition("Ready", "InProgress", "Unknown"))
	if len(c.active) != 1 {
		t.Errorf("%d batches are active, want 1", len(c.active))
	}
}

func TestStateCollector_CountsByNamespace(t *testing.T) {
	const name = "vector_store_operator_namespace_batches"
	in := func(namespace string, b *v1alpha1.VectorStoreFileBatch) *v1alpha1.VectorStoreFileBatch {
		b.Namespace = namespace
		return b
	}
	for byNamespace, want := range map[bool][]string{
		false: nil,
		true: {
			name + `{object_namespace="team-a",reason="Completed"} 1`,
			name + `{object_namespace="team-a",reason="none"} 1`,
			name + `{object_namespace="team-b",reason="InProgress"} 1`,
		},
	} {
		c := newStateCollector(clocktesting.NewFakePassiveClock(time.Unix(1000, 0)), byNamespace)
		c.lead()
		c.ObserveUpdate(nil, in("team-a", newBatch("a", "", "")))
		c.ObserveUpdate(nil, in("team-a", newBatch("b", inProgress, v1alpha1.ReasonInProgress)))
		c.ObserveUpdate(nil, in("team-b", newBatch("c", inProgress, v1alpha1.ReasonInProgress)))
		c.ObserveUpdate(nil, in("team-c", newBatch("d", inProgress, v1alpha1.ReasonInProgress)))
		c.ObserveUpdate(in("team-a", newBatch("b", inProgress, v1alpha1.ReasonInProgress)), in("team-a", newBatch("b", "completed", v1alpha1.ReasonCompleted)))
		c.ObserveUpdate(in("team-c", newBatch("d", inProgress, v1alpha1.ReasonInProgress)), nil)
		wantMetrics(t, c, []string{name}, want...)
	}
}

func TestStateCollector_GreatestAges(t *testing.T) {
	start := time.Unix(1000, 0)
	clock := clocktesting.NewFakePassiveClock(start)
	c := newStateCollector(clock, false)
	at := func(seconds int) { clock.SetTime(start.Add(time.Duration(seconds) * time.Second)) }
	ages := func(progress, poll, cancel string) {
		t.Helper()
		wantMetrics(t, c, []string{progressAge, pollAge, cancelAge}, progressAge+" "+progress, cancelAge+" "+cancel, pollAge+" "+poll)
	}

	a := newBatch("a", inProgress, v1alpha1.ReasonInProgress)
	c.ObserveUpdate(nil, a)
	at(10)
	c.lead()
	ages("10", "0", "0") // polls of an earlier leader do not count

	at(30)
	c.observeCall("a", lifecycle.Poll)
	at(35)
	ages("35", "5", "0")

	progressed := a.DeepCopy()
	progressed.Status.FileCounts = &v1alpha1.FileCounts{Completed: 1, Total: 2}
	c.ObserveUpdate(a, progressed)
	cancelled := progressed.DeepCopy()
	cancelled.Spec.Cancel = ptr.To(true)
	at(40)
	c.ObserveUpdate(progressed, cancelled)
	at(47)
	ages("12", "17", "7")

	accepted := cancelled.DeepCopy()
	accepted.Status.CancelRequestTime = ptr.To(metav1.Now())
	c.observeCall("a", lifecycle.Cancel)
	c.ObserveUpdate(cancelled, accepted)
	ages("12", "0", "0")

	rejected := newBatch("b", "", v1alpha1.ReasonCredentialsRejected)
	c.ObserveUpdate(nil, rejected)
	c.ObserveUpdate(accepted, nil)
	at(90)
	ages("0", "0", "0") // a batch that needs a user is not stuck, and has another alert
}

// TestStateCollector_NoFalseAges: files that are detached are no cancel that waits, and neither is the
// cancel of a batch that is gone. A poll is not late while the API asked to wait.
// TestStateCollector_ForgetsReplacedObjects: an object can be replaced by another one of its name while the watch is
// interrupted. Then its deletion is never reported.
func TestStateCollector_ForgetsReplacedObjects(t *testing.T) {
	start := time.Unix(1000, 0)
	clock := clocktesting.NewFakePassiveClock(start)
	c := newStateCollector(clock, false)
	c.lead()
	first, second := newBatch("a", inProgress, v1alpha1.ReasonInProgress), newBatch("b", inProgress, v1alpha1.ReasonInProgress)
	first.Spec.Cancel = ptr.To(true)
	c.ObserveUpdate(nil, first)
	clock.SetTime(start.Add(time.Hour))
	c.ObserveUpdate(first, second)
	clock.SetTime(start.Add(time.Hour + time.Minute))
	wantMetrics(t, c, []string{progressAge, pollAge, cancelAge}, progressAge+" 60", cancelAge+" 0", pollAge+" 60")
	c.ObserveUpdate(second, nil)
	if len(c.active)+len(c.batches)+len(c.conditions) != 0 {
		t.Errorf("the collector still has %v, %v and %v", c.active, c.batches, c.conditions)
	}
}

func TestStateCollector_NoFalseAges(t *testing.T) {
	for _, action := range []lifecycle.Action{lifecycle.ReadStore, lifecycle.Detach} {
		start := time.Unix(1000, 0)
		clock := clocktesting.NewFakePassiveClock(start)
		c := newStateCollector(clock, false)
		c.lead()
		deleted := newBatch("a", inProgress, v1alpha1.ReasonDeleting)
		deleted.DeletionTimestamp, deleted.Status.BatchID = ptr.To(metav1.Now()), "batch_1"
		deleted.Finalizers = []string{v1alpha1.Finalizer}
		c.ObserveUpdate(nil, deleted)
		clock.SetTime(start.Add(5 * time.Minute))
		wantMetrics(t, c, []string{cancelAge}, cancelAge+" 300")
		c.observeCall("a", action)
		c.ObserveUpdate(deleted, deleted)
		clock.SetTime(start.Add(10 * time.Minute))
		wantMetrics(t, c, []string{cancelAge}, cancelAge+" 0")
	}
	start := time.Unix(1000, 0)
	clock := clocktesting.NewFakePassiveClock(start)
	c := newStateCollector(clock, false)
	c.lead()
	c.ObserveUpdate(nil, newBatch("a", inProgress, v1alpha1.ReasonInProgress))
	c.observeHold("a", start.Add(time.Hour))
	clock.SetTime(start.Add(time.Hour + time.Minute))
	wantMetrics(t, c, []string{pollAge}, pollAge+" 60")
}

// BenchmarkStateCollector_Collect measures a scrape with 50,000 batches in progress.
func BenchmarkStateCollector_Collect(b *testing.B) {
	c := newStateCollector(clocktesting.NewFakePassiveClock(time.Unix(1000, 0)), false)
	c.lead()
	for i := range 50_000 {
		c.ObserveUpdate(nil, newBatch(types.UID(strconv.Itoa(i)), inProgress, v1alpha1.ReasonInProgress))
	}
	for b.Loop() {
		if testutil.CollectAndCount(c) == 0 {
			b.Fatal("no metric is exposed")
		}
	}
}

// BenchmarkStateCollector_ObserveUpdate measures an event of the watch with 50,000 batches in progress.
func BenchmarkStateCollector_ObserveUpdate(b *testing.B) {
	c := newStateCollector(clocktesting.NewFakePassiveClock(time.Unix(1000, 0)), false)
	object := newBatch("0", inProgress, v1alpha1.ReasonInProgress)
	for i := range 50_000 {
		c.ObserveUpdate(nil, newBatch(types.UID(strconv.Itoa(i)), inProgress, v1alpha1.ReasonInProgress))
	}
	for b.Loop() {
		c.ObserveUpdate(object, object)
	}
}
