// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// storeStatus writes the status, if it differs from the one that is stored. It is the only
// writer of statuses.
func (r *Reconciler) storeStatus(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, status v1alpha1.VectorStoreFileBatchStatus) error {
	if equality.Semantic.DeepEqual(b.Status, status) {
		return nil
	}
	// The patch is made from the statuses alone: a spec may have thousands of files.
	before, after := namesake(b), namesake(b)
	before.ResourceVersion, after.ResourceVersion = b.ResourceVersion, b.ResourceVersion
	before.Status, after.Status = b.Status, status
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, after, patch); err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	b.Status, b.ResourceVersion = status, after.ResourceVersion
	return nil
}

// maxNoteLength is how long an Event's text may be, in bytes: the API server's limit.
const maxNoteLength = 1024

// tell records Events about what was done or stored, and logs them.
func (r *Reconciler) tell(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, told []batch.Event) {
	for _, event := range told {
		kind := corev1.EventTypeNormal
		if event.Warning {
			kind = corev1.EventTypeWarning
		}
		note := event.Message
		if len(note) > maxNoteLength {
			note = string([]rune(note[:maxNoteLength-len("…")-3])) + "…"
		}
		r.Events.Eventf(b, nil, kind, event.Reason, "Reconcile", "%s", note)
		log.FromContext(ctx).Info("State changed", "reason", event.Reason, "message", event.Message, "batchID", batch.ID(b))
	}
}
