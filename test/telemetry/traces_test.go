// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package telemetry_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

// traceID is the ID that docs/observability.md promises.
func traceID(uid types.UID) string {
	sum := sha256.Sum256([]byte(uid))
	return hex.EncodeToString(sum[:16])
}

func stuck(file string) v1alpha1.VectorStoreFileBatchSpec {
	return v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"file-stuck-" + file}}
}

func cancel(t *testing.T, n *stage.Tenant, name string) {
	t.Helper()
	b := n.Object(name, v1alpha1.VectorStoreFileBatchSpec{})
	if err := n.Client.Patch(t.Context(), b, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancel":true}}`))); err != nil {
		t.Fatal(err)
	}
}

// polls is how often the upstream was asked for a batch.
func polls(n *stage.Tenant) int { return len(n.Emulator.Calls(emulator.Retrieve)) }

// TestOneLifeIsOneTrace lets two processes look after one batch, one after the other.
func TestOneLifeIsOneTrace(t *testing.T) {
	t.Parallel()
	n, otlp := shared.NewTenant(t, emulator.Options{}), newReceiver(t)
	setup := stage.Setup{
		Environment: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + otlp.URL, "OTEL_SERVICE_NAME=traced", "OTEL_BSP_SCHEDULE_DELAY=100"},
		Flags:       []string{"--zap-log-level=3"},
	}
	first := n.Start(t, "first", setup)
	n.MustCreate(t, n.Object("a", stuck("a")))
	n.MustCreate(t, n.Object("other", stuck("other")))
	n.WaitReason(t, "a", v1alpha1.ReasonInProgress)
	stage.Eventually(t, "a look at each batch", func() bool { return polls(n) >= 4 })
	first.Terminate(t)
	if code := first.WaitEnd(t); code != 0 {
		t.Fatalf("the first manager ended with code %d", code)
	}

	before := polls(n)
	second := n.Start(t, "second", setup)
	stage.Eventually(t, "more looks", func() bool { return polls(n) >= before+2 })
	n.Emulator.AddFault(emulator.Fault{Operation: emulator.Cancel, Times: 1, Status: 503})
	cancel(t, n, "a")
	a := n.WaitReason(t, "a", v1alpha1.ReasonCancelled)
	second.Terminate(t)
	if code := second.WaitEnd(t); code != 0 {
		t.Fatalf("the second manager ended with code %d", code)
	}

	want := traceID(a.UID)
	wantRequests(t, n, otlp, a.Status.BatchID, want)
	wantPasses(t, otlp, a, want)
	for name, manager := range map[string]*stage.Process{"first": first, "second": second} {
		wantTraceInLog(t, name, manager.Log(), "a", want)
	}
}

// wantRequests demands a span in the trace for every request about a batch that the upstream
// received, in that order, with its ID.
func wantRequests(t *testing.T, n *stage.Tenant, otlp *receiver, batchID, trace string) {
	t.Helper()
	type request struct{ Name, ID, Status string }
	var asked, traced []request
	for _, call := range n.Emulator.Calls() {
		// The create that was answered tells the batch that it made.
		if call.BatchID == batchID {
			asked = append(asked, request{"OpenAI " + string(call.Operation), call.RequestID, http.StatusText(call.Status)})
		}
	}
	for _, s := range otlp.received() {
		if s.TraceID != trace || !strings.HasPrefix(s.Name, "OpenAI ") {
			continue
		}
		status := http.StatusText(http.StatusOK)
		if s.Failed {
			status = http.StatusText(http.StatusServiceUnavailable)
		}
		traced = append(traced, request{s.Name, s.Attributes["http.response.header.x-request-id"], status})
	}
	if diff := cmp.Diff(asked, traced); diff != "" {
		t.Errorf("requests (-asked +traced):\n%s", diff)
	}
	for _, name := range []string{"OpenAI create", "OpenAI retrieve", "OpenAI cancel"} {
		if !slices.ContainsFunc(traced, func(r request) bool { return r.Name == name }) {
			t.Errorf("the trace has no %s", name)
		}
	}
}

// wantPasses demands that each span of a request belongs to a pass over the object, and that
// other spans have other traces.
func wantPasses(t *testing.T, otlp *receiver, b *v1alpha1.VectorStoreFileBatch, trace string) {
	t.Helper()
	passes := map[string]span{}
	for _, s := range otlp.received() {
		if s.Service != "traced" {
			t.Errorf("a span comes from %q: %+v", s.Service, s)
		}
		if s.Name != "pass" {
			continue
		}
		passes[s.SpanID] = s
		if ours := s.Attributes["vectorstorefilebatch.name"] == b.Name; ours != (s.TraceID == trace) || s.ParentID != "" {
			t.Errorf("a pass is in the wrong trace: %+v", s)
		}
	}
	reasons := map[string]bool{}
	for _, s := range otlp.received() {
		pass, isPart := passes[s.ParentID]
		if s.Name != "pass" && (!isPart || pass.TraceID != s.TraceID) {
			t.Errorf("a request belongs to no pass: %+v", s)
		}
		if s.TraceID == trace {
			reasons[s.Attributes["vectorstorefilebatch.reason"]] = true
		}
	}
	for _, reason := range []string{v1alpha1.ReasonInProgress, v1alpha1.ReasonCancelled} {
		if !reasons[reason] {
			t.Errorf("no pass of the trace ended in %s", reason)
		}
	}
}

// wantTraceInLog demands that every line about an object is JSON, and those of its passes have
// its trace ID.
func wantTraceInLog(t *testing.T, name, log, object, trace string) {
	t.Helper()
	requests, passes := 0, 0
	for line := range strings.Lines(log) {
		var said struct {
			Msg, Name, TraceID, Operation string
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Errorf("manager %s logs what is no JSON: %s", name, line)
		}
		switch said.Msg {
		case "Called the OpenAI API":
			requests++
		case "Made a pass":
			passes++
		case "State changed", "Created the batch":
		default:
			continue
		}
		if (said.Name == object) != (said.TraceID == trace) || said.TraceID == "" {
			t.Errorf("manager %s: a line has the wrong trace: %s", name, line)
		}
	}
	if requests == 0 || passes == 0 {
		t.Errorf("manager %s logs %d requests and %d passes", name, requests, passes)
	}
}

func TestTracesAreOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		environment []string
		traced      bool
	}{
		"by default":           {nil, false},
		"by the exporter none": {[]string{"OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT=URL"}, false},
		"by disabling the SDK": {[]string{"OTEL_SDK_DISABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT=URL"}, false},
		"by the sampler":       {[]string{"OTEL_TRACES_SAMPLER=always_off", "OTEL_EXPORTER_OTLP_ENDPOINT=URL"}, false},
		"on, for traces only":  {[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=URL/v1/traces"}, true},
		"on, by the exporter":  {[]string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=URL"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, otlp := shared.NewTenant(t, emulator.Options{}), newReceiver(t)
			var environment []string
			for _, variable := range test.environment {
				environment = append(environment, strings.ReplaceAll(variable, "URL", otlp.URL))
			}
			manager := n.Start(t, "manager", stage.Setup{Environment: environment})
			n.MustCreate(t, n.Object("a", v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"file-a"}}))
			n.WaitReason(t, "a", v1alpha1.ReasonCompleted)
			manager.Terminate(t)
			if code := manager.WaitEnd(t); code != 0 {
				t.Fatalf("the manager ended with code %d", code)
			}
			if got := len(otlp.received()) > 0; got != test.traced {
				t.Errorf("spans were received: %t, want %t", got, test.traced)
			}
			if got := strings.Contains(manager.Log(), `"traceID"`); got != test.traced {
				t.Errorf("the log has trace IDs: %t, want %t", got, test.traced)
			}
		})
	}
}

func TestAReceiverThatIsAwayDoesNoHarm(t *testing.T) {
	t.Parallel()
	n := shared.NewTenant(t, emulator.Options{})
	manager := n.Start(t, "manager", stage.Setup{Environment: []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + freeAddress(t), "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_EXPORTER_OTLP_TIMEOUT=200",
	}})
	n.MustCreate(t, n.Object("a", v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"file-a"}}))
	n.WaitReason(t, "a", v1alpha1.ReasonCompleted)
	manager.WaitLog(t, "Traces are incomplete")
	manager.Terminate(t)
	if code := manager.WaitEnd(t); code != 0 {
		t.Errorf("the manager ended with code %d", code)
	}
}

func TestWrongVariablesAreRefused(t *testing.T) {
	t.Parallel()
	n := shared.NewTenant(t, emulator.Options{})
	for variable, says := range map[string]string{
		"OTEL_TRACES_EXPORTER=zipkin":           "OTEL_TRACES_EXPORTER is",
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/json": "OTEL_EXPORTER_OTLP_PROTOCOL is",
	} {
		manager := n.Start(t, "manager", stage.Setup{Environment: []string{variable, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"}})
		if code := manager.WaitEnd(t); code == 0 || !strings.Contains(manager.Log(), says) {
			t.Errorf("%s: code %d: %s", variable, code, manager.Log())
		}
	}
}
