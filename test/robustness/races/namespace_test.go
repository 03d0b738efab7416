// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package races_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

// resident is an object in a namespace that will be deleted.
type resident struct {
	state  string
	policy v1alpha1.DeletionPolicy
}

func (r resident) name() string { return strings.ToLower(r.state + "-" + string(r.policy)) }

// residents returns an object in each state with each policy.
func residents() []resident {
	var all []resident
	for _, state := range []string{"progressing", "creating", "cancelling", "completed", "suspended", "waiting"} {
		for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionPolicyCancel, v1alpha1.DeletionPolicyOrphan, v1alpha1.DeletionPolicyDetachFiles} {
			all = append(all, resident{state, policy})
		}
	}
	return all
}

func (r resident) spec() v1alpha1.VectorStoreFileBatchSpec {
	spec := stuck(r.name())
	switch r.state {
	case "completed":
		spec = files(r.name())
	case "waiting":
		spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: "absent"}
	}
	spec.DeletionPolicy = r.policy
	return spec
}

// settle brings an object into its state.
func (r resident) settle(t *testing.T, f *framework.Fixture) {
	t.Helper()
	switch r.state {
	case "progressing":
		f.WaitForReason(t, r.name(), v1alpha1.ReasonInProgress)
	case "cancelling":
		f.WaitForReason(t, r.name(), v1alpha1.ReasonInProgress)
		f.Patch(t, r.name(), `{"spec":{"cancel":true}}`)
		framework.Eventually(t, "the cancel of "+r.name(), func() bool { return f.Get(t, r.name()).Status.CancelRequestTime != nil })
	case "completed":
		f.WaitForReason(t, r.name(), v1alpha1.ReasonCompleted)
	case "suspended":
		f.WaitForReason(t, r.name(), v1alpha1.ReasonInProgress)
		f.Patch(t, r.name(), `{"spec":{"suspend":true}}`)
		f.WaitForReason(t, r.name(), v1alpha1.ReasonSuspended)
	case "waiting":
		f.WaitForReason(t, r.name(), v1alpha1.ReasonCredentialsNotFound)
	case "creating":
		framework.Eventually(t, "the create of "+r.name(), func() bool {
			return slices.ContainsFunc(f.Requests(proxy.SetCreatePending), func(request proxy.Request) bool { return request.Object == r.name() && !request.Refused() })
		})
	}
}

// wantGone requires that the operator did in the OpenAI API what the policy demands. A namespace
// controller deletes the Secrets before or after the objects.
func (r resident) wantGone(t *testing.T, f *framework.Fixture) {
	t.Helper()
	batches := batchesOf(f, r.name())
	if want := map[bool]int{true: 0, false: 1}[r.state == "waiting"]; len(batches) != want {
		t.Errorf("%s: the emulator has the batches %v, want %d", r.name(), batches, want)
	}
	for _, id := range batches {
		want := 1
		if r.state == "completed" || r.policy == v1alpha1.DeletionPolicyOrphan && r.state != "cancelling" {
			want = 0
		}
		if batch, _ := f.Emulator.Batch(id); batch.Cancels != want {
			t.Errorf("%s: batch %s received %d cancels, want %d", r.name(), id, batch.Cancels, want)
		}
	}
	for _, file := range f.Emulator.AttachedFileIDs(framework.VectorStore) {
		if r.policy == v1alpha1.DeletionPolicyDetachFiles && strings.Contains(file, "-"+r.name()+"-") {
			t.Errorf("%s: %s is still attached to the vector store", r.name(), file)
		}
	}
}

// A namespace can be deleted in any order of its contents.
func TestNamespaceDeletion_ObjectsInEachState(t *testing.T) {
	t.Parallel()
	env.StartControllerManager(t, "namespace-controller")
	for name, secret := range map[string]bool{"with its Secret": true, "after its Secret": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := env.NewFixture(t, emulator.Options{Settings: emulator.Settings{CancelDelay: 5 * time.Second}})
			open := holdCreates(t, f)
			manager := f.StartManager(t, "m", framework.Setup{Flags: []string{longTimeout}})
			for _, r := range residents() {
				f.Create(t, f.Batch(r.name(), r.spec()))
			}
			for _, r := range residents() {
				r.settle(t, f)
			}
			if !secret {
				deleteSecret(t, f)
			}
			deleteNamespace(t, f)
			framework.Eventually(t, "the deletion of an object with a create in flight", func() bool {
				b := f.Get(t, resident{"creating", v1alpha1.DeletionPolicyCancel}.name())
				return b != nil && !b.DeletionTimestamp.IsZero()
			})
			open()
			waitTerminated(t, f)
			for _, r := range residents() {
				r.wantGone(t, f)
			}
			wantNoUnknownOutcome(t, manager)
			wantNoKey(t, f, manager)
		})
	}
}

// Without credentials, the namespace is deleted after the finalize timeout.
func TestNamespaceDeletion_WithoutCredentials(t *testing.T) {
	t.Parallel()
	env.StartControllerManager(t, "namespace-controller")
	f := env.NewFixture(t, emulator.Options{})
	const timeout = "--finalize-timeout=5s"
	first := f.StartManager(t, "first", framework.Setup{Flags: []string{timeout}})
	names := map[string]v1alpha1.DeletionPolicy{"cancelled": v1alpha1.DeletionPolicyCancel, "detached": v1alpha1.DeletionPolicyDetachFiles, "orphaned": v1alpha1.DeletionPolicyOrphan}
	for name, policy := range names {
		spec := stuck(name)
		spec.DeletionPolicy = policy
		f.Create(t, f.Batch(name, spec))
	}
	for name := range names {
		f.WaitForReason(t, name, v1alpha1.ReasonInProgress)
	}
	first.Kill()
	deleteSecret(t, f)
	second := f.StartManager(t, "second", framework.Setup{Flags: []string{timeout}})
	deleteNamespace(t, f)
	waitTerminated(t, f)
	for name, policy := range names {
		// No Event can be created in a terminating namespace; the log has the same message.
		logged := strings.Contains(second.Output(), "Gave up after 5s without progress: batch "+batchesOf(f, name)[0])
		if want := policy != v1alpha1.DeletionPolicyOrphan; logged != want {
			t.Errorf("%s: the log reports that the manager gave up: %t, want %t", name, logged, want)
		}
	}
	wantNoKey(t, f, first, second)
}

// holdCreates blocks the creates of the objects in state creating.
func holdCreates(t *testing.T, f *framework.Fixture) (open func()) {
	opened := make(chan struct{})
	open = sync.OnceFunc(func() { close(opened) })
	t.Cleanup(open)
	f.OnRequest(func(r proxy.Request) int {
		if r.Operation == proxy.CreateBatch && r.Status == 0 && strings.HasPrefix(r.Object, "creating-") {
			<-opened
		}
		return 0
	})
	return open
}

func deleteSecret(t *testing.T, f *framework.Fixture) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: f.Namespace, Name: v1alpha1.DefaultCredentialsSecret}}
	if err := f.Client.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
}

func deleteNamespace(t *testing.T, f *framework.Fixture) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: f.Namespace}}
	if err := f.Client.Delete(t.Context(), namespace, &client.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)}); err != nil {
		t.Fatal(err)
	}
}

func waitTerminated(t *testing.T, f *framework.Fixture) {
	t.Helper()
	var namespace corev1.Namespace
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the namespace's last conditions: %+v", namespace.Status.Conditions)
		}
	})
	framework.Eventually(t, "the namespace to be gone", func() bool {
		return apierrors.IsNotFound(f.Client.Get(t.Context(), client.ObjectKey{Name: f.Namespace}, &namespace))
	})
}

// wantNoKey requires that the API key was neither logged nor written to the API server, in an Event
// or elsewhere.
func wantNoKey(t *testing.T, f *framework.Fixture, managers ...*framework.Process) {
	t.Helper()
	for _, manager := range managers {
		if strings.Contains(manager.Output(), framework.APIKey) {
			t.Errorf("a log contains the API key")
		}
	}
	events := 0
	for _, r := range f.AllRequests() {
		if bytes.Contains(r.Body, []byte(framework.APIKey)) {
			t.Errorf("a request contains the API key: %s", fmt.Sprint(r.Operation, " of ", r.Object))
		}
		// Strings are plain text in every encoding.
		if r.Operation == proxy.Other && bytes.Contains(r.Body, []byte(v1alpha1.ReasonInProgress)) {
			events++
		}
	}
	if events == 0 {
		t.Error("no Event was written, so none could be searched for the API key")
	}
}
