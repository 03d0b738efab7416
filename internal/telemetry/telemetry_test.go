// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func TestCodeOf(t *testing.T) {
	for want, outcome := range map[string]upstream.Outcome{
		"200":       {StatusCode: 200},
		"429":       {StatusCode: 429, Error: "slow down"},
		"other":     {StatusCode: 799},
		"none":      {Error: "the connection was lost"},
		"cancelled": {Canceled: true},
	} {
		if got := codeOf(outcome); got != want {
			t.Errorf("codeOf(%+v) = %s, want %s", outcome, got, want)
		}
	}
}

func TestDocumented_LabelsAreBounded(t *testing.T) {
	if len(Documented()) < 10 {
		t.Fatalf("there are only %d metrics", len(Documented()))
	}
	for _, metric := range Documented() {
		if !strings.HasSuffix(metric.Help, ".") {
			t.Errorf("%s has the help %q, want a sentence", metric.Name, metric.Help)
		}
		for _, label := range metric.Labels {
			switch label {
			case "name", "namespace", "uid", "batch", "store", "secret", "endpoint":
				t.Errorf("%s has the label %s, whose values are unbounded", metric.Name, label)
			}
		}
	}
}

func TestCountWrites(t *testing.T) {
	KubernetesWrites.Reset()
	conflict := http.StatusConflict
	transport := CountWrites(roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Has("unreachable") {
			return nil, errors.New("the API server is unreachable")
		}
		return &http.Response{StatusCode: conflict, Body: http.NoBody}, nil
	}))
	const object = "https://server/apis/vector-store-operator.dev/v1alpha1/namespaces/n/vectorstorefilebatches/b"
	for _, call := range [][2]string{
		{http.MethodPatch, object}, {http.MethodPatch, object + "/status"}, {http.MethodDelete, object + "?unreachable"},
		{http.MethodGet, object}, {http.MethodPost, "https://server/apis/authentication.k8s.io/v1/tokenreviews"}, {http.MethodPost, "https://server/else"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), call[0], call[1], nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err == nil {
			response.Body.Close()
		}
	}
	for _, labels := range [][]string{
		{"vectorstorefilebatches", "patch", "409"}, {"vectorstorefilebatches/status", "patch", "409"}, {"vectorstorefilebatches", "delete", "none"},
		{"tokenreviews", "create", "409"}, {"other", "other", "409"},
	} {
		if got := testutil.ToFloat64(KubernetesWrites.WithLabelValues(labels...)); got != 1 {
			t.Errorf("%v was counted %v times, want once", labels, got)
		}
	}
	if series := testutil.CollectAndCount(KubernetesWrites); series != 5 {
		t.Errorf("%d series, want 5: reads are not counted", series)
	}
}

// TestTraceID_IsSampledByRatio fails if the trace ID is the UID, not all of whose bits are random.
func TestTraceID_IsSampledByRatio(t *testing.T) {
	sampler := sdktrace.TraceIDRatioBased(0.25)
	const objects = 4000
	sampled := 0
	for range objects {
		uid := uuid.NewUUID()
		first := sampler.ShouldSample(sdktrace.SamplingParameters{TraceID: TraceID(uid)}).Decision
		if again := sampler.ShouldSample(sdktrace.SamplingParameters{TraceID: TraceID(uid)}).Decision; again != first {
			t.Fatal("the decision of the sampler is not deterministic")
		}
		if first == sdktrace.RecordAndSample {
			sampled++
		}
	}
	if sampled < objects/5 || sampled > objects*3/10 {
		t.Errorf("%d of %d objects are sampled, want about a quarter", sampled, objects)
	}
}

func TestIDGenerator(t *testing.T) {
	one, _ := idGenerator{}.NewIDs(context.Background())
	two, _ := idGenerator{}.NewIDs(context.Background())
	if one == two || !one.IsValid() {
		t.Errorf("two spans without an object have the traces %s and %s, want different ones", one, two)
	}
	first, span := idGenerator{}.NewIDs(ContextWithTrace(context.Background(), "u"))
	again, other := idGenerator{}.NewIDs(ContextWithTrace(context.Background(), "u"))
	if first != again || span == other || first != TraceID("u") {
		t.Errorf("the spans of an object have the traces %s and %s, and the IDs %s and %s", first, again, span, other)
	}
}
