// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

const (
	// batchCount is the number of batches in progress during a disruption.
	batchCount = 200
	// filesPerBatch is the number of their files. The emulator processes a file in a second.
	filesPerBatch = 10
	store         = "vs_demo"
)

func testRollingUpdate(t *testing.T, c cluster) {
	before := names(c.managers(t))
	c.disrupt(t, "roll", func() {
		started := time.Now()
		c.run(t, systemNamespace, "rollout", "restart", deployment)
		c.run(t, systemNamespace, "rollout", "status", deployment, "--timeout=3m")
		t.Logf("the rolling update took %s", seconds(time.Since(started)))
	})
	for name := range names(c.managers(t)) {
		if before[name] {
			t.Errorf("%s was not replaced", name)
		}
	}
}

// testOOMKill lowers the memory limit of the leader while batches are in progress.
func testOOMKill(t *testing.T, c cluster) {
	leader, identity := c.leader(t)
	c.disrupt(t, "oom", func() {
		// A kill between a create and the record of its ID can cost a second batch, which the failpoint
		// suite tests. This test waits until no create is in progress.
		c.eventually(t, "each object to have its batch", func() bool { return c.count(t, "oom", "{.status.batchID}") == batchCount })
		t.Log(c.probe(t, probePod{host: true, root: true, node: leader.Spec.NodeName}, "squeeze", leader.container(t)))
		c.replaced(t, identity, time.Now())
	})
	for _, p := range c.managers(t) {
		if p.Metadata.Name == leader.Metadata.Name {
			t.Logf("%s ended with %s, code %d", p.Metadata.Name, p.last().Reason, p.last().ExitCode)
			if p.last().Reason != "OOMKilled" {
				t.Errorf("it ended with %s, want OOMKilled", p.last().Reason)
			}
			return
		}
	}
	t.Errorf("the Pod %s is gone", leader.Metadata.Name)
}

func testKubeletRestart(t *testing.T, c cluster) {
	if *restartKubelet == "" {
		t.Skip("KUBELET_RESTART is not set")
	}
	before := c.managers(t)
	c.disrupt(t, "kubelet", func() {
		c.command(t, strings.Fields(*restartKubelet))
		c.run(t, "", "wait", "node", "--all", "--for=condition=Ready", "--timeout=2m")
	})
	for i, p := range c.managers(t) {
		if i >= len(before) || p.Metadata.Name != before[i].Metadata.Name || p.restarts() != before[i].restarts() {
			t.Errorf("%s was restarted together with the kubelet", p.Metadata.Name)
		}
	}
}

// disrupt applies the batches, calls happens after a quarter of them are created, and counts what the
// emulator created and attached.
func (c cluster) disrupt(t *testing.T, name string, happens func()) {
	t.Helper()
	started := time.Now()
	applied := make(chan error, 1)
	go func() {
		_, err := c.RunWithInput(t.Context(), batches(name, batchCount), "apply", "-f", "-")
		applied <- err
	}()
	c.eventually(t, "a quarter of the batches", func() bool { return c.emulatorTotals(t, name).batches >= batchCount/4 })
	happens()
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "all batches to be finished", func() bool {
		return c.count(t, name, `{.status.conditions[?(@.status=="True")].type}`, "Finished") == batchCount
	})
	completed := c.count(t, name, `{.status.conditions[?(@.type=="Succeeded")].reason}`, "Completed")
	got := c.emulatorTotals(t, name)
	t.Logf("%d of %d objects completed in %s; the emulator has %+v", completed, batchCount, seconds(time.Since(started)), got)
	if want := (totals{batches: batchCount, files: batchCount * filesPerBatch, attaches: batchCount * filesPerBatch}); completed != batchCount || got != want {
		t.Errorf("%d objects completed and the emulator has %+v, want %d and %+v", completed, got, batchCount, want)
	}
	c.run(t, testNamespace, "delete", "vsfb", "-l", "load="+name, "--timeout=2m")
}

// batches returns the manifest of objects, each with files of its own.
func batches(name string, count int) string {
	var items []any
	for i := range count {
		var files []string
		for file := range filesPerBatch {
			files = append(files, fmt.Sprintf("file-%s-%d-%d", name, i, file))
		}
		items = append(items, map[string]any{
			"apiVersion": "vector-store-operator.dev/v1alpha1", "kind": "VectorStoreFileBatch",
			"metadata": map[string]any{"name": fmt.Sprintf("%s-%d", name, i), "namespace": testNamespace, "labels": map[string]any{"load": name}},
			"spec":     map[string]any{"vectorStoreID": store, "fileIDs": files},
		})
	}
	list, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		panic(err)
	}
	return string(list)
}

// count returns the number of objects with a value at a path, or with a word in that value.
func (c cluster) count(t *testing.T, name, path string, word ...string) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(c.run(t, testNamespace, "get", "vsfb", "-l", "load="+name, "-o", "jsonpath={range .items[*]}"+path+"{\"\\n\"}{end}")) {
		line = strings.TrimSpace(line)
		if line != "" && (len(word) == 0 || strings.Contains(line, word[0])) {
			n++
		}
	}
	return n
}

// totals are what the emulator has of the objects of one disruption.
type totals struct {
	batches, files, attaches int
	// repeated is the number of sets of files with more than one batch.
	repeated int
}

// emulatorTotals counts the batches and files of the emulator.
func (c cluster) emulatorTotals(t *testing.T, name string) (n totals) {
	t.Helper()
	var sets []emulator.FileSet
	c.admin(t, "file_sets", &sets)
	for _, set := range sets {
		if len(set.FileIDs) == 0 || !strings.HasPrefix(set.FileIDs[0], "file-"+name+"-") {
			continue
		}
		n.batches += len(set.BatchIDs)
		if len(set.BatchIDs) > 1 {
			n.repeated++
		}
	}
	var all []emulator.AttachedFile
	c.admin(t, "vector_stores/"+store+"/files", &all)
	for _, file := range all {
		if strings.HasPrefix(file.ID, "file-"+name+"-") {
			n.files++
			n.attaches += file.Attaches
		}
	}
	return n
}

// admin reads from the admin API of the emulator, through the API server: the test may have no access to
// the network of the cluster.
func (c cluster) admin(t *testing.T, path string, into any) {
	t.Helper()
	c.Decode(t, into, "get", "--raw", "/api/v1/namespaces/"+emulatorNamespace+"/services/emulator:http/proxy/_emulator/"+path)
}

func names(pods []pod) map[string]bool {
	all := map[string]bool{}
	for _, p := range pods {
		all[p.Metadata.Name] = true
	}
	return all
}
