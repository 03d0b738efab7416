// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// patchStatus writes the status if it differs from the stored one. Nothing else writes statuses.
func (r *Reconciler) patchStatus(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, status v1alpha1.VectorStoreFileBatchStatus) error {
	if equality.Semantic.DeepEqual(b.Status, status) {
		return nil
	}
	// The patch is computed from the statuses alone: a spec can have thousands of files.
	before, after := nameOnly(b), nameOnly(b)
	before.ResourceVersion, after.ResourceVersion = b.ResourceVersion, b.ResourceVersion
	before.Status, after.Status = b.Status, status
	release, err := r.reserve(ctx, b)
	if err != nil {
		return err
	}
	defer release()
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, after, patch); err != nil {
		return fmt.Errorf("patching the status: %w", err)
	}
	b.Status, b.ResourceVersion = status, after.ResourceVersion
	return nil
}

// deleteObject deletes the object, unless it was changed since it was read: another client may have
// extended its time to live.
func (r *Reconciler) deleteObject(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) error {
	judged := client.Preconditions{UID: &b.UID, ResourceVersion: &b.ResourceVersion}
	err := r.completeDeletion(b, len(b.Finalizers) == 0, func() error {
		return r.Client.Delete(ctx, b, judged, client.DisableReadYourWritesConsistency)
	})
	if err != nil {
		return fmt.Errorf("deleting the object: %w", err)
	}
	return nil
}

// removeFinalizer removes the finalizer. If the object is being deleted, that completes its deletion.
func (r *Reconciler) removeFinalizer(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) error {
	if b.DeletionTimestamp.IsZero() {
		return r.patchMetadata(ctx, b, withoutFinalizer(b))
	}
	return r.completeDeletion(b, true, func() error {
		return r.patchMetadata(ctx, b, withoutFinalizer(b), client.DisableReadYourWritesConsistency)
	})
}

// completeDeletion performs a write, and expects that it completes the deletion of the object, if it
// does. Reads of the cache do not wait for such a write: if the watch is interrupted and another object
// gets the name, the event that they would wait for never comes.
func (r *Reconciler) completeDeletion(b *v1alpha1.VectorStoreFileBatch, completes bool, write func() error) error {
	r.state.expectDeletion(b, completes)
	err := write()
	if err != nil {
		r.state.expectDeletion(b, false)
	}
	return err
}

// metadataPatch is a merge patch of an object's metadata. The UID keeps it from another object of
// the same name, and the resourceVersion from one that another client wrote meanwhile.
type metadataPatch struct {
	UID             types.UID          `json:"uid"`
	ResourceVersion string             `json:"resourceVersion"`
	Finalizers      []string           `json:"finalizers,omitzero"`
	Annotations     map[string]*string `json:"annotations,omitempty"`
}

// lockedPatch returns a patch that fails with a conflict if the object was written since it was read.
func lockedPatch(b *v1alpha1.VectorStoreFileBatch) metadataPatch {
	return metadataPatch{UID: b.UID, ResourceVersion: b.ResourceVersion}
}

// withAnnotations returns a patch that sets annotations, and removes those that are nil.
func withAnnotations(b *v1alpha1.VectorStoreFileBatch, annotations map[string]*string) metadataPatch {
	m := lockedPatch(b)
	m.Annotations = annotations
	return m
}

// addFinalizer returns a patch that adds the finalizer, if the object needs it.
func addFinalizer(b *v1alpha1.VectorStoreFileBatch) metadataPatch {
	m := lockedPatch(b)
	if !batch.HasFinalizer(b) && batch.NeedsFinalizer(b) {
		m.Finalizers = append(slices.Clone(b.Finalizers), v1alpha1.Finalizer)
	}
	return m
}

// withoutFinalizer returns a patch that removes the finalizer.
func withoutFinalizer(b *v1alpha1.VectorStoreFileBatch) metadataPatch {
	m := lockedPatch(b)
	m.Finalizers = slices.DeleteFunc(append([]string{}, b.Finalizers...), func(finalizer string) bool {
		return finalizer == v1alpha1.Finalizer
	})
	return m
}

// createPending returns a patch that marks a create as pending, and adds the finalizer, if needed. A
// batch ID that was recorded for another object must not count once the annotations are this object's.
func createPending(b *v1alpha1.VectorStoreFileBatch, startedAt time.Time, lost int) metadataPatch {
	m, text := addFinalizer(b), startedAt.UTC().Format(time.RFC3339Nano)
	m.Annotations = map[string]*string{
		v1alpha1.AnnotationCreateStartedAt: &text,
		v1alpha1.AnnotationRecordedFor:     ptr.To(batch.Digest(b)),
		v1alpha1.AnnotationBatchID:         nil,
		v1alpha1.AnnotationLostCreates:     nil,
	}
	if lost > 0 {
		m.Annotations[v1alpha1.AnnotationLostCreates] = ptr.To(strconv.Itoa(lost))
	}
	return m
}

// recordBatchID records the batch's ID, which ends a pending create. Other changes of the object do
// not prevent that, unless it has another ID: then another process took over, created a batch too,
// and tracks that one.
func (r *Reconciler) recordBatchID(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, id string) error {
	hasOther := func(current *v1alpha1.VectorStoreFileBatch) bool {
		recorded := batch.ID(current)
		if recorded != "" && recorded != id {
			log.FromContext(ctx).Info("Another batch was created meanwhile, so this one is not tracked", "batchID", id, "trackedBatchID", recorded)
		}
		return recorded != "" && recorded != id
	}
	patch := withAnnotations(b, map[string]*string{
		v1alpha1.AnnotationBatchID:         &id,
		v1alpha1.AnnotationRecordedFor:     ptr.To(batch.Digest(b)),
		v1alpha1.AnnotationCreateStartedAt: nil,
		v1alpha1.AnnotationLostCreates:     nil,
	})
	if err := r.patchUnless(ctx, b, patch, hasOther); err != nil {
		return fmt.Errorf("recording the ID of batch %s: %w", id, err)
	}
	return nil
}

// unavailable reports whether an error means that the API server cannot be reached, or is failing.
func unavailable(err error) bool {
	return apierrors.ReasonForError(err) == metav1.StatusReasonUnknown || apierrors.IsInternalError(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err)
}

// endCreatePending sets the annotations of a pending create to earlier values, or removes those that
// are nil, unless the create was ended meanwhile.
func (r *Reconciler) endCreatePending(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, earlier map[string]*string) error {
	ours := b.Annotations[v1alpha1.AnnotationCreateStartedAt]
	patch := withAnnotations(b, earlier)
	return r.patchUnless(ctx, b, patch, func(current *v1alpha1.VectorStoreFileBatch) bool {
		return current.Annotations[v1alpha1.AnnotationCreateStartedAt] != ours
	})
}

// noCreatePending are the annotations of an object without a pending create.
var noCreatePending = map[string]*string{
	v1alpha1.AnnotationCreateStartedAt: nil,
	v1alpha1.AnnotationRecordedFor:     nil,
	v1alpha1.AnnotationLostCreates:     nil,
}

// pendingAnnotations returns the annotations of an object's pending create.
func pendingAnnotations(b *v1alpha1.VectorStoreFileBatch) map[string]*string {
	annotations := maps.Clone(noCreatePending)
	for key := range annotations {
		if value, found := b.Annotations[key]; found {
			annotations[key] = &value
		}
	}
	return annotations
}

// patchRetries is how often patchUnless writes, and how long it waits in between: 11 seconds in total,
// within PersistTimeout.
var patchRetries = wait.Backoff{Duration: 10 * time.Millisecond, Factor: 3, Jitter: 0.2, Steps: 8}

// patchUnless writes a patch even if the object was changed since b was read, unless the change
// forbids it; then the error is a conflict. After such a change b keeps its resourceVersion, so
// that no status is written which does not consider the change. A client that writes the object all
// the time can make the last attempt fail with a conflict too. While the API server is unavailable,
// patchUnless tries again, because a process that is shutting down has no later attempt.
func (r *Reconciler) patchUnless(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, m metadataPatch, forbidden func(current *v1alpha1.VectorStoreFileBatch) bool) error {
	current := b
	var err error
	_ = wait.ExponentialBackoffWithContext(ctx, patchRetries, func(ctx context.Context) (done bool, _ error) {
		m.ResourceVersion = current.ResourceVersion
		if err = r.patchMetadata(ctx, current, m); !apierrors.IsConflict(err) {
			return err == nil || !unavailable(err), nil
		}
		changed, readErr := r.readTrimmed(ctx, b)
		if readErr != nil {
			err = readErr
			return !unavailable(readErr), nil
		}
		if changed.UID != b.UID || forbidden(changed) {
			return true, nil
		}
		current = changed
		return false, nil
	})
	if err == nil {
		b.Annotations, b.Finalizers = current.Annotations, current.Finalizers
	}
	return err
}

// patchMetadata writes a patch, and copies the resulting metadata into b.
func (r *Reconciler) patchMetadata(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, m metadataPatch, options ...client.PatchOption) error {
	release, err := r.reserve(ctx, b)
	if err != nil {
		return err
	}
	defer release()
	return r.patchReserved(ctx, b, m, func(*v1alpha1.VectorStoreFileBatch) {}, options...)
}

// patchReserved is patchMetadata for a caller that has reserved memory for the object. It passes the
// whole object to use, which must not retain it.
func (r *Reconciler) patchReserved(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, m metadataPatch, use func(whole *v1alpha1.VectorStoreFileBatch), options ...client.PatchOption) error {
	if _, dropped := b.Annotations[annotationFinalizers]; dropped && m.Finalizers != nil {
		foreign, err := r.foreignFinalizers(ctx, b)
		if err != nil {
			return err
		}
		m.Finalizers = append(foreign, m.Finalizers...)
	}
	data, err := json.Marshal(map[string]metadataPatch{"metadata": m})
	if err != nil {
		return fmt.Errorf("encoding a patch of the metadata: %w", err)
	}
	patched := nameOnly(b)
	if err := r.Client.Patch(ctx, patched, client.RawPatch(types.MergePatchType, data), options...); err != nil {
		return fmt.Errorf("patching the metadata: %w", err)
	}
	use(patched)
	trim(patched)
	// No other client wrote in between, so what else b holds is current.
	b.ObjectMeta = patched.ObjectMeta
	return nil
}

// foreignFinalizers reads the finalizers of other clients, which the cache does not have if there are
// many. If they have changed since b was read, the patch fails.
func (r *Reconciler) foreignFinalizers(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) ([]string, error) {
	whole := &v1alpha1.VectorStoreFileBatch{}
	if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(b), whole); err != nil {
		return nil, fmt.Errorf("reading the object's finalizers: %w", err)
	}
	return slices.DeleteFunc(whole.Finalizers, func(finalizer string) bool { return !isForeign(finalizer) }), nil
}

// nameOnly returns an empty object with the name of another, to be patched.
func nameOnly(b *v1alpha1.VectorStoreFileBatch) *v1alpha1.VectorStoreFileBatch {
	return &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: b.Name}}
}
