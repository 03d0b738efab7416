// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// lease is the lease of the leader.
type lease struct {
	Spec struct {
		HolderIdentity       string `json:"holderIdentity"`
		LeaseDurationSeconds int    `json:"leaseDurationSeconds"`
	} `json:"spec"`
}

func (c cluster) lease(t *testing.T) lease {
	t.Helper()
	var l lease
	c.In(systemNamespace).Decode(t, &l, "get", "lease/vector-store-operator.dev", "-o", "json")
	return l
}

// leader returns the Pod that leads, and its identity, which changes with a restart.
func (c cluster) leader(t *testing.T) (pod, string) {
	t.Helper()
	var leader pod
	var identity string
	c.eventually(t, "a leader that runs", func() bool {
		identity = c.lease(t).Spec.HolderIdentity
		name, _, _ := strings.Cut(identity, "_")
		for _, p := range c.managers(t) {
			if p.Metadata.Name == name && p.ready() {
				leader = p
				return true
			}
		}
		return false
	})
	return leader, identity
}

// replaced waits until another Pod leads, and returns the time since the disruption.
func (c cluster) replaced(t *testing.T, identity string, since time.Time) time.Duration {
	t.Helper()
	var next string
	c.eventually(t, "another leader", func() bool {
		next = c.lease(t).Spec.HolderIdentity
		return next != "" && next != identity
	})
	took := time.Since(since)
	t.Logf("%s leads after %s, %s", identity, next, seconds(took))
	return took
}

func testLeaderDeleted(t *testing.T, c cluster) {
	leader, identity := c.leader(t)
	started := time.Now()
	c.run(t, systemNamespace, "delete", "pod", leader.Metadata.Name, "--wait=false")
	if took := c.replaced(t, identity, started); took > handover {
		t.Errorf("the hand-over took %s, want at most %s", took, handover)
	}
	c.run(t, systemNamespace, "rollout", "status", deployment, "--timeout=3m")
	c.works(t, "after-deletion")
}

// testLeaderKilled kills the process of the leader. Its Pod restarts it with another identity.
func testLeaderKilled(t *testing.T, c cluster) {
	leader, identity := c.leader(t)
	duration := time.Duration(c.lease(t).Spec.LeaseDurationSeconds) * time.Second
	t.Log(c.probe(t, probePod{host: true, node: leader.Spec.NodeName}, "kill", leader.container(t)))
	took := c.replaced(t, identity, time.Now())
	// The others check about once a second whether the lease has expired.
	if limit := duration + handover; took > limit {
		t.Errorf("the leader was replaced after %s, want at most %s with a lease of %s", took, limit, duration)
	}
	c.eventually(t, "the process to be restarted", func() bool {
		for _, p := range c.managers(t) {
			if p.Metadata.Name == leader.Metadata.Name {
				return p.ready() && p.restarts() == leader.restarts()+1 && p.last().ExitCode == 137
			}
		}
		t.Fatalf("the Pod %s is gone", leader.Metadata.Name)
		return false
	})
	c.works(t, "after-kill")
}

// works requires that the leader completes a batch.
func (c cluster) works(t *testing.T, name string) {
	t.Helper()
	started := time.Now()
	c.Apply(t, batches(name, 1))
	c.run(t, testNamespace, "wait", "--for=condition=Succeeded", "--timeout=3m", "vsfb/"+name+"-0")
	t.Logf("a batch is completed %s after it was applied", seconds(time.Since(started)))
	c.run(t, testNamespace, "delete", "vsfb/"+name+"-0", "--timeout=1m")
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s" }
