// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

const (
	charWidth  = 8.0 // of the widest font of style
	lineHeight = 18
	margin     = 14
	bar        = 30
	gap        = 14
)

const style = `text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#d6dde6;white-space:pre}
.was{opacity:0}
@keyframes shown{from{opacity:1}to{opacity:1}}@keyframes later{from{opacity:0}to{opacity:0}}
@media(prefers-reduced-motion:reduce){text{animation:none!important}}`

// draw returns the SVG of terminals: the first ones are below each other, and the last one is beside them. An animation
// shows each line at its time; without animations, the last lines are visible from the start.
func draw(terminals []*terminal) string {
	left, right := terminals[:len(terminals)-1], terminals[len(terminals)-1]
	var body strings.Builder
	y, leftWidth := 0.0, 0.0
	for _, t := range left {
		leftWidth = max(leftWidth, t.width())
	}
	for _, t := range left {
		window(&body, t, 0, y, leftWidth, t.height())
		y += t.height() + gap
	}
	height := max(y-gap, right.height())
	window(&body, right, leftWidth+gap, 0, right.width(), height)
	width := leftWidth + gap + right.width()
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img">`+"\n"+
		"<title>%s</title>\n<style>%s</style>\n%s</svg>\n", width, height, width, height, "kubectl vsfb list --watch beside kubectl get vsfb --watch", style, body.String())
}

func (t *terminal) width() float64  { return float64(t.columns)*charWidth + 2*margin }
func (t *terminal) height() float64 { return float64(bar + t.rows*lineHeight + margin) }

// window draws a terminal.
func window(svg *strings.Builder, t *terminal, x, y, width, height float64) {
	fmt.Fprintf(svg, `<g transform="translate(%.1f %.1f)"><rect width="%.1f" height="%.1f" rx="8" fill="#111827"/>`+"\n", x, y, width, height)
	for i, color := range []string{"#f87171", "#fbbf24", "#34d399"} {
		fmt.Fprintf(svg, `<circle cx="%d" cy="15" r="5" fill="%s"/>`+"\n", margin+4+i*17, color)
	}
	for _, s := range t.spans {
		class, animation := "", fmt.Sprintf("later %.1fs", s.from.Seconds())
		if s.to != 0 {
			class = ` class="was"`
			animation = fmt.Sprintf("shown %.1fs %.1fs", (s.to - s.from).Seconds(), s.from.Seconds())
		}
		fmt.Fprintf(svg, `<text x="%d" y="%d"%s xml:space="preserve" style="animation:%s">%s</text>`+"\n",
			margin, bar+(s.row+1)*lineHeight-4, class, animation, s.markup)
	}
	svg.WriteString("</g>\n")
}

// span is a line of a terminal, from one time to another; to is 0 for the last line of a row.
type span struct {
	row      int
	markup   string
	from, to time.Duration
}

// palette are the colors of the terminal, which are readable on its background, by those of the standard.
var palette = map[string]string{
	"#800000": "#fca5a5", "#008000": "#86efac", "#808000": "#fcd34d", "#000080": "#93c5fd", "#800080": "#d8b4fe", "#008080": "#7dd3fc", "#808080": "#9ca3af",
}

// markup returns the SVG of a row of the screen, with a tspan for each color.
func (t *terminal) markup(row int) string {
	var out, run strings.Builder
	color := ""
	flush := func() {
		text := run.String()
		run.Reset()
		if strings.TrimSpace(text) == "" || color == "" {
			out.WriteString(escape(text))
			return
		}
		fmt.Fprintf(&out, `<tspan fill="%s">%s</tspan>`, color, escape(text))
	}
	for column := range t.columns {
		cell := t.screen.CellAt(column, row)
		content, next := " ", ""
		if cell != nil && cell.Content != "" {
			content = cell.Content
			if cell.Style.Fg != nil {
				r, g, b, _ := cell.Style.Fg.RGBA()
				next = fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8)
				if readable, known := palette[next]; known {
					next = readable
				}
			}
		}
		if next != color && content != " " {
			flush()
			color = next
		}
		run.WriteString(content)
	}
	text := strings.TrimRight(run.String(), " ")
	run.Reset()
	run.WriteString(text)
	flush()
	return strings.TrimRight(out.String(), " ")
}

func escape(text string) string {
	var out strings.Builder
	// Writing to a Builder cannot fail.
	_ = xml.EscapeText(&out, []byte(text))
	return out.String()
}
