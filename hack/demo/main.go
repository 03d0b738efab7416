// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo runs the operator against a real API server and the OpenAI emulator, and checks what it
// shows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const usage = `Usage: demo [flags]

Starts an API server and an emulator of the OpenAI API on this machine, runs the operator, and
shows four batches: one that completes, one with files that fail, one that is cancelled, and one
that is adopted. It checks the result of each, needs no key and no network, and stops everything
in the end. "make demo" builds what it needs and runs it; "make demo KEEP=1" keeps everything
running afterwards, until Ctrl-C.

Flags:
`

// timeout bounds the demo.
const timeout = 4 * time.Minute

// errInterrupted is the error of a run that a signal interrupts.
var errInterrupted = errors.New("interrupted")

func main() {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	keep := flags.Bool("keep", false, "keep everything running after the checks, until Ctrl-C")
	programs := flags.String("bin", filepath.Join(framework.Root(), "bin"), "the `folder` with the programs manager and emulator")
	flags.Usage = func() {
		_, _ = io.WriteString(flags.Output(), usage)
		flags.PrintDefaults()
	}
	err := flags.Parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err == nil && flags.NArg() > 0:
		fmt.Fprintf(os.Stderr, "demo: unexpected argument %q, see --help\n", flags.Arg(0))
		os.Exit(2)
	case err != nil:
		os.Exit(2)
	}
	// A second Ctrl-C does not interrupt tearDown.
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err = run(interrupted, *programs, *keep, newShow(os.Stdout))
	stop()
	switch {
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "\ndemo failed:", err)
		os.Exit(1)
	}
}

// run starts everything, runs the scenarios, and stops everything.
func run(interrupted context.Context, programs string, keep bool, show *show) (err error) {
	alive, abandon := context.WithCancelCause(interrupted)
	defer abandon(nil)
	ctx, cancel := context.WithTimeoutCause(alive, timeout, fmt.Errorf("it is not finished after %s", timeout))
	defer cancel()
	d := &demo{show: show, programs: programs, abandon: abandon, started: time.Now()}
	defer func() {
		err = errors.Join(why(interrupted, ctx, err), d.tearDown(err != nil && interrupted.Err() == nil))
	}()
	for _, scenario := range []func(context.Context) error{d.setUp, d.complete, d.fail, d.cancel, d.adopt, d.sumUp} {
		if err := scenario(ctx); err != nil {
			return err
		}
	}
	if keep {
		return d.keep(alive)
	}
	return nil
}

// why returns the cause of the cancellation, if there is one, rather than an error that follows from it.
func why(interrupted, ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case interrupted.Err() != nil:
		return errInterrupted
	case ctx.Err() == nil, errors.Is(err, context.Cause(ctx)):
		return err
	default:
		return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
}
