// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// report is the comparison.
type report struct {
	objects int
	tools   []figures
}

// markdown returns the comparison as a table.
func (r report) markdown() string {
	rows := []struct {
		name  string
		value func(f figures) string
	}{
		{"version", func(f figures) string { return f.version }},
		{"peak resident memory without objects", func(f figures) string { return mebibytes(f.idleMemory) }},
		{fmt.Sprintf("peak resident memory with %d batches in progress", r.objects), func(f figures) string { return mebibytes(f.peakMemory) }},
		{fmt.Sprintf("batches of the %d objects", r.objects), func(f figures) string { return fmt.Sprint(f.batches) }},
		{"OpenAI API calls per object, until all are completed", func(f figures) string { return r.perObject(f.calls) }},
		{"writes to the API server per object, Events included, until then", func(f figures) string { return r.perObject(f.writes) }},
		{fmt.Sprintf("OpenAI API calls per object in the %s after that", observed), func(f figures) string { return r.perObject(f.callsAfter) }},
		{"writes per object in the same time", func(f figures) string { return r.perObject(f.writesAfter) }},
		{"conditions while the batch is in progress", func(f figures) string { return f.inProgress }},
		{"conditions when it is completed", func(f figures) string { return f.atEnd }},
		{"killed before the response to the create: batches", func(f figures) string { return fmt.Sprint(f.batchesAfterLoss) }},
		{fmt.Sprintf("conditions %s after the restart", recovery), func(f figures) string { return f.afterLoss }},
	}
	var b strings.Builder
	b.WriteString("|")
	for _, f := range r.tools {
		b.WriteString(" | " + f.name)
	}
	b.WriteString(" |\n| ---" + strings.Repeat(" | ---", len(r.tools)) + " |\n")
	for _, row := range rows {
		b.WriteString("| " + row.name)
		for _, f := range r.tools {
			b.WriteString(" | " + row.value(f))
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// perObject returns a number divided by that of the objects.
func (r report) perObject(n int) string { return fmt.Sprintf("%.2f", float64(n)/float64(r.objects)) }

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
