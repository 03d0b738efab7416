// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// kubectl shows a command as a person would type it, runs it, and shows what it prints.
func (d *demo) kubectl(ctx context.Context, args ...string) error {
	return d.kubectlTyped(ctx, typed(args), nil, args...)
}

// kubectlTyped is kubectl for a command that gets its standard input from another.
func (d *demo) kubectlTyped(ctx context.Context, typed string, stdin io.Reader, args ...string) error {
	d.show.command(typed)
	var complaints bytes.Buffer
	command := apart(d.plane.Kubectl(ctx, args...))
	command.Stdin, command.Stdout, command.Stderr = stdin, d.show.w, &complaints
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", typed, err, bytes.TrimSpace(complaints.Bytes()))
	}
	return nil
}

// quietly runs kubectl without showing anything, and gives what it prints.
func (d *demo) quietly(ctx context.Context, args ...string) ([]byte, error) {
	var complaints bytes.Buffer
	command := apart(d.plane.Kubectl(ctx, args...))
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", typed(args), err, bytes.TrimSpace(complaints.Bytes()))
	}
	return output, nil
}

// plain are arguments that a shell takes as they are.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:=,@+-]+$`)

// typed is how a kubectl command looks in a shell.
func typed(args []string) string {
	words := []string{"kubectl"}
	for _, arg := range args {
		if !plain.MatchString(arg) {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// row is a line of the table that kubectl prints.
type row struct {
	status    string
	completed int
}

// readRow reads a line; one of an object without a status is empty, and so is the header.
func readRow(line string) row {
	fields := strings.Fields(line)
	if len(fields) != 6 { // NAME STATUS COMPLETED FAILED TOTAL AGE
		return row{}
	}
	completed, err := strconv.Atoi(fields[2])
	if err != nil {
		return row{}
	}
	return row{status: fields[1], completed: completed}
}

func (r row) over() bool {
	return r.status == "completed" || r.status == "cancelled" || r.status == "failed"
}

// watchTimeout is how long one object is watched.
const watchTimeout = time.Minute

// watch shows how kubectl's table of an object moves, until its batch is over. Each row is
// handed to seen, where there is one.
func (d *demo) watch(ctx context.Context, name string, seen func(row) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, watchTimeout, fmt.Errorf("%s is not over after %s", name, watchTimeout))
	defer cancel()
	args := []string{"get", "vsfb", name, "-w"}
	d.show.command(typed(args))
	command := apart(d.plane.Kubectl(ctx, args...))
	command.Stderr = d.show.w
	output, err := command.StdoutPipe()
	if err != nil {
		return fmt.Errorf("watching %s: %w", name, err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("watching %s: %w", name, err)
	}
	last, err := d.passOn(output, seen)
	if err == nil && !last.over() {
		err = cmp.Or(context.Cause(ctx), fmt.Errorf("watching %s: kubectl ended, and the last that it showed is status %q", name, last.status))
	}
	cancel()
	_ = command.Wait() // it ends as it was made to
	return err
}

// passOn shows lines as they come, until one says that the batch is over.
func (d *demo) passOn(output io.Reader, seen func(row) error) (row, error) {
	var last row
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		d.show.say("%s", lines.Text())
		last = readRow(lines.Text())
		if seen != nil {
			if err := seen(last); err != nil {
				return last, err
			}
		}
		if last.over() {
			return last, nil
		}
	}
	return last, ignoreClosed(lines.Err())
}

// ignoreClosed drops the error of a pipe that was closed since its writer was stopped.
func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
