// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manager_test

import (
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// TestStates covers the states that no other test reaches.
func TestStates(t *testing.T) {
	t.Parallel()
	const stuck = `fileIDs: [file-stuck-1]`
	following := func(reason string, happens func(t *testing.T, f fixture)) func(*testing.T) {
		return func(t *testing.T) {
			f := newFixture(t)
			f.Apply(t, f.manifest("handbook", stuck))
			f.wantState(t, "handbook", v1alpha1.ReasonInProgress)
			happens(t, f)
			f.wantState(t, "handbook", reason)
		}
	}
	beginning := func(reason string, prepare func(t *testing.T) (fixture, string)) func(*testing.T) {
		return func(t *testing.T) {
			f, manifest := prepare(t)
			f.Apply(t, manifest)
			f.wantState(t, "handbook", reason)
			f.delete(t, "handbook")
		}
	}
	for reason, run := range map[string]func(t *testing.T){
		v1alpha1.ReasonBatchFailed: following(v1alpha1.ReasonBatchFailed, func(t *testing.T, f fixture) {
			finish(t, onlyBatch(t, f.store).ID, "failed")
		}),
		v1alpha1.ReasonCancelledExternally: following(v1alpha1.ReasonCancelledExternally, func(t *testing.T, f fixture) {
			finish(t, onlyBatch(t, f.store).ID, "cancelled")
		}),
		v1alpha1.ReasonUpstreamUnavailable: following(v1alpha1.ReasonUpstreamUnavailable, func(t *testing.T, f fixture) {
			addFault(t, map[string]any{"vector_store_id": f.store, "status": 503})
		}),
		v1alpha1.ReasonRateLimited: following(v1alpha1.ReasonRateLimited, func(t *testing.T, f fixture) {
			addFault(t, map[string]any{"vector_store_id": f.store, "status": 429, "header": map[string]string{"Retry-After": "1"}})
		}),
		v1alpha1.ReasonDeadlineExceeded: following(v1alpha1.ReasonDeadlineExceeded, func(t *testing.T, f fixture) {
			f.patchSpec(t, "handbook", `{"activeDeadlineSeconds":1}`)
		}),
		v1alpha1.ReasonCancelFailed: following(v1alpha1.ReasonCancelFailed, func(t *testing.T, f fixture) {
			addFault(t, map[string]any{"vector_store_id": f.store, "operation": "cancel", "status": 405})
			f.patchSpec(t, "handbook", `{"cancel":true}`)
		}),
		v1alpha1.ReasonSuspended: following(v1alpha1.ReasonSuspended, func(t *testing.T, f fixture) {
			f.patchSpec(t, "handbook", `{"suspend":true}`)
		}),
		v1alpha1.ReasonRejected: beginning(v1alpha1.ReasonRejected, func(t *testing.T) (fixture, string) {
			return newFixture(t), manifest("handbook", `{vectorStoreID: vs_missing, `+stuck+`}`)
		}),
		v1alpha1.ReasonBatchNotFound: beginning(v1alpha1.ReasonBatchNotFound, func(t *testing.T) (fixture, string) {
			f := newFixture(t)
			return f, f.manifest("handbook", `batchID: vsfb_0123456789abcdef0123456789abcdef`)
		}),
		v1alpha1.ReasonCredentialsRejected: beginning(v1alpha1.ReasonCredentialsRejected, func(t *testing.T) (fixture, string) {
			f := newFixtureWithoutSecret(t)
			f.putSecret(t, "openai", credentials(foreignKey))
			return f, f.manifest("handbook", stuck)
		}),
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			run(t)
		})
	}
}
