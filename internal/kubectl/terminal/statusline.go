// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"io"
	"os"
)

// StatusLine is a line at the bottom of a terminal that is redrawn in place. It is not safe for
// concurrent use.
type StatusLine struct {
	out  *os.File
	text string
}

// NewStatusLine returns an empty status line and hides the cursor. Close shows the cursor again.
func NewStatusLine(out *os.File) *StatusLine {
	_, _ = io.WriteString(out, hideCursor) // progress output must not fail the command
	return &StatusLine{out: out}
}

// Draw replaces the text of the line and truncates it to the width of the terminal.
func (l *StatusLine) Draw(text string) {
	width, _ := Size(l.out)
	// Leave the last column empty, so that the line does not wrap in a terminal that becomes narrower.
	text = Truncate(text, width-1)
	if text == l.text {
		return
	}
	l.text = text
	_, _ = io.WriteString(l.out, "\r"+text+clearToEnd)
}

// Print prints a permanent line above the status line.
func (l *StatusLine) Print(text string) {
	_, _ = io.WriteString(l.out, "\r"+clearToEnd+text+"\n"+l.text)
}

// Finish replaces the line by a permanent one, and leaves an empty status line below it.
func (l *StatusLine) Finish(text string) {
	l.text = ""
	l.Print(text)
}

// Close ends the line and shows the cursor.
func (l *StatusLine) Close() {
	end := showCursor
	if l.text != "" {
		end = "\n" + end
	}
	_, _ = io.WriteString(l.out, end)
}
