// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package telemetry is what the operator shows of its work to those who run it: its metrics,
// and its traces. No label of a metric names an object, a store, a key or anything else of
// which there may be any number.
package telemetry

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// prefix begins the names of all metrics but those that other operators have too.
const prefix = "vectorstorefilebatch_"

// Metric is what the documentation says of a metric.
type Metric struct {
	Name string
	// Type is counter, gauge or histogram.
	Type   string
	Labels []string
	Help   string
}

// documented are all metrics of this operator, but for those of the libraries that it is made of.
var documented []Metric

// Documented are the metrics of this operator, ordered by name. Those of the libraries that it
// is made of are not among them.
func Documented() []Metric {
	all := slices.Clone(documented)
	slices.SortFunc(all, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func document(name, kind, help string, labels []string) {
	documented = append(documented, Metric{Name: name, Type: kind, Labels: labels, Help: help})
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	document(name, "counter", help, labels)
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	metrics.Registry.MustRegister(c)
	return c
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	document(name, "histogram", help, labels)
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	metrics.Registry.MustRegister(h)
	return h
}

// gauge describes a gauge whose values a collector gives when it is asked.
func gauge(name, help string, labels ...string) *prometheus.Desc {
	document(name, "gauge", help, labels)
	return prometheus.NewDesc(name, help, labels, nil)
}

// Bounds of histograms, in seconds: those of a call, those of what a person waits for, and
// those of a whole life.
var (
	callBuckets = []float64{0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}
	waitBuckets = []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}
	lifeBuckets = []float64{1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 72 * 3600}
)

// What the leader knows of all objects. A replica that waits to be the leader exposes none of
// these, so that a sum over replicas counts each object once.
var (
	// Batches counts objects.
	Batches = gauge(prefix+"batches",
		"Objects, by the upstream's status of their batch (none before there is one, other for a word that this operator does not know) and the reason of their conditions (none before the first visit).",
		"status", "reason")
	// Unchanged is the age of what has not moved for the longest time.
	Unchanged = gauge(prefix+"unchanged_seconds",
		"The longest time for which a batch that is not over has had neither a new state nor new counts of files, as far as this process has seen it. Batches that something is known to be in the way of, and those that are suspended, do not count; 0 where there is none.")
	// PollAge is the age of the oldest look.
	PollAge = gauge(prefix+"poll_age_seconds",
		"The longest time since the upstream last answered for a batch in progress, or since this process began to lead. Batches that something is known to be in the way of do not count; 0 where there is none.")
	// PendingCancel is the age of the oldest cancel that was not carried out.
	PendingCancel = gauge(prefix+"pending_cancel_seconds",
		"The longest time for which a cancel or a deletion has been asked for and not been carried out, since this process saw it; 0 where there is none.")
	// ConditionCount counts objects by their conditions.
	ConditionCount = gauge("operator_status_condition_count",
		"Conditions of objects, by type, status and reason.",
		conditionLabels...)
)

// The condition metrics have the names and, without the name and namespace of an object, the
// labels of those that operators built on awslabs/operatorpkg, such as Karpenter, publish.
var (
	conditionLabels = []string{"group", "kind", "type", "status", "reason"}
	// ConditionTransitions counts changes of conditions that this process stored.
	ConditionTransitions = counter("operator_status_condition_transitions_total",
		"Changes of a condition to another status, by type and by what it changed to.",
		conditionLabels...)
	// ConditionTransition is how long conditions stayed what they were.
	ConditionTransition = histogram("operator_status_condition_transition_seconds",
		"How long a condition had a status before it changed, by type and by the status that it had.",
		lifeBuckets, "group", "kind", "type", "status")
)

// What happens in the life of a batch.
var (
	// Begun counts batches that are followed.
	Begun = counter(prefix+"begun_total",
		"Batches that the operator began to follow, by their origin: created by it, or adopted.",
		"origin")
	// Duration is the length of a life.
	Duration = histogram(prefix+"duration_seconds",
		"The time from the creation of an object until the operator saw the end of its batch, by the reason of its conditions then.",
		lifeBuckets, "reason")
	// Files counts files of batches that are over.
	Files = counter(prefix+"files_total",
		"Files of batches that are over, by what became of them: completed, failed, cancelled, or given_up where the batch's end was not waited for.",
		"result")
	// CreateOutcomeUnknown counts batches that were created again since the answer to an earlier
	// request was lost. Where files were attached, the upstream has a batch that nobody follows.
	CreateOutcomeUnknown = counter(prefix+"create_outcome_unknown_total",
		"Batches that were created again since the answer to an earlier request was lost, by whether that request had attached files.",
		"attached")
	// FinalizersAbandoned counts objects that were let go too early.
	FinalizersAbandoned = counter(prefix+"finalizers_abandoned_total",
		"Objects that were let go although their deletionPolicy could not be carried out, by the reason of the Event that names what may be left upstream.",
		"reason")
	// CancelDuration is the time that a cancel takes.
	CancelDuration = histogram(prefix+"cancel_duration_seconds",
		"The time from when the operator saw that a cancel or a deletion was asked for until the upstream took the cancel.",
		waitBuckets)
	// PollInterval is the time between two looks.
	PollInterval = histogram(prefix+"poll_interval_seconds",
		"The time between two looks at a batch in progress: how old its status had become.",
		waitBuckets)
)

// What the operator asks of others.
var (
	// Requests counts requests to the upstream.
	Requests = counter(prefix+"upstream_requests_total",
		"Requests to the upstream, by operation and by the HTTP status of the answer: none where there was no answer, canceled where the operator broke the request off, other for a status that HTTP does not define.",
		"operation", "code")
	// RequestDuration is how long requests to the upstream take.
	RequestDuration = histogram(prefix+"upstream_request_duration_seconds",
		"How long requests to the upstream took, from connecting to the end of the answer, by operation.",
		callBuckets, "operation")
	// BudgetWait is how long calls to the upstream wait for their turn.
	BudgetWait = histogram(prefix+"budget_wait_seconds",
		"How long an object waited for its turn since the budget of its connection was used up or held, by what it then did.",
		waitBuckets, "action")
	// Writes counts requests that write to the API server.
	Writes = counter(prefix+"api_writes_total",
		"Requests to the API server that write, by resource, verb and HTTP status: none where there was no answer.",
		"resource", "verb", "code")
	// BuildInfo tells what runs.
	BuildInfo = gauge(prefix+"build_info",
		"1, with the version of the operator and of the Go that it was built with.",
		"version", "goversion")
)

// Origins of a batch.
const (
	Created = "created"
	Adopted = "adopted"
)

// What becomes of a file.
const (
	FileCompleted = "completed"
	FileFailed    = "failed"
	FileCancelled = "cancelled"
	FileGivenUp   = "given_up"
)

// Counters that begin at 0 instead of being absent: only then does a query see their first
// increase.
func init() {
	for _, origin := range []string{Created, Adopted} {
		Begun.WithLabelValues(origin)
	}
	for _, result := range []string{FileCompleted, FileFailed, FileCancelled, FileGivenUp} {
		Files.WithLabelValues(result)
	}
	for _, attached := range []string{"true", "false"} {
		CreateOutcomeUnknown.WithLabelValues(attached)
	}
	CancelDuration.WithLabelValues()
	PollInterval.WithLabelValues()
}
