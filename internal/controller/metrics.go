// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
)

// kind is what conditions' metrics call our kind.
const kind = "VectorStoreFileBatch"

// measure counts what a pass has brought about, once it is stored: b is the object as it is
// then, and before its status until then.
func measure(b *v1alpha1.VectorStoreFileBatch, before v1alpha1.VectorStoreFileBatchStatus, decision batch.Decision) {
	if decision.Action == batch.Release {
		for _, event := range decision.Events { // there is one only where something may be left
			telemetry.FinalizersAbandoned.WithLabelValues(event.Reason).Inc()
		}
		return
	}
	if before.FileCounts == nil && b.Status.FileCounts != nil {
		origin := telemetry.Created
		if batch.Adopted(b) {
			origin = telemetry.Adopted
		}
		telemetry.BatchesStarted.WithLabelValues(origin).Inc()
	}
	if before.FinishedAt == nil && b.Status.FinishedAt != nil {
		measureLife(b)
	}
	measureConditions(before, b.Status)
}

// measureLife counts a batch that is over.
func measureLife(b *v1alpha1.VectorStoreFileBatch) {
	lived := b.Status.FinishedAt.Sub(b.CreationTimestamp.Time)
	telemetry.BatchDuration.WithLabelValues(reasonOf(b.Status)).Observe(max(lived, 0).Seconds())
	if counts := b.Status.FileCounts; counts != nil {
		telemetry.Files.WithLabelValues(telemetry.FileCompleted).Add(float64(counts.Completed))
		telemetry.Files.WithLabelValues(telemetry.FileFailed).Add(float64(counts.Failed))
		telemetry.Files.WithLabelValues(telemetry.FileCancelled).Add(float64(counts.Cancelled))
		telemetry.Files.WithLabelValues(telemetry.FileGivenUp).Add(float64(counts.InProgress))
	}
}

// measureConditions counts the conditions that have changed their status.
func measureConditions(before, after v1alpha1.VectorStoreFileBatchStatus) {
	for _, condition := range after.Conditions {
		earlier := meta.FindStatusCondition(before.Conditions, condition.Type)
		if earlier != nil && earlier.Status == condition.Status {
			continue
		}
		group := v1alpha1.GroupVersion.Group
		telemetry.ConditionTransitions.WithLabelValues(group, kind, condition.Type, string(condition.Status), condition.Reason).Inc()
		if earlier != nil {
			lasted := condition.LastTransitionTime.Sub(earlier.LastTransitionTime.Time)
			telemetry.ConditionTransitionDuration.WithLabelValues(group, kind, condition.Type, string(earlier.Status)).Observe(max(lasted, 0).Seconds())
		}
	}
}

// init makes counters begin at 0, so that their first increase is seen.
func init() {
	for _, action := range []batch.Action{batch.Create, batch.Probe, batch.Retrieve, batch.ListFailedFiles, batch.Detach} {
		telemetry.RateLimitWait.WithLabelValues(action.String())
	}
	for _, reason := range []string{v1alpha1.ReasonDeleting, v1alpha1.ReasonCreateOutcomeUnknown} {
		telemetry.FinalizersAbandoned.WithLabelValues(reason)
	}
	for _, reason := range []string{
		v1alpha1.ReasonCompleted, v1alpha1.ReasonFilesFailed, v1alpha1.ReasonBatchFailed,
		v1alpha1.ReasonCancelled, v1alpha1.ReasonCancelledExternally, v1alpha1.ReasonDeadlineExceeded,
	} {
		telemetry.BatchDuration.WithLabelValues(reason)
	}
}
