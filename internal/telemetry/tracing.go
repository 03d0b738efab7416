// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// serviceName is what traces call the operator, unless OTEL_SERVICE_NAME or
// OTEL_RESOURCE_ATTRIBUTES has another name.
const serviceName = "vector-store-operator"

// StartTracing begins to send traces, if the environment asks for it by the standard OTEL_*
// variables, of which getenv reads one. The function that it gives sends what is left and ends
// it. Errors name the variable that has to change.
func StartTracing(ctx context.Context, getenv func(string) string, version string) (stop func(context.Context) error, err error) {
	wanted, err := tracingWanted(getenv)
	if err != nil || !wanted {
		return func(context.Context) error { return nil }, err
	}
	client, err := traceClient(getenv)
	if err != nil {
		return nil, err
	}
	logger := klog.LoggerWithName(log.FromContext(ctx), "tracing")
	// What the SDK cannot do, it says to the handler and goes on without.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Error(err, "Traces are not complete") }))
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("connecting to the receiver of traces, which the OTEL_EXPORTER_OTLP_* variables name: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", serviceName), attribute.String("service.version", version)),
		resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrSchemaURLConflict) {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// The sampler, the limits and the size of a portion come from the environment, too.
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about), sdktrace.WithIDGenerator(lifeIDs{}))
	otel.SetTracerProvider(provider)
	return provider.Shutdown, nil
}

// tracingWanted reports whether the environment names a receiver of traces.
func tracingWanted(getenv func(string) string) (bool, error) {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	switch exporter := getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "otlp":
		return true, nil
	case "none":
		return false, nil
	case "":
		return getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "", nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: it must be otlp or none", exporter)
	}
}

func traceClient(getenv func(string) string) (otlptrace.Client, error) {
	protocol := cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf")
	switch protocol {
	case "http/protobuf":
		return otlptracehttp.NewClient(), nil
	case "grpc":
		return otlptracegrpc.NewClient(), nil
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: it must be http/protobuf or grpc", protocol)
	}
}

// TraceID is the ID of the one trace that all passes over an object belong to, also those of
// other processes. It is a hash, as samplers take a trace ID for random, which a UID is not in
// all of its bits.
func TraceID(uid types.UID) trace.TraceID {
	sum := sha256.Sum256([]byte(uid))
	return trace.TraceID(sum[:16])
}

type lifeKey struct{}

// InLifeOf makes spans that begin a trace belong to the trace of an object.
func InLifeOf(ctx context.Context, uid types.UID) context.Context {
	return context.WithValue(ctx, lifeKey{}, TraceID(uid))
}

// lifeIDs gives the spans of an object's life the same trace ID.
type lifeIDs struct{}

// NewIDs implements sdktrace.IDGenerator.
func (lifeIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id, known := ctx.Value(lifeKey{}).(trace.TraceID)
	if !known {
		_, _ = rand.Read(id[:]) // it never fails
	}
	return id, spanID()
}

// NewSpanID implements sdktrace.IDGenerator.
func (lifeIDs) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return spanID() }

func spanID() (id trace.SpanID) {
	_, _ = rand.Read(id[:]) // it never fails
	return id
}
