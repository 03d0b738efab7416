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
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

// longTimeout keeps a busy machine from making a slow create one without an answer.
const longTimeout = "--request-timeout=15s"

// slowCreates makes each create last about as long as it does upstream.
func slowCreates(n *stage.Tenant) {
	n.Emulator.AddFault(emulator.Fault{Operation: emulator.Create, Delay: time.Second})
}

// waitCreating waits until a number of creates have reached the upstream.
func waitCreating(t *testing.T, n *stage.Tenant, number int) {
	t.Helper()
	stage.Eventually(t, fmt.Sprintf("%d creates", number), func() bool {
		return len(n.Emulator.Calls(emulator.Create)) >= number
	})
}

func objects(from, to int) []string {
	var names []string
	for i := from; i < to; i++ {
		names = append(names, fmt.Sprintf("o%d", i))
	}
	return names
}

func createAll(t *testing.T, n *stage.Tenant, names []string) {
	t.Helper()
	for _, name := range names {
		n.MustCreate(t, n.Object(name, files(name)))
	}
}

func wantAllOnce(t *testing.T, n *stage.Tenant, names []string) {
	t.Helper()
	for _, name := range names {
		n.WaitReason(t, name, v1alpha1.ReasonCompleted)
		wantOneBatch(t, n, name)
	}
	if got := n.Emulator.CreateCount(); got != len(names) {
		t.Errorf("the upstream made %d batches, want %d", got, len(names))
	}
}

func wantExitCode0(t *testing.T, name string, manager *stage.Process) {
	t.Helper()
	if code := manager.WaitEnd(t); code != 0 {
		t.Errorf("manager %s ended with code %d, want 0", name, code)
	}
}

func TestLeaderHandsOver(t *testing.T) {
	t.Parallel()
	n := shared.NewTenant(t, emulator.Options{})
	slowCreates(n)
	leader := n.Start(t, "leader", stage.Setup{Flags: append(n.Elected(), "--concurrency=8", longTimeout)})
	leader.WaitLog(t, leads)
	follower := n.Start(t, "follower", stage.Setup{Flags: append(n.Elected(), longTimeout)})
	follower.WaitLog(t, "Attempting to acquire leader lease")
	names := objects(0, 20)
	createAll(t, n, names)
	waitCreating(t, n, 8)
	leader.Terminate(t)
	wantExitCode0(t, "leader", leader)
	ended := time.Now()
	follower.WaitLog(t, leads)
	t.Logf("the follower took over %s after the leader's end", time.Since(ended).Round(100*time.Millisecond))
	wantReleased(t, n, "leader")
	wantAllOnce(t, n, names)
	wantNoUnknownOutcome(t, leader, follower)
}

// wantReleased demands that a manager's last write of the lease gave it away.
func wantReleased(t *testing.T, n *stage.Tenant, manager string) {
	t.Helper()
	var last *coordinationv1.Lease
	for _, r := range n.Seen(stage.Lease) {
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
		t.Errorf("the last write of the lease by %s is %v, want one that names no holder", manager, last)
	}
}

func TestRollout(t *testing.T) {
	t.Parallel()
	const cycles, each = 3, 8
	for name, elected := range map[string]bool{"with leader election": true, "of a single process": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := shared.NewTenant(t, emulator.Options{})
			slowCreates(n)
			setup := stage.Setup{Flags: []string{"--concurrency=4", longTimeout}}
			if elected {
				setup.Flags = append(setup.Flags, n.Elected()...)
			}
			var names []string
			current := n.Start(t, "m0", setup)
			managers := []*stage.Process{current}
			for cycle := range cycles {
				more := objects(cycle*each, (cycle+1)*each)
				createAll(t, n, more)
				names = append(names, more...)
				waitCreating(t, n, cycle*each+3)
				surge := current
				if elected { // the new one is there before the old one goes
					surge = n.Start(t, fmt.Sprintf("m%d", cycle+1), setup)
				}
				current.Terminate(t)
				wantExitCode0(t, "m", current)
				if !elected {
					surge = n.Start(t, fmt.Sprintf("m%d", cycle+1), setup)
				}
				current = surge
				managers = append(managers, current)
			}
			wantAllOnce(t, n, names)
			wantNoUnknownOutcome(t, managers...)
		})
	}
}
