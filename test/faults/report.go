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

// report is what came of all runs.
type report struct {
	results []result
	seed    uint64
	// possible is how many runs a sample was drawn from.
	possible int
	// references are the runs without a fault.
	references int
	// took is how long all that was.
	took time.Duration
}

func (r *report) add(one result) { r.results = append(r.results, one) }

// failed are the runs in which something did not hold.
func (r *report) failed() []result {
	return slices.DeleteFunc(slices.Clone(r.results), func(one result) bool { return len(one.failures) == 0 })
}

// table is the header, a row for each scenario, and one for all.
func (r *report) table() [][]string {
	header := []string{"scenario", "points", "runs", "2 batches"}
	for _, o := range oracles {
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

// writeTable shows the table to people.
func (r *report) writeTable(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range r.table() {
		if _, err := fmt.Fprintln(table, strings.Join(row, "\t")+"\t"); err != nil {
			return err
		}
	}
	return table.Flush()
}

// writeMarkdown writes the figures and the table as docs/reliability.md has them.
func (r *report) writeMarkdown(out io.Writer) error {
	rows := r.table()
	all := rows[len(rows)-1]
	_, err := fmt.Fprintf(out, "\n%s points, %s runs with the references, in %s (`make test-faults ARGS='-seed %d'`).\n\n",
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

// writeFailures shows each failure with the command that repeats it.
func (r *report) writeFailures(out io.Writer) error {
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

// writeSum says in a line what was done.
func (r *report) writeSum(out io.Writer) error {
	_, err := fmt.Fprintf(out, "\n%d of %d possible runs with a fault, and %d without, seed %d, in %s\n",
		len(r.results)-r.references, r.possible, r.references, r.seed, r.took.Round(time.Second))
	return err
}

// row is a scenario's row of the table, or that of all together; nil where it had no run.
func (r *report) row(scenario string) []string {
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
		return nil
	}
	if scenario == "" {
		scenario = "all"
	}
	cells := []string{scenario, fmt.Sprint(len(points)), fmt.Sprint(runs), fmt.Sprint(twice)}
	for _, n := range held {
		cells = append(cells, fmt.Sprint(n))
	}
	return cells
}
