// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// stateCollector exposes metrics of all objects. Each event of the watch updates it at a constant
// cost; the cost of a scrape grows with the number of active batches.
type stateCollector struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	batches map[batchLabels]int
	// namespaces is nil unless objects are counted by namespace, too.
	namespaces map[namespaceLabels]int
	conditions map[conditionLabels]int
	active     map[types.UID]*activeBatch
	// leadingSince is zero until this process leads.
	leadingSince time.Time
}

type batchLabels struct{ status, reason string }

type namespaceLabels struct{ namespace, reason string }

type conditionLabels struct {
	conditionType string
	status        metav1.ConditionStatus
	reason        string
}

// activeBatch is a batch that is not finished, and whose ages are exposed.
type activeBatch struct {
	// polled is true if the batch is polled regularly.
	polled bool
	// progressing is true if no known error keeps the batch from making progress.
	progressing bool
	// changedAt is when the state or the counts of files changed last.
	changedAt time.Time
	// polledAt is when the API last answered for the batch.
	polledAt time.Time
	// cancelWantedAt is zero if no cancel is pending.
	cancelWantedAt time.Time
	// gone is true if nothing is left to be cancelled, which the status does not show.
	gone bool
}

// newStateCollector returns a collector, which counts objects by namespace, too, if byNamespace is true.
func newStateCollector(c clock.PassiveClock, byNamespace bool) *stateCollector {
	collector := &stateCollector{
		clock:      c,
		batches:    make(map[batchLabels]int),
		conditions: make(map[conditionLabels]int),
		active:     make(map[types.UID]*activeBatch),
	}
	if byNamespace {
		collector.namespaces = make(map[namespaceLabels]int)
	}
	return collector
}

// register exposes the metrics while the manager leads.
func (c *stateCollector) register(mgr ctrl.Manager) error {
	if err := metrics.Registry.Register(c); err != nil {
		return fmt.Errorf("registering the metrics of objects: %w", err)
	}
	err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		c.lead()
		<-ctx.Done()
		return nil
	}))
	if err != nil {
		return fmt.Errorf("adding the metrics of objects: %w", err)
	}
	return nil
}

func (c *stateCollector) lead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leadingSince = c.clock.Now()
}

// ObserveUpdate records an event of the watch. before is nil for a new object, and after for one that
// is gone.
func (c *stateCollector) ObserveUpdate(before, after *v1alpha1.VectorStoreFileBatch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(before, -1)
	c.count(after, +1)
	if before != nil && (after == nil || after.UID != before.UID) {
		delete(c.active, before.UID)
	}
	if after == nil || batch.Finished(after) {
		if after != nil {
			delete(c.active, after.UID)
		}
		return
	}
	now := c.clock.Now()
	active := c.active[after.UID]
	if active == nil {
		active = &activeBatch{changedAt: now, polledAt: now}
		c.active[after.UID] = active
	}
	if before == nil || changed(before.Status, after.Status) {
		active.changedAt = now
	}
	reason := batch.Reason(after.Status)
	active.polled, active.progressing = lifecycle.Polled(reason), lifecycle.Progressing(reason)
	switch {
	case !batch.Urgent(after) || active.gone:
		active.cancelWantedAt = time.Time{}
	case active.cancelWantedAt.IsZero():
		active.cancelWantedAt = now
	}
}

// changed reports whether the batch made progress between two statuses.
func changed(before, after v1alpha1.VectorStoreFileBatchStatus) bool {
	return batch.Reason(before) != batch.Reason(after) || before.Status != after.Status ||
		before.DetachedFileCount != after.DetachedFileCount || !equality.Semantic.DeepEqual(before.FileCounts, after.FileCounts)
}

// count adds an object to the counts, or removes it.
func (c *stateCollector) count(b *v1alpha1.VectorStoreFileBatch, by int) {
	if b == nil {
		return
	}
	increment(c.batches, batchLabels{statusLabel(b.Status.Status), reasonLabel(batch.Reason(b.Status))}, by)
	if c.namespaces != nil {
		increment(c.namespaces, namespaceLabels{b.Namespace, reasonLabel(batch.Reason(b.Status))}, by)
	}
	for _, condition := range b.Status.Conditions {
		increment(c.conditions, conditionLabels{condition.Type, condition.Status, condition.Reason}, by)
	}
}

func increment[K comparable](counts map[K]int, key K, by int) {
	counts[key] += by
	if counts[key] == 0 {
		delete(counts, key)
	}
}

// statusLabel returns a status of the API as a label. The API can return any word.
func statusLabel(status string) string {
	switch upstream.Status(status) {
	case "":
		return "none"
	case upstream.InProgress, upstream.Completed, upstream.Failed, upstream.Cancelled:
		return status
	default:
		return "other"
	}
}

func reasonLabel(reason string) string {
	if reason == "" {
		return "none"
	}
	return reason
}

// observeCall records a successful action of an object.
func (c *stateCollector) observeCall(uid types.UID, action lifecycle.Action) {
	c.mu.Lock()
	defer c.mu.Unlock()
	active := c.active[uid]
	if active == nil {
		return
	}
	now := c.clock.Now()
	if action == lifecycle.ReadStore || action == lifecycle.Detach { // the batch was cancelled, or is gone
		active.gone, active.cancelWantedAt = true, time.Time{}
	}
	if action == lifecycle.Cancel && !active.cancelWantedAt.IsZero() {
		telemetry.CancelDuration.WithLabelValues().Observe(now.Sub(active.cancelWantedAt).Seconds())
	}
	if action == lifecycle.Poll {
		telemetry.PollInterval.WithLabelValues().Observe(max(0, now.Sub(c.whileLeading(active.polledAt))).Seconds())
	}
	if action == lifecycle.Create || action == lifecycle.Poll || action == lifecycle.Cancel {
		active.polledAt = now
	}
}

// observeHold records that a poll of an object waits because the API asked to wait: until then it is not
// late.
func (c *stateCollector) observeHold(uid types.UID, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if active := c.active[uid]; active != nil && until.After(active.polledAt) {
		active.polledAt = until
	}
}

// whileLeading returns a time, or when this process began to lead if that is later.
func (c *stateCollector) whileLeading(at time.Time) time.Time {
	if at.Before(c.leadingSince) {
		return c.leadingSince
	}
	return at
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- telemetry.Batches
	descs <- telemetry.NamespaceBatches
	descs <- telemetry.ConditionCount
	descs <- telemetry.OldestProgressAge
	descs <- telemetry.PollAge
	descs <- telemetry.PendingCancel
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(values chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leadingSince.IsZero() {
		return
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		values <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for labels, count := range c.batches {
		gauge(telemetry.Batches, float64(count), labels.status, labels.reason)
	}
	for labels, count := range c.namespaces {
		gauge(telemetry.NamespaceBatches, float64(count), labels.namespace, labels.reason)
	}
	for labels, count := range c.conditions {
		gauge(telemetry.ConditionCount, float64(count), v1alpha1.GroupVersion.Group, v1alpha1.Kind, labels.conditionType, string(labels.status), labels.reason)
	}
	progressAge, pollAge, pendingCancel := c.ages()
	gauge(telemetry.OldestProgressAge, progressAge.Seconds())
	gauge(telemetry.PollAge, pollAge.Seconds())
	gauge(telemetry.PendingCancel, pendingCancel.Seconds())
}

// ages returns the greatest ages of all active batches.
func (c *stateCollector) ages() (progressAge, pollAge, pendingCancel time.Duration) {
	now := c.clock.Now()
	for _, active := range c.active {
		if active.progressing {
			progressAge = max(progressAge, now.Sub(active.changedAt))
		}
		if active.polled {
			pollAge = max(pollAge, now.Sub(c.whileLeading(active.polledAt)))
		}
		if !active.cancelWantedAt.IsZero() {
			pendingCancel = max(pendingCancel, now.Sub(active.cancelWantedAt))
		}
	}
	return progressAge, pollAge, pendingCancel
}
