// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command picture draws the picture of the README: an animated SVG of terminals in which the plugin and kubectl show the
// progress of batches. It records real commands in the cluster of the demo, which it starts:
//
//	bin/picture >docs/images/demo.svg
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const (
	// timeout bounds the demo, and the recording.
	timeout = 5 * time.Minute
	// frame is the time between two pictures of the screens.
	frame = 200 * time.Millisecond
	// archived is how many files of the archive are processed before it is cancelled.
	archived = 12
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	svg, err := record(ctx)
	cancel()
	stop()
	if err == nil {
		_, err = io.WriteString(os.Stdout, svg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

// record starts the demo, records the commands, and returns the SVG.
func record(ctx context.Context) (svg string, err error) {
	demo := exec.CommandContext(ctx, framework.Path("bin", "demo"), "--keep")
	demo.Cancel = func() error { return demo.Process.Signal(os.Interrupt) }
	demo.Stderr = os.Stderr
	output, err := demo.StdoutPipe()
	if err != nil {
		return "", fmt.Errorf("starting the demo: %w", err)
	}
	if err := demo.Start(); err != nil {
		return "", fmt.Errorf("starting the demo: %w", err)
	}
	defer func() {
		_ = demo.Process.Signal(os.Interrupt)
		_ = demo.Wait() // it exits with the code of an interrupted program
	}()
	env, err := environment(io.TeeReader(output, os.Stderr))
	if err != nil {
		return "", err
	}
	go func() { _, _ = io.Copy(os.Stderr, output) }() // until the demo exits
	return play(ctx, env)
}

// environment reads the output of the demo up to the environment of its cluster, and returns that.
func environment(output io.Reader) ([]string, error) {
	pattern := regexp.MustCompile(`^export KUBECONFIG=(\S+) PATH=(\S+):\$PATH$`)
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if match := pattern.FindStringSubmatch(lines.Text()); match != nil {
			path := strings.Join([]string{match[2], framework.Path("bin"), os.Getenv("PATH")}, string(os.PathListSeparator))
			// exec looks for commands in the PATH of this process.
			return append(os.Environ(), "KUBECONFIG="+match[1], "PATH="+path), os.Setenv("PATH", path)
		}
	}
	return nil, errors.Join(errors.New("the demo printed no environment"), lines.Err())
}

// play runs the commands in terminals, and draws these.
func play(ctx context.Context, env []string) (string, error) {
	kubectl := func(args ...string) (string, error) {
		command := exec.CommandContext(ctx, "kubectl", args...)
		command.Env = env
		output, err := command.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, output)
		}
		return string(output), nil
	}
	if _, err := kubectl("delete", "vsfb", "--all"); err != nil {
		return "", err
	}
	started := time.Now()
	shell, list, get := newTerminal(74, 6, started, env), newTerminal(74, 5, started, env), newTerminal(72, 24, started, env)
	watched, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { captureAll(watched, shell, list, get) })
	if err := shell.run(ctx, "kubectl", "apply", "-f", "handbook.yaml", "-f", "archive.yaml"); err != nil {
		return "", err
	}
	running.Go(func() { _ = list.run(watched, "kubectl", "vsfb", "list", "--watch") })
	running.Go(func() { _ = get.run(watched, "kubectl", "get", "vsfb", "--watch") })
	err := framework.Poll(ctx, "files of the archive", func() (bool, error) {
		output, err := kubectl("get", "vsfb", "archive", "-o", "jsonpath={.status.fileCounts.completed}")
		completed, _ := strconv.Atoi(output) // there is no status at first
		return completed >= archived, err
	})
	if err == nil {
		err = shell.run(ctx, "kubectl", "vsfb", "cancel", "archive")
	}
	if err == nil {
		_, err = kubectl("wait", "--for=condition=Finished", "--timeout=60s", "vsfb/archive", "vsfb/handbook")
	}
	err = errors.Join(err, framework.Pause(ctx, time.Second)) // the last lines
	stop()
	running.Wait()
	if err != nil {
		return "", err
	}
	return draw([]*terminal{shell, list, get}), nil
}

// captureAll records the screens until ctx ends.
func captureAll(ctx context.Context, terminals ...*terminal) {
	for framework.Pause(ctx, frame) == nil {
		for _, t := range terminals {
			t.capture()
		}
	}
}
