// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package races_test

import (
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

// longTimeout prevents the timeout of a call that a test holds on a busy machine.
const longTimeout = "--request-timeout=60s"

// slowCreates makes each create take about as long as at OpenAI.
func slowCreates(f *framework.Fixture) {
	f.Emulator.AddFault(emulator.Fault{Operation: emulator.Create, Delay: time.Second})
}

// waitCreating waits until the emulator has received a number of creates.
func waitCreating(t *testing.T, f *framework.Fixture, number int) {
	t.Helper()
	framework.Eventually(t, fmt.Sprintf("%d creates", number), func() bool {
		return len(f.Emulator.Calls(emulator.Create)) >= number
	})
}

func objects(from, to int) []string {
	var names []string
	for i := from; i < to; i++ {
		names = append(names, fmt.Sprintf("o%d", i))
	}
	return names
}

func createAll(t *testing.T, f *framework.Fixture, names []string) {
	t.Helper()
	for _, name := range names {
		f.Create(t, f.Batch(name, files(name)))
	}
}

func wantAllOnce(t *testing.T, f *framework.Fixture, names []string) {
	t.Helper()
	for _, name := range names {
		f.WaitForReason(t, name, v1alpha1.ReasonCompleted)
		wantOneBatch(t, f, name)
	}
	if got := f.Emulator.CreateCount(); got != len(names) {
		t.Errorf("the emulator created %d batches, want %d", got, len(names))
	}
}

func wantExitCode0(t *testing.T, name string, manager *framework.Process) {
	t.Helper()
	if code := manager.MustExit(t); code != 0 {
		t.Errorf("manager %s exited with code %d, want 0", name, code)
	}
}

func TestLeaderElection_Handover(t *testing.T) {
	t.Parallel()
	f := env.NewFixture(t, emulator.Options{})
	slowCreates(f)
	leader := f.StartManager(t, "leader", framework.Setup{Flags: append(f.LeaderElection(), "--concurrency=8", longTimeout)})
	leader.MustOutput(t, leads)
	follower := f.StartManager(t, "follower", framework.Setup{Flags: append(f.LeaderElection(), longTimeout)})
	follower.MustOutput(t, "Attempting to acquire leader lease")
	names := objects(0, 20)
	createAll(t, f, names)
	waitCreating(t, f, 8)
	leader.Terminate()
	wantExitCode0(t, "leader", leader)
	ended := time.Now()
	follower.MustOutput(t, leads)
	t.Logf("the follower took over %s after the leader's exit", time.Since(ended).Round(100*time.Millisecond))
	wantReleased(t, f, "leader")
	wantAllOnce(t, f, names)
	wantNoUnknownOutcome(t, leader, follower)
}

// wantReleased requires that a manager's last write of the lease released it.
func wantReleased(t *testing.T, f *framework.Fixture, manager string) {
	t.Helper()
	var last *coordinationv1.Lease
	for _, r := range f.Requests(proxy.UpdateLease) {
		if r.Manager != manager {
			continue
		}
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(r.Body, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		last = object.(*coordinationv1.Lease)
	}
	if last == nil || ptr.Deref(last.Spec.HolderIdentity, "") != "" {
		t.Errorf("the last write of the lease by %s is %v, want one without a holder", manager, last)
	}
}

func TestRollout_UnderLoad(t *testing.T) {
	t.Parallel()
	const cycles, each = 3, 8
	for name, elected := range map[string]bool{"with leader election": true, "without leader election": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := env.NewFixture(t, emulator.Options{})
			slowCreates(f)
			setup := framework.Setup{Flags: []string{"--concurrency=4", longTimeout}}
			if elected {
				setup.Flags = append(setup.Flags, f.LeaderElection()...)
			}
			var names []string
			current := f.StartManager(t, "m0", setup)
			managers := []*framework.Process{current}
			for cycle := range cycles {
				more := objects(cycle*each, (cycle+1)*each)
				createAll(t, f, more)
				names = append(names, more...)
				waitCreating(t, f, cycle*each+3)
				surge := current
				if elected { // the new manager starts before the old one stops
					surge = f.StartManager(t, fmt.Sprintf("m%d", cycle+1), setup)
				}
				current.Terminate()
				wantExitCode0(t, "m", current)
				if !elected {
					surge = f.StartManager(t, fmt.Sprintf("m%d", cycle+1), setup)
				}
				current = surge
				managers = append(managers, current)
			}
			wantAllOnce(t, f, names)
			wantNoUnknownOutcome(t, managers...)
		})
	}
}
