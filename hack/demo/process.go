// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// errEnded is that a process ended which was meant to go on.
var errEnded = errors.New("ended by itself")

// stopTimeout is how long a process may take to end before it is killed.
const stopTimeout = 15 * time.Second

// process is a program that runs until it is stopped.
type process struct {
	// log is the file that holds what it prints.
	log   string
	end   context.CancelFunc
	ended chan struct{}
}

// start shows and starts one of the built programs. Should it end by itself, so does the demo.
func (d *demo) start(ctx context.Context, name string, args ...string) (*process, error) {
	d.show.command("bin/" + name + " " + strings.Join(args, " "))
	path := filepath.Join(d.dir, name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the log of the %s: %w", name, err)
	}
	defer func() { _ = log.Close() }() // the process has it open too
	// It is stopped when its turn comes, and not by what stops the demo.
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	command := exec.CommandContext(ctx, filepath.Join(d.programs, name), args...)
	command.Stdout, command.Stderr = log, log
	if err := apart(command).Start(); err != nil {
		end()
		return nil, fmt.Errorf("starting the %s: %w", name, err)
	}
	p := &process{log: path, end: end, ended: make(chan struct{})}
	go func() {
		err := command.Wait()
		close(p.ended)
		if ctx.Err() == nil {
			d.abandon(fmt.Errorf("the %s %w: %w", name, errEnded, err))
		}
	}()
	return p, nil
}

// apart puts a command into a process group of its own, where a Ctrl-C that is meant for the
// demo does not reach it, and ends it gently when its context is over.
func apart(command *exec.Cmd) *exec.Cmd {
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = stopTimeout
	return command
}

// stop ends the process, and comes back when it has ended.
func (p *process) stop() {
	p.end()
	<-p.ended
}

// firstLine waits for the first line that the process prints.
func (p *process) firstLine(ctx context.Context) (string, error) {
	var line string
	err := until(ctx, func() (bool, error) {
		content, err := os.ReadFile(p.log)
		first, _, complete := bytes.Cut(content, []byte("\n"))
		line = string(first)
		return complete, err
	})
	return line, err
}

// tail is the end of what the process printed.
func (p *process) tail(lines int) string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// until asks again and again, until the answer is yes or an error, or the context is over.
func until(ctx context.Context, ask func() (bool, error)) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		if enough, err := ask(); enough || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}
