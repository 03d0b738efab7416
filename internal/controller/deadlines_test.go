// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

var suspended = row{"Unknown", "False", "False", "False", "Unknown", status.InProgressStatus}

func TestSuspend_NoCalls(t *testing.T) {
	f := newFixture(t)
	b := f.create(spec{Suspend: ptr.To(true)})
	f.awaitConditions(b, "Suspended", suspended)
	if n := f.awaitQuiet(2 * config.PollMax); n != 0 {
		t.Errorf("%d calls were made", n)
	}
	f.setPace(slow)
	f.patch(b, `{"spec":{"suspend":false}}`)
	f.awaitConditions(b, "InProgress", progressing)
	f.patch(b, `{"spec":{"suspend":true}}`)
	f.awaitConditions(b, "Suspended", suspended)
	calls := f.awaitQuiet(2 * config.PollMax)
	f.setPace(0)
	f.patch(b, `{"spec":{"suspend":null}}`)
	f.awaitConditions(b, "Completed", succeeded)
	if n := f.calls(); n == calls {
		t.Error("the completion was reported without a poll")
	}
}

func TestSuspend_CancelAndDelete(t *testing.T) {
	t.Run("cancelled", func(t *testing.T) {
		f := newFixture(t)
		f.setPace(slow)
		b := f.create(spec{BatchID: f.createBatch(), Suspend: ptr.To(true)})
		f.awaitConditions(b, "Suspended", suspended)
		f.patch(b, `{"spec":{"cancel":true}}`)
		f.awaitConditions(b, "Cancelled", cancelled)
	})
	t.Run("deleted", func(t *testing.T) {
		f := newFixture(t)
		f.setPace(slow)
		b := f.create(spec{})
		f.awaitConditions(b, "InProgress", progressing)
		f.patch(b, `{"spec":{"suspend":true}}`)
		f.awaitConditions(b, "Suspended", suspended)
		f.deleteAndWait(b)
		f.wantCancels(1)
	})
}

func TestDeadline_CancelsTheBatch(t *testing.T) {
	f := newFixture(t)
	f.setPace(slow)
	b := f.create(spec{ActiveDeadlineSeconds: ptr.To[int64](2)})
	current := f.awaitConditions(b, "DeadlineExceeded", failed)
	if n := f.calls(emulator.Cancel); n != 1 {
		t.Errorf("%d cancels were sent", n)
	}
	if at := current.Status.CancelRequestTime; at == nil || at.Before(ptr.To(current.CreationTimestamp)) || current.Status.Status != "cancelled" {
		t.Errorf("status is %+v", current.Status)
	}
	if deadline := current.Status.CreatedAt.Add(2 * time.Second); current.Status.CancelRequestTime.Time.Before(deadline) {
		t.Errorf("cancelled at %s, before the deadline at %s", current.Status.CancelRequestTime, deadline)
	}
}

func TestTTL_DeletesFinishedObject(t *testing.T) {
	f := newFixture(t)
	b := f.create(spec{TTLSecondsAfterFinished: ptr.To[int32](1)})
	f.awaitConditions(b, "Completed", succeeded)
	f.awaitGone(b)
	f.awaitEvent(b, "TTLExpired", "")
	if n := f.calls(emulator.Cancel, emulator.DetachFile); n != 0 {
		t.Errorf("%d calls were made for the deletion", n)
	}
}

func TestTTL_SetAfterFinish(t *testing.T) {
	f := newFixture(t)
	b := f.create(spec{})
	f.awaitConditions(b, "Completed", succeeded)
	f.patch(b, `{"spec":{"ttlSecondsAfterFinished":0}}`)
	f.awaitGone(b)
}

// awaitGone waits until an object is gone.
func (f *fixture) awaitGone(b *v1alpha1.VectorStoreFileBatch) {
	f.Helper()
	framework.Eventually(f, "the object to be gone", func() bool {
		return apierrors.IsNotFound(env.Client.Get(f.Context(), client.ObjectKeyFromObject(b), &v1alpha1.VectorStoreFileBatch{}))
	})
}
