// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// metadata is a merge patch of an object's metadata. The UID makes sure that it never reaches
// a namesake; the resourceVersion, that nobody wrote in between.
type metadata struct {
	UID             types.UID          `json:"uid"`
	ResourceVersion string             `json:"resourceVersion"`
	Finalizers      []string           `json:"finalizers,omitzero"`
	Annotations     map[string]*string `json:"annotations,omitempty"`
}

// locked starts a patch that fails with a conflict if anybody wrote the object since it was read.
func locked(b *v1alpha1.VectorStoreFileBatch) metadata {
	return metadata{UID: b.UID, ResourceVersion: b.ResourceVersion}
}

// annotated sets annotations, and removes those without a value.
func annotated(b *v1alpha1.VectorStoreFileBatch, annotations map[string]*string) metadata {
	m := locked(b)
	m.Annotations = annotations
	return m
}

// held adds the finalizer.
func held(b *v1alpha1.VectorStoreFileBatch) metadata {
	m := locked(b)
	if !batch.Held(b) {
		m.Finalizers = append(slices.Clone(b.Finalizers), v1alpha1.Finalizer)
	}
	return m
}

// released removes the finalizer.
func released(b *v1alpha1.VectorStoreFileBatch) metadata {
	m := locked(b)
	m.Finalizers = slices.DeleteFunc(append([]string{}, b.Finalizers...), func(finalizer string) bool {
		return finalizer == v1alpha1.Finalizer
	})
	return m
}

// intent adds the finalizer, and says that a create is started.
func intent(b *v1alpha1.VectorStoreFileBatch, now time.Time) metadata {
	m := held(b)
	m.Annotations = startedAt(b, now.UTC().Format(time.RFC3339Nano)).Annotations
	return m
}

// startedAt says when the create was started whose outcome is not known.
func startedAt(b *v1alpha1.VectorStoreFileBatch, when string) metadata {
	return annotated(b, map[string]*string{v1alpha1.AnnotationCreateStartedAt: &when})
}

// forgetIntent says that no create is under way, and none took effect.
func forgetIntent(b *v1alpha1.VectorStoreFileBatch) metadata {
	return annotated(b, map[string]*string{v1alpha1.AnnotationCreateStartedAt: nil})
}

// keptID stores the batch's ID, which ends the intent.
func keptID(b *v1alpha1.VectorStoreFileBatch, id string) metadata {
	return annotated(b, map[string]*string{
		v1alpha1.AnnotationBatchID:         &id,
		v1alpha1.AnnotationCreateStartedAt: nil,
	})
}

// storeID stores the batch's ID, whatever else became of the object, unless it has another one:
// then a process that took this one for dead has created a batch too, and is following it. An
// API server that is away is waited for, as far as ctx allows: where the process is about to
// end, there is no later.
func (r *Reconciler) storeID(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, id string) error {
	anothers := func(current *v1alpha1.VectorStoreFileBatch) bool {
		kept := batch.ID(current)
		if kept != "" && kept != id {
			log.FromContext(ctx).Info("Another batch was created meanwhile, so this one is not followed", "batchID", id, "followedBatchID", kept)
		}
		return kept != "" && kept != id
	}
	var err error
	waiting := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Steps: 8}
	_ = wait.ExponentialBackoffWithContext(ctx, waiting, func(ctx context.Context) (bool, error) {
		err = r.patchUnless(ctx, b, keptID(b, id), anothers)
		return err == nil || !away(err), nil
	})
	if err != nil {
		return fmt.Errorf("keeping the ID of batch %s: %w", id, err)
	}
	return nil
}

// away reports whether an error says that the API server cannot be reached, or is not itself.
func away(err error) bool {
	return apierrors.ReasonForError(err) == metav1.StatusReasonUnknown || apierrors.IsInternalError(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err)
}

// endIntent changes the intent that b has, unless it is no longer the same one.
func (r *Reconciler) endIntent(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, m metadata) error {
	ours := b.Annotations[v1alpha1.AnnotationCreateStartedAt]
	return r.patchUnless(ctx, b, m, func(current *v1alpha1.VectorStoreFileBatch) bool {
		return current.Annotations[v1alpha1.AnnotationCreateStartedAt] != ours
	})
}

// patchUnless writes a patch, also where the object was changed since b was read, unless it was
// changed in a way that forbids it; then the error is a conflict. After such a change b keeps
// its resourceVersion, so that no status is written that the change was not considered for.
func (r *Reconciler) patchUnless(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, m metadata, forbidden func(current *v1alpha1.VectorStoreFileBatch) bool) error {
	m.ResourceVersion = b.ResourceVersion
	err := r.patchMetadata(ctx, b, m)
	for apierrors.IsConflict(err) {
		current := &v1alpha1.VectorStoreFileBatch{}
		if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(b), current); err != nil {
			return fmt.Errorf("reading the object again: %w", err)
		}
		if current.UID != b.UID || forbidden(current) {
			return err
		}
		m.ResourceVersion = current.ResourceVersion
		if err = r.patchMetadata(ctx, current, m); err == nil {
			b.Annotations, b.Finalizers = current.Annotations, current.Finalizers
		}
	}
	return err
}

// patchMetadata writes a patch, and takes over into b what the object's metadata are then.
func (r *Reconciler) patchMetadata(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, m metadata) error {
	data, err := json.Marshal(map[string]metadata{"metadata": m})
	if err != nil {
		return fmt.Errorf("encoding a patch of the metadata: %w", err)
	}
	patched := namesake(b)
	if err := r.Client.Patch(ctx, patched, client.RawPatch(types.MergePatchType, data)); err != nil {
		return fmt.Errorf("patching the metadata: %w", err)
	}
	// Nobody wrote in between, so what else b holds is up to date.
	b.ObjectMeta = patched.ObjectMeta
	return nil
}

// namesake is an empty object with the name of another, to be patched.
func namesake(b *v1alpha1.VectorStoreFileBatch) *v1alpha1.VectorStoreFileBatch {
	return &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: b.Name}}
}
