// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"
)

// scenario is one thing that is measured.
type scenario struct {
	name string
	// does says it in a sentence, for the report.
	does string
	run  func(b *bench, ctx context.Context) error
}

// scenarios are all there are. Those that fill the API server's memory come last.
func scenarios() []scenario {
	return []scenario{
		{"throughput", "short batches of 3 files, which are done at once, beside a bare client-go loop that makes the same writes", (*bench).throughput},
		{"large", "batches of 2000 files with 3 attributes each, beside the same loop", (*bench).large},
		{"sync", "500 batches of 10 files are applied at once into 10 vector stores, and the upstream enforces its limits", (*bench).sync},
		{"progress", "batches in progress, in which nothing moves", (*bench).inProgress},
		{"latency", "cancels and new objects, one every 50 ms and then all at once, while nothing is due and while batches are polled at the full budget", (*bench).latency},
		{"restart", "SIGKILL and restart with all batches in progress", (*bench).restart},
		{"finished", "objects that are over, of 100 files each", (*bench).finished},
		{"growth", "the processor time of a look at a batch and of a pass, with few and with many objects that are all polled at the full budget", (*bench).growth},
	}
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// scale is how much there is of everything.
type scale struct {
	name string
	// rounds of the yardstick and of the operator, with so many short batches each.
	rounds, short int
	// large is how many batches of 2000 files a round has.
	large int
	// crowd is how many batches are in progress, and quiet for how long nothing may happen
	// where nothing has to.
	crowd int
	quiet time.Duration
	// pollEvery is the time between two looks in the scenario progress.
	pollEvery time.Duration
	// operations is how many cancels, and how many new objects, there are.
	operations int
	// finished are the numbers of objects that are over, and growth those of the plot.
	finished, growth []int
	// growthRate is the budget in growth, in requests a second: enough of them to be measured by,
	// and fewer than the smallest number of objects asks for.
	growthRate int
	// growthRounds are the turns that each number has, and window is for how long the processor
	// time is measured in each.
	growthRounds int
	window       time.Duration
	// minute is the upstream's minute in the scenario sync.
	minute time.Duration
	// rate is the budget in latency and restart, in requests a second.
	rate int
}

var scales = map[string]scale{
	"full": {
		name: "full", rounds: 3, short: 2000, large: 10,
		crowd: 10_000, quiet: time.Minute, pollEvery: 30 * time.Second, operations: 200,
		finished: []int{10_000, 50_000}, growth: []int{1000, 5000, 10_000, 50_000}, growthRate: 400, growthRounds: 3, window: 20 * time.Second,
		minute: time.Minute, rate: 200,
	},
	"small": {
		name: "small", rounds: 2, short: 200, large: 2,
		crowd: 500, quiet: 4 * time.Second, pollEvery: 4 * time.Second, operations: 20,
		finished: []int{250, 1000}, growth: []int{50, 250, 1000}, growthRate: 200, growthRounds: 1, window: 3 * time.Second,
		minute: 10 * time.Second, rate: 100,
	},
	// For the bench's own test: enough to see that every part of it works.
	"tiny": {
		name: "tiny", rounds: 1, short: 20, large: 1,
		crowd: 40, quiet: time.Second, pollEvery: 2 * time.Second, operations: 5,
		finished: []int{10, 30}, growth: []int{10, 40}, growthRate: 40, growthRounds: 1, window: time.Second,
		minute: 4 * time.Second, rate: 50,
	},
}
