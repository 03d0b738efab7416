// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

var env *framework.Env

func TestMain(m *testing.M) {
	os.Exit(framework.Suite{Options: framework.Options{
		Install: []string{"crd", "policy"}, Build: []string{"manager", "emulator"},
	}}.Run(m, &env))
}

func TestFixture_RecordsRequests(t *testing.T) {
	f := env.NewFixture(t, emulator.Options{})
	gate := proxy.NewGate(t)
	f.OnRequest(func(r proxy.Request) int {
		if r.Operation == proxy.RecordBatchID {
			gate.Wait()
		}
		return 0
	})
	manager := f.StartManager(t, "manager", framework.Setup{Flags: f.LeaderElection()})
	manager.MustOutput(t, framework.Working)
	f.Create(t, f.Batch("a", v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{framework.File("a", 1)}}))
	gate.WaitReached(t)
	if b := f.Kubectl.Batch(t, "a"); b.Annotations[v1alpha1.AnnotationBatchID] != "" {
		t.Errorf("the ID is recorded in front of a closed gate: %v", b.Annotations)
	}
	gate.Open()
	b := f.WaitForReason(t, "a", v1alpha1.ReasonCompleted)
	creates, records := f.Requests(proxy.CreateBatch), f.Requests(proxy.RecordBatchID)
	if len(creates) != 1 || creates[0].Object != "a" || len(records) != 1 || records[0].BatchID != b.Status.BatchID {
		t.Errorf("the creates are %+v and the records %+v, want one of each, of batch %s", creates, records, b.Status.BatchID)
	}
	manager.Terminate()
	if code := manager.MustExit(t); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
}

func TestEmulator_ListsBatches(t *testing.T) {
	e, err := framework.StartEmulator(t.Context(), env.Program("emulator"), env.Dir+"/emulator.log", "--store=vs_1")
	if err != nil {
		t.Fatal(err)
	}
	e.KillAfter(t)
	id, err := e.CreateBatch(t.Context(), "vs_1", "file-1")
	if err != nil {
		t.Fatal(err)
	}
	sets, err := e.FileSets(t.Context())
	if err != nil || len(sets) != 1 || !slices.Equal(sets[0].BatchIDs, []string{id}) {
		t.Errorf("file sets = %+v, %v, want one with batch %s", sets, err, id)
	}
}

// TestProcess_KillEndsItsChildren checks that a server of several processes leaves none behind.
func TestProcess_KillEndsItsChildren(t *testing.T) {
	p, err := framework.Run(framework.Command{
		Path: "/bin/sh", Args: []string{"-c", "sleep 600 & echo child $! started; wait"}, Log: filepath.Join(t.TempDir(), "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	p.MustOutput(t, "started")
	child, err := strconv.Atoi(strings.Fields(p.Output())[1])
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	framework.Eventually(t, "the end of the child", func() bool {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || strings.Contains(string(state), ") Z ") // a container without an init process does not reap it
	})
}

func TestKubectl_FlagsComeBeforeDashes(t *testing.T) {
	k := framework.Kubectl{Command: []string{"kubectl"}, Kubeconfig: "/tmp/k", Namespace: "n"}
	got := strings.Join(k.Cmd(t.Context(), "exec", "pod", "--", "true").Args, " ")
	if want := "kubectl exec pod --kubeconfig=/tmp/k --cache-dir=/tmp/kubectl-cache --namespace=n -- true"; got != want {
		t.Errorf("arguments = %s, want %s", got, want)
	}
}
