// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Command describes a program to run.
type Command struct {
	// Path is the program, and Args are its arguments.
	Path string
	Args []string
	// Name names the process in errors. The default is the base name of Path.
	Name string
	// Log is the file for its output.
	Log string
	// Env is added to its environment, which otherwise has PATH only: nothing may lead a program to
	// another cluster or key.
	Env []string
}

// Process is a program that runs.
type Process struct {
	// Name names it in errors, and Log is the file with its output.
	Name, Log string

	command *exec.Cmd
	exited  chan struct{}
}

// Run starts a program in a process group of its own, which a Ctrl-C does not reach. Callers must
// Stop or Kill it.
func Run(c Command) (*Process, error) {
	command := exec.Command(c.Path, c.Args...) //nolint:noctx // signals end it
	return RunCmd(command, c)
}

// RunCmd is Run for a command that exists, such as one of Kubectl. It does not use Path and Args.
func RunCmd(command *exec.Cmd, c Command) (*Process, error) {
	output, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating a log: %w", err)
	}
	if c.Name == "" {
		c.Name = filepath.Base(command.Path)
	}
	p := &Process{Name: c.Name, Log: c.Log, command: command, exited: make(chan struct{})}
	command.Stdout, command.Stderr = output, output
	command.Env = append([]string{"PATH=" + os.Getenv("PATH")}, c.Env...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := errors.Join(command.Start(), output.Close()); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	go func() {
		_ = command.Wait() // ExitCode reports the result
		close(p.exited)
	}()
	return p, nil
}

// signal signals the process. That fails only if the process has exited.
func (p *Process) signal(signal syscall.Signal) { _ = p.command.Process.Signal(signal) }

// Freeze stops the process without ending it, like a suspended machine.
func (p *Process) Freeze() { p.signal(syscall.SIGSTOP) }

// Thaw resumes a frozen process.
func (p *Process) Thaw() { p.signal(syscall.SIGCONT) }

// Terminate sends SIGTERM.
func (p *Process) Terminate() { p.signal(syscall.SIGTERM) }

// Kill kills the process, and those that it started and that would survive it, and waits for its exit. It
// does nothing if p is nil.
func (p *Process) Kill() {
	if p == nil {
		return
	}
	_ = syscall.Kill(-p.ID(), syscall.SIGKILL) // fails only if the group has exited
	<-p.exited
}

// Stop sends SIGTERM and waits for the exit. It returns an error if the exit code is not 0, or if
// ctx ends first; then it kills the process.
func (p *Process) Stop(ctx context.Context) error {
	if p == nil {
		return nil
	}
	p.Terminate()
	code, err := p.Wait(ctx)
	if err != nil {
		p.Kill()
		return err
	}
	if code != 0 {
		return fmt.Errorf("%s exited with code %d: %s", p.Name, code, p.Tail())
	}
	return nil
}

// Exited returns a channel that is closed when the process exits.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err returns an error if the process has exited.
func (p *Process) Err() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s exited (%s): %s", p.Name, p.command.ProcessState, p.Tail())
	default:
		return nil
	}
}

// Wait waits for the exit of the process, and returns its exit code.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.exited:
		return p.command.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("waiting for the exit of %s: %w", p.Name, context.Cause(ctx))
	}
}

// ID returns the ID of the process.
func (p *Process) ID() int { return p.command.Process.Pid }

// Output returns what the process has written so far.
func (p *Process) Output() string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Tail returns the last lines of the output.
func (p *Process) Tail() string {
	const lines = 40
	all := strings.Split(strings.TrimSpace(p.Output()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// WaitForOutput waits until the process has written a text. It returns an error if the process exits
// before.
func (p *Process) WaitForOutput(ctx context.Context, text string) error {
	return Poll(ctx, fmt.Sprintf("%q in the output of %s", text, p.Name), func() (bool, error) {
		err := p.Err() // before the output is read, of which the last part may come with the exit
		if strings.Contains(p.Output(), text) {
			return true, nil
		}
		return false, err
	})
}

// MustOutput is WaitForOutput for a test, which ends after Timeout.
func (p *Process) MustOutput(t testing.TB, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	defer cancel()
	if err := p.WaitForOutput(ctx, text); err != nil {
		t.Fatal(err)
	}
}

// MustExit is Wait for a test, which ends after Timeout.
func (p *Process) MustExit(t testing.TB) (code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	defer cancel()
	code, err := p.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// KillAfter kills the process at the end of a test, and shows the end of its output if the test
// failed.
func (p *Process) KillAfter(t testing.TB) {
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the end of the output of %s:\n%s", p.Name, p.Tail())
		}
	})
}
