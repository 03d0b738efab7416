// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
)

// recordMetrics counts what a reconciliation changed, after it is persisted. b is the object as it is
// then, and before its earlier status.
func recordMetrics(b *v1alpha1.VectorStoreFileBatch, before v1alpha1.VectorStoreFileBatchStatus, d lifecycle.Decision) {
	if d.Action == lifecycle.RemoveFinalizer {
		for _, event := range d.Events {
			if event.Warning { // something may be left behind
				telemetry.FinalizersAbandoned.WithLabelValues(event.Reason).Inc()
			}
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
	if before.CompletionTime == nil && b.Status.CompletionTime != nil {
		recordFinished(b)
	}
	recordTransitions(before, b.Status)
}

// recordFinished counts a finished batch.
func recordFinished(b *v1alpha1.VectorStoreFileBatch) {
	lifetime := b.Status.CompletionTime.Sub(b.CreationTimestamp.Time)
	telemetry.BatchDuration.WithLabelValues(batch.Reason(b.Status)).Observe(max(lifetime, 0).Seconds())
	if counts := b.Status.FileCounts; counts != nil {
		telemetry.Files.WithLabelValues(telemetry.FileCompleted).Add(float64(counts.Completed))
		telemetry.Files.WithLabelValues(telemetry.FileFailed).Add(float64(counts.Failed))
		telemetry.Files.WithLabelValues(telemetry.FileCancelled).Add(float64(counts.Cancelled))
		telemetry.Files.WithLabelValues(telemetry.FileGivenUp).Add(float64(counts.InProgress))
	}
}

// measureConditions counts the conditions that have changed their status.
func recordTransitions(before, after v1alpha1.VectorStoreFileBatchStatus) {
	for _, condition := range after.Conditions {
		earlier := meta.FindStatusCondition(before.Conditions, condition.Type)
		if earlier != nil && earlier.Status == condition.Status {
			continue
		}
		group := v1alpha1.GroupVersion.Group
		telemetry.ConditionTransitions.WithLabelValues(group, v1alpha1.Kind, condition.Type, string(condition.Status), condition.Reason).Inc()
		if earlier != nil {
			lasted := condition.LastTransitionTime.Sub(earlier.LastTransitionTime.Time)
			telemetry.ConditionTransitionDuration.WithLabelValues(group, v1alpha1.Kind, condition.Type, string(earlier.Status)).Observe(max(lasted, 0).Seconds())
		}
	}
}

// init starts counters at 0, so that queries see their first increase.
func init() {
	for _, action := range []lifecycle.Action{lifecycle.Create, lifecycle.VerifyCreate, lifecycle.Poll, lifecycle.ListFailedFiles, lifecycle.CountFiles, lifecycle.ReadStore, lifecycle.Detach} {
		telemetry.RateLimitWait.WithLabelValues(action.String())
	}
	for _, reason := range []string{v1alpha1.ReasonDeletionIncomplete, v1alpha1.ReasonBatchOrphaned} {
		telemetry.FinalizersAbandoned.WithLabelValues(reason)
	}
	for _, reason := range []string{
		v1alpha1.ReasonCompleted, v1alpha1.ReasonFilesFailed, v1alpha1.ReasonFilesMissing, v1alpha1.ReasonBatchFailed,
		v1alpha1.ReasonCancelled, v1alpha1.ReasonCancelledExternally, v1alpha1.ReasonDeadlineExceeded,
		v1alpha1.ReasonCancelFailed,
	} {
		telemetry.BatchDuration.WithLabelValues(reason)
	}
}
