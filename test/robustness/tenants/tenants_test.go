// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tenants_test runs the built manager for two namespaces, each with a server of its own. The
// objects of one, the hostile namespace, take as much of the manager as they can; the other one, the
// stranger's, must not wait for it.
//
// Calls of the hostile namespace that hang do so until the end of the test. So a manager that makes the
// stranger wait for one of them never serves it, on a machine of any speed.
package tenants_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

var env *framework.Env

func TestMain(m *testing.M) {
	os.Exit(framework.Suite{
		Options:   framework.Options{Install: []string{"crd"}, Build: []string{"manager"}},
		SkipShort: true,
	}.Run(m, &env))
}

func TestTenants_HangingCancels(t *testing.T) {
	s := newSimulation(t, emulator.AnyOperation)
	s.requireIsolation(t, func() {
		s.hostile.createAll(t, 320, func(i int) *v1alpha1.VectorStoreFileBatch {
			return s.hostile.adopted(i, ptr.To(true))
		})
	})
}

// The server of 500 connections hangs in every call: half of the objects wait for a create, and half for a
// poll.
func TestTenants_HangingConnections(t *testing.T) {
	const connections = 500
	s := newSimulation(t, emulator.AnyOperation)
	inParallel(connections, func(i int) { s.hostile.createProject(t, i) })
	s.requireIsolation(t, func() {
		s.hostile.createAll(t, connections, func(i int) *v1alpha1.VectorStoreFileBatch {
			b := s.hostile.adopted(i, nil)
			if i%2 == 0 {
				b.Spec.BatchID, b.Spec.FileIDs = "", []string{framework.File(b.Name, 1)}
			}
			b.Spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: project(i)}
			return b
		})
	})
}

// The server of the deleted objects hangs in every call that detaches a file.
func TestTenants_HangingDetaches(t *testing.T) {
	const objects, files = 100, 30
	s := newSimulation(t, emulator.DetachFile)
	s.hostile.createAll(t, objects, func(i int) *v1alpha1.VectorStoreFileBatch {
		b := s.hostile.Batch(name(i), v1alpha1.VectorStoreFileBatchSpec{DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles})
		for file := range files {
			b.Spec.FileIDs = append(b.Spec.FileIDs, framework.File(b.Name, file))
		}
		return b
	})
	for i := range objects {
		s.hostile.WaitForReason(t, name(i), v1alpha1.ReasonCompleted)
	}
	s.requireIsolation(t, func() {
		if err := env.Client.DeleteAllOf(t.Context(), &v1alpha1.VectorStoreFileBatch{}, client.InNamespace(s.hostile.Namespace)); err != nil {
			t.Fatal(err)
		}
	})
}

// All objects of a flood are older than what the stranger does, and no limit but that of the machine slows
// the flood down. The manager is frozen meanwhile, so that it finds all of that at once.
func TestTenants_Flood(t *testing.T) {
	const objects = 600
	s := newSimulation(t, "", "--requests-per-second=100000", "--creates-per-minute=1000000", "--files-per-minute=1000000")
	f := s.stranger
	cancelled, completed := f.createStuck(t, "cancelled"), f.createStuck(t, "completed")
	for _, name := range []string{"cancelled", "completed"} {
		f.WaitForReason(t, name, v1alpha1.ReasonInProgress)
	}
	s.manager.Freeze()
	s.hostile.createAll(t, objects, func(i int) *v1alpha1.VectorStoreFileBatch {
		return s.hostile.Batch(name(i), v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{framework.File(name(i), 1)}})
	})
	created := f.Batch("created", v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{framework.File("created", 1)}})
	f.Create(t, created)
	f.Patch(t, "cancelled", `{"spec":{"cancel":true}}`)
	if err := f.Emulator.SetBatchStatus(completed, "completed"); err != nil {
		t.Fatal(err)
	}
	s.manager.Thaw()

	done := map[string]func() bool{
		create: func() bool { return len(f.Emulator.BatchesOf(framework.VectorStore, created.Spec.FileIDs...)) > 0 },
		cancel: func() bool { b, _ := f.Emulator.Batch(cancelled); return b.Cancels > 0 },
		poll:   func() bool { return framework.ReadyReason(f.Get(t, "completed")) == v1alpha1.ReasonCompleted },
	}
	framework.Eventually(t, "the stranger's create, cancel and poll", func() bool {
		flood := s.hostile.Emulator.CreateCount()
		for operation, isDone := range done {
			if !isDone() {
				continue
			}
			delete(done, operation)
			t.Logf("%s after %d batches of the flood of %d", operation, flood, objects)
			if flood > objects/2 {
				t.Errorf("%s came after %d batches of the flood of %d, want at most half of them", operation, flood, objects)
			}
		}
		return len(done) == 0
	})
}

// Objects that wait for the limits of their credentials get a status that shows it, all at the same time. The
// polls of the stranger come before these writes.
func TestTenants_StatusesOfWaitingObjects(t *testing.T) {
	const objects = 1000
	s := newSimulation(t, "", "--poll-interval-max=200ms", "--creates-per-minute=1")
	f := s.stranger
	id := f.createStuck(t, "completed")
	f.WaitForReason(t, "completed", v1alpha1.ReasonInProgress)
	s.manager.Freeze()
	s.hostile.createAll(t, objects, func(i int) *v1alpha1.VectorStoreFileBatch {
		return s.hostile.Batch(name(i), v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{framework.File(name(i), 1)}})
	})
	s.manager.Thaw()
	already := 0
	framework.Eventually(t, "an object of the flood to show that it waits", func() bool {
		already = s.statusWrites("")
		return already > objects/100
	})
	if err := f.Emulator.SetBatchStatus(id, "completed"); err != nil {
		t.Fatal(err)
	}
	f.WaitForReason(t, "completed", v1alpha1.ReasonCompleted)
	before := s.statusWrites(v1alpha1.ReasonCompleted) - already
	t.Logf("%d statuses came before that of the stranger's batch, and %d before that it ended", before, already)
	if before > (objects-already)/2 {
		t.Errorf("%d statuses of waiting objects came before that of the stranger's batch, of %d", before, objects-already)
	}
}

// statusWrites returns the number of answered status writes, up to the one of the stranger with a reason, if
// it is not empty.
func (s *simulation) statusWrites(until string) (writes int) {
	for _, write := range s.stranger.Requests(proxy.UpdateStatus) {
		if until != "" && !strings.HasPrefix(write.Object, "hostile-") && strings.Contains(string(write.Body), until) {
			break
		}
		writes++
	}
	return writes
}

// namespace is a namespace with a server of its own.
type namespace struct{ *framework.Fixture }

// simulation is a manager for two namespaces.
type simulation struct {
	hostile, stranger namespace
	manager           *framework.Process
	// hangs is the operation in which the hostile server hangs once its namespace has acted.
	hangs emulator.Operation
	// lives is the number of lives so far.
	lives int
}

func newSimulation(t *testing.T, hangs emulator.Operation, flags ...string) *simulation {
	t.Helper()
	s := &simulation{hostile: namespace{env.NewFixture(t, emulator.Options{})}, stranger: namespace{env.NewFixture(t, emulator.Options{})}, hangs: hangs}
	s.manager = s.stranger.StartManager(t, "manager", framework.Setup{Flags: append([]string{
		// The requests time out long after the test.
		"--watch-namespaces=" + s.hostile.Namespace, "--request-timeout=1h", "--files-per-minute=5000", "--zap-log-level=info",
	}, flags...)})
	s.manager.MustOutput(t, framework.Working)
	return s
}

// requireIsolation requires that the operations of the stranger take at most twice as long as before, and a
// second, once the hostile namespace has acted.
func (s *simulation) requireIsolation(t *testing.T, act func()) {
	t.Helper()
	const lives = 5
	var alone, beside []life
	for range lives {
		alone = append(alone, s.live(t))
	}
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })
	s.hostile.Emulator.AddFault(emulator.Fault{Operation: s.hangs, Until: released})
	before := len(s.hostile.Emulator.Calls(s.hangs))
	act()
	s.waitSettled(t, before)
	for range lives {
		beside = append(beside, s.live(t))
	}
	for _, operation := range operations {
		// The median beside the hostile namespace: one slow step of a busy machine does not matter, and a
		// queue delays all of them.
		took, idle := durations(beside, operation), durations(alone, operation)
		if limit := 2*slices.Max(idle) + time.Second; took[lives/2] > limit {
			t.Errorf("%s took %v beside the hostile namespace and %v alone: the median exceeds %s, twice the maximum alone and a second", operation, took, idle, limit)
		}
		t.Logf("%s: alone %v, beside the hostile namespace %v", operation, idle, took)
	}
}

// waitSettled waits until the hostile namespace has as many calls in flight as it gets.
func (s *simulation) waitSettled(t *testing.T, before int) {
	t.Helper()
	const samples = 20 // of 50 ms
	last, same := before, 0
	framework.Eventually(t, "the hostile namespace to call its server", func() bool {
		now := len(s.hostile.Emulator.Calls(s.hangs))
		if same++; now != last {
			same = 0
		}
		last = now
		return now > before && same == samples
	})
}

// The operations of a life.
const (
	create = "create"
	cancel = "cancel"
	poll   = "poll"
)

var operations = []string{create, cancel, poll}

// life is how long each operation of the stranger took.
type life map[string]time.Duration

// durations returns the times of an operation in ascending order.
func durations(lives []life, operation string) []time.Duration {
	var all []time.Duration
	for _, l := range lives {
		all = append(all, l[operation])
	}
	slices.Sort(all)
	return all
}

// live creates one batch that it cancels, and one that ends.
func (s *simulation) live(t *testing.T) life {
	t.Helper()
	s.lives++
	f, l := s.stranger, life{}
	cancelled, completed := fmt.Sprintf("cancelled-%d", s.lives), fmt.Sprintf("completed-%d", s.lives)

	began := time.Now()
	id := f.createStuck(t, cancelled)
	l[create] = time.Since(began)

	began = time.Now()
	f.Patch(t, cancelled, `{"spec":{"cancel":true}}`)
	framework.Eventually(t, "the cancel of a stranger's batch", func() bool {
		b, _ := f.Emulator.Batch(id)
		return b.Cancels > 0
	})
	l[cancel] = time.Since(began)

	id = f.createStuck(t, completed)
	f.WaitForReason(t, completed, v1alpha1.ReasonInProgress)
	began = time.Now()
	if err := f.Emulator.SetBatchStatus(id, "completed"); err != nil {
		t.Fatal(err)
	}
	f.WaitForReason(t, completed, v1alpha1.ReasonCompleted)
	l[poll] = time.Since(began)
	return l
}

// createStuck creates an object whose batch does not end by itself, and returns the ID of the batch.
func (n namespace) createStuck(t *testing.T, name string) string {
	t.Helper()
	file := framework.StuckFile(name, 1)
	n.Create(t, n.Batch(name, v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{file}}))
	var ids []string
	framework.Eventually(t, "a stranger's batch", func() bool {
		ids = n.Emulator.BatchesOf(framework.VectorStore, file)
		return len(ids) > 0
	})
	return ids[0]
}

func name(i int) string { return fmt.Sprintf("hostile-%04d", i) }

func project(i int) string { return fmt.Sprintf("project-%04d", i) }

// adopted returns an object for a batch that the server does not have, which it never answers.
func (n namespace) adopted(i int, cancel *bool) *v1alpha1.VectorStoreFileBatch {
	return n.Batch(name(i), v1alpha1.VectorStoreFileBatchSpec{BatchID: "vsfb_" + name(i), Cancel: cancel})
}

// createProject creates a Secret for another project with the same server, which is another connection.
func (n namespace) createProject(t *testing.T, i int) {
	t.Helper()
	secret := framework.NewSecret(n.Namespace, project(i), framework.APIKey, n.BaseURL)
	secret.StringData[v1alpha1.SecretKeyProject] = fmt.Sprintf("proj_%04d", i)
	if err := env.Client.Create(t.Context(), secret); err != nil {
		t.Error(err)
	}
}

// createAll creates many objects.
func (n namespace) createAll(t *testing.T, count int, object func(i int) *v1alpha1.VectorStoreFileBatch) {
	t.Helper()
	inParallel(count, func(i int) {
		if err := env.Client.Create(t.Context(), object(i)); err != nil {
			t.Error(err)
		}
	})
}

// inParallel calls do n times, eight at a time.
func inParallel(n int, do func(i int)) {
	var group sync.WaitGroup
	var next atomic.Int64
	for range 8 {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	group.Wait()
}
