// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const faultsFile = "hack/mutation/faults.yaml"

// fault is a fault that an earlier version had, as a change of the present source, and the tests that
// detect it.
type fault struct {
	// Name identifies it.
	Name string `json:"name"`
	// Fault is what goes wrong.
	Fault string `json:"fault"`
	// Changes are made together.
	Changes []change `json:"changes"`
	// Tests must pass without the changes. With them, each must fail.
	Tests []goTest `json:"tests"`
}

// change replaces the only occurrence of a text in a file.
type change struct {
	File   string `json:"file"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// goTest is a test function of a package.
type goTest struct {
	Package string `json:"package"`
	Test    string `json:"test"`
}

func (t goTest) String() string { return t.Package + " " + t.Test }

// selectFaults returns the faults with the given names, or all if none are given.
func selectFaults(faults []fault, names []string) ([]fault, error) {
	if len(names) == 0 {
		return faults, nil
	}
	var selected []fault
	for _, name := range names {
		i := slices.IndexFunc(faults, func(f fault) bool { return f.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%s lists no fault %q", faultsFile, name)
		}
		selected = append(selected, faults[i])
	}
	return selected, nil
}

// reintroduce makes the changes of each fault in the source, and requires that its tests fail. It prints its
// progress to w.
func reintroduce(ctx context.Context, w io.Writer, source string, faults []fault) error {
	var problems []error
	for i, f := range faults {
		startedAt := time.Now()
		err := f.detected(ctx, source)
		if ctx.Err() != nil {
			return errors.Join(append(problems, context.Cause(ctx))...)
		}
		result := "detected"
		if err != nil {
			result = err.Error()
			problems = append(problems, fmt.Errorf("%s: %w", f.Name, err))
		}
		_, _ = fmt.Fprintf(w, "[%d/%d] %s: %s (%s)\n", i+1, len(faults), f.Name, result, time.Since(startedAt).Round(time.Second))
	}
	return errors.Join(problems...)
}

// detected returns an error unless the fault's tests pass, and fail with its changes.
func (f fault) detected(ctx context.Context, source string) error {
	for _, t := range f.Tests {
		if output, err := t.run(ctx, source); err != nil {
			return fmt.Errorf("%s fails without the fault: %w\n%s", t, err, tail(output))
		}
	}
	restore, err := f.apply(source)
	if err != nil {
		return err
	}
	defer restore()
	for _, t := range f.Tests {
		output, err := t.run(ctx, source)
		switch {
		case err == nil:
			return fmt.Errorf("%s does not detect it", t)
		case !strings.Contains(output, "--- FAIL: "+t.Test) && !strings.Contains(output, "\npanic: "):
			return fmt.Errorf("%s did not run with the fault: %w\n%s", t, err, tail(output))
		}
	}
	return nil
}

// apply makes the changes in a copy of the source, and returns a function that undoes them.
func (f fault) apply(source string) (restore func(), err error) {
	originals := make(map[string][]byte)
	restore = func() {
		for name, content := range originals {
			_ = os.WriteFile(name, content, 0o600)
		}
	}
	for _, c := range f.Changes {
		name := filepath.Join(source, c.File)
		content, err := os.ReadFile(name)
		if err == nil && originals[name] == nil {
			originals[name] = content
		}
		if err == nil {
			content, err = c.applyTo(content)
		}
		if err == nil {
			err = os.WriteFile(name, content, 0o600)
		}
		if err != nil {
			restore()
			return nil, err
		}
	}
	return restore, nil
}

func (c change) applyTo(content []byte) ([]byte, error) {
	if n := strings.Count(string(content), c.Before); n != 1 {
		return nil, fmt.Errorf("%s contains %q %d times, want 1", c.File, c.Before, n)
	}
	return []byte(strings.Replace(string(content), c.Before, c.After, 1)), nil
}

// run runs the test in a copy of the source, and returns its output.
func (t goTest) run(ctx context.Context, source string) (string, error) {
	command := exec.CommandContext(ctx, "go", "test", "-count=1", "-vet=off", "-timeout=3m", "-run=^"+t.Test+"$", "-v", t.Package)
	command.Dir = source
	command.WaitDelay = 10 * time.Second
	output, err := command.CombinedOutput()
	text := string(output)
	if err == nil && !strings.Contains(text, "--- PASS: "+t.Test) {
		err = errors.New("there is no such test, or it was skipped")
	}
	return text, err
}

// tail returns the end of a long output.
func tail(output string) string { return output[max(0, len(output)-4000):] }
