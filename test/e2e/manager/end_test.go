// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// TestEnd_LastingFaults is a sample, with the built manager, of what TestEnd_WhateverTheServerDoes checks
// in simulated time: an object with a deadline is finished within two minutes of it, though the server
// fails every call from some time on.
func TestEnd_LastingFaults(t *testing.T) {
	t.Parallel()
	const seconds = 5
	for name, fault := range map[string]map[string]any{
		"cancel not implemented": {"operation": "cancel", "status": 405},
		"cancel in conflict":     {"operation": "cancel", "status": 409},
		"cancel hangs":           {"operation": "cancel", "delay": "10m"},
		"not found":              {"status": 404, "body": `{"detail":"Not Found"}`},
		"failing":                {"status": 503},
		"key rejected":           {"status": 401},
		"hold of a day":          {"status": 429, "header": map[string]string{"Retry-After": "86400"}},
		"wrong object":           {"operation": "cancel", "action": "wrong_object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.Apply(t, f.manifest("handbook", `fileIDs: [file-stuck-1], activeDeadlineSeconds: 5`))
			f.wantState(t, "handbook", v1alpha1.ReasonInProgress)
			fault["vector_store_id"] = f.store
			addFault(t, fault)
			b := f.wantState(t, "handbook", v1alpha1.ReasonDeadlineExceeded)
			if late := b.Status.CompletionTime.Sub(b.Status.CreatedAt.Time) - seconds*time.Second; late > 2*time.Minute {
				t.Errorf("finished %s after the deadline", late)
			}
		})
	}
}
