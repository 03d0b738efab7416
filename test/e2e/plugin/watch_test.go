// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"bufio"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// steady is a pace at which the progress of a batch of 40 files is visible.
var steady = emulator.Options{Settings: emulator.Settings{Pace: 100 * time.Millisecond}}

// watched creates the batches to watch: one that proceeds, one with failed files, and one that waits
// with a long message.
func (w *workspace) watched() []string {
	w.Helper()
	w.kubectl("create", "secret", "generic", "broken", "--from-literal=OPENAI_BASE_URL="+w.BaseURL)
	w.apply("git", manifest("archive", []string{"file-a", "file-b", "file-c"}, "  credentialsRef: {name: broken}"))
	w.await("archive", v1alpha1.ReasonCredentialsNotFound)
	w.apply("git", manifest("handbook", fileIDs("file-", 40)))
	w.apply("git", manifest("scans", append(fileIDs("file-fail-", 2), fileIDs("file-", 4)...)))
	return []string{"archive", "handbook", "scans"}
}

func TestWatch_Terminal(t *testing.T) {
	for _, columns := range []int{80, 120} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, steady)
			names := w.watched()
			s := w.open(columns, 24, "--watch")
			w.until("handbook and scans to finish", func() bool {
				handbook, _ := line(s.now(), "handbook")
				scans, _ := line(s.now(), "scans")
				return strings.Contains(handbook, "40/40") && strings.Contains(scans, "FilesFailed")
			})
			first := slices.IndexFunc(s.history(), func(lines []string) bool { return inPlace(lines, names) })
			if first < 0 {
				t.Fatalf("the screen never shows the batches: %q", s.now())
			}
			s.wantSteady(first, names)
			s.wantMovingBar(first, "handbook")
			archive, _ := line(s.now(), "archive")
			if cut := len([]rune(archive)) == columns && strings.HasSuffix(archive, "…"); !cut {
				t.Errorf("a long line is not cut at column %d: %q", columns, archive)
			}
			s.press("zzz")
			s.press("\x03")
			s.wantExit(130)
			want := []string{"line of another command", prompt}
			if now := s.now(); !slices.Equal(now[:2], want) || strings.TrimSpace(strings.Join(now[2:], "")) != "" {
				t.Errorf("afterwards the terminal shows %q", now)
			}
			s.wantNoTrace("zzz")
		})
	}
}

// inPlace reports whether the screen shows the header and the batches below it, and nothing else.
func inPlace(lines, names []string) bool {
	if !strings.HasPrefix(lines[0], "NAME") {
		return false
	}
	for i, name := range names {
		if !strings.HasPrefix(lines[i+1], name+" ") {
			return false
		}
	}
	return strings.TrimSpace(strings.Join(lines[len(names)+1:], "")) == ""
}

// wantSteady requires that no line moves from a frame on: the screen never clears, wraps or scrolls.
func (s *terminal) wantSteady(first int, names []string) {
	s.Helper()
	frames := s.history()
	for i, lines := range frames[first:] {
		if !inPlace(lines, names) {
			s.Fatalf("frame %d of %d is\n%s", first+i, len(frames), strings.Join(lines, "\n"))
		}
	}
}

// wantMovingBar requires that the bar of a batch only grows, in many steps.
func (s *terminal) wantMovingBar(first int, name string) {
	s.Helper()
	var lengths []int
	for _, lines := range s.history()[first:] {
		text, _ := line(lines, name)
		lengths = append(lengths, strings.Count(text, "█"))
	}
	if !slices.IsSorted(lengths) {
		s.Errorf("the bar of %s shrinks: %v", name, lengths)
	}
	if steps := slices.Compact(lengths); len(steps) < 5 {
		s.Errorf("the bar of %s moves in few steps: %v", name, steps)
	}
}

func (s *terminal) wantNoTrace(text string) {
	s.Helper()
	for _, lines := range s.history() {
		if strings.Contains(strings.Join(lines, "\n"), text) {
			s.Errorf("the screen shows the typed keys: %q", lines)
			return
		}
	}
}

func TestWatch_ResizedTerminal(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, slow)
	names := w.watched()
	s := w.open(120, 24, "-w")
	w.until("the batches", func() bool { return inPlace(s.now(), names) })
	for _, columns := range []int{60, 110, 80} {
		s.resize(columns, 24)
		w.until(fmt.Sprintf("a cut at column %d", columns), func() bool {
			archive, _ := line(s.now(), "archive")
			return len([]rune(archive)) == columns && strings.HasSuffix(archive, "…") && inPlace(s.now(), names)
		})
	}
	// The header and three batches do not fit on three lines.
	s.resize(80, 3)
	w.until("the number of omitted batches", func() bool {
		lines := s.now()
		return len(lines) == 3 && lines[2] == "and 2 more" && strings.HasPrefix(lines[1], names[0])
	})
	s.press("\x03")
	s.wantExit(130)
}

func TestWatch_RestoresTheTerminalOnSignals(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, slow)
	names := w.watched()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		s := w.open(80, 24, "-w")
		w.until("the batches", func() bool { return inPlace(s.now(), names) })
		if err := s.command.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		s.wantExit(130)
	}
}

func TestWatch_Pipe(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, steady)
	w.watched()
	command := w.Kubectl.Cmd(t.Context(), "vsfb", "list", "--watch")
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for scanner := bufio.NewScanner(output); scanner.Scan(); {
		lines = append(lines, scanner.Text())
		if regexp.MustCompile(`^handbook .* 40/40 `).MatchString(scanner.Text()) {
			break
		}
	}
	if err := command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait() // the signal ends it
	if strings.Join(strings.Fields(lines[0]), " ") != "NAME STATUS PROGRESS FILES FAILED AGE REASON" {
		t.Errorf("the first line is %q", lines[0])
	}
	plain := regexp.MustCompile(`^(archive|handbook|scans) +(-|[a-z_]+) +\[[#x.-]{14}\] +\d+/\d+ +\d+ +\d+[a-z]`)
	counts := map[string]int{}
	for _, text := range lines[1:] {
		if !plain.MatchString(text) {
			t.Errorf("the line is not plain: %q", text)
		}
		counts[strings.Fields(text)[0]]++
	}
	if counts["handbook"] < 5 || counts["archive"] < 1 || counts["scans"] < 1 {
		t.Errorf("the lines are\n%s", strings.Join(lines, "\n"))
	}
	if said := slices.Compact(slices.Clone(lines)); len(said) != len(lines) {
		t.Errorf("lines repeat:\n%s", strings.Join(lines, "\n"))
	}
}
