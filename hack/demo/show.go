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

// show prints what is going on.
type show struct {
	w       io.Writer
	colours bool
	// wrong are the checks that failed since the last verdict.
	wrong []string
}

// newShow uses colours on a terminal only, and not where NO_COLOR asks for none.
func newShow(file *os.File) *show {
	info, err := file.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &show{w: file, colours: terminal && os.Getenv("NO_COLOR") == ""}
}

const (
	bold  = "\x1b[1m"
	cyan  = "\x1b[36m"
	green = "\x1b[32m"
	red   = "\x1b[31m"
	reset = "\x1b[0m"
)

func (s *show) paint(colour, text string) string {
	if !s.colours {
		return text
	}
	return colour + text + reset
}

// say prints a line.
func (s *show) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.w, format+"\n", args...)
}

// heading begins a scene, and says in one sentence what it shows.
func (s *show) heading(title, sentence string) {
	s.say("\n%s\n%s\n", s.paint(bold, "== "+title+" =="), sentence)
}

// command shows a command as a person would type it.
func (s *show) command(typed string) { s.say("%s", s.paint(cyan, "$ "+typed)) }

// check shows whether something is as it should be.
func (s *show) check(what, want, is string) {
	if is == want {
		s.say("  %s  %s: %s", s.paint(green, "ok"), what, is)
		return
	}
	complaint := fmt.Sprintf("%s: expected %s, is %s", what, want, cmp.Or(is, "nothing at all"))
	s.say("  %s  %s", s.paint(red, "WRONG"), complaint)
	s.wrong = append(s.wrong, complaint)
}

// verdict is an error if a check failed since the last one.
func (s *show) verdict() error {
	if len(s.wrong) == 0 {
		return nil
	}
	wrong := s.wrong
	s.wrong = nil
	return errors.New(strings.Join(wrong, "\n  "))
}
