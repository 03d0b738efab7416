// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows the operator at work, against a real API server and a stand-in for the
// upstream, and checks what it shows.
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

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

const usage = `Usage: demo [flags]

Starts an API server and an emulator of the OpenAI API on this machine, runs the operator, and
shows four batches: one that completes, one with files that fail, one that is cancelled, and one
that is adopted. It checks how each of them ends, needs no key and no network, and takes
everything down again. "make demo" builds what it needs and runs it; "make demo KEEP=1" leaves
everything running afterwards, for you to try, until Ctrl-C.

Flags:
`

// timeout bounds the whole of it, so that it ends by itself whatever happens.
const timeout = 4 * time.Minute

// errInterrupted is how a run ends that somebody stopped.
var errInterrupted = errors.New("interrupted")

func main() {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	keep := flags.Bool("keep", false, "leave everything running after the checks, until Ctrl-C")
	programs := flags.String("bin", filepath.Join(controlplane.Root(), "bin"), "the `folder` with the programs manager and emulator")
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
	// Signals stay caught to the very end: a second Ctrl-C does not cut the tidying up short.
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

// run puts everything up, plays the scenes, and takes everything down again.
func run(interrupted context.Context, programs string, keep bool, show *show) (err error) {
	alive, abandon := context.WithCancelCause(interrupted)
	defer abandon(nil)
	ctx, cancel := context.WithTimeoutCause(alive, timeout, fmt.Errorf("it is not over after %s", timeout))
	defer cancel()
	d := &demo{show: show, programs: programs, abandon: abandon, started: time.Now()}
	defer func() {
		err = errors.Join(why(interrupted, ctx, err), d.takeDown(err != nil && interrupted.Err() == nil))
	}()
	for _, scene := range []func(context.Context) error{d.setUp, d.complete, d.fail, d.cancel, d.adopt, d.sumUp} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	if keep {
		return d.keep(alive)
	}
	return nil
}

// why prefers the reason for which everything was stopped to what failed because of that.
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
