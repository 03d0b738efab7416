// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// table renders batches as rows of cells.
type table struct {
	namespaces bool
	wide       bool
	// barWidth is the width of a progress bar in columns. Defaults to narrowBar.
	barWidth int
	colors   bool
	// blocks selects block characters for progress bars, instead of ASCII.
	blocks bool
}

const (
	narrowBar = 16
	wideBar   = 30
	gap       = "  "
)

// glyphs are the characters of a progress bar.
type glyphs struct{ completed, failed, cancelled, blank, left, right string }

var (
	asciiGlyphs = glyphs{"#", "x", "-", ".", "[", "]"}
	blockGlyphs = glyphs{"█", "▓", "▒", "░", "", ""}
)

// newTable returns a table for an output stream and the terminal of the stream, or nil if it has none.
func (p *plugin) newTable(stream any) (table, *os.File) {
	screen, isTerminal := terminal.FromStream(stream, p.Env("TERM"))
	return table{colors: isTerminal && p.Env("NO_COLOR") == "", blocks: isTerminal && p.isUTF8()}, screen
}

// isUTF8 reports whether the encoding of the locale is UTF-8.
func (p *plugin) isUTF8() bool {
	locale := strings.ToUpper(cmp.Or(p.Env("LC_ALL"), p.Env("LC_CTYPE"), p.Env("LANG")))
	return strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8")
}

// newTable returns a table with the columns that the flags select.
func (l *list) newTable() (table, *os.File) {
	t, screen := l.plugin.newTable(l.Streams.Out)
	t.namespaces, t.wide = l.allNamespaces, *l.printFlags.OutputFormat == wide
	return t, screen
}

func (t table) header() []string {
	cells := []string{"NAME", "STATUS", "PROGRESS", "FILES", "FAILED", "AGE"}
	if t.namespaces {
		cells = slices.Insert(cells, 0, "NAMESPACE")
	}
	if t.wide {
		cells = append(cells, "CANCELLED", "STORE", "BATCH")
	}
	return append(cells, "REASON")
}

// row returns the cells of a batch, in the order of the header.
func (t table) row(b *v1alpha1.VectorStoreFileBatch, now time.Time) []string {
	counts := fileCounts(b)
	failed := fmt.Sprint(counts.Failed)
	if counts.Failed > 0 {
		failed = t.paint(terminal.Red, failed)
	}
	cells := []string{
		b.Name,
		cmp.Or(terminal.Escape(b.Status.Status), "-"),
		t.bar(counts),
		fmt.Sprintf("%d/%d", counts.Completed, counts.Total),
		failed,
		age(b, now),
	}
	if t.namespaces {
		cells = slices.Insert(cells, 0, b.Namespace)
	}
	if t.wide {
		cells = append(cells, fmt.Sprint(counts.Cancelled), b.Spec.VectorStoreID, cmp.Or(terminal.Escape(b.Status.BatchID), "-"))
	}
	return append(cells, t.paint(styleOf(b), reasonOf(b)))
}

func (t table) paint(style terminal.Style, text string) string {
	if !t.colors {
		return text
	}
	return style.Paint(text)
}

// bar returns a progress bar.
func (t table) bar(counts v1alpha1.FileCounts) string {
	g := asciiGlyphs
	if t.blocks {
		g = blockGlyphs
	}
	segments := []terminal.Segment{
		{Count: int64(counts.Completed), Glyph: g.completed, Style: terminal.Green},
		{Count: int64(counts.Failed), Glyph: g.failed, Style: terminal.Red},
		{Count: int64(counts.Cancelled), Glyph: g.cancelled, Style: terminal.Dim},
	}
	if !t.colors {
		for i := range segments {
			segments[i].Style = terminal.Plain
		}
	}
	width := cmp.Or(t.barWidth, narrowBar) - len(g.left) - len(g.right)
	return g.left + terminal.Bar(width, int64(counts.Total), g.blank, segments...) + g.right
}

// barWidth returns the width of a progress bar for the width of a terminal.
func barWidth(terminalWidth int) int {
	if terminalWidth < 100 {
		return narrowBar
	}
	return wideBar
}

// fileCounts returns the file counts of the status. Before the batch is created, the total is the
// number of files in the spec.
func fileCounts(b *v1alpha1.VectorStoreFileBatch) v1alpha1.FileCounts {
	if b.Status.FileCounts != nil {
		return *b.Status.FileCounts
	}
	return v1alpha1.FileCounts{Total: int32(len(b.Spec.FileIDs) + len(b.Spec.Files))} // at most maxFiles
}

func age(b *v1alpha1.VectorStoreFileBatch, now time.Time) string {
	if b.CreationTimestamp.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(b.CreationTimestamp.Time))
}

// reasonOf returns the reason and message of the condition Ready. It returns "" if the batch is in
// progress or completed.
func reasonOf(b *v1alpha1.VectorStoreFileBatch) string {
	ready := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "not reconciled yet"
	}
	if ready.Reason == v1alpha1.ReasonCompleted || ready.Reason == v1alpha1.ReasonInProgress {
		return ""
	}
	message := terminal.Escape(strings.Join(strings.Fields(ready.Message), " "))
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

func isFinished(b *v1alpha1.VectorStoreFileBatch) bool {
	return meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionFinished)
}

func byName(a, b v1alpha1.VectorStoreFileBatch) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// section returns the lines of a table of texts, of which the first row is the header. Texts can come
// from servers.
func (t table) section(rows [][]string) []string {
	lines := align(escaped(rows))
	lines[0] = t.paint(terminal.Bold, lines[0])
	return lines
}

// escaped returns rows that a terminal can show, with a hyphen in empty cells.
func escaped(rows [][]string) [][]string {
	safe := make([][]string, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			safe[i] = append(safe[i], cmp.Or(terminal.Escape(cell), "-"))
		}
	}
	return safe
}

// align formats rows as lines with aligned columns. The last column is not padded.
func align(rows [][]string) []string {
	var widths []int
	for _, row := range rows {
		widths = widen(widths, row)
	}
	lines := make([]string, 0, len(rows))
	for _, row := range rows {
		lines = append(lines, pad(row, widths))
	}
	return lines
}

// widen extends the widths of columns to fit the cells.
func widen(widths []int, cells []string) []int {
	for i, cell := range cells {
		if i == len(widths) {
			widths = append(widths, 0)
		}
		widths[i] = max(widths[i], terminal.Width(cell))
	}
	return widths
}

// pad formats a line of cells with the widths of the columns.
func pad(cells []string, widths []int) string {
	var line strings.Builder
	for i, cell := range cells {
		line.WriteString(cell)
		if i < len(cells)-1 {
			line.WriteString(strings.Repeat(" ", max(widths[i]-terminal.Width(cell), 0)) + gap)
		}
	}
	return strings.TrimRight(line.String(), " ")
}
