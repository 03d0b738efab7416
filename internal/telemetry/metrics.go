// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package telemetry defines the metrics of the operator and sets up its traces. No label of a metric
// has an unbounded number of values, such as the names of objects, vector stores or keys.
package telemetry

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// prefix is the prefix of all metrics, except those that other operators define too.
const prefix = "vector_store_operator_"

// Metric documents a metric.
type Metric struct {
	Name string
	// Type is counter, gauge or histogram.
	Type   string
	Labels []string
	Help   string
}

// documented are the metrics that this package defines.
var documented []Metric

// Documented returns the metrics that this package defines, sorted by name. Those of
// controller-runtime and other libraries are not included.
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

// gauge returns the description of a gauge. A collector provides its values.
func gauge(name, help string, labels ...string) *prometheus.Desc {
	document(name, "gauge", help, labels)
	return prometheus.NewDesc(name, help, labels, nil)
}

// Upper bounds of histogram buckets, in seconds: for requests, for delays that users notice, and for
// the lifetime of a batch.
var (
	requestBuckets  = []float64{0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}
	delayBuckets    = []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}
	lifetimeBuckets = []float64{1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 72 * 3600}
)

// Gauges over all objects. Only the leader exposes them, so that a sum over replicas counts each
// object once.
var (
	// Batches is the number of objects.
	Batches = gauge(prefix+"batches",
		"Number of VectorStoreFileBatches, by the status of the batch (none if it is not created yet, other for an unknown status) and the reason of the conditions (none before the first reconciliation).",
		"status", "reason")
	// NamespaceBatches is the number of objects by namespace. It is optional, because a cluster can have
	// thousands of namespaces.
	NamespaceBatches = gauge(prefix+"namespace_batches",
		"Number of VectorStoreFileBatches, by the namespace of the objects and the reason of the conditions. Only with --metrics-namespace-label.",
		"object_namespace", "reason")
	// OldestProgressAge is the time since the last progress of the batch that has made none for the
	// longest time.
	OldestProgressAge = gauge(prefix+"oldest_progress_age_seconds",
		"Seconds since the least recently progressing running batch changed its status or file counts, as observed by this process. 0 if there is none. Batches that are suspended, or blocked by a known error, are not included.")
	// PollAge is the time since the oldest poll.
	PollAge = gauge(prefix+"poll_age_seconds",
		"Seconds since the least recently polled running batch was polled successfully, or since this process became the leader. 0 if there is none. Batches that are blocked by a known error are not included.")
	// PendingCancel is the age of the oldest cancellation that the API has not accepted.
	PendingCancel = gauge(prefix+"pending_cancel_seconds",
		"Seconds since the oldest cancellation was requested, by the spec or a deletion, that the API has not accepted, as observed by this process. 0 if there is none.")
	// ConditionCount is the number of conditions of objects.
	ConditionCount = gauge("operator_status_condition_count",
		"Number of conditions of objects, by type, status and reason.",
		conditionLabels...)
)

// The condition metrics have the names and labels of those that operators based on
// awslabs/operatorpkg expose, such as Karpenter, without the labels for the name and namespace of an
// object.
var (
	conditionLabels = []string{"group", "kind", "type", "status", "reason"}
	// ConditionTransitions counts the transitions of conditions that this process persisted.
	ConditionTransitions = counter("operator_status_condition_transitions_total",
		"Number of condition transitions, by type, new status and new reason.",
		conditionLabels...)
	// ConditionTransitionDuration is the time that a condition had a status.
	ConditionTransitionDuration = histogram("operator_status_condition_transition_seconds",
		"Seconds that a condition had a status before its transition to another one, by type and previous status.",
		lifetimeBuckets, "group", "kind", "type", "status")
)

// Metrics of the lifecycle of batches.
var (
	// BatchesStarted counts the batches that the operator started to track.
	BatchesStarted = counter(prefix+"batches_started_total",
		"Number of batches that the operator started to track, by origin: created or adopted.",
		"origin")
	// BatchDuration is the time from the creation of an object to the end of its batch.
	BatchDuration = histogram(prefix+"batch_duration_seconds",
		"Seconds from the creation of an object until the operator observed the end of its batch, by the final reason of its conditions.",
		lifetimeBuckets, "reason")
	// Files counts the files of finished batches.
	Files = counter(prefix+"files_total",
		"Number of files in finished batches, by result: completed, failed, cancelled, or given_up if the operator did not wait for the end of the batch.",
		"result")
	// CreateOutcomeUnknown counts the batches that were created again. If the earlier request added
	// files, its batch is untracked.
	CreateOutcomeUnknown = counter(prefix+"create_outcome_unknown_total",
		"Number of batches that were created again because the response to the create request was lost, by whether that request had added files.",
		"attached")
	// FinalizersAbandoned counts the finalizers that were removed before the deletionPolicy was
	// carried out.
	FinalizersAbandoned = counter(prefix+"finalizers_abandoned_total",
		"Number of finalizers that were removed although the deletionPolicy could not be carried out, by the reason of the Event that names the possible leftovers.",
		"reason")
	// CancelDuration is the time that a cancellation takes.
	CancelDuration = histogram(prefix+"cancel_duration_seconds",
		"Seconds from when the operator observed the request for a cancellation or deletion until the API accepted the cancellation.",
		delayBuckets)
	// PollInterval is the time between two polls.
	PollInterval = histogram(prefix+"poll_interval_seconds",
		"Seconds between two polls of a batch in progress.",
		delayBuckets)
)

// Metrics of requests, and of the process.
var (
	// OpenAIRequests counts the requests to the OpenAI API.
	OpenAIRequests = counter(prefix+"openai_requests_total",
		"Number of requests to the OpenAI API, by operation and HTTP status code: none if there was no response, cancelled if the operator cancelled the request, other for an undefined status code.",
		"operation", "code")
	// OpenAIRequestDuration is the duration of requests to the OpenAI API.
	OpenAIRequestDuration = histogram(prefix+"openai_request_duration_seconds",
		"Duration of requests to the OpenAI API in seconds, including the connection setup and the response body, by operation.",
		requestBuckets, "operation")
	// RateLimitWait is the time that actions waited for the rate limits.
	RateLimitWait = histogram(prefix+"rate_limit_wait_seconds",
		"Seconds that an action waited because a rate limit was reached or the credentials were backed off, by action.",
		delayBuckets, "action")
	// KubernetesWrites counts the write requests to the Kubernetes API.
	KubernetesWrites = counter(prefix+"kubernetes_writes_total",
		"Number of write requests to the Kubernetes API, by resource, verb and HTTP status code: none if there was no response.",
		"resource", "verb", "code")
	// BuildInfo is the version of the operator.
	BuildInfo = gauge(prefix+"build_info",
		"1, with the version of the operator and the Go version as labels.",
		"version", "goversion")
)

// Values of the label origin.
const (
	Created = "created"
	Adopted = "adopted"
)

// Values of the label result.
const (
	FileCompleted = "completed"
	FileFailed    = "failed"
	FileCancelled = "cancelled"
	FileGivenUp   = "given_up"
)

// init exports the counters with the value 0, so that rate() and increase() include their first
// increment.
func init() {
	for _, origin := range []string{Created, Adopted} {
		BatchesStarted.WithLabelValues(origin)
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
