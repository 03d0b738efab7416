// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observability_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

const leads = "Successfully acquired lease"

// probe returns the HTTP status of a probe; 0 if the manager does not serve it yet.
func probe(t *testing.T, address, path string) int {
	t.Helper()
	code, _, err := framework.Fetch(t.Context(), http.DefaultClient, "http://"+address+path, "")
	if err != nil {
		return 0
	}
	return code
}

func TestReadiness_RequiresSyncedCache(t *testing.T) {
	t.Parallel()
	f := env.NewFixture(t, emulator.Options{})
	leader := f.StartManager(t, "leader", framework.Setup{Flags: f.LeaderElection()})
	leader.MustOutput(t, leads)

	lists, address := make(chan struct{}), freeAddress(t)
	held := proxy.NewGate(t)
	standby := f.StartManager(t, "standby", framework.Setup{
		Flags:     append(f.LeaderElection(), "--health-probe-bind-address="+address),
		Watch:     proxy.Watch{Blocked: lists},
		StaleList: func() []byte { held.Wait(); return nil },
	})
	framework.Eventually(t, "the liveness probe to answer", func() bool { return probe(t, address, "/healthz") == http.StatusOK })
	if code := probe(t, address, "/readyz"); code != http.StatusInternalServerError {
		t.Errorf("before the first list, /readyz returns HTTP %d", code)
	}
	close(lists)
	held.Open()
	framework.Eventually(t, "the readiness probe to answer", func() bool { return probe(t, address, "/readyz") == http.StatusOK })
	if strings.Contains(standby.Output(), leads) {
		t.Error("the standby became the leader; a replica without the lease must be ready, too")
	}
}

func TestProbes_WhileCallIsInFlight(t *testing.T) {
	t.Parallel()
	f, address := env.NewFixture(t, emulator.Options{}), freeAddress(t)
	answer := make(chan struct{})
	t.Cleanup(func() { close(answer) })
	f.Emulator.AddFault(emulator.Fault{Operation: emulator.Retrieve, Until: answer})
	f.StartManager(t, "manager", framework.Setup{Flags: []string{"--concurrency=1", "--request-timeout=1m", "--health-probe-bind-address=" + address}})
	f.Create(t, f.Batch("a", stuck("a")))
	framework.Eventually(t, "the only worker to call the OpenAI API", func() bool { return polls(f) == 1 })
	deadline := time.Now().Add(3 * time.Second)
	for probes := 0; time.Now().Before(deadline) || probes < 10; probes++ {
		for _, path := range []string{"/healthz", "/readyz"} {
			if code := probe(t, address, path); code != http.StatusOK {
				t.Fatalf("%s returns HTTP %d during a call of the OpenAI API", path, code)
			}
		}
	}
	if polls(f) != 1 {
		t.Errorf("the emulator received %d polls, so the worker did not wait", polls(f))
	}
}

func TestSelectors_SplitObjects(t *testing.T) {
	t.Parallel()
	f := env.NewFixture(t, emulator.Options{})
	red := f.StartManager(t, "red", framework.Setup{Flags: []string{"--watch-label-selector=team=red"}})
	other := f.StartManager(t, "other", framework.Setup{Flags: []string{"--watch-label-selector=team!=red,team!=nobody"}})
	for name, labels := range map[string]map[string]string{"a": {"team": "red"}, "b": {"team": "blue"}, "c": nil, "d": {"team": "nobody"}, "moves": {"team": "red"}} {
		b := f.Batch(name, stuck(name))
		b.Labels = labels
		f.Create(t, b)
	}
	for _, name := range []string{"a", "b", "c", "moves"} {
		f.WaitForReason(t, name, v1alpha1.ReasonInProgress)
	}
	// An object that moves to another installation is cancelled there, with the batch that it has.
	f.Patch(t, "moves", `{"metadata":{"labels":{"team":"blue"}}}`)
	f.Patch(t, "moves", `{"spec":{"cancel":true}}`)
	f.WaitForReason(t, "moves", v1alpha1.ReasonCancelled)

	for _, name := range []string{"a", "b", "c", "moves"} {
		if created := f.Emulator.BatchesOf(framework.VectorStore, "file-stuck-"+name); len(created) != 1 {
			t.Errorf("%s has the batches %v, want one", name, created)
		}
	}
	if d := f.Get(t, "d"); framework.ReadyReason(d) != "" || len(d.Finalizers) != 0 {
		t.Errorf("an object that no manager selects was reconciled: %+v", d)
	}
	for name, want := range map[string]map[string]bool{"red": {"a": true, "moves": true}, "other": {"b": true, "c": true, "moves": true}} {
		log := map[string]string{"red": red.Output(), "other": other.Output()}[name]
		got := map[string]bool{}
		for _, object := range []string{"a", "b", "c", "d", "moves"} {
			if strings.Contains(log, `"name":"`+object+`"`) {
				got[object] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("objects of manager %s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEvents_OncePerStateChange(t *testing.T) {
	t.Parallel()
	f := env.NewFixture(t, emulator.Options{Settings: emulator.Settings{Pace: time.Hour}})
	f.StartManager(t, "manager", framework.Setup{})
	f.Create(t, f.Batch("a", v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"file-a"}}))
	f.WaitForReason(t, "a", v1alpha1.ReasonInProgress)
	fault := f.Emulator.AddFault(emulator.Fault{Operation: emulator.Retrieve, Status: 503})
	f.WaitForReason(t, "a", v1alpha1.ReasonUpstreamUnavailable)
	before := polls(f)
	framework.Eventually(t, "more failed polls", func() bool { return polls(f) >= before+2 })
	f.Emulator.RemoveFault(fault)
	f.Emulator.Configure(func(s *emulator.Settings) { s.Pace = 0 })
	f.WaitForReason(t, "a", v1alpha1.ReasonCompleted)

	// The reason InProgress may occur again in between, as the same Event with a count.
	want := map[string]int{v1alpha1.ReasonInProgress: 1, v1alpha1.ReasonUpstreamUnavailable: 1, v1alpha1.ReasonCompleted: 1}
	var events eventsv1.EventList
	framework.Eventually(t, "the last Event", func() bool {
		if err := f.Client.List(t.Context(), &events, client.InNamespace(f.Namespace)); err != nil {
			t.Fatal(err)
		}
		return len(events.Items) >= len(want)
	})
	got := map[string]int{}
	for _, event := range events.Items {
		got[event.Reason]++
		if event.Reason == v1alpha1.ReasonUpstreamUnavailable && event.Series != nil {
			t.Errorf("the Event of an unchanged state was recorded %d times", event.Series.Count)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Events by reason (-want +got):\n%s", diff)
	}
}
