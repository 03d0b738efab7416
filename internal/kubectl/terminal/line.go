// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"io"
	"os"
)

// Line is the last line of a terminal, while something goes on. It is for one goroutine.
type Line struct {
	out  *os.File
	text string
}

// NewLine begins a line, and hides the cursor. Close shows it again.
func NewLine(out *os.File) *Line {
	_, _ = io.WriteString(out, hideCursor) // what shows a progress must not stop it
	return &Line{out: out}
}

// Draw shows a text in place of the last one, cut to the width of the terminal.
func (l *Line) Draw(text string) {
	width, _ := Size(l.out)
	// The last column stays free: after it, a narrower terminal would wrap.
	text = Cut(text, width-1)
	if text == l.text {
		return
	}
	l.text = text
	_, _ = io.WriteString(l.out, "\r"+text+clearToEnd)
}

// Print shows a text above the line, for good.
func (l *Line) Print(text string) {
	_, _ = io.WriteString(l.out, "\r"+clearToEnd+text+"\n"+l.text)
}

// Close ends the line, and shows the cursor.
func (l *Line) Close() {
	end := showCursor
	if l.text != "" {
		end = "\n" + end
	}
	_, _ = io.WriteString(l.out, end)
}
