// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures the built manager, as a process with its ServiceAccount's rights, against
// a real API server and the emulator of the upstream. What has a yardstick is measured beside it,
// in turns, in the same run: figures of one machine at one hour can be compared, others cannot.
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

// errBroken is that something happened that no slow machine excuses.
var errBroken = errors.New("an invariant is broken")

// options are the flags.
type options struct {
	scale scale
	// only says which scenarios are run, by their whole names.
	only *regexp.Regexp
	// folder gets the report, the plot and the logs, and with profiles those of the manager.
	folder   string
	profiles bool
	// program is the manager to be measured; empty for that of this checkout.
	program string
	// tags are what that one is built with.
	tags string
	// flags are given to every manager, after the bench's own.
	flags []string
}

func parse(args []string, output io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(output)
	scaleName := f.String("scale", "full", "How many objects: `full`; small, which is a twentieth of it; or tiny, which measures nothing that counts.")
	only := f.String("run", "", "Run only the scenarios whose whole `names` match this regular expression: "+strings.Join(scenarioNames(), ", ")+".")
	f.StringVar(&o.folder, "folder", "", "The `folder` for the report, the plot and the logs; a new one in the system's folder for temporary files by default.")
	f.BoolVar(&o.profiles, "profiles", false, "Keep profiles of the manager's processor time and memory beside the report. That costs the manager a little.")
	f.StringVar(&o.program, "manager", "", "Measure this `program` in place of the manager of this checkout. Flags that it does not have are left out.")
	f.StringVar(&o.tags, "tags", "", "Build the manager of this checkout with these `tags`, separated by commas.")
	flags := f.String("manager-flags", "", "Further `flags` for every manager, separated by spaces.")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	o.flags = strings.Fields(*flags)
	known := false
	if o.scale, known = scales[*scaleName]; !known {
		return o, fmt.Errorf("-scale is %q: it must be full, small or tiny", *scaleName)
	}
	var err error
	if o.only, err = regexp.Compile("^(?:" + *only + ")$"); err != nil {
		return o, fmt.Errorf("-run: %w", err)
	}
	if *only == "" {
		o.only = regexp.MustCompile("")
	}
	if len(o.chosen()) == 0 {
		return o, fmt.Errorf("-run: no scenario is named %s", *only)
	}
	return o, nil
}

// chosen are the scenarios that are to be run.
func (o options) chosen() []scenario {
	var chosen []scenario
	for _, s := range scenarios() {
		if o.only.MatchString(s.name) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// command runs the scenarios, and writes the report.
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
		return fmt.Errorf("making a folder: %w", err)
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
		return fmt.Errorf("keeping the report: %w", err)
	}
	if broken := r.broken(); len(broken) > 0 {
		return fmt.Errorf("%w: %s", errBroken, strings.Join(broken, "; "))
	}
	return nil
}

// measure brings everything up, runs the scenarios, and takes everything down again.
func measure(ctx context.Context, o options, progress io.Writer) (r *report, err error) {
	b := &bench{options: o, progress: newProgress(progress)}
	defer func() { err = errors.Join(err, b.end()) }()
	if err := b.begin(ctx); err != nil {
		return nil, err
	}
	for _, s := range o.chosen() {
		b.say("%s: %s", s.name, s.does)
		b.report.begin(s)
		if err := s.run(b, ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	b.report.end()
	return b.report, nil
}
