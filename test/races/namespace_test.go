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
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

// lodger is an object in a namespace that is about to go.
type lodger struct {
	state  string
	policy v1alpha1.DeletionPolicy
}

func (l lodger) name() string { return strings.ToLower(l.state + "-" + string(l.policy)) }

// lodgers are objects in each state, under each policy.
func lodgers() []lodger {
	var all []lodger
	for _, state := range []string{"progressing", "creating", "cancelling", "completed", "suspended", "waiting"} {
		for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionPolicyCancel, v1alpha1.DeletionPolicyOrphan, v1alpha1.DeletionPolicyDetachFiles} {
			all = append(all, lodger{state, policy})
		}
	}
	return all
}

func (l lodger) spec() v1alpha1.VectorStoreFileBatchSpec {
	spec := stuck(l.name())
	switch l.state {
	case "completed":
		spec = files(l.name())
	case "waiting":
		spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: "absent"}
	}
	spec.DeletionPolicy = l.policy
	return spec
}

// settle brings an object into its state.
func (l lodger) settle(t *testing.T, n *stage.Tenant) {
	t.Helper()
	switch l.state {
	case "progressing":
		n.WaitReason(t, l.name(), v1alpha1.ReasonInProgress)
	case "cancelling":
		n.WaitReason(t, l.name(), v1alpha1.ReasonInProgress)
		patch(t, n, l.name(), `{"spec":{"cancel":true}}`)
		stage.Eventually(t, "the cancel of "+l.name(), func() bool { return n.Read(t, l.name()).Status.CancelRequestedAt != nil })
	case "completed":
		n.WaitReason(t, l.name(), v1alpha1.ReasonCompleted)
	case "suspended":
		n.WaitReason(t, l.name(), v1alpha1.ReasonInProgress)
		patch(t, n, l.name(), `{"spec":{"suspend":true}}`)
		n.WaitReason(t, l.name(), v1alpha1.ReasonSuspended)
	case "waiting":
		n.WaitReason(t, l.name(), v1alpha1.ReasonCredentialsNotFound)
	case "creating":
		stage.Eventually(t, "the create of "+l.name(), func() bool {
			return slices.ContainsFunc(n.Seen(stage.Intent), func(r stage.Request) bool { return r.Object == l.name() && !r.Refused() })
		})
	}
}

// wantGone demands that what the policy asks for was done upstream. A namespace that is deleted
// deletes its Secrets first or last, as it happens.
func (l lodger) wantGone(t *testing.T, n *stage.Tenant) {
	t.Helper()
	batches := batchesOf(n, l.name())
	if want := map[bool]int{true: 0, false: 1}[l.state == "waiting"]; len(batches) != want {
		t.Errorf("%s: the upstream has the batches %v, want %d", l.name(), batches, want)
	}
	for _, id := range batches {
		want := 1
		if l.state == "completed" || l.policy == v1alpha1.DeletionPolicyOrphan && l.state != "cancelling" {
			want = 0
		}
		if batch, _ := n.Emulator.Batch(id); batch.Cancels != want {
			t.Errorf("%s: batch %s received %d cancels, want %d", l.name(), id, batch.Cancels, want)
		}
	}
	for _, file := range n.Emulator.AttachedFileIDs(stage.Store) {
		if l.policy == v1alpha1.DeletionPolicyDetachFiles && strings.Contains(file, "-"+l.name()+"-") {
			t.Errorf("%s: %s is still in the store", l.name(), file)
		}
	}
}

// A namespace goes with all that is in it, in whatever order the cluster deletes it.
func TestNamespaceIsDeleted(t *testing.T) {
	t.Parallel()
	shared.StartControllerManager(t, "namespace-controller")
	for name, secret := range map[string]bool{"with its Secret": true, "after its Secret": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := shared.NewTenant(t, emulator.Options{Settings: emulator.Settings{CancelDelay: 5 * time.Second}})
			open := holdCreates(t, n)
			manager := n.Start(t, "m", stage.Setup{Flags: []string{longTimeout}})
			for _, l := range lodgers() {
				n.MustCreate(t, n.Object(l.name(), l.spec()))
			}
			for _, l := range lodgers() {
				l.settle(t, n)
			}
			if !secret {
				deleteSecret(t, n)
			}
			deleteNamespace(t, n)
			stage.Eventually(t, "an object that is being created to be deleted", func() bool {
				b := n.Read(t, lodger{"creating", v1alpha1.DeletionPolicyCancel}.name())
				return b != nil && !b.DeletionTimestamp.IsZero()
			})
			open()
			waitTerminated(t, n)
			for _, l := range lodgers() {
				l.wantGone(t, n)
			}
			wantNoUnknownOutcome(t, manager)
			wantNoKey(t, n, manager)
		})
	}
}

// Where nobody knows the credentials any more, the namespace goes all the same, in time.
func TestNamespaceIsDeletedWithoutCredentials(t *testing.T) {
	t.Parallel()
	shared.StartControllerManager(t, "namespace-controller")
	n := shared.NewTenant(t, emulator.Options{})
	const timeout = "--finalize-timeout=5s"
	first := n.Start(t, "first", stage.Setup{Flags: []string{timeout}})
	names := map[string]v1alpha1.DeletionPolicy{"cancelled": v1alpha1.DeletionPolicyCancel, "detached": v1alpha1.DeletionPolicyDetachFiles, "orphaned": v1alpha1.DeletionPolicyOrphan}
	for name, policy := range names {
		spec := stuck(name)
		spec.DeletionPolicy = policy
		n.MustCreate(t, n.Object(name, spec))
	}
	for name := range names {
		n.WaitReason(t, name, v1alpha1.ReasonInProgress)
	}
	first.Kill(t)
	deleteSecret(t, n)
	second := n.Start(t, "second", stage.Setup{Flags: []string{timeout}})
	deleteNamespace(t, n)
	waitTerminated(t, n)
	for name, policy := range names {
		// An Event cannot be written in a namespace that is going; the log says it as well.
		told := strings.Contains(second.Log(), "gave up after 5s without progress: batch "+batchesOf(n, name)[0])
		if want := policy != v1alpha1.DeletionPolicyOrphan; told != want {
			t.Errorf("%s: that it was given up is told: %t, want %t", name, told, want)
		}
	}
	wantNoKey(t, n, first, second)
}

// holdCreates holds the creates of the objects that are to be caught in the middle of one.
func holdCreates(t *testing.T, n *stage.Tenant) (open func()) {
	opened := make(chan struct{})
	open = sync.OnceFunc(func() { close(opened) })
	t.Cleanup(open)
	n.At(func(r stage.Request) int {
		if r.Op == stage.Create && r.Status == 0 && strings.HasPrefix(r.Object, "creating-") {
			<-opened
		}
		return 0
	})
	return open
}

func deleteSecret(t *testing.T, n *stage.Tenant) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: n.Namespace, Name: v1alpha1.DefaultCredentialsSecret}}
	if err := n.Client.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
}

func deleteNamespace(t *testing.T, n *stage.Tenant) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.Namespace}}
	if err := n.Client.Delete(t.Context(), namespace, &client.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)}); err != nil {
		t.Fatal(err)
	}
}

func waitTerminated(t *testing.T, n *stage.Tenant) {
	t.Helper()
	var namespace corev1.Namespace
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the namespace's conditions were last seen as %+v", namespace.Status.Conditions)
		}
	})
	stage.Eventually(t, "the namespace to be gone", func() bool {
		return apierrors.IsNotFound(n.Client.Get(t.Context(), client.ObjectKey{Name: n.Namespace}, &namespace))
	})
}

// wantNoKey demands that the key was neither logged nor written to the API server, in an Event or
// elsewhere.
func wantNoKey(t *testing.T, n *stage.Tenant, managers ...*stage.Process) {
	t.Helper()
	for _, manager := range managers {
		if strings.Contains(manager.Log(), stage.APIKey) {
			t.Errorf("a log holds the key")
		}
	}
	events := 0
	for _, r := range n.SeenAll() {
		if bytes.Contains(r.Body, []byte(stage.APIKey)) {
			t.Errorf("a request holds the key: %s", fmt.Sprint(r.Op, " of ", r.Object))
		}
		// Whatever they are encoded as, texts stand in them as they are.
		if r.Op == stage.Other && bytes.Contains(r.Body, []byte(v1alpha1.ReasonInProgress)) {
			events++
		}
	}
	if events == 0 {
		t.Error("no Event was seen being written, so that none could be searched for the key")
	}
}
