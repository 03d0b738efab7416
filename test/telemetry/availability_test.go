// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

const leads = "Successfully acquired lease"

// probe is what a probe of a manager gives; 0 as long as it serves none.
func probe(t *testing.T, address, path string) int {
	t.Helper()
	code, _, err := fetch(t.Context(), http.DefaultClient, "http://"+address+path, "")
	if err != nil {
		return 0
	}
	return code
}

func TestReadyMeansThatTheObjectsAreKnown(t *testing.T) {
	t.Parallel()
	n := shared.NewTenant(t, emulator.Options{})
	leader := n.Start(t, "leader", stage.Setup{Flags: n.Elected()})
	leader.WaitLog(t, leads)

	lists, address := make(chan struct{}), freeAddress(t)
	held := stage.NewGate(t)
	standby := n.Start(t, "standby", stage.Setup{
		Flags: append(n.Elected(), "--health-probe-bind-address="+address),
		Watch: stage.Watch{Shut: lists},
		Stale: func() []byte { held.Wait(); return nil },
	})
	stage.Eventually(t, "the liveness probe to answer", func() bool { return probe(t, address, "/healthz") == http.StatusOK })
	if code := probe(t, address, "/readyz"); code != http.StatusInternalServerError {
		t.Errorf("before it has listed the objects, /readyz is HTTP %d", code)
	}
	close(lists)
	held.Open()
	stage.Eventually(t, "the readiness probe to answer", func() bool { return probe(t, address, "/readyz") == http.StatusOK })
	if strings.Contains(standby.Log(), leads) {
		t.Error("it is ready because it leads; a replica that waits must be ready as well")
	}
}

func TestAManagerThatWaitsForTheUpstreamIsAliveAndReady(t *testing.T) {
	t.Parallel()
	n, address := shared.NewTenant(t, emulator.Options{}), freeAddress(t)
	answer := make(chan struct{})
	t.Cleanup(func() { close(answer) })
	n.Emulator.AddFault(emulator.Fault{Operation: emulator.Retrieve, Until: answer})
	n.Start(t, "manager", stage.Setup{Flags: []string{"--concurrency=1", "--request-timeout=1m", "--health-probe-bind-address=" + address}})
	n.MustCreate(t, n.Object("a", stuck("a")))
	stage.Eventually(t, "the only worker to wait for the upstream", func() bool { return polls(n) == 1 })
	deadline := time.Now().Add(3 * time.Second)
	for probes := 0; time.Now().Before(deadline) || probes < 10; probes++ {
		for _, path := range []string{"/healthz", "/readyz"} {
			if code := probe(t, address, path); code != http.StatusOK {
				t.Fatalf("%s is HTTP %d while a pass waits for the upstream", path, code)
			}
		}
	}
	if polls(n) != 1 {
		t.Errorf("the upstream was asked %d times, so the worker did not wait", polls(n))
	}
}

func TestSelectorsSplitTheWork(t *testing.T) {
	t.Parallel()
	n := shared.NewTenant(t, emulator.Options{})
	red := n.Start(t, "red", stage.Setup{Flags: []string{"--watch-label-selector=team=red"}})
	other := n.Start(t, "other", stage.Setup{Flags: []string{"--watch-label-selector=team!=red,team!=nobody"}})
	for name, labels := range map[string]map[string]string{"a": {"team": "red"}, "b": {"team": "blue"}, "c": nil, "d": {"team": "nobody"}, "moves": {"team": "red"}} {
		b := n.Object(name, stuck(name))
		b.Labels = labels
		n.MustCreate(t, b)
	}
	for _, name := range []string{"a", "b", "c", "moves"} {
		n.WaitReason(t, name, v1alpha1.ReasonInProgress)
	}
	// One that goes over to another installation is cancelled there, with the batch that it has.
	moves := n.Object("moves", v1alpha1.VectorStoreFileBatchSpec{})
	if err := n.Client.Patch(t.Context(), moves, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"team":"blue"}}}`))); err != nil {
		t.Fatal(err)
	}
	cancel(t, n, "moves")
	n.WaitReason(t, "moves", v1alpha1.ReasonCancelled)

	for _, name := range []string{"a", "b", "c", "moves"} {
		if made := n.Emulator.BatchesOf(stage.Store, "file-stuck-"+name); len(made) != 1 {
			t.Errorf("%s has the batches %v, want one", name, made)
		}
	}
	if d := n.Read(t, "d"); stage.Reason(d) != "" || len(d.Finalizers) != 0 {
		t.Errorf("an object that nobody selects was looked after: %+v", d)
	}
	for name, want := range map[string]map[string]bool{"red": {"a": true, "moves": true}, "other": {"b": true, "c": true, "moves": true}} {
		log := map[string]string{"red": red.Log(), "other": other.Log()}[name]
		got := map[string]bool{}
		for _, object := range []string{"a", "b", "c", "d", "moves"} {
			if strings.Contains(log, `"name":"`+object+`"`) {
				got[object] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("manager %s looked after (-want +got):\n%s", name, diff)
		}
	}
}

func TestEveryChangeOfStateIsToldOnce(t *testing.T) {
	t.Parallel()
	n := shared.NewTenant(t, emulator.Options{Settings: emulator.Settings{Pace: time.Hour}})
	n.Start(t, "manager", stage.Setup{})
	n.MustCreate(t, n.Object("a", v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"file-a"}}))
	n.WaitReason(t, "a", v1alpha1.ReasonInProgress)
	fault := n.Emulator.AddFault(emulator.Fault{Operation: emulator.Retrieve, Status: 503})
	n.WaitReason(t, "a", v1alpha1.ReasonUpstreamUnavailable)
	before := polls(n)
	stage.Eventually(t, "more looks that fail", func() bool { return polls(n) >= before+2 })
	n.Emulator.RemoveFault(fault)
	n.Emulator.Configure(func(s *emulator.Settings) { s.Pace = 0 })
	n.WaitReason(t, "a", v1alpha1.ReasonCompleted)

	// The state InProgress may be told again in between, which is one Event with a count.
	want := map[string]int{v1alpha1.ReasonInProgress: 1, v1alpha1.ReasonUpstreamUnavailable: 1, v1alpha1.ReasonCompleted: 1}
	var events eventsv1.EventList
	stage.Eventually(t, "the last Event", func() bool {
		if err := n.Client.List(t.Context(), &events, client.InNamespace(n.Namespace)); err != nil {
			t.Fatal(err)
		}
		return len(events.Items) >= len(want)
	})
	got := map[string]int{}
	for _, event := range events.Items {
		got[event.Reason]++
		if event.Reason == v1alpha1.ReasonUpstreamUnavailable && event.Series != nil {
			t.Errorf("a state that lasted was told %d times", event.Series.Count)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Events by reason (-want +got):\n%s", diff)
	}
}
