// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"strings"
	"testing"
)

func TestBar_Segments(t *testing.T) {
	for name, test := range map[string]struct {
		completed, failed, total int64
		want                     string
	}{
		"none":                {0, 0, 15, ".........."},
		"no total":            {0, 0, 0, ".........."},
		"half":                {5, 0, 10, "#####....."},
		"one of many":         {1, 0, 2000, "#........."},
		"one failure of many": {1000, 1, 2000, "#####x...."},
		"all but one":         {1999, 0, 2000, "#########."},
		"all":                 {15, 0, 15, "##########"},
		"all, with a failure": {1999, 1, 2000, "#########x"},
		"all failed":          {0, 3, 3, "xxxxxxxxxx"},
		"more than all":       {20, 0, 15, "##########"},
		"less than none":      {-1, 0, 15, ".........."},
	} {
		t.Run(name, func(t *testing.T) {
			got := Bar(10, test.total, ".", Segment{test.completed, "#", Plain}, Segment{test.failed, "x", Plain})
			if got != test.want {
				t.Errorf("Bar() = %q, want %q", got, test.want)
			}
		})
	}
}

func TestBar_Width(t *testing.T) {
	for width := 3; width <= 40; width++ {
		for completed := int64(0); completed <= 30; completed++ {
			for failed := int64(0); failed+completed <= 30; failed++ {
				bar := Bar(width, 30, "░", Segment{completed, "█", Green}, Segment{failed, "▒", Red})
				if Width(bar) != width {
					t.Fatalf("%d and %d of 30: width = %d, want %d: %q", completed, failed, Width(bar), width, bar)
				}
				if full := !strings.Contains(bar, "░"); full != (completed+failed == 30) {
					t.Fatalf("%d and %d of 30: full = %t: %q", completed, failed, full, bar)
				}
			}
		}
	}
}

func TestTruncate(t *testing.T) {
	for text, want := range map[string]string{
		"short":                    "short",
		"just ten!!":               "just ten!!",
		"more than ten":            "more than…",
		"日本語のファイル":                 "日本語の…",
		Red.Paint("more than ten"): Red.Paint("more than…"),
	} {
		if got := Truncate(text, 10); Width(got) > 10 || got != want {
			t.Errorf("Truncate(%q) = %q (width %d), want %q", text, got, Width(got), want)
		}
	}
}
