// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package races_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

const leads = "Successfully acquired lease"

// A leader that is frozen at a step of a create for longer than its lease believes that it is the
// leader when it resumes. Its next step races with the new leader.
func TestLeaderElection_FrozenLeader(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		op       proxy.Operation
		answered bool
		// batches is the maximum number of batches in the emulator at the end.
		batches int
		// refused means that the API server rejects the step after the lease has expired.
		refused bool
	}{
		"before the create-pending write":       {op: proxy.SetCreatePending, batches: 1, refused: true},
		"between create-pending and the create": {op: proxy.SetCreatePending, answered: true, batches: 1},
		"before the create takes effect":        {op: proxy.CreateBatch, batches: 2},
		"before the response of the create":     {op: proxy.CreateBatch, answered: true, batches: 2},
		"before the ID is recorded":             {op: proxy.RecordBatchID, batches: 2, refused: true},
		"before the response of the ID's write": {op: proxy.RecordBatchID, answered: true, batches: 1},
		"before the first write of the status":  {op: proxy.UpdateStatus, batches: 1, refused: true},
		"after the first write of the status":   {op: proxy.UpdateStatus, answered: true, batches: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := env.NewFixture(t, emulator.Options{})
			gate := proxy.NewGate(t)
			f.OnRequest(func(r proxy.Request) int {
				if r.Operation == test.op && (r.Status != 0) == test.answered && r.Manager != "new" {
					gate.Wait()
				}
				return 0
			})
			old := f.StartManager(t, "old", framework.Setup{Flags: f.LeaderElection()})
			old.MustOutput(t, leads)
			next := f.StartManager(t, "new", framework.Setup{Flags: f.LeaderElection()})
			f.Create(t, f.Batch("a", files("a")))

			gate.WaitReached(t)
			old.Freeze()
			next.MustOutput(t, leads)
			kept := f.WaitForReason(t, "a", v1alpha1.ReasonCompleted).Status.BatchID
			gate.Open()
			old.Thaw()
			if code := old.MustExit(t); code == 0 {
				t.Error("the old leader exited with code 0, want an error: it lost its lease")
			}

			wantID(t, f, "a", kept)
			if b := f.Get(t, "a"); framework.ReadyReason(b) != v1alpha1.ReasonCompleted {
				t.Errorf("the final reason is %s", framework.ReadyReason(b))
			}
			if batches := batchesOf(f, "a"); len(batches) > test.batches || !slices.Contains(batches, kept) {
				t.Errorf("the emulator has the batches %v, want %d at most, including %s", batches, test.batches, kept)
			}
			wantNoStaleWrites(t, f, test.op, test.refused)
		})
	}
}

// A replica that does not lead has no queue. When it becomes the leader, it queues the objects that exist
// then, and none of those that came and went before.
func TestLeaderElection_StandbyQueuesNothing(t *testing.T) {
	t.Parallel()
	const gone = 60
	f := env.NewFixture(t, emulator.Options{})
	leader := f.StartManager(t, "leader", framework.Setup{Flags: f.LeaderElection()})
	leader.MustOutput(t, leads)
	address, err := framework.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	standby := f.StartManager(t, "standby", framework.Setup{Flags: append(f.LeaderElection(), "--metrics-secure=false", "--metrics-bind-address="+address)})
	standby.MustOutput(t, "Attempting to acquire leader lease")
	names := objects(0, gone)
	createAll(t, f, names)
	wantAllOnce(t, f, names)
	f.Kubectl.Must(t, "delete", "vsfb", "--all", "--timeout=60s")
	f.Create(t, f.Batch("running", stuck("running")))
	f.WaitForReason(t, "running", v1alpha1.ReasonInProgress)

	queue := regexp.MustCompile(`(?m)^workqueue_(depth|adds_total)\{[^}]*vectorstorefilebatch.*$`)
	scrape := func() string {
		code, body, err := framework.Fetch(t.Context(), http.DefaultClient, "http://"+address+"/metrics", "")
		if err != nil || code != http.StatusOK {
			t.Fatalf("HTTP %d: %v", code, err)
		}
		return body
	}
	if found := queue.FindAllString(scrape(), -1); len(found) > 0 {
		t.Errorf("the standby has a queue: %v", found)
	}
	leader.Terminate()
	standby.MustOutput(t, leads)
	f.Create(t, f.Batch("new", files("new")))
	f.WaitForReason(t, "new", v1alpha1.ReasonCompleted)
	f.Patch(t, "running", `{"spec":{"cancel":true}}`)
	f.WaitForReason(t, "running", v1alpha1.ReasonCancelled)
	var added int
	for _, series := range queue.FindAllString(scrape(), -1) {
		if strings.HasPrefix(series, "workqueue_adds_total") {
			if _, err := fmt.Sscan(series[strings.LastIndex(series, " ")+1:], &added); err != nil {
				t.Fatal(err)
			}
		}
	}
	if added == 0 || added >= gone {
		t.Errorf("the new leader queued %d times for two objects, and %d are gone", added, gone)
	}
}

// wantNoStaleWrites requires that the old leader changed nothing after the new one started, except that
// it can remove the finalizer of the finished object before it notices that it has lost its lease, which
// is correct from any process.
func wantNoStaleWrites(t *testing.T, f *framework.Fixture, op proxy.Operation, refused bool) {
	t.Helper()
	superseded := false
	for _, r := range f.AllRequests() {
		superseded = superseded || r.Manager == "new" && r.Object == "a"
		switch {
		case !superseded || r.Manager != "old" || r.Object != "a" || r.Operation == proxy.Other || r.Refused():
		case r.Operation == op && !refused, r.Operation == proxy.RemoveFinalizer:
		default:
			t.Errorf("the old leader wrote after the new one started: %s: HTTP %d: %s", r.Operation, r.Status, r.Body)
		}
	}
}
