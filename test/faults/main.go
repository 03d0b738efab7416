// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command faults puts the built manager through everything that can go wrong between it and the
// two servers that it talks to. For each scenario a reference run records every write to the API
// server and every call to the upstream. Then each of them is met by each fault, one a run: the
// manager is killed around it, the connection is cut, the answer is an error, comes late, broken
// or not at all. After each run the same must hold, and the upstream's stand-in is the witness.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1) //nolint:gocritic // stop only frees the signals
	}
}

// errNotHeld is that an oracle did not hold.
var errNotHeld = errors.New("not everything held")

// command reads the flags, and makes the runs.
func command(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("faults", flag.ExitOnError)
	o := options{out: os.Stdout}
	only := flags.String("run", "", "Make only the runs whose whole `names` match this regular expression: scenario/point/fault, or scenario/reference.")
	mutate := flags.String("mutate", "", "Break the manager in this `way` first, and demand that it is noticed: "+strings.Join(mutationNames(), ", ")+", or all.")
	flags.IntVar(&o.sample, "sample", 0, "Make only `so many` of the runs, drawn by lot; 0 for all.")
	flags.Uint64Var(&o.seed, "seed", rand.Uint64(), "The `seed` of the lot and of the order.") //nolint:gosec // nothing secret depends on it
	flags.IntVar(&o.parallel, "parallel", 10, "Make `so many` runs at a time.")
	flags.StringVar(&o.folder, "logs", "", "The `folder` for the logs of runs that failed; a new one in the system's folder for temporary files by default.")
	flags.BoolVar(&o.markdown, "markdown", false, "Write the table, and the line of figures above it, as Markdown.")
	flags.BoolVar(&o.keep, "keep", false, "Keep the logs of all runs.")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *only != "" {
		expression, err := regexp.Compile("^(?:" + *only + ")$")
		if err != nil {
			return fmt.Errorf("-run: %w", err)
		}
		o.only = expression
	}
	if *mutate != "" {
		return mutationsNoticed(ctx, o, *mutate)
	}
	report, err := perform(ctx, o)
	if err != nil {
		return err
	}
	if failed := len(report.failed()); failed > 0 {
		return fmt.Errorf("%w: %d of %d runs failed", errNotHeld, failed, len(report.results))
	}
	return nil
}

// perform makes the runs that the options ask for, and writes the report.
func perform(ctx context.Context, o options) (r report, err error) {
	began := time.Now()
	if o.folder, err = logFolder(o.folder, o.mutation); err != nil {
		return r, fmt.Errorf("making a folder for the logs: %w", err)
	}
	if _, err := fmt.Fprintf(o.out, "seed %d, logs of failed runs in %s\n", o.seed, o.folder); err != nil {
		return r, err
	}
	w, err := newWorld(ctx, o.folder, o.mutation)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	s := suite{options: o, world: w}
	if r, err = s.run(ctx); err != nil {
		return r, err
	}
	r.took = time.Since(began)
	if o.markdown {
		err = r.writeMarkdown(o.out)
	} else {
		err = r.writeTable(o.out)
	}
	return r, errors.Join(err, r.writeFailures(o.out), r.writeSum(o.out))
}

// logFolder makes the folder for the logs.
func logFolder(wanted string, m *mutation) (string, error) {
	if wanted == "" {
		return os.MkdirTemp("", "vsfb-faults-")
	}
	if m != nil {
		wanted = filepath.Join(wanted, m.name)
	}
	return wanted, os.MkdirAll(wanted, 0o700)
}

func mutationNames() []string {
	names := make([]string, 0, len(mutations))
	for _, m := range mutations {
		names = append(names, m.name)
	}
	return names
}

// mutationsNoticed makes runs with a broken manager, and demands that an oracle fails.
func mutationsNoticed(ctx context.Context, o options, names string) error {
	wanted := strings.Split(names, ",")
	if names == "all" {
		wanted = mutationNames()
	}
	var unnoticed []string
	for _, name := range wanted {
		i := slices.IndexFunc(mutations, func(m mutation) bool { return m.name == name })
		if i < 0 {
			return fmt.Errorf("-mutate: there is no %q", name)
		}
		one := o
		one.mutation = &mutations[i]
		if one.only == nil {
			one.only = regexp.MustCompile("^" + one.mutation.runs)
		}
		if _, err := fmt.Fprintf(o.out, "\n=== %s: %s\n", name, one.mutation.does); err != nil {
			return err
		}
		report, err := perform(ctx, one)
		if err != nil {
			return err
		}
		if len(report.failed()) == 0 {
			unnoticed = append(unnoticed, name)
		}
	}
	if len(unnoticed) > 0 {
		return fmt.Errorf("not noticed: %s", strings.Join(unnoticed, ", "))
	}
	_, err := fmt.Fprintf(o.out, "\nnoticed: %s\n", strings.Join(wanted, ", "))
	return err
}
