// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// metrics are the metrics of a program, by name.
type metrics map[string]*dto.MetricFamily

// scrape reads metrics.
func scrape(ctx context.Context, client *http.Client, url string) (metrics, error) {
	text, err := fetch(ctx, client, url)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("parsing metrics: %w", err)
	}
	return families, nil
}

// fetch returns the content of a URL.
func fetch(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	status, body, err := framework.Fetch(ctx, client, url, "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("HTTP %d: %.1000s", status, body)
	}
	return []byte(body), err
}

// sum returns the sum of a metric over all series with the labels.
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

// writes count the writes that the API server accepted, by verb and resource: "PATCH vectorstorefilebatches/status".
type writes map[string]int

// writesOf returns the writes of VectorStoreFileBatches and Events that the API server has counted.
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

// since returns the writes after an earlier count.
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

// each formats the writes per object by verb and resource.
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
