// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// bars returns the lines with a progress bar.
func bars(lines []string) []string {
	var found []string
	for _, l := range lines {
		if strings.ContainsAny(l, "█░") {
			found = append(found, l)
		}
	}
	return found
}

// bar returns the line with the progress.
func bar(lines []string) (string, bool) {
	found := bars(lines)
	if len(found) == 0 {
		return "", false
	}
	return found[0], true
}

// wantBars requires that one bar at a time was shown, in one line, and that it only grew until the next phase
// began. No bar may remain.
func (s *terminal) wantBars(columns, steps int) {
	s.Helper()
	lengths := map[string][]int{}
	for i, lines := range s.history() {
		found := bars(lines)
		if len(found) == 0 {
			continue
		}
		if len(found) > 1 || ansi.StringWidth(found[0]) >= columns {
			s.Fatalf("frame %d has a wrapped bar, or more than one:\n%s", i, strings.Join(lines, "\n"))
		}
		phase, _, _ := strings.Cut(strings.TrimLeft(found[0], "█▓▒░ "), ":")
		lengths[phase] = append(lengths[phase], strings.Count(found[0], "█"))
	}
	most := 0
	for phase, grown := range lengths {
		if !slices.IsSorted(grown) {
			s.Errorf("the bar of %q shrinks: %v", phase, grown)
		}
		most = max(most, len(slices.Compact(grown)))
	}
	if most < steps {
		s.Errorf("no bar moves in %d steps: %v", steps, lengths)
	}
	if left := bars(s.now()); len(left) > 0 {
		s.Errorf("a bar remains: %q", left)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// A line that is cleared without a new text in the same write is seen as a flicker.
	if sent := s.sent.String(); strings.Contains(sent, "\x1b[2J") || strings.Contains(sent, "\x1b[2K") || strings.Contains(sent, "\r\x1b[K\r") {
		s.Errorf("it clears lines before it draws: %q", sent)
	}
}

// wantLine requires that the terminal shows a line.
func (s *terminal) wantLine(want string) {
	s.Helper()
	if !slices.ContainsFunc(s.now(), func(l string) bool { return strings.HasPrefix(l, want) }) {
		s.Errorf("the terminal shows\n%s\nwant %q", strings.TrimSpace(strings.Join(s.now(), "\n")), want)
	}
}

func TestCreate_Terminal(t *testing.T) {
	for _, columns := range []int{40, 80, 120} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, emulator.Options{})
			w.write(60)
			for i := range 3 {
				w.put(fmt.Sprintf("docs/%d 日本語のとても長い名前のファイル、端末の幅より長い🙂.png", i), "x")
			}
			w.Emulator.AddFault(emulator.Fault{Operation: emulator.Upload, Delay: 200 * time.Millisecond})
			s := w.open(columns, 24, w.creating("handbook", "docs", "--concurrency=4")...)
			s.wantExit(2)
			s.wantBars(columns, 4)
			s.wantLine("Uploading: 60 of 60 files")
		})
	}
}

// TestSync_Terminal shows a bar for each phase, also while files with wide names are refused.
func TestSync_Terminal(t *testing.T) {
	for _, columns := range []int{40, 80, 120} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, emulator.Options{Settings: emulator.Settings{Pace: 50 * time.Millisecond}})
			w.write(40)
			w.put("docs/日本語のとても長い名前のファイル、端末の幅より長い🙂.vsfb", "x")
			w.Emulator.AddFault(emulator.Fault{Operation: emulator.Upload, Delay: 100 * time.Millisecond})
			s := w.open(columns, 90, w.syncArgs("--allow-extension=vsfb", "--concurrency=4")...)
			s.wantExit(2)
			s.wantBars(columns, 4)
			for _, phase := range []string{"Hashing: 41 of 41 files", "Uploading: 40 of 41 files", "Processing: 40 of 40 files"} {
				s.wantLine(phase)
			}
			s.wantLine("In step, except for some documents"[:min(columns, 34)])
		})
	}
}

func TestSync_ResizedTerminal(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(60)
	w.Emulator.AddFault(emulator.Fault{Operation: emulator.Upload, Delay: 200 * time.Millisecond})
	s := w.open(120, 90, w.syncArgs("--concurrency=2")...)
	for _, columns := range []int{40, 100, 60} {
		w.until("an upload", func() bool { text, _ := bar(s.now()); return strings.Contains(text, "Uploading: ") })
		s.resize(columns, 90)
		before := len(s.history())
		w.until(fmt.Sprintf("a bar of less than %d columns", columns), func() bool {
			text, shown := bar(s.now())
			return shown && len(s.history()) > before+1 && ansi.StringWidth(text) < columns && len(bars(s.now())) == 1
		})
	}
	s.wantExit(0)
	if left := bars(s.now()); len(left) > 0 {
		t.Errorf("a bar remains: %q", left)
	}
	s.wantLine("In step: 60 added")
}

// TestProgress_RestoresTheTerminal interrupts commands with a bar, whose next run completes them.
func TestProgress_RestoresTheTerminal(t *testing.T) {
	for name, args := range map[string]func(*workspace) []string{
		"create": func(w *workspace) []string { return w.creating("handbook", "docs", "--concurrency=2") },
		"sync":   func(w *workspace) []string { return w.syncArgs("--concurrency=2") },
	} {
		for how, interrupt := range map[string]func(s *terminal){
			"Ctrl-C":  func(s *terminal) { s.press("\x03") },
			"SIGTERM": func(s *terminal) { _ = s.command.Process.Signal(syscall.SIGTERM) },
			"SIGHUP":  func(s *terminal) { _ = s.command.Process.Signal(syscall.SIGHUP) },
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				w := newWorkspace(t, emulator.Options{})
				w.write(60)
				w.Emulator.AddFault(emulator.Fault{Operation: emulator.Upload, Delay: 100 * time.Millisecond, Times: 60})
				s := w.open(80, 90, args(w)...)
				w.until("some uploads", func() bool {
					text, _ := bar(s.now())
					return strings.Contains(text, "Uploading") && strings.Contains(text, "█")
				})
				interrupt(s)
				s.wantExit(130)
				s.wantLine("error: interrupted")
				if left := bars(s.now()); len(left) > 0 {
					t.Errorf("a bar remains: %q", left)
				}
				if uploads := len(w.uploads()); uploads == 0 || uploads == 60 {
					t.Errorf("it was interrupted after %d uploads", uploads)
				}
				w.wantExit(0, args(w)...)
				if uploads := len(w.uploads()); uploads != 60 {
					t.Errorf("%d files were uploaded, want 60", uploads)
				}
			})
		}
	}
}

// TestProgress_Pipe shows plain lines without a terminal.
func TestProgress_Pipe(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.write(20)
	w.Emulator.AddFault(emulator.Fault{Operation: emulator.Upload, Delay: 200 * time.Millisecond})
	for _, args := range [][]string{w.creating("handbook", "docs", "--concurrency=1"), w.syncArgs("--concurrency=1")} {
		output, complaint := w.wantExit(0, args...)
		lines := strings.Split(complaint, "\n")
		if strings.ContainsAny(output+complaint, "\x1b\r█░") || len(slices.Compact(slices.Clone(lines))) != len(lines) {
			t.Errorf("it prints %q %q", output, complaint)
		}
		if steps := strings.Count(complaint, "Uploading: "); steps < 4 || steps > 10 || !strings.Contains(complaint, "Uploading: 20 of 20 files") {
			t.Errorf("it prints %d lines about uploads:\n%s", steps, complaint)
		}
	}
}
