// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"regexp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// usableID is what an ID must look like to become a segment of a URL's path. Annotations can
// be edited by anybody who may edit the object.
var usableID = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.:-]{0,127}$`)

// UsableID reports whether an ID can be kept, and be asked for again.
func UsableID(id string) bool { return usableID.MatchString(id) }

// ID is the upstream's ID of the object's batch; empty where none is known. The status
// and the annotation each restore the other; the status, which only the operator writes, wins.
func ID(b *v1alpha1.VectorStoreFileBatch) string {
	if Adopted(b) {
		return b.Spec.BatchID
	}
	for _, id := range []string{b.Status.BatchID, b.Annotations[v1alpha1.AnnotationBatchID]} {
		if UsableID(id) {
			return id
		}
	}
	return ""
}

// Ref names the object's batch to the upstream.
func Ref(b *v1alpha1.VectorStoreFileBatch) upstream.BatchRef {
	return upstream.BatchRef{VectorStoreID: b.Spec.VectorStoreID, BatchID: ID(b)}
}

// Adopted reports whether the object stands for a batch that somebody else created.
func Adopted(b *v1alpha1.VectorStoreFileBatch) bool { return b.Spec.BatchID != "" }

// CancelWanted reports whether the spec asks for a cancel.
func CancelWanted(b *v1alpha1.VectorStoreFileBatch) bool {
	return b.Spec.Cancel != nil && *b.Spec.Cancel
}

// Suspended reports whether the spec asks to leave the upstream alone.
func Suspended(b *v1alpha1.VectorStoreFileBatch) bool {
	return b.Spec.Suspend != nil && *b.Spec.Suspend
}

// Finished reports whether the object's status says that the batch is over.
func Finished(b *v1alpha1.VectorStoreFileBatch) bool {
	return meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionFinished)
}

// Held reports whether the object has the operator's finalizer.
func Held(b *v1alpha1.VectorStoreFileBatch) bool {
	return slices.Contains(b.Finalizers, v1alpha1.Finalizer)
}

// Urgent reports whether the object must not wait behind others: it is being deleted, or a
// cancel has not reached the upstream yet.
func Urgent(b *v1alpha1.VectorStoreFileBatch) bool {
	return !b.DeletionTimestamp.IsZero() ||
		CancelWanted(b) && b.Status.CancelRequestedAt == nil && !Finished(b)
}

// deletionPolicy is the policy in force, with the default that depends on whose batch it is.
func deletionPolicy(b *v1alpha1.VectorStoreFileBatch) v1alpha1.DeletionPolicy {
	switch {
	case b.Spec.DeletionPolicy != "":
		return b.Spec.DeletionPolicy
	case Adopted(b):
		return v1alpha1.DeletionPolicyOrphan
	default:
		return v1alpha1.DeletionPolicyCancel
	}
}

// CreateStartedAt is when a create was started whose outcome has not been recorded. Where the
// annotation cannot be read, or lies ahead of any clock, it is the distant past: then every
// attached file counts as attached since.
func CreateStartedAt(b *v1alpha1.VectorStoreFileBatch, now time.Time) (startedAt time.Time, intent bool) {
	text, intent := b.Annotations[v1alpha1.AnnotationCreateStartedAt]
	if !intent {
		return time.Time{}, false
	}
	startedAt, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || startedAt.After(now.Add(ClockSkew)) {
		return time.Time{}, true
	}
	return startedAt, true
}

// ClockSkew is how far apart the clocks of two managers, or ours and the upstream's, may be.
const ClockSkew = 10 * time.Second

// maxFailedFiles is how many files may fail in a batch that succeeded.
func maxFailedFiles(b *v1alpha1.VectorStoreFileBatch) int32 {
	if b.Spec.MaxFailedFiles == nil {
		return 0
	}
	return *b.Spec.MaxFailedFiles
}
