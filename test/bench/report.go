// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"k8s.io/client-go/discovery"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

// figure is one thing that was measured.
type figure struct {
	scenario, what, value string
	// target is what it is to be; empty where there is none.
	target string
	// met says whether it is; nil where there is no target.
	met *bool
	// invariant says that a figure that is not as it is to be is a fault of the operator, and not
	// of the machine.
	invariant bool
}

func (f figure) verdict() string {
	switch {
	case f.met == nil:
		return ""
	case *f.met:
		return "met"
	case f.invariant:
		return "**broken**"
	default:
		return "missed"
	}
}

// report is what all scenarios came to.
type report struct {
	say     func(format string, args ...any)
	facts   [][2]string
	current scenario
	// said are the scenarios, with what is to be known of them, in order.
	said    []string
	figures []figure
	began   time.Time
	// lacking are the flags that the manager was not given, as it does not have them.
	lacking []string
}

// newReport begins a report with what is known of the machine and of the programs.
func newReport(ctx context.Context, b *bench) (*report, error) {
	r := &report{say: b.say, began: time.Now()}
	client, err := discovery.NewDiscoveryClientForConfigAndClient(b.plane.Config, b.administrator)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	kubernetes, err := client.ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("asking the API server for its version: %w", err)
	}
	etcd, err := output(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "etcd"), "--version")
	if err != nil {
		return nil, err
	}
	operator, err := output(ctx, "git", "describe", "--tags", "--always", "--dirty")
	if b.program != "" {
		operator = b.program
	} else if err != nil {
		operator = "unknown" // a checkout without git is none of the bench's business
	}
	first, _, _ := strings.Cut(etcd, "\n")
	r.facts = [][2]string{
		{"Machine", fmt.Sprintf("%d processors (%s), %s of memory, %s/%s, Linux %s", runtime.NumCPU(), procValue("cpuinfo", "model name"),
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

func output(ctx context.Context, program string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, program, args...)
	command.Dir = controlplane.Root()
	text, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("running %s: %w", program, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// procFile is what a file of /proc says; "unknown" where there is none.
func procFile(name string) string {
	text, err := os.ReadFile(filepath.Join("/proc", name))
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// procValue is what a file of /proc says after a name and a colon.
func procValue(file, name string) string {
	for _, line := range strings.Split(procFile(file), "\n") {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// begin begins a scenario.
func (r *report) begin(s scenario) {
	r.current = s
	r.said = append(r.said, fmt.Sprintf("**%s**: %s.", s.name, s.does))
}

// note says something about the scenario that its figures do not.
func (r *report) note(format string, args ...any) {
	r.said[len(r.said)-1] += " " + fmt.Sprintf(format, args...)
}

// add adds a figure of the scenario.
func (r *report) add(f figure) {
	f.scenario = r.current.name
	r.figures = append(r.figures, f)
	line := f.what + ": " + f.value
	if f.target != "" {
		line += " (" + f.target + ": " + f.verdict() + ")"
	}
	r.say("  %s", line)
}

// target adds a figure that is to be as the target says.
func (r *report) target(what, value, target string, met bool) {
	r.add(figure{what: what, value: value, target: target, met: &met})
}

// never adds a count of what must never happen, and which no machine excuses.
func (r *report) never(what string, n int) {
	met := n == 0
	r.add(figure{what: what, value: thousands(n), target: "0", met: &met, invariant: true})
}

// end ends the report.
func (r *report) end() {
	if len(r.lacking) > 0 {
		r.facts = append(r.facts, [2]string{"Flags that this manager does not have", strings.Join(r.lacking, " ")})
	}
	r.facts = append(r.facts, [2]string{"Took", time.Since(r.began).Round(time.Second).String()}, [2]string{"Load after the run", procFile("loadavg")})
}

// broken are the invariants that did not hold.
func (r *report) broken() []string {
	var broken []string
	for _, f := range r.figures {
		if f.invariant && !*f.met {
			broken = append(broken, fmt.Sprintf("%s: %s is %s, want %s", f.scenario, f.what, f.value, f.target))
		}
	}
	return broken
}

// markdown writes the report.
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
	for _, said := range r.said {
		s.WriteString("- " + said + "\n")
	}
	return s.String()
}

// errNothing is that there was nothing to measure.
var errNothing = errors.New("nothing happened that could be measured")
