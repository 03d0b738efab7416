// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

// scenario is one measurement.
type scenario struct {
	name string
	// does describes it in a sentence, for the report.
	description string
	run         func(b *bench, ctx context.Context) error
}

// scenarios returns all scenarios. Those that fill the API server's memory come last.
func scenarios() []scenario {
	return []scenario{
		{"throughput", "short batches of 3 files, which finish at once, compared with a plain client-go loop that makes the same writes", (*bench).throughput},
		{"large", "batches of 2000 files with 3 attributes each, compared with the same loop", (*bench).large},
		{"sync", "500 batches of 10 files are applied at once to 10 vector stores, and the OpenAI API enforces its limits", (*bench).sync},
		{"progress", "batches in progress without any change", (*bench).inProgress},
		{"latency", "cancels and creates, one every 50 ms and then all at once, without due polls and with polls at the rate limit", (*bench).latency},
		{"takeover", "SIGTERM and SIGKILL of the leader of two replicas, with all batches in progress", (*bench).takeover},
		{"shards", "four managers by label selector, which share the batches in progress, compared with one", (*bench).shards},
		{"tenants", "a namespace alone, and beside others that hang, are slow, flood, and delete", (*bench).tenants},
		{"finished", "finished objects of 100 files each", (*bench).finished},
		{"growth", "CPU time per poll and per reconciliation, with few and with many objects, polled at the rate limit", (*bench).growth},
	}
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// scale is the size of the scenarios.
type scale struct {
	name string
	// rounds is the number of rounds of the baseline and of the operator, with short batches each.
	rounds, short int
	// large is the number of batches of 2000 files in a round.
	large int
	// load is the number of batches in progress, and quiet the time in which an idle manager must
	// do nothing.
	load  int
	quiet time.Duration
	// pollEvery is the poll interval in the scenario progress.
	pollEvery time.Duration
	// operations is the number of cancels, and of creates.
	operations int
	// finished are the numbers of finished objects, and growth those of the plot.
	finished, growth []int
	// growthRate is the rate limit in growth, in requests per second: enough for a measurement, and
	// fewer than the smallest number of objects needs.
	growthRate int
	// growthRounds is the number of rounds of each number of objects, and window the duration of each
	// measurement.
	growthRounds int
	window       time.Duration
	// minute is the length of the OpenAI API's rate limit window in the scenario sync.
	minute time.Duration
	// rate is the rate limit in latency and takeover, in requests per second.
	rate    int
	tenants tenantScale
}

var scales = map[string]scale{
	"full": {
		name: "full", rounds: 3, short: 2000, large: 10,
		load: 10_000, quiet: time.Minute, pollEvery: 30 * time.Second, operations: 200,
		finished: []int{10_000, 50_000}, growth: []int{1000, 5000, 10_000, 50_000}, growthRate: 400, growthRounds: 3, window: 20 * time.Second,
		minute: time.Minute, rate: 200,
		tenants: tenantScale{
			hanging: 320, slow: 500, flood: 5000, floodRate: 20, deleted: 100, files: 500, samples: 60,
			requestTimeout: 30 * time.Second, slowAnswer: 29 * time.Second, patience: time.Minute, pollEvery: 4 * time.Second,
		},
	},
	"small": {
		name: "small", rounds: 2, short: 200, large: 2,
		load: 500, quiet: 4 * time.Second, pollEvery: 4 * time.Second, operations: 20,
		finished: []int{250, 1000}, growth: []int{50, 250, 1000}, growthRate: 200, growthRounds: 1, window: 3 * time.Second,
		minute: 10 * time.Second, rate: 100,
		tenants: tenantScale{
			hanging: 320, slow: 500, flood: 1000, floodRate: 10, deleted: 100, files: 100, samples: 30,
			requestTimeout: 10 * time.Second, slowAnswer: 9 * time.Second, patience: 10 * time.Second, pollEvery: 2 * time.Second,
		},
	},
	// For the test of the bench: enough to execute all of its code.
	"tiny": {
		name: "tiny", rounds: 1, short: 20, large: 1,
		load: 40, quiet: time.Second, pollEvery: 2 * time.Second, operations: 5,
		finished: []int{10, 30}, growth: []int{10, 40}, growthRate: 40, growthRounds: 1, window: time.Second,
		minute: 4 * time.Second, rate: 50,
		tenants: tenantScale{
			hanging: 20, slow: 10, flood: 40, floodRate: 5, deleted: 5, files: 20, samples: 3,
			requestTimeout: 3 * time.Second, slowAnswer: 2 * time.Second, patience: 5 * time.Second, pollEvery: time.Second,
		},
	},
}
