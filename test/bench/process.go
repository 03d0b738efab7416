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
	"slices"
	"strings"
	"syscall"
	"time"
)

// process is a program that runs, its output going into a file.
type process struct {
	command *exec.Cmd
	log     string
	started time.Time
	ended   chan struct{}
}

// launch starts a program. Whoever launches it has to kill it.
func launch(log, program string, args ...string) (*process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making a log: %w", err)
	}
	p := &process{
		command: exec.Command(program, args...), //nolint:noctx // it is killed when its scenario ends
		log:     log, started: time.Now(), ended: make(chan struct{}),
	}
	p.command.Stdout, p.command.Stderr = output, output
	p.command.Env = environment(os.Environ())
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for the bench, which ends it
	if err := errors.Join(p.command.Start(), output.Close()); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	go func() {
		_ = p.command.Wait() // says that it was killed
		close(p.ended)
	}()
	return p, nil
}

// environment is what a program gets to know of the bench's own: nothing that could lead it to
// another cluster or key, and the settings of Go's runtime and of client-go.
func environment(all []string) (kept []string) {
	for _, variable := range all {
		name, _, _ := strings.Cut(variable, "=")
		if slices.Contains([]string{"PATH", "GOGC", "GOMEMLIMIT", "GOMAXPROCS"}, name) || strings.HasPrefix(name, "KUBE_FEATURE_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// kill ends the process at once. On none, and on one that has ended, it does nothing.
func (p *process) kill() {
	if p == nil {
		return
	}
	_ = p.command.Process.Kill() // it may have ended by itself
	<-p.ended
}

// died is an error if the process has ended.
func (p *process) died() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended by itself: %s; the end of its log:\n%s", filepath.Base(p.command.Path), p.command.ProcessState, p.tail())
	default:
		return nil
	}
}

func (p *process) tail() string {
	const lines = 15
	output, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(output)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// logged waits until the process has written a text, and gives the output so far.
func (p *process) logged(ctx context.Context, text string) (output string, err error) {
	err = eventually(ctx, "the log of "+filepath.Base(p.command.Path)+" to say "+text, func() (bool, error) {
		content, err := os.ReadFile(p.log)
		output = string(content)
		return bytes.Contains(content, []byte(text)), errors.Join(err, p.died())
	})
	return output, err
}

const (
	// glance is how often something is looked at that is waited for.
	glance = 20 * time.Millisecond
	// nowAndThen is the same for what is costly to look at.
	nowAndThen = 250 * time.Millisecond
	// patience is for how long something is waited for that has to come.
	patience = 15 * time.Minute
)

// eventually waits until a condition holds.
func eventually(ctx context.Context, what string, holds func() (bool, error)) error {
	return eventuallyEvery(ctx, glance, what, holds)
}

func eventuallyEvery(ctx context.Context, interval time.Duration, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		done, err := holds()
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-ticker.C:
		}
	}
}

// pause lets time pass over which something is measured.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
