// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// Screen is a full-screen view on the alternate screen of a terminal. Closing it restores the normal
// screen and its content.
type Screen struct {
	out         *os.File
	restoreEcho func()

	width, height int
	lines         []string
}

// NewScreen switches to the alternate screen and disables the echo of in. Close restores both.
func NewScreen(out *os.File, in io.Reader) (*Screen, error) {
	s := &Screen{out: out, restoreEcho: disableEcho(in)}
	if _, err := io.WriteString(out, enterAlternate+hideCursor+clearScreen+home); err != nil {
		s.restoreEcho()
		return nil, fmt.Errorf("writing to the terminal: %w", err)
	}
	return s, nil
}

// Close restores the terminal.
func (s *Screen) Close() error {
	s.restoreEcho()
	if _, err := io.WriteString(s.out, leaveAlternate+showCursor); err != nil {
		return fmt.Errorf("writing to the terminal: %w", err)
	}
	return nil
}

// Size returns the size of the terminal in characters.
func (s *Screen) Size() (width, height int) { return Size(s.out) }

// Draw draws lines from the top of the screen. To avoid flicker, it writes only lines that changed,
// in a single write, and does not clear them first. It truncates long lines and omits lines below
// the bottom, so that nothing wraps or scrolls.
func (s *Screen) Draw(lines []string) error {
	width, height := s.Size()
	if width != s.width || height != s.height {
		s.width, s.height = width, height
		s.lines = make([]string, height)
		for i := range s.lines {
			s.lines[i] = "\x00" // differs from every line
		}
	}
	var frame strings.Builder
	for i := range s.lines {
		line := ""
		if i < len(lines) {
			line = Truncate(lines[i], width)
		}
		if line == s.lines[i] {
			continue
		}
		s.lines[i] = line
		fmt.Fprintf(&frame, "\x1b[%d;1H%s", i+1, line)
		// After a full line, the cursor is still on the last character, which must not be cleared.
		if Width(line) < width {
			frame.WriteString(clearToEnd)
		}
	}
	if frame.Len() == 0 {
		return nil
	}
	frame.WriteString(home)
	if _, err := io.WriteString(s.out, frame.String()); err != nil {
		return fmt.Errorf("writing to the terminal: %w", err)
	}
	return nil
}
