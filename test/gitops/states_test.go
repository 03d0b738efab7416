// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

type spec = v1alpha1.VectorStoreFileBatchSpec

// state is something that an object can be in, how it comes to it, and what the tools have to
// make of it.
type state struct {
	name    string
	reason  string
	kstatus status.Status
	argo    string

	spec spec
	// arrange prepares the upstream; happens comes once the batch is in progress.
	arrange func(s *scene, store string)
	happens func(s *scene, b *v1alpha1.VectorStoreFileBatch)
	// fleeting says that the state passes by itself, and has to be caught.
	fleeting bool
}

// createsPerMinute is how many batches a minute the manager creates in a vector store: more
// than the states need by themselves, so that only the one that is to wait does.
const createsPerMinute = 6

var stuck = spec{FileIDs: []string{"file-one", "file-stuck-two"}}

var states = []state{
	{name: "in-progress", reason: "InProgress", kstatus: status.InProgressStatus, argo: "Progressing", spec: stuck},
	{
		name: "cancelling", reason: "Cancelling", kstatus: status.InProgressStatus, argo: "Progressing", spec: stuck,
		happens: func(s *scene, b *v1alpha1.VectorStoreFileBatch) {
			s.setStatus(b, "in_progress") // whatever is asked for
			s.patch(b, `{"spec":{"cancel":true}}`)
			stage.Eventually(s.t, "a file to be cancelled", func() bool { return s.Read(s.t, b.Name).Status.FileCounts.Cancelled == 1 })
		},
	},
	{
		name: "deleting", reason: "Deleting", kstatus: status.TerminatingStatus, argo: "Progressing", spec: stuck,
		happens: func(s *scene, b *v1alpha1.VectorStoreFileBatch) {
			s.AddFault(emulator.Fault{VectorStoreID: b.Spec.VectorStoreID, Operation: emulator.Cancel, Status: 503})
			s.must(s.Client.Delete(s.t.Context(), b))
		},
	},
	{
		name: "waiting", reason: "Waiting", kstatus: status.InProgressStatus, argo: "Progressing", spec: stuck,
		arrange: func(s *scene, store string) {
			for i := range createsPerMinute {
				name := fmt.Sprintf("before-%d", i)
				s.MustCreate(s.t, s.Object(name, spec{VectorStoreID: store, FileIDs: []string{"file-one"}}))
				s.WaitReason(s.t, name, "Completed")
			}
		},
	},
	{name: "completed", reason: "Completed", kstatus: status.CurrentStatus, argo: "Healthy", spec: spec{FileIDs: []string{"file-one", "file-two"}}},
	{
		name: "completed-tolerated", reason: "Completed", kstatus: status.CurrentStatus, argo: "Healthy",
		spec: spec{FileIDs: []string{"file-one", "file-fail-two"}, MaxFailedFiles: ptr.To[int32](1)},
	},
	{
		name: "files-failed", reason: "FilesFailed", kstatus: status.FailedStatus, argo: "Degraded",
		spec: spec{FileIDs: []string{"file-one", "file-fail-invalid-two", "file-fail-unsupported-three"}},
	},
	{
		name: "batch-failed", reason: "BatchFailed", kstatus: status.FailedStatus, argo: "Degraded", spec: stuck,
		happens: func(s *scene, b *v1alpha1.VectorStoreFileBatch) { s.setStatus(b, "failed") },
	},
	{
		name: "cancelled", reason: "Cancelled", kstatus: status.CurrentStatus, argo: "Healthy", spec: stuck,
		happens: func(s *scene, b *v1alpha1.VectorStoreFileBatch) { s.patch(b, `{"spec":{"cancel":true}}`) },
	},
	{
		name: "cancelled-before-created", reason: "Cancelled", kstatus: status.CurrentStatus, argo: "Healthy",
		spec: spec{FileIDs: stuck.FileIDs, Cancel: ptr.To(true)},
	},
	{
		name: "cancelled-externally", reason: "CancelledExternally", kstatus: status.FailedStatus, argo: "Degraded", spec: stuck,
		happens: func(s *scene, b *v1alpha1.VectorStoreFileBatch) { s.setStatus(b, "cancelled") },
	},
	{
		name: "deadline-exceeded", reason: "DeadlineExceeded", kstatus: status.FailedStatus, argo: "Degraded",
		spec: spec{FileIDs: stuck.FileIDs, ActiveDeadlineSeconds: ptr.To[int64](1)},
	},
	{
		name: "batch-not-found", reason: "BatchNotFound", kstatus: status.FailedStatus, argo: "Degraded",
		spec: spec{BatchID: "vsfb_0123456789abcdef0123456789abcdef"},
	},
	{
		name: "rejected", reason: "Rejected", kstatus: status.FailedStatus, argo: "Degraded", spec: stuck,
		arrange: func(s *scene, store string) { s.Emulator.DeleteStore(store) },
	},
	{
		name: "credentials-rejected", reason: "CredentialsRejected", kstatus: status.FailedStatus, argo: "Degraded",
		spec: spec{FileIDs: stuck.FileIDs, CredentialsRef: &v1alpha1.CredentialsReference{Name: "wrong-key"}},
	},
	{
		name: "credentials-not-found", reason: "CredentialsNotFound", kstatus: status.InProgressStatus, argo: "Progressing",
		spec: spec{FileIDs: stuck.FileIDs, CredentialsRef: &v1alpha1.CredentialsReference{Name: "none"}},
	},
	{
		name: "rate-limited", reason: "RateLimited", kstatus: status.InProgressStatus, argo: "Progressing",
		spec: spec{FileIDs: stuck.FileIDs, CredentialsRef: &v1alpha1.CredentialsReference{Name: "another-key"}},
		arrange: func(s *scene, store string) {
			s.AddFault(emulator.Fault{VectorStoreID: store, Operation: emulator.Create, Status: 429, Header: map[string]string{"Retry-After": "3600"}})
		},
	},
	{
		name: "upstream-unavailable", reason: "UpstreamUnavailable", kstatus: status.InProgressStatus, argo: "Progressing", spec: stuck,
		happens: func(s *scene, b *v1alpha1.VectorStoreFileBatch) {
			s.AddFault(emulator.Fault{VectorStoreID: b.Spec.VectorStoreID, Status: 503, Body: "busy"})
		},
	},
	{
		name: "create-outcome-unknown", reason: "CreateOutcomeUnknown", kstatus: status.InProgressStatus, argo: "Progressing", spec: stuck, fleeting: true,
		arrange: func(s *scene, store string) {
			s.AddFault(emulator.Fault{VectorStoreID: store, Operation: emulator.Create, Action: emulator.Drop})
		},
	},
	{
		name: "suspended", reason: "Suspended", kstatus: status.InProgressStatus, argo: "Suspended", spec: stuck,
		happens: func(s *scene, b *v1alpha1.VectorStoreFileBatch) { s.patch(b, `{"spec":{"suspend":true}}`) },
	},
}

// scene is where the objects of all states live.
type scene struct {
	*stage.Tenant
	t *testing.T
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// AddFault makes the upstream misbehave.
func (s *scene) AddFault(fault emulator.Fault) { s.Emulator.AddFault(fault) }

func (s *scene) setStatus(b *v1alpha1.VectorStoreFileBatch, status string) {
	s.t.Helper()
	s.must(s.Emulator.SetBatchStatus(b.Status.BatchID, status))
}

func (s *scene) patch(b *v1alpha1.VectorStoreFileBatch, patch string) {
	s.t.Helper()
	s.must(s.Client.Patch(s.t.Context(), b, client.RawPatch("application/merge-patch+json", []byte(patch))))
}

// waitOneFile waits until the status of an object tells of the one file that is done.
func (s *scene) waitOneFile(name string) *v1alpha1.VectorStoreFileBatch {
	s.t.Helper()
	stage.Eventually(s.t, "a file of "+name, func() bool {
		counts := s.Read(s.t, name).Status.FileCounts
		return counts != nil && counts.Completed == 1
	})
	return s.Read(s.t, name)
}

// raw is an object as the API server gives it.
func (s *scene) raw(name string) *unstructured.Unstructured {
	s.t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("VectorStoreFileBatch"))
	s.must(s.Client.Get(s.t.Context(), client.ObjectKey{Namespace: s.Namespace, Name: name}, object))
	return object
}

// newScene makes a namespace whose upstream has a vector store for each state, and Secrets.
func newScene(t *testing.T) *scene {
	t.Helper()
	options := emulator.Options{APIKeys: []string{stage.APIKey, "sk-another"}}
	for _, state := range states {
		options.VectorStores = append(options.VectorStores, storeOf(state.name))
	}
	s := &scene{Tenant: shared.NewTenant(t, options), t: t}
	var given corev1.Secret
	s.must(s.Client.Get(t.Context(), client.ObjectKey{Namespace: s.Namespace, Name: "openai"}, &given))
	for name, key := range map[string]string{"wrong-key": "sk-wrong", "another-key": "sk-another"} {
		s.MustCreate(t, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name},
			Data:       map[string][]byte{"OPENAI_BASE_URL": given.Data["OPENAI_BASE_URL"], "OPENAI_API_KEY": []byte(key)},
		})
	}
	return s
}

func storeOf(name string) string { return "vs_" + strings.ReplaceAll(name, "-", "_") }

// produce brings an object into each state, and gives the objects with their states. Two are
// there besides: one that the operator has not seen, and one that was edited since it has.
func produce(t *testing.T) (map[string]*unstructured.Unstructured, []state) {
	t.Helper()
	s := newScene(t)
	unvisited := state{name: "unvisited", kstatus: status.InProgressStatus, argo: "Progressing"}
	edited := state{name: "edited", reason: "FilesFailed", kstatus: status.InProgressStatus, argo: "Progressing"}
	objects := map[string]*unstructured.Unstructured{}
	object := s.Object("unvisited", stuck)
	s.MustCreate(t, object)
	objects["unvisited"] = s.raw("unvisited")
	s.must(s.Client.Delete(t.Context(), object))

	manager := s.Start(t, "gitops", stage.Setup{Flags: []string{fmt.Sprintf("--creates-per-minute=%d", createsPerMinute)}})
	for _, state := range states {
		store := storeOf(state.name)
		if state.arrange != nil {
			state.arrange(s, store)
		}
		spec := state.spec
		spec.VectorStoreID = store
		s.MustCreate(t, s.Object(state.name, spec))
		if state.fleeting {
			s.WaitReason(t, state.name, state.reason)
			objects[state.name] = s.raw(state.name)
		}
	}
	for _, state := range states {
		if state.happens != nil {
			state.happens(s, s.waitOneFile(state.name))
		}
	}
	s.waitOneFile("in-progress")
	for _, state := range states {
		if !state.fleeting {
			s.WaitReason(t, state.name, state.reason)
			objects[state.name] = s.raw(state.name)
		}
	}
	manager.Freeze(t)
	s.patch(s.Read(t, "files-failed"), `{"spec":{"maxFailedFiles":2}}`)
	objects["edited"] = s.raw("files-failed")
	manager.Thaw(t)
	s.WaitReason(t, "files-failed", "Completed")
	return objects, slices.Concat([]state{unvisited, edited}, states)
}
