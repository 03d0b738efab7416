// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
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

// kubectl shows a command as a user types it, runs it, and shows its output.
func (d *demo) kubectl(ctx context.Context, args ...string) error {
	return d.kubectlWithInput(ctx, typed(args), "", args...)
}

// kubectlWithInput is kubectl for a command that reads its standard input.
func (d *demo) kubectlWithInput(ctx context.Context, typed, stdin string, args ...string) error {
	d.show.command(typed)
	output, err := d.env.Kubectl.RunWithInput(ctx, stdin, args...)
	d.show.print(output)
	return err
}

// plain matches the arguments that a shell needs no quotes for.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:=,@+-]+$`)

// typed returns a kubectl command as a user types it.
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

// row is a row of the table of kubectl get.
type row struct {
	status    string
	completed int
}

// readRow parses a row. It returns an empty row for the header, and for an object without a status.
func readRow(line string) row {
	fields := strings.Fields(line)
	if len(fields) != 7 { // NAME STATUS REASON COMPLETED FAILED TOTAL AGE
		return row{}
	}
	completed, err := strconv.Atoi(fields[3])
	if err != nil {
		return row{}
	}
	return row{status: fields[1], completed: completed}
}

func (r row) finished() bool {
	return r.status == "completed" || r.status == "cancelled" || r.status == "failed"
}

// watchTimeout bounds the watch of one object.
const watchTimeout = time.Minute

// watch shows the rows of kubectl's watch of an object until its batch is finished. It calls onRow for each
// row, unless that is nil.
func (d *demo) watch(ctx context.Context, name string, onRow func(row) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, watchTimeout, fmt.Errorf("%s is not finished after %s", name, watchTimeout))
	defer cancel()
	args := []string{"get", "vsfb", name, "-w"}
	d.show.command(typed(args))
	command := d.env.Kubectl.Cmd(ctx, args...)
	command.Stderr = d.show.w
	output, err := command.StdoutPipe()
	if err != nil {
		return fmt.Errorf("watching %s: %w", name, err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("watching %s: %w", name, err)
	}
	last, err := d.showRows(output, onRow)
	if err == nil && !last.finished() {
		err = cmp.Or(context.Cause(ctx), fmt.Errorf("watching %s: kubectl exited after the status %q", name, last.status))
	}
	cancel()
	_ = command.Wait() // cancel kills it
	return err
}

// showRows shows rows until the batch is finished, and returns the last one.
func (d *demo) showRows(output io.Reader, onRow func(row) error) (row, error) {
	var last row
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		d.show.say("%s", lines.Text())
		last = readRow(lines.Text())
		if onRow != nil {
			if err := onRow(last); err != nil {
				return last, err
			}
		}
		if last.finished() {
			return last, nil
		}
	}
	return last, ignoreClosed(lines.Err())
}

// ignoreClosed drops the error of a pipe that closes because its writer is killed.
func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
