// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
)

// maxNoteLength is the API server's limit for the note of an Event, in bytes.
const maxNoteLength = 1024

// recordEvents records and logs Events about what was done or persisted.
func (r *Reconciler) recordEvents(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, recorded []lifecycle.Event) {
	for _, event := range recorded {
		eventType := corev1.EventTypeNormal
		if event.Warning {
			eventType = corev1.EventTypeWarning
		}
		note := event.Message
		if len(note) > maxNoteLength {
			note = string([]rune(note[:maxNoteLength-len("…")-3])) + "…"
		}
		r.Events.Eventf(b, nil, eventType, event.Reason, "Reconcile", "%s", note)
		log.FromContext(ctx).Info("State changed", "reason", event.Reason, "message", event.Message, "batchID", batch.ID(b))
	}
}
