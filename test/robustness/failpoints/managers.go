// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// managers are the operator's processes in one run. Each has its own log.
type managers struct {
	program string
	args    []string
	env     []string
	number  int
	history *history
	folder  string

	mu      sync.Mutex
	closed  bool
	started int
	running []*process
	err     error
}

// process is one manager.
type process struct {
	*framework.Process
	// metrics is the address of its metrics endpoint.
	metrics string
}

// start starts the run's managers. The caller holds the lock.
func (m *managers) start() error {
	for range m.number {
		m.started++
		metrics, err := framework.FreeAddress()
		if err != nil {
			return err
		}
		name := fmt.Sprintf("manager-%d.log", m.started)
		p, err := framework.Run(framework.Command{
			Path: m.program, Name: name, Log: filepath.Join(m.folder, name), Env: m.env,
			Args: append(slices.Clone(m.args), "--metrics-bind-address="+metrics, "--metrics-secure=false"),
		})
		if err != nil {
			return err
		}
		m.running = append(m.running, &process{Process: p, metrics: metrics})
	}
	return nil
}

// begin starts the managers.
func (m *managers) begin() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.start()
}

// restart kills the managers and starts new ones, unless the run is finished.
func (m *managers) restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.kill()
	m.history.killed()
	m.history.restarted()
	m.err = errors.Join(m.err, m.start())
}

const (
	// headStart is how long the managers have to handle a SIGTERM before they receive the response
	// that they wait for.
	headStart = 200 * time.Millisecond
	// stopTimeout is how long they may then take to exit.
	stopTimeout = 20 * time.Second
)

// terminate sends SIGTERM to the managers, then delivers the response that they wait for. When
// they have exited it starts new ones, unless the run is finished.
func (m *managers) terminate(deliver func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	for _, p := range m.running {
		p.Terminate()
	}
	timer := time.NewTimer(headStart)
	<-timer.C
	deliver()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	for _, p := range m.running {
		code, err := p.Wait(ctx)
		if err == nil && code != 0 {
			err = fmt.Errorf("%s exited with code %d after a SIGTERM", p.Name, code)
		}
		m.err = errors.Join(m.err, err)
	}
	m.kill()
	m.history.restarted()
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
		p.Kill()
	}
	m.running = nil
}

// failure returns an error if a manager exited on its own or could not be restarted.
func (m *managers) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.running {
		if err := p.Err(); err != nil {
			return err
		}
	}
	return m.err
}

// working reports whether every running manager has started its workers.
func (m *managers) working() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !slices.ContainsFunc(m.running, func(p *process) bool { return !strings.Contains(p.Output(), framework.Working) })
}

// output returns all logs of the managers.
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
