// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// plot is a chart with a logarithmic x axis and a y axis from 0.
type plot struct {
	title, xLabel, yLabel string
	lines                 []line
}

// line is a line of a plot.
type line struct {
	name, colour string
	points       []point
}

type point struct{ x, y float64 }

// growthPlot plots costs.
func growthPlot(costs []cost) plot {
	polls, reconciles := line{name: "per poll", colour: "#0b6bcb"}, line{name: "per reconciliation", colour: "#c4561a"}
	for _, c := range costs {
		polls.points = append(polls.points, point{float64(c.objects), c.poll})
		reconciles.points = append(reconciles.points, point{float64(c.objects), c.reconcile})
	}
	return plot{
		title: "CPU time of the manager, polling at the rate limit", xLabel: "objects", yLabel: "µs",
		lines: []line{polls, reconciles},
	}
}

// The size of the image and its margins, in pixels.
const (
	width, height            = 720, 400
	left, right, top, bottom = 70, 20, 50, 90
)

// svg renders the plot.
func (p plot) svg() string {
	lowest, highest, most := math.Inf(1), 1.0, 0.0
	for _, l := range p.lines {
		for _, at := range l.points {
			lowest, highest, most = min(lowest, at.x), max(highest, at.x), max(most, at.y)
		}
	}
	step := roundStep(most / 5)
	ceiling := step * max(1, math.Ceil(most/step))
	x := func(value float64) float64 {
		part := 0.5 // if all have the same x
		if highest > lowest {
			part = math.Log(value/lowest) / math.Log(highest/lowest)
		}
		return left + part*(width-left-right)
	}
	y := func(value float64) float64 { return height - bottom - value/ceiling*(height-top-bottom) }

	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, height)
	fmt.Fprintf(&s, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	s.WriteString(text(width/2, 25, "middle", p.title))
	for value := 0.0; value <= ceiling+step/2; value += step {
		fmt.Fprintf(&s, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>`+"\n", left, y(value), width-right, y(value))
		s.WriteString(text(left-8, y(value)+4, "end", fmt.Sprintf("%g", value)))
	}
	s.WriteString(text(left-8, top-12, "end", p.yLabel))
	s.WriteString(text(width/2, height-bottom+42, "middle", p.xLabel))
	for i, l := range p.lines {
		var path []string
		for _, at := range l.points {
			path = append(path, fmt.Sprintf("%.1f,%.1f", x(at.x), y(at.y)))
			fmt.Fprintf(&s, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`+"\n", x(at.x), y(at.y), l.colour)
			if i == 0 {
				s.WriteString(text(x(at.x), height-bottom+20, "middle", thousands(int(at.x))))
			}
		}
		fmt.Fprintf(&s, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(path, " "), l.colour)
		fmt.Fprintf(&s, `<rect x="%d" y="%d" width="12" height="12" fill="%s"/>`+"\n", left+i*240, height-26, l.colour)
		s.WriteString(text(float64(left+18+i*240), height-15, "start", l.name))
	}
	s.WriteString("</svg>\n")
	return s.String()
}

func text(x, y float64, anchor, words string) string {
	return fmt.Sprintf(`<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(words))
}

// roundStep returns the next larger 1, 2 or 5 times a power of ten.
func roundStep(least float64) float64 {
	if least <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, digit := range []float64{1, 2, 5} {
		if digit*power >= least {
			return digit * power
		}
	}
	return 10 * power
}
