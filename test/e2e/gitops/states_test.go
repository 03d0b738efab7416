// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

type spec = v1alpha1.VectorStoreFileBatchSpec

// emptyBatch is the response of a server that has ignored the files of a batch.
const emptyBatch = `{"id":"{{batch}}","object":"vector_store.file_batch","created_at":1767323045,"vector_store_id":"{{vector_store}}",` +
	`"status":"completed","file_counts":{"in_progress":0,"completed":0,"failed":0,"cancelled":0,"total":0}}`

// state is a state of an object, how the object reaches it, and how the tools must assess it.
type state struct {
	name    string
	reason  string
	kstatus status.Status
	argo    string

	spec spec
	// arrange prepares the emulator. happens runs once the batch is in progress.
	arrange func(f *fixture, store string)
	happens func(f *fixture, b *v1alpha1.VectorStoreFileBatch)
	// fleeting marks a state that the object leaves by itself.
	fleeting bool
}

// createsPerMinute is the manager's limit for a vector store. It is more than the states need, so that
// only the state "waiting" waits.
const createsPerMinute = 6

var stuck = spec{FileIDs: []string{"file-one", "file-stuck-two"}}

var states = []state{
	{name: "in-progress", reason: "InProgress", kstatus: status.InProgressStatus, argo: "Progressing", spec: stuck},
	{
		name: "cancelling", reason: "Cancelling", kstatus: status.InProgressStatus, argo: "Progressing", spec: stuck,
		happens: func(f *fixture, b *v1alpha1.VectorStoreFileBatch) {
			f.setStatus(b, "in_progress") // whatever the operator requests
			f.Patch(f.t, b.Name, `{"spec":{"cancel":true}}`)
			framework.Eventually(f.t, "a file to be cancelled", func() bool { return f.Get(f.t, b.Name).Status.FileCounts.Cancelled == 1 })
		},
	},
	{
		name: "deleting", reason: "Deleting", kstatus: status.TerminatingStatus, argo: "Progressing", spec: stuck,
		happens: func(f *fixture, b *v1alpha1.VectorStoreFileBatch) {
			f.AddFault(emulator.Fault{VectorStoreID: b.Spec.VectorStoreID, Operation: emulator.Cancel, Status: 503})
			f.must(f.Client.Delete(f.t.Context(), b))
		},
	},
	{
		name: "waiting", reason: "WaitingForRateLimit", kstatus: status.InProgressStatus, argo: "Progressing", spec: stuck,
		arrange: func(f *fixture, store string) {
			for i := range createsPerMinute {
				name := fmt.Sprintf("before-%d", i)
				f.Create(f.t, f.Batch(name, spec{VectorStoreID: store, FileIDs: []string{"file-one"}}))
				f.WaitForReason(f.t, name, "Completed")
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
		name: "files-missing", reason: "FilesMissing", kstatus: status.FailedStatus, argo: "Degraded", spec: stuck,
		arrange: func(f *fixture, store string) {
			f.AddFault(emulator.Fault{VectorStoreID: store, Operation: emulator.Retrieve, Status: 200, Body: emptyBatch})
		},
	},
	{
		name: "batch-failed", reason: "BatchFailed", kstatus: status.FailedStatus, argo: "Degraded", spec: stuck,
		happens: func(f *fixture, b *v1alpha1.VectorStoreFileBatch) { f.setStatus(b, "failed") },
	},
	{
		name: "cancelled", reason: "Cancelled", kstatus: status.CurrentStatus, argo: "Healthy", spec: stuck,
		happens: func(f *fixture, b *v1alpha1.VectorStoreFileBatch) { f.Patch(f.t, b.Name, `{"spec":{"cancel":true}}`) },
	},
	{
		name: "cancelled-before-created", reason: "Cancelled", kstatus: status.CurrentStatus, argo: "Healthy",
		spec: spec{FileIDs: stuck.FileIDs, Cancel: ptr.To(true)},
	},
	{
		name: "cancelled-externally", reason: "CancelledExternally", kstatus: status.FailedStatus, argo: "Degraded", spec: stuck,
		happens: func(f *fixture, b *v1alpha1.VectorStoreFileBatch) { f.setStatus(b, "cancelled") },
	},
	{
		name: "deadline-exceeded", reason: "DeadlineExceeded", kstatus: status.FailedStatus, argo: "Degraded",
		spec: spec{FileIDs: stuck.FileIDs, ActiveDeadlineSeconds: ptr.To[int64](1)},
	},
	{
		name: "cancel-failed", reason: "CancelFailed", kstatus: status.FailedStatus, argo: "Degraded", spec: stuck,
		happens: func(f *fixture, b *v1alpha1.VectorStoreFileBatch) {
			f.AddFault(emulator.Fault{VectorStoreID: b.Spec.VectorStoreID, Operation: emulator.Cancel, Status: 405})
			f.Patch(f.t, b.Name, `{"spec":{"cancel":true}}`)
		},
	},
	{
		name: "batch-not-found", reason: "BatchNotFound", kstatus: status.FailedStatus, argo: "Degraded",
		spec: spec{BatchID: "vsfb_0123456789abcdef0123456789abcdef"},
	},
	{
		name: "rejected", reason: "Rejected", kstatus: status.FailedStatus, argo: "Degraded", spec: stuck,
		arrange: func(f *fixture, store string) { f.Emulator.DeleteStore(store) },
	},
	{
		name: "invalid-spec", reason: "InvalidSpec", kstatus: status.FailedStatus, argo: "Degraded",
		spec: spec{Files: []v1alpha1.File{{FileID: "file-a"}, {FileID: "file-a", Attributes: v1alpha1.Attributes{"k": {Raw: []byte(`"v"`)}}}}},
	},
	{
		name: "endpoint-not-allowed", reason: "EndpointNotAllowed", kstatus: status.FailedStatus, argo: "Degraded",
		spec: spec{FileIDs: stuck.FileIDs, CredentialsRef: &v1alpha1.CredentialsReference{Name: "link-local"}},
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
		arrange: func(f *fixture, store string) {
			f.AddFault(emulator.Fault{VectorStoreID: store, Operation: emulator.Create, Status: 429, Header: map[string]string{"Retry-After": "3600"}})
		},
	},
	{
		name: "upstream-unavailable", reason: "UpstreamUnavailable", kstatus: status.InProgressStatus, argo: "Progressing", spec: stuck,
		happens: func(f *fixture, b *v1alpha1.VectorStoreFileBatch) {
			f.AddFault(emulator.Fault{VectorStoreID: b.Spec.VectorStoreID, Status: 503, Body: "busy"})
		},
	},
	{
		name: "create-outcome-unknown", reason: "CreateOutcomeUnknown", kstatus: status.InProgressStatus, argo: "Progressing", spec: stuck, fleeting: true,
		arrange: func(f *fixture, store string) {
			f.AddFault(emulator.Fault{VectorStoreID: store, Operation: emulator.Create, Action: emulator.Drop})
		},
	},
	{
		name: "suspended", reason: "Suspended", kstatus: status.InProgressStatus, argo: "Suspended", spec: stuck,
		happens: func(f *fixture, b *v1alpha1.VectorStoreFileBatch) { f.Patch(f.t, b.Name, `{"spec":{"suspend":true}}`) },
	},
}

// fixture contains the objects of all states.
type fixture struct {
	*framework.Fixture

	t *testing.T
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// AddFault adds a fault to the emulator.
func (f *fixture) AddFault(fault emulator.Fault) { f.Emulator.AddFault(fault) }

func (f *fixture) setStatus(b *v1alpha1.VectorStoreFileBatch, status string) {
	f.t.Helper()
	f.must(f.Emulator.SetBatchStatus(b.Status.BatchID, status))
}

// waitOneFile waits until the status of an object counts one completed file.
func (f *fixture) waitOneFile(name string) *v1alpha1.VectorStoreFileBatch {
	f.t.Helper()
	return framework.Await(f.t, "a file of "+name, func() *v1alpha1.VectorStoreFileBatch { return f.Get(f.t, name) },
		func(b *v1alpha1.VectorStoreFileBatch) bool {
			return b.Status.FileCounts != nil && b.Status.FileCounts.Completed == 1
		})
}

// raw reads an object without its type.
func (f *fixture) raw(name string) *unstructured.Unstructured {
	f.t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("VectorStoreFileBatch"))
	f.must(f.Client.Get(f.t.Context(), client.ObjectKey{Namespace: f.Namespace, Name: name}, object))
	return object
}

// newFixture creates a namespace with Secrets, and an emulator with a vector store for each state.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	options := emulator.Options{APIKeys: []string{framework.APIKey, "sk-another"}}
	for _, state := range states {
		options.VectorStores = append(options.VectorStores, storeOf(state.name))
	}
	f := &fixture{Fixture: env.NewFixture(t, options), t: t}
	for name, key := range map[string]string{"wrong-key": "sk-wrong", "another-key": "sk-another"} {
		f.Create(t, framework.NewSecret(f.Namespace, name, key, f.BaseURL))
	}
	f.Create(t, framework.NewSecret(f.Namespace, "link-local", framework.APIKey, "https://169.254.169.254/v1"))
	return f
}

func storeOf(name string) string { return "vs_" + strings.ReplaceAll(name, "-", "_") }

// produce brings an object into each state, and returns the objects with their states. It adds two: an
// object that the operator has not observed, and one that was edited after it was observed.
func produce(t *testing.T) (map[string]*unstructured.Unstructured, []state) {
	t.Helper()
	f := newFixture(t)
	unvisited := state{name: "unvisited", kstatus: status.InProgressStatus, argo: "Progressing"}
	edited := state{name: "edited", reason: "FilesFailed", kstatus: status.InProgressStatus, argo: "Progressing"}
	objects := map[string]*unstructured.Unstructured{}
	object := f.Batch("unvisited", stuck)
	f.Create(t, object)
	objects["unvisited"] = f.raw("unvisited")
	f.must(f.Client.Delete(t.Context(), object))

	manager := f.StartManager(t, "gitops", framework.Setup{Flags: []string{fmt.Sprintf("--creates-per-minute=%d", createsPerMinute)}})
	for _, state := range states {
		store := storeOf(state.name)
		if state.arrange != nil {
			state.arrange(f, store)
		}
		spec := state.spec
		spec.VectorStoreID = store
		f.Create(t, f.Batch(state.name, spec))
		if state.fleeting {
			f.WaitForReason(t, state.name, state.reason)
			objects[state.name] = f.raw(state.name)
		}
	}
	for _, state := range states {
		if state.happens != nil {
			state.happens(f, f.waitOneFile(state.name))
		}
	}
	f.waitOneFile("in-progress")
	for _, state := range states {
		if !state.fleeting {
			f.WaitForReason(t, state.name, state.reason)
			framework.Eventually(t, "the finalizer to be removed if the object is finished", func() bool {
				b := f.Get(t, state.name)
				return !batch.Finished(b) || batch.HasFinalizer(b) == batch.NeedsFinalizer(b)
			})
			objects[state.name] = f.raw(state.name)
		}
	}
	manager.Freeze()
	f.Patch(t, "files-failed", `{"spec":{"maxFailedFiles":2}}`)
	objects["edited"] = f.raw("files-failed")
	manager.Thaw()
	f.WaitForReason(t, "files-failed", "Completed")
	return objects, slices.Concat([]state{unvisited, edited}, states)
}
