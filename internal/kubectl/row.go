// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// table is how batches are shown.
type table struct {
	namespaces bool
	wide       bool
	// barWidth is in columns; 0 leaves the choice to the table.
	barWidth int
	// colours and blocks are for terminals that have them.
	colours, blocks bool
}

const (
	narrowBar = 16
	wideBar   = 30
	gap       = "  "
)

// glyphs are what a bar is made of.
type glyphs struct{ completed, failed, cancelled, blank, left, right string }

var (
	ascii = glyphs{"#", "x", "-", ".", "[", "]"}
	boxes = glyphs{"█", "▓", "▒", "░", "", ""}
)

func (t table) header() []string {
	cells := []string{"NAME", "STATUS", "PROGRESS", "FILES", "FAILED", "AGE"}
	if t.namespaces {
		cells = slices.Insert(cells, 0, "NAMESPACE")
	}
	if t.wide {
		cells = append(cells, "CANCELLED", "STORE", "BATCH")
	}
	return append(cells, "WHY")
}

// row is a batch's cells, in the order of the header.
func (t table) row(b *v1alpha1.VectorStoreFileBatch, now time.Time) []string {
	counts := countsOf(b)
	failed := fmt.Sprint(counts.Failed)
	if counts.Failed > 0 {
		failed = t.paint(terminal.Red, failed)
	}
	cells := []string{
		b.Name,
		cmp.Or(b.Status.Status, "-"),
		t.bar(counts),
		fmt.Sprintf("%d/%d", counts.Completed, counts.Total),
		failed,
		age(b, now),
	}
	if t.namespaces {
		cells = slices.Insert(cells, 0, b.Namespace)
	}
	if t.wide {
		cells = append(cells, fmt.Sprint(counts.Cancelled), b.Spec.VectorStoreID, cmp.Or(b.Status.BatchID, "-"))
	}
	return append(cells, t.paint(styleOf(b), why(b)))
}

func (t table) paint(style terminal.Style, text string) string {
	if !t.colours {
		return text
	}
	return style.Paint(text)
}

func (t table) bar(counts v1alpha1.FileCounts) string {
	g := ascii
	if t.blocks {
		g = boxes
	}
	style := func(s terminal.Style) terminal.Style {
		if t.colours {
			return s
		}
		return terminal.Plain
	}
	return g.left + terminal.Bar(cmp.Or(t.barWidth, narrowBar)-len(g.left)-len(g.right), int64(counts.Total), g.blank,
		terminal.Part{Count: int64(counts.Completed), Glyph: g.completed, Style: style(terminal.Green)},
		terminal.Part{Count: int64(counts.Failed), Glyph: g.failed, Style: style(terminal.Red)},
		terminal.Part{Count: int64(counts.Cancelled), Glyph: g.cancelled, Style: style(terminal.Dim)},
	) + g.right
}

// countsOf is what is known of the files. Before there is a batch, that is how many it will have.
func countsOf(b *v1alpha1.VectorStoreFileBatch) v1alpha1.FileCounts {
	if b.Status.FileCounts != nil {
		return *b.Status.FileCounts
	}
	return v1alpha1.FileCounts{Total: int32(len(b.Spec.FileIDs) + len(b.Spec.Files))} // at most 2000, as the schema says
}

func age(b *v1alpha1.VectorStoreFileBatch, now time.Time) string {
	if b.CreationTimestamp.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(b.CreationTimestamp.Time))
}

// why says in words what a batch waits for, or how it ended; nothing where all is as it should
// be and goes on.
func why(b *v1alpha1.VectorStoreFileBatch) string {
	ready := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "not seen by the operator yet"
	}
	if ready.Reason == v1alpha1.ReasonCompleted || ready.Reason == v1alpha1.ReasonInProgress {
		return ""
	}
	message := strings.Join(strings.Fields(ready.Message), " ")
	if message == "" {
		return ready.Reason
	}
	return ready.Reason + ": " + message
}

func styleOf(b *v1alpha1.VectorStoreFileBatch) terminal.Style {
	if meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionStalled) {
		return terminal.Red
	}
	if b.Status.Status == string(upstream.InProgress) {
		return terminal.Yellow
	}
	return terminal.Plain
}

// finished says whether a batch is over, however it ended.
func finished(b *v1alpha1.VectorStoreFileBatch) bool {
	return meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionFinished)
}

// align makes lines of cells, whose columns stand below each other. The last one may be as long
// as it is.
func align(rows [][]string) []string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], terminal.Width(cell))
		}
	}
	lines := make([]string, 0, len(rows))
	for _, row := range rows {
		lines = append(lines, line(row, widths))
	}
	return lines
}

func line(cells []string, widths []int) string {
	var text strings.Builder
	for i, cell := range cells {
		text.WriteString(cell)
		if i < len(cells)-1 {
			text.WriteString(strings.Repeat(" ", max(widths[i]-terminal.Width(cell), 0)) + gap)
		}
	}
	return strings.TrimRight(text.String(), " ")
}
