// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observability_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	// reconcileSpan is the name of the span of a reconciliation, and loggedReconcile its log message.
	reconcileSpan, loggedReconcile = "Reconcile", "Reconciled"
)

// traceID returns the trace ID that docs/operations/observability.md defines.
func traceID(uid types.UID) string {
	sum := sha256.Sum256([]byte(uid))
	return hex.EncodeToString(sum[:16])
}

func stuck(file string) v1alpha1.VectorStoreFileBatchSpec {
	return v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"file-stuck-" + file}}
}

// polls returns the number of polls that the emulator received.
func polls(f *framework.Fixture) int { return len(f.Emulator.Calls(emulator.Retrieve)) }

// TestTrace_AcrossProcesses runs two managers on one batch, one after the other.
func TestTrace_AcrossProcesses(t *testing.T) {
	t.Parallel()
	f, otlp := env.NewFixture(t, emulator.Options{}), newReceiver(t)
	setup := framework.Setup{
		Env:   []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + otlp.URL, "OTEL_SERVICE_NAME=traced", "OTEL_BSP_SCHEDULE_DELAY=100"},
		Flags: []string{"--zap-log-level=3"},
	}
	first := f.StartManager(t, "first", setup)
	f.Create(t, f.Batch("a", stuck("a")))
	f.Create(t, f.Batch("other", stuck("other")))
	f.WaitForReason(t, "a", v1alpha1.ReasonInProgress)
	framework.Eventually(t, "a poll of each batch", func() bool { return polls(f) >= 4 })
	first.Terminate()
	if code := first.MustExit(t); code != 0 {
		t.Fatalf("the first manager ended with code %d", code)
	}

	before := polls(f)
	second := f.StartManager(t, "second", setup)
	framework.Eventually(t, "more polls", func() bool { return polls(f) >= before+2 })
	f.Emulator.AddFault(emulator.Fault{Operation: emulator.Cancel, Times: 1, Status: 503})
	f.Patch(t, "a", `{"spec":{"cancel":true}}`)
	a := f.WaitForReason(t, "a", v1alpha1.ReasonCancelled)
	second.Terminate()
	if code := second.MustExit(t); code != 0 {
		t.Fatalf("the second manager ended with code %d", code)
	}

	want := traceID(a.UID)
	wantRequests(t, f, otlp, a.Status.BatchID, want)
	wantReconciles(t, otlp, a, want)
	for name, manager := range map[string]*framework.Process{"first": first, "second": second} {
		wantTraceInLog(t, name, manager.Output(), "a", want)
	}
}

// wantRequests requires that the trace has a span for every request about a batch that the emulator
// received, in that order, with its request ID.
func wantRequests(t *testing.T, f *framework.Fixture, otlp *receiver, batchID, trace string) {
	t.Helper()
	type request struct{ Name, ID, Status string }
	var received, traced []request
	for _, call := range f.Emulator.Calls() {
		// A create has the ID of the batch in its response.
		if call.BatchID == batchID {
			received = append(received, request{"OpenAI " + string(call.Operation), call.RequestID, http.StatusText(call.Status)})
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
	if diff := cmp.Diff(received, traced); diff != "" {
		t.Errorf("requests (-received +traced):\n%s", diff)
	}
	for _, name := range []string{"OpenAI create", "OpenAI retrieve", "OpenAI cancel"} {
		if !slices.ContainsFunc(traced, func(r request) bool { return r.Name == name }) {
			t.Errorf("the trace has no %s", name)
		}
	}
}

// wantReconciles requires that each span of a request has the span of a reconciliation as its parent, and
// that the spans of other objects are in other traces.
func wantReconciles(t *testing.T, otlp *receiver, b *v1alpha1.VectorStoreFileBatch, trace string) {
	t.Helper()
	reconciles := map[string]span{}
	for _, s := range otlp.received() {
		if s.Service != "traced" {
			t.Errorf("the service of a span is %q: %+v", s.Service, s)
		}
		if s.Name != reconcileSpan {
			continue
		}
		reconciles[s.SpanID] = s
		if ours := s.Attributes["vectorstorefilebatch.name"] == b.Name; ours != (s.TraceID == trace) || s.ParentID != "" {
			t.Errorf("a reconciliation is in the wrong trace: %+v", s)
		}
	}
	reasons := map[string]bool{}
	for _, s := range otlp.received() {
		parent, isPart := reconciles[s.ParentID]
		if s.Name != reconcileSpan && (!isPart || parent.TraceID != s.TraceID) {
			t.Errorf("a request has no reconciliation as its parent: %+v", s)
		}
		if s.TraceID == trace {
			reasons[s.Attributes["vectorstorefilebatch.reason"]] = true
		}
	}
	for _, reason := range []string{v1alpha1.ReasonInProgress, v1alpha1.ReasonCancelled} {
		if !reasons[reason] {
			t.Errorf("no reconciliation of the trace has the reason %s", reason)
		}
	}
}

// wantTraceInLog requires that every log entry is JSON, and that those about the reconciliation of an
// object have its trace ID.
func wantTraceInLog(t *testing.T, name, log, object, trace string) {
	t.Helper()
	requests, reconciles := 0, 0
	for line := range strings.Lines(log) {
		var entry struct {
			Msg, Name, TraceID, Operation string
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("manager %s logs a line that is not JSON: %s", name, line)
		}
		switch entry.Msg {
		case "Called the OpenAI API":
			requests++
		case loggedReconcile:
			reconciles++
		case "State changed", "Created the batch":
		default:
			continue
		}
		if (entry.Name == object) != (entry.TraceID == trace) || entry.TraceID == "" {
			t.Errorf("manager %s: a log entry has the wrong trace: %s", name, line)
		}
	}
	if requests == 0 || reconciles == 0 {
		t.Errorf("manager %s logs %d requests and %d reconciliations", name, requests, reconciles)
	}
}

// TestTelemetry_ContainsNoKey uses a server that repeats the key in every field of its errors, and the
// highest level of the log that the manager accepts.
func TestTelemetry_ContainsNoKey(t *testing.T) {
	t.Parallel()
	f, otlp := env.NewFixture(t, emulator.Options{}), newReceiver(t)
	echo := framework.APIKey + " Bearer " + framework.APIKey
	body := emulator.OpenAIError(echo, echo, "the server broke: "+echo)
	fault := emulator.Fault{Operation: emulator.Retrieve, Status: 500, Body: body, Header: map[string]string{"X-Request-Id": echo, "Retry-After": echo}}
	f.Emulator.AddFault(fault)
	manager := f.StartManager(t, "manager", framework.Setup{
		Env:   []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + otlp.URL, "OTEL_BSP_SCHEDULE_DELAY=100"},
		Flags: []string{"--zap-log-level=5"},
	})
	f.Create(t, f.Batch("a", stuck("a")))
	f.WaitForReason(t, "a", v1alpha1.ReasonUpstreamUnavailable)
	framework.Eventually(t, "a span of the error", func() bool { return strings.Contains(otlp.text(), "the server broke") })
	manager.Terminate()
	if code := manager.MustExit(t); code != 0 {
		t.Fatalf("the manager ended with code %d", code)
	}
	if !strings.Contains(manager.Output(), "the server broke") {
		t.Error("the log does not contain the error")
	}
	for place, text := range map[string]string{"the log": manager.Output(), "a span": otlp.text()} {
		encoded := base64.StdEncoding.EncodeToString([]byte(framework.APIKey))
		if strings.Contains(text, framework.APIKey) || strings.Contains(text, encoded) || strings.Contains(dumped(text), framework.APIKey) {
			t.Errorf("%s contains the key", place)
		}
	}
}

// dumpedLine is a line of a hexadecimal dump, in which client-go logs the bodies of responses at higher
// levels.
var dumpedLine = regexp.MustCompile(`\|([ -~]{16})\|`)

// dumped returns the text in hexadecimal dumps.
func dumped(log string) string {
	var text strings.Builder
	for _, line := range dumpedLine.FindAllStringSubmatch(log, -1) {
		text.WriteString(line[1])
	}
	return text.String()
}

func TestTracing_OffByDefault(t *testing.T) {
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
			f, otlp := env.NewFixture(t, emulator.Options{}), newReceiver(t)
			var environment []string
			for _, variable := range test.environment {
				environment = append(environment, strings.ReplaceAll(variable, "URL", otlp.URL))
			}
			manager := f.StartManager(t, "manager", framework.Setup{Env: environment})
			f.Create(t, f.Batch("a", v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"file-a"}}))
			f.WaitForReason(t, "a", v1alpha1.ReasonCompleted)
			manager.Terminate()
			if code := manager.MustExit(t); code != 0 {
				t.Fatalf("the manager ended with code %d", code)
			}
			if got := len(otlp.received()) > 0; got != test.traced {
				t.Errorf("spans received: %t, want %t", got, test.traced)
			}
			if got := strings.Contains(manager.Output(), `"traceID"`); got != test.traced {
				t.Errorf("the log has trace IDs: %t, want %t", got, test.traced)
			}
		})
	}
}

func TestAReceiverThatIsAwayDoesNoHarm(t *testing.T) {
	t.Parallel()
	f := env.NewFixture(t, emulator.Options{})
	manager := f.StartManager(t, "manager", framework.Setup{Env: []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + freeAddress(t), "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_EXPORTER_OTLP_TIMEOUT=200",
	}})
	f.Create(t, f.Batch("a", v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{"file-a"}}))
	f.WaitForReason(t, "a", v1alpha1.ReasonCompleted)
	manager.MustOutput(t, "Traces are incomplete")
	manager.Terminate()
	if code := manager.MustExit(t); code != 0 {
		t.Errorf("the manager ended with code %d", code)
	}
}

func TestTracing_InvalidVariables(t *testing.T) {
	t.Parallel()
	f := env.NewFixture(t, emulator.Options{})
	for variable, message := range map[string]string{
		"OTEL_TRACES_EXPORTER=zipkin":           "OTEL_TRACES_EXPORTER is",
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/json": "OTEL_EXPORTER_OTLP_PROTOCOL is",
	} {
		manager := f.StartManager(t, "manager", framework.Setup{Env: []string{variable, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"}})
		if code := manager.MustExit(t); code == 0 || !strings.Contains(manager.Output(), message) {
			t.Errorf("%s: code %d: %s", variable, code, manager.Output())
		}
	}
}
