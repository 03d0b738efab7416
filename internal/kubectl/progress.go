// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
)

const (
	// progressInterval is the time between two redraws of the progress bar.
	progressInterval = 100 * time.Millisecond
	// progressSteps is the number of progress lines if the output is not a terminal.
	progressSteps = 10
)

// progress shows the progress of a run on standard error, because standard output can be redirected to a
// file: a bar for the current phase in a terminal, and lines otherwise. It implements sync.Progress of
// package internal/kubectl/sync.
type progress struct {
	out    io.Writer
	table  table
	screen *os.File
	status *terminal.StatusLine // nil if the output is not a terminal
	stop   chan struct{}
	idle   chan struct{} // closed when redraw has returned

	mu          sync.Mutex
	phase       string
	files, done int
	bytes, sent int64
	// reused is the number of files that an earlier run uploaded.
	reused   int
	lastStep int
	started  time.Time
}

func (p *plugin) newProgress() *progress {
	shown := &progress{out: p.Streams.ErrOut, stop: make(chan struct{}), idle: make(chan struct{})}
	if shown.table, shown.screen = p.newTable(p.Streams.ErrOut); shown.screen == nil {
		close(shown.idle)
		return shown
	}
	shown.status = terminal.NewStatusLine(shown.screen)
	go shown.redraw()
	return shown
}

func (p *progress) redraw() {
	defer close(p.idle)
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		}
	}
}

func (p *progress) draw() {
	if p.phase == "" {
		return
	}
	width, _ := terminal.Size(p.screen)
	p.table.barWidth = barWidth(width)
	bar := p.table.bar(v1alpha1.FileCounts{Completed: int32(min(p.done, p.files)), Total: int32(p.files)})
	p.status.Draw(bar + " " + p.text())
}

// text describes the phase.
func (p *progress) text() string {
	text := fmt.Sprintf("%s: %d of %s", p.phase, min(p.done, p.files), counted(p.files, "file", "files"))
	if p.bytes > 0 {
		text += fmt.Sprintf(", %s of %s", formatBytes(min(p.sent, p.bytes)), formatBytes(p.bytes))
	}
	if p.reused > 0 {
		text += fmt.Sprintf(", %d already uploaded", p.reused)
	}
	return text
}

// Start implements sync.Progress. A phase that starts again, such as waiting, is not printed again.
func (p *progress) Start(phase string, files int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if phase == p.phase && files == p.files && p.done == 0 {
		return
	}
	p.leaveLine()
	p.phase, p.files, p.bytes, p.done, p.sent, p.reused, p.lastStep, p.started = phase, files, bytes, 0, 0, 0, 0, time.Now()
	if p.status != nil {
		p.draw() // over the bar of the phase before
	}
}

// leaveLine leaves a line about the phase in a terminal, if it did something.
func (p *progress) leaveLine() {
	if p.status != nil && p.phase != "" && p.done > 0 {
		p.status.Finish(p.text())
	}
	p.phase = ""
}

// end ends the phase, and removes its bar.
func (p *progress) end() {
	p.leaveLine()
	if p.status != nil {
		p.status.Draw("")
	}
}

// Add implements sync.Progress.
func (p *progress) Add(files int, bytes int64) { p.add(files, bytes, 0) }

// Reuse adds a file that an earlier run uploaded.
func (p *progress) Reuse(bytes int64) { p.add(1, bytes, 1) }

// Omit removes a file from the phase.
func (p *progress) Omit(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files--
	p.bytes -= bytes
	p.report()
}

func (p *progress) add(files int, bytes int64, reused int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.sent, p.reused = p.done+files, p.sent+bytes, p.reused+reused
	p.report()
}

// report prints a line if the output is not a terminal. Short phases have one line.
func (p *progress) report() {
	if p.status != nil || p.files == 0 {
		return
	}
	if step := p.done * progressSteps / p.files; step > p.lastStep {
		p.lastStep = step
		if step >= progressSteps || time.Since(p.started) > time.Second {
			_, _ = fmt.Fprintf(p.out, "%s.\n", p.text())
		}
	}
}

// Logf implements sync.Progress. In a terminal, the line remains above the bar.
func (p *progress) Logf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := terminal.Escape(fmt.Sprintf(format, args...))
	if p.status != nil {
		p.status.Print(text)
		return
	}
	_, _ = fmt.Fprintln(p.out, text)
}

// pause removes the bar while show prints on standard output, which can be the same terminal.
func (p *progress) pause(show func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
	show()
}

// close ends the last phase and restores the terminal.
func (p *progress) close() {
	p.mu.Lock()
	p.end()
	p.mu.Unlock()
	if p.status == nil {
		return
	}
	close(p.stop)
	<-p.idle
	p.status.Close()
	p.status = nil
}

// formatBytes formats a number of bytes with an SI prefix.
func formatBytes(bytes int64) string {
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
