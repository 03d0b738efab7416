// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// managers are the processes of the operator in one run. Each has a log of its own.
type managers struct {
	program string
	args    []string
	number  int
	journal *journal
	folder  string

	mu      sync.Mutex
	closed  bool
	started int
	running []*process
	err     error
}

// process is one manager.
type process struct {
	command *exec.Cmd
	log     string
	// metrics is the address that serves its metrics.
	metrics string
	ended   chan struct{}
}

// start starts as many managers as there are to be. It needs the lock.
func (m *managers) start() error {
	for range m.number {
		m.started++
		metrics, err := freeAddress()
		if err != nil {
			return err
		}
		args := append(slices.Clone(m.args), "--metrics-bind-address="+metrics, "--metrics-secure=false")
		p := &process{
			metrics: metrics,
			command: exec.Command(m.program, args...), //nolint:noctx // it is killed when its run ends, or a fault wants it
			log:     filepath.Join(m.folder, fmt.Sprintf("manager-%d.log", m.started)),
			ended:   make(chan struct{}),
		}
		log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("making the log of a manager: %w", err)
		}
		p.command.Stdout, p.command.Stderr = log, log
		p.command.Env = []string{"PATH=" + os.Getenv("PATH")}
		p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for the suite, which ends it
		if err := errors.Join(p.command.Start(), log.Close()); err != nil {
			return fmt.Errorf("starting %s: %w", m.program, err)
		}
		go func() {
			_ = p.command.Wait() // says that it was killed
			close(p.ended)
		}()
		m.running = append(m.running, p)
	}
	return nil
}

// begin starts the managers.
func (m *managers) begin() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.start()
}

// restart kills the managers and starts others at once, unless the run is over.
func (m *managers) restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.kill()
	m.journal.killed()
	m.journal.restarted()
	m.err = errors.Join(m.err, m.start())
}

const (
	// headStart is how long the managers have to hear a SIGTERM before the answer comes that
	// they are waiting for.
	headStart = 200 * time.Millisecond
	// stopTimeout is how long they may then take to end.
	stopTimeout = 20 * time.Second
)

// terminate asks the managers to end, then lets the answer come that they are waiting for. Once
// they have ended it starts others, unless the run is over.
func (m *managers) terminate(answer func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	for _, p := range m.running {
		m.err = errors.Join(m.err, p.command.Process.Signal(syscall.SIGTERM))
	}
	timer := time.NewTimer(headStart)
	<-timer.C
	answer()
	timer.Reset(stopTimeout)
	for _, p := range m.running {
		select {
		case <-p.ended:
			if code := p.command.ProcessState.ExitCode(); code != 0 {
				m.err = errors.Join(m.err, fmt.Errorf("after a SIGTERM, the manager of %s ended with exit code %d", filepath.Base(p.log), code))
			}
		case <-timer.C:
			m.err = errors.Join(m.err, fmt.Errorf("after a SIGTERM, the manager of %s did not end in %s", filepath.Base(p.log), stopTimeout))
		}
	}
	m.kill()
	m.journal.restarted()
	m.err = errors.Join(m.err, m.start())
}

// end kills the managers for good.
func (m *managers) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.kill()
}

func (m *managers) kill() {
	for _, p := range m.running {
		_ = p.command.Process.Kill() // it may have ended by itself
	}
	for _, p := range m.running {
		<-p.ended
	}
	m.running = nil
}

// died is an error if a manager ended by itself, or could not be started again.
func (m *managers) died() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.running {
		select {
		case <-p.ended:
			return fmt.Errorf("the manager of %s ended by itself: %s", filepath.Base(p.log), p.command.ProcessState)
		default:
		}
	}
	return m.err
}

// atWork reports whether every manager that runs has got to work.
func (m *managers) atWork() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.running {
		output, err := os.ReadFile(p.log)
		if err != nil || !bytes.Contains(output, []byte("Starting workers")) {
			return false
		}
	}
	return true
}

// output is all that the managers have written.
func (m *managers) output() (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all strings.Builder
	for i := range m.started {
		output, err := os.ReadFile(filepath.Join(m.folder, fmt.Sprintf("manager-%d.log", i+1)))
		if err != nil {
			return "", fmt.Errorf("reading the log of a manager: %w", err)
		}
		fmt.Fprintf(&all, "--- manager %d\n%s", i+1, output)
	}
	return all.String(), nil
}
