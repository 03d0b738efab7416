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

func TestCodesAreBounded(t *testing.T) {
	for want, outcome := range map[string]upstream.Outcome{
		"200":      {StatusCode: 200},
		"429":      {StatusCode: 429, Error: "slow down"},
		"other":    {StatusCode: 799},
		"none":     {Error: "the connection broke"},
		"canceled": {Canceled: true},
	} {
		if got := codeOf(outcome); got != want {
			t.Errorf("%+v has the code %s, want %s", outcome, got, want)
		}
	}
}

func TestMetricsHaveNoNamesInTheirLabels(t *testing.T) {
	if len(Documented()) < 10 {
		t.Fatalf("there are only %d metrics", len(Documented()))
	}
	for _, metric := range Documented() {
		if !strings.HasSuffix(metric.Help, ".") {
			t.Errorf("%s is described as %q, want a sentence", metric.Name, metric.Help)
		}
		for _, label := range metric.Labels {
			switch label {
			case "name", "namespace", "uid", "batch", "store", "secret", "endpoint":
				t.Errorf("%s has the label %s, of which there may be any number of values", metric.Name, label)
			}
		}
	}
}

func TestWritesAreCountedByResource(t *testing.T) {
	Writes.Reset()
	conflict := http.StatusConflict
	answers := CountWrites(roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Query().Has("away") {
			return nil, errors.New("the API server is away")
		}
		return &http.Response{StatusCode: conflict, Body: http.NoBody}, nil
	}))
	const object = "https://server/apis/vector-store-operator.dev/v1alpha1/namespaces/n/vectorstorefilebatches/b"
	for _, call := range [][2]string{
		{http.MethodPatch, object}, {http.MethodPatch, object + "/status"}, {http.MethodDelete, object + "?away"},
		{http.MethodGet, object}, {http.MethodPost, "https://server/apis/authentication.k8s.io/v1/tokenreviews"}, {http.MethodPost, "https://server/else"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), call[0], call[1], nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := answers.RoundTrip(request)
		if err == nil {
			response.Body.Close()
		}
	}
	for _, labels := range [][]string{
		{"vectorstorefilebatches", "patch", "409"}, {"vectorstorefilebatches/status", "patch", "409"}, {"vectorstorefilebatches", "delete", "none"},
		{"tokenreviews", "create", "409"}, {"other", "other", "409"},
	} {
		if got := testutil.ToFloat64(Writes.WithLabelValues(labels...)); got != 1 {
			t.Errorf("%v was counted %v times, want once", labels, got)
		}
	}
	if series := testutil.CollectAndCount(Writes); series != 5 {
		t.Errorf("there are %d series, want 5: reads do not count", series)
	}
}

// TestAShareOfLivesIsTraced would fail if the trace ID were the UID.
func TestAShareOfLivesIsTraced(t *testing.T) {
	sampler := sdktrace.TraceIDRatioBased(0.25)
	const lives = 4000
	sampled := 0
	for range lives {
		uid := uuid.NewUUID()
		first := sampler.ShouldSample(sdktrace.SamplingParameters{TraceID: TraceID(uid)}).Decision
		if again := sampler.ShouldSample(sdktrace.SamplingParameters{TraceID: TraceID(uid)}).Decision; again != first {
			t.Fatal("a life is sampled in part")
		}
		if first == sdktrace.RecordAndSample {
			sampled++
		}
	}
	if sampled < lives/5 || sampled > lives*3/10 {
		t.Errorf("%d of %d lives are traced, want about a quarter", sampled, lives)
	}
}

func TestSpansOutsideALifeHaveTracesOfTheirOwn(t *testing.T) {
	one, _ := lifeIDs{}.NewIDs(context.Background())
	two, _ := lifeIDs{}.NewIDs(context.Background())
	if one == two || !one.IsValid() {
		t.Errorf("two spans have the traces %s and %s", one, two)
	}
	life, span := lifeIDs{}.NewIDs(InLifeOf(context.Background(), "u"))
	again, other := lifeIDs{}.NewIDs(InLifeOf(context.Background(), "u"))
	if life != again || span == other || life != TraceID("u") {
		t.Errorf("the spans of a life have the traces %s and %s, and the IDs %s and %s", life, again, span, other)
	}
}
