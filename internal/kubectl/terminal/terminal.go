// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package terminal draws on a terminal what changes while one looks at it, and leaves the
// terminal as it was.
package terminal

import (
	"os"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// The sequences that are sent. All of them are as old as the VT220 and xterm.
const (
	hideCursor     = "\x1b[?25l"
	showCursor     = "\x1b[?25h"
	enterAlternate = "\x1b[?1049h"
	leaveAlternate = "\x1b[?1049l"
	home           = "\x1b[H"
	clearScreen    = "\x1b[2J"
	clearToEnd     = "\x1b[K"
)

// A terminal that does not tell its size has that of the VT100.
const (
	defaultWidth  = 80
	defaultHeight = 24
)

// Of gives the terminal behind a writer or a reader, if there is one that can be drawn on.
// kind is the value of $TERM.
func Of(stream any, kind string) (*os.File, bool) {
	file, isFile := stream.(*os.File)
	if !isFile || kind == "dumb" || !term.IsTerminal(int(file.Fd())) || !understands(file) {
		return nil, false
	}
	return file, true
}

// Size is the terminal's, in characters.
func Size(terminal *os.File) (width, height int) {
	width, height, err := term.GetSize(int(terminal.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return defaultWidth, defaultHeight
	}
	return width, height
}

// Width is how many columns a text takes.
func Width(text string) int { return ansi.StringWidth(text) }

// Cut makes a text fit into so many columns, and marks that it was cut.
func Cut(text string, width int) string {
	if Width(text) <= width {
		return text
	}
	return ansi.Truncate(text, max(width, 0), "…")
}

// Style is how text is coloured; an empty one leaves it as it is.
type Style string

// The styles.
const (
	Plain  Style = ""
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
)

// Paint colours a text.
func (s Style) Paint(text string) string {
	if s == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[m"
}
