// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// Screen is the whole of a terminal, while something is watched on it. It is the terminal's
// second screen, so that the first one, with all that was on it, comes back at the end.
type Screen struct {
	out    *os.File
	unmute func()

	width, height int
	lines         []string
}

// NewScreen takes the terminal over, and keeps it from showing what is typed into in. Close
// gives it back.
func NewScreen(out *os.File, in io.Reader) (*Screen, error) {
	s := &Screen{out: out, unmute: silence(in)}
	if _, err := io.WriteString(out, enterAlternate+hideCursor+clearScreen+home); err != nil {
		s.unmute()
		return nil, fmt.Errorf("writing to the terminal: %w", err)
	}
	return s, nil
}

// Close gives the terminal back as it was.
func (s *Screen) Close() error {
	s.unmute()
	if _, err := io.WriteString(s.out, leaveAlternate+showCursor); err != nil {
		return fmt.Errorf("writing to the terminal: %w", err)
	}
	return nil
}

// Size is the terminal's, in characters.
func (s *Screen) Size() (width, height int) { return Size(s.out) }

// Draw shows lines from the top of the screen down. Only those that changed are written, all of
// them at once, and nothing is cleared before it is written, so that nothing flickers. A line
// that is too long is cut, and lines that are too many are left out: nothing wraps or scrolls.
func (s *Screen) Draw(lines []string) error {
	width, height := s.Size()
	if width != s.width || height != s.height {
		s.width, s.height = width, height
		s.lines = make([]string, height)
		for i := range s.lines {
			s.lines[i] = "\x00" // like no line
		}
	}
	var frame strings.Builder
	for i := range s.lines {
		line := ""
		if i < len(lines) {
			line = Cut(lines[i], width)
		}
		if line == s.lines[i] {
			continue
		}
		s.lines[i] = line
		fmt.Fprintf(&frame, "\x1b[%d;1H%s", i+1, line)
		// After a full line the cursor still stands on its last character.
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
