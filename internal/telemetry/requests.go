// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// Scope is the instrumentation scope of spans.
const Scope = "github.com/vector-store-operator/vector-store-operator"

// ObserveRequest is an upstream.Observer that counts requests, measures their duration, logs them with
// V(2) and records a span of each. It does not propagate the trace context to the server, which
// belongs to another organization.
func ObserveRequest(ctx context.Context, operation upstream.Operation) (context.Context, func(upstream.Outcome)) {
	started := time.Now()
	ctx, span := otel.Tracer(Scope).Start(ctx, "OpenAI "+string(operation), trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(outcome upstream.Outcome) {
		duration, code := time.Since(started), codeOf(outcome)
		OpenAIRequests.WithLabelValues(string(operation), code).Inc()
		if !outcome.Canceled {
			OpenAIRequestDuration.WithLabelValues(string(operation)).Observe(duration.Seconds())
		}
		log.FromContext(ctx).V(2).Info("Called the OpenAI API", "operation", operation, "code", code,
			"requestID", outcome.RequestID, "seconds", duration.Seconds(), "error", outcome.Error)
		endSpan(span, code, outcome)
	}
}

func endSpan(span trace.Span, code string, outcome upstream.Outcome) {
	if outcome.StatusCode != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", outcome.StatusCode))
	}
	if outcome.RequestID != "" {
		span.SetAttributes(attribute.StringSlice("http.response.header.x-request-id", []string{outcome.RequestID}))
	}
	if outcome.Error != "" {
		span.SetAttributes(attribute.String("error.type", code))
		span.SetStatus(codes.Error, outcome.Error)
	}
	span.End()
}

// codeOf returns the value of the label code. The number of values is bounded, whatever status codes
// the server sends.
func codeOf(outcome upstream.Outcome) string {
	switch {
	case outcome.Canceled:
		return "cancelled"
	case outcome.StatusCode == 0:
		return "none"
	case http.StatusText(outcome.StatusCode) == "":
		return "other"
	default:
		return strconv.Itoa(outcome.StatusCode)
	}
}
