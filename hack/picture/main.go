// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command picture draws the output of the demo as a terminal in SVG, where each line appears at the time of
// its output. It reads a run of the demo as it goes, and draws two of its scenarios:
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

// scenarios are the headings of the demo that the picture shows.
var scenarios = []string{"A batch that completes", "A batch that is cancelled"}

// line is a line of the terminal, and the time of its output.
type line struct {
	text string
	at   time.Duration
}

func main() {
	lines, err := record(os.Stdin, os.Stderr)
	if err == nil && len(lines) == 0 {
		err = errors.New("the input has none of the scenarios: is it a run of the demo?")
	}
	if err == nil {
		_, err = io.WriteString(os.Stdout, draw(lines))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

// record reads the scenarios, and copies the input to output.
func record(input io.Reader, output io.Writer) ([]line, error) {
	var lines []line
	var scenario string
	var skipped, left time.Duration // the time of the scenarios that are not shown
	started := time.Now()
	input = io.TeeReader(input, output)
	scanner := bufio.NewScanner(input)
	for scanner.Scan() {
		text, at := scanner.Text(), time.Since(started)
		if title, isHeading := strings.CutPrefix(text, "== "); isHeading {
			if shown(scenario) {
				left = at
			}
			scenario = strings.TrimSuffix(title, " ==")
			if shown(scenario) {
				skipped += at - left
			}
			continue
		}
		if !shown(scenario) || !typed(text, lines) {
			continue
		}
		lines = append(lines, line{text, at - skipped})
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("reading the run: %w", err)
	}
	return lines, nil
}

func shown(scenario string) bool { return slices.Contains(scenarios, scenario) }

// typed reports whether a line belongs to a terminal session: it is no sentence and no check of the demo.
func typed(text string, before []line) bool {
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

// draw is the terminal after all lines. Where animations are shown, a line is hidden until its
// time has come; where not, all of it is there from the start.
func draw(lines []line) string {
	height := bar + len(lines)*lineHeight + margin
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&svg, "<title>%s</title>\n<style>%s</style>\n", escaped("The demo in a terminal"), style)
	fmt.Fprintf(&svg, `<rect width="%d" height="%d" rx="8" fill="#111827"/>`+"\n", width, height)
	for i, colour := range []string{"#f87171", "#fbbf24", "#34d399"} {
		fmt.Fprintf(&svg, `<circle cx="%d" cy="17" r="5.5" fill="%s"/>`+"\n", margin+i*19, colour)
	}
	for i, l := range lines {
		fmt.Fprintf(&svg, `<text x="%d" y="%d" class="%s" xml:space="preserve" style="animation:later %.1fs">%s</text>`+"\n",
			margin, bar+(i+1)*lineHeight, class(l.text), l.at.Seconds(), escaped(l.text))
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

func escaped(text string) string {
	var out strings.Builder
	// Writing to a Builder does not fail.
	_ = xml.EscapeText(&out, []byte(text))
	return out.String()
}
