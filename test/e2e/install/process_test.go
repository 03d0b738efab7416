// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// process is a manager that runs.
type process struct {
	command *exec.Cmd
	log     string
	ended   chan struct{}
}

// start runs a program with nothing in its environment but what is given.
func start(log, program string, environment, args []string) (*process, error) {
	output, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("making a log: %w", err)
	}
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr, command.Env = output, output, environment
	if err := errors.Join(command.Start(), output.Close()); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	p := &process{command: command, log: log, ended: make(chan struct{})}
	go func() {
		_ = command.Wait() // the log tells
		close(p.ended)
	}()
	return p, nil
}

// died is an error if the program has ended.
func (p *process) died() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%v has ended: %s", p.command.Args, p.tail())
	default:
		return nil
	}
}

// terminate asks the program to end, as the kubelet does, and kills it if it does not.
func (p *process) terminate(ctx context.Context) error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending SIGTERM: %w", err)
	}
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		err := p.command.Process.Kill()
		<-p.ended
		return errors.Join(fmt.Errorf("%v did not end: %w", p.command.Args, ctx.Err()), err)
	}
}

// tail is the end of what the program wrote.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	const lines = 40
	all := strings.Split(string(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}
