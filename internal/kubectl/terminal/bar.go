// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import "strings"

// Segment is a part of a bar.
type Segment struct {
	Count int64
	// Glyph fills the segment. It is one column wide.
	Glyph string
	Style Style
}

// Bar renders segments of a total side by side in width columns and fills the rest with blank. Each
// segment with a positive count has at least one column. The bar is full only if the counts add up to
// the total.
func Bar(width int, total int64, blank string, segments ...Segment) string {
	widths := segmentWidths(width, total, segments)
	var bar strings.Builder
	for i, segment := range segments {
		bar.WriteString(segment.Style.Paint(strings.Repeat(segment.Glyph, widths[i])))
		width -= widths[i]
	}
	bar.WriteString(strings.Repeat(blank, max(width, 0)))
	return bar.String()
}

func segmentWidths(width int, total int64, segments []Segment) []int {
	widths := make([]int, len(segments))
	if total <= 0 {
		return widths
	}
	var sum int64
	used, widest := 0, 0
	for i, segment := range segments {
		// Round the cumulative sums, not the counts, so that a complete bar is full.
		sum = min(sum+max(segment.Count, 0), total)
		widths[i] = int(sum*int64(width)/total) - used
		used += widths[i]
		if segment.Count > 0 && widths[i] == 0 {
			widths[i]++
		}
		if widths[i] > widths[widest] {
			widest = i
		}
	}
	excess := -width
	if sum < total {
		excess++ // one column stays blank
	}
	for _, w := range widths {
		excess += w
	}
	if excess > 0 {
		widths[widest] = max(widths[widest]-excess, 0)
	}
	return widths
}
