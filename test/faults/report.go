// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is what came of all runs.
type report struct {
	results []result
	seed    uint64
	// possible is how many runs a sample was drawn from.
	possible int
	// references are the runs without a fault.
	references int
}

func (r *report) add(one result) { r.results = append(r.results, one) }

// failed are the runs in which something did not hold.
func (r *report) failed() []result {
	return slices.DeleteFunc(slices.Clone(r.results), func(one result) bool { return len(one.failures) == 0 })
}

// write shows the table, and each failure with the command that repeats it.
func (r *report) write(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	header := []string{"scenario", "points", "runs", "2 batches"}
	for _, o := range oracles {
		header = append(header, o.name)
	}
	lines := []string{strings.Join(header, "\t") + "\t"}
	for i := range scenarios {
		if line := r.line(scenarios[i].name); line != "" {
			lines = append(lines, line)
		}
	}
	lines = append(lines, r.line(""))
	if _, err := fmt.Fprintln(table, strings.Join(lines, "\n")); err != nil {
		return err
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, one := range r.failed() {
		name := one.name()
		if one.point == "reference" {
			name = one.scenario.name + "/reference"
		}
		for _, oracle := range append([]oracle{{name: "run"}}, oracles...) {
			why, failed := one.failures[oracle.name]
			if !failed {
				continue
			}
			if _, err := fmt.Fprintf(out, "\nFAIL %s: %s: %s\n", name, oracle.name, why); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(out, "  again: make test-faults ARGS='-run %s'\n", name); err != nil {
			return err
		}
	}
	return nil
}

// line is a scenario's line of the table, or that of all together.
func (r *report) line(scenario string) string {
	points := map[string]bool{}
	runs, twice := 0, 0
	held := make([]int, len(oracles))
	for _, one := range r.results {
		if scenario != "" && one.scenario.name != scenario {
			continue
		}
		runs++
		if one.point != "reference" {
			points[one.scenario.name+one.point] = true
		}
		if one.made > 1 {
			twice++
		}
		for i, o := range oracles {
			if one.failures[o.name] == "" && one.failures["run"] == "" {
				held[i]++
			}
		}
	}
	if runs == 0 {
		return ""
	}
	if scenario == "" {
		scenario = "all"
	}
	cells := []string{scenario, fmt.Sprint(len(points)), fmt.Sprint(runs), fmt.Sprint(twice)}
	for _, n := range held {
		cells = append(cells, fmt.Sprint(n))
	}
	return strings.Join(cells, "\t") + "\t"
}
