// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// withoutStreamedLists makes a manager list the objects. By default client-go streams them through a
// watch.
const withoutStreamedLists = "KUBE_FEATURE_WatchListClient=false"

// scenario is a sequence of events in the life of one object, which ends in the same state whatever
// fault is injected.
type scenario struct {
	name string
	// description describes the scenario in a few words.
	description string
	// spec is the object's spec without the vector store.
	spec v1alpha1.VectorStoreFileBatchSpec
	// adopts creates a batch first, which the object then adopts.
	adopts bool
	// copied means that the object has the annotations of the neighbor's.
	copied bool
	// spared are the files that another object of the namespace attaches.
	spared []string
	// withoutSecret leaves the creation of the Secret to actions.
	withoutSecret bool
	// objectFirst creates the object before a manager runs.
	objectFirst bool
	// flags are added to those of the managers.
	flags []string
	// env is added to the environment of the managers.
	env []string
	// managers is the number of concurrent managers; zero means one.
	managers int
	// points are the failpoints to use; empty means all.
	failpoints []string
	// untracked means that no created batch can be recorded, because the response names another vector store.
	untracked bool
	// batches is the number of batches that are created in a run without a fault; zero means any number.
	batches int
	// mayStall means that the object is stalled for a while.
	mayStall bool
	// excluded are runs, as failpoint/fault, that end in another state, or whose fault cannot occur.
	excluded []string
	// faults are injected into every run, including the reference.
	faults []injection
	// lasting are faults of the emulator that hold for every call.
	lasting []emulator.Fault
	// profile is the emulator's profile; empty means its default.
	profile string
	// configure changes the emulator's behaviors; it may be nil.
	configure func(*emulator.Settings)
	// settings configure the emulator.
	settings emulator.Settings
	// beforeForward is called before a request is forwarded; it may be nil.
	beforeForward func(ctx context.Context, r *run, failpoint string) error
	// actions changes the object after its creation; it may be nil.
	actions func(ctx context.Context, r *run) error
	// reason is the final reason of Ready; empty if the object is deleted.
	reason string
	// unattached means that a file that was not processed is not in the vector store.
	unattached bool
	// cancels means that every batch with a recorded ID is cancelled.
	cancels bool
	// batchOptional means that the outcome may be the same without a batch, if the create does not
	// take effect at once.
	batchOptional bool
	// statusWrites bounds the status writes of a run without a fault.
	statusWrites int
}

// excludes reports whether a fault is not injected at a failpoint.
func (s *scenario) excludes(failpoint string, f fault) bool {
	return slices.Contains(s.excluded, failpoint+"/"+f.name)
}

// cancelDelay is how long the emulator takes to complete a cancel, so that the manager observes the
// status cancelling.
const cancelDelay = 500 * time.Millisecond

var (
	threeStuck = []string{"file-stuck-a", "file-stuck-b", "file-stuck-c"}
	threeGood  = []string{"file-a", "file-b", "file-c"}
	twoFailing = []string{"file-a", "file-fail-b", "file-fail-unsupported-c"}
	slowCancel = emulator.Settings{CancelDelay: cancelDelay}
)

// scenarios are those of the default profile, and some of them with the other profiles.
var scenarios = slices.Concat(
	lives,
	inProfile(emulator.ProfileAzure, "complete", "cancel", "files-failed"),
	// Not deadline: OGX attaches a file when it is processed, so a batch of stuck files whose create was lost
	// cannot be found, and the object ends without it.
	inProfile(emulator.ProfileOGX, "complete", "cancel", "adopt", "files-failed", "detach", "adopt-detach", "lost-create"),
	inProfile(emulator.ProfileGateway, "complete", "cancel", "files-failed", "lost-create", "detach"),
)

// inProfile returns variants of scenarios with a profile.
func inProfile(profile string, names ...string) []scenario {
	var variants []scenario
	for _, s := range lives {
		if slices.Contains(names, s.name) {
			s.name, s.profile = profile+"-"+s.name, profile
			s.description += ", profile " + profile
			s.unattached = profile == emulator.ProfileOGX
			if profile == emulator.ProfileGateway {
				s.configure = translatedIDs
				if s.name == profile+"-detach" {
					s.statusWrites++ // the first response to a detach does not confirm it
				}
			}
			variants = append(variants, s)
		}
	}
	return variants
}

// lives are the scenarios of the default profile. The slowest come first.
var lives = []scenario{
	{
		name: "lost-creates", description: "the responses to three creates are lost", reason: v1alpha1.ReasonCreateOutcomeUnknown, statusWrites: 8,
		spec:       v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood},
		faults:     []injection{loses("openai.create-batch.1"), loses("openai.create-batch.2"), loses("openai.create-batch.3")},
		batches:    3,
		failpoints: []string{"kube.update-status.1", "openai.list-store-files.3"},
	},
	{
		name: "another-store", description: "the response to each create names another vector store", reason: v1alpha1.ReasonRejected, statusWrites: 5,
		spec:       v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood},
		configure:  func(s *emulator.Settings) { s.OriginStoreIDs = true },
		untracked:  true,
		batches:    2,
		failpoints: []string{"kube.update-status.1", "kube.set-create-pending.2", "openai.list-store-files.1"},
	},
	{
		name: "complete", description: "create and complete", reason: v1alpha1.ReasonCompleted, statusWrites: 2,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck},
		actions: func(ctx context.Context, r *run) error {
			if err := r.inProgress(ctx); err != nil {
				return err
			}
			return r.finishBatches()
		},
	},
	{
		name: "cancel", description: "create and cancel", reason: v1alpha1.ReasonCancelled, statusWrites: 3, cancels: true,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck}, settings: slowCancel, actions: cancelInProgress,
	},
	{
		name: "cancel-first", description: "cancel before create", reason: v1alpha1.ReasonCancelled, statusWrites: 1,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck, Cancel: ptr.To(true)},
	},
	{
		name: "adopt", description: "adopt and cancel", reason: v1alpha1.ReasonCancelled, statusWrites: 3, cancels: true,
		adopts: true, settings: slowCancel, actions: cancelInProgress,
	},
	{
		name: "cancel-creating", description: "cancel while the create is in flight", reason: v1alpha1.ReasonCancelled, statusWrites: 4, cancels: true,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck}, settings: slowCancel, batchOptional: true,
		beforeForward: func(ctx context.Context, r *run, failpoint string) error {
			if failpoint != "openai.create-batch.1" {
				return nil
			}
			return r.patch(ctx, `{"spec":{"cancel":true}}`)
		},
	},
	{
		name: "resume", description: "suspend before the create, and resume", reason: v1alpha1.ReasonCompleted, statusWrites: 3,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood, Suspend: ptr.To(true)},
		actions: func(ctx context.Context, r *run) error {
			err := r.until(ctx, "the object to be suspended", func(b *v1alpha1.VectorStoreFileBatch) bool {
				return framework.ReadyReason(b) == v1alpha1.ReasonSuspended
			})
			if err != nil {
				return err
			}
			return r.patch(ctx, `{"spec":{"suspend":false}}`)
		},
	},
	{
		name: "delete", description: "delete in progress, policy Cancel", statusWrites: 1, cancels: true,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck}, settings: slowCancel, actions: deleteInProgress,
	},
	{
		name: "orphan", description: "delete in progress, policy Orphan", statusWrites: 1,
		spec:    v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck, DeletionPolicy: v1alpha1.DeletionPolicyOrphan},
		actions: deleteInProgress,
	},
	{
		name: "detach", description: "delete in progress, policy DetachFiles", statusWrites: 2, cancels: true,
		spec:     v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck, DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles},
		settings: slowCancel, actions: deleteInProgress,
	},
	{
		name: "adopt-detach", description: "adopt, and delete with policy DetachFiles", statusWrites: 2, cancels: true, adopts: true,
		spec: v1alpha1.VectorStoreFileBatchSpec{DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles}, settings: slowCancel,
		actions: deleteInProgress,
	},
	{
		name: "copied", description: "create a copy of an object, with its annotations", reason: v1alpha1.ReasonCompleted, statusWrites: 2,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood}, copied: true,
	},
	{
		name: "shared", description: "delete in progress, policy DetachFiles, beside an object that shares a file", statusWrites: 3, cancels: true,
		spec:     v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck, DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles},
		settings: slowCancel, spared: threeStuck[:1],
		// The manager reads this list from the API server's storage, so it is not old.
		excluded: []string{"kube.list-objects.1/stale"},
		actions: func(ctx context.Context, r *run) error {
			if err := r.createSharing(ctx); err != nil {
				return err
			}
			return deleteInProgress(ctx, r)
		},
	},
	{
		name: "delete-creating", description: "delete while the create is in flight", statusWrites: 1, cancels: true,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck}, settings: slowCancel,
		beforeForward: func(ctx context.Context, r *run, failpoint string) error {
			if failpoint != "openai.create-batch.1" {
				return nil
			}
			return r.delete(ctx)
		},
	},
	{
		name: "files-failed", description: "more failed files than maxFailedFiles", reason: v1alpha1.ReasonFilesFailed, statusWrites: 2,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: twoFailing, MaxFailedFiles: ptr.To(int32(1))},
	},
	{
		name: "tolerated", description: "failed files within maxFailedFiles", reason: v1alpha1.ReasonCompleted, statusWrites: 2,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: twoFailing, MaxFailedFiles: ptr.To(int32(2))},
	},
	{
		name: "deadline", description: "activeDeadlineSeconds elapses", reason: v1alpha1.ReasonDeadlineExceeded, statusWrites: 3, cancels: true,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck, ActiveDeadlineSeconds: ptr.To(int64(2))}, settings: slowCancel,
	},
	{
		name: "cancel-refused", description: "activeDeadlineSeconds elapses, and the server refuses every cancel", reason: v1alpha1.ReasonDeadlineExceeded, statusWrites: 5,
		spec:       v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck, ActiveDeadlineSeconds: ptr.To(int64(2))},
		lasting:    []emulator.Fault{{Operation: emulator.Cancel, Status: http.StatusMethodNotAllowed}},
		failpoints: []string{"kube.update-status.1", "openai.cancel-batch.1", "openai.retrieve-batch.1"},
	},
	{
		name: "server-away", description: "activeDeadlineSeconds elapses, and the server is away since the first poll", reason: v1alpha1.ReasonDeadlineExceeded, statusWrites: 5,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeStuck, ActiveDeadlineSeconds: ptr.To(int64(2))},
		lasting: []emulator.Fault{
			{Operation: emulator.Retrieve, Skip: 1, Status: http.StatusServiceUnavailable},
			{Operation: emulator.Cancel, Status: http.StatusServiceUnavailable},
		},
		failpoints: []string{"kube.update-status.1", "openai.cancel-batch.1"},
		// The outage of the API server lasts until the server is away: its answers are not in the status.
		excluded: []string{"kube.update-status.1/outage"},
	},
	{
		name: "answers-store", description: "every read and cancel of the batch is answered with the vector store", reason: v1alpha1.ReasonCompleted, statusWrites: 3,
		spec:       v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood},
		configure:  func(s *emulator.Settings) { s.AnswersStore = []emulator.Operation{emulator.Retrieve, emulator.Cancel} },
		failpoints: []string{"kube.update-status.1", "kube.record-batch-id.1", "openai.retrieve-batch.1", "openai.retrieve-batch.2"},
	},
	{
		name: "files-ignored", description: "the server ignores spec.files, profile ogx", reason: v1alpha1.ReasonFilesMissing, statusWrites: 2,
		spec:       v1alpha1.VectorStoreFileBatchSpec{Files: []v1alpha1.File{{FileID: "file-a"}, {FileID: "file-b"}}},
		profile:    emulator.ProfileOGX,
		failpoints: []string{"kube.update-status.1", "openai.create-batch.1", "openai.retrieve-batch.1"},
	},
	{
		name: "refused-first", description: "the server does not know the vector store yet", reason: v1alpha1.ReasonCompleted, statusWrites: 3,
		spec:       v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood},
		flags:      []string{"--not-found-grace=30s"}, // however slow the machine is
		lasting:    []emulator.Fault{{Operation: emulator.Create, FileID: threeGood[0], Status: http.StatusNotFound, Times: 1}},
		failpoints: []string{"kube.update-status.1", "openai.create-batch.1", "openai.create-batch.2"},
	},
	{
		name: "ttl", description: "ttlSecondsAfterFinished elapses", statusWrites: 2,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood, TTLSecondsAfterFinished: ptr.To(int32(1))},
	},
	{
		name: "late-secret", mayStall: true, description: "the Secret is created late", reason: v1alpha1.ReasonCompleted, statusWrites: 3,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood}, withoutSecret: true,
		actions: func(ctx context.Context, r *run) error {
			err := r.until(ctx, "the object to miss its Secret", func(b *v1alpha1.VectorStoreFileBatch) bool {
				return framework.ReadyReason(b) == v1alpha1.ReasonCredentialsNotFound
			})
			if err != nil {
				return err
			}
			return r.createSecret(ctx)
		},
	},
	{
		name: "listed", description: "the first list contains the object, with an API server that streams no lists", reason: v1alpha1.ReasonCompleted, statusWrites: 2,
		spec: v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood}, objectFirst: true, env: []string{withoutStreamedLists},
		failpoints: []string{"kube.list-objects.1", "kube.watch-objects.1", "kube.read-secret.1"},
	},
	{
		name: "lost-create", description: "recover from a create whose response is lost", reason: v1alpha1.ReasonCompleted, statusWrites: 4,
		spec:   v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood},
		faults: []injection{loses("openai.create-batch.1")},
		// TestCreate_Untracked: a batch that cannot be tracked, after a response that was lost.
		excluded: []string{"openai.create-batch.2/foreign-body"},
		// The number of status writes while the manager waits depends on the jitter.
		failpoints: []string{"kube.update-status.1", "openai.list-store-files.1", "kube.set-create-pending.2", "openai.create-batch.2", "kube.record-batch-id.1", "openai.retrieve-batch.1"},
	},
	{
		name: "pair", description: "two managers create at the same time", reason: v1alpha1.ReasonCompleted, managers: 2, statusWrites: 6,
		spec:   v1alpha1.VectorStoreFileBatchSpec{FileIDs: threeGood},
		faults: []injection{{"kube.set-create-pending.1", rendezvous}},
		// Later requests depend on which of the two is faster.
		failpoints: []string{"kube.set-create-pending.2", "openai.create-batch.1", "kube.record-batch-id.1"},
	},
}

// translatedIDs makes a gateway translate the IDs of vector stores in both directions. With one that does
// not, no batch can be tracked.
func translatedIDs(s *emulator.Settings) { s.OriginStoreIDs = false }

// cancelInProgress cancels the batch after its first poll.
func cancelInProgress(ctx context.Context, r *run) error {
	if err := r.inProgress(ctx); err != nil {
		return err
	}
	return r.patch(ctx, `{"spec":{"cancel":true}}`)
}

// deleteInProgress deletes the object after the first poll of its batch.
func deleteInProgress(ctx context.Context, r *run) error {
	if err := r.inProgress(ctx); err != nil {
		return err
	}
	return r.delete(ctx)
}
