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
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/upload"
)

const (
	// progressInterval is the time between two redraws of the progress bar.
	progressInterval = 100 * time.Millisecond
	// progressSteps is the number of progress lines if the output is not a terminal.
	progressSteps = 10
)

// progress shows the progress of an upload on standard error, because standard output can be
// redirected to a file for the manifest.
type progress struct {
	out    io.Writer
	table  table
	screen *os.File
	status *terminal.StatusLine // nil if the output is not a terminal
	stop   chan struct{}
	idle   chan struct{} // closed when redraw has returned

	mu       sync.Mutex
	files    int
	bytes    int64
	done     int
	sent     int64
	reused   int
	refused  int
	lastStep int
}

func (c *create) newProgress(files []upload.File) *progress {
	p := &progress{out: c.Streams.ErrOut, files: len(files), stop: make(chan struct{}), idle: make(chan struct{})}
	for _, file := range files {
		p.bytes += file.Size
	}
	if p.table, p.screen = c.newTable(c.Streams.ErrOut); p.screen == nil {
		close(p.idle)
		return p
	}
	p.status = terminal.NewStatusLine(p.screen)
	go p.redraw()
	return p
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
			p.status.Draw(p.text())
			p.mu.Unlock()
		}
	}
}

// text returns the progress bar and the counts.
func (p *progress) text() string {
	width, _ := terminal.Size(p.screen)
	p.table.barWidth = barWidth(width)
	bar := p.table.bar(v1alpha1.FileCounts{Completed: int32(p.done), Total: int32(p.files)})
	return bar + " " + p.counts()
}

func (p *progress) counts() string {
	text := fmt.Sprintf("%d of %d files, %s of %s", p.done, p.files, formatBytes(p.sent), formatBytes(p.bytes))
	if p.reused > 0 {
		text += fmt.Sprintf(", %d already uploaded", p.reused)
	}
	return text
}

// uploaded records that the API has a file.
func (p *progress) uploaded(file upload.File, reused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	p.sent += file.Size
	if reused {
		p.reused++
	}
	p.report()
}

// report prints a line of progress if the output is not a terminal.
func (p *progress) report() {
	if p.status != nil || p.files == 0 {
		return
	}
	if step := p.done * progressSteps / p.files; step > p.lastStep {
		p.lastStep = step
		_, _ = fmt.Fprintf(p.out, "Uploaded %s.\n", p.counts())
	}
}

// refuse names a file that cannot be uploaded.
func (p *progress) refuse(file upload.File, err error) {
	p.logf("Leaving out %s: %v", file.Name, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused++
	p.files--
	p.bytes -= file.Size
	p.report()
}

// logf prints a line that remains above the progress bar.
func (p *progress) logf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := terminal.Escape(fmt.Sprintf(format, args...))
	if p.status != nil {
		p.status.Print(text)
		return
	}
	_, _ = fmt.Fprintln(p.out, text)
}

// close draws the final progress and returns the number of uploaded files, and of those refused.
func (p *progress) close() (done, refused int) {
	close(p.stop)
	<-p.idle
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status != nil {
		p.status.Draw(p.text())
		p.status.Close()
	}
	return p.done, p.refused
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
