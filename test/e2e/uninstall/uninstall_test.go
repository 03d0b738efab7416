// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package uninstall_test removes the operator before its objects, and installs it without its CRD.
package uninstall_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

var env *framework.Env

func TestMain(m *testing.M) {
	os.Exit(framework.Suite{
		Options:   framework.Options{Install: []string{"crd"}, Build: []string{"manager"}},
		SkipShort: true,
	}.Run(m, &env))
}

// finished are specs of objects that finish, and the reason with which they do.
func finished() map[string]struct {
	spec   v1alpha1.VectorStoreFileBatchSpec
	reason string
} {
	type object = struct {
		spec   v1alpha1.VectorStoreFileBatchSpec
		reason string
	}
	files := func(name string) v1alpha1.VectorStoreFileBatchSpec {
		return v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{framework.File(name, 1)}}
	}
	cancelled, orphaned, expiring := files("cancelled"), files("orphaned"), files("expiring")
	cancelled.Cancel = ptr.To(true)
	orphaned.DeletionPolicy = v1alpha1.DeletionPolicyOrphan
	expiring.TTLSecondsAfterFinished = ptr.To[int32](3600)
	return map[string]object{
		"completed": {files("completed"), v1alpha1.ReasonCompleted},
		"cancelled": {cancelled, v1alpha1.ReasonCancelled},
		"orphaned":  {orphaned, v1alpha1.ReasonCompleted},
		"expiring":  {expiring, v1alpha1.ReasonCompleted},
	}
}

// finish brings objects to their end, and then stops the manager for good.
func finish(t *testing.T) *framework.Fixture {
	t.Helper()
	f := env.NewFixture(t, emulator.Options{})
	manager := f.StartManager(t, "manager", framework.Setup{})
	for name, object := range finished() {
		f.Create(t, f.Batch(name, object.spec))
	}
	for name, object := range finished() {
		f.WaitForReason(t, name, object.reason)
		framework.Eventually(t, name+" to have no finalizer", func() bool { return len(f.Get(t, name).Finalizers) == 0 })
	}
	manager.Terminate()
	manager.MustExit(t)
	return f
}

const timeout = "--timeout=60s"

// TestUninstall_FinishedObjectsCanBeDeleted: without the operator, kubectl deletes finished objects, their
// namespace, and the CRD with all others.
func TestUninstall_FinishedObjectsCanBeDeleted(t *testing.T) {
	env.StartControllerManager(t, "namespace-controller,garbage-collector-controller")
	objects, namespace := finish(t), finish(t)
	finish(t) // these go with the CRD
	objects.Kubectl.Must(t, "delete", "vsfb", "--all", timeout)
	env.Kubectl.Must(t, "delete", "namespace", namespace.Namespace, timeout)
	env.Kubectl.Must(t, "delete", "crd", framework.CRD, timeout)
	install(t)
}

// TestReadiness_NamesTheMissingCRD: a manager does not start without the CRD, is ready only while that is
// installed, and works again as soon as it is.
func TestReadiness_NamesTheMissingCRD(t *testing.T) {
	const noCRD = "the CustomResourceDefinition " + framework.CRD + " is not installed"
	f := env.NewFixture(t, emulator.Options{})
	env.Kubectl.Must(t, "delete", "crd", framework.CRD, timeout)
	address, err := framework.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	refused := f.StartManager(t, "refused", framework.Setup{})
	if code := refused.MustExit(t); code == 0 || !strings.Contains(refused.Output(), noCRD) {
		t.Errorf("without the CRD, the manager exits with code %d: %s", code, refused.Tail())
	}
	install(t)
	manager := f.StartManager(t, "manager", framework.Setup{Flags: []string{"--health-probe-bind-address=" + address}})
	ready := func(want int) {
		t.Helper()
		framework.Eventually(t, fmt.Sprintf("the readiness probe to return %d", want), func() bool {
			code, _, err := framework.Fetch(t.Context(), http.DefaultClient, "http://"+address+"/readyz", "")
			return err == nil && code == want
		})
	}
	for _, name := range []string{"a", "b"} {
		ready(http.StatusOK)
		f.Create(t, f.Batch(name, v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{framework.File(name, 1)}}))
		f.WaitForReason(t, name, v1alpha1.ReasonCompleted)
		env.Kubectl.Must(t, "delete", "crd", framework.CRD, timeout)
		ready(http.StatusInternalServerError)
		manager.MustOutput(t, noCRD)
		install(t)
	}
}

// TestReinstall_WaitsForTheLease: a manager does not lead while an earlier one, whose rights were removed before it released
// its lease, holds that; it does as soon as the lease is deleted.
func TestReinstall_WaitsForTheLease(t *testing.T) {
	const lease = "vector-store-operator.dev"
	f := env.NewFixture(t, emulator.Options{})
	f.Create(t, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.Namespace, Name: lease},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To("uninstalled"), RenewTime: ptr.To(metav1.NowMicro()), AcquireTime: ptr.To(metav1.NowMicro()),
			LeaseDurationSeconds: ptr.To[int32](3600), LeaseTransitions: ptr.To[int32](1),
		},
	})
	manager := f.StartManager(t, "manager", framework.Setup{Flags: append(f.LeaderElection(), "--zap-log-level=4")})
	manager.MustOutput(t, "has not yet expired")
	f.Create(t, f.Batch("documents", v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"file-one"}}))
	if b := f.Get(t, "documents"); len(b.Finalizers) > 0 || len(b.Status.Conditions) > 0 {
		t.Errorf("the manager reconciles without the lease: %+v", b)
	}
	f.Kubectl.Must(t, "delete", "lease", lease)
	f.WaitForReason(t, "documents", v1alpha1.ReasonCompleted)
}

func install(t *testing.T) {
	t.Helper()
	if err := env.Install(t.Context(), "crd"); err != nil {
		t.Fatal(err)
	}
}
