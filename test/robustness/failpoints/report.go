// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report holds the results of all runs.
type report struct {
	results []result
	seed    uint64
	// possible is the number of runs that the sample was drawn from.
	possible int
	// references is the number of runs without a fault.
	references int
	// took is the duration of all runs.
	took time.Duration
}

func (r *report) add(one result) { r.results = append(r.results, one) }

// failed returns the runs in which a validator failed.
func (r *report) failed() []result {
	return slices.DeleteFunc(slices.Clone(r.results), func(one result) bool { return len(one.failures) == 0 })
}

// table returns the header, a row for each scenario, and a row of totals.
func (r *report) table() [][]string {
	header := []string{"scenario", "failpoints", "runs", "2 batches"}
	for _, o := range validators {
		header = append(header, o.name)
	}
	rows := [][]string{header}
	for i := range scenarios {
		if row := r.row(scenarios[i].name); row != nil {
			rows = append(rows, row)
		}
	}
	return append(rows, r.row(""))
}

// writeTable writes the table as text.
func (r *report) writeTable(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range r.table() {
		if _, err := fmt.Fprintln(table, strings.Join(row, "\t")+"\t"); err != nil {
			return err
		}
	}
	return table.Flush()
}

// writeMarkdown writes the summary and the table for docs/concepts/reliability.md.
func (r *report) writeMarkdown(out io.Writer) error {
	rows := r.table()
	all := rows[len(rows)-1]
	_, err := fmt.Fprintf(out, "\n%s failpoints, %s runs including the references, in %s (`make test-faults ARGS='-seed %d'`).\n\n",
		all[1], all[2], r.took.Round(time.Minute), r.seed)
	if err != nil {
		return err
	}
	for i, row := range rows {
		for j := range row {
			if i == 0 && j >= 4 {
				row[j] = "`" + row[j] + "`"
			}
		}
		if _, err := fmt.Fprintln(out, "| "+strings.Join(row, " | ")+" |"); err != nil {
			return err
		}
		if i > 0 {
			continue
		}
		if _, err := fmt.Fprintln(out, "|---|"+strings.Repeat("---:|", len(row)-1)); err != nil {
			return err
		}
	}
	return nil
}

// writeFailures writes each failure with the command that reproduces it.
func (r *report) writeFailures(out io.Writer) error {
	for _, one := range r.failed() {
		name := one.name()
		if one.failpoint == "reference" {
			name = one.scenario.name + "/reference"
		}
		for _, validator := range append([]validator{{name: "run"}}, validators...) {
			why, failed := one.failures[validator.name]
			if !failed {
				continue
			}
			if _, err := fmt.Fprintf(out, "\nFAIL %s: %s: %s\n", name, validator.name, why); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(out, "  reproduce: make test-faults ARGS='-run %s'\n", name); err != nil {
			return err
		}
	}
	return nil
}

// writeSummary writes what was promised about creates, the number of runs, the seed and the duration.
func (r *report) writeSummary(out io.Writer) error {
	_, err := fmt.Fprintf(out, "\ncreates and counted check: %s\n%d of %d possible runs with a fault, %d without, seed %d, in %s\n",
		strings.TrimSpace(promise), len(r.results)-r.references, r.possible, r.references, r.seed, r.took.Round(time.Second))
	return err
}

// row returns a scenario's row of the table, or the totals; nil if it had no run.
func (r *report) row(scenario string) []string {
	failpoints := map[string]bool{}
	runs, twice := 0, 0
	passed := make([]int, len(validators))
	for _, one := range r.results {
		if scenario != "" && one.scenario.name != scenario {
			continue
		}
		runs++
		if one.failpoint != "reference" {
			failpoints[one.scenario.name+one.failpoint] = true
		}
		if one.created > 1 {
			twice++
		}
		for i, o := range validators {
			if one.failures[o.name] == "" && one.failures["run"] == "" {
				passed[i]++
			}
		}
	}
	if runs == 0 {
		return nil
	}
	if scenario == "" {
		scenario = "all"
	}
	cells := []string{scenario, fmt.Sprint(len(failpoints)), fmt.Sprint(runs), fmt.Sprint(twice)}
	for _, n := range passed {
		cells = append(cells, fmt.Sprint(n))
	}
	return cells
}
