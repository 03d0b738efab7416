// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import "strings"

// Part is a share of a bar.
type Part struct {
	Count int64
	// Glyph fills it, and takes one column.
	Glyph string
	Style Style
}

// Bar draws parts of a total side by side over so many columns; blank fills what none of them
// takes. A part that is not empty has a column at least, and the bar is full only where the
// parts make up the total.
func Bar(width int, total int64, blank string, parts ...Part) string {
	columns := columnsOf(width, total, parts)
	var bar strings.Builder
	for i, part := range parts {
		bar.WriteString(part.Style.Paint(strings.Repeat(part.Glyph, columns[i])))
		width -= columns[i]
	}
	bar.WriteString(strings.Repeat(blank, max(width, 0)))
	return bar.String()
}

func columnsOf(width int, total int64, parts []Part) []int {
	columns := make([]int, len(parts))
	if total <= 0 {
		return columns
	}
	var sum int64
	taken, largest := 0, 0
	for i, part := range parts {
		// Rounding down the sums, and not the shares, makes full what is full.
		sum = min(sum+max(part.Count, 0), total)
		columns[i] = int(sum*int64(width)/total) - taken
		taken += columns[i]
		if part.Count > 0 && columns[i] == 0 {
			columns[i]++
		}
		if columns[i] > columns[largest] {
			largest = i
		}
	}
	excess := -width
	if sum < total {
		excess++ // one column stays blank
	}
	for _, c := range columns {
		excess += c
	}
	if excess > 0 {
		columns[largest] = max(columns[largest]-excess, 0)
	}
	return columns
}
