// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// scenario is something that happens to one object, which ends in the same state whatever goes
// wrong on the way.
type scenario struct {
	name string
	// does says it in a few words.
	does string
	// spec is what the object asks for, beside the vector store.
	spec v1alpha1.VectorStoreFileBatchSpec
	// adopts makes a batch first, which the object then stands for.
	adopts bool
	// withoutSecret leaves the Secret to drive.
	withoutSecret bool
	// early makes the object before there is a manager.
	early bool
	// managers is how many work at the same time; one, where it is zero.
	managers int
	// points are those that faults meet; all of them, where it is empty.
	points []string
	// faults meet every run, the reference too.
	faults []injection
	// settings are those of the upstream.
	settings emulator.Settings
	// received happens before a request is forwarded; it may be nil.
	received func(ctx context.Context, r *run, point string) error
	// drive does what happens to the object after it was created.
	drive func(ctx context.Context, r *run) error
	// reason is the reason that Ready ends with; empty where the object is gone in the end.
	reason string
	// cancels says that every batch whose ID is known is cancelled.
	cancels bool
	// mayBeUnborn says that it may end the same without a batch, where the create did not take
	// effect at once.
	mayBeUnborn bool
	// statusWrites bounds the status writes of a run in which nothing goes wrong.
	statusWrites int
}

// cancelDelay is how long the upstream takes to carry a cancel out, so that a batch is seen
// being cancelled.
const cancelDelay = 500 * time.Millisecond

var (
	threeStuck = []string{"file-stuck-a", "file-stuck-b", "file-stuck-c"}
	threeGood  = []string{"file-a", "file-b", "file-c"}
	twoFailing = []string{"file-a", "file-fail-b", "file-fail-unsupported-c"}
	slowCancel = emulator.Settings{CancelDelay: cancelDelay}
)

var scenarios = []scenario{
	{
		name: "complete", does: "create and complete", reason: v1alpha1.ReasonCompleted, statusWrites: 2,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck},
		drive: func(ctx context.Context, r *run) error {
			if err := r.inProgress(ctx); err != nil {
				return err
			}
			return r.finishBatches()
		},
	},
	{
		name: "cancel", does: "create and cancel", reason: v1alpha1.ReasonCancelled, statusWrites: 3, cancels: true,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck}, settings: slowCancel, drive: cancelInProgress,
	},
	{
		name: "cancel-first", does: "cancel before create", reason: v1alpha1.ReasonCancelled, statusWrites: 1,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck, Cancel: ptr.To(true)},
	},
	{
		name: "adopt", does: "adopt and cancel", reason: v1alpha1.ReasonCancelled, statusWrites: 3, cancels: true,
		adopts: true, settings: slowCancel, drive: cancelInProgress,
	},
	{
		name: "cancel-creating", does: "cancel while the create is under way", reason: v1alpha1.ReasonCancelled, statusWrites: 4, cancels: true,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck}, settings: slowCancel, mayBeUnborn: true,
		received: func(ctx context.Context, r *run, point string) error {
			if point != "up.create.1" {
				return nil
			}
			return r.patch(ctx, `{"spec":{"cancel":true}}`)
		},
	},
	{
		name: "resume", does: "suspend before anything was created, and resume", reason: v1alpha1.ReasonCompleted, statusWrites: 3,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood, Suspend: ptr.To(true)},
		drive: func(ctx context.Context, r *run) error {
			err := r.until(ctx, "the object to be suspended", func(b *v1alpha1.VectorStoreFileBatch) bool {
				return readyReason(b) == v1alpha1.ReasonSuspended
			})
			if err != nil {
				return err
			}
			return r.patch(ctx, `{"spec":{"suspend":false}}`)
		},
	},
	{
		name: "delete", does: "delete in progress, policy Cancel", statusWrites: 1, cancels: true,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck}, settings: slowCancel, drive: deleteInProgress,
	},
	{
		name: "orphan", does: "delete in progress, policy Orphan", statusWrites: 1,
		spec:  v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck, DeletionPolicy: v1alpha1.DeletionPolicyOrphan},
		drive: deleteInProgress,
	},
	{
		name: "detach", does: "delete in progress, policy DetachFiles", statusWrites: 2, cancels: true,
		spec:     v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck, DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles},
		settings: slowCancel, drive: deleteInProgress,
	},
	{
		name: "adopt-detach", does: "adopt, and delete with policy DetachFiles", statusWrites: 2, cancels: true, adopts: true,
		spec: v1alpha1.VectorStoreFileBatchSpec{DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles}, settings: slowCancel,
		drive: deleteInProgress,
	},
	{
		name: "delete-creating", does: "delete while the create is under way", statusWrites: 1, cancels: true,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck}, settings: slowCancel,
		received: func(ctx context.Context, r *run, point string) error {
			if point != "up.create.1" {
				return nil
			}
			return r.delete(ctx)
		},
	},
	{
		name: "files-failed", does: "failures past maxFailedFiles", reason: v1alpha1.ReasonFilesFailed, statusWrites: 2,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: twoFailing, MaxFailedFiles: ptr.To(int32(1))},
	},
	{
		name: "tolerated", does: "failing files, listed and allowed", reason: v1alpha1.ReasonCompleted, statusWrites: 2,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: twoFailing, MaxFailedFiles: ptr.To(int32(2))},
	},
	{
		name: "deadline", does: "activeDeadlineSeconds is over", reason: v1alpha1.ReasonDeadlineExceeded, statusWrites: 3, cancels: true,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck, ActiveDeadlineSeconds: ptr.To(int64(2))}, settings: slowCancel,
	},
	{
		name: "ttl", does: "ttlSecondsAfterFinished is over", statusWrites: 2,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood, TTLSecondsAfterFinished: ptr.To(int32(1))},
	},
	{
		name: "late-secret", does: "the Secret arrives late", reason: v1alpha1.ReasonCompleted, statusWrites: 3,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood}, withoutSecret: true,
		drive: func(ctx context.Context, r *run) error {
			err := r.until(ctx, "the object to miss its Secret", func(b *v1alpha1.VectorStoreFileBatch) bool {
				return readyReason(b) == v1alpha1.ReasonCredentialsNotFound
			})
			if err != nil {
				return err
			}
			return r.createSecret(ctx)
		},
	},
	{
		name: "listed", does: "find the object in the list that a manager begins with", reason: v1alpha1.ReasonCompleted, statusWrites: 2,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood}, early: true,
		points: []string{"api.list.1", "api.watch.1", "api.secret.1"},
	},
	{
		name: "lost-create", does: "recover from a create whose answer is lost", reason: v1alpha1.ReasonCompleted, statusWrites: 4,
		spec:   v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood},
		faults: []injection{{"up.create.1", faultNamed("cut-after", "up.create.1")}},
		// How many status writes there are while it waits depends on the jitter.
		points: []string{"api.status.1", "up.probe.1", "api.intent.2", "up.create.2", "api.keep.1", "up.retrieve.1"},
	},
	{
		name: "pair", does: "two managers create at the same time", reason: v1alpha1.ReasonCompleted, managers: 2, statusWrites: 6,
		spec:   v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood},
		faults: []injection{{"api.intent.1", rendezvous}},
		// What comes later depends on which of the two is faster.
		points: []string{"api.intent.2", "up.create.1", "api.keep.1"},
	},
}

// cancelInProgress cancels the batch once it is being followed.
func cancelInProgress(ctx context.Context, r *run) error {
	if err := r.inProgress(ctx); err != nil {
		return err
	}
	return r.patch(ctx, `{"spec":{"cancel":true}}`)
}

// deleteInProgress deletes the object once its batch is being followed.
func deleteInProgress(ctx context.Context, r *run) error {
	if err := r.inProgress(ctx); err != nil {
		return err
	}
	return r.delete(ctx)
}
