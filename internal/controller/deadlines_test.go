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
)

var suspended = row{"Unknown", "False", "False", "False", "Unknown", status.InProgressStatus}

func TestASuspendedObjectLeavesTheUpstreamAlone(t *testing.T) {
	w := newWorld(t)
	b := w.create(spec{Suspend: ptr.To(true)})
	w.eventuallyRow(b, "Suspended", suspended)
	if n := w.settle(2 * config.PollMax); n != 0 {
		t.Errorf("%d calls were made", n)
	}
	w.pace(slow)
	w.patch(b, `{"spec":{"suspend":false}}`)
	w.eventuallyRow(b, "InProgress", progressing)
	w.patch(b, `{"spec":{"suspend":true}}`)
	w.eventuallyRow(b, "Suspended", suspended)
	calls := w.settle(2 * config.PollMax)
	w.pace(0)
	w.patch(b, `{"spec":{"suspend":null}}`)
	w.eventuallyRow(b, "Completed", succeeded)
	if n := w.calls(); n == calls {
		t.Error("the end was told without a look at it")
	}
}

func TestASuspendedObjectIsCancelledAndDeletedAllTheSame(t *testing.T) {
	t.Run("cancelled", func(t *testing.T) {
		w := newWorld(t)
		w.pace(slow)
		b := w.create(spec{BatchID: w.foreignBatch(), Suspend: ptr.To(true)})
		w.eventuallyRow(b, "Suspended", suspended)
		w.patch(b, `{"spec":{"cancel":true}}`)
		w.eventuallyRow(b, "Cancelled", cancelled)
	})
	t.Run("deleted", func(t *testing.T) {
		w := newWorld(t)
		w.pace(slow)
		b := w.create(spec{})
		w.eventuallyRow(b, "InProgress", progressing)
		w.patch(b, `{"spec":{"suspend":true}}`)
		w.eventuallyRow(b, "Suspended", suspended)
		w.deleteAndWait(b)
		w.wantCancels(1)
	})
}

func TestABatchThatTakesTooLongIsCancelledAndHasFailed(t *testing.T) {
	w := newWorld(t)
	w.pace(slow)
	b := w.create(spec{ActiveDeadlineSeconds: ptr.To[int64](2)})
	current := w.eventuallyRow(b, "DeadlineExceeded", failed)
	if n := w.calls(emulator.Cancel); n != 1 {
		t.Errorf("%d cancels were sent", n)
	}
	if at := current.Status.CancelRequestedAt; at == nil || at.Before(ptr.To(current.CreationTimestamp)) || current.Status.Status != "cancelled" {
		t.Errorf("status is %+v", current.Status)
	}
	if deadline := current.Status.CreatedAt.Add(2 * time.Second); current.Status.CancelRequestedAt.Time.Before(deadline) {
		t.Errorf("cancelled at %s, before the deadline at %s", current.Status.CancelRequestedAt, deadline)
	}
}

func TestABatchThatCompletesBeforeItsDeadlineHasCompleted(t *testing.T) {
	w := newWorld(t)
	w.eventuallyRow(w.create(spec{ActiveDeadlineSeconds: ptr.To[int64](600)}), "Completed", succeeded)
	if n := w.calls(emulator.Cancel); n != 0 {
		t.Errorf("%d cancels were sent", n)
	}
}

func TestAFinishedObjectIsDeletedAfterItsTimeToLive(t *testing.T) {
	w := newWorld(t)
	b := w.create(spec{TTLSecondsAfterFinished: ptr.To[int32](1)})
	w.eventuallyRow(b, "Completed", succeeded)
	w.eventuallyGone(b)
	w.eventuallyEvent(b, "TTLExpired")
	if n := w.calls(emulator.Cancel, emulator.DetachFile); n != 0 {
		t.Errorf("%d calls were made to delete it", n)
	}
}

func TestAnObjectOutlivesItsBatchWhereNoTimeToLiveIsSet(t *testing.T) {
	w := newWorld(t)
	b := w.create(spec{})
	w.eventuallyRow(b, "Completed", succeeded)
	w.patch(b, `{"spec":{"ttlSecondsAfterFinished":0}}`)
	w.eventuallyGone(b)
}

// eventuallyGone waits until an object is gone.
func (w *world) eventuallyGone(b *v1alpha1.VectorStoreFileBatch) {
	w.Helper()
	w.poll(func() bool {
		return apierrors.IsNotFound(k8s.Get(w.Context(), client.ObjectKeyFromObject(b), &v1alpha1.VectorStoreFileBatch{}))
	}, func() string { return "for the object to be gone" })
}
