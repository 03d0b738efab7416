// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Process is a program that runs, such as a manager.
type Process struct {
	name    string
	command *exec.Cmd
	log     string
	ended   chan struct{}
}

// Launch starts a program, its output going into a file, and ends it with the test.
func Launch(t *testing.T, name, log, program string, environment []string, args ...string) *Process {
	t.Helper()
	output, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, args...) //nolint:noctx // it outlives the context of the test, to be ended by a signal
	command.Stdout, command.Stderr = output, output
	command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=2"}, environment...)
	if err := errors.Join(command.Start(), output.Close()); err != nil {
		t.Fatal(err)
	}
	p := &Process{name: name, command: command, log: log, ended: make(chan struct{})}
	go func() {
		_ = command.Wait() // ExitCode tells
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.Kill(t)
		if t.Failed() {
			t.Logf("the end of the log of manager %s:\n%s", name, p.tail())
		}
	})
	return p
}

// signal sends a signal; to a process that has ended already it does nothing.
func (p *Process) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("sending %v to manager %s: %v", signal, p.name, err)
	}
}

// Freeze stops the process where it is, as a machine that is suspended does.
func (p *Process) Freeze(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
}

// Thaw lets a frozen process go on.
func (p *Process) Thaw(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGCONT)
}

// Terminate asks the process to end.
func (p *Process) Terminate(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
}

// Kill ends the process at once.
func (p *Process) Kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.ended
}

// WaitEnd waits until the process has ended, and gives its exit code.
func (p *Process) WaitEnd(t *testing.T) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	select {
	case <-p.ended:
	case <-ctx.Done():
		t.Fatalf("manager %s does not end", p.name)
	}
	return p.command.ProcessState.ExitCode()
}

// Log is all that the process has written so far.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// WaitLog waits until the process has written a text.
func (p *Process) WaitLog(t *testing.T, text string) {
	t.Helper()
	Eventually(t, fmt.Sprintf("manager %s to log %q", p.name, text), func() bool {
		select {
		case <-p.ended:
			t.Fatalf("manager %s has ended", p.name)
		default:
		}
		return strings.Contains(p.Log(), text)
	})
}

func (p *Process) tail() string {
	const lines = 40
	all := strings.Split(p.Log(), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
