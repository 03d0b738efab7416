// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// metadata is a merge patch of an object's metadata. The UID makes sure that it never reaches
// a namesake; the resourceVersion, where it is set, that nobody wrote in between.
type metadata struct {
	UID             types.UID          `json:"uid"`
	ResourceVersion string             `json:"resourceVersion,omitempty"`
	Finalizers      []string           `json:"finalizers,omitzero"`
	Annotations     map[string]*string `json:"annotations,omitempty"`
}

// locked starts a patch that fails with a conflict if anybody wrote the object since it was read.
func locked(b *v1alpha1.VectorStoreFileBatch) metadata {
	return metadata{UID: b.UID, ResourceVersion: b.ResourceVersion}
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
	return metadata{UID: b.UID, Annotations: map[string]*string{v1alpha1.AnnotationCreateStartedAt: &when}}
}

// forgetIntent says that no create is under way, and none took effect.
func forgetIntent(b *v1alpha1.VectorStoreFileBatch) metadata {
	return metadata{UID: b.UID, Annotations: map[string]*string{v1alpha1.AnnotationCreateStartedAt: nil}}
}

// keptID stores the batch's ID, which ends the intent. It is not locked: whatever else became
// of the object, the ID must be kept.
func keptID(b *v1alpha1.VectorStoreFileBatch, id string) metadata {
	return metadata{UID: b.UID, Annotations: map[string]*string{
		v1alpha1.AnnotationBatchID:         &id,
		v1alpha1.AnnotationCreateStartedAt: nil,
	}}
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
	if m.ResourceVersion != "" {
		// Nobody wrote in between, so what else b holds is up to date.
		b.ObjectMeta = patched.ObjectMeta
		return nil
	}
	b.Annotations, b.Finalizers = patched.Annotations, patched.Finalizers
	if patched.Generation == b.Generation {
		// Otherwise the spec is another one by now, so what this pass finds must not be stored.
		b.ResourceVersion = patched.ResourceVersion
	}
	return nil
}

// namesake is an empty object with the name of another, to be patched.
func namesake(b *v1alpha1.VectorStoreFileBatch) *v1alpha1.VectorStoreFileBatch {
	return &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: b.Name}}
}
