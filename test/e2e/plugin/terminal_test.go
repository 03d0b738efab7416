// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"golang.org/x/term"
)

// prompt is on the terminal before a command runs.
const prompt = "$ kubectl vsfb"

// terminal is a pseudo-terminal with a command, and its screen.
type terminal struct {
	*testing.T
	pty     *os.File
	command *exec.Cmd
	before  *term.State
	read    chan struct{}

	mu     sync.Mutex
	screen *vt.Emulator
	// frames are the states of the screen, in their order.
	frames [][]string
	sent   strings.Builder
}

// open runs the plugin in a terminal of a size.
func (w *workspace) open(columns, rows int, args ...string) *terminal {
	w.Helper()
	s := &terminal{T: w.T, screen: vt.NewEmulator(columns, rows), read: make(chan struct{})}
	s.show("line of another command\r\n" + prompt + "\r\n")
	s.command = w.Kubectl.Cmd(w.Context(), append([]string{"vsfb"}, args...)...)
	var err error
	if s.pty, err = pty.StartWithSize(s.command, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)}); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = s.pty.Close() })
	if s.before, err = term.GetState(int(s.pty.Fd())); err != nil {
		w.Fatal(err)
	}
	go func() {
		defer close(s.read)
		buffer := make([]byte, 1024)
		for {
			n, err := s.pty.Read(buffer)
			s.show(string(buffer[:n]))
			if err != nil {
				return // the command has exited
			}
		}
	}()
	return s
}

func (s *terminal) show(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent.WriteString(text)
	_, _ = s.screen.WriteString(text) // it takes everything
	s.frames = append(s.frames, s.lines())
}

func (s *terminal) lines() []string {
	lines := strings.Split(s.screen.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \r")
	}
	return lines
}

// now returns the screen.
func (s *terminal) now() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines()
}

// history returns all states of the screen.
func (s *terminal) history() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.frames)
}

// press types into the terminal.
func (s *terminal) press(keys string) {
	s.Helper()
	if _, err := s.pty.WriteString(keys); err != nil {
		s.Fatal(err)
	}
}

func (s *terminal) resize(columns, rows int) {
	s.Helper()
	s.mu.Lock()
	s.screen.Resize(columns, rows)
	s.mu.Unlock()
	if err := pty.Setsize(s.pty, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)}); err != nil {
		s.Fatal(err)
	}
}

// line returns the line of the screen that begins with a word.
func line(lines []string, word string) (string, bool) {
	i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, word) })
	if i < 0 {
		return "", false
	}
	return lines[i], true
}

// wantExit waits until the command exits, and requires that it restores the terminal: the cursor, the
// echo and the first screen.
func (s *terminal) wantExit(code int) {
	s.Helper()
	err := s.command.Wait()
	if got := s.command.ProcessState.ExitCode(); got != code {
		s.Errorf("it exited with %d (%v), want %d", got, err, code)
	}
	after, err := term.GetState(int(s.pty.Fd()))
	if err != nil {
		s.Fatal(err)
	}
	if *s.before != *after {
		s.Errorf("the settings of the terminal are %+[2]v, want %+[1]v", *s.before, *after)
	}
	<-s.read
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.screen.CursorHidden() {
		s.Error("the cursor is hidden")
	}
	if s.screen.IsAltScreen() {
		s.Error("the terminal's second screen is still shown")
	}
}
