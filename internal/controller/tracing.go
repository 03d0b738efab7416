// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
)

// traced adds a span for each reconciliation, in the trace of its object, and a log line at V(3).
type traced struct {
	next reconcile.ObjectReconciler[*v1alpha1.VectorStoreFileBatch]
}

// Reconcile implements reconcile.ObjectReconciler.
func (t traced) Reconcile(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) (ctrl.Result, error) {
	ctx, span := otel.Tracer(telemetry.Scope).Start(telemetry.ContextWithTrace(ctx, b.UID), "Reconcile", trace.WithNewRoot(), trace.WithAttributes(
		attribute.String("k8s.namespace.name", b.Namespace),
		attribute.String("vectorstorefilebatch.name", b.Name),
		attribute.String("vectorstorefilebatch.uid", string(b.UID)),
		attribute.Int64("vectorstorefilebatch.generation", b.Generation),
		attribute.String("reconcile.id", string(controller.ReconcileIDFromContext(ctx))),
	))
	defer span.End()
	if span.IsRecording() {
		ctx = log.IntoContext(ctx, klog.LoggerWithValues(log.FromContext(ctx), "traceID", span.SpanContext().TraceID().String()))
	}
	result, err := t.next.Reconcile(ctx, b)
	reason := batch.Reason(b.Status)
	span.SetAttributes(
		attribute.String("vectorstorefilebatch.batch_id", batch.ID(b)),
		attribute.String("vectorstorefilebatch.reason", reason),
		attribute.Float64("vectorstorefilebatch.requeue_after_seconds", result.RequeueAfter.Seconds()),
	)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	log.FromContext(ctx).V(3).Info("Reconciled", "reason", reason, "batchID", batch.ID(b), "requeueAfterSeconds", result.RequeueAfter.Seconds())
	return result, err
}
