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
	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// census counts the objects that there are. It is kept up to date with each event of the watch,
// at a constant cost; a scrape costs as much as there are batches that go on.
type census struct {
	clock clock.PassiveClock

	mu         sync.Mutex
	batches    map[batchLabels]int
	conditions map[conditionLabels]int
	going      map[types.UID]*going
	// leadsSince is zero until this process leads.
	leadsSince time.Time
}

type batchLabels struct{ status, reason string }

type conditionLabels struct {
	kind   string
	status metav1.ConditionStatus
	reason string
}

// going is a batch that is not over, and whose ages are of interest.
type going struct {
	// followed tells that the upstream works on the batch, as far as is known.
	followed bool
	// moves tells that nothing is in the way of the batch, so that it has no reason to stay as it is.
	moves bool
	// changedAt is when the state or the counts of files changed last.
	changedAt time.Time
	// lookedAt is when the upstream last answered for the batch.
	lookedAt time.Time
	// cancelWantedAt is zero where no cancel is waited for.
	cancelWantedAt time.Time
}

func newCensus(c clock.PassiveClock) *census {
	return &census{
		clock:      c,
		batches:    make(map[batchLabels]int),
		conditions: make(map[conditionLabels]int),
		going:      make(map[types.UID]*going),
	}
}

// setUp exposes the census while the manager leads.
func (c *census) setUp(mgr ctrl.Manager) error {
	if err := metrics.Registry.Register(c); err != nil {
		return fmt.Errorf("registering the metrics of objects: %w", err)
	}
	err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		c.lead()
		<-ctx.Done()
		return nil
	}))
	if err != nil {
		return fmt.Errorf("adding the census: %w", err)
	}
	return nil
}

func (c *census) lead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leadsSince = c.clock.Now()
}

// saw takes in an event of the watch: before is nil for an object that is new, and after for one
// that is gone.
func (c *census) saw(before, after *v1alpha1.VectorStoreFileBatch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(before, -1)
	c.count(after, +1)
	if after == nil || batch.Finished(after) {
		if before != nil {
			delete(c.going, before.UID)
		}
		return
	}
	now := c.clock.Now()
	g := c.going[after.UID]
	if g == nil {
		g = &going{changedAt: now, lookedAt: now}
		c.going[after.UID] = g
	}
	reason := reasonOf(after.Status)
	if before == nil || moved(before.Status, after.Status) {
		g.changedAt = now
	}
	g.followed, g.moves = followed(reason), moves(reason)
	switch {
	case !cancelPending(after):
		g.cancelWantedAt = time.Time{}
	case g.cancelWantedAt.IsZero():
		g.cancelWantedAt = now
	}
}

func moved(before, after v1alpha1.VectorStoreFileBatchStatus) bool {
	return reasonOf(before) != reasonOf(after) || before.Status != after.Status ||
		before.DetachedFiles != after.DetachedFiles || !equality.Semantic.DeepEqual(before.FileCounts, after.FileCounts)
}

// followed reports whether the state is one in which the batch is looked at regularly.
func followed(reason string) bool {
	return reason == v1alpha1.ReasonInProgress || reason == v1alpha1.ReasonCancelling
}

// moves reports whether the state is one that an object should leave by itself.
func moves(reason string) bool {
	switch reason {
	case "", v1alpha1.ReasonCreating, v1alpha1.ReasonCreateOutcomeUnknown, v1alpha1.ReasonDeleting:
		return true
	default:
		return followed(reason)
	}
}

// cancelPending reports whether a cancel has been asked for, by the spec or by deleting the
// object, that the upstream has not taken.
func cancelPending(b *v1alpha1.VectorStoreFileBatch) bool {
	letGo := !b.DeletionTimestamp.IsZero() && !batch.Held(b)
	return batch.Urgent(b) && b.Status.CancelRequestedAt == nil && !letGo
}

// count adds an object to the counts, or takes it out.
func (c *census) count(b *v1alpha1.VectorStoreFileBatch, by int) {
	if b == nil {
		return
	}
	add(c.batches, batchLabels{statusLabel(b.Status.Status), reasonLabel(reasonOf(b.Status))}, by)
	for _, condition := range b.Status.Conditions {
		add(c.conditions, conditionLabels{condition.Type, condition.Status, condition.Reason}, by)
	}
}

func add[K comparable](counts map[K]int, key K, by int) {
	counts[key] += by
	if counts[key] == 0 {
		delete(counts, key)
	}
}

// statusLabel bounds the upstream's word, of which there may be any.
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

// answered takes in that the upstream answered a call for an object.
func (c *census) answered(uid types.UID, action batch.Action) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.going[uid]
	if g == nil {
		return
	}
	now := c.clock.Now()
	if action == batch.Cancel && !g.cancelWantedAt.IsZero() {
		telemetry.CancelDuration.WithLabelValues().Observe(now.Sub(g.cancelWantedAt).Seconds())
	}
	if action == batch.Retrieve {
		telemetry.PollInterval.WithLabelValues().Observe(now.Sub(c.since(g.lookedAt)).Seconds())
	}
	if action == batch.Create || action == batch.Retrieve || action == batch.Cancel {
		g.lookedAt = now
	}
}

// since is a time, or when this process began to lead: what came before was not its business.
func (c *census) since(at time.Time) time.Time {
	if at.Before(c.leadsSince) {
		return c.leadsSince
	}
	return at
}

// Describe implements prometheus.Collector.
func (c *census) Describe(descs chan<- *prometheus.Desc) {
	descs <- telemetry.Batches
	descs <- telemetry.ConditionCount
	descs <- telemetry.OldestProgressAge
	descs <- telemetry.PollAge
	descs <- telemetry.PendingCancel
}

// Collect implements prometheus.Collector.
func (c *census) Collect(values chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leadsSince.IsZero() {
		return
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		values <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for labels, count := range c.batches {
		gauge(telemetry.Batches, float64(count), labels.status, labels.reason)
	}
	for labels, count := range c.conditions {
		gauge(telemetry.ConditionCount, float64(count), v1alpha1.GroupVersion.Group, kind, labels.kind, string(labels.status), labels.reason)
	}
	unchanged, pollAge, pendingCancel := c.ages()
	gauge(telemetry.OldestProgressAge, unchanged.Seconds())
	gauge(telemetry.PollAge, pollAge.Seconds())
	gauge(telemetry.PendingCancel, pendingCancel.Seconds())
}

// ages are the greatest ages of all batches that go on.
func (c *census) ages() (unchanged, pollAge, pendingCancel time.Duration) {
	now := c.clock.Now()
	for _, g := range c.going {
		if g.moves {
			unchanged = max(unchanged, now.Sub(g.changedAt))
		}
		if g.followed {
			pollAge = max(pollAge, now.Sub(c.since(g.lookedAt)))
		}
		if !g.cancelWantedAt.IsZero() {
			pendingCancel = max(pendingCancel, now.Sub(g.cancelWantedAt))
		}
	}
	return unchanged, pollAge, pendingCancel
}
