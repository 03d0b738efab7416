// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package terminal draws output that is updated in place, and restores the terminal afterwards.
package terminal

import (
	"os"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// Control sequences of the VT220 and xterm.
const (
	hideCursor     = "\x1b[?25l"
	showCursor     = "\x1b[?25h"
	enterAlternate = "\x1b[?1049h"
	leaveAlternate = "\x1b[?1049l"
	home           = "\x1b[H"
	clearScreen    = "\x1b[2J"
	clearToEnd     = "\x1b[K"
)

// The size of the VT100, for terminals that do not report their size.
const (
	defaultWidth  = 80
	defaultHeight = 24
)

// FromStream returns the terminal that a reader or writer is connected to, and whether there is one
// that supports control sequences. termType is the value of $TERM.
func FromStream(stream any, termType string) (*os.File, bool) {
	file, isFile := stream.(*os.File)
	if !isFile || termType == "dumb" || !term.IsTerminal(int(file.Fd())) || !enableControlSequences(file) {
		return nil, false
	}
	return file, true
}

// Size returns the size of a terminal in characters.
func Size(terminal *os.File) (width, height int) {
	width, height, err := term.GetSize(int(terminal.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return defaultWidth, defaultHeight
	}
	return width, height
}

// Width returns the number of columns of a text.
func Width(text string) int { return ansi.StringWidth(text) }

// Truncate truncates a text to width columns and marks a truncated text with an ellipsis.
func Truncate(text string, width int) string {
	if Width(text) <= width {
		return text
	}
	return ansi.Truncate(text, max(width, 0), "…")
}

// Style is the SGR parameter of a text style.
type Style string

// Styles of text. Plain changes nothing.
const (
	Plain  Style = ""
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
)

// Paint returns the text in the style.
func (s Style) Paint(text string) string {
	if s == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[m"
}
