// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

func TestLastPollOf(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	ago := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(-d)} }
	for name, test := range map[string]struct {
		change func(*v1alpha1.VectorStoreFileBatch)
		want   string
	}{
		"running": {func(*v1alpha1.VectorStoreFileBatch) {}, "5m ago or later"},
		"running, after a request": {func(b *v1alpha1.VectorStoreFileBatch) {
			b.Status.LastHandledReconcileAt = ago(2 * time.Minute).Format(time.RFC3339)
		}, "2m ago or later"},
		"running, after an older one": {func(b *v1alpha1.VectorStoreFileBatch) {
			b.Status.LastHandledReconcileAt = ago(time.Hour).Format(time.RFC3339)
		}, "5m ago or later"},
		"a request in the future": {func(b *v1alpha1.VectorStoreFileBatch) {
			b.Status.LastHandledReconcileAt = ago(-time.Hour).Format(time.RFC3339)
		}, "5m ago or later"},
		"a request without a time": {func(b *v1alpha1.VectorStoreFileBatch) { b.Status.LastHandledReconcileAt = "again" }, "5m ago or later"},
		"finished":                 {func(b *v1alpha1.VectorStoreFileBatch) { b.Status.CompletionTime = ago(4 * time.Minute) }, "4m ago, when the batch was finished"},
		"not created":              {func(b *v1alpha1.VectorStoreFileBatch) { b.Status.BatchID, b.Status.FileCounts = "", nil }, "-"},
		"suspended":                {func(b *v1alpha1.VectorStoreFileBatch) { b.Status.Conditions[0].Reason = v1alpha1.ReasonSuspended }, "-"},
		"cancelled before the create": {func(b *v1alpha1.VectorStoreFileBatch) {
			b.Status.BatchID, b.Status.CompletionTime = "", ago(time.Minute)
		}, "-"},
	} {
		b := &v1alpha1.VectorStoreFileBatch{}
		b.ManagedFields = []metav1.ManagedFieldsEntry{
			{Manager: "git", Time: ago(time.Second)}, {Manager: "manager", Subresource: "status", Time: ago(5 * time.Minute)},
		}
		b.Status.BatchID, b.Status.FileCounts = "vsfb_1", &v1alpha1.FileCounts{}
		b.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Reason: v1alpha1.ReasonInProgress}}
		test.change(b)
		if got := lastPollOf(b).text(now); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
