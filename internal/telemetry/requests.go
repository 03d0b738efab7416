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

// Scope names the origin of spans.
const Scope = "github.com/vector-store-operator/vector-store-operator"

// Request is an upstream.Observer that counts requests, measures them, logs them with V(2) and
// makes a span of each. No trace context is sent along: the upstream is somebody else's.
func Request(ctx context.Context, operation upstream.Operation) (context.Context, func(upstream.Outcome)) {
	started := time.Now()
	ctx, span := otel.Tracer(Scope).Start(ctx, "upstream "+string(operation), trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(outcome upstream.Outcome) {
		took, code := time.Since(started), codeOf(outcome)
		Requests.WithLabelValues(string(operation), code).Inc()
		if !outcome.Canceled {
			RequestDuration.WithLabelValues(string(operation)).Observe(took.Seconds())
		}
		log.FromContext(ctx).V(2).Info("Asked the upstream", "operation", operation, "code", code,
			"requestID", outcome.RequestID, "seconds", took.Seconds(), "error", outcome.Error)
		endRequest(span, code, outcome)
	}
}

func endRequest(span trace.Span, code string, outcome upstream.Outcome) {
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

// codeOf is a label. Its values are bounded, whatever the upstream makes up.
func codeOf(outcome upstream.Outcome) string {
	switch {
	case outcome.Canceled:
		return "canceled"
	case outcome.StatusCode == 0:
		return "none"
	case http.StatusText(outcome.StatusCode) == "":
		return "other"
	default:
		return strconv.Itoa(outcome.StatusCode)
	}
}
