// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// show prints the run.
type show struct {
	w      io.Writer
	colors bool
	// wrong lists the checks that failed since the last result.
	wrong []string
}

// newShow returns a show that uses colors on a terminal, unless NO_COLOR is set.
func newShow(file *os.File) *show {
	info, err := file.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &show{w: file, colors: terminal && os.Getenv("NO_COLOR") == ""}
}

const (
	bold  = "\x1b[1m"
	cyan  = "\x1b[36m"
	green = "\x1b[32m"
	red   = "\x1b[31m"
	reset = "\x1b[0m"
)

func (s *show) paint(color, text string) string {
	if !s.colors {
		return text
	}
	return color + text + reset
}

// print prints text.
func (s *show) print(text string) { _, _ = io.WriteString(s.w, text) }

// say prints a line.
func (s *show) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.w, format+"\n", args...)
}

// heading prints the title of a scenario, and a sentence about it.
func (s *show) heading(title, sentence string) {
	s.say("\n%s\n%s\n", s.paint(bold, "== "+title+" =="), sentence)
}

// command prints a command as a user types it.
func (s *show) command(typed string) { s.say("%s", s.paint(cyan, "$ "+typed)) }

// check prints whether a value is the expected one.
func (s *show) check(what, want, is string) {
	if is == want {
		s.say("  %s  %s: %s", s.paint(green, "ok"), what, is)
		return
	}
	complaint := fmt.Sprintf("%s: expected %s, is %s", what, want, cmp.Or(is, "empty"))
	s.say("  %s  %s", s.paint(red, "WRONG"), complaint)
	s.wrong = append(s.wrong, complaint)
}

// result returns an error if a check failed since the last result.
func (s *show) result() error {
	if len(s.wrong) == 0 {
		return nil
	}
	wrong := s.wrong
	s.wrong = nil
	return errors.New(strings.Join(wrong, "\n  "))
}
