// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"k8s.io/client-go/discovery"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// figure is one result.
type figure struct {
	scenario, what, value string
	// target is the target; empty if there is none.
	target string
	// met reports whether the target is met; nil without a target.
	met *bool
	// invariant means that a missed target is a bug of the operator, and not a property of the
	// machine.
	invariant bool
}

func (f figure) verdict() string {
	switch {
	case f.met == nil:
		return ""
	case *f.met:
		return "met"
	case f.invariant:
		return "**violated**"
	default:
		return "missed"
	}
}

// report holds the results of all scenarios.
type report struct {
	logf    func(format string, args ...any)
	facts   [][2]string
	current scenario
	// said are the descriptions of the scenarios, in order.
	descriptions []string
	figures      []figure
	began        time.Time
	// lacking are the flags that the manager does not have.
	unsupported []string
}

// newReport returns a report with facts about the machine and the programs.
func newReport(ctx context.Context, b *bench) (*report, error) {
	r := &report{logf: b.logf, began: time.Now()}
	client, err := discovery.NewDiscoveryClientForConfigAndClient(b.env.Config, b.administrator)
	if err != nil {
		return nil, fmt.Errorf("creating a client: %w", err)
	}
	kubernetes, err := client.ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("reading the API server's version: %w", err)
	}
	etcd, err := framework.Output(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "etcd"), "--version")
	if err != nil {
		return nil, err
	}
	operator, err := framework.Output(ctx, "git", "describe", "--tags", "--always", "--dirty")
	if b.program != "" {
		operator = b.program
	} else if err != nil {
		operator = "unknown" // the checkout has no git repository
	}
	first, _, _ := strings.Cut(etcd, "\n")
	r.facts = [][2]string{
		{"Machine", fmt.Sprintf("%d CPUs (%s), %s of memory, %s/%s, Linux %s", runtime.NumCPU(), procValue("cpuinfo", "model name"),
			procValue("meminfo", "MemTotal"), runtime.GOOS, runtime.GOARCH, procFile("sys/kernel/osrelease"))},
		{"Load before the run", procFile("loadavg")},
		{"Operator", operator + ", " + runtime.Version()},
		{"Kubernetes", kubernetes.GitVersion + ", etcd " + strings.TrimPrefix(first, "etcd Version: ") + " without fsync, all on this machine"},
		{"Scale", b.scale.name},
	}
	if len(b.flags) > 0 {
		r.facts = append(r.facts, [2]string{"Flags of the manager", strings.Join(b.flags, " ")})
	}
	return r, nil
}

// procFile returns the content of a file of /proc; "unknown" if it does not exist.
func procFile(name string) string {
	text, err := os.ReadFile(filepath.Join("/proc", name))
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// procValue returns the value of a key in a file of /proc.
func procValue(file, name string) string {
	for _, line := range strings.Split(procFile(file), "\n") {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// begin starts a scenario.
func (r *report) begin(s scenario) {
	r.current = s
	r.descriptions = append(r.descriptions, fmt.Sprintf("**%s**: %s.", s.name, s.description))
}

// note adds a sentence to the description of the scenario.
func (r *report) note(format string, args ...any) {
	r.descriptions[len(r.descriptions)-1] += " " + fmt.Sprintf(format, args...)
}

// add adds a figure of the scenario.
func (r *report) add(f figure) {
	f.scenario = r.current.name
	r.figures = append(r.figures, f)
	line := f.what + ": " + f.value
	if f.target != "" {
		line += " (" + f.target + ": " + f.verdict() + ")"
	}
	r.logf("  %s", line)
}

// target adds a figure with a target.
func (r *report) target(what, value, target string, met bool) {
	r.add(figure{what: what, value: value, target: target, met: &met})
}

// invariant adds a count that must be 0 on any machine.
func (r *report) invariant(what string, n int) {
	met := n == 0
	r.add(figure{what: what, value: thousands(n), target: "0", met: &met, invariant: true})
}

// end completes the report.
func (r *report) end() {
	if len(r.unsupported) > 0 {
		r.facts = append(r.facts, [2]string{"Flags that this manager does not have", strings.Join(r.unsupported, " ")})
	}
	r.facts = append(r.facts, [2]string{"Duration", time.Since(r.began).Round(time.Second).String()}, [2]string{"Load after the run", procFile("loadavg")})
}

// violated returns the violated invariants.
func (r *report) violated() []string {
	var violated []string
	for _, f := range r.figures {
		if f.invariant && !*f.met {
			violated = append(violated, fmt.Sprintf("%s: %s is %s, want %s", f.scenario, f.what, f.value, f.target))
		}
	}
	return violated
}

// markdown formats the report.
func (r *report) markdown() string {
	var s strings.Builder
	s.WriteString("| Run | |\n|---|---|\n")
	for _, fact := range r.facts {
		fmt.Fprintf(&s, "| %s | %s |\n", fact[0], fact[1])
	}
	s.WriteString("\n| Scenario | Figure | Value | Target | Verdict |\n|---|---|---|---|---|\n")
	for _, f := range r.figures {
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s |\n", f.scenario, f.what, f.value, f.target, f.verdict())
	}
	s.WriteString("\nThe scenarios:\n\n")
	for _, descriptions := range r.descriptions {
		s.WriteString("- " + descriptions + "\n")
	}
	return s.String()
}

// errNothing means that there was nothing to measure.
var errNothing = errors.New("no activity to measure")
