// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// TestScenarios_Tiny runs all scenarios but two, which take long at any scale, with a few objects. It
// requires only what does not depend on the speed of the machine.
func TestScenarios_Tiny(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the built manager for a minute")
	}
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("KUBEBUILDER_ASSETS is not set: run make test")
	}
	folder := t.TempDir()
	var report bytes.Buffer
	names := slices.DeleteFunc(scenarioNames(), func(name string) bool { return name == "large" || name == "sync" })
	if err := command(t.Context(), []string{"-scale=tiny", "-run=" + strings.Join(names, "|"), "-folder=" + folder}, &report, t.Output()); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.Contains(report.String(), "\n| "+name+" | ") {
			t.Errorf("%s has no figure in the report:\n%s", name, report.String())
		}
	}
	kept, err := os.ReadFile(filepath.Join(folder, "report.md"))
	if err != nil || !bytes.Equal(kept, report.Bytes()) {
		t.Errorf("the stored report differs from the printed one (%v)", err)
	}
	if _, err := os.Stat(filepath.Join(folder, "growth.svg")); err != nil {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	for _, args := range [][]string{{"-scale=huge"}, {"-run=nothing"}, {"-run=("}, {"more"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
	o, err := parse([]string{"-scale=small", "-run=sync|growth", "-manager-flags=--a=1 --b"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range o.chosen() {
		names = append(names, s.name)
	}
	if diff := cmp.Diff([]string{"sync", "growth"}, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"--a=1", "--b"}, o.flags); diff != "" {
		t.Error(diff)
	}
}

func TestReport_InvariantsAndTargets(t *testing.T) {
	r := &report{logf: func(string, ...any) {}}
	r.begin(scenario{name: "some", description: "something"})
	r.target("slow", "9 s", "≤ 1 s", false)
	r.invariant("nothing bad", 0)
	if violated := r.violated(); len(violated) > 0 {
		t.Errorf("violated: %v", violated)
	}
	r.invariant("bad things", 1200)
	if diff := cmp.Diff([]string{"some: bad things is 1,200, want 0"}, r.violated()); diff != "" {
		t.Error(diff)
	}
	for _, row := range []string{
		"| some | slow | 9 s | ≤ 1 s | missed |",
		"| some | nothing bad | 0 | 0 | met |",
		"| some | bad things | 1,200 | 0 | **violated** |",
		"- **some**: something.",
	} {
		if !slices.Contains(strings.Split(r.markdown(), "\n"), row) {
			t.Errorf("the report has no line %s:\n%s", row, r.markdown())
		}
	}
}

func TestQuantile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := quantile(hundred, q); got != want {
			t.Errorf("quantile %v of 1 to 100 is %d, want %d", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("the median of no values is %d", got)
	}
}

func TestSlope(t *testing.T) {
	x := []float64{1000, 5000, 50_000}
	for name, test := range map[string]struct {
		y    func(x float64) float64
		want float64
	}{
		"constant":    {func(float64) float64 { return 7 }, 0},
		"linear":      {func(x float64) float64 { return 3 * x }, 1},
		"square root": {math.Sqrt, 0.5},
	} {
		var y []float64
		for _, v := range x {
			y = append(y, test.y(v))
		}
		if got := slope(x, y); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("%s: the exponent is %v, want %v", name, got, test.want)
		}
	}
}

func TestAllowed(t *testing.T) {
	for name, test := range map[string]struct {
		batches, stores, files int
		want                   time.Duration
	}{
		"all at once":           {200, 10, 10, 0},
		"one more":              {201, 10, 10, time.Minute},
		"of many files":         {500, 10, 10, 2 * time.Minute},
		"files do not divide":   {500, 10, 12, 3 * time.Minute},
		"all in one store":      {601, 1, 1, 2 * time.Minute},
		"the larger of both":    {900, 1, 10, 4 * time.Minute},
		"a store takes its 300": {600, 2, 1, 0},
	} {
		if got := allowed(test.batches, test.stores, test.files, time.Minute); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestParseUsage(t *testing.T) {
	stat := "4321 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 9 0 100 1 2"
	status := "Name:\tmanager\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nRssAnon:\t 512 kB\nRssFile:\t 256 kB\n"
	got, err := parseUsage(stat, status)
	if err != nil {
		t.Fatal(err)
	}
	want := usage{cpu: 1750 * time.Millisecond, resident: 1 << 20, peak: 2 << 20, file: 256 << 10}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for name, bad := range map[string][2]string{
		"a short stat": {"1 (a) S 1 2", status}, "ticks that are none": {strings.Replace(stat, "150", "x", 1), status}, "no memory": {stat, "Name: x"},
	} {
		if _, err := parseUsage(bad[0], bad[1]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWrites_Since(t *testing.T) {
	before := writes{"PATCH vectorstorefilebatches": 3, "POST events": 1}
	after := writes{"PATCH vectorstorefilebatches": 5, "POST events": 1, "PATCH vectorstorefilebatches/status": 4}
	got := after.since(before)
	if diff := cmp.Diff(writes{"PATCH vectorstorefilebatches": 2, "PATCH vectorstorefilebatches/status": 4}, got); diff != "" {
		t.Error(diff)
	}
	if got.total() != 6 {
		t.Errorf("%d writes in total, want 6", got.total())
	}
	if want := "1.00 PATCH vectorstorefilebatches, 2.00 PATCH vectorstorefilebatches/status"; got.each(2) != want {
		t.Errorf("got %q, want %q", got.each(2), want)
	}
}

func TestRepeated(t *testing.T) {
	batches := []batch{
		{VectorStoreID: "vs_a", FileIDs: []string{"file-1", "file-2"}},
		{VectorStoreID: "vs_b", FileIDs: []string{"file-1", "file-2"}},
		{VectorStoreID: "vs_a", FileIDs: []string{"file-1"}},
	}
	if got := repeated(batches); len(got) > 0 {
		t.Errorf("%v are not repeated", got)
	}
	if diff := cmp.Diff([]string{"vs_a: file-1"}, repeated(append(batches, batches[2], batches[2]))); diff != "" {
		t.Error(diff)
	}
}

func TestCalls_Since(t *testing.T) {
	var before, after calls
	for text, into := range map[string]*calls{
		`{"create":{"200":2},"retrieve":{"200":5}}`:                            &before,
		`{"create":{"200":3,"429":1},"retrieve":{"200":9},"cancel":{"429":2}}`: &after,
	} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	since := after.since(before)
	for operation, want := range map[string]int{"create": 2, "retrieve": 4, "cancel": 2, "*": 8} {
		if got := since.of(emulator.Operation(operation)); got != want {
			t.Errorf("%d calls of %s, want %d", got, operation, want)
		}
	}
	if got := since.answered(429); got != 3 {
		t.Errorf("%d responses 429, want 3", got)
	}
}

func TestVersionIn(t *testing.T) {
	for body, want := range map[string]string{
		`{"metadata":{"uid":"u","resourceVersion":"42"}}`: "42",
		`{"metadata":{"name":"n"}}`:                       "",
		"k8s\x00\x0a\x0b":                                 "",
	} {
		if got := versionIn([]byte(body)); got != want {
			t.Errorf("%q: resourceVersion %q, want %q", body, got, want)
		}
	}
}

func TestGrowthPlot(t *testing.T) {
	for name, costs := range map[string][]cost{
		"rising":  {{1000, 200, 100, 400}, {5000, 210, 90, 400}, {50_000, 430, 110, 400}},
		"one":     {{10, 200, 100, 50}},
		"nothing": {{10, 0, 0, 0}, {20, 0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			svg := growthPlot(costs).svg()
			decoder := xml.NewDecoder(strings.NewReader(svg))
			circles := 0
			for {
				token, err := decoder.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%v in\n%s", err, svg)
				}
				if start, begins := token.(xml.StartElement); begins && start.Name.Local == "circle" {
					circles++
				}
			}
			if circles != 2*len(costs) || strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
				t.Errorf("%d circles for %d points, or invalid coordinates:\n%s", circles, 2*len(costs), svg)
			}
		})
	}
}

func TestRoundStep(t *testing.T) {
	for least, want := range map[float64]float64{0: 1, 0.7: 1, 1: 1, 1.1: 2, 3: 5, 51: 100, 140: 200} {
		if got := roundStep(least); math.Abs(got-want) > 1e-9 {
			t.Errorf("the step for %v is %v, want %v", least, got, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"PATH=/bin", "OPENAI_API_KEY=sk-a", "KUBECONFIG=/b", "GOGC=400", "KUBE_FEATURE_WatchListClient=false", "PATHS=c"})
	if diff := cmp.Diff([]string{"GOGC=400", "KUBE_FEATURE_WatchListClient=false"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWaits(t *testing.T) {
	began := time.Now()
	var w waits
	if w.within(time.Hour) {
		t.Error("no operation is within the limit, which shows nothing")
	}
	w.add(began, began.Add(time.Second))
	w.add(began, began.Add(3*time.Second))
	if limit := w.limit(); limit != 7*time.Second {
		t.Errorf("the limit is %s, want twice the longest time and a second", limit)
	}
	if !w.within(3*time.Second) || w.within(2*time.Second) {
		t.Error("the longest time does not decide")
	}
	w.add(began, time.Time{})
	if w.within(time.Hour) {
		t.Error("an operation that has not ended is within the limit")
	}
	if want := "p50 1000.0 ms, p99 3000.0 ms, max 3000.0 ms, 1 of 3 unfinished"; w.String() != want {
		t.Errorf("got %q, want %q", w.String(), want)
	}
}
