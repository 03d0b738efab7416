// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
)

const (
	// redrawEvery is how often a progress bar is drawn.
	redrawEvery = 100 * time.Millisecond
	// steps is in how many lines a progress is told where there is no terminal.
	steps = 10
)

// progress shows how far an upload is, on the standard error: the standard output may be a
// manifest on its way into a file.
type progress struct {
	table table
	err   io.Writer
	out   *os.File
	line  *terminal.Line // nil where there is no terminal
	stop  chan struct{}
	idle  chan struct{}

	mu         sync.Mutex
	files      int
	bytes      int64
	done       int
	sent       int64
	reused     int
	toldAtStep int
}

func (c *create) newProgress(files []upload.File) *progress {
	p := &progress{err: c.Streams.ErrOut, files: len(files), stop: make(chan struct{}), idle: make(chan struct{})}
	for _, file := range files {
		p.bytes += file.Size
	}
	out, isTerminal := terminal.Of(c.Streams.ErrOut, c.Env("TERM"))
	if !isTerminal {
		close(p.idle)
		return p
	}
	p.out, p.line = out, terminal.NewLine(out)
	p.table = table{colours: c.Env("NO_COLOR") == "", blocks: c.utf8()}
	go p.redraw()
	return p
}

func (p *progress) redraw() {
	defer close(p.idle)
	ticker := time.NewTicker(redrawEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
			p.mu.Lock()
			p.line.Draw(p.text())
			p.mu.Unlock()
		}
	}
}

// text is the progress in a line.
func (p *progress) text() string {
	g := ascii
	if p.table.blocks {
		g = boxes
	}
	style := terminal.Plain
	if p.table.colours {
		style = terminal.Green
	}
	width, _ := terminal.Size(p.out)
	bar := terminal.Bar(barWidth(width), int64(p.files), g.blank, terminal.Part{Count: int64(p.done), Glyph: g.completed, Style: style})
	return fmt.Sprintf("%s%s%s %s", g.left, bar, g.right, p.counts())
}

func (p *progress) counts() string {
	text := fmt.Sprintf("%d of %d files, %s of %s", p.done, p.files, size(p.sent), size(p.bytes))
	if p.reused > 0 {
		text += fmt.Sprintf(", %d were there", p.reused)
	}
	return text
}

// uploaded takes in that a file is there.
func (p *progress) uploaded(file upload.File, reused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	p.sent += file.Size
	if reused {
		p.reused++
	}
	if step := p.done * steps / p.files; p.line == nil && step > p.toldAtStep {
		p.toldAtStep = step
		_, _ = fmt.Fprintf(p.err, "Uploaded %s.\n", p.counts())
	}
}

// note says something for good.
func (p *progress) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if p.line != nil {
		p.line.Print(text)
		return
	}
	_, _ = fmt.Fprintln(p.err, text)
}

// close ends it, and gives how many files are there.
func (p *progress) close() int {
	close(p.stop)
	<-p.idle
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line != nil {
		p.line.Draw(p.text())
		p.line.Close()
	}
	return p.done
}

// size is a number of bytes as people read it.
func size(bytes int64) string {
	const unit = 1000
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	value, prefix := float64(bytes), -1
	for value >= unit && prefix < 3 {
		value /= unit
		prefix++
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGT"[prefix])
}
