// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// TestStates brings about the states that the tests of the main job do not come to.
func TestStates(t *testing.T) {
	t.Parallel()
	const stuck = `fileIDs: [file-stuck-1]`
	following := func(reason string, happens func(t *testing.T, n tenant)) func(*testing.T) {
		return func(t *testing.T) {
			n := newUser(t)
			n.apply(t, n.manifest("handbook", stuck))
			n.wantState(t, "handbook", v1alpha1.ReasonInProgress)
			happens(t, n)
			n.wantState(t, "handbook", reason)
		}
	}
	beginning := func(reason string, prepare func(t *testing.T) (tenant, string)) func(*testing.T) {
		return func(t *testing.T) {
			n, manifest := prepare(t)
			n.apply(t, manifest)
			n.wantState(t, "handbook", reason)
			n.kubectl(t, "delete", "vsfb", "handbook", "--timeout="+patience.String())
		}
	}
	for reason, run := range map[string]func(t *testing.T){
		v1alpha1.ReasonBatchFailed: following(v1alpha1.ReasonBatchFailed, func(t *testing.T, n tenant) {
			end(t, onlyBatch(t, n.store).ID, "failed")
		}),
		v1alpha1.ReasonCancelledExternally: following(v1alpha1.ReasonCancelledExternally, func(t *testing.T, n tenant) {
			end(t, onlyBatch(t, n.store).ID, "cancelled")
		}),
		v1alpha1.ReasonUpstreamUnavailable: following(v1alpha1.ReasonUpstreamUnavailable, func(t *testing.T, n tenant) {
			addFault(t, map[string]any{"vector_store_id": n.store, "status": 503})
		}),
		v1alpha1.ReasonRateLimited: following(v1alpha1.ReasonRateLimited, func(t *testing.T, n tenant) {
			addFault(t, map[string]any{"vector_store_id": n.store, "status": 429, "header": map[string]string{"Retry-After": "1"}})
		}),
		v1alpha1.ReasonDeadlineExceeded: following(v1alpha1.ReasonDeadlineExceeded, func(t *testing.T, n tenant) {
			n.kubectl(t, "patch", "vsfb", "handbook", "--type=merge", "--patch="+`{"spec":{"activeDeadlineSeconds":1}}`)
		}),
		v1alpha1.ReasonSuspended: following(v1alpha1.ReasonSuspended, func(t *testing.T, n tenant) {
			n.kubectl(t, "patch", "vsfb", "handbook", "--type=merge", "--patch="+`{"spec":{"suspend":true}}`)
		}),
		v1alpha1.ReasonRejected: beginning(v1alpha1.ReasonRejected, func(t *testing.T) (tenant, string) {
			return newUser(t), manifest("handbook", `{vectorStoreID: vs_nowhere, `+stuck+`}`)
		}),
		v1alpha1.ReasonBatchNotFound: beginning(v1alpha1.ReasonBatchNotFound, func(t *testing.T) (tenant, string) {
			n := newUser(t)
			return n, n.manifest("handbook", `batchID: vsfb_0123456789abcdef0123456789abcdef`)
		}),
		v1alpha1.ReasonCredentialsRejected: beginning(v1alpha1.ReasonCredentialsRejected, func(t *testing.T) (tenant, string) {
			n := newTenant(t)
			n.putSecret(t, "openai", credentials(foreignKey))
			return n, n.manifest("handbook", stuck)
		}),
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			run(t)
		})
	}
}
