// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command failpoints injects faults between the built manager and the two servers that it calls. For
// each scenario, a reference run records every write to the API server and every call to the OpenAI
// API. Then it injects each fault at each of these failpoints, one per run: it kills the manager,
// closes the connection, or makes the response an error, late, malformed or missing. After each run
// the validators check the same guarantees, with the OpenAI emulator as the witness.
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
		fmt.Fprintln(os.Stderr, "failpoints:", err)
		os.Exit(1) //nolint:gocritic // stop only frees the signals
	}
}

// errValidation means that a validator failed.
var errValidation = errors.New("validation failed")

// command parses the flags and executes the runs.
func command(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("failpoints", flag.ExitOnError)
	o := options{out: os.Stdout}
	only := flags.String("run", "", "Execute only the runs whose full `name` matches this regular expression: scenario/failpoint/fault, or scenario/reference.")
	mutate := flags.String("mutate", "", "Apply this `mutation` to the manager, and require a failure: "+strings.Join(mutationNames(), ", ")+", or all.")
	flags.IntVar(&o.sample, "sample", 0, "Execute a random sample of this `size`; 0 executes all runs.")
	flags.Uint64Var(&o.seed, "seed", rand.Uint64(), "The `seed` of the sample and of the order of the runs.") //nolint:gosec // nothing secret depends on it
	flags.IntVar(&o.parallel, "parallel", 10, "The `number` of concurrent runs.")
	flags.StringVar(&o.folder, "logs", "", "The `directory` for the logs of failed runs. A new temporary directory by default.")
	flags.BoolVar(&o.markdown, "markdown", false, "Write the table and the summary above it as Markdown.")
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
		return detectMutations(ctx, o, *mutate)
	}
	report, err := perform(ctx, o)
	if err != nil {
		return err
	}
	if failed := len(report.failed()); failed > 0 {
		return fmt.Errorf("%w: %d of %d runs failed", errValidation, failed, len(report.results))
	}
	return nil
}

// perform executes the runs that the options select, and writes the report.
func perform(ctx context.Context, o options) (r report, err error) {
	began := time.Now()
	if o.folder, err = logFolder(o.folder, o.mutation); err != nil {
		return r, fmt.Errorf("creating the log directory: %w", err)
	}
	if _, err := fmt.Fprintf(o.out, "seed %d, logs of failed runs: %s\n", o.seed, o.folder); err != nil {
		return r, err
	}
	f, err := newFixture(ctx, o.folder, o.mutation)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, f.Stop()) }()
	s := suite{options: o, fixture: f}
	if r, err = s.run(ctx); err != nil {
		return r, err
	}
	r.took = time.Since(began)
	if o.markdown {
		err = r.writeMarkdown(o.out)
	} else {
		err = r.writeTable(o.out)
	}
	return r, errors.Join(err, r.writeFailures(o.out), r.writeSummary(o.out))
}

// logFolder creates the log directory.
func logFolder(wanted string, m *mutation) (string, error) {
	if wanted == "" {
		return os.MkdirTemp("", "vsfb-failpoints-")
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

// detectMutations executes runs with a mutated manager, and requires that a validator fails.
func detectMutations(ctx context.Context, o options, names string) error {
	wanted := strings.Split(names, ",")
	if names == "all" {
		wanted = mutationNames()
	}
	var undetected []string
	for _, name := range wanted {
		i := slices.IndexFunc(mutations, func(m mutation) bool { return m.name == name })
		if i < 0 {
			return fmt.Errorf("-mutate: unknown mutation %q", name)
		}
		one := o
		one.mutation = &mutations[i]
		if one.only == nil {
			one.only = regexp.MustCompile("^" + one.mutation.runs)
		}
		if _, err := fmt.Fprintf(o.out, "\n=== %s: %s\n", name, one.mutation.description); err != nil {
			return err
		}
		report, err := perform(ctx, one)
		if err != nil {
			return err
		}
		if len(report.failed()) == 0 {
			undetected = append(undetected, name)
		}
	}
	if len(undetected) > 0 {
		return fmt.Errorf("not detected: %s", strings.Join(undetected, ", "))
	}
	_, err := fmt.Fprintf(o.out, "\ndetected: %s\n", strings.Join(wanted, ", "))
	return err
}
