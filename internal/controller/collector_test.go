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

func watched(uid types.UID, status, reason string) *v1alpha1.VectorStoreFileBatch {
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

// gauges demands that the census exposes these lines, and no others of the same names.
func gauges(t *testing.T, c *stateCollector, names []string, lines ...string) {
	t.Helper()
	var want strings.Builder
	for _, line := range lines {
		want.WriteString(line + "\n")
	}
	problems, err := testutil.CollectAndLint(c)
	problems = slices.DeleteFunc(problems, func(p promlint.Problem) bool { return p.Metric == conditionsN }) // others chose that name
	if err != nil || len(problems) > 0 {
		t.Errorf("the metrics break a rule: %v, %v", problems, err)
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
		t.Errorf("it exposes\n%swant\n%s", got.String(), want.String())
	}
}

const (
	countName   = "vector_store_operator_batches"
	agesPrefix  = "vector_store_operator_"
	inProgress  = "in_progress"
	progressAge = agesPrefix + "oldest_progress_age_seconds"
	pollAge     = agesPrefix + "poll_age_seconds"
	cancelAge   = agesPrefix + "pending_cancel_seconds"
	conditionsN = "operator_status_condition_count"
)

func TestCensusCountsEachObjectOnce(t *testing.T) {
	c := newStateCollector(clocktesting.NewFakePassiveClock(time.Unix(1000, 0)))
	c.ObserveUpdate(nil, watched("a", "", ""))
	if count := testutil.CollectAndCount(c); count != 0 {
		t.Errorf("a process that does not lead exposes %d values", count)
	}
	c.lead()
	c.ObserveUpdate(nil, watched("b", inProgress, v1alpha1.ReasonInProgress))
	c.ObserveUpdate(nil, watched("c", "somewhat_done", v1alpha1.ReasonInProgress))
	gauges(t, c, []string{countName},
		countName+`{reason="InProgress",status="in_progress"} 1`,
		countName+`{reason="InProgress",status="other"} 1`,
		countName+`{reason="none",status="none"} 1`)
	c.ObserveUpdate(watched("a", "", ""), watched("a", inProgress, v1alpha1.ReasonInProgress))
	c.ObserveUpdate(watched("b", inProgress, v1alpha1.ReasonInProgress), watched("b", "completed", v1alpha1.ReasonCompleted))
	c.ObserveUpdate(watched("c", "somewhat_done", v1alpha1.ReasonInProgress), nil)
	gauges(t, c, []string{countName},
		countName+`{reason="Completed",status="completed"} 1`,
		countName+`{reason="InProgress",status="in_progress"} 1`)
	label := func(kind, reason, status string) string {
		return conditionsN + `{group="vector-store-operator.dev",kind="VectorStoreFileBatch",reason="` + reason + `",status="` + status + `",type="` + kind + `"} 1`
	}
	gauges(t, c, []string{conditionsN},
		label("Finished", "Completed", "True"), label("Ready", "Completed", "Unknown"),
		label("Finished", "InProgress", "False"), label("Ready", "InProgress", "Unknown"))
	if len(c.active) != 1 {
		t.Errorf("it remembers %d batches that go on, want 1", len(c.active))
	}
}

func TestCensusTellsTheGreatestAges(t *testing.T) {
	start := time.Unix(1000, 0)
	clock := clocktesting.NewFakePassiveClock(start)
	c := newStateCollector(clock)
	at := func(seconds int) { clock.SetTime(start.Add(time.Duration(seconds) * time.Second)) }
	ages := func(progress, poll, cancel string) {
		t.Helper()
		gauges(t, c, []string{progressAge, pollAge, cancelAge}, progressAge+" "+progress, cancelAge+" "+cancel, pollAge+" "+poll)
	}

	a := watched("a", inProgress, v1alpha1.ReasonInProgress)
	c.ObserveUpdate(nil, a)
	at(10)
	c.lead()
	ages("10", "0", "0") // what was looked at before is not this process's business

	at(30)
	c.observeCall("a", lifecycle.Poll)
	at(35)
	ages("35", "5", "0")

	moved := a.DeepCopy()
	moved.Status.FileCounts = &v1alpha1.FileCounts{Completed: 1, Total: 2}
	c.ObserveUpdate(a, moved)
	cancelled := moved.DeepCopy()
	cancelled.Spec.Cancel = ptr.To(true)
	at(40)
	c.ObserveUpdate(moved, cancelled)
	at(47)
	ages("12", "17", "7")

	took := cancelled.DeepCopy()
	took.Status.CancelRequestedAt = ptr.To(metav1.Now())
	c.observeCall("a", lifecycle.Cancel)
	c.ObserveUpdate(cancelled, took)
	ages("12", "0", "0")

	refused := watched("b", "", v1alpha1.ReasonCredentialsRejected)
	c.ObserveUpdate(nil, refused)
	c.ObserveUpdate(took, nil)
	at(90)
	ages("0", "0", "0") // what somebody has to mend is not stuck, and has an alert of its own
}

// BenchmarkScrapeOfManyBatches is what 50,000 batches in progress cost a scrape.
func BenchmarkScrapeOfManyBatches(b *testing.B) {
	c := newStateCollector(clocktesting.NewFakePassiveClock(time.Unix(1000, 0)))
	c.lead()
	for i := range 50_000 {
		c.ObserveUpdate(nil, watched(types.UID(strconv.Itoa(i)), inProgress, v1alpha1.ReasonInProgress))
	}
	for b.Loop() {
		if testutil.CollectAndCount(c) == 0 {
			b.Fatal("nothing is exposed")
		}
	}
}

// BenchmarkEventOfManyBatches is what an event costs among 50,000 batches in progress.
func BenchmarkEventOfManyBatches(b *testing.B) {
	c := newStateCollector(clocktesting.NewFakePassiveClock(time.Unix(1000, 0)))
	object := watched("0", inProgress, v1alpha1.ReasonInProgress)
	for i := range 50_000 {
		c.ObserveUpdate(nil, watched(types.UID(strconv.Itoa(i)), inProgress, v1alpha1.ReasonInProgress))
	}
	for b.Loop() {
		c.ObserveUpdate(object, object)
	}
}
