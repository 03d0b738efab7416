// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// scrape returns the metrics of the running managers.
func (m *managers) scrape(ctx context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all strings.Builder
	for _, p := range m.running {
		_, text, err := framework.Fetch(ctx, http.DefaultClient, "http://"+p.metrics+"/metrics", "")
		if err != nil {
			return "", fmt.Errorf("reading the metrics: %w", err)
		}
		all.WriteString(text)
	}
	return all.String(), nil
}

// outcomeUnknown is the metric that counts batches which were created again.
const outcomeUnknown = "vector_store_operator_create_outcome_unknown_total"

// counterSum returns the sum of a counter over all its series.
func counterSum(metrics, name string) (sum float64, err error) {
	lines := bufio.NewScanner(strings.NewReader(metrics))
	lines.Buffer(nil, maxBody)
	for lines.Scan() {
		series, value, _ := strings.Cut(lines.Text(), " ")
		if found, _, _ := strings.Cut(series, "{"); found != name {
			continue
		}
		number, err := strconv.ParseFloat(value[strings.LastIndex(value, " ")+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", name, err)
		}
		sum += number
	}
	return sum, lines.Err()
}

// checkCounted requires that the running managers have counted each create that they sent after
// they checked whether an earlier one took effect, except for refused ones. Managers that were killed lost
// their counts.
func checkCounted(e evidence, _ outcome) error {
	want, verified := 0, false
	for _, one := range e.lastLife {
		switch one.Op {
		case "openai.list-store-files":
			verified = true
		case "openai.create-batch":
			if refused := strings.HasPrefix(one.Fault, "429") || one.Status >= 400 && one.Status < 500; verified && !refused {
				want++
			}
			verified = false
		}
	}
	got, err := counterSum(e.texts["the metrics"], outcomeUnknown)
	if err != nil {
		return err
	}
	again := want > 0 || verified // an outage may have blocked the last one
	if got < float64(want) || got > 0 && !again {
		return fmt.Errorf("%s is %v, and %d creates followed a verification", outcomeUnknown, got, want)
	}
	return nil
}
