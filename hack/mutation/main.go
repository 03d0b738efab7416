// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command mutation tests the tests: it runs gremlins, which changes one operator at a time and runs the
// tests of its package. The tests must notice the change. It fails if they notice too few, if a mutant
// survives that hack/mutation/survivors.yaml does not list with a reason, or if a listed one does not.
//
// A mutant is killed if a test fails or does not end. All operators count, also those that no test
// executes; see the script shim/go. Mutants that do not build do not count.
//
//	go run ./hack/mutation [-workers 2] [FOLDER | FOLDER/FILE.go]...
//
// With -faults, it reintroduces the faults of hack/mutation/faults.yaml instead, one at a time, and fails
// unless the tests that are listed with a fault pass before and fail with it.
//
//	go run ./hack/mutation -faults [NAME]...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const survivorsFile = "hack/mutation/survivors.yaml"

// folders are those with the rules that tests must hold.
var folders = []string{"internal/batch", "internal/fileset", "internal/flowcontrol", "internal/lifecycle", "internal/upstream"}

// options are the flags.
type options struct {
	gremlins string
	workers  int
	minimum  float64
	faults   bool
	args     []string
}

func main() {
	var o options
	flag.StringVar(&o.gremlins, "gremlins", "bin/gremlins", "path of gremlins")
	flag.IntVar(&o.workers, "workers", 0, "number of mutants to test at a time; 0 selects the number of CPUs")
	flag.Float64Var(&o.minimum, "minimum", 95, "percentage of the mutants in each folder that the tests must kill")
	flag.BoolVar(&o.faults, "faults", false, "reintroduce the faults of "+faultsFile+"; the arguments are their names")
	flag.Parse()
	o.args = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "mutation: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	source, err := os.MkdirTemp("", "mutation-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(source) }()
	if err := copySource(ctx, source); err != nil {
		return err
	}
	if o.faults {
		faults, err := readList[fault](faultsFile)
		if err == nil {
			faults, err = selectFaults(faults, o.args)
		}
		if err != nil {
			return err
		}
		return reintroduce(ctx, os.Stdout, source, faults)
	}
	return mutate(ctx, source, o)
}

// mutate runs gremlins on each folder, and judges its results.
func mutate(ctx context.Context, source string, o options) error {
	listed, err := readSurvivors(survivorsFile)
	if err != nil {
		return err
	}
	gremlins, err := filepath.Abs(o.gremlins)
	if err != nil {
		return err
	}
	names := o.args
	if len(names) == 0 {
		names = folders
	}
	var failed []error
	for _, name := range names {
		name = filepath.ToSlash(filepath.Clean(name))
		report, err := unleash(ctx, gremlins, source, name, o.workers)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		failed = append(failed, judge(report, listed, o.minimum))
	}
	return errors.Join(failed...)
}

// copySource copies the files of the repository, without build output: gremlins copies the whole module
// for each worker.
func copySource(ctx context.Context, to string) error {
	list, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("listing the files: %w", err)
	}
	for _, name := range strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		info, err := os.Lstat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue // deleted, or a link
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, content, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}

// mutantTypes are the types that gremlins does not enable by default.
var mutantTypes = []string{
	"invert-assignments", "invert-bitwise", "invert-bwassign", "invert-logical", "invert-loopctrl", "remove-self-assignments",
}

// unleash runs gremlins on a folder of the source, or on one file.
func unleash(ctx context.Context, gremlins, source, name string, workers int) (report, error) {
	shim, err := filepath.Abs("hack/mutation/shim")
	if err != nil {
		return report{}, err
	}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		return report{}, err
	}
	output := filepath.Join(source, "mutants.json")
	// A mutant that does not end is noticed. The timeout is relative to a run that also compiles.
	args := []string{"unleash", "--output-statuses", "lct", "--output", output, "--workers", fmt.Sprint(workers), "--timeout-coefficient", "4"}
	for _, mutantType := range mutantTypes {
		args = append(args, "--"+mutantType)
	}
	folder := name
	if path.Ext(name) == ".go" {
		folder = path.Dir(name)
		others, err := otherFiles(filepath.Join(source, folder), path.Base(name))
		if err != nil {
			return report{}, err
		}
		args = append(args, others...)
	}
	command := exec.CommandContext(ctx, gremlins, append(args, "./"+folder)...)
	command.Dir, command.Stdout, command.Stderr = source, os.Stderr, os.Stderr
	// With -short, tests of random histories run few of them, from a fixed seed.
	// vet checks nothing that a changed operator alters.
	command.Env = append(os.Environ(), "MUTATION_GO="+goCommand, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -short -failfast -vet=off"),
		"PATH="+shim+string(os.PathListSeparator)+os.Getenv("PATH"))
	if err := command.Run(); err != nil {
		return report{}, fmt.Errorf("gremlins: %w", err)
	}
	r, err := readReport(output, source, folder)
	r.name = name
	return r, err
}

// otherFiles returns the flags that exclude the other files of a folder.
func otherFiles(folder, file string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	var flags []string
	for _, other := range files {
		if other = filepath.Base(other); other != file {
			flags = append(flags, "--exclude-files", "(^|/)"+regexp.QuoteMeta(other)+"$")
		}
	}
	if len(flags) == len(files)*2 {
		return nil, fmt.Errorf("there is no file %s", file)
	}
	return flags, nil
}

// judge prints the result of a folder, and returns an error for what is wrong with it.
func judge(r report, listed []survivor, minimum float64) error {
	killed := len(r.mutants) - len(r.survivors())
	percentage := 100 * float64(killed) / float64(max(len(r.mutants), 1))
	fmt.Printf("%s: %d of %d mutants killed (%.1f%%)\n", r.name, killed, len(r.mutants), percentage)
	var problems []error
	if percentage < minimum {
		problems = append(problems, fmt.Errorf("%s: the tests kill %.1f%% of the mutants, want %.0f%%", r.name, percentage, minimum))
	}
	rest := slices.Clone(listed)
	for _, mutant := range r.survivors() {
		if i := slices.IndexFunc(rest, func(s survivor) bool { return s.is(mutant) }); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
			continue
		}
		fmt.Printf("# line %d\n- file: %s\n  mutation: %s\n  at: %q\n  reason: \"\"\n", mutant.line, mutant.file, mutant.kind, mutant.at)
		problems = append(problems, fmt.Errorf("%s:%d: no test notices %s at %q", mutant.file, mutant.line, mutant.kind, mutant.at))
	}
	for _, s := range rest {
		if s.File == r.name || strings.HasPrefix(s.File, r.name+"/") {
			problems = append(problems, fmt.Errorf("%s: the tests kill %s at %q: remove it from the list", s.File, s.Mutation, s.At))
		}
	}
	return errors.Join(problems...)
}
