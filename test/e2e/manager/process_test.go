// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// process is a program that runs, and the file that its output goes to.
type process struct {
	command *exec.Cmd
	log     string
	// ended is closed when it has ended, and err is then how.
	ended chan struct{}
	err   error
}

// start runs a command with more environment, and without its caller's.
func start(command *exec.Cmd, log string, environment []string) (*process, error) {
	output, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("making a log: %w", err)
	}
	command.Stdout, command.Stderr = output, output
	command.Env = append([]string{"PATH=" + os.Getenv("PATH")}, environment...)
	if err := command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", command.Path, err), output.Close())
	}
	p := &process{command: command, log: log, ended: make(chan struct{})}
	go func() {
		p.err = errors.Join(command.Wait(), output.Close())
		close(p.ended)
	}()
	return p, nil
}

// output is all that the program has written so far.
func (p *process) output() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// tail is the end of the output.
func (p *process) tail() string {
	const lines = 60
	all := strings.Split(p.output(), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// died is an error if the program has ended.
func (p *process) died() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended (%w): %s", p.command.Path, p.err, p.tail())
	default:
		return nil
	}
}

// terminate asks the program to end, and gives how it did.
func (p *process) terminate(ctx context.Context) error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending SIGTERM: %w", err)
	}
	select {
	case <-p.ended:
		return p.err
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("it did not end: %w", ctx.Err()), p.command.Process.Kill())
	}
}

// fetch makes a GET request, with a bearer token where there is one.
func fetch(ctx context.Context, client *http.Client, url, token string) (int, string, error) {
	return send(ctx, client, http.MethodGet, url, token, "")
}

// send makes a request with a body in JSON.
func send(ctx context.Context, client *http.Client, method, url, token, body string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), err
}
