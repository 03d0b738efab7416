// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command picture renders the output of the demo as an animated SVG of a terminal, in which each line
// appears at the time at which the demo printed it. It renders two sections of the demo:
//
//	bin/demo | bin/picture >docs/images/demo.svg
package main

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// sections are the headings of the sections that the picture shows.
var sections = []string{"A batch that completes", "A batch that is cancelled"}

// line is a line of the terminal and the time at which it was printed.
type line struct {
	text string
	at   time.Duration
}

func main() {
	lines, err := record(os.Stdin, os.Stderr)
	if err == nil && len(lines) == 0 {
		err = errors.New("the input contains none of the sections; pipe the output of the demo into this command")
	}
	if err == nil {
		_, err = io.WriteString(os.Stdout, draw(lines))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

// record reads the sections, and copies the input to progress.
func record(input io.Reader, progress io.Writer) ([]line, error) {
	var lines []line
	var section string
	var skipped, left time.Duration // duration of the sections that are not shown, and the end of the last shown one
	started := time.Now()
	scanner := bufio.NewScanner(io.TeeReader(input, progress))
	for scanner.Scan() {
		text, at := scanner.Text(), time.Since(started)
		if title, isHeading := strings.CutPrefix(text, "== "); isHeading {
			if shown(section) {
				left = at
			}
			section = strings.TrimSuffix(title, " ==")
			if shown(section) {
				skipped += at - left
			}
			continue
		}
		if !shown(section) || !inTerminal(text, lines) {
			continue
		}
		lines = append(lines, line{text, at - skipped})
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("reading the output of the demo: %w", err)
	}
	return lines, nil
}

func shown(section string) bool { return slices.Contains(sections, section) }

// inTerminal reports whether a line is part of the terminal session, unlike the sentences and checks
// of the demo.
func inTerminal(text string, before []line) bool {
	isCommand := strings.HasPrefix(text, "$ ")
	isCheck := strings.HasPrefix(text, "  ok  ") || strings.TrimSpace(text) == ""
	isSentence := strings.HasSuffix(text, ".")
	return isCommand || len(before) > 0 && !isCheck && !isSentence
}

const (
	lineHeight = 19
	margin     = 20
	bar        = 34
	width      = 760
)

const style = `text{font:13.5px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#d6dde6;white-space:pre}
.command{fill:#7dd3fc;font-weight:600}.completed{fill:#86efac}.cancelled{fill:#fcd34d}
@keyframes later{from{opacity:0}to{opacity:0}}
@media(prefers-reduced-motion:reduce){text{animation:none!important}}`

// draw returns the SVG. An animation hides each line until its time; without animations all lines are
// visible from the start.
func draw(lines []line) string {
	height := bar + len(lines)*lineHeight + margin
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&svg, "<title>%s</title>\n<style>%s</style>\n", escape("The demo in a terminal"), style)
	fmt.Fprintf(&svg, `<rect width="%d" height="%d" rx="8" fill="#111827"/>`+"\n", width, height)
	for i, color := range []string{"#f87171", "#fbbf24", "#34d399"} {
		fmt.Fprintf(&svg, `<circle cx="%d" cy="17" r="5.5" fill="%s"/>`+"\n", margin+i*19, color)
	}
	for i, l := range lines {
		fmt.Fprintf(&svg, `<text x="%d" y="%d" class="%s" xml:space="preserve" style="animation:later %.1fs">%s</text>`+"\n",
			margin, bar+(i+1)*lineHeight, class(l.text), l.at.Seconds(), escape(l.text))
	}
	svg.WriteString("</svg>\n")
	return svg.String()
}

func class(text string) string {
	switch {
	case strings.HasPrefix(text, "$ "):
		return "command"
	case strings.Contains(text, "   completed "):
		return "completed"
	case strings.Contains(text, "   cancelled "):
		return "cancelled"
	default:
		return "output"
	}
}

func escape(text string) string {
	var out strings.Builder
	// Writing to a Builder cannot fail.
	_ = xml.EscapeText(&out, []byte(text))
	return out.String()
}
