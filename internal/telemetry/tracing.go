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

// serviceName is the default service name of traces. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
// override it.
const serviceName = "vector-store-operator"

// StartTracing sets up the export of traces if the standard OTEL_* environment variables enable it.
// getenv returns the value of a variable. The returned function flushes the remaining spans and stops
// the export. Errors name the variable to fix.
func StartTracing(ctx context.Context, getenv func(string) string, version string) (stop func(context.Context) error, err error) {
	enabled, err := tracingEnabled(getenv)
	if err != nil || !enabled {
		return func(context.Context) error { return nil }, err
	}
	client, err := traceClient(getenv)
	if err != nil {
		return nil, err
	}
	logger := klog.LoggerWithName(log.FromContext(ctx), "tracing")
	// The SDK reports export errors to the handler only.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Error(err, "Traces are incomplete") }))
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("creating the trace exporter (see the OTEL_EXPORTER_OTLP_* variables): %w", err)
	}
	attributes, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", serviceName), attribute.String("service.version", version)),
		resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrSchemaURLConflict) {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// The SDK reads the sampler, the limits and the batch size from the environment.
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(attributes), sdktrace.WithIDGenerator(idGenerator{}))
	otel.SetTracerProvider(provider)
	return provider.Shutdown, nil
}

// tracingEnabled reports whether the environment enables the export of traces.
func tracingEnabled(getenv func(string) string) (bool, error) {
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

// TraceID returns the ID of the trace that contains all reconciliations of an object, including those
// of other processes. It is a hash, because samplers expect random trace IDs, and not all bits of a
// UID are random.
func TraceID(uid types.UID) trace.TraceID {
	sum := sha256.Sum256([]byte(uid))
	return trace.TraceID(sum[:16])
}

type traceIDKey struct{}

// ContextWithTrace returns a context in which root spans belong to the trace of the object with the
// given UID.
func ContextWithTrace(ctx context.Context, uid types.UID) context.Context {
	return context.WithValue(ctx, traceIDKey{}, TraceID(uid))
}

// idGenerator is an sdktrace.IDGenerator that uses the trace ID in the context, if there is one.
type idGenerator struct{}

// NewIDs implements sdktrace.IDGenerator.
func (idGenerator) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	id, ok := ctx.Value(traceIDKey{}).(trace.TraceID)
	if !ok {
		_, _ = rand.Read(id[:]) // it never fails
	}
	return id, randomSpanID()
}

// NewSpanID implements sdktrace.IDGenerator.
func (idGenerator) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return randomSpanID() }

func randomSpanID() (id trace.SpanID) {
	_, _ = rand.Read(id[:]) // it never fails
	return id
}
