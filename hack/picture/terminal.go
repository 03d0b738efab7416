// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// terminal is a pseudo-terminal and the lines that it has shown.
type terminal struct {
	columns, rows int
	started       time.Time
	// env is the environment of the commands.
	env []string

	mu     sync.Mutex
	screen *vt.Emulator
	spans  []span
	// last has the index of the span of each row, or -1.
	last []int
}

func newTerminal(columns, rows int, started time.Time, env []string) *terminal {
	t := &terminal{columns: columns, rows: rows, started: started, env: env, screen: vt.NewEmulator(columns, rows), last: make([]int, rows)}
	for row := range t.last {
		t.last[row] = -1
	}
	return t
}

// write shows text.
func (t *terminal) write(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.screen.WriteString(text) // it takes everything
}

// capture records the rows that have changed.
func (t *terminal) capture() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Since(t.started)
	for row := range t.rows {
		markup, last := t.markup(row), t.last[row]
		if last >= 0 && t.spans[last].markup == markup || last < 0 && markup == "" {
			continue
		}
		if last >= 0 {
			t.spans[last].to = now
		}
		t.spans = append(t.spans, span{row: row, markup: markup, from: now})
		t.last[row] = len(t.spans) - 1
	}
}

// run types a command and runs it in the folder of the samples, until it exits or ctx ends.
func (t *terminal) run(ctx context.Context, command ...string) error {
	prompt := "\x1b[36m$"
	for _, word := range command {
		prompt += " " + word
	}
	t.write(prompt + "\x1b[m\r\n")
	process := exec.CommandContext(ctx, command[0], command[1:]...)
	process.Dir = framework.Path("config", "samples")
	process.Env = append(t.env, "TERM=xterm-256color", "LANG=C.UTF-8")
	file, err := pty.StartWithSize(process, &pty.Winsize{Cols: uint16(t.columns), Rows: uint16(t.rows)})
	if err != nil {
		return fmt.Errorf("running %v: %w", command, err)
	}
	t.copy(file)
	err = process.Wait()
	_ = file.Close() // it was only read
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("running %v: %w", command, err)
	}
	return nil
}

// copy shows what is read from a pseudo-terminal until its process has exited.
func (t *terminal) copy(file *os.File) {
	buffer := make([]byte, 4096)
	for {
		n, err := file.Read(buffer)
		t.write(string(buffer[:n]))
		if err != nil {
			return
		}
	}
}
