// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command metricsdocs prints docs/metrics.md, from the metrics that the operator registers.
package main

import (
	"fmt"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
)

func main() {
	fmt.Print(head)
	for _, metric := range telemetry.Documented() {
		labels := "none"
		if len(metric.Labels) > 0 {
			labels = "`" + strings.Join(metric.Labels, "`, `") + "`"
		}
		fmt.Printf("| `%s` | %s | %s | %s |\n", metric.Name, metric.Type, labels, strings.ReplaceAll(metric.Help, "|", `\|`))
	}
	fmt.Print(tail)
}

const head = `<!-- Written by make docs. Change the texts in internal/telemetry/metrics.go. -->

# Metrics

The manager serves these at ` + "`/metrics`" + `; [observability.md](observability.md) tells how to scrape them. Times are in seconds. No label names an object, a namespace of yours, a vector store or a key, so the number of series does not grow with the number of objects.

Gauges that speak of objects are exposed by the replica that leads and by no other, so sums over replicas are right. They are kept up to date with each change, at a constant cost; a scrape goes once over the batches that are not over, which with 50,000 of them takes about 15 ms (` + "`BenchmarkScrapeOfManyBatches`" + `).

| metric | type | labels | meaning |
| --- | --- | --- | --- |
`

const tail = `
Beside these there are those of the libraries that the operator is made of. The alerts and the dashboard use:

| metric | meaning |
| --- | --- |
| ` + "`leader_election_master_status`" + ` | 1 for the replica that holds the lease, 0 for others |
| ` + "`controller_runtime_reconcile_total`, `controller_runtime_reconcile_errors_total`" + ` | passes, by result, and those that failed at the API server |
| ` + "`workqueue_depth`, `workqueue_queue_duration_seconds`" + ` | objects that wait for a pass, by priority, and for how long |
| ` + "`rest_client_requests_total`" + ` | requests to the API server, reads included |
| ` + "`process_*`, `go_*`" + ` | the process |
`
