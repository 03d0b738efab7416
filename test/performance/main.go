// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command performance measures the built manager, as a process with the rights of its ServiceAccount,
// with a real API server and the OpenAI emulator. It measures a baseline in the same run, in alternating
// rounds, because figures of different machines or times are not comparable.
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
	"regexp"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// errViolated means that an invariant is violated, which no slow machine can explain.
var errViolated = errors.New("invariant violated")

// options are the flags.
type options struct {
	scale scale
	// only selects the scenarios by their full names.
	only *regexp.Regexp
	// folder is for the report, the plot and the logs, and with profiles for the manager's profiles.
	folder   string
	profiles bool
	// program is the manager to measure; empty builds the one of this checkout.
	program string
	// tags are the build tags of that manager.
	tags string
	// flags are added to the flags of every manager.
	flags []string
}

func parse(args []string, output io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(output)
	scaleName := f.String("scale", "full", "The number of objects: `full`; small, which is a twentieth of it; or tiny, whose results mean nothing.")
	only := f.String("run", "", "Run only the scenarios whose full `name` matches this regular expression: "+strings.Join(scenarioNames(), ", ")+".")
	f.StringVar(&o.folder, "folder", "", "The `directory` for the report, the plot and the logs. A new temporary directory by default.")
	f.BoolVar(&o.profiles, "profiles", false, "Store CPU and memory profiles of the manager beside the report. This costs the manager some CPU time.")
	f.StringVar(&o.program, "manager", "", "Measure this `program` instead of the manager of this checkout, without the flags that it does not have.")
	f.StringVar(&o.tags, "tags", "", "Build the manager of this checkout with these comma-separated `tags`.")
	flags := f.String("manager-flags", "", "Additional space-separated `flags` for every manager.")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	o.flags = strings.Fields(*flags)
	known := false
	if o.scale, known = scales[*scaleName]; !known {
		return o, fmt.Errorf("-scale is %q, must be full, small or tiny", *scaleName)
	}
	var err error
	if o.only, err = regexp.Compile("^(?:" + *only + ")$"); err != nil {
		return o, fmt.Errorf("-run: %w", err)
	}
	if *only == "" {
		o.only = regexp.MustCompile("")
	}
	if len(o.chosen()) == 0 {
		return o, fmt.Errorf("-run: no scenario matches %s", *only)
	}
	return o, nil
}

// chosen returns the scenarios to run.
func (o options) chosen() []scenario {
	var chosen []scenario
	for _, s := range scenarios() {
		if o.only.MatchString(s.name) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// command runs the scenarios and writes the report.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.folder == "" {
		o.folder, err = os.MkdirTemp("", "vsfb-bench-")
	} else {
		err = os.MkdirAll(o.folder, 0o700)
	}
	if err != nil {
		return fmt.Errorf("creating a directory: %w", err)
	}
	r, err := measure(ctx, o, stderr)
	if err != nil {
		return err
	}
	text := r.markdown()
	if _, err := io.WriteString(stdout, text); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.folder, "report.md"), []byte(text), 0o600); err != nil {
		return fmt.Errorf("storing the report: %w", err)
	}
	if violated := r.violated(); len(violated) > 0 {
		return fmt.Errorf("%w: %s", errViolated, strings.Join(violated, "; "))
	}
	return nil
}

// measure starts everything, runs the scenarios, and stops everything.
func measure(ctx context.Context, o options, progress io.Writer) (r *report, err error) {
	b := &bench{options: o, progress: newProgress(progress)}
	defer func() { err = errors.Join(err, b.end()) }()
	if err := b.begin(ctx); err != nil {
		return nil, err
	}
	for _, s := range o.chosen() {
		b.logf("%s: %s", s.name, s.description)
		b.report.begin(s)
		if err := s.run(b, ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	b.report.end()
	return b.report, nil
}
