// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package batch answers questions about a VectorStoreFileBatch, and builds its create request.
package batch

import (
	"regexp"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// usableID matches IDs that can be a segment of a URL's path. Anyone who can edit the object can
// edit its annotations.
var usableID = regexp.MustCompile(`^[A-Za-z0-9_=-][A-Za-z0-9_=.:-]{0,511}$`)

// UsableID reports whether an ID can be recorded and sent to the API.
func UsableID(id string) bool { return usableID.MatchString(id) }

// ID returns the API's ID of the object's batch; empty if none is known. The status and the
// annotation each restore the other. The status, which only the operator writes, takes precedence. The
// annotation counts only on the object that it was written for.
func ID(b *v1alpha1.VectorStoreFileBatch) string {
	recorded := b.Annotations[v1alpha1.AnnotationBatchID]
	switch {
	case Adopted(b):
		return b.Spec.BatchID
	case UsableID(b.Status.BatchID):
		return b.Status.BatchID
	case UsableID(recorded) && bound(b):
		return recorded
	default:
		return ""
	}
}

// Recorded reports whether the annotations hold the ID of the object's batch.
func Recorded(b *v1alpha1.VectorStoreFileBatch) bool {
	return b.Annotations[v1alpha1.AnnotationBatchID] == ID(b) && bound(b)
}

// Ref returns the reference of the object's batch in API calls.
func Ref(b *v1alpha1.VectorStoreFileBatch) upstream.BatchRef {
	return upstream.BatchRef{VectorStoreID: b.Spec.VectorStoreID, BatchID: ID(b)}
}

// Secret returns the name of the Secret with the object's credentials.
func Secret(b *v1alpha1.VectorStoreFileBatch) types.NamespacedName {
	name := v1alpha1.DefaultCredentialsSecret
	if ref := b.Spec.CredentialsRef; ref != nil && ref.Name != "" {
		name = ref.Name
	}
	return types.NamespacedName{Namespace: b.Namespace, Name: name}
}

// Adopted reports whether the object represents a batch that it did not create.
func Adopted(b *v1alpha1.VectorStoreFileBatch) bool { return b.Spec.BatchID != "" }

// Attaches reports whether the object's files are in its vector store, or can be soon: the API has returned
// its batch, or nothing is known to prevent that.
func Attaches(b *v1alpha1.VectorStoreFileBatch) bool {
	prevented := Finished(b) || Suspended(b) || meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionStalled)
	return b.Status.FileCounts != nil || !prevented
}

// CancelWanted reports whether the spec requests a cancel.
func CancelWanted(b *v1alpha1.VectorStoreFileBatch) bool {
	return b.Spec.Cancel != nil && *b.Spec.Cancel
}

// Suspended reports whether the spec suspends API calls.
func Suspended(b *v1alpha1.VectorStoreFileBatch) bool {
	return b.Spec.Suspend != nil && *b.Spec.Suspend
}

// ReconcileRequest returns the last value of the annotation that requests a reconciliation; empty if there
// is none. It is cut to the length that the status can record.
func ReconcileRequest(b *v1alpha1.VectorStoreFileBatch) string {
	value := []rune(b.Annotations[v1alpha1.AnnotationReconcileRequestedAt])
	return string(value[:min(len(value), v1alpha1.MaxReconcileRequestLength)])
}

// ReconcileRequested reports whether the object has a request that the operator has not handled.
func ReconcileRequested(b *v1alpha1.VectorStoreFileBatch) bool {
	request := ReconcileRequest(b)
	return request != "" && request != b.Status.LastHandledReconcileAt
}

// Finished reports whether the object's Finished condition is true.
func Finished(b *v1alpha1.VectorStoreFileBatch) bool {
	return meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionFinished)
}

// HasFinalizer reports whether the object has the operator's finalizer.
func HasFinalizer(b *v1alpha1.VectorStoreFileBatch) bool {
	return slices.Contains(b.Finalizers, v1alpha1.Finalizer)
}

// NeedsFinalizer reports whether a deletion of the object would have something to do at the API:
// cancel a batch that may be running, or detach the files of one.
func NeedsFinalizer(b *v1alpha1.VectorStoreFileBatch) bool {
	switch DeletionPolicy(b) {
	case v1alpha1.DeletionPolicyOrphan:
		return false
	case v1alpha1.DeletionPolicyDetachFiles:
		_, pending := b.Annotations[v1alpha1.AnnotationCreateStartedAt]
		return !Finished(b) || ID(b) != "" || pending && bound(b) && (!Stopped(b) || LostCreates(b) > 0)
	case v1alpha1.DeletionPolicyCancel:
	}
	return !Finished(b)
}

// Stopped reports whether nothing is left to be cancelled: the API accepted a cancel, or the batch's last
// known status is final. An object that was finished because the API accepted no cancel has a batch that
// may be running.
func Stopped(b *v1alpha1.VectorStoreFileBatch) bool {
	return b.Status.CancelRequestTime != nil || upstream.Status(b.Status.Status).Terminal()
}

// Urgent reports whether a cancel must be sent now, which the spec or the object's deletion requests
// and the API has not accepted. What else a deletion has to do is not urgent: thousands of finished
// objects can be deleted at once, and must not delay a cancel.
func Urgent(b *v1alpha1.VectorStoreFileBatch) bool {
	if b.DeletionTimestamp.IsZero() {
		return CancelWanted(b) && b.Status.CancelRequestTime == nil && !Finished(b)
	}
	return HasFinalizer(b) && NeedsFinalizer(b) && ID(b) != "" && !Stopped(b)
}

// Reason returns the reason of the Ready condition; empty if the object was never reconciled.
func Reason(status v1alpha1.VectorStoreFileBatchStatus) string {
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Reason
	}
	return ""
}

// DeletionPolicy returns the effective policy. Its default is Orphan for an adopted batch, and
// Cancel for others.
func DeletionPolicy(b *v1alpha1.VectorStoreFileBatch) v1alpha1.DeletionPolicy {
	switch {
	case b.Spec.DeletionPolicy != "":
		return b.Spec.DeletionPolicy
	case Adopted(b):
		return v1alpha1.DeletionPolicyOrphan
	default:
		return v1alpha1.DeletionPolicyCancel
	}
}

// CreatePending returns when a create was started whose outcome is not recorded, and whether there
// is one. If the annotation cannot be parsed, or is later than any clock, the time is zero: then
// every attached file counts as attached since. The annotation counts only on the object that it was
// written for.
func CreatePending(b *v1alpha1.VectorStoreFileBatch, now time.Time) (startedAt time.Time, pending bool) {
	text, pending := b.Annotations[v1alpha1.AnnotationCreateStartedAt]
	if !pending || !bound(b) {
		return time.Time{}, false
	}
	startedAt, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || startedAt.After(now.Add(ClockSkew)) {
		return time.Time{}, true
	}
	return startedAt, true
}

// LostCreates returns how many batches in a row the object created before the pending create, and whose
// IDs are lost.
func LostCreates(b *v1alpha1.VectorStoreFileBatch) int {
	lost, err := strconv.Atoi(b.Annotations[v1alpha1.AnnotationLostCreates])
	if err != nil || !bound(b) {
		return 0
	}
	return max(lost, 0)
}

// ClockSkew is how far the clocks of two managers, or of a manager and the API, may differ.
const ClockSkew = 10 * time.Second

// MaxFailedFiles returns how many files may fail in a batch that succeeded.
func MaxFailedFiles(b *v1alpha1.VectorStoreFileBatch) int32 {
	if b.Spec.MaxFailedFiles == nil {
		return 0
	}
	return *b.Spec.MaxFailedFiles
}
