// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
)

// maxNoteLength is the API server's limit for the note of an Event, in bytes.
const maxNoteLength = 1024

// truncate shortens a text to a number of bytes, at the boundary of a character.
func truncate(text string, length int) string {
	text = strings.ToValidUTF8(text, "")
	if len(text) <= length {
		return text
	}
	end := length - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// recordEvents records and logs Events about what was done or persisted.
func (r *Reconciler) recordEvents(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, recorded []lifecycle.Event) {
	for _, event := range recorded {
		eventType := corev1.EventTypeNormal
		if event.Warning {
			eventType = corev1.EventTypeWarning
		}
		r.Events.Eventf(b, nil, eventType, event.Reason, "Reconcile", "%s", truncate(event.Message, maxNoteLength))
		log.FromContext(ctx).Info("State changed", "reason", event.Reason, "message", event.Message, "batchID", batch.ID(b))
	}
}
