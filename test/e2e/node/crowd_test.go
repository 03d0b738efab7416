// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	// many is how many batches are under way while something happens to the managers.
	many = 200
	// filesEach is how many files each of them has. The upstream takes a second for a file.
	filesEach = 10
	store     = "vs_demo"
)

func testRollingUpdate(t *testing.T, c cluster) {
	before := names(c.managers(t))
	c.crowd(t, "roll", func() {
		started := time.Now()
		c.run(t, "rollout", "restart", "-n", system, deployment)
		c.run(t, "rollout", "status", "-n", system, deployment, "--timeout=3m")
		t.Logf("the rolling update took %s", seconds(time.Since(started)))
	})
	for name := range names(c.managers(t)) {
		if before[name] {
			t.Errorf("%s was not replaced, so nothing was updated", name)
		}
	}
}

// testOOMKill takes the leader's memory away while batches are under way.
func testOOMKill(t *testing.T, c cluster) {
	leader, identity := c.leader(t)
	c.crowd(t, "oom", func() {
		// A process that is killed between a create and the storing of its ID may cost a second
		// batch: `make test-faults` kills there, and this waits until no create is under way.
		c.eventually(t, "each object to have its batch", func() bool { return c.count(t, "oom", "{.status.batchID}") == many })
		t.Log(c.probe(t, probePod{host: true, root: true, node: leader.Spec.NodeName}, "squeeze", leader.container(t)))
		c.replaced(t, identity, time.Now())
	})
	for _, p := range c.managers(t) {
		if p.Metadata.Name == leader.Metadata.Name {
			t.Logf("%s ended with %s, code %d", p.Metadata.Name, p.last().Reason, p.last().ExitCode)
			if p.last().Reason != "OOMKilled" {
				t.Errorf("it ended with %s, so this was no OOM kill", p.last().Reason)
			}
			return
		}
	}
	t.Errorf("the Pod %s is gone", leader.Metadata.Name)
}

func testKubeletRestart(t *testing.T, c cluster) {
	if *restartKubelet == "" {
		t.Skip("no command restarts the kubelet: give one as KUBELET_RESTART")
	}
	before := c.managers(t)
	c.crowd(t, "kubelet", func() {
		c.command(t, strings.Fields(*restartKubelet))
		c.run(t, "wait", "node", "--all", "--for=condition=Ready", "--timeout=2m")
	})
	for i, p := range c.managers(t) {
		if i >= len(before) || p.Metadata.Name != before[i].Metadata.Name || p.restarts() != before[i].restarts() {
			t.Errorf("%s was restarted together with the kubelet", p.Metadata.Name)
		}
	}
}

// crowd applies many batches, lets something happen while some are made and others are not yet,
// and counts on the upstream's side what came of them.
func (c cluster) crowd(t *testing.T, name string, happens func()) {
	t.Helper()
	started := time.Now()
	applied := make(chan error, 1)
	go func() {
		_, err := c.try(t.Context(), batches(name, many), "apply", "-f", "-")
		applied <- err
	}()
	c.eventually(t, "a quarter of the batches", func() bool { return c.made(t, name) >= many/4 })
	t.Logf("%d batches are made", c.made(t, name))
	happens()
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "all batches to be over", func() bool {
		return c.count(t, name, `{.status.conditions[?(@.status=="True")].type}`, "Finished") == many
	})
	completed := c.count(t, name, `{.status.conditions[?(@.type=="Succeeded")].reason}`, "Completed")
	made, doubled, files, attached := c.upstream(t, name)
	t.Logf("%d objects: %d completed; upstream %d batches, %d file sets with more than one; %d files, attached %d times; in %s",
		many, completed, made, doubled, files, attached, seconds(time.Since(started)))
	if completed != many || made != many || doubled != 0 || files != many*filesEach || attached != files {
		t.Errorf("want %d objects completed, as many batches, and %d files, each attached once", many, many*filesEach)
	}
	c.run(t, "delete", "-n", own, "vsfb", "-l", "crowd="+name, "--timeout=2m")
}

// batches are manifests of objects, each with files of its own.
func batches(name string, count int) string {
	var items []any
	for i := range count {
		var files []string
		for file := range filesEach {
			files = append(files, fmt.Sprintf("file-%s-%d-%d", name, i, file))
		}
		items = append(items, map[string]any{
			"apiVersion": "vector-store-operator.dev/v1alpha1", "kind": "VectorStoreFileBatch",
			"metadata": map[string]any{"name": fmt.Sprintf("%s-%d", name, i), "namespace": own, "labels": map[string]any{"crowd": name}},
			"spec":     map[string]any{"vectorStoreID": store, "fileIDs": files},
		})
	}
	list, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		panic(err)
	}
	return string(list)
}

// count is how many objects of a crowd have something at a path, or have that word there.
func (c cluster) count(t *testing.T, name, path string, word ...string) int {
	t.Helper()
	n := 0
	for line := range strings.Lines(c.run(t, "get", "-n", own, "vsfb", "-l", "crowd="+name, "-o", "jsonpath={range .items[*]}"+path+"{\"\\n\"}{end}")) {
		line = strings.TrimSpace(line)
		if line != "" && (len(word) == 0 || strings.Contains(line, word[0])) {
			n++
		}
	}
	return n
}

// made is how many batches the upstream has of a crowd.
func (c cluster) made(t *testing.T, name string) int {
	t.Helper()
	made, _, _, _ := c.upstream(t, name)
	return made
}

// upstream counts a crowd's batches, those sets of files that were made into more than one,
// the files that are attached, and how often they were.
func (c cluster) upstream(t *testing.T, name string) (made, doubled, files, attached int) {
	t.Helper()
	var sets []struct {
		FileIDs  []string `json:"file_ids"`
		BatchIDs []string `json:"batch_ids"`
	}
	c.admin(t, "file_sets", &sets)
	for _, set := range sets {
		if len(set.FileIDs) == 0 || !strings.HasPrefix(set.FileIDs[0], "file-"+name+"-") {
			continue
		}
		made += len(set.BatchIDs)
		if len(set.BatchIDs) > 1 {
			doubled++
		}
	}
	var all []struct {
		ID       string `json:"id"`
		Attaches int    `json:"attaches"`
	}
	c.admin(t, "vector_stores/"+store+"/files", &all)
	for _, file := range all {
		if strings.HasPrefix(file.ID, "file-"+name+"-") {
			files++
			attached += file.Attaches
		}
	}
	return made, doubled, files, attached
}

// admin asks the upstream's admin side, through the API server: the test itself need not reach
// the cluster's network.
func (c cluster) admin(t *testing.T, path string, into any) {
	t.Helper()
	c.read(t, into, "get", "--raw", "/api/v1/namespaces/"+own+"/services/upstream:http/proxy/_emulator/"+path)
}

func names(pods []pod) map[string]bool {
	all := map[string]bool{}
	for _, p := range pods {
		all[p.Metadata.Name] = true
	}
	return all
}

// root is the repository's folder.
func root(t *testing.T) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(folder, "/test/node")
}
