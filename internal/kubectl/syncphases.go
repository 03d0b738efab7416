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

// phases shows the progress of a run on standard error: a bar for the current phase in a terminal, and
// lines otherwise. It implements sync.Progress of package internal/kubectl/sync.
type phases struct {
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
	lastStep    int
	started     time.Time
}

func (s *syncFolder) newPhases() *phases {
	p := &phases{out: s.Streams.ErrOut, stop: make(chan struct{}), idle: make(chan struct{})}
	if p.table, p.screen = s.newTable(s.Streams.ErrOut); p.screen == nil {
		close(p.idle)
		return p
	}
	p.status = terminal.NewStatusLine(p.screen)
	go p.redraw()
	return p
}

func (p *phases) redraw() {
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

func (p *phases) draw() {
	if p.phase == "" {
		return
	}
	width, _ := terminal.Size(p.screen)
	p.table.barWidth = barWidth(width)
	bar := p.table.bar(v1alpha1.FileCounts{Completed: int32(min(p.done, p.files)), Total: int32(p.files)})
	p.status.Draw(bar + " " + p.text())
}

// text describes the phase.
func (p *phases) text() string {
	text := fmt.Sprintf("%s: %d of %s", p.phase, min(p.done, p.files), counted(p.files, "file", "files"))
	if p.bytes > 0 {
		text += fmt.Sprintf(", %s of %s", formatBytes(min(p.sent, p.bytes)), formatBytes(p.bytes))
	}
	return text
}

// Start implements sync.Progress. A phase that starts again, such as waiting, is not printed again.
func (p *phases) Start(phase string, files int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if phase == p.phase && files == p.files && p.done == 0 {
		return
	}
	p.end()
	p.phase, p.files, p.bytes, p.done, p.sent, p.lastStep, p.started = phase, files, bytes, 0, 0, 0, time.Now()
	if p.status != nil {
		p.draw()
	}
}

// end leaves a line about the phase in a terminal, if it did something.
func (p *phases) end() {
	if p.status != nil && p.phase != "" && p.done > 0 {
		p.draw()
		p.status.Print(p.text())
		p.status.Draw("")
	}
}

// Add implements sync.Progress.
func (p *phases) Add(files int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.sent = p.done+files, p.sent+bytes
	if p.status != nil || p.files == 0 {
		return
	}
	if step := p.done * progressSteps / p.files; step > p.lastStep {
		p.lastStep = step
		// Short phases have one line.
		if step >= progressSteps || time.Since(p.started) > time.Second {
			_, _ = fmt.Fprintf(p.out, "%s.\n", p.text())
		}
	}
}

// Logf implements sync.Progress.
func (p *phases) Logf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := terminal.Escape(fmt.Sprintf(format, args...))
	if p.status != nil {
		p.status.Print(text)
		return
	}
	_, _ = fmt.Fprintln(p.out, text)
}

// close ends the last phase.
func (p *phases) close() {
	p.mu.Lock()
	if p.phase == "" && p.status == nil {
		p.mu.Unlock()
		return
	}
	p.end()
	p.phase = ""
	p.mu.Unlock()
	if p.status == nil {
		return
	}
	close(p.stop)
	<-p.idle
	p.status.Draw("")
	p.status.Close()
	p.status = nil
}

// pausePhases removes the status line while show prints on standard output, which can be the same
// terminal.
func (s *syncFolder) pausePhases(show func()) {
	s.phases.mu.Lock()
	defer s.phases.mu.Unlock()
	if s.phases.status != nil {
		s.phases.end()
		s.phases.phase = ""
		s.phases.status.Draw("")
	}
	show()
}
