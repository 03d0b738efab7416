// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metrics are what a program says of itself, by name.
type metrics map[string]*dto.MetricFamily

// scrape asks for metrics.
func scrape(ctx context.Context, client *http.Client, url string) (metrics, error) {
	text, err := fetch(ctx, client, url)
	if err != nil {
		return nil, fmt.Errorf("asking for metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	return families, nil
}

// fetch gives what a URL holds.
func fetch(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d: %.1000s", response.StatusCode, body)
	}
	return body, err
}

// sum adds up a metric over all its series that have the labels.
func (m metrics) sum(name string, labels map[string]string) float64 {
	total := 0.0
	for _, series := range m[name].GetMetric() {
		if matches(series, labels) {
			total += series.GetCounter().GetValue() + series.GetGauge().GetValue() + series.GetUntyped().GetValue()
		}
	}
	return total
}

func matches(series *dto.Metric, labels map[string]string) bool {
	for name, value := range labels {
		if label(series, name) != value {
			return false
		}
	}
	return true
}

func label(series *dto.Metric, name string) string {
	for _, pair := range series.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

// writes are how many writes the API server took, by what they wrote: "PATCH vectorstorefilebatches/status".
type writes map[string]int

// writesOf are the writes to our objects and of Events that the API server has counted.
func writesOf(m metrics) writes {
	w := writes{}
	for _, series := range m["apiserver_request_total"].GetMetric() {
		resource, verb := label(series, "resource"), label(series, "verb")
		if resource != "vectorstorefilebatches" && resource != "events" {
			continue
		}
		switch verb {
		case "POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION":
			if sub := label(series, "subresource"); sub != "" {
				resource += "/" + sub
			}
			w[verb+" "+resource] += int(series.GetCounter().GetValue())
		}
	}
	return w
}

// since are the writes that came after others were counted.
func (w writes) since(before writes) writes {
	after := writes{}
	for what, n := range w {
		if n > before[what] {
			after[what] = n - before[what]
		}
	}
	return after
}

func (w writes) total() int {
	total := 0
	for _, n := range w {
		total += n
	}
	return total
}

// each says how many writes of each kind there were for one of n objects.
func (w writes) each(n int) string {
	var kinds []string
	for _, what := range slices.Sorted(maps.Keys(w)) {
		if w[what] == 0 {
			continue
		}
		kinds = append(kinds, fmt.Sprintf("%.2f %s", float64(w[what])/float64(n), what))
	}
	return strings.Join(kinds, ", ")
}
